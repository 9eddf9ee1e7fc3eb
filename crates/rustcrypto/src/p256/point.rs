//! Points of P-256 in projective coordinates, with formulas that hold for each pair of points.
//!
//! J. Renes, C. Costello, L. Batina, "Complete addition formulas for prime order elliptic curves" (2016), for curves
//! with a = -3: algorithm 4 (addition).

use zeroize::Zeroize;

use super::field::{Element, Modulus, Order, Prime, Words, mask};

type Coordinate = Element<Prime>;
/// A number modulo the order of the group.
pub(super) type Scalar = Element<Order>;

/// b of the curve's equation y^2 = x^3 - 3 x + b (SP 800-186 section 3.2.1.3).
const B: Coordinate = Coordinate::constant(&[
    0x27d2_604b,
    0x3bce_3c3e,
    0xcc53_b0f6,
    0x651d_06b0,
    0x7698_86bc,
    0xb3eb_bd55,
    0xaa3a_93e7,
    0x5ac6_35d8,
]);
/// A point x = X / Z, y = Y / Z; at infinity where Z is zero.
#[derive(Clone, Copy)]
pub(super) struct Point {
    x: Coordinate,
    y: Coordinate,
    z: Coordinate,
}

impl Point {
    const INFINITY: Self = Self { x: Coordinate::ZERO, y: Coordinate::ONE, z: Coordinate::ZERO };

    /// The point with these coordinates, if it is on the curve.
    pub(super) fn from_coordinates(x: &[u8; 32], y: &[u8; 32]) -> Option<Self> {
        let (x, y) = (Coordinate::from_bytes(x)?, Coordinate::from_bytes(y)?);
        y.squared().equals(&right_side(&x)).then_some(Self { x, y, z: Coordinate::ONE })
    }

    /// The point with this x whose y is odd or even, if there is one. No point has y = 0: the order is odd.
    pub(super) fn from_x(x: &[u8; 32], odd: bool) -> Option<Self> {
        let x = Coordinate::from_bytes(x)?;
        let y = right_side(&x).square_root()?;
        let [lowest, ..] = y.words();
        let y = if (lowest & 1 == 1) == odd { y } else { y.negated() };
        Some(Self { x, y, z: Coordinate::ONE })
    }

    /// The affine coordinates; zeros at infinity.
    pub(super) fn coordinates(&self) -> ([u8; 32], [u8; 32]) {
        let z = self.z.inverted();
        (self.x.times(&z).to_bytes(), self.y.times(&z).to_bytes())
    }

    /// The affine coordinates of a point that was read: its Z is one.
    pub(super) fn coordinates_as_read(&self) -> ([u8; 32], [u8; 32]) {
        (self.x.to_bytes(), self.y.to_bytes())
    }

    /// The affine x; zero at infinity.
    pub(super) fn x(&self) -> [u8; 32] {
        self.x.times(&self.z.inverted()).to_bytes()
    }

    /// Whether the affine x, reduced by the order of the group, is `r`. Take the answer for public.
    pub(super) fn x_is(&self, r: &Scalar) -> bool {
        if self.z.is_zero() {
            return false;
        }
        // x is r, or r and the order where that is still below the prime. Comparing x * Z spares the division.
        let r = r.words();
        let candidates = [Some(r), sum(&r, &Order::WORDS)];
        candidates
            .iter()
            .flatten()
            .any(|x| Coordinate::from_words(*x).is_some_and(|x| x.times(&self.z).equals(&self.x)))
    }

    #[inline(never)]
    fn add(&mut self, other: &Self) {
        let (x1, y1, z1) = (&self.x, &self.y, &self.z);
        let (x2, y2, z2) = (&other.x, &other.y, &other.z);
        let mut t0 = x1.times(x2);
        let mut t1 = y1.times(y2);
        let mut t2 = z1.times(z2);
        let t3 = x1.plus(y1).times(&x2.plus(y2)).minus(&t0.plus(&t1));
        let t4 = y1.plus(z1).times(&y2.plus(z2)).minus(&t1.plus(&t2));
        let mut y3 = x1.plus(z1).times(&x2.plus(z2)).minus(&t0.plus(&t2));
        let mut x3 = y3.minus(&B.times(&t2)).tripled();
        let mut z3 = t1.minus(&x3);
        x3 = t1.plus(&x3);
        t2 = t2.tripled();
        y3 = B.times(&y3).minus(&t2).minus(&t0).tripled();
        t0 = t0.tripled().minus(&t2);
        t1 = t4.times(&y3);
        t2 = t0.times(&y3);
        y3 = x3.times(&z3).plus(&t2);
        x3 = t3.times(&x3).minus(&t1);
        z3 = t4.times(&z3).plus(&t3.times(&t0));
        *self = Self { x: x3, y: y3, z: z3 };
    }

    /// Sixteen times the point: four doublings in Jacobian coordinates (x = X / Z^2, y = Y / Z^3), which need 8 products
    /// each instead of 11 (D. J. Bernstein, "A software implementation of NIST P-224", 2001). They hold for each point:
    /// none but the one at infinity has Y = 0 or Z = 0, and that one is put right at the end.
    #[inline(never)]
    fn sixteenfold(&mut self) {
        let mut z = self.z;
        let mut x = self.x.times(&z);
        let mut y = self.y.times(&z.squared());
        for _ in 0..4 {
            let delta = z.squared();
            let gamma = y.squared();
            z = y.times(&z);
            z = z.plus(&z);
            let alpha = x.minus(&delta).times(&x.plus(&delta)).tripled();
            let mut beta = x.times(&gamma);
            beta = beta.plus(&beta);
            beta = beta.plus(&beta);
            x = alpha.squared().minus(&beta).minus(&beta);
            let mut square = gamma.plus(&gamma).squared();
            square = square.plus(&square);
            y = alpha.times(&beta.minus(&x)).minus(&square);
        }
        self.x = x.times(&z);
        self.y = y;
        self.z = z.times(&z.squared());
        self.y.take_if(self.z.zero_mask(), &Coordinate::ONE);
    }

    /// Takes `other` where `mask` is all ones, and changes nothing where it is zero.
    fn take_if(&mut self, mask: u32, other: &Self) {
        self.x.take_if(mask, &other.x);
        self.y.take_if(mask, &other.y);
        self.z.take_if(mask, &other.z);
    }
}

impl Zeroize for Point {
    fn zeroize(&mut self) {
        self.x.zeroize();
        self.y.zeroize();
        self.z.zeroize();
    }
}

/// x^3 - 3 x + b.
fn right_side(x: &Coordinate) -> Coordinate {
    x.squared().times(x).minus(&x.tripled()).plus(&B)
}

/// The sum, if it has no more than 256 bits.
fn sum(a: &Words, b: &Words) -> Option<Words> {
    let mut words = [0; 8];
    let mut carry = false;
    for ((to, a), b) in words.iter_mut().zip(a).zip(b) {
        (*to, carry) = a.carrying_add(*b, carry);
    }
    (!carry).then_some(words)
}

/// The first eight multiples of a point.
pub(super) struct Multiples([Point; 8]);

impl Multiples {
    /// No point yet. Filled in place: a table that is returned would be on the stack twice.
    pub(super) const EMPTY: Self = Self([Point::INFINITY; 8]);

    /// Those of the base point, from the image: no memory and no work.
    pub(super) const fn of_generator() -> &'static Self {
        static OF_GENERATOR: Multiples = {
            let mut multiples = Multiples::EMPTY;
            let (mut places, mut base) = (multiples.0.as_mut_slice(), BASE.as_slice());
            while let ([place, places_left @ ..], [(x, y), base_left @ ..]) = (places, base) {
                *place = Point { x: Coordinate::constant(x), y: Coordinate::constant(y), z: Coordinate::ONE };
                (places, base) = (places_left, base_left);
            }
            multiples
        };
        &OF_GENERATOR
    }

    #[inline(never)]
    pub(super) fn fill(&mut self, point: &Point) {
        let mut multiple = Point::INFINITY;
        for place in &mut self.0 {
            multiple.add(point);
            *place = multiple;
        }
    }
}

/// A point and what it is to be multiplied with, in digits from -8 to 7.
pub(super) struct Term<'t> {
    multiples: &'t Multiples,
    /// The factor and 0x88…88: each of its hexadecimal digits less 8 is a digit of the factor.
    digits: Words,
    /// What the sum carries.
    carry: u32,
}

impl<'t> Term<'t> {
    /// The same work for each factor.
    pub(super) fn new(multiples: &'t Multiples, factor: &Scalar) -> Self {
        let mut term = Self { multiples, digits: factor.words(), carry: 0 };
        for word in &mut term.digits {
            let w = u64::from(*word) + 0x8888_8888 + u64::from(term.carry);
            *word = (w & 0xffff_ffff) as u32;
            term.carry = (w >> 32) as u32;
        }
        term
    }

    /// The point times the digit; all multiples are read.
    fn multiple(&self, digit: u32) -> Point {
        let negative = mask((digit >> 3) ^ 1);
        // |digit - 8|: two's complement where negative.
        let size = (digit.wrapping_sub(8) ^ negative).wrapping_sub(negative);
        let mut chosen = Point::INFINITY;
        for (number, multiple) in (1_u32..).zip(&self.multiples.0) {
            chosen.take_if(mask((number ^ size).wrapping_sub(1) >> 31), multiple);
        }
        let minus_y = chosen.y.negated();
        chosen.y.take_if(negative, &minus_y);
        chosen
    }
}

impl Drop for Term<'_> {
    fn drop(&mut self) {
        self.digits.zeroize();
        self.carry.zeroize();
    }
}

/// The sum of the terms.
#[inline(never)]
pub(super) fn combined(terms: &[Term<'_>]) -> Point {
    let mut sum = Point::INFINITY;
    for term in terms {
        sum.add(&term.multiple(8 + term.carry));
    }
    for index in (0..8).rev() {
        for shift in (0..32).rev().step_by(4) {
            sum.sixteenfold();
            for term in terms {
                let word = term.digits.get(index).copied().unwrap_or_default();
                sum.add(&term.multiple((word >> (shift - 3)) & 0xf));
            }
        }
    }
    sum
}

/// The base point (SP 800-186 section 3.2.1.3) and what it is twice to eight times: x and y of each.
const BASE: [(Words, Words); 8] = [
    (
        [0xd898_c296, 0xf4a1_3945, 0x2deb_33a0, 0x7703_7d81, 0x63a4_40f2, 0xf8bc_e6e5, 0xe12c_4247, 0x6b17_d1f2],
        [0x37bf_51f5, 0xcbb6_4068, 0x6b31_5ece, 0x2bce_3357, 0x7c0f_9e16, 0x8ee7_eb4a, 0xfe1a_7f9b, 0x4fe3_42e2],
    ),
    (
        [0x4766_9978, 0xa60b_48fc, 0x77f2_1b35, 0xc089_69e2, 0x04b5_1ac3, 0x8a52_3803, 0x8d03_4f7e, 0x7cf2_7b18],
        [0x2278_73d1, 0x9e04_b79d, 0x3ce9_8229, 0xba7d_ade6, 0x9f74_30db, 0x293d_9ac6, 0xdb8e_d040, 0x0777_5510],
    ),
    (
        [0xc6e7_fd6c, 0xfb41_661b, 0xefad_a985, 0xe6c6_b721, 0x1d4b_f165, 0xc8f7_ef95, 0xa633_0a44, 0x5ecb_e4d1],
        [0xa27d_5032, 0x9a79_b127, 0x384f_b83d, 0xd82a_b036, 0x1a64_a2ec, 0x374b_06ce, 0x4998_ff7e, 0x8734_640c],
    ),
    (
        [0x6b03_0852, 0x5093_0244, 0x7855_96ef, 0x031f_e2db, 0x9ee6_2bd0, 0xa02d_de65, 0x32d0_8fbb, 0xe253_4a35],
        [0x184e_d8c6, 0x5c42_c23f, 0xf30e_e005, 0x4efc_96c3, 0xda86_2d76, 0x19df_ee5f, 0x4c63_3cc7, 0xe0f1_575a],
    ),
    (
        [0xc3d0_33ed, 0x2155_4a0d, 0x1f5b_e524, 0xef8c_82fd, 0x0866_8fdf, 0xd784_c856, 0x5151_40d2, 0x5159_0b7a],
        [0xfda1_6da4, 0xd1d0_bb44, 0xd4d8_0888, 0x0d01_2f00, 0xbf8a_7926, 0x8ae1_bf36, 0x904a_727d, 0xe0c1_7da8],
    ),
    (
        [0x3c22_91a9, 0xc6b0_aae9, 0xebb2_15b4, 0x024c_740d, 0xb897_dde3, 0x92d3_242c, 0x76a4_602c, 0xb01a_172a],
        [0x8fc7_7fe2, 0xfd7c_4853, 0x1c7e_16bd, 0x1c00_f770, 0xfba7_0379, 0x6fec_0e2d, 0x3237_dad5, 0xe85c_1074],
    ),
    (
        [0x3187_b2a3, 0x3006_2870, 0xa80f_ef5b, 0x7ef9_f8b8, 0x7c01_fb60, 0x25bb_3066, 0xa0bf_7b46, 0x8e53_3b6f],
        [0xc1f4_00b4, 0xc55e_1a86, 0xcb04_1b21, 0x53c7_3633, 0xa6f5_9000, 0x6d06_9f83, 0xe033_1836, 0x73eb_1dbd],
    ),
    (
        [0xdb6f_b393, 0xb4dd_9dc1, 0x0fce_97db, 0xc1d2_3898, 0x3ab5_4cad, 0x4042_742d, 0xbee9_b053, 0x62d9_779d],
        [0x0f09_957e, 0xda54_0a6a, 0xbbe7_6a78, 0xa2ed_51f6, 0x1167_cee0, 0x4ff1_5d77, 0x91e9_d824, 0xad5a_ccbd],
    ),
];
