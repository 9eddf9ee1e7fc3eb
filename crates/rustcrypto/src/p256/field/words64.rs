//! Numbers of 256 bits in words of 64 bits, for hosts.
//!
//! A product is written out in full and then reduced; that costs 16 multiplications of the machine, and 4 modulo the
//! prime or 20 modulo the order.

use core::hint::black_box;

use super::{Modulus, Order, Prime, Words, high, low, wide};

/// A number, its lowest word first.
pub(in crate::p256) type Number = [u64; 4];

/// Whether code of its own for squares and for a single power is worth its size.
pub(super) const SPEED_OVER_SIZE: bool = true;

/// One step of Montgomery's reduction.
pub(in crate::p256) trait Step {
    /// Adds such a multiple of the modulus, less than 2^64 times, that the lowest word becomes zero, and drops that word.
    /// What is left fits: it is less than 2^256.
    fn step(number: &Number) -> Number;
}

impl Step for Prime {
    #[inline(always)]
    fn step(&[m, n1, n2, n3]: &Number) -> Number {
        // The lowest word of the prime is -1, so that the multiple is the lowest word m itself. One word lower, m times
        // the prime is m * 2^32 + m * (2^64 - 2^32 + 1) * 2^128, and the lowest words cancel.
        let (a2, a3) = m.carrying_mul(0xffff_ffff_0000_0001, 0);
        let (s0, carry) = n1.carrying_add(m << 32, false);
        let (s1, carry) = n2.carrying_add(m >> 32, carry);
        let (s2, carry) = n3.carrying_add(a2, carry);
        let (s3, _) = a3.carrying_add(0, carry);
        [s0, s1, s2, s3]
    }
}

impl Step for Order {
    #[inline(always)]
    fn step(&[n0, n1, n2, n3]: &Number) -> Number {
        /// -1 / order modulo 2^64.
        const FACTOR: u64 = 0xccd1_c8aa_ee00_bc4f;
        let m = n0.wrapping_mul(FACTOR);
        let [o0, o1, o2, o3] = <Self as Modulus>::NUMBER;
        let (_, carry) = m.carrying_mul_add(o0, n0, 0);
        let (s0, carry) = m.carrying_mul_add(o1, n1, carry);
        let (s1, carry) = m.carrying_mul_add(o2, n2, carry);
        let (s2, s3) = m.carrying_mul_add(o3, n3, carry);
        [s0, s1, s2, s3]
    }
}

/// A number's words.
pub(super) fn to_words(&[n0, n1, n2, n3]: &Number) -> Words {
    [low(n0), high(n0), low(n1), high(n1), low(n2), high(n2), low(n3), high(n3)]
}

/// The number of these words.
pub(super) const fn from_words(&[w0, w1, w2, w3, w4, w5, w6, w7]: &Words) -> Number {
    [joined(w0, w1), joined(w2, w3), joined(w4, w5), joined(w6, w7)]
}

const fn joined(low: u32, high: u32) -> u64 {
    wide(low) | wide(high) << 32
}

/// `mask` for a whole word.
#[inline(always)]
pub(super) fn widened(mask: u32) -> u64 {
    joined(mask, mask)
}

/// All ones if it is zero, zero otherwise; in the same time for each number.
#[inline(always)]
pub(super) fn zero_mask(number: &Number) -> u32 {
    let all = number.iter().fold(0, |all, word| all | word);
    super::mask(low((all | 0_u64.wrapping_sub(all)) >> 63) ^ 1)
}

/// Whether it is below the modulus.
#[inline(always)]
pub(super) fn is_below<M: Modulus>(number: &Number) -> bool {
    difference(number, &M::NUMBER).1
}

/// A number of 256 bits modulo the modulus.
#[inline(always)]
pub(super) fn remainder<M: Modulus>(number: &Number) -> Number {
    reduced::<M>(number, false)
}

/// The sum of two numbers below the modulus, modulo it.
#[inline(always)]
pub(super) fn plus<M: Modulus>(a: &Number, b: &Number) -> Number {
    let (sum, carry) = sum(a, b);
    reduced::<M>(&sum, carry)
}

/// The difference of two numbers below the modulus, modulo it.
#[inline(always)]
pub(super) fn minus<M: Modulus>(a: &Number, b: &Number) -> Number {
    let (number, borrow) = difference(a, b);
    sum(&number, &masked(borrow, &M::NUMBER)).0
}

/// The product of two numbers below the modulus, divided by 2^256, modulo it.
#[inline(always)]
pub(super) fn product<M: Modulus>(a: &Number, b: &Number) -> Number {
    let [b0, b1, b2, b3] = *b;
    let row = |factor: u64, &[n0, n1, n2, n3]: &Number| {
        let [a0, a1, a2, a3] = *a;
        let (p0, carry) = a0.carrying_mul_add(factor, n0, 0);
        let (p1, carry) = a1.carrying_mul_add(factor, n1, carry);
        let (p2, carry) = a2.carrying_mul_add(factor, n2, carry);
        let (p3, p4) = a3.carrying_mul_add(factor, n3, carry);
        (p0, [p1, p2, p3, p4])
    };
    let (p0, rest) = row(b0, &[0; 4]);
    let (p1, rest) = row(b1, &rest);
    let (p2, rest) = row(b2, &rest);
    let (p3, rest) = row(b3, &rest);
    divided::<M>(&[p0, p1, p2, p3], &rest)
}

/// As [`product`] of a number and itself: ten multiplications of the machine instead of sixteen.
#[inline(always)]
pub(super) fn square<M: Modulus>(&[a0, a1, a2, a3]: &Number) -> Number {
    // The products of different words, once.
    let (p1, carry) = a0.carrying_mul(a1, 0);
    let (p2, carry) = a0.carrying_mul(a2, carry);
    let (p3, p4) = a0.carrying_mul(a3, carry);
    let (p3, carry) = a1.carrying_mul_add(a2, p3, 0);
    let (p4, p5) = a1.carrying_mul_add(a3, p4, carry);
    let (p5, p6) = a2.carrying_mul(a3, p5);
    // Twice, and the squares of the words.
    let (s0, s1) = a0.carrying_mul(a0, 0);
    let (s2, s3) = a1.carrying_mul(a1, 0);
    let (s4, s5) = a2.carrying_mul(a2, 0);
    let (s6, s7) = a3.carrying_mul(a3, 0);
    let (s1, carry) = s1.carrying_add(p1 << 1, false);
    let (s2, carry) = s2.carrying_add(p2 << 1 | p1 >> 63, carry);
    let (s3, carry) = s3.carrying_add(p3 << 1 | p2 >> 63, carry);
    let (s4, carry) = s4.carrying_add(p4 << 1 | p3 >> 63, carry);
    let (s5, carry) = s5.carrying_add(p5 << 1 | p4 >> 63, carry);
    let (s6, carry) = s6.carrying_add(p6 << 1 | p5 >> 63, carry);
    let (s7, _) = s7.carrying_add(p6 >> 63, carry);
    divided::<M>(&[s0, s1, s2, s3], &[s4, s5, s6, s7])
}

/// A product, its lower and upper half, divided by 2^256 modulo the modulus.
#[inline(always)]
fn divided<M: Modulus>(lower: &Number, upper: &Number) -> Number {
    // Four steps bring the lower half to at most the modulus; the upper half of a product is less than that.
    let steps = M::step(&M::step(&M::step(&M::step(lower))));
    let (sum, carry) = sum(&steps, upper);
    reduced::<M>(&sum, carry)
}

/// The number `above` * 2^256 + `number`, which is less than twice the modulus, reduced by it.
#[inline(always)]
fn reduced<M: Modulus>(number: &Number, above: bool) -> Number {
    // Without telling the optimiser the modulus, whose words of ones and zeros it makes into comparisons and jumps over
    // carries.
    let (less, borrow) = difference(number, &black_box(M::NUMBER));
    // Too much was taken where nothing was above to borrow from.
    sum(&less, &masked(borrow & !above, &M::NUMBER)).0
}

/// The number where `bit`, zero otherwise.
#[inline(always)]
fn masked(bit: bool, number: &Number) -> Number {
    // Without telling the optimiser that there are only two masks.
    let mask = black_box(0_u64.wrapping_sub(u64::from(bit)));
    number.map(|word| word & mask)
}

/// The sum and its carry.
#[inline(always)]
fn sum(&[a0, a1, a2, a3]: &Number, &[b0, b1, b2, b3]: &Number) -> (Number, bool) {
    let (s0, carry) = a0.carrying_add(b0, false);
    let (s1, carry) = a1.carrying_add(b1, carry);
    let (s2, carry) = a2.carrying_add(b2, carry);
    let (s3, carry) = a3.carrying_add(b3, carry);
    ([s0, s1, s2, s3], carry)
}

/// The difference and whether it borrowed.
#[inline(always)]
fn difference(&[a0, a1, a2, a3]: &Number, &[b0, b1, b2, b3]: &Number) -> (Number, bool) {
    let (d0, borrow) = a0.borrowing_sub(b0, false);
    let (d1, borrow) = a1.borrowing_sub(b1, borrow);
    let (d2, borrow) = a2.borrowing_sub(b2, borrow);
    let (d3, borrow) = a3.borrowing_sub(b3, borrow);
    ([d0, d1, d2, d3], borrow)
}
