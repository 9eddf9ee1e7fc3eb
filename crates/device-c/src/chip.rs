//! What a program without an operating system must bring along.

use core::panic::PanicInfo;

unsafe extern "C" {
    /// The firmware's: it brings the device to a safe state and does not return.
    safe fn medlock_panicked();
}

#[panic_handler]
fn panicked(_: &PanicInfo<'_>) -> ! {
    medlock_panicked();
    loop {
        core::hint::spin_loop();
    }
}
