//! Keys in memory, for a key store without a secure element: the firmware guards the 32 bytes.

use crate::pointers::{array, write_array};
use crate::refused::{Refused, answer};
use medlock_proto::crypto::{OwnKey, Secret};
use medlock_rustcrypto::SoftwareKey;
use zeroize::Zeroize;

/// The public key of a secret: a compressed point.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_software_public(secret: *const u8, public_key: *mut u8) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe { key(secret).and_then(|key| write_array(public_key, compressed(&key))) })
}

/// Signs a digest with a secret.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_software_sign(
    secret: *const u8,
    digest: *const u8,
    randomness: *const u8,
    signature: *mut u8,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    let sign = || unsafe {
        let randomness = if randomness.is_null() { None } else { Some(secret_at(randomness)?) };
        let signed = key(secret)?.sign_digest(&array(digest)?, randomness.as_ref());
        write_array(signature, signed.map_err(|_| Refused::VALUE)?)
    };
    answer(sign())
}

/// What a secret and the holder of a public key share.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_software_agree(secret: *const u8, public_x: *const u8, shared: *mut u8) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    let agree = || unsafe {
        let agreed = key(secret)?.agree(&array(public_x)?).map_err(|_| Refused::VALUE)?;
        write_array(shared, *agreed.expose())
    };
    answer(agree())
}

/// # Safety
/// If `secret` is not null, 32 bytes lie there.
unsafe fn key(secret: *const u8) -> Result<SoftwareKey, Refused> {
    // SAFETY: as the caller says.
    SoftwareKey::p256(unsafe { secret_at(secret) }?).ok_or(Refused::VALUE)
}

/// # Safety
/// If `at` is not null, 32 bytes lie there.
unsafe fn secret_at(at: *const u8) -> Result<Secret, Refused> {
    // SAFETY: as the caller says.
    let mut bytes = unsafe { array(at) }?;
    let secret = Secret::from_bytes(bytes);
    bytes.zeroize();
    Ok(secret)
}

fn compressed(key: &SoftwareKey) -> [u8; 33] {
    let public = key.public();
    let mut short = [0; 33];
    if let Some([_, rest @ ..]) = public.verifier().map(|key| key.bits)
        && let Some(last) = rest.last()
    {
        let form = 2 | (last & 1);
        short.iter_mut().zip([&form].into_iter().chain(rest)).for_each(|(to, from)| *to = *from);
    }
    short
}
