//! Numbers as they were written: their precision counts, and no arithmetic beyond order and range is needed.

/// The largest exponent that is read, as a magnitude: beyond it nothing is measured.
const MOST_EXPONENT: i32 = 30;

/// A decimal number with the digits it was written with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal<'a> {
    source: &'a str,
    negative: bool,
    /// All digits, the first may be zero.
    digits: Vec<u8>,
    /// The power of ten of the last digit.
    last: i32,
}

/// A number as bytes that order as the number does, of whatever length.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<u8>);

impl Key {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Less than every number.
    #[must_use]
    pub const fn lowest() -> Self {
        Self(Vec::new())
    }

    /// More than every number.
    #[must_use]
    pub fn highest() -> Self {
        Self(vec![0xff])
    }

    /// Zero is one byte. A number begins with its sign and the power of ten above its first digit; then follow two digits a
    /// byte, each one more than itself, so that no digit orders before the end. Of a negative number all is inverted.
    fn of(negative: bool, digits: &[u8], last: i32) -> Self {
        let leading = digits.iter().take_while(|digit| **digit == 0).count();
        let digits = digits.get(leading..).unwrap_or_default();
        let trailing = digits.iter().rev().take_while(|digit| **digit == 0).count();
        let above = last.saturating_add(i32::try_from(digits.len()).unwrap_or(i32::MAX));
        let digits = digits.get(..digits.len() - trailing).unwrap_or_default();
        if digits.is_empty() {
            return Self(vec![0x80]);
        }
        // Forty digits and exponents to thirty: always within a byte.
        let power = u8::try_from(above.saturating_add(128).clamp(0, 255)).unwrap_or(u8::MAX);
        let pairs = digits.chunks(2).map(|pair| {
            let digit = |place: usize| pair.get(place).map_or(0, |digit| digit + 1);
            digit(0) << 4 | digit(1)
        });
        let magnitude = std::iter::once(power).chain(pairs);
        Self(if negative {
            // The end orders behind every further digit.
            std::iter::once(0x40).chain(magnitude.map(|byte| !byte)).chain([0xff]).collect()
        } else {
            std::iter::once(0xc0).chain(magnitude).collect()
        })
    }
}

impl<'a> Decimal<'a> {
    /// Reads a number as JSON writes it; `None` if it is none, or its exponent is beyond 30.
    #[must_use]
    pub fn read(source: &'a str) -> Option<Self> {
        let (negative, rest) = source.strip_prefix('-').map_or((false, source), |rest| (true, rest));
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let exponent: i32 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let point_is_needless = mantissa.ends_with('.');
        let digits: Option<Vec<u8>> =
            whole.bytes().chain(fraction.bytes()).map(|byte| byte.is_ascii_digit().then(|| byte - b'0')).collect();
        let digits = digits.filter(|_| !whole.is_empty() && !point_is_needless)?;
        if exponent.abs() > MOST_EXPONENT || digits.len() > 64 {
            return None;
        }
        let last = exponent - i32::try_from(fraction.len()).ok()?;
        Some(Self { source, negative, digits, last })
    }

    /// Its text.
    #[must_use]
    pub const fn source(&self) -> &'a str {
        self.source
    }

    /// Whether it is written without fraction and exponent.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.source.contains(['.', 'e', 'E'])
    }

    /// Bytes that order as it does.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::of(self.negative, &self.digits, self.last)
    }

    /// Half a unit of the last digit below and above it: `5.4` is from `5.35` to `5.45`
    /// (FHIR R4, section 3.1.1.5.6, numbers).
    #[must_use]
    pub fn range(&self) -> (Key, Key) {
        // One digit more, then five of it less and more.
        let mut digits = vec![0];
        digits.extend_from_slice(&self.digits);
        digits.push(0);
        let five = |mut digits: Vec<u8>, step: i8| {
            let mut carry = 5 * step;
            for digit in digits.iter_mut().rev() {
                let sum = i8::try_from(*digit).unwrap_or(0) + carry;
                *digit = u8::try_from(sum.rem_euclid(10)).unwrap_or(0);
                carry = sum.div_euclid(10);
                if carry == 0 {
                    break;
                }
            }
            (carry >= 0).then_some(digits)
        };
        let last = self.last - 1;
        let outer = five(digits.clone(), 1).map_or_else(Key::highest, |digits| Key::of(self.negative, &digits, last));
        // Of zero the other half is beyond it.
        let inner = match five(digits, -1) {
            Some(digits) => Key::of(self.negative, &digits, last),
            None => Key::of(!self.negative, &[5], last),
        };
        if self.negative { (outer, inner) } else { (inner, outer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert_eq, proptest};

    fn key(text: &str) -> Key {
        Decimal::read(text).expect(text).key()
    }

    /// Shows REQ-GEN-03.
    #[test]
    fn keys_order_as_numbers_do() {
        let ordered = [
            "-1e30", "-123.5", "-123", "-12.3", "-12", "-0.123", "-0.12", "-0.1", "-1e-30", "0", "1e-30", "0.1",
            "0.12", "0.123", "0.99", "1", "5.35", "5.4", "5.45", "9", "10", "10.01", "99", "100", "1e30",
        ];
        for pair in ordered.windows(2) {
            assert!(key(pair[0]) < key(pair[1]), "{pair:?}");
        }
        for same in [["1", "1.0"], ["100", "1e2"], ["0.0", "-0"], ["0.50", "5e-1"]] {
            assert_eq!(key(same[0]), key(same[1]), "{same:?}");
        }
        assert!(Key::lowest() < key("-1e30") && key("1e30") < Key::highest());
    }

    /// Shows REQ-GEN-03.
    #[test]
    fn a_range_is_half_a_unit_of_the_last_digit() {
        for (number, low, high) in [
            ("5.4", "5.35", "5.45"),
            ("5.40", "5.395", "5.405"),
            ("100", "99.5", "100.5"),
            ("1e2", "50", "150"),
            ("-5.4", "-5.45", "-5.35"),
            ("0", "-0.5", "0.5"),
            ("9.99", "9.985", "9.995"),
            ("99.5", "99.45", "99.55"),
        ] {
            assert_eq!(Decimal::read(number).expect("a number").range(), (key(low), key(high)), "{number}");
        }
    }

    #[test]
    fn what_no_one_measures_is_no_number() {
        for text in ["1e31", "1e-31", "1e99999999999", "", "-", "1.", "x", "1e"] {
            assert!(Decimal::read(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn keys_agree_with_whole_numbers(a in -1_000_000_i64..1_000_000, b in -1_000_000_i64..1_000_000) {
            let (left, right) = (a.to_string(), b.to_string());
            prop_assert_eq!(key(&left).cmp(&key(&right)), a.cmp(&b));
        }
    }
}
