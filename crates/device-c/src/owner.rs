//! Whose a device is: its maker's voucher, the owner's transfer, and whether the site's own key was stolen.

use crate::convert::{physical_act, ticks};
use crate::handle::{Handle, enter};
use crate::numbers;
use crate::pointers::{array, bytes, read, write};
use crate::records::Bytes;
use crate::refused::{Refused, answer};
use medlock_device::PhysicalAct;
use medlock_trust::crypto::{KeyAlgorithm, PublicKey};

/// Takes the site that a voucher names.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_take_voucher(
    device: *mut Handle,
    now_ms: u64,
    voucher: *const u8,
    length: usize,
    nonce: *const Bytes,
    maker: *const u8,
    danger_physical_act: i32,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let (voucher, act) = (bytes(voucher, length)?, act(danger_physical_act)?);
            let nonce = if nonce.is_null() {
                None
            } else {
                let Bytes { bytes: first, length } = read(nonce)?;
                Some(bytes(first, length)?)
            };
            let point: [u8; numbers::POINT_BYTES as usize] = array(maker)?;
            let maker = PublicKey { algorithm: KeyAlgorithm::P256, bits: &point };
            Ok(inside.sdk.take_voucher(ticks(now_ms), voucher, nonce, maker, act)?)
        })
    })
}

/// Takes the site of the next owner.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_take_transfer(
    device: *mut Handle,
    now_ms: u64,
    transfer: *const u8,
    length: usize,
    owner: *const u8,
    owner_length: usize,
    danger_physical_act: i32,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let (transfer, owner) = (bytes(transfer, length)?, bytes(owner, owner_length)?);
            Ok(inside.sdk.take_transfer(ticks(now_ms), transfer, owner, act(danger_physical_act)?)?)
        })
    })
}

/// Whether the key that issued the device's credential is in wrong hands.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_lost_its_issuer(device: *mut Handle, now_ms: u64, lost: *mut i32) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe { enter(device, |inside| write(lost, i32::from(inside.sdk.lost_its_issuer(ticks(now_ms))))) })
}

fn act(danger: i32) -> Result<Option<PhysicalAct>, Refused> {
    if danger == 0 { Ok(None) } else { physical_act(danger).map(Some) }
}
