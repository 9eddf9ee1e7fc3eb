//! Signed notes (C2SP signed-note): text, and under it one line for each signature.

use super::checkpoint::{self, Checkpoint};
use crate::provider::{self, AwsLc};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use medlock_trust::crypto::{Crypto as _, KeyAlgorithm, PublicKey, Signature, SignatureAlgorithm};
use std::fmt;
use std::str::FromStr;

/// The longest note: a checkpoint with sixteen ML-DSA-44 signatures takes 53,000 bytes.
pub const MAX_LENGTH: usize = 64 * 1024;
/// The most signatures of a note (the specification asks for 16 at least).
pub const MAX_SIGNATURES: usize = 32;
/// What the last line break of the text and the separating empty line are together.
const SEPARATOR: &str = "\n\n";
const DASH: &str = "\u{2014} ";

/// A note: text that somebody may have signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    text: &'a str,
    signatures: &'a str,
}

/// One signature of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine<'a> {
    /// The name of the key.
    pub name: &'a str,
    /// The short identifier of the key, which is not unique.
    pub key: [u8; 4],
    /// The signature.
    pub signature: Vec<u8>,
}

impl<'a> Note<'a> {
    /// Reads a note, without believing it.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed;
        if bytes.len() > MAX_LENGTH {
            return Err(malformed("it is longer than 64 KiB"));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8 text"))?;
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(malformed("it has control characters"));
        }
        let at = note.rfind(SEPARATOR).ok_or(malformed("there is no empty line between text and signatures"))?;
        let (text, signatures) = (note.get(..=at), note.get(at + SEPARATOR.len()..));
        let (Some(text), Some(signatures)) = (text, signatures) else { return Err(malformed("it has no text")) };
        if signatures.is_empty() || !signatures.ends_with('\n') {
            return Err(malformed("its last line is not a whole signature"));
        }
        let note = Self { text, signatures };
        for (number, line) in signatures.lines().enumerate() {
            if number == MAX_SIGNATURES {
                return Err(malformed("it has more than 32 signatures"));
            }
            signature_line(line).ok_or(malformed("a line after the text is not a signature"))?;
        }
        Ok(note)
    }

    /// What is signed, its last line break included.
    #[must_use]
    pub const fn text(&self) -> &'a str {
        self.text
    }

    /// All signatures, of known and unknown keys.
    pub fn signatures(&self) -> impl Iterator<Item = SignatureLine<'a>> {
        self.signatures.lines().filter_map(signature_line)
    }

    /// Which of `keys` signed it. Signatures of other keys are passed over.
    ///
    /// # Errors
    /// [`NoteError::Forged`] when the signature of one of `keys` is wrong, [`NoteError::Unsigned`] when there is none.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<Signed<'k>>, NoteError> {
        let mut signed: Vec<Signed<'k>> = Vec::new();
        for line in self.signatures() {
            let Some(key) = keys.iter().find(|key| key.name == line.name && key.id() == line.key) else { continue };
            let at = key.verify(self.text, &line.signature).ok_or_else(|| NoteError::Forged(key.name.clone()))?;
            if signed.iter().all(|before| before.by != key) {
                signed.push(Signed { by: key, at });
            }
        }
        if signed.is_empty() { Err(NoteError::Unsigned) } else { Ok(signed) }
    }
}

fn signature_line(line: &str) -> Option<SignatureLine<'_>> {
    let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
    let bytes = BASE64.decode(signature).ok()?;
    let (key, signature) = bytes.split_first_chunk::<4>()?;
    (is_name(name) && !signature.is_empty()).then(|| SignatureLine { name, key: *key, signature: signature.to_vec() })
}

/// Whether this may be the name of a key.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

impl fmt::Display for SignatureLine<'_> {
    /// The line, without a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.key.as_slice(), &self.signature].concat();
        write!(f, "{DASH}{} {}", self.name, BASE64.encode(bytes))
    }
}

/// A valid signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<'k> {
    /// Whose.
    pub by: &'k VerifierKey,
    /// For cosignatures, when: seconds since 1970.
    pub at: Option<u64>,
}

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Ed25519 over the text: how a log signs its checkpoints.
    Ed25519,
    /// Ed25519 over a checkpoint and a time: how a witness cosigns (tlog-cosignature).
    CosignatureEd25519,
    /// ML-DSA-44 over a checkpoint and a time: how a witness cosigns (tlog-cosignature).
    CosignatureMlDsa44,
}

impl KeyKind {
    const ALL: [Self; 3] = [Self::Ed25519, Self::CosignatureEd25519, Self::CosignatureMlDsa44];

    const fn number(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::CosignatureEd25519 => 4,
            Self::CosignatureMlDsa44 => 6,
        }
    }

    const fn key_length(self) -> usize {
        match self {
            Self::Ed25519 | Self::CosignatureEd25519 => 32,
            Self::CosignatureMlDsa44 => 1312,
        }
    }
}

/// Somebody's key, by which one believes notes. As text: `name+0123abcd+base64`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    key: Vec<u8>,
}

impl VerifierKey {
    /// The key of this name; `key` is as long as keys of this kind are (32 bytes, or 1,312 of ML-DSA-44).
    #[must_use]
    pub fn new(name: &str, kind: KeyKind, key: &[u8]) -> Option<Self> {
        let fits = is_name(name) && key.len() == kind.key_length();
        fits.then(|| Self { name: name.to_owned(), kind, key: key.to_vec() })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it signs.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The public key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The short identifier in signature lines.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let named = [self.name.as_bytes(), b"\n", &[self.kind.number()], &self.key].concat();
        let [a, b, c, d, ..] = provider::sha256(&named);
        [a, b, c, d]
    }

    /// The line that holds this key's `signature`: for cosignatures, behind its time.
    #[must_use]
    pub fn line(&self, signature: Vec<u8>) -> SignatureLine<'_> {
        SignatureLine { name: &self.name, key: self.id(), signature }
    }

    /// Checks a signature over `text`; gives the time of a cosignature.
    fn verify(&self, text: &str, signature: &[u8]) -> Option<Option<u64>> {
        let check = |algorithm, key, message: &[u8], signature| {
            let key = PublicKey { algorithm: key, bits: &self.key };
            AwsLc.verify(algorithm, key, &[message], Signature::X509(signature)).ok()
        };
        if self.kind == KeyKind::Ed25519 {
            check(SignatureAlgorithm::Ed25519, KeyAlgorithm::Ed25519, text.as_bytes(), signature)?;
            return Some(None);
        }
        let (time, signature) = signature.split_first_chunk::<8>()?;
        let time = u64::from_be_bytes(*time);
        if self.kind == KeyKind::CosignatureEd25519 {
            let message = checkpoint::cosigned_text(text, time);
            check(SignatureAlgorithm::Ed25519, KeyAlgorithm::Ed25519, message.as_bytes(), signature)?;
        } else {
            let message = Checkpoint::read(text).ok()?.cosigned_structure(&self.name, time);
            check(SignatureAlgorithm::MlDsa44, KeyAlgorithm::MlDsa44, &message, signature)?;
        }
        Some(Some(time))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.kind.number()], self.key.as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, data_encoding::HEXLOWER.encode(&self.id()), BASE64.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::NoKey("it is written NAME+8 hexadecimal digits+base64");
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed);
        };
        let key = BASE64.decode(key).map_err(|_| malformed.clone())?;
        let (number, key) = key.split_first().ok_or(malformed.clone())?;
        let kind = KeyKind::ALL.into_iter().find(|kind| kind.number() == *number);
        let kind = kind.ok_or(NoteError::NoKey("its kind is not known: Ed25519, or ML-DSA-44 of a witness"))?;
        let read = Self::new(name, kind, key).ok_or(malformed)?;
        let fits = data_encoding::HEXLOWER.encode(&read.id()) == id;
        let mistyped = NoteError::NoKey("name, digits and key do not fit together: a character is mistyped or missing");
        if fits { Ok(read) } else { Err(mistyped) }
    }
}

/// Why a note is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is not a note, or what should be in the note is not.
    #[error("this is not a signed note of the expected form: {0}")]
    Malformed(&'static str),
    /// It is no verifier key.
    #[error("this is no key of a log or witness: {0}")]
    NoKey(&'static str),
    /// The hashes of a proof do not lead from this entry to the root that was signed.
    #[error("the proof is not of this certificate: another one is at its place in the log, or the proof was altered")]
    OtherEntry,
    /// A key one believes did not make the signature in its name.
    #[error("the signature of {0} is wrong: the note was altered, or somebody else made it")]
    Forged(String),
    /// No key one believes signed it.
    #[error("none of the keys that were named signed this note")]
    Unsigned,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of C2SP signed-note.
    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    #[test]
    fn the_example_of_the_specification_verifies() {
        let key: VerifierKey = KEY.parse().unwrap();
        assert_eq!(key.to_string(), KEY);
        let note = Note::read(NOTE.as_bytes()).unwrap();
        assert_eq!(note.text(), "This is an example message.\n");
        assert_eq!(note.verify(std::slice::from_ref(&key)).unwrap(), [Signed { by: &key, at: None }]);
        assert_eq!(note.signatures().next().unwrap().to_string(), NOTE.lines().last().unwrap());
    }

    #[test]
    fn a_changed_note_and_one_of_strangers_are_not_believed() {
        let key: VerifierKey = KEY.parse().unwrap();
        let changed = NOTE.replace("example message", "Example message");
        let note = Note::read(changed.as_bytes()).unwrap();
        assert_eq!(note.verify(std::slice::from_ref(&key)), Err(NoteError::Forged("example.com/foo".to_owned())));
        let stranger = NOTE.replace(" example.com/foo ", " example.com/bar ");
        assert_eq!(Note::read(stranger.as_bytes()).unwrap().verify(&[key]), Err(NoteError::Unsigned));
    }

    #[test]
    fn what_is_not_a_note_is_refused() {
        for wrong in ["", "text\n", "text\n\n", "text\n\nno signature\n", "a\tb\n\n\u{2014} a AAAAAAA=\n"] {
            assert!(matches!(Note::read(wrong.as_bytes()), Err(NoteError::Malformed(_))), "{wrong:?}");
        }
        let mut many = "text\n\n".to_owned();
        (0..=MAX_SIGNATURES).for_each(|_| many.push_str("\u{2014} a AAAAAAA=\n"));
        assert!(Note::read(many.as_bytes()).is_err());
        for wrong in ["a", "a+b+c", "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"] {
            assert!(VerifierKey::from_str(wrong).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer(text in ".{0,40}(\n\n)?(\u{2014} [a-z]{1,3} [A-Za-z0-9+/=]{0,12}\n){0,3}") {
            if let Ok(note) = Note::read(text.as_bytes()) {
                let again = format!("{}\n{}", note.text(), note.signatures);
                prop_assert_eq!(again, text);
            }
        }
    }
}
