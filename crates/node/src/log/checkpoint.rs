//! Checkpoints (C2SP tlog-checkpoint): the state of a log, which it signs, and which witnesses cosign (tlog-cosignature).

use super::note::{KeyKind, Note, NoteError, VerifierKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use medlock_trust::log::{Hash, TreeHead};
use std::fmt;

/// The state of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: a name that nobody else's log has, such as its URL without `https://`.
    pub origin: String,
    /// Its size and root.
    pub head: TreeHead,
}

/// A checkpoint that its log signed, and witnesses as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned<'k> {
    /// What they signed.
    pub checkpoint: Checkpoint,
    /// The witnesses, each with the time it gave: seconds since 1970.
    pub witnesses: Vec<(&'k VerifierKey, u64)>,
}

impl Checkpoint {
    /// Reads the text of a checkpoint. Lines behind the third are passed over, as the specification asks.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn read(text: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed("a checkpoint is an origin, a size and a root, a line each");
        let text = text.strip_suffix('\n').ok_or(malformed.clone())?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(malformed);
        };
        let number = size.parse::<u64>().ok().filter(|number| number.to_string() == size).ok_or(malformed.clone())?;
        let root = read_hash(root).ok_or(malformed.clone())?;
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(malformed);
        }
        Ok(Self { origin: origin.to_owned(), head: TreeHead { size: number, root } })
    }

    /// Believes a checkpoint if the log signed it; `log` is its key, whose name is the log's origin. Cosignatures of
    /// `witnesses` are checked, and counted by whoever asks.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn verify<'k>(
        bytes: &[u8],
        log: &VerifierKey,
        witnesses: &'k [VerifierKey],
    ) -> Result<Cosigned<'k>, NoteError> {
        let note = Note::read(bytes)?;
        note.verify(std::slice::from_ref(log))?;
        let checkpoint = Self::read(note.text())?;
        if log.kind() != KeyKind::Ed25519 || checkpoint.origin != log.name() {
            return Err(NoteError::Malformed("the checkpoint is of another log than the key"));
        }
        let cosigned = match note.verify(witnesses) {
            Ok(signed) => signed.into_iter().filter_map(|signed| Some((signed.by, signed.at?))).collect(),
            Err(NoteError::Unsigned) => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Cosigned { checkpoint, witnesses: cosigned })
    }

    /// What a witness signs with ML-DSA-44: `cosigned_message` of tlog-cosignature. `witness` and the origin are at most
    /// 255 bytes long; what is beyond is no valid name, and cut off.
    #[must_use]
    pub fn cosigned_structure(&self, witness: &str, time: u64) -> Vec<u8> {
        let mut out = b"subtree/v1\n\0".to_vec();
        let name = |name: &str, out: &mut Vec<u8>| {
            let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
            out.push(length);
            out.extend(name.bytes().take(usize::from(length)));
        };
        name(witness, &mut out);
        out.extend(time.to_be_bytes());
        name(&self.origin, &mut out);
        out.extend(0_u64.to_be_bytes());
        out.extend(self.head.size.to_be_bytes());
        out.extend(self.head.root.as_bytes());
        out
    }
}

impl fmt::Display for Checkpoint {
    /// The text that is signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.head.size, write_hash(&self.head.root))
    }
}

/// What a witness signs with Ed25519.
#[must_use]
pub fn cosigned_text(checkpoint: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{checkpoint}")
}

pub(super) fn read_hash(line: &str) -> Option<Hash> {
    BASE64.decode(line).ok()?.try_into().ok().map(Hash::from_bytes)
}

pub(super) fn write_hash(hash: &Hash) -> String {
    BASE64.encode(hash.as_bytes())
}
