//! The one-time enrolment code, pasted or scanned by the engineer.

use crate::provider::{random, same_secret, sha256};
use data_encoding::BASE32_NOPAD;
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

const PREFIX: &str = "MEDLOCK";
const VERSION: u8 = 1;
const ID: usize = 5;
const SECRET: usize = 12;
const ROOT: usize = 16;
const CHECK: usize = 2;
const BODY: usize = 1 + ID + SECRET + ROOT;
const LENGTH: usize = BODY + CHECK;
/// Characters of base32 for [`LENGTH`] bytes.
const CHARACTERS: usize = 58;
/// The longest text looked at: the code with a separator behind each character.
const LONGEST_TEXT: usize = 256;

/// What an engineer carries from the hub to a machine: who may enrol, and which hub to believe.
///
/// The text is `MEDLOCK-` and base32 (RFC 4648, no padding) in groups of five, of: version (1 byte, 1), identifier
/// (5 bytes), secret (12 bytes), the first 16 bytes of the SHA-256 of the site's root certificate, and 2 check bytes
/// (the first of the SHA-256 of all before). Lower case is accepted; spaces and dashes do not matter.
#[derive(Clone)]
pub struct Code {
    bytes: Zeroizing<[u8; LENGTH]>,
}

impl PartialEq for Code {
    /// Takes the same time wherever they differ.
    fn eq(&self, other: &Self) -> bool {
        same_secret(&*self.bytes, &*other.bytes)
    }
}

impl Eq for Code {}

/// Why a text is no enrolment code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// The prefix is missing.
    #[error("an enrolment code begins with MEDLOCK-; copy it again from `medlock device code`")]
    Prefix,
    /// Characters are missing or too many.
    #[error(
        "an enrolment code has {CHARACTERS} characters behind MEDLOCK-, this one has {0}; copy it again as a whole"
    )]
    Length(usize),
    /// A character that base32 does not have.
    #[error("the enrolment code has a character that cannot be in one (it uses A to Z and 2 to 7)")]
    Character,
    /// The check bytes do not fit.
    #[error("the enrolment code has a wrong character somewhere; compare it with the one the hub shows")]
    Check,
    /// A version we do not know.
    #[error("the enrolment code has version {0}, this program knows version {VERSION}; update the older of the two")]
    Version(u8),
}

impl Code {
    /// A new code for the site whose root certificate has this fingerprint (the first 16 bytes of its SHA-256).
    ///
    /// Every single wrong character in it will be noticed: a draw for which the check bytes would miss one (about
    /// three of a hundred) is drawn again.
    #[must_use]
    pub fn new(root: &[u8; ROOT]) -> Self {
        loop {
            let code = Self::from_parts(random(), &random(), root);
            if code.notices_each_wrong_character() {
                return code;
            }
        }
    }

    /// The code with these parts.
    #[must_use]
    pub fn from_parts(id: [u8; ID], secret: &[u8; SECRET], root: &[u8; ROOT]) -> Self {
        let mut bytes = Zeroizing::new([0; LENGTH]);
        bytes[0] = VERSION;
        bytes[1..1 + ID].copy_from_slice(&id);
        bytes[1 + ID..1 + ID + SECRET].copy_from_slice(secret);
        bytes[1 + ID + SECRET..BODY].copy_from_slice(root);
        let check = check(&bytes);
        bytes[BODY..].copy_from_slice(&check);
        Self { bytes }
    }

    /// Which code it is: not secret.
    #[must_use]
    pub fn id(&self) -> [u8; ID] {
        self.bytes[1..1 + ID].try_into().expect("the range has this length")
    }

    /// The user name in HTTP Basic: the identifier in lower-case hexadecimal.
    #[must_use]
    pub fn user(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.id())
    }

    /// The password in HTTP Basic: the secret in base32.
    #[must_use]
    pub fn password(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE32_NOPAD.encode(self.secret()))
    }

    /// SHA-256 of the secret: all that the hub keeps of it.
    #[must_use]
    pub fn secret_hash(&self) -> [u8; 32] {
        sha256(self.secret())
    }

    /// SHA-256 of the secret in this password; `None` if it is no base32 of twelve bytes.
    #[must_use]
    pub fn hash_of_password(password: &str) -> Option<[u8; 32]> {
        let secret = Zeroizing::new(BASE32_NOPAD.decode(password.as_bytes()).ok()?);
        (secret.len() == SECRET).then(|| sha256(&secret))
    }

    /// The first 16 bytes of the SHA-256 of the site's root certificate.
    #[must_use]
    pub fn root(&self) -> [u8; ROOT] {
        self.bytes[1 + ID + SECRET..BODY].try_into().expect("the range has this length")
    }

    fn secret(&self) -> &[u8] {
        &self.bytes[1 + ID..1 + ID + SECRET]
    }

    fn notices_each_wrong_character(&self) -> bool {
        let text = Zeroizing::new(BASE32_NOPAD.encode(&*self.bytes).into_bytes());
        let mut wrong = text.clone();
        for place in 0..text.len() {
            for letter in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" {
                wrong[place] = *letter;
                if *letter != text[place] && read(&wrong).is_ok() {
                    return false;
                }
            }
            wrong[place] = text[place];
        }
        true
    }
}

fn check(bytes: &[u8; LENGTH]) -> [u8; CHECK] {
    let hash = sha256(&bytes[..BODY]);
    [hash[0], hash[1]]
}

/// Reads the characters behind the prefix, in upper case and without separators.
fn read(characters: &[u8]) -> Result<Code, CodeError> {
    if characters.len() != CHARACTERS {
        return Err(CodeError::Length(characters.len()));
    }
    if !characters.iter().all(|letter| matches!(letter, b'A'..=b'Z' | b'2'..=b'7')) {
        return Err(CodeError::Character);
    }
    // What is wrong now can only be bits behind the last byte: not zero, so not what we wrote.
    let decoded = Zeroizing::new(BASE32_NOPAD.decode(characters).map_err(|_| CodeError::Check)?);
    let bytes = Zeroizing::new(<[u8; LENGTH]>::try_from(decoded.as_slice()).map_err(|_| CodeError::Check)?);
    if check(&bytes) != bytes[BODY..] {
        return Err(CodeError::Check);
    }
    if bytes[0] != VERSION {
        return Err(CodeError::Version(bytes[0]));
    }
    Ok(Code { bytes })
}

impl FromStr for Code {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        if text.len() > LONGEST_TEXT {
            return Err(CodeError::Length(text.len()));
        }
        let letters: Zeroizing<String> = Zeroizing::new(
            text.chars()
                .filter(|letter| !letter.is_whitespace() && *letter != '-')
                .map(|letter| letter.to_ascii_uppercase())
                .collect(),
        );
        read(letters.strip_prefix(PREFIX).ok_or(CodeError::Prefix)?.as_bytes())
    }
}

impl fmt::Display for Code {
    /// The whole code, with its secret: for the engineer's eyes, never for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        let text = Zeroizing::new(BASE32_NOPAD.encode(&*self.bytes));
        for (index, letter) in text.chars().enumerate() {
            if index % 5 == 0 {
                f.write_str("-")?;
            }
            write!(f, "{letter}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Code {
    /// Names the code; never shows its secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({})", self.user())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Shows REQ-NODE-30.
    #[test]
    fn text_has_the_promised_form_and_reads_back() {
        let code = Code::from_parts([1, 2, 3, 4, 5], &[7; 12], &[9; 16]);
        let text = code.to_string();
        assert!(text.starts_with("MEDLOCK-AEAQE-AYEAU"), "{text}");
        assert_eq!(text.len(), 7 + 12 + 58);
        assert_eq!(text.parse(), Ok(code.clone()));
        assert_eq!(text.to_lowercase().replace('-', " ").parse(), Ok(code.clone()));
        assert_eq!(text.replace('-', "").parse(), Ok(code.clone()));
        assert_eq!(code.user(), "0102030405");
        assert_eq!(Code::hash_of_password(&code.password()), Some(code.secret_hash()));
        assert_eq!(code.root(), [9; 16]);
        let debug = format!("{code:?}");
        assert!(!debug.contains(code.password().as_str()) && debug.contains("0102030405"), "{debug}");
    }

    /// Shows REQ-NODE-31.
    #[test]
    fn each_single_wrong_missing_or_added_character_is_noticed() {
        let code = Code::new(&random());
        let text = code.to_string();
        for place in 0..text.len() {
            if text.as_bytes()[place] == b'-' {
                continue;
            }
            let mut shorter = text.clone();
            shorter.remove(place);
            assert!(shorter.parse::<Code>().is_err(), "{shorter}");
            for letter in ('A'..='Z').chain('0'..='9').chain(['ß', '=', '.']) {
                let mut longer = text.clone();
                longer.insert(place, letter);
                assert!(longer.parse::<Code>().is_err(), "{longer}");
                if text[place..].starts_with(letter) {
                    continue;
                }
                let mut wrong = text.clone();
                wrong.replace_range(place..=place, letter.encode_utf8(&mut [0; 4]));
                assert!(wrong.parse::<Code>().is_err(), "{wrong}");
            }
        }
    }

    #[test]
    fn codes_of_another_version_say_so() {
        let mut code = Code::new(&[3; 16]);
        code.bytes[0] = 2;
        let sum = check(&code.bytes);
        code.bytes[BODY..].copy_from_slice(&sum);
        assert_eq!(code.to_string().parse::<Code>(), Err(CodeError::Version(2)));
    }

    proptest! {
        #[test]
        fn codes_round_trip(id in any::<[u8; 5]>(), secret in any::<[u8; 12]>(), root in any::<[u8; 16]>()) {
            let code = Code::from_parts(id, &secret, &root);
            prop_assert_eq!(code.to_string().parse::<Code>(), Ok(code.clone()));
            prop_assert_eq!((code.id(), code.root(), code.secret_hash()), (id, root, sha256(&secret)));
        }

        #[test]
        fn any_text_gives_an_answer(text in "(MEDLOCK)?[ -~é]{0,80}") {
            let _ = text.parse::<Code>();
        }
    }
}
