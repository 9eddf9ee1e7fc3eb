//! Numbers modulo the prime and modulo the order of P-256, in Montgomery form with 32-bit words.
//!
//! A product is 64 steps `a * b + c + d` that fit 64 bits: one instruction (UMAAL) each on a Cortex-M4. Nothing here
//! depends on the values in its time, but for the exponent of [`Element::power`], which is public.

use core::hint::black_box;
use core::marker::PhantomData;

use zeroize::Zeroize;

/// Words from the lowest to the highest.
pub(super) type Words = [u32; 8];

/// What numbers are counted modulo: an odd number between 2^255 and 2^256.
pub(super) trait Modulus: Copy {
    /// The modulus.
    const WORDS: Words;
    /// The modulus less two.
    const LESS_TWO: Words;
    /// 2^256 modulo it: one in Montgomery form.
    const ONE: Words = negated(&Self::WORDS);
    /// 2^512 modulo it.
    const SQUARE: Words = doubled(Self::ONE, 256, &Self::WORDS);

    /// Adds such a multiple of the modulus that the lowest word becomes zero, and drops that word. `top` is the word
    /// above `number`, at most 2^33; what is returned with the new number is the word above that, 0 or 1.
    fn step(number: &Words, top: u64) -> (Words, u32);
}

/// The prime of the field: 2^256 - 2^224 + 2^192 + 2^96 - 1.
#[derive(Clone, Copy)]
pub(super) struct Prime;

impl Modulus for Prime {
    const WORDS: Words = [!0, !0, !0, 0, 0, 0, 1, !0];
    const LESS_TWO: Words = [!2, !0, !0, 0, 0, 0, 1, !0];

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

/// The order of the group.
#[derive(Clone, Copy)]
pub(super) struct Order;

impl Modulus for Order {
    const WORDS: Words = [0xfc63_2551, 0xf3b9_cac2, 0xa717_9e84, 0xbce6_faad, 0xffff_ffff, 0xffff_ffff, 0, 0xffff_ffff];
    const LESS_TWO: Words =
        [0xfc63_254f, 0xf3b9_cac2, 0xa717_9e84, 0xbce6_faad, 0xffff_ffff, 0xffff_ffff, 0, 0xffff_ffff];

    #[inline(always)]
    fn step(number: &Words, top: u64) -> (Words, u32) {
        /// -1 / order modulo 2^32.
        const FACTOR: u32 = 0xee00_bc4f;
        let m = number[0].wrapping_mul(FACTOR);
        let mut carry = 0;
        let mut sum = [0; 8];
        for ((to, from), word) in sum.iter_mut().zip(number).zip(&Self::WORDS) {
            let w = wide(m) * wide(*word) + wide(*from) + wide(carry);
            (*to, carry) = (low(w), high(w));
        }
        let last = top + wide(carry);
        let [_, s1, s2, s3, s4, s5, s6, s7] = sum;
        ([s1, s2, s3, s4, s5, s6, s7, low(last)], high(last))
    }
}

/// A number below its modulus.
#[derive(Clone, Copy)]
pub(super) struct Element<M>(Words, PhantomData<M>);

impl<M: Modulus> Element<M> {
    pub(super) const ZERO: Self = Self([0; 8], PhantomData);
    pub(super) const ONE: Self = Self(M::ONE, PhantomData);

    /// A number below the modulus, known when this is compiled.
    pub(super) const fn constant(number: &Words) -> Self {
        Self(doubled(*number, 256, &M::WORDS), PhantomData)
    }

    /// `None` if the number is not below the modulus. Take the answer for public.
    pub(super) fn from_words(words: Words) -> Option<Self> {
        let (_, borrow) = difference(&words, &M::WORDS);
        (borrow == 1).then(|| Self(words, PhantomData).times(&Self(M::SQUARE, PhantomData)))
    }

    /// Reads a big-endian number; `None` if it is not below the modulus. Take the answer for public.
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        Self::from_words(words_from_bytes(bytes))
    }

    /// Reads a big-endian number of 256 bits, reduced by the modulus.
    pub(super) fn reduced(bytes: &[u8; 32]) -> Self {
        let words = reduced(&words_from_bytes(bytes), 0, &M::WORDS);
        Self(words, PhantomData).times(&Self(M::SQUARE, PhantomData))
    }

    /// The number itself, no longer in Montgomery form.
    pub(super) fn words(&self) -> Words {
        self.times(&Self([1, 0, 0, 0, 0, 0, 0, 0], PhantomData)).0
    }

    /// The number, big-endian.
    pub(super) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let words = self.words();
        for (to, word) in bytes.chunks_exact_mut(4).zip(words.iter().rev()) {
            to.iter_mut().zip(word.to_be_bytes()).for_each(|(to, from)| *to = from);
        }
        bytes
    }

    #[inline(never)]
    pub(super) fn times(&self, other: &Self) -> Self {
        let mut number = [0; 8];
        let mut above = 0;
        let [a0, a1, a2, a3, a4, a5, a6, a7] = self.0;
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
        let [b0, b1, b2, b3, b4, b5, b6, b7] = other.0;
        row(b0);
        row(b1);
        row(b2);
        row(b3);
        row(b4);
        row(b5);
        row(b6);
        row(b7);
        Self(reduced(&number, above, &M::WORDS), PhantomData)
    }

    /// Three times this number.
    pub(super) fn tripled(&self) -> Self {
        self.plus(self).plus(self)
    }

    pub(super) fn squared(&self) -> Self {
        self.times(self)
    }

    #[inline(never)]
    pub(super) fn plus(&self, other: &Self) -> Self {
        let (sum, carry) = sum(&self.0, &other.0);
        Self(reduced(&sum, carry, &M::WORDS), PhantomData)
    }

    #[inline(never)]
    pub(super) fn minus(&self, other: &Self) -> Self {
        let (words, borrow) = difference(&self.0, &other.0);
        Self(sum_if(mask(borrow), &black_box(words), &M::WORDS), PhantomData)
    }

    pub(super) fn negated(&self) -> Self {
        Self::ZERO.minus(self)
    }

    /// This number to the power of a public exponent.
    pub(super) fn power(&self, exponent: &Words) -> Self {
        let mut product = Self::ONE;
        for word in exponent.iter().rev() {
            for bit in (0..32_u32).rev() {
                product = product.squared();
                if (word >> bit) & 1 == 1 {
                    product = product.times(self);
                }
            }
        }
        product
    }

    /// One divided by this number; zero for zero.
    pub(super) fn inverted(&self) -> Self {
        self.power(&M::LESS_TWO)
    }

    /// Whether it is zero. Take the answer for public.
    pub(super) fn is_zero(&self) -> bool {
        self.0.iter().fold(0, |all, word| all | word) == 0
    }

    /// All ones if it is zero, zero otherwise; in the same time for each number.
    pub(super) fn zero_mask(&self) -> u32 {
        let all = self.0.iter().fold(0, |all, word| all | word);
        mask(((all | 0_u32.wrapping_sub(all)) >> 31) ^ 1)
    }

    /// Whether both are the same number. Take the answer for public.
    pub(super) fn equals(&self, other: &Self) -> bool {
        self.minus(other).is_zero()
    }

    /// Takes `other` where `mask` is all ones, and changes nothing where it is zero.
    #[inline(always)]
    pub(super) fn take_if(&mut self, mask: u32, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(to, from)| *to ^= mask & (*to ^ *from));
    }
}

impl Element<Prime> {
    /// The square root, if there is one; which of the two is not said.
    pub(super) fn square_root(&self) -> Option<Self> {
        // The prime is 3 modulo 4, so it is the power of (prime + 1) / 4.
        let root = self.power(&[0, 0, 0x4000_0000, 0, 0, 0x4000_0000, 0xc000_0000, 0x3fff_ffff]);
        root.squared().equals(self).then_some(root)
    }
}

impl<M: Modulus> Default for Element<M> {
    fn default() -> Self {
        Self::ZERO
    }
}

impl<M> Zeroize for Element<M> {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// All ones for 1, zero for 0, without telling the optimiser that there are only two.
#[inline(always)]
pub(super) fn mask(bit: u32) -> u32 {
    black_box(0_u32.wrapping_sub(bit))
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

pub(super) fn words_from_bytes(bytes: &[u8; 32]) -> Words {
    let mut words = [0; 8];
    for (to, from) in words.iter_mut().rev().zip(bytes.as_chunks().0) {
        *to = u32::from_be_bytes(*from);
    }
    words
}

#[inline(always)]
const fn wide(word: u32) -> u64 {
    word as u64
}

#[inline(always)]
const fn low(word: u64) -> u32 {
    (word & 0xffff_ffff) as u32
}

#[inline(always)]
const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

/// 2^256 less the number. Evaluated when compiled.
#[expect(clippy::indexing_slicing, reason = "an index out of bounds would not compile")]
const fn negated(number: &Words) -> Words {
    let mut words = [0; 8];
    let mut carry = 1;
    let mut at = 0;
    while at < 8 {
        let w = wide(!number[at]) + carry;
        words[at] = low(w);
        carry = w >> 32;
        at += 1;
    }
    words
}

/// The number doubled so often modulo the modulus. Evaluated when compiled.
#[expect(clippy::indexing_slicing, reason = "an index out of bounds would not compile")]
const fn doubled(mut number: Words, times: u32, modulus: &Words) -> Words {
    let mut done = 0;
    while done < times {
        let mut twice = [0; 8];
        let mut less = [0; 8];
        let (mut carry, mut borrow) = (0, 0);
        let mut at = 0;
        while at < 8 {
            let w = 2 * wide(number[at]) + carry;
            twice[at] = low(w);
            carry = w >> 32;
            let d = wide(twice[at]).wrapping_sub(wide(modulus[at])).wrapping_sub(borrow);
            less[at] = low(d);
            borrow = (d >> 32) & 1;
            at += 1;
        }
        number = if carry == 1 || borrow == 0 { less } else { twice };
        done += 1;
    }
    number
}
