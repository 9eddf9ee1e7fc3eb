//! The trust core on a Cortex-M4 with nothing under it: no allocator, no operating system, no input or output.
//!
//! This program is linked, measured and looked at by `cargo xtask test bare`, never run. Its inputs and its
//! cryptography are opaque to the optimiser, so that no path through the core can be left out.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use medlock_trust::c509::{RequestTemplate, Subject};
use medlock_trust::crypto::{KeyAlgorithm, Message, PublicKey, Signature, SignatureAlgorithm, VerifyError};
use medlock_trust::knowledge::Setting;
use medlock_trust::list::{List, Pinned};
use medlock_trust::path::AuthorityKind;
use medlock_trust::status::{StatusList, Ticket};
use medlock_trust::x509::{Certificate, ids};
use medlock_trust::{
    Anchor, Bond, Budget, Crypto, Interval, KeyId, Knowledge, Operation, Policy, Time, Verdict, authenticate, decide,
};

/// A provider whose answers nobody can foresee.
struct Opaque;

impl Crypto for Opaque {
    fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        key: PublicKey<'_>,
        message: &dyn Message,
        signature: Signature<'_>,
    ) -> Result<(), VerifyError> {
        message.feed(&mut |part| {
            black_box(part);
        });
        black_box((algorithm, key, signature));
        black_box(Err(VerifyError::Unsupported))
    }

    fn sha256(&self, message: &dyn Message) -> [u8; 32] {
        message.feed(&mut |part| {
            black_box(part);
        });
        black_box([0; 32])
    }

    fn decompress<'o>(&self, curve: KeyAlgorithm, point: &[u8], out: &'o mut [u8; 97]) -> Option<&'o [u8]> {
        black_box((curve, point));
        black_box(Some(out.as_slice()))
    }
}

/// Bytes that came from outside, for all the optimiser knows.
fn received() -> &'static [u8] {
    static BYTES: [u8; 4] = [0; 4];
    black_box(&BYTES)
}

/// Everything a device does: take up lists and status, authenticate a peer, decide.
fn judge() -> Option<bool> {
    let root = Certificate::read(received()).ok()?;
    let maker = Anchor::for_everything(&root, AuthorityKind::Maker, &Opaque)?;
    let held = List::verify_pinned(
        received(),
        &Pinned::Root(KeyId::from_bytes(black_box([0; 16]))),
        Interval::UNKNOWN,
        &Opaque,
    )
    .ok()?;
    let list = List::verify_successor(received(), &held, Interval::UNKNOWN, &Opaque).ok()?;
    let site = list.authorities().find_map(|authority| authority.anchor())?;
    let status = StatusList::verify(received(), &list, &Opaque).ok()?;
    let ticket = Ticket::verify(received(), &list, &Opaque).ok()?;
    let policy = Policy::from_signed(received(), &list, &Opaque).unwrap_or_default();

    let mut budget = Budget::default();
    let peer = authenticate(&[received(), received()], &[maker, site], &mut budget, &Opaque).ok()?;

    let time = Interval::since(Time::from_unix(black_box(0)));
    let lists = [held, list];
    let knowledge = Knowledge {
        lists: &lists,
        status: &[status],
        ticket: Some(ticket),
        ..Knowledge::nothing(time, black_box(Setting::Home))
    };
    let bond: Option<Bond> = black_box(None);
    let verdict = decide(&peer, black_box(Operation::Treat), &knowledge, &policy, bond.as_ref());
    Some(matches!(verdict, Verdict::Allow(_)) && ask().is_some())
}

/// A device asks for its certificate in C509, and looks at what it got.
fn ask() -> Option<usize> {
    let key = PublicKey { algorithm: black_box(KeyAlgorithm::P256), bits: received() };
    let template = RequestTemplate {
        algorithm: black_box(SignatureAlgorithm::EcdsaSha256),
        subject: Subject::Attributes(&[(ids::SERIAL_NUMBER, black_box("pump-1"))]),
        key,
        extensions: &[],
        challenge_password: black_box(None),
    };
    let mut out = [0; 256];
    let request = template.sign(&mut out, |info| black_box(Ok::<_, ()>([info.len().to_be_bytes()[0]; 64]))).ok()?;
    black_box(request);
    let own = Certificate::read(received()).ok()?;
    black_box((own.credential_id(&Opaque), own.key_id(&Opaque)));
    Some(request.len())
}

// The entry point has to have this name for the linker script to find it.
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    loop {
        black_box(judge());
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
