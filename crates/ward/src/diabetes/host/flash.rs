//! Flash in a file: a process that is killed comes back with what it had programmed.

use medlock_device::platform::{Flash, MappedFlash};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

const PAGE: usize = 4096;
const WORD: usize = 8;

/// Flash in a file, with a copy in memory to read from.
///
/// What is programmed goes to the file first, in one write: the end of the process loses nothing of it. The end of the
/// computer may, which is no concern of a demonstration.
#[derive(Debug)]
pub struct FileFlash {
    file: File,
    bytes: Vec<u8>,
}

impl FileFlash {
    /// Opens the file, or makes one of `pages` erased pages, for its owner only.
    ///
    /// # Errors
    /// If the file cannot be used or has another size.
    pub fn open(path: &Path, pages: usize) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let size = pages.saturating_mul(PAGE);
        let mut bytes = Vec::with_capacity(size);
        file.read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            bytes = vec![0xff; size];
            file.write_all_at(&bytes, 0)?;
        }
        if bytes.len() == size {
            Ok(Self { file, bytes })
        } else {
            Err(io::Error::other(format!("{} has {} bytes, not {size}", path.display(), bytes.len())))
        }
    }

    fn outside() -> io::Error {
        io::Error::from(io::ErrorKind::InvalidInput)
    }
}

impl Flash for FileFlash {
    type Error = io::Error;
    const PAGE: usize = PAGE;
    const WORD: usize = WORD;

    fn pages(&self) -> usize {
        self.bytes.len() / PAGE
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> io::Result<()> {
        let from = offset.checked_add(to.len()).and_then(|end| self.bytes.get(offset..end));
        to.copy_from_slice(from.ok_or_else(Self::outside)?);
        Ok(())
    }

    fn program(&mut self, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let end = offset.checked_add(bytes.len()).ok_or_else(Self::outside)?;
        let place = self.bytes.get_mut(offset..end).ok_or_else(Self::outside)?;
        if !offset.is_multiple_of(WORD) || !bytes.len().is_multiple_of(WORD) {
            return Err(Self::outside());
        }
        // Programming only clears bits.
        let programmed: Vec<u8> = place.iter().zip(bytes).map(|(old, new)| old & new).collect();
        self.file.write_all_at(&programmed, offset as u64)?;
        place.copy_from_slice(&programmed);
        Ok(())
    }

    fn erase(&mut self, page: usize) -> io::Result<()> {
        let start = page.checked_mul(PAGE).ok_or_else(Self::outside)?;
        let place = self.bytes.get_mut(start..).and_then(|rest| rest.get_mut(..PAGE)).ok_or_else(Self::outside)?;
        self.file.write_all_at(&[0xff; PAGE], start as u64)?;
        place.fill(0xff);
        Ok(())
    }
}

impl MappedFlash for FileFlash {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_behaves_as_flash_and_keeps_what_was_programmed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flash");
        let mut flash = FileFlash::open(&path, 3).unwrap();
        assert_eq!((flash.pages(), flash.bytes()[0]), (3, 0xff));
        flash.program(PAGE + 8, &[0x0f; 16]).unwrap();
        flash.program(PAGE + 16, &[0xf3; 8]).unwrap();
        for (offset, length) in [(1, 8), (8, 7), (3 * PAGE, 8), (3 * PAGE - 8, 16), (usize::MAX - 7, 8)] {
            assert!(flash.program(offset, &vec![0; length]).is_err(), "{offset} {length}");
        }
        assert!(flash.erase(3).is_err());
        drop(flash);
        let mut flash = FileFlash::open(&path, 3).unwrap();
        let mut seen = [0; 24];
        flash.read(PAGE, &mut seen).unwrap();
        assert_eq!(seen, [[0xff; 8], [0x0f; 8], [0x03; 8]].concat()[..]);
        flash.erase(1).unwrap();
        assert_eq!(FileFlash::open(&path, 3).unwrap().bytes(), [0xff; 3 * PAGE]);
        assert!(FileFlash::open(&path, 4).is_err());
    }
}
