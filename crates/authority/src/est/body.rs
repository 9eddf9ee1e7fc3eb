//! The body of an EST request: a PKCS#10 request, and how clients write it.

/// The most bytes of a request body: a request with a P-384 key and many names takes about 2,000 in base64.
pub const MAX_BODY: usize = 64 * 1024;

/// Why a body is no certificate request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// There is nothing.
    #[error("the body is empty: send a PKCS#10 request, base64")]
    Empty,
    /// There is too much.
    #[error("the body has more than {MAX_BODY} bytes")]
    TooLong,
    /// It is not base64.
    #[error("the body is not base64 of a PKCS#10 request (RFC 8951 section 3)")]
    Encoding,
}

/// Reads a body: base64 with or without line breaks and padding (RFC 8951 section 3), PEM, or plain DER. The header
/// Content-Transfer-Encoding is not asked: clients leave it out, or say what is not true.
///
/// # Errors
/// [`BodyError`]; whether the DER is a request is found out later.
pub fn decode_body(body: &[u8]) -> Result<Vec<u8>, BodyError> {
    if body.len() > MAX_BODY {
        return Err(BodyError::TooLong);
    }
    if body.trim_ascii().is_empty() {
        return Err(BodyError::Empty);
    }
    // A SEQUENCE of more than 127 bytes begins with 0x30 0x81 or 0x30 0x82: "0" and a byte that base64 does not have.
    if body.starts_with(&[0x30, 0x81]) || body.starts_with(&[0x30, 0x82]) {
        return Ok(body.to_vec());
    }
    let text = std::str::from_utf8(body).map_err(|_| BodyError::Encoding)?;
    let mut letters = Vec::with_capacity(text.len());
    for line in text.lines().filter(|line| !line.trim_start().starts_with("-----")) {
        letters.extend(line.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    }
    let end = letters.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let (digits, padding) = letters.split_at(end);
    if padding.len() > 2 || digits.is_empty() {
        return Err(BodyError::Encoding);
    }
    data_encoding::BASE64_NOPAD.decode(digits).map_err(|_| BodyError::Encoding)
}

/// Letters of a line, as MIME has it.
const LINE: usize = 76;

/// Base64 in lines of 76, as MIME has it.
pub(super) fn encode_body(der: &[u8]) -> String {
    let letters = data_encoding::BASE64.encode(der);
    let mut text = String::with_capacity(letters.len() + letters.len() / LINE * 2 + 2);
    let mut rest = letters.as_str();
    while let Some((line, behind)) = rest.split_at_checked(LINE).filter(|(_, behind)| !behind.is_empty()) {
        text.push_str(line);
        text.push_str("\r\n");
        rest = behind;
    }
    text.push_str(rest);
    text.push_str("\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bodies_as_clients_write_them() {
        let der = [&[0x30, 0x81, 200][..], &[7; 200]].concat();
        let one_line = data_encoding::BASE64.encode(&der);
        let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\n{one_line}\n-----END CERTIFICATE REQUEST-----\n");
        let texts = [
            one_line.clone(),
            encode_body(&der),
            pem,
            one_line.trim_end_matches('=').to_owned(),
            format!("\r\n {one_line}"),
        ];
        for text in texts {
            assert_eq!(decode_body(text.as_bytes()).as_deref(), Ok(&der[..]), "{text}");
        }
        assert_eq!(decode_body(&der).as_deref(), Ok(&der[..]));
    }

    #[test]
    fn what_is_no_body_is_refused() {
        assert_eq!(decode_body(b" \r\n"), Err(BodyError::Empty));
        assert_eq!(decode_body(b"MIIB*"), Err(BodyError::Encoding));
        assert_eq!(decode_body(b"==="), Err(BodyError::Encoding));
        assert_eq!(decode_body(b"\xff\xfe"), Err(BodyError::Encoding));
        assert_eq!(decode_body(&vec![b'A'; MAX_BODY + 1]), Err(BodyError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_body(&bytes);
        }

        #[test]
        fn what_is_written_is_read(der in proptest::collection::vec(any::<u8>(), 1..400)) {
            prop_assume!(!der.starts_with(&[0x30, 0x81]) && !der.starts_with(&[0x30, 0x82]));
            prop_assert_eq!(decode_body(encode_body(&der).as_bytes()), Ok(der));
        }
    }
}
