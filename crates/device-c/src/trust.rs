//! Whom a device believes, and what it lets a peer do.

use crate::calls::certificates;
use crate::convert::{self, TIME_UNKNOWN, operation, peer, physical_act, ticks};
use crate::handle::{Handle, enter};
use crate::numbers;
use crate::pointers::{array, bytes, room, text, usable, usable_or_null, write, write_array};
use crate::records::{self, Bytes};
use crate::refused::{Refused, answer};
use core::ffi::c_char;
use medlock_proto::sealed::Refusal;
use medlock_rustcrypto::RustCrypto;
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::bond::PatientContext;
use medlock_trust::{Bond, DeviceId, DeviceName, Identified, Interval, KeyId, Operations, Time};

/// Says whose device it is.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_pin_site(device: *mut Handle, root: *const u8, danger_physical_act: i32) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let act = if danger_physical_act == 0 { None } else { Some(physical_act(danger_physical_act)?) };
            Ok(inside.sdk.pin_site(KeyId::from_bytes(array(root)?), act)?)
        })
    })
}

/// Takes a trust object.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_take_object(
    device: *mut Handle,
    now_ms: u64,
    object: *const u8,
    length: usize,
    kind: *mut i32,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            usable_or_null(kind)?;
            let taken = inside.sdk.take_object(ticks(now_ms), bytes(object, length)?)?;
            if kind.is_null() { Ok(()) } else { write(kind, numbers::kind(taken)) }
        })
    })
}

/// Installs an operational credential.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_install_credential(device: *mut Handle, chain: *const Bytes, count: usize) -> i32 {
    // SAFETY: as the header says of each of these pointers; the certificates are not kept.
    answer(unsafe {
        enter(device, |inside| {
            let (chain, count) = certificates(chain, count)?;
            Ok(inside.sdk.install_credential(chain.get(..count).unwrap_or_default())?)
        })
    })
}

/// Says what time it is.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_set_time(device: *mut Handle, now_ms: u64, earliest: i64, latest: i64) -> i32 {
    // SAFETY: as the header says.
    answer(unsafe {
        enter(device, |inside| {
            let latest = (latest != TIME_UNKNOWN).then(|| Time::from_unix(latest));
            let time = Interval::new(Time::from_unix(earliest), latest).ok_or(Refused::VALUE)?;
            inside.sdk.set_time(ticks(now_ms), time);
            Ok(())
        })
    })
}

/// The bounds of the present.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_time(device: *mut Handle, now_ms: u64, earliest: *mut i64, latest: *mut i64) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let time = inside.sdk.time(ticks(now_ms));
            write(earliest, time.earliest().unix())?;
            write(latest, time.latest().map_or(TIME_UNKNOWN, Time::unix))
        })
    })
}

/// Draws a number for a ticket to answer.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_ask(device: *mut Handle, now_ms: u64, nonce: *mut u8) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            usable(nonce)?;
            let drawn = inside.sdk.ask(ticks(now_ms));
            write_array(nonce, drawn)
        })
    })
}

/// Who this device is at its site.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_own_id(device: *mut Handle, id: *mut u8) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let own = inside.sdk.own().ok_or(Refused(numbers::ERROR_NO_CREDENTIAL))?;
            write_array(id, *own.as_bytes())
        })
    })
}

/// The identifier of the device with this name.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_device_id(name: *const c_char, id: *mut u8) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        text::<{ DeviceName::MAX_LENGTH }>(name).and_then(|name| {
            let name = DeviceName::new(name).ok_or(Refused::VALUE)?;
            write_array(id, *DeviceId::of(&name, &RustCrypto).as_bytes())
        })
    })
}

/// Who the peer of a session is.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_identify(device: *mut Handle, session: u32, identity: *mut records::Identity) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let identified = inside.sdk.identified(peer(session)?).ok_or(Refused::CLOSED)?;
            write(identity, record(identified))
        })
    })
}

/// What a peer may do now.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_judge(
    device: *mut Handle,
    now_ms: u64,
    session: u32,
    wanted: i32,
    verdict: *mut records::Verdict,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let wanted = operation(wanted)?;
            let said = inside.sdk.judge(ticks(now_ms), peer(session)?, wanted).ok_or(Refused::CLOSED)?;
            write(verdict, convert::verdict(wanted, &said))
        })
    })
}

/// The same, with a physical act that may raise a denial to an alert.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_judge_attended(
    device: *mut Handle,
    now_ms: u64,
    session: u32,
    wanted: i32,
    danger_physical_act: i32,
    verdict: *mut records::Verdict,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let (wanted, act) = (operation(wanted)?, physical_act(danger_physical_act)?);
            usable(verdict)?;
            let said = inside.sdk.judge_attended(ticks(now_ms), peer(session)?, wanted, act);
            write(verdict, convert::verdict(wanted, &said.ok_or(Refused::CLOSED)?))
        })
    })
}

/// Makes a bond by a physical act.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_bond(
    device: *mut Handle,
    now_ms: u64,
    danger_physical_act: i32,
    controller: *const u8,
    patient: *const u8,
    operations: u32,
    bond: *mut records::Bond,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let act = physical_act(danger_physical_act)?;
            let bits = u16::try_from(operations).ok().and_then(Operations::from_bits).ok_or(Refused::VALUE)?;
            let (controller, patient) = (DeviceId::from_bytes(array(controller)?), PatientContext(array(patient)?));
            usable_or_null(bond)?;
            let made = inside.sdk.bond(ticks(now_ms), act, controller, patient, bits)?;
            if bond.is_null() { Ok(()) } else { write(bond, bond_record(&made)) }
        })
    })
}

/// Ends all bonds by a physical act.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_end_bonds(device: *mut Handle, now_ms: u64, danger_physical_act: i32) -> i32 {
    // SAFETY: as the header says.
    answer(unsafe {
        enter(device, |inside| Ok(inside.sdk.end_bonds(ticks(now_ms), physical_act(danger_physical_act)?)?))
    })
}

/// The bond at a place.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_bond_at(device: *mut Handle, place: usize, bond: *mut records::Bond) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let held = inside.sdk.bonds().nth(place).copied();
            write(bond, bond_record(&held.ok_or(Refused::VALUE)?))
        })
    })
}

/// A code as text.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_code_text(code: i32, text: *mut c_char, length: usize) -> i32 {
    let name = u8::try_from(code).ok().and_then(Refusal::from_number).map(Refusal::as_str);
    // SAFETY: as the header says.
    let room = unsafe { room(text.cast(), length) };
    answer(room.and_then(|room| {
        let name = name.ok_or(Refused::VALUE)?;
        if room.len() <= name.len() {
            return Err(Refused(numbers::ERROR_TOO_LONG));
        }
        room.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        Ok(())
    }))
}

fn record(identified: &Identified) -> records::Identity {
    let (not_before, not_after) = identified.validity();
    let mut name = [0; numbers::NAME_BYTES as usize];
    let text = identified.device_name().as_str().bytes();
    name.iter_mut().zip(text.take(DeviceName::MAX_LENGTH)).for_each(|(to, from)| *to = c_char::from_ne_bytes([from]));
    records::Identity {
        device: *identified.device().as_bytes(),
        credential: *identified.credential().as_bytes(),
        not_before: not_before.unix(),
        not_after: not_after.unix(),
        credential_kind: match identified.kind() {
            CredentialKind::Birth => numbers::CREDENTIAL_BIRTH,
            CredentialKind::Operational => numbers::CREDENTIAL_OPERATIONAL,
        },
        roles: identified.roles().bits(),
        name,
    }
}

fn bond_record(bond: &Bond) -> records::Bond {
    records::Bond {
        controller: *bond.controller.as_bytes(),
        patient: bond.patient.0,
        epoch: bond.epoch,
        operations: u32::from(bond.operations.bits()),
    }
}
