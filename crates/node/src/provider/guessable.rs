//! Keys whose private half anybody can guess: the first numbers, and bytes that somebody typed instead of drawing.

use aws_lc_rs::agreement::{Algorithm, ECDH_P256, ECDH_P384, PrivateKey};
use medlock_trust::crypto::{KeyAlgorithm, PublicKey};
use std::collections::HashSet;
use std::sync::LazyLock;

/// Private keys up to this number are tried.
const FIRST_NUMBERS: u16 = 1_024;

/// Whether the private half of a key on P-256 or P-384 is one that a counter, an uninitialised memory or a programmer
/// makes: the numbers to 1,024, one byte repeated, bytes that count up; or the negative of one of these.
#[must_use]
pub fn is_guessable(key: PublicKey<'_>) -> bool {
    static P256: LazyLock<HashSet<Vec<u8>>> = LazyLock::new(|| abscissas::<32>(&ECDH_P256));
    static P384: LazyLock<HashSet<Vec<u8>>> = LazyLock::new(|| abscissas::<48>(&ECDH_P384));
    let (known, length) = match key.algorithm {
        KeyAlgorithm::P256 => (&*P256, 32),
        KeyAlgorithm::P384 => (&*P384, 48),
        _ => return false,
    };
    // The x-coordinate: a point and its negative have the same.
    key.bits.get(1..=length).is_some_and(|x| known.contains(x))
}

fn abscissas<const N: usize>(curve: &'static Algorithm) -> HashSet<Vec<u8>> {
    let numbers = (1..=FIRST_NUMBERS).map(|number| {
        let mut secret = [0; N];
        secret[N - 2..].copy_from_slice(&number.to_be_bytes());
        secret
    });
    let repeated = (1..=u8::MAX).map(|byte| [byte; N]);
    let counting = (0..=u8::MAX).map(|from| {
        let mut secret = [from; N];
        (0..=u8::MAX).zip(&mut secret).for_each(|(step, byte)| *byte = from.wrapping_add(step));
        secret
    });
    let secrets = numbers.chain(repeated).chain(counting);
    secrets.filter_map(|secret| abscissa(curve, &secret)).collect()
}

/// The x-coordinate of the key whose private half this is; `None` beyond the curve's order.
fn abscissa(curve: &'static Algorithm, secret: &[u8]) -> Option<Vec<u8>> {
    let public = PrivateKey::from_private_key(curve, secret).ok()?.compute_public_key().ok()?;
    public.as_ref().get(1..=secret.len()).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::SigningKey;

    /// Shows REQ-PROV-03.
    #[test]
    fn keys_that_anybody_can_guess_are_known() {
        for (algorithm, curve, length) in [(KeyAlgorithm::P256, &ECDH_P256, 32), (KeyAlgorithm::P384, &ECDH_P384, 48)] {
            let guessable = |secret: &[u8]| {
                let public = PrivateKey::from_private_key(curve, secret).unwrap().compute_public_key().unwrap();
                let compressed = [&[2], &public.as_ref()[1..=length]].concat();
                let (full, short) = (public.as_ref(), compressed.as_slice());
                let judged = [full, short].map(|bits| is_guessable(PublicKey { algorithm, bits }));
                assert_eq!(judged[0], judged[1]);
                judged[0]
            };
            let mut secret = vec![0; length];
            secret[length - 1] = 1;
            assert!(guessable(&secret), "one");
            secret[length - 2] = 4;
            assert!(!guessable(&secret), "1025");
            secret[length - 1] = 0;
            assert!(guessable(&secret), "1024");
            assert!(guessable(&vec![7; length]), "one byte again and again");
            assert!(guessable(&(0..).take(length).collect::<Vec<u8>>()), "counting");
        }
        assert!(!is_guessable(SigningKey::generate().public_key()));
    }
}
