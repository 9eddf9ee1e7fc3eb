//! Writing: a value without its white space, else byte for byte as it was read.

use super::{Node, Sort};

/// Appends a value without white space between its parts.
pub fn minified(node: Node<'_, '_>, out: &mut Vec<u8>) {
    match node.sort() {
        Sort::Object => {
            out.push(b'{');
            for (place, (name, value)) in node.members().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                member(&name, out);
                minified(value, out);
            }
            out.push(b'}');
        }
        Sort::Array => {
            out.push(b'[');
            for (place, item) in node.items().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                minified(item, out);
            }
            out.push(b']');
        }
        Sort::Text => {
            out.push(b'"');
            out.extend_from_slice(node.source().as_bytes());
            out.push(b'"');
        }
        Sort::Number | Sort::Flag | Sort::Null => out.extend_from_slice(node.source().as_bytes()),
    }
}

/// Appends `"name":`.
pub fn member(name: &str, out: &mut Vec<u8>) {
    text(name, out);
    out.push(b':');
}

/// Appends text with its quotation marks and the escapes it needs (RFC 8259 section 7).
pub fn text(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 0xf)]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Document, Limits};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn numbers_and_escapes_stay_as_they_were_written() {
        let source = "{ \"a\" : [ 1.50 , 1E+2, \"\\u00e4\\/\" ] ,\n \"b\":{ } }";
        let document = Document::read(source.as_bytes(), &Limits::RESOURCE).expect("JSON");
        let mut out = Vec::new();
        minified(document.root(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), r#"{"a":[1.50,1E+2,"\u00e4\/"],"b":{}}"#);
    }

    proptest! {
        #[test]
        fn written_text_is_read_again(value in any::<String>()) {
            let mut out = Vec::new();
            text(&value, &mut out);
            let document = Document::read(&out, &Limits::RESOURCE).expect("JSON");
            let read = document.root().text();
            prop_assert_eq!(read.as_deref(), Some(value.as_str()));
        }
    }
}
