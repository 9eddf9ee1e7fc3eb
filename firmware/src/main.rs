//! The pump.
#![no_std]
#![no_main]

#[allow(dead_code)]
mod board;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cortex_m_rt::entry]
fn main() -> ! {
    board::start();
    loop {}
}
