//! What single steps of cryptography cost on the chip.
#![no_std]
#![no_main]

use core::hint::black_box;

use medlock_proto::crypto::{Crypto as _, Curve, OwnKey, Secret};
use medlock_rustcrypto::{PublicBits, RustCrypto, SoftwareKey};
use medlock_trust::crypto::{Crypto as _, KeyAlgorithm, PublicKey, Signature, SignatureAlgorithm};

#[path = "../board.rs"]
#[allow(dead_code)]
mod board;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

fn print(text: &str) {
    text.bytes().for_each(board::send);
}

fn print_number(mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    digits[at..].iter().for_each(|digit| board::send(*digit));
}

fn measure(name: &str, work: impl FnOnce()) {
    let below = board::stack_now();
    board::paint_stack();
    let before = board::ticks();
    work();
    let instructions = board::instructions_since(before);
    print(name);
    print(": ");
    print_number(instructions);
    print(" instructions, ");
    print_number(u64::from(board::stack_peak() - below));
    print(" bytes of stack\n");
}

#[cortex_m_rt::entry]
fn main() -> ! {
    board::start();
    let secret = Secret::from_bytes([7; 32]);
    let key = SoftwareKey::p256(secret.clone()).unwrap();
    measure("loop of 3,000,000 instructions", || board::spin(1_000_000));
    let mut point = [0; 65];
    measure("public key", || {
        if let PublicBits::P256(bits) = black_box(&key).public() {
            point = bits;
        }
    });
    let mut signature = [0; 64];
    measure("sign", || signature = black_box(&key).sign(&[b"message".as_slice()]).unwrap());
    let public = PublicKey { algorithm: KeyAlgorithm::P256, bits: &point };
    measure("verify", || {
        RustCrypto
            .verify(
                SignatureAlgorithm::EcdsaSha256,
                black_box(public),
                &[b"message".as_slice()],
                Signature::Cose(&signature),
            )
            .unwrap();
    });
    let x = RustCrypto.public_key(Curve::P256, &secret).unwrap();
    measure("agree", || {
        black_box(RustCrypto.agree(Curve::P256, &secret, black_box(&x)).unwrap());
    });
    let mut out = [0; 97];
    let compressed: [u8; 33] = core::array::from_fn(|at| if at == 0 { 2 } else { x[at - 1] });
    measure("decompress", || {
        black_box(RustCrypto.decompress(KeyAlgorithm::P256, &compressed, &mut out).unwrap());
    });
    let mut text = [9; 1024];
    measure("SHA-256 of 1024 bytes", || {
        black_box(RustCrypto.sha256(&[text.as_slice()]));
    });
    measure("HMAC of 32 bytes", || {
        black_box(RustCrypto.hmac_sha256(&[1; 32], &[&text[..32]]));
    });
    let mut tag = [0; 16];
    measure("CCM of 16 bytes, 16 of additional data", || {
        RustCrypto.ccm_seal(&[1; 16], &[2; 13], &[&[3; 16]], &mut text[..16], &mut tag);
    });
    measure("CCM of 1024 bytes", || {
        RustCrypto.ccm_seal(&[1; 16], &[2; 13], &[&[3; 16]], &mut text, &mut tag);
    });
    print("end\n");
    loop {}
}
