//! The pump on its board: datagrams come and go over the serial line, and what they cost goes with the answers.
//!
//! | module | what is there |
//! | --- | --- |
//! | `board` | serial line, counter of instructions, stack |
//! | `flash`, `provision` | what a real device has in flash |
//! | `memory` | what the compiler calls to copy and fill memory |
//! | `pump` | the application |
//!
//! A frame is its length in two bytes and as many bytes. To the pump: a byte that says what it is, and the content.
//! From the pump: instructions, instructions of the sealed message in it, peak of the stack, stack of what is not
//! measured, all in four bytes, and the answer. Numbers are little-endian. The answer to being provisioned tells the
//! instructions of a loop of three million.
#![no_std]
#![no_main]

mod board;
mod flash;
mod memory;
mod provision;
mod pump;

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::panic::PanicInfo;

use flash::SimulatedFlash;
use provision::Provision;
use pump::Pump;

/// The longest datagram, and the frame around it.
const DATAGRAM: usize = 640;
const SCRATCH: usize = 512;
const ANSWER: usize = 320;

/// What is sent to the pump.
const PROVISION: u8 = 0;
const DATAGRAM_TO_PUMP: u8 = 1;

/// Memory of the program's whole life.
struct Memory {
    pump: Pump,
    datagram: [u8; DATAGRAM],
    scratch: [u8; SCRATCH],
    answer: [u8; ANSWER],
}

/// What a real device has in flash.
struct InFlash {
    provision: Provision,
    journal: SimulatedFlash,
}

/// A place that only `main` uses, and only once.
struct Once<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: there is one core, no interrupt handler of ours, and `main` alone takes what is inside.
unsafe impl<T> Sync for Once<T> {}

// Written before it is read: what starts as zeros needs no place in the image.
static MEMORY: Once<Memory> = Once(UnsafeCell::new(MaybeUninit::zeroed()));
/// Found by its name: it is not counted as memory.
#[unsafe(no_mangle)]
static MEDLOCK_SIMULATED_FLASH: Once<InFlash> = Once(UnsafeCell::new(MaybeUninit::zeroed()));

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let (memory, in_flash) = switched_on();
    board::start();
    loop {
        serve(memory, in_flash);
    }
}

/// Memory as it is when power comes. On its own: what it needs of the stack is free again afterwards.
#[inline(never)]
fn switched_on() -> (&'static mut Memory, &'static mut InFlash) {
    // SAFETY: the only use of both, and `main` calls this once. Zeros are what all of it starts as but for the pump,
    // which is written here and has no destructor to run.
    unsafe {
        let (memory, in_flash) = (&mut *MEMORY.0.get(), &mut *MEDLOCK_SIMULATED_FLASH.0.get());
        core::ptr::addr_of_mut!((*memory.as_mut_ptr()).pump).write(Pump::new());
        (memory.assume_init_mut(), in_flash.assume_init_mut())
    }
}

/// Receives a frame, measures what it takes to answer it, answers.
#[inline(never)]
fn serve(memory: &mut Memory, in_flash: &mut InFlash) {
    let length = usize::from(u16::from_le_bytes([board::receive(), board::receive()]));
    let kind = board::receive();
    let length = length.saturating_sub(1);
    if kind == PROVISION {
        // Longer than a datagram: it goes where it is not needed otherwise.
        let taken = provision(memory, in_flash, length);
        let before = board::ticks();
        board::spin(1_000_000);
        return reply(board::instructions_since(before), 0, 0, 0, if taken.is_some() { &[1] } else { &[] });
    }
    for at in 0..length {
        let byte = board::receive();
        if let Some(place) = memory.datagram.get_mut(at) {
            *place = byte;
        }
    }
    let Some(datagram) = memory.datagram.get_mut(..length).filter(|_| kind == DATAGRAM_TO_PUMP) else {
        return reply(0, 0, 0, 0, &[]);
    };
    memory.pump.sealed_instructions = 0;
    let outside = board::stack_now();
    board::paint_stack();
    let before = board::ticks();
    let answer = memory.pump.answer(
        &in_flash.provision,
        &mut in_flash.journal,
        datagram,
        &mut memory.scratch,
        &mut memory.answer,
    );
    let instructions = board::instructions_since(before);
    let sealed = memory.pump.sealed_instructions;
    reply(instructions, sealed, board::stack_peak(), outside, answer.unwrap_or_default());
}

#[inline(never)]
fn provision(memory: &mut Memory, in_flash: &mut InFlash, length: usize) -> Option<()> {
    let mut bytes = [0; 1600];
    for at in 0..length {
        let byte = board::receive();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
    }
    in_flash.provision.take(bytes.get(..length)?)?;
    in_flash.journal = SimulatedFlash::erased();
    memory.pump.boot(&mut in_flash.journal)
}

#[inline(never)]
fn reply(instructions: u64, sealed: u64, peak: u32, outside: u32, answer: &[u8]) {
    let numbers = [instructions as u32, sealed as u32, peak, outside];
    let length = (16 + answer.len()) as u16;
    let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
    length.to_le_bytes().into_iter().chain(numbers).chain(answer.iter().copied()).for_each(board::send);
}
