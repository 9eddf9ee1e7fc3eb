//! Reading: one pass without recursion; a node is an index into a flat list, in the order of the text.

use super::node::{Node, Sort};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// What a document may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the whole.
    pub bytes: usize,
    /// Objects and arrays within one another.
    pub depth: usize,
    /// Values of every sort, those in others included.
    pub nodes: usize,
    /// Members of one object.
    pub members: usize,
    /// Characters of one number: beyond 40 it is no measurement.
    pub number: usize,
}

impl Limits {
    /// One resource: what a listener takes at once, and twice the depth that any published example has.
    pub const RESOURCE: Self = Self { bytes: 1 << 20, depth: 40, nodes: 100_000, members: 2_000, number: 40 };
    /// A Bundle of resources, which are three levels below it.
    pub const BUNDLE: Self = Self { bytes: 8 << 20, depth: 43, nodes: 800_000, ..Self::RESOURCE };
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is not UTF-8.
    Encoding,
    /// It ends before its value does.
    Ends,
    /// Something else was expected here.
    Unexpected,
    /// A control character in text: it has to be written as an escape.
    Control,
    /// An escape that JSON does not have, or half of a surrogate pair.
    Escape,
    /// A number that JSON does not have.
    Number,
    /// There is more behind the value.
    Trailing,
    /// A name stands twice in one object.
    Twice,
    /// More than the limits allow: this many bytes, levels, values, members or digits.
    TooMuch(&'static str, usize),
}

/// Why a text is no document that is taken, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// What is wrong.
    pub wrong: Wrong,
    /// At which byte.
    pub offset: usize,
    /// On which line, from 1.
    pub line: usize,
    /// At which byte of the line, from 1.
    pub column: usize,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        match self.wrong {
            Wrong::Encoding => f.write_str("this is not UTF-8"),
            Wrong::Ends => f.write_str("the text ends too early"),
            Wrong::Unexpected => f.write_str("something else is expected here"),
            Wrong::Control => f.write_str("a control character has to be written as an escape"),
            Wrong::Escape => f.write_str("JSON has no such escape"),
            Wrong::Number => f.write_str("JSON has no such number"),
            Wrong::Trailing => f.write_str("there is more behind the value"),
            Wrong::Twice => f.write_str("this name stands in the object already"),
            Wrong::TooMuch(what, most) => write!(f, "more than {most} {what}"),
        }
    }
}

/// A value in the list: where its text is, and where the next one that is not inside it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw {
    pub(super) sort: Sort,
    pub(super) start: u32,
    pub(super) end: u32,
    /// The index behind all that is in it.
    pub(super) next: u32,
    /// Of a member: its name without quotation marks. Empty spans for all else.
    pub(super) name: (u32, u32),
    /// Whether name, text, have escapes.
    pub(super) escaped: (bool, bool),
}

/// A document that was read.
#[derive(Debug)]
pub struct Document<'a> {
    source: &'a str,
    nodes: Vec<Raw>,
}

impl<'a> Document<'a> {
    /// Reads a text.
    ///
    /// # Errors
    /// [`Error`], with its place.
    pub fn read(source: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        let text =
            std::str::from_utf8(source).map_err(|error| located(source, Wrong::Encoding, error.valid_up_to()))?;
        let most = limits.bytes.min(u32::MAX as usize);
        if source.len() > most {
            return Err(located(source, Wrong::TooMuch("bytes", most), most));
        }
        let mut reader =
            Reader { bytes: source, at: 0, limits, nodes: Vec::with_capacity(source.len() / 24 + 1), open: Vec::new() };
        match reader.document() {
            Ok(()) => Ok(Self { source: text, nodes: reader.nodes }),
            Err(wrong) => Err(located(source, wrong, reader.at)),
        }
    }

    /// The value itself.
    #[must_use]
    pub fn root(&self) -> Node<'_, 'a> {
        Node::at(self, 0)
    }

    pub(super) fn raw(&self, index: u32) -> Raw {
        const NOTHING: Raw =
            Raw { sort: Sort::Null, start: 0, end: 0, next: u32::MAX, name: (0, 0), escaped: (false, false) };
        self.nodes.get(index as usize).copied().unwrap_or(NOTHING)
    }

    pub(super) fn slice(&self, start: u32, end: u32) -> &'a str {
        self.source.get(start as usize..end as usize).unwrap_or_default()
    }
}

fn located(source: &[u8], wrong: Wrong, offset: usize) -> Error {
    let before = source.get(..offset.min(source.len())).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    Error { wrong, offset, line, column }
}

struct Reader<'a, 'l> {
    bytes: &'a [u8],
    at: usize,
    limits: &'l Limits,
    nodes: Vec<Raw>,
    /// Indices of the objects and arrays that are not closed yet.
    open: Vec<u32>,
}

impl Reader<'_, '_> {
    fn document(&mut self) -> Result<(), Wrong> {
        self.space();
        self.value((0, 0), false)?;
        while let Some(container) = self.open.last().copied() {
            self.space();
            self.continue_with(container)?;
        }
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Wrong::Trailing) }
    }

    /// The next member or item of an open container, or its end.
    fn continue_with(&mut self, container: u32) -> Result<(), Wrong> {
        let index = container as usize;
        let sort = self.nodes.get(index).map_or(Sort::Array, |raw| raw.sort);
        let close = if sort == Sort::Object { b'}' } else { b']' };
        let first = self.nodes.len() == index + 1;
        if self.peek()? == close {
            self.at += 1;
            return self.close(container, sort);
        }
        if !first {
            self.take(b',')?;
            self.space();
        }
        if sort == Sort::Array {
            return self.value((0, 0), false);
        }
        let (start, end, escaped) = self.text()?;
        self.space();
        self.take(b':')?;
        self.space();
        self.value((start, end), escaped)
    }

    fn close(&mut self, container: u32, sort: Sort) -> Result<(), Wrong> {
        self.open.pop();
        let (end, next) = (self.here(), self.count());
        if let Some(raw) = self.nodes.get_mut(container as usize) {
            (raw.end, raw.next) = (end, next);
        }
        if sort == Sort::Object { self.check_names(container, next) } else { Ok(()) }
    }

    /// Looks whether a name stands twice. Escapes are rare, and compared as what they mean.
    fn check_names(&mut self, container: u32, end: u32) -> Result<(), Wrong> {
        let mut names: Vec<(u32, Cow<'_, [u8]>)> = Vec::new();
        let mut index = container + 1;
        while index < end {
            let Some(raw) = self.nodes.get(index as usize) else { break };
            let span = self.bytes.get(raw.name.0 as usize..raw.name.1 as usize).unwrap_or_default();
            let name = if raw.escaped.0 {
                Cow::Owned(unescaped(&String::from_utf8_lossy(span)).into_bytes())
            } else {
                Cow::Borrowed(span)
            };
            names.push((raw.name.0, name));
            index = raw.next;
        }
        if names.len() > self.limits.members {
            return Err(Wrong::TooMuch("members in one object", self.limits.members));
        }
        let twice = if names.len() <= 16 {
            names
                .iter()
                .enumerate()
                .find(|(place, (_, name))| names.iter().take(*place).any(|(_, other)| other == name))
                .map(|(_, (at, _))| *at)
        } else {
            let mut seen = HashSet::with_capacity(names.len());
            names.iter().find(|(_, name)| !seen.insert(name)).map(|(at, _)| *at)
        };
        match twice {
            None => Ok(()),
            Some(at) => {
                self.at = at as usize;
                Err(Wrong::Twice)
            }
        }
    }

    fn value(&mut self, name: (u32, u32), name_escaped: bool) -> Result<(), Wrong> {
        if self.nodes.len() >= self.limits.nodes {
            return Err(Wrong::TooMuch("values", self.limits.nodes));
        }
        let (start, index) = (self.here(), self.count());
        let mut raw =
            Raw { sort: Sort::Null, start, end: start, next: index + 1, name, escaped: (name_escaped, false) };
        match self.peek()? {
            open @ (b'{' | b'[') => {
                if self.open.len() >= self.limits.depth {
                    return Err(Wrong::TooMuch("levels", self.limits.depth));
                }
                self.at += 1;
                raw.sort = if open == b'{' { Sort::Object } else { Sort::Array };
                self.open.push(index);
            }
            b'"' => {
                let (from, to, escaped) = self.text()?;
                raw = Raw { sort: Sort::Text, start: from, end: to, escaped: (name_escaped, escaped), ..raw };
            }
            b'-' | b'0'..=b'9' => {
                self.number()?;
                raw = Raw { sort: Sort::Number, end: self.here(), ..raw };
            }
            b't' => raw = Raw { sort: Sort::Flag, end: self.word(b"true")?, ..raw },
            b'f' => raw = Raw { sort: Sort::Flag, end: self.word(b"false")?, ..raw },
            b'n' => raw = Raw { sort: Sort::Null, end: self.word(b"null")?, ..raw },
            _ => return Err(Wrong::Unexpected),
        }
        self.nodes.push(raw);
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<u32, Wrong> {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(Wrong::Unexpected);
        }
        self.at += word.len();
        Ok(self.here())
    }

    /// Reads text; where it is without its quotation marks, and whether it has escapes.
    fn text(&mut self) -> Result<(u32, u32, bool), Wrong> {
        self.take(b'"')?;
        let (start, mut escaped) = (self.here(), false);
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                0..=0x1f => return Err(Wrong::Control),
                _ => self.at += 1,
            }
        }
        let end = self.here();
        self.at += 1;
        Ok((start, end, escaped))
    }

    fn escape(&mut self) -> Result<(), Wrong> {
        self.at += 1;
        match self.peek()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.at += 1;
                Ok(())
            }
            b'u' => match self.unit()? {
                0xd800..=0xdbff => {
                    self.word(b"\\").map_err(|_| Wrong::Escape)?;
                    if self.peek()? == b'u' && matches!(self.unit()?, 0xdc00..=0xdfff) {
                        Ok(())
                    } else {
                        Err(Wrong::Escape)
                    }
                }
                0xdc00..=0xdfff => Err(Wrong::Escape),
                _ => Ok(()),
            },
            _ => Err(Wrong::Escape),
        }
    }

    /// `u` and four hexadecimal digits.
    fn unit(&mut self) -> Result<u16, Wrong> {
        let digits = self.bytes.get(self.at + 1..self.at + 5).ok_or(Wrong::Ends)?;
        let unit = four_digits(digits).ok_or(Wrong::Escape)?;
        self.at += 5;
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek().map_err(|_| Wrong::Number)? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits()?,
            _ => return Err(Wrong::Number),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        if self.at - start > self.limits.number {
            self.at = start;
            return Err(Wrong::TooMuch("characters in a number", self.limits.number));
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start { Err(Wrong::Number) } else { Ok(()) }
    }

    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, Wrong> {
        self.bytes.get(self.at).copied().ok_or(Wrong::Ends)
    }

    fn take(&mut self, byte: u8) -> Result<(), Wrong> {
        if self.peek()? == byte {
            self.at += 1;
            Ok(())
        } else {
            Err(Wrong::Unexpected)
        }
    }

    /// The document has at most 2^32 bytes, so both fit.
    fn here(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }

    fn count(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }
}

fn four_digits(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |unit, digit| Some(unit << 4 | u16::try_from(char::from(*digit).to_digit(16)?).ok()?))
}

/// What text with escapes means. The escapes were checked when it was read.
pub(super) fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut next = escape.chars();
        let simple = match next.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let unit = |at: usize| escape.as_bytes().get(at..at + 4).and_then(four_digits);
                let units = [unit(1).unwrap_or(0xfffd), unit(7).unwrap_or(0)];
                let pair = matches!(units[0], 0xd800..=0xdbff);
                let read = char::decode_utf16(units).next().and_then(Result::ok).unwrap_or('\u{fffd}');
                out.push(read);
                rest = escape.get(if pair { 11 } else { 5 }..).unwrap_or_default();
                continue;
            }
            Some(itself) => itself,
            None => break,
        };
        out.push(simple);
        rest = next.as_str();
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    fn wrong(text: &str) -> Wrong {
        Document::read(text.as_bytes(), &Limits::RESOURCE).expect_err(text).wrong
    }

    #[test]
    fn a_document_is_read_over_its_own_text() {
        let text = r#"{"a":[1.50,-2e+3,{"b":"x\ty\u00e4\ud83d\ude00"}],"c":true,"d":null,"":""}"#;
        let document = Document::read(text.as_bytes(), &Limits::RESOURCE).expect("a document");
        let root = document.root();
        let items: Vec<_> = root.member("a").expect("a").items().collect();
        assert_eq!(items[0].source(), "1.50");
        assert_eq!(items[1].source(), "-2e+3");
        assert_eq!(items[2].member("b").and_then(Node::text).as_deref(), Some("x\tyä😀"));
        assert_eq!(root.member("c").and_then(Node::flag), Some(true));
        assert_eq!(root.members().map(|(name, _)| name.into_owned()).collect::<Vec<_>>(), ["a", "c", "d", ""]);
        assert!(root.member("e").is_none() && items[0].members().next().is_none());
    }

    /// Shows REQ-GEN-02.
    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for (text, expected) in [
            ("", Wrong::Ends),
            ("{", Wrong::Ends),
            ("[1,]", Wrong::Unexpected),
            ("{\"a\":1,}", Wrong::Unexpected),
            ("{a:1}", Wrong::Unexpected),
            ("\"\u{1}\"", Wrong::Control),
            ("\"\\x\"", Wrong::Escape),
            ("\"\\ud800\"", Wrong::Escape),
            ("\"\\udc00\"", Wrong::Escape),
            ("\"\\ud800\\u0041\"", Wrong::Escape),
            ("01", Wrong::Trailing),
            ("-", Wrong::Number),
            ("1.", Wrong::Number),
            ("1e", Wrong::Number),
            (".5", Wrong::Unexpected),
            ("NaN", Wrong::Unexpected),
            ("1 2", Wrong::Trailing),
            ("\u{feff}1", Wrong::Unexpected),
            ("{\"a\":1,\"\\u0061\":2}", Wrong::Twice),
        ] {
            assert_eq!(wrong(text), expected, "{text}");
        }
        let error = Document::read(b"{\n \"a\": 1,\n \"a\": 2}", &Limits::RESOURCE).expect_err("twice");
        assert_eq!((error.line, error.column), (3, 3));
        assert_eq!(Document::read(b"\"\xff\"", &Limits::RESOURCE).expect_err("no UTF-8").wrong, Wrong::Encoding);
    }

    /// Shows REQ-GEN-02.
    #[test]
    fn each_limit_holds_at_its_bound_and_not_beyond() {
        let limits = Limits { bytes: 200, depth: 3, nodes: 20, members: 18, number: 8 };
        let read = |text: &str| Document::read(text.as_bytes(), &limits).map(drop).map_err(|error| error.wrong);
        let members = |count: usize| {
            let all: Vec<String> = (0..count).map(|name| format!("\"{name}\":1")).collect();
            format!("{{{}}}", all.join(","))
        };
        assert_eq!(read(&format!("\"{}\"", "x".repeat(198))), Ok(()));
        assert_eq!(read(&format!("\"{}\"", "x".repeat(199))), Err(Wrong::TooMuch("bytes", 200)));
        assert_eq!(read("[[[]]]"), Ok(()));
        assert_eq!(read("[[[[]]]]"), Err(Wrong::TooMuch("levels", 3)));
        assert_eq!(read(&format!("[{}1]", "1,".repeat(18))), Ok(()));
        assert_eq!(read(&format!("[{}1]", "1,".repeat(19))), Err(Wrong::TooMuch("values", 20)));
        assert_eq!(read(&members(18)), Ok(()));
        assert_eq!(read(&members(19)), Err(Wrong::TooMuch("members in one object", 18)));
        assert_eq!(read("1234.678"), Ok(()));
        assert_eq!(read("1234.6789"), Err(Wrong::TooMuch("characters in a number", 8)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Another reader agrees on what is JSON, but for names that stand twice, long numbers, and numbers no float holds.
        #[test]
        fn text_is_read_as_others_read_it(text in "[\\[\\]{}\",:0-9eE.\\\\u+\\-a-f truefalsn]{0,24}") {
            let ours = Document::read(text.as_bytes(), &Limits::RESOURCE);
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match (&ours, &theirs) {
                (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("number out of range"), "{text}: {error}"),
                (Err(error), Ok(_)) => prop_assert_eq!(error.wrong, Wrong::Twice, "{}", text),
                _ => {}
            }
        }

        #[test]
        fn text_means_what_another_writer_meant(text in any::<String>()) {
            let written = serde_json::to_string(&text).expect("text");
            let document = Document::read(written.as_bytes(), &Limits::RESOURCE).expect("JSON");
            let read = document.root().text();
            prop_assert_eq!(read.as_deref(), Some(text.as_str()));
        }
    }
}
