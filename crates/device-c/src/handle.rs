//! The memory of a device, which is C's, and how a call gets at what lies in it.

use crate::acts::Acts;
use crate::numbers;
use crate::platform::C;
use crate::records::Platform;
use crate::refused::Refused;
use core::mem::MaybeUninit;
use core::ptr::{addr_of, addr_of_mut};
use core::slice;
use medlock_device::{Device, Memory};

/// The device as this library has it: its sizes are the header's.
pub(crate) type Sdk = Device<
    'static,
    C,
    { numbers::SESSIONS as usize },
    { numbers::EXCHANGES as usize },
    { numbers::MESSAGE_BYTES as usize },
>;

/// What of it is large: in C's memory from the start, and never on the stack.
pub(crate) type Large =
    Memory<{ numbers::SESSIONS as usize }, { numbers::EXCHANGES as usize }, { numbers::MESSAGE_BYTES as usize }>;

/// What C has a pointer to. Only `inside` is ever borrowed for changing, so that what it refers to beside itself stays
/// valid; the rest is reached by raw pointers.
#[repr(C)]
pub struct Handle {
    state: u32,
    platform: Platform,
    birth: [&'static [u8]; BIRTH],
    large: MaybeUninit<Large>,
    inside: MaybeUninit<Inside>,
}

/// A device, and the acts C was told of.
pub(crate) struct Inside {
    pub(crate) sdk: Sdk,
    pub(crate) acts: Acts,
}

/// The birth credential's certificates.
pub(crate) const BIRTH: usize = numbers::CHAIN as usize;

/// What C says it has is enough, here as on smaller processors.
const _: () = assert!(size_of::<Handle>() <= numbers::DEVICE_BYTES as usize && align_of::<Handle>() <= 8);

/// Marks of memory: no memory has them by chance.
const STARTED: u32 = 0x4d4c_5601;
const INSIDE: u32 = 0x4d4c_5602;
const STOPPED: u32 = 0x4d4c_5603;

/// Makes a handle of C's memory; `make` makes the device with the platform and the birth credential, at their last place.
///
/// # Safety
/// If `memory` is not null, `length` bytes lie there that nobody else uses until the device is stopped.
pub(crate) unsafe fn start(
    memory: *mut u8,
    length: usize,
    platform: Platform,
    birth: ([&'static [u8]; BIRTH], usize),
    make: impl FnOnce(&'static Platform, &'static [&'static [u8]], &'static mut Large) -> Result<Sdk, Refused>,
) -> Result<*mut Handle, Refused> {
    if memory.is_null() {
        return Err(Refused::NULL);
    }
    let handle = memory.cast::<Handle>();
    if length < size_of::<Handle>() || !handle.is_aligned() {
        return Err(Refused(numbers::ERROR_MEMORY));
    }
    let (birth, count) = birth;
    // SAFETY: the memory is there, large enough and aligned. The references are to fields that nobody else touches while the
    // device lives, and no reference to the whole handle is ever made.
    let (platform, birth, large) = unsafe {
        addr_of_mut!((*handle).state).write(INSIDE);
        addr_of_mut!((*handle).platform).write(platform);
        addr_of_mut!((*handle).birth).write(birth);
        addr_of_mut!((*handle).large).write(MaybeUninit::new(Large::new()));
        let birth = slice::from_raw_parts(addr_of!((*handle).birth).cast(), count.min(BIRTH));
        (&*addr_of!((*handle).platform), birth, (*addr_of_mut!((*handle).large)).assume_init_mut())
    };
    match make(platform, birth, large) {
        // SAFETY: as above.
        Ok(sdk) => unsafe {
            addr_of_mut!((*handle).inside).write(MaybeUninit::new(Inside { sdk, acts: Acts::new() }));
            addr_of_mut!((*handle).state).write(STARTED);
        },
        Err(why) => {
            // SAFETY: as above.
            unsafe { addr_of_mut!((*handle).state).write(STOPPED) };
            return Err(why);
        }
    }
    Ok(handle)
}

/// Does something with the device. A call from inside another, as a function of the platform may try, is refused: it would
/// change what the outer one holds.
///
/// # Safety
/// If `handle` is not null, it is what [`start`] gave, or memory of such a size; no other thread uses it.
pub(crate) unsafe fn enter<R>(
    handle: *mut Handle,
    body: impl FnOnce(&mut Inside) -> Result<R, Refused>,
) -> Result<R, Refused> {
    // SAFETY: as the caller says.
    unsafe { check(handle) }?;
    // SAFETY: the state says that the device is there and that nobody else borrows it.
    let inside = unsafe {
        addr_of_mut!((*handle).state).write(INSIDE);
        (*addr_of_mut!((*handle).inside)).assume_init_mut()
    };
    let done = body(inside);
    // SAFETY: as above; what was borrowed is given back.
    unsafe { addr_of_mut!((*handle).state).write(STARTED) };
    done
}

/// Ends a device: keys of its sessions are erased.
///
/// # Safety
/// As [`enter`].
pub(crate) unsafe fn stop(handle: *mut Handle) -> Result<(), Refused> {
    // SAFETY: as the caller says.
    unsafe { check(handle) }?;
    // SAFETY: the state says that the device is there and that nobody else borrows it; it is not touched again.
    unsafe {
        addr_of_mut!((*handle).state).write(STOPPED);
        let Inside { sdk, .. } = (*addr_of!((*handle).inside)).assume_init_read();
        drop(sdk.stop());
    }
    Ok(())
}

unsafe fn check(handle: *mut Handle) -> Result<(), Refused> {
    if handle.is_null() || !handle.is_aligned() {
        return Err(Refused::NULL);
    }
    // SAFETY: neither null nor misaligned, and the caller says that so much memory is there.
    match unsafe { addr_of!((*handle).state).read() } {
        STARTED => Ok(()),
        INSIDE => Err(Refused(numbers::ERROR_INSIDE)),
        _ => Err(Refused(numbers::ERROR_STOPPED)),
    }
}
