//! Pointers from C, made into what Rust can hold. Null and misaligned ones are refused; that the others point to what the
//! header says is the caller's promise, and the reason of every `unsafe` here.

use crate::refused::Refused;
use core::ffi::c_char;
use core::slice;

/// What lies at `from`.
///
/// # Safety
/// If `from` is not null, a whole `T` lies there.
pub(crate) unsafe fn read<T: Copy>(from: *const T) -> Result<T, Refused> {
    usable(from)?;
    // SAFETY: neither null nor misaligned, and the caller says that a `T` lies there.
    Ok(unsafe { from.read() })
}

/// Writes to `to`, whatever was there.
///
/// # Safety
/// If `to` is not null, there is room for a `T`, and nobody else uses it now.
pub(crate) unsafe fn write<T: Copy>(to: *mut T, value: T) -> Result<(), Refused> {
    usable(to)?;
    // SAFETY: neither null nor misaligned, and the caller says that there is room.
    unsafe { to.write(value) };
    Ok(())
}

/// Whether [`read`] and [`write`] could be done there: asked before something is done whose result would be lost.
pub(crate) fn usable<T>(to: *const T) -> Result<(), Refused> {
    if to.is_null() || !to.is_aligned() { Err(Refused::NULL) } else { Ok(()) }
}

/// The same for a pointer that may be null: nothing is written then.
pub(crate) fn usable_or_null<T>(to: *const T) -> Result<(), Refused> {
    if to.is_null() { Ok(()) } else { usable(to) }
}

/// `length` bytes at `from`. None may lie anywhere.
///
/// # Safety
/// If `from` is not null, so many bytes lie there, and nobody changes them during `'a`.
pub(crate) unsafe fn bytes<'a>(from: *const u8, length: usize) -> Result<&'a [u8], Refused> {
    if length == 0 {
        return Ok(&[]);
    }
    possible(from, length)?;
    // SAFETY: not null, not longer than an object can be, and the caller says that the bytes are there.
    Ok(unsafe { slice::from_raw_parts(from, length) })
}

/// `N` bytes at `from`, copied.
///
/// # Safety
/// As [`read`].
pub(crate) unsafe fn array<const N: usize>(from: *const u8) -> Result<[u8; N], Refused> {
    // SAFETY: what the caller says of so many bytes it says of an array of them, which needs no alignment.
    unsafe { read(from.cast()) }
}

/// Writes an array to `to`.
///
/// # Safety
/// As [`write`].
pub(crate) unsafe fn write_array<const N: usize>(to: *mut u8, value: [u8; N]) -> Result<(), Refused> {
    // SAFETY: what the caller says of so many bytes it says of an array of them, which needs no alignment.
    unsafe { write(to.cast(), value) }
}

/// `length` bytes at `to`, that may be changed, with what is in them.
///
/// # Safety
/// If `to` is not null, so many bytes lie there, and nobody else uses them during `'a`.
pub(crate) unsafe fn bytes_mut<'a>(to: *mut u8, length: usize) -> Result<&'a mut [u8], Refused> {
    if length == 0 {
        return Ok(&mut []);
    }
    possible(to, length)?;
    // SAFETY: not null, not longer than an object can be, and the caller says that the bytes are there and ours.
    Ok(unsafe { slice::from_raw_parts_mut(to, length) })
}

/// Room for `length` bytes at `to`, zeros from now on: C may give what it never wrote to.
///
/// # Safety
/// If `to` is not null, there is so much room, and nobody else uses it during `'a`.
pub(crate) unsafe fn room<'a>(to: *mut u8, length: usize) -> Result<&'a mut [u8], Refused> {
    if length > 0 {
        possible(to, length)?;
        // SAFETY: not null, and the caller says that there is so much room.
        unsafe { to.write_bytes(0, length) };
    }
    // SAFETY: as the caller says; every byte was written above.
    unsafe { bytes_mut(to, length) }
}

/// The text at `from` up to its zero byte, at most `MAX` bytes.
///
/// # Safety
/// If `from` is not null, a zero byte comes within `MAX` + 1 bytes, or so many are there.
pub(crate) unsafe fn text<'a, const MAX: usize>(from: *const c_char) -> Result<&'a str, Refused> {
    if from.is_null() {
        return Err(Refused::NULL);
    }
    let from = from.cast::<u8>();
    let mut length = 0;
    // SAFETY: all bytes before this one were read and are not zero, so this one is there, as the caller says.
    while unsafe { from.wrapping_add(length).read() } != 0 {
        if length >= MAX {
            return Err(Refused::VALUE);
        }
        length = length.saturating_add(1);
    }
    // SAFETY: so many bytes were read just now.
    let bytes = unsafe { bytes(from, length) }?;
    core::str::from_utf8(bytes).map_err(|_| Refused::VALUE)
}

fn possible(at: *const u8, length: usize) -> Result<(), Refused> {
    if at.is_null() {
        return Err(Refused::NULL);
    }
    if isize::try_from(length).is_ok() { Ok(()) } else { Err(Refused::VALUE) }
}
