//! The controller's side of sealed commands.

use crate::convert::{self, peer};
use crate::handle::{Handle, enter};
use crate::numbers;
use crate::pointers::{array, bytes_mut, read, room, usable, write};
use crate::records;
use crate::refused::{Refused, answer};
use core::mem::MaybeUninit;
use core::ptr::{addr_of, addr_of_mut};
use medlock_proto::reading::Evidence;
use medlock_proto::sealed::{Commander, Memory, Order, Standing, Told};
use medlock_rustcrypto::RustCrypto;

/// What C has a pointer to.
#[derive(Debug)]
#[repr(C)]
pub struct CommanderHandle {
    state: u32,
    commander: MaybeUninit<Commander>,
}

const _: () =
    assert!(size_of::<CommanderHandle>() <= numbers::COMMANDER_BYTES as usize && align_of::<CommanderHandle>() <= 8);

const STARTED: u32 = 0x4d4c_4301;
const STOPPED: u32 = 0x4d4c_4302;

/// Bytes of a commander's memory.
#[unsafe(no_mangle)]
pub const extern "C" fn medlock_commander_size() -> usize {
    size_of::<CommanderHandle>()
}

/// What the address of a commander's memory is a multiple of.
#[unsafe(no_mangle)]
pub const extern "C" fn medlock_commander_alignment() -> usize {
    align_of::<CommanderHandle>()
}

/// Makes the controller's end of the sealed commands of a session.
///
/// # Safety
/// Pointers as the header says; the memory stays until the commander is stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_commander_start(
    memory: *mut u8,
    memory_length: usize,
    device: *mut Handle,
    session: u32,
    epoch: u64,
    remembered: *const records::Memory,
    commander: *mut *mut CommanderHandle,
) -> i32 {
    let handle = memory.cast::<CommanderHandle>();
    let make = || {
        if memory.is_null() {
            return Err(Refused::NULL);
        }
        if memory_length < size_of::<CommanderHandle>() || !handle.is_aligned() {
            return Err(Refused(numbers::ERROR_MEMORY));
        }
        // SAFETY: as the header says of each of these pointers; the memory is large enough and aligned.
        unsafe {
            write(commander, core::ptr::null_mut())?;
            let records::Memory { next, unknown, bolus } = read(remembered)?;
            // Numbers begin with one: zero stands for none.
            let some = |counter| (counter != 0).then_some(counter);
            let remembered = Memory { next, unknown: some(unknown), bolus: some(bolus) };
            let made = enter(device, |inside| {
                let session = peer(session)?;
                inside.sdk.identified(session).ok_or(Refused::CLOSED)?;
                inside.sdk.commander(session, epoch, remembered).ok_or(Refused(numbers::ERROR_USED_UP))
            })?;
            addr_of_mut!((*handle).commander).write(MaybeUninit::new(made));
            addr_of_mut!((*handle).state).write(STARTED);
            write(commander, handle)
        }
    };
    answer(make())
}

/// Ends a commander.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_commander_stop(commander: *mut CommanderHandle) -> i32 {
    // SAFETY: as the header says; what is dropped is not touched again.
    answer(unsafe {
        with(commander, |_| Ok(())).map(|()| {
            addr_of_mut!((*commander).state).write(STOPPED);
            (*addr_of_mut!((*commander).commander)).assume_init_drop();
        })
    })
}

/// What must be remembered from now on.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_commander_memory(
    commander: *mut CommanderHandle,
    memory: *mut records::Memory,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        with(commander, |commander| {
            let Memory { next, unknown, bolus } = commander.memory();
            write(memory, records::Memory { next, unknown: unknown.unwrap_or(0), bolus: bolus.unwrap_or(0) })
        })
    })
}

/// Seals a request for a challenge.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_commander_ask_challenge(
    commander: *mut CommanderHandle,
    buffer: *mut u8,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        with(commander, |commander| {
            write(length, 0)?;
            let sealed = commander.ask_challenge(sealed_room(buffer, capacity)?, &RustCrypto)?;
            write(length, sealed.len())
        })
    })
}

/// Seals a command.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_commander_command(
    commander: *mut CommanderHandle,
    action: *const records::Action,
    evidence: *const u8,
    buffer: *mut u8,
    capacity: usize,
    length: *mut usize,
    counter: *mut u64,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        with(commander, |commander| {
            let action = convert::action(&read(action)?)?;
            let evidence = if evidence.is_null() { None } else { Some(Evidence::from_bytes(array(evidence)?)) };
            write(length, 0)?;
            write(counter, 0)?;
            let order = Order { action, evidence };
            let (number, sealed) = commander.command(order, sealed_room(buffer, capacity)?, &RustCrypto)?;
            write(length, sealed.len())?;
            write(counter, number)
        })
    })
}

/// Seals a command that waits once more.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_commander_again(
    commander: *mut CommanderHandle,
    counter: u64,
    buffer: *mut u8,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        with(commander, |commander| {
            write(length, 0)?;
            let sealed = commander.again(counter, sealed_room(buffer, capacity)?, &RustCrypto)?;
            write(length, sealed.ok_or(Refused::CLOSED)?.len())
        })
    })
}

/// Seals a question about a command.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_commander_ask_receipt(
    commander: *mut CommanderHandle,
    counter: u64,
    buffer: *mut u8,
    capacity: usize,
    length: *mut usize,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        with(commander, |commander| {
            write(length, 0)?;
            let sealed = commander.ask_receipt(counter, sealed_room(buffer, capacity)?, &RustCrypto)?;
            write(length, sealed.len())
        })
    })
}

/// Opens what the device sent.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_commander_open(
    commander: *mut CommanderHandle,
    message: *mut u8,
    length: usize,
    told: *mut records::Told,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        with(commander, |commander| {
            usable(told)?;
            let opened = commander.open(bytes_mut(message, length)?, &RustCrypto)?;
            write(told, record(&opened))
        })
    })
}

unsafe fn with<R>(
    handle: *mut CommanderHandle,
    body: impl FnOnce(&mut Commander) -> Result<R, Refused>,
) -> Result<R, Refused> {
    if handle.is_null() || !handle.is_aligned() {
        return Err(Refused::NULL);
    }
    // SAFETY: neither null nor misaligned, and the caller says that so much memory is there.
    if unsafe { addr_of!((*handle).state).read() } != STARTED {
        return Err(Refused(numbers::ERROR_STOPPED));
    }
    // SAFETY: the state says that the commander is there; it calls nothing of C's, so that no other call borrows it.
    body(unsafe { (*addr_of_mut!((*handle).commander)).assume_init_mut() })
}

/// Room for a sealed message, or nothing is sealed and no number used up.
///
/// # Safety
/// As [`room`].
unsafe fn sealed_room<'a>(buffer: *mut u8, capacity: usize) -> Result<&'a mut [u8], Refused> {
    if capacity < numbers::SEALED_BYTES as usize {
        return Err(Refused(numbers::ERROR_TOO_LONG));
    }
    // SAFETY: as the caller says.
    unsafe { room(buffer, capacity) }
}

fn record(told: &Told) -> records::Told {
    let none = records::Receipt { counter: 0, outcome: 0, code: 0, mark: 0, milliunits: 0 };
    match told {
        Told::Ready(Standing { state, floor, bolus }) => records::Told {
            kind: numbers::TOLD_READY,
            state: state.0,
            floor: *floor,
            receipt: bolus.as_ref().map_or(none, convert::receipt),
        },
        Told::Receipt(receipt) => {
            records::Told { kind: numbers::TOLD_RECEIPT, state: 0, floor: 0, receipt: convert::receipt(receipt) }
        }
    }
}
