//! Numbers of 256 bits in words of 32 bits, for chips.
//!
//! A product is 64 steps `a * b + c + d` that fit 64 bits: one instruction (UMAAL) each on a Cortex-M4.

use core::hint::black_box;

use super::{Modulus, Order, Prime, Words, high, low, mask, wide};

/// A number, its lowest word first.
pub(in crate::p256) type Number = Words;

/// Whether code of its own for squares and for a single power is worth its size.
pub(super) const SPEED_OVER_SIZE: bool = false;

/// One step of Montgomery's reduction.
pub(in crate::p256) trait Step {
    /// Adds such a multiple of the modulus that the lowest word becomes zero, and drops that word. `top` is the word
    /// above `number`, at most 2^33; what is returned with the new number is the word above that, 0 or 1.
    fn step(number: &Number, top: u64) -> (Number, u32);
}

impl Step for Prime {
    #[inline(always)]
    fn step(&[m, n1, n2, n3, n4, n5, n6, n7]: &Words, top: u64) -> (Words, u32) {
        // The lowest word of the prime is -1, so that the multiple is the lowest word m itself. One word lower, m times
        // the prime is m * 2^64 + m * 2^160 + m * (2^32 - 1) * 2^192, and the lowest words cancel.
        let w2 = wide(n3) + wide(m);
        let w3 = wide(n4) + (w2 >> 32);
        let w4 = wide(n5) + (w3 >> 32);
        let w5 = wide(n6) + wide(m) + (w4 >> 32);
        let w6 = wide(m) * 0xffff_ffff + wide(n7) + (w5 >> 32);
        let w7 = top + (w6 >> 32);
        ([n1, n2, low(w2), low(w3), low(w4), low(w5), low(w6), low(w7)], high(w7))
    }
}

impl Step for Order {
    #[inline(always)]
    fn step(number: &Words, top: u64) -> (Words, u32) {
        /// -1 / order modulo 2^32.
        const FACTOR: u32 = 0xee00_bc4f;
        let m = number[0].wrapping_mul(FACTOR);
        let mut carry = 0;
        let mut sum = [0; 8];
        for ((to, from), word) in sum.iter_mut().zip(number).zip(&<Self as Modulus>::NUMBER) {
            let w = wide(m) * wide(*word) + wide(*from) + wide(carry);
            (*to, carry) = (low(w), high(w));
        }
        let last = top + wide(carry);
        let [_, s1, s2, s3, s4, s5, s6, s7] = sum;
        ([s1, s2, s3, s4, s5, s6, s7, low(last)], high(last))
    }
}

/// A number's words.
pub(super) const fn to_words(number: &Number) -> Words {
    *number
}

/// The number of these words.
pub(super) const fn from_words(words: &Words) -> Number {
    *words
}

/// `mask` for a whole word.
#[inline(always)]
pub(super) fn widened(mask: u32) -> u32 {
    mask
}

/// All ones if it is zero, zero otherwise; in the same time for each number.
#[inline(always)]
pub(super) fn zero_mask(number: &Number) -> u32 {
    let all = number.iter().fold(0, |all, word| all | word);
    mask(((all | 0_u32.wrapping_sub(all)) >> 31) ^ 1)
}

/// Whether it is below the modulus.
#[inline(always)]
pub(super) fn is_below<M: Modulus>(number: &Number) -> bool {
    difference(number, &M::NUMBER).1 == 1
}

/// A number of 256 bits modulo the modulus.
#[inline(always)]
pub(super) fn remainder<M: Modulus>(number: &Number) -> Number {
    reduced(number, 0, &M::NUMBER)
}

/// The sum of two numbers below the modulus, modulo it.
#[inline(always)]
pub(super) fn plus<M: Modulus>(a: &Number, b: &Number) -> Number {
    let (sum, carry) = sum(a, b);
    reduced(&sum, carry, &M::NUMBER)
}

/// The difference of two numbers below the modulus, modulo it.
#[inline(always)]
pub(super) fn minus<M: Modulus>(a: &Number, b: &Number) -> Number {
    let (words, borrow) = difference(a, b);
    sum_if(mask(borrow), &black_box(words), &M::NUMBER)
}

/// The product of two numbers below the modulus, divided by 2^256, modulo it.
#[inline(always)]
pub(super) fn product<M: Modulus>(a: &Number, b: &Number) -> Number {
    let mut number = [0; 8];
    let mut above = 0;
    let [a0, a1, a2, a3, a4, a5, a6, a7] = *a;
    let mut row = |factor: u32| {
        let [n0, n1, n2, n3, n4, n5, n6, n7] = number;
        let w0 = wide(a0) * wide(factor) + wide(n0);
        let w1 = wide(a1) * wide(factor) + wide(n1) + (w0 >> 32);
        let w2 = wide(a2) * wide(factor) + wide(n2) + (w1 >> 32);
        let w3 = wide(a3) * wide(factor) + wide(n3) + (w2 >> 32);
        let w4 = wide(a4) * wide(factor) + wide(n4) + (w3 >> 32);
        let w5 = wide(a5) * wide(factor) + wide(n5) + (w4 >> 32);
        let w6 = wide(a6) * wide(factor) + wide(n6) + (w5 >> 32);
        let w7 = wide(a7) * wide(factor) + wide(n7) + (w6 >> 32);
        (number, above) = M::step(
            &[low(w0), low(w1), low(w2), low(w3), low(w4), low(w5), low(w6), low(w7)],
            wide(above) + (w7 >> 32),
        );
    };
    let [b0, b1, b2, b3, b4, b5, b6, b7] = *b;
    row(b0);
    row(b1);
    row(b2);
    row(b3);
    row(b4);
    row(b5);
    row(b6);
    row(b7);
    reduced(&number, above, &M::NUMBER)
}

/// As [`product`] of a number and itself.
#[inline(always)]
pub(super) fn square<M: Modulus>(a: &Number) -> Number {
    product::<M>(a, a)
}

/// The number `above` * 2^256 + `number`, which is less than twice the modulus, reduced by it.
#[inline(always)]
fn reduced(number: &Words, above: u32, modulus: &Words) -> Words {
    // The boxes keep three chains of carries apart. Woven into one another, each saves the flags from the others.
    let (words, borrow) = difference(&black_box(*number), modulus);
    // Too much was taken where nothing was above to borrow from.
    sum_if(mask(borrow & (above ^ 1)), &black_box(words), modulus)
}

// A chain of u64 sums becomes a chain of additions with carry; `carrying_add` and `borrowing_sub` did not.

/// The sum and its carry.
#[inline(always)]
fn sum(a: &Words, b: &Words) -> (Words, u32) {
    let mut words = [0; 8];
    let mut carry = 0;
    for ((to, a), b) in words.iter_mut().zip(a).zip(b) {
        let w = wide(*a) + wide(*b) + wide(carry);
        (*to, carry) = (low(w), high(w));
    }
    (words, carry)
}

/// The difference and whether it borrowed: the sum with all bits of `b` turned, and one.
#[inline(always)]
fn difference(a: &Words, b: &Words) -> (Words, u32) {
    let mut words = [0; 8];
    let mut carry = 1;
    for ((to, a), b) in words.iter_mut().zip(a).zip(b) {
        let w = wide(*a) + wide(!*b) + wide(carry);
        (*to, carry) = (low(w), high(w));
    }
    (words, carry ^ 1)
}

#[inline(always)]
fn sum_if(mask: u32, a: &Words, b: &Words) -> Words {
    let mut words = [0; 8];
    let mut carry = 0;
    for ((to, a), b) in words.iter_mut().zip(a).zip(b) {
        let w = wide(*a) + wide(*b & mask) + wide(carry);
        (*to, carry) = (low(w), high(w));
    }
    words
}
