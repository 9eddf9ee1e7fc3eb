//! Proofs that lie beside a credential and are checked offline (C2SP tlog-proof): files that end in `.tlog-proof`.

use super::checkpoint::{Checkpoint, Cosigned, read_hash, write_hash};
use super::note::{NoteError, VerifierKey};
use crate::provider::AwsLc;
use medlock_trust::log::{Hash, MAX_PROOF};
use std::fmt::Write as _;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// That an entry is in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof<'a> {
    /// The entry's number, from 0.
    pub index: u64,
    /// The inclusion proof: hashes from the entry upwards.
    pub path: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: &'a [u8],
}

impl<'a> Proof<'a> {
    /// Reads a proof, without believing it. Its `extra` line, which nobody signs, is passed over.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed;
        let end = bytes.windows(2).position(|pair| pair == b"\n\n").ok_or(malformed("there is no empty line"))?;
        let (head, checkpoint) = (bytes.get(..end).unwrap_or_default(), bytes.get(end + 2..).unwrap_or_default());
        let head = std::str::from_utf8(head).map_err(|_| malformed("it is not UTF-8 text"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(malformed("its first line is not that of a tlog-proof, version 1"));
        }
        let _extra = lines.next_if(|line| line.starts_with("extra "));
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(|text| {
            let number = text.parse::<u64>().ok()?;
            (number.to_string() == text).then_some(number)
        });
        let index = index.ok_or(malformed("it does not say which entry it is about"))?;
        let mut path = Vec::new();
        for line in lines {
            if path.len() == MAX_PROOF {
                return Err(malformed("it has more hashes than a tree is high"));
            }
            path.push(read_hash(line).ok_or(malformed("a line is not a hash"))?);
        }
        Ok(Self { index, path, checkpoint })
    }

    /// Believes the proof that `entry` is in the log whose key is `log`, and says who witnessed it.
    ///
    /// # Errors
    /// [`NoteError`]; [`NoteError::OtherEntry`] when the hashes do not lead from the entry to the root that was signed.
    pub fn verify<'k>(
        &self,
        entry: Hash,
        log: &VerifierKey,
        witnesses: &'k [VerifierKey],
    ) -> Result<Cosigned<'k>, NoteError> {
        let cosigned = Checkpoint::verify(self.checkpoint, log, witnesses)?;
        if !cosigned.checkpoint.head.includes(entry, self.index, &self.path, &AwsLc) {
            return Err(NoteError::OtherEntry);
        }
        Ok(cosigned)
    }

    /// Writes the proof.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut head = format!("{FIRST_LINE}\nindex {}\n", self.index);
        for hash in &self.path {
            // Writing into a string does not fail.
            let _ = writeln!(head, "{}", write_hash(hash));
        }
        head.push('\n');
        [head.as_bytes(), self.checkpoint].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::note::KeyKind;
    use crate::log::tree::{Edge, Tiles, inclusion};
    use crate::log::{Tile, note};
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use aws_lc_rs::signature::{ML_DSA_44_SIGNING, PqdsaKeyPair};
    use medlock_trust::log::TreeHead;

    const LOG: &str = "hospital.example/log";
    const WITNESS: &str = "witness.example/w1";

    /// Entries 0 to 8 in one tile.
    struct Small(Vec<Hash>);

    impl Tiles for Small {
        type Error = std::convert::Infallible;

        fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Self::Error> {
            Ok(self.0[..usize::from(tile.width)].to_vec())
        }
    }

    fn entries() -> Vec<Hash> {
        (0..9_u8).map(|number| Hash::of_entry(&[[number].as_slice()], &AwsLc)).collect()
    }

    fn head() -> TreeHead {
        let mut edge = Edge::default();
        entries().into_iter().for_each(|entry| edge.append(entry, &mut |_, _| {}));
        edge.head()
    }

    struct Keys {
        log: VerifierKey,
        witnesses: Vec<VerifierKey>,
        note: String,
    }

    /// A checkpoint signed by a log and by two witnesses, one for each algorithm.
    fn signed() -> Keys {
        let (own, old, new) = (
            Ed25519KeyPair::generate().unwrap(),
            Ed25519KeyPair::generate().unwrap(),
            PqdsaKeyPair::generate(&ML_DSA_44_SIGNING).unwrap(),
        );
        let checkpoint = Checkpoint { origin: LOG.to_owned(), head: head() };
        let text = checkpoint.to_string();
        let log = VerifierKey::new(LOG, KeyKind::Ed25519, own.public_key().as_ref()).unwrap();
        let by_old = VerifierKey::new(WITNESS, KeyKind::CosignatureEd25519, old.public_key().as_ref()).unwrap();
        let by_new = VerifierKey::new(WITNESS, KeyKind::CosignatureMlDsa44, new.public_key().as_ref()).unwrap();
        let time = 1_790_000_000_u64;
        let message = super::super::checkpoint::cosigned_text(&text, time);
        let first = [&time.to_be_bytes(), old.sign(message.as_bytes()).as_ref()].concat();
        let mut second = vec![0; ML_DSA_44_SIGNING.signature_len()];
        new.sign(&checkpoint.cosigned_structure(WITNESS, time), &mut second).unwrap();
        let second = [time.to_be_bytes().as_slice(), &second].concat();
        let note = format!(
            "{text}\n{}\n{}\n{}\n",
            log.line(own.sign(text.as_bytes()).as_ref().to_vec()),
            by_old.line(first),
            by_new.line(second)
        );
        Keys { log, witnesses: vec![by_old, by_new], note }
    }

    #[test]
    fn a_proof_is_believed_with_its_log_and_its_witnesses() {
        let Keys { log, witnesses, note } = signed();
        let path = inclusion(5, 9, &Small(entries())).unwrap();
        let bytes = Proof { index: 5, path, checkpoint: note.as_bytes() }.write();
        let proof = Proof::read(&bytes).unwrap();
        let cosigned = proof.verify(entries()[5], &log, &witnesses).unwrap();
        assert_eq!((cosigned.checkpoint.head, cosigned.witnesses.len()), (head(), 2));
        assert_eq!(proof.verify(entries()[5], &log, &[]).unwrap().witnesses, []);
        assert!(proof.verify(entries()[4], &log, &[]).is_err(), "another entry");
        let stranger = signed().log;
        assert_eq!(proof.verify(entries()[5], &stranger, &[]), Err(NoteError::Unsigned));
        let other = VerifierKey::new("another.example", KeyKind::Ed25519, log.key()).unwrap();
        assert_eq!(proof.verify(entries()[5], &other, &[]), Err(NoteError::Unsigned));
    }

    #[test]
    fn a_cosignature_is_for_its_time_and_its_tree() {
        let Keys { log, witnesses, note } = signed();
        for key in &witnesses {
            let line = note::Note::read(note.as_bytes()).unwrap();
            let line = line.signatures().find(|line| line.key == key.id()).unwrap();
            let mut later = line.clone();
            later.signature[7] ^= 1;
            let forged = note.replace(&line.to_string(), &later.to_string());
            assert_eq!(
                Checkpoint::verify(forged.as_bytes(), &log, &witnesses),
                Err(NoteError::Forged(WITNESS.to_owned()))
            );
        }
    }

    #[test]
    fn what_is_not_a_proof_is_refused() {
        let Keys { note, .. } = signed();
        let good = String::from_utf8(Proof { index: 5, path: entries(), checkpoint: note.as_bytes() }.write()).unwrap();
        assert!(Proof::read(good.replacen("index", "extra AAAA\nindex", 1).as_bytes()).is_ok());
        for (from, to) in [("@v1", "@v2"), ("index 5", "index 05"), ("index 5", "index"), ("=\n", "\n"), ("\n\n", "\n")]
        {
            assert!(
                Proof::read(good.replacen(from, to, 1).replace("\n\n\u{2014}", "\n\u{2014}").as_bytes()).is_err(),
                "{from}"
            );
        }
        let many = Proof { index: 0, path: vec![entries()[0]; MAX_PROOF + 1], checkpoint: note.as_bytes() }.write();
        assert!(Proof::read(&many).is_err());
    }
}
