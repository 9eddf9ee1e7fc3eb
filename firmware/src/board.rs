//! The board: MPS2 with image AN386, as QEMU emulates it. A serial line, a counter of instructions, and the stack.
//!
//! QEMU runs with `-icount shift=0`: an instruction takes one nanosecond of virtual time. The board's timer counts
//! 25 million ticks a second of it, so a tick is 40 instructions. Cycles are not emulated.

use core::ptr::{addr_of, addr_of_mut, read_volatile, write_volatile};

const UART: usize = 0x4000_4000;
const UART_DATA: usize = UART;
const UART_STATE: usize = UART + 0x4;
const UART_CONTROL: usize = UART + 0x8;
const UART_DIVISOR: usize = UART + 0x10;
const SENDING: u32 = 1;
const RECEIVED: u32 = 2;

const TIMER: usize = 0x4000_0000;
const TIMER_CONTROL: usize = TIMER;
const TIMER_VALUE: usize = TIMER + 0x4;
const TIMER_RELOAD: usize = TIMER + 0x8;
/// How many instructions QEMU executes in a tick of the timer.
const INSTRUCTIONS_A_TICK: u32 = 40;

const PAINT: u32 = 0xaa55_aa55;

fn read(register: usize) -> u32 {
    // SAFETY: the constants above are registers of this board; reading one has no effect on memory.
    unsafe { read_volatile(register as *const u32) }
}

fn write(register: usize, value: u32) {
    // SAFETY: the constants above are registers of this board's serial line and timer; writing one touches no memory.
    unsafe { write_volatile(register as *mut u32, value) }
}

/// Switches the serial line and the timer on.
pub fn start() {
    write(UART_DIVISOR, 16);
    write(UART_CONTROL, 0b11);
    write(TIMER_RELOAD, u32::MAX);
    write(TIMER_VALUE, u32::MAX);
    write(TIMER_CONTROL, 1);
}

/// Waits for a byte.
pub fn receive() -> u8 {
    while read(UART_STATE) & RECEIVED == 0 {}
    (read(UART_DATA) & 0xff) as u8
}

/// Sends a byte.
pub fn send(byte: u8) {
    while read(UART_STATE) & SENDING != 0 {}
    write(UART_DATA, u32::from(byte));
}

/// Counts down, one a tick.
pub fn ticks() -> u32 {
    read(TIMER_VALUE)
}

/// Instructions executed since `before` was read, to the tick. Wraps after 170 milliards.
pub fn instructions_since(before: u32) -> u64 {
    u64::from(before.wrapping_sub(ticks())) * u64::from(INSTRUCTIONS_A_TICK)
}

/// Executes three instructions a round: to see whether they are counted right.
#[inline(never)]
pub fn spin(rounds: u32) {
    // SAFETY: counts a register down; touches no memory.
    unsafe {
        core::arch::asm!("2:", "subs {0}, #1", "nop", "bne 2b", inout(reg) rounds => _);
    }
}

unsafe extern "C" {
    static mut __sheap: u32;
    static _stack_start: u32;
}

/// Paints the stack below its caller.
#[inline(never)]
pub fn paint_stack() {
    let mut at = addr_of_mut!(__sheap);
    let here = 0_u32;
    // Some words below this frame stay as they are: the calls of this function use them.
    let end = (addr_of!(here) as usize) - 64;
    while (at as usize) < end {
        // SAFETY: from the end of static memory to well below this frame there is nothing but unused stack.
        unsafe {
            write_volatile(at, PAINT);
            at = at.add(1);
        }
    }
}

/// Bytes of stack used since [`paint_stack`], its callers' frames and all.
pub fn stack_peak() -> u32 {
    let top = addr_of!(_stack_start) as usize;
    let mut at = addr_of!(__sheap).cast::<u32>();
    // SAFETY: reads from the end of static memory to the top of the stack, all of which is memory.
    while (at as usize) < top && unsafe { read_volatile(at) } == PAINT {
        // SAFETY: still below `top`.
        at = unsafe { at.add(1) };
    }
    (top - at as usize) as u32
}

/// Bytes of stack its caller's callers use at this moment.
#[inline(always)]
pub fn stack_now() -> u32 {
    let here = 0_u32;
    let top = addr_of!(_stack_start) as usize;
    (top - addr_of!(here) as usize) as u32
}
