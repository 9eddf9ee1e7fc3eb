//! A device that takes sealed commands: what comes between an order and its end.

use crate::convert::{self, operation, physical_act, ticks};
use crate::handle::{Handle, enter};
use crate::pointers::{array, usable_or_null, write};
use crate::records;
use crate::refused::{Refused, answer};
use medlock_proto::sealed::MilliUnits;
use medlock_trust::DeviceId;

/// The act begins now.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_act_started(device: *mut Handle, now_ms: u64, act: u32) -> i32 {
    // SAFETY: as the header says.
    answer(unsafe {
        enter(device, |inside| {
            let (order, receipt) = inside.acts.offered(act).ok_or(Refused::CLOSED)?;
            let running = inside.sdk.started(ticks(now_ms), receipt, order).ok_or(Refused::NO_THERAPY)?;
            inside.acts.begun(act, running.counter(), running);
            Ok(())
        })
    })
}

/// The act could not begin.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_act_unable(device: *mut Handle, now_ms: u64, act: u32) -> i32 {
    // SAFETY: as the header says.
    answer(unsafe {
        enter(device, |inside| {
            let (order, receipt) = inside.acts.offered(act).ok_or(Refused::CLOSED)?;
            inside.sdk.unable(ticks(now_ms), receipt, order);
            Ok(())
        })
    })
}

/// Delivery ended.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_act_done(
    device: *mut Handle,
    now_ms: u64,
    act: u32,
    delivered_milliunits: u32,
    receipt: *mut records::Receipt,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            usable_or_null(receipt)?;
            let running = inside.acts.running(act).ok_or(Refused::CLOSED)?;
            let done = inside.sdk.done(ticks(now_ms), running, MilliUnits(delivered_milliunits));
            let done = done.ok_or(Refused::NO_THERAPY)?;
            if receipt.is_null() { Ok(()) } else { write(receipt, convert::receipt(&done)) }
        })
    })
}

/// Lets a controller command once, by a physical act.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_attend(
    device: *mut Handle,
    now_ms: u64,
    danger_physical_act: i32,
    controller: *const u8,
    wanted: i32,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let act = physical_act(danger_physical_act)?;
            let (controller, wanted) = (DeviceId::from_bytes(array(controller)?), operation(wanted)?);
            inside.sdk.reception().ok_or(Refused::NO_THERAPY)?;
            inside.sdk.attend(ticks(now_ms), act, controller, wanted);
            Ok(())
        })
    })
}

/// Something changed that a controller reckons with.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_therapy_changed(device: *mut Handle) -> i32 {
    // SAFETY: as the header says.
    answer(unsafe {
        enter(device, |inside| {
            let (reception, _) = inside.sdk.reception().ok_or(Refused::NO_THERAPY)?;
            reception.therapy_changed();
            Ok(())
        })
    })
}

/// Counts what was delivered without a command.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_delivered_at_device(device: *mut Handle, now_ms: u64, milliunits: u32) -> i32 {
    // SAFETY: as the header says.
    answer(unsafe {
        enter(device, |inside| {
            let (reception, flash) = inside.sdk.reception().ok_or(Refused::NO_THERAPY)?;
            Ok(reception.delivered_at_device(flash, MilliUnits(milliunits), ticks(now_ms))?)
        })
    })
}

/// Writes the time down.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_checkpoint(device: *mut Handle, now_ms: u64) -> i32 {
    // SAFETY: as the header says.
    answer(unsafe {
        enter(device, |inside| {
            let (reception, flash) = inside.sdk.reception().ok_or(Refused::NO_THERAPY)?;
            Ok(reception.checkpoint(flash, ticks(now_ms))?)
        })
    })
}
