//! Numbers modulo the prime and modulo the order of P-256, in Montgomery form.
//!
//! How they are calculated depends on the machine's words: `field/words32.rs` is for chips, `field/words64.rs` for the
//! machines with which they talk. Nothing in either depends on the values in its time, but for the exponent of
//! [`Element::power`], which is public.

#[cfg(any(not(target_pointer_width = "64"), feature = "words32"))]
#[path = "field/words32.rs"]
mod words;
#[cfg(all(target_pointer_width = "64", not(feature = "words32")))]
#[path = "field/words64.rs"]
mod words;

use core::hint::black_box;
use core::marker::PhantomData;

use zeroize::Zeroize;

use words::{Number, Step};

/// The words of a number from the lowest to the highest, as constants and digits are written.
pub(super) type Words = [u32; 8];

/// What numbers are counted modulo: an odd number between 2^255 and 2^256.
pub(super) trait Modulus: Step + Copy {
    /// The modulus.
    const WORDS: Words;
    /// The modulus less two.
    const LESS_TWO: Words;
    /// The modulus as this machine calculates with it.
    const NUMBER: Number = words::from_words(&Self::WORDS);
    /// 2^256 modulo it: one in Montgomery form.
    const ONE: Number = words::from_words(&negated(&Self::WORDS));
    /// 2^512 modulo it.
    const SQUARE: Number = words::from_words(&doubled(negated(&Self::WORDS), 256, &Self::WORDS));
}

/// The prime of the field: 2^256 - 2^224 + 2^192 + 2^96 - 1.
#[derive(Clone, Copy)]
pub(super) struct Prime;

impl Modulus for Prime {
    const WORDS: Words = [!0, !0, !0, 0, 0, 0, 1, !0];
    const LESS_TWO: Words = [!2, !0, !0, 0, 0, 0, 1, !0];
}

/// The order of the group.
#[derive(Clone, Copy)]
pub(super) struct Order;

impl Modulus for Order {
    const WORDS: Words = [0xfc63_2551, 0xf3b9_cac2, 0xa717_9e84, 0xbce6_faad, 0xffff_ffff, 0xffff_ffff, 0, 0xffff_ffff];
    const LESS_TWO: Words =
        [0xfc63_254f, 0xf3b9_cac2, 0xa717_9e84, 0xbce6_faad, 0xffff_ffff, 0xffff_ffff, 0, 0xffff_ffff];
}

/// A number below its modulus.
#[derive(Clone, Copy)]
pub(super) struct Element<M>(Number, PhantomData<M>);

impl<M: Modulus> Element<M> {
    pub(super) const ZERO: Self = Self(words::from_words(&[0; 8]), PhantomData);
    pub(super) const ONE: Self = Self(M::ONE, PhantomData);

    /// A number below the modulus, known when this is compiled.
    pub(super) const fn constant(number: &Words) -> Self {
        Self(words::from_words(&doubled(*number, 256, &M::WORDS)), PhantomData)
    }

    /// `None` if the number is not below the modulus. Take the answer for public.
    pub(super) fn from_words(words: Words) -> Option<Self> {
        let number = words::from_words(&words);
        words::is_below::<M>(&number).then(|| Self(number, PhantomData).times(&Self(M::SQUARE, PhantomData)))
    }

    /// Reads a big-endian number; `None` if it is not below the modulus. Take the answer for public.
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        Self::from_words(words_from_bytes(bytes))
    }

    /// Reads a big-endian number of 256 bits, reduced by the modulus.
    pub(super) fn reduced(bytes: &[u8; 32]) -> Self {
        let number = words::remainder::<M>(&words::from_words(&words_from_bytes(bytes)));
        Self(number, PhantomData).times(&Self(M::SQUARE, PhantomData))
    }

    /// The number itself, no longer in Montgomery form.
    pub(super) fn words(&self) -> Words {
        words::to_words(&self.times(&Self(words::from_words(&[1, 0, 0, 0, 0, 0, 0, 0]), PhantomData)).0)
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

    // A call costs a third of a product with long words; in chips code is dear.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(super) fn times(&self, other: &Self) -> Self {
        Self(words::product::<M>(&self.0, &other.0), PhantomData)
    }

    /// Three times this number.
    pub(super) fn tripled(&self) -> Self {
        self.plus(self).plus(self)
    }

    pub(super) fn squared(&self) -> Self {
        if words::SPEED_OVER_SIZE { Self(words::square::<M>(&self.0), PhantomData) } else { self.times(self) }
    }

    /// Squared `count` times.
    fn squared_often(&self, count: u32) -> Self {
        (0..count).fold(*self, |power, _| power.squared())
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self(words::plus::<M>(&self.0, &other.0), PhantomData)
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(super) fn minus(&self, other: &Self) -> Self {
        Self(words::minus::<M>(&self.0, &other.0), PhantomData)
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
        words::zero_mask(&self.0)
    }

    /// Whether both are the same number. Take the answer for public.
    pub(super) fn equals(&self, other: &Self) -> bool {
        self.minus(other).is_zero()
    }

    /// Takes `other` where `mask` is all ones, and changes nothing where it is zero.
    #[inline(always)]
    pub(super) fn take_if(&mut self, mask: u32, other: &Self) {
        let mask = words::widened(mask);
        self.0.iter_mut().zip(&other.0).for_each(|(to, from)| *to ^= mask & (*to ^ *from));
    }
}

impl Element<Prime> {
    /// The square root, if there is one; which of the two is not said.
    pub(super) fn square_root(&self) -> Option<Self> {
        // The prime is 3 modulo 4, so it is the power of (prime + 1) / 4: (2^32 - 1) * 2^222 + 2^190 + 2^94.
        let root = if words::SPEED_OVER_SIZE {
            let ones = [1, 2, 4, 8, 16].into_iter().fold(*self, |ones, count| ones.squared_often(count).times(&ones));
            ones.squared_often(32).times(self).squared_often(96).times(self).squared_often(94)
        } else {
            self.power(&[0, 0, 0x4000_0000, 0, 0, 0x4000_0000, 0xc000_0000, 0x3fff_ffff])
        };
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
