//! Bytes as standards print them.

/// The bytes of `digits`; spaces and line ends do not count.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    assert!(rest.is_empty(), "an odd number of digits");
    let digit = |digit: u8| char::from(digit).to_digit(16).expect("filtered") as u8;
    pairs.iter().map(|[high, low]| (digit(*high) << 4) | digit(*low)).collect()
}
