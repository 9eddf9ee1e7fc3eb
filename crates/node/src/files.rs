//! Files that are either wholly there or not at all, whenever the power fails.

use crate::Error;
use rustix::fs::FallocateFlags;
use std::fs::{self, DirBuilder, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

/// The most bytes a file of ours may have before it is refused as damaged.
pub const LARGEST_FILE: u64 = 64 << 20;

/// How the names of files begin that are not whole yet.
const NEW: &str = ".new-";

/// Makes `directory` and its parents, readable by this user only.
///
/// # Errors
/// [`Error::File`].
pub fn private_directory(directory: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(Error::file("make the directory", directory))
}

/// Replaces the file at `path` by one with `content`, durably: when this returns, a crash can no longer undo it, and at
/// every moment the file is either the old or the new one. The file is readable by this user only (0600).
///
/// # Errors
/// [`Error::File`].
pub fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    write(path, content, true)
}

/// As [`replace`], without waiting for the disk: a loss of power may bring the old file back.
///
/// # Errors
/// [`Error::File`].
pub fn replace_lazily(path: &Path, content: &[u8]) -> Result<(), Error> {
    write(path, content, false)
}

fn write(path: &Path, content: &[u8], durably: bool) -> Result<(), Error> {
    // A bare name has an empty parent.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        // `tempfile` creates with 0600 and removes the file if we stop half-way.
        let mut file = tempfile::Builder::new().prefix(NEW).tempfile_in(directory)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(content)?;
        if durably {
            file.as_file().sync_all()?;
        }
        file.persist(path).map_err(|error| error.error)?;
        if durably { File::open(directory)?.sync_all() } else { Ok(()) }
    };
    write().map_err(Error::file("write", path))
}

/// Makes a file at `path` that takes `length` bytes of the disk and holds nothing: who removes it has so much room.
///
/// # Errors
/// [`Error::File`] when there is no such room; then there is no file.
pub fn reserve(path: &Path, length: u64) -> Result<(), Error> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let reserve = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(NEW).tempfile_in(directory)?;
        match rustix::fs::fallocate(file.as_file(), FallocateFlags::empty(), 0, length) {
            // Not every file system gives room in advance.
            Err(rustix::io::Errno::OPNOTSUPP) => {
                std::io::copy(&mut std::io::repeat(b'x').take(length), &mut file)?;
                file.as_file().sync_all()?;
            }
            other => other?,
        }
        file.persist(path).map(drop).map_err(|error| error.error)
    };
    reserve().map_err(Error::file("reserve", path))
}

/// How many bytes this user may still write to the disk of `directory`.
///
/// # Errors
/// [`Error::File`].
pub fn free(directory: &Path) -> Result<u64, Error> {
    let disk = rustix::fs::statvfs(directory).map_err(std::io::Error::from);
    let disk = disk.map_err(Error::file("look for room in", directory))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Removes what a kill in the middle of [`replace`] left in `directory`. To be called before others write there.
///
/// # Errors
/// [`Error::File`].
pub fn sweep(directory: &Path) -> Result<(), Error> {
    let entries = fs::read_dir(directory).map_err(Error::file("list", directory))?;
    for entry in entries {
        let entry = entry.map_err(Error::file("list", directory))?;
        if entry.file_name().as_encoded_bytes().starts_with(NEW.as_bytes()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes the file at `path` durably; it is no error if there is none.
///
/// # Errors
/// [`Error::File`].
pub fn remove(path: &Path) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(Path::new("."));
    match fs::remove_file(path).and_then(|()| File::open(directory)?.sync_all()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The content of the file at `path`, or `None` if there is no such file.
///
/// # Errors
/// [`Error::File`]; [`Error::Damaged`] if it is larger than [`LARGEST_FILE`].
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(Error::file("open", path))?,
    };
    let mut content = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut content).map_err(Error::file("read", path))?;
    if content.len() as u64 > LARGEST_FILE {
        return Err(Error::Damaged {
            path: path.to_owned(),
            what: format!("it is larger than {LARGEST_FILE} bytes"),
            remedy: "move it away and start again",
        });
    }
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_files_are_private_and_leave_no_rest() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let inner = directory.path().join("a/b");
        private_directory(&inner).expect("make");
        assert_eq!(fs::metadata(&inner).expect("metadata").permissions().mode() & 0o777, 0o700);
        let path = inner.join("x");
        assert_eq!(read(&path).expect("read"), None);
        replace(&path, b"one").expect("write");
        replace(&path, b"two").expect("write");
        assert_eq!(read(&path).expect("read").as_deref(), Some(&b"two"[..]));
        assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&inner).expect("list").count(), 1);
        fs::write(inner.join(".new-kill"), "half").expect("write");
        sweep(&inner).expect("swept");
        assert_eq!(fs::read_dir(&inner).expect("list").count(), 1);
        remove(&path).expect("remove");
        remove(&path).expect("remove what is not there");
        assert_eq!(read(&path).expect("read"), None);
    }

    #[test]
    fn unreadable_file_is_named() {
        let error = read(Path::new("/proc/self/mem/none")).expect_err("not a directory");
        assert!(error.to_string().contains("/proc/self/mem/none"), "{error}");
    }
}
