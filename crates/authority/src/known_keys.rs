//! Keys whose private halves others know: a list that comes with the program, and the operator's own.

use crate::Error;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// The operator's list in an authority's folder: a line for each key, SHA-256 of its `SubjectPublicKeyInfo` in
/// hexadecimal, and behind a space, if one likes, where it was found. Lines that begin with `#` say nothing.
const FILE: &str = "blocked-keys";
/// The keys of standards and test suites.
const PUBLISHED: &str = include_str!("known_keys.txt");

/// Keys whose private halves others know.
#[derive(Debug)]
pub(crate) struct KnownKeys {
    published: Keys,
    path: PathBuf,
    own: Mutex<Own>,
}

type Keys = HashMap<[u8; 32], String>;

/// The operator's list as it was read.
#[derive(Debug, Default)]
struct Own {
    /// When the file was changed, and its length; `None` while there is none.
    stamp: Option<(SystemTime, u64)>,
    keys: Keys,
}

impl KnownKeys {
    /// The published keys, and those in the authority's folder.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the line that cannot be read; [`Error::File`].
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let published = read(Path::new("known_keys.txt"), PUBLISHED)?;
        let known = Self { published, path: dir.join(FILE), own: Mutex::default() };
        known.refresh(&mut known.own.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(known)
    }

    /// Where the private half of the key with this fingerprint was found, if it was. A file that was changed is read
    /// again.
    ///
    /// # Errors
    /// As [`KnownKeys::open`]: nothing is issued while the operator's list cannot be read.
    pub(crate) fn who_knows(&self, fingerprint: &[u8; 32]) -> Result<Option<String>, Error> {
        if let Some(source) = self.published.get(fingerprint) {
            return Ok(Some(format!("published in {source}")));
        }
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut own)?;
        let told = |source: &String| if source.is_empty() { FILE.to_owned() } else { format!("{FILE}: {source}") };
        Ok(own.keys.get(fingerprint).map(told))
    }

    fn refresh(&self, own: &mut Own) -> Result<(), Error> {
        let stamp = match std::fs::metadata(&self.path) {
            Ok(found) => Some((found.modified().map_err(|error| Error::file(&self.path, error))?, found.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::file(&self.path, error)),
        };
        if stamp != own.stamp {
            let text = match stamp {
                Some(_) => std::fs::read_to_string(&self.path).map_err(|error| Error::file(&self.path, error))?,
                None => String::new(),
            };
            *own = Own { stamp, keys: read(&self.path, &text)? };
        }
        Ok(())
    }
}

fn read(path: &Path, text: &str) -> Result<Keys, Error> {
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let keys = lines.map(|(number, line)| {
        let (key, source) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let key = data_encoding::HEXLOWER_PERMISSIVE.decode(key.as_bytes()).ok();
        let key = key.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
            let what = format!("{}, line {}", path.display(), number + 1);
            Error::invalid(what, "it does not begin with 64 hexadecimal digits: SHA-256 of a SubjectPublicKeyInfo")
        })?;
        Ok((key, source.trim().to_owned()))
    });
    keys.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-PROV-03.
    #[test]
    fn the_operators_list_counts_from_the_moment_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let known = KnownKeys::open(dir.path()).unwrap();
        let key = [0xab; 32];
        assert_eq!(known.who_knows(&key).unwrap(), None);
        let line = format!("# ours\n\n{}  found in a firmware image\n", "AB".repeat(32));
        std::fs::write(dir.path().join(FILE), line).unwrap();
        assert_eq!(known.who_knows(&key).unwrap().as_deref(), Some("blocked-keys: found in a firmware image"));
        std::fs::write(dir.path().join(FILE), "# none\nabcd\n").unwrap();
        let error = known.who_knows(&key).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("64 hexadecimal digits"), "{error}");
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        assert_eq!(known.who_knows(&key).unwrap(), None);
    }
}
