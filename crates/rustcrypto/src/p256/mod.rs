//! NIST P-256: ECDSA (FIPS 186-5) with SHA-256 and agreement by x-coordinates (RFC 9528 section 3.7).
//!
//! Crate `p256` would need some six million instructions of a Cortex-M4 for one multiplication of a point, and a
//! handshake has seven; what is here needs a third and less stack. Tests compare it with that crate.
#![expect(clippy::arithmetic_side_effects, reason = "on words that cannot overflow: each sum says why, or is modular")]

mod field;
mod point;

use medlock_proto::crypto::Secret;
use medlock_trust::crypto::Signature;
use medlock_trust::der::{Reader, tag};
use zeroize::Zeroizing;

use self::point::{Multiples, Point, Scalar, Term, combined};
use crate::hmac;

/// A signature as r‖s, 32 bytes each, big-endian.
type Pair = [u8; 64];

/// Whether `signature` over what `hash` is the hash of was made with `key`, a compressed or uncompressed point.
pub(crate) fn verify(key: &[u8], hash: &[u8; 32], signature: Signature<'_>) -> Option<()> {
    let pair = match signature {
        Signature::X509(bytes) => pair_from_der(bytes)?,
        Signature::Cose(bytes) => *bytes.first_chunk::<64>().filter(|_| bytes.len() == 64)?,
    };
    let key = point(key)?;
    let (r, s) = split(&pair);
    let (r, s) = (scalar(&r)?, scalar(&s)?);
    let w = s.inverted();
    let mut own = Multiples::EMPTY;
    own.fill(&key);
    let terms = [Term::new(Multiples::of_generator(), &Scalar::reduced(hash).times(&w)), Term::new(&own, &r.times(&w))];
    combined(&terms).x_is(&r).then_some(())
}

/// Signs what `hash` is the hash of. The nonce is that of RFC 6979, with `added` in it if that is not empty (section 3.6).
pub(crate) fn sign(secret: &[u8; 32], hash: &[u8; 32], added: &[u8]) -> Option<Pair> {
    let d = Zeroizing::new(scalar(secret)?);
    let z = Scalar::reduced(hash);
    let mut nonces = Nonces::new(secret, &z.to_bytes(), added);
    // That a nonce is refused has a chance of 2^-32 a time.
    for _ in 0..8 {
        let Some(k) = scalar(nonces.next()).map(Zeroizing::new) else { continue };
        let r = Scalar::reduced(&times_generator(&k).x());
        let s = Zeroizing::new(k.inverted()).times(&z.plus(&r.times(&d)));
        if !r.is_zero() && !s.is_zero() {
            return Some(join(&r.to_bytes(), &s.to_bytes()));
        }
    }
    None
}

/// Whether `secret` is a number between 1 and the order less one.
pub(crate) fn is_secret(secret: &[u8; 32]) -> bool {
    scalar(secret).map(Zeroizing::new).is_some()
}

/// The x-coordinate of the public key of `secret`; `None` if that is no scalar between 1 and the order.
pub(crate) fn public_x(secret: &[u8; 32]) -> Option<[u8; 32]> {
    Some(own_point(secret)?.x())
}

/// The public key of `secret` as an uncompressed point.
pub(crate) fn public(secret: &[u8; 32]) -> Option<[u8; 65]> {
    Some(uncompressed(own_point(secret)?.coordinates()))
}

/// The x-coordinate of the point that `secret` and the holder of the x-coordinate `public` share.
pub(crate) fn agree(secret: &[u8; 32], public: &[u8; 32]) -> Option<Secret> {
    let secret = Zeroizing::new(scalar(secret)?);
    // Either point of this x will do: both give the same x.
    let public = Point::from_x(public, false)?;
    let shared = Zeroizing::new(multiplied(&public, &secret));
    // The order is prime and neither factor is zero: this is never the point at infinity.
    Some(Secret::from_bytes(shared.x()))
}

/// A point, given in either form, as an uncompressed point.
pub(crate) fn decompress(bytes: &[u8]) -> Option<[u8; 65]> {
    Some(uncompressed(point(bytes)?.coordinates_as_read()))
}

fn own_point(secret: &[u8; 32]) -> Option<Point> {
    Some(times_generator(&Zeroizing::new(scalar(secret)?)))
}

fn multiplied(point: &Point, factor: &Scalar) -> Point {
    let mut multiples = Multiples::EMPTY;
    multiples.fill(point);
    combined(&[Term::new(&multiples, factor)])
}

fn times_generator(factor: &Scalar) -> Point {
    combined(&[Term::new(Multiples::of_generator(), factor)])
}

/// Reads a point of the curve (SEC 1 section 2.3.4) other than the one at infinity; no hybrid and no compact form.
fn point(bytes: &[u8]) -> Option<Point> {
    let (form, coordinates) = bytes.split_first()?;
    match (form, coordinates.len()) {
        (0x02 | 0x03, 32) => Point::from_x(coordinates.first_chunk()?, form & 1 == 1),
        (0x04, 64) => {
            let (x, y) = split(coordinates.first_chunk()?);
            Point::from_coordinates(&x, &y)
        }
        _ => None,
    }
}

fn uncompressed((x, y): ([u8; 32], [u8; 32])) -> [u8; 65] {
    let mut bytes = [0x04; 65];
    let [_, rest @ ..] = &mut bytes;
    if let [to_x, to_y] = rest.as_chunks_mut().0 {
        (*to_x, *to_y) = (x, y);
    }
    bytes
}

/// A number between 1 and the order less one.
fn scalar(bytes: &[u8; 32]) -> Option<Scalar> {
    Scalar::from_bytes(bytes).filter(|scalar| !scalar.is_zero())
}

fn split(pair: &Pair) -> ([u8; 32], [u8; 32]) {
    match pair.as_chunks().0 {
        [first, second] => (*first, *second),
        _ => ([0; 32], [0; 32]),
    }
}

fn join(r: &[u8; 32], s: &[u8; 32]) -> Pair {
    let mut pair = [0; 64];
    if let [first, second] = pair.as_chunks_mut().0 {
        (*first, *second) = (*r, *s);
    }
    pair
}

/// Reads an `Ecdsa-Sig-Value` (RFC 3279 section 2.2.3) in DER.
fn pair_from_der(bytes: &[u8]) -> Option<Pair> {
    let mut outer = Reader::new(bytes);
    let mut inner = outer.nested(tag::SEQUENCE).ok()?;
    outer.finish().ok()?;
    let (r, s) = (inner.integer().ok()?, inner.integer().ok()?);
    inner.finish().ok()?;
    Some(join(&fixed(r)?, &fixed(s)?))
}

/// The content of a DER INTEGER that is not negative, in 32 bytes.
fn fixed(content: &[u8]) -> Option<[u8; 32]> {
    let digits = match content {
        [0x80..=0xff, ..] => return None,
        [0, rest @ ..] => rest,
        all => all,
    };
    let mut number = [0; 32];
    let zeros = number.len().checked_sub(digits.len())?;
    let (_, low) = number.split_at_mut_checked(zeros)?;
    low.iter_mut().zip(digits).for_each(|(to, from)| *to = *from);
    Some(number)
}

/// HMAC_DRBG as RFC 6979 section 3.2 uses it, steps b to h.
struct Nonces {
    key: Zeroizing<[u8; 32]>,
    value: Zeroizing<[u8; 32]>,
    used: bool,
}

impl Nonces {
    fn new(secret: &[u8; 32], hash: &[u8; 32], added: &[u8]) -> Self {
        let mut nonces = Self { key: Zeroizing::new([0; 32]), value: Zeroizing::new([1; 32]), used: false };
        for separator in [0, 1] {
            nonces.update(separator, &[secret, hash, added]);
        }
        nonces
    }

    fn next(&mut self) -> &Zeroizing<[u8; 32]> {
        if self.used {
            self.update(0, &[&[], &[], &[]]);
        }
        self.used = true;
        *self.value = hmac::sha256(&*self.key, &[&*self.value]);
        &self.value
    }

    /// K = HMAC_K(V, separator, seed), V = HMAC_K(V).
    fn update(&mut self, separator: u8, [first, second, third]: &[&[u8]; 3]) {
        *self.key = hmac::sha256(&*self.key, &[&*self.value, &[separator], first, second, third]);
        *self.value = hmac::sha256(&*self.key, &[&*self.value]);
    }
}

#[cfg(test)]
mod tests;
