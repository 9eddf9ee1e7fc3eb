//! Numbers that follow from a seed, and values that are odd.

use serde_json::{Value, json};

/// A sequence of numbers: the same for the same seed and round (SplitMix64).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64, round: u32) -> Self {
        let mut chance = Self(seed ^ u64::from(round).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        chance.next();
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from(self.next() % bound).unwrap_or_default()
    }

    /// True once in so many times.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub(super) fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }

    /// One of these texts; empty if there is none.
    pub(super) fn text<'a>(&mut self, all: &'a [&'a str]) -> &'a str {
        self.of(all).copied().unwrap_or_default()
    }

    /// A text as it is written into an address, so or otherwise.
    pub(super) fn escaped(&mut self, text: &str) -> String {
        let all = self.once_in(8);
        let escape = |byte: u8| match byte {
            byte if byte.is_ascii_alphanumeric() && !all => char::from(byte).to_string(),
            b'-' | b'.' | b'_' | b'~' | b'|' | b':' | b'/' | b',' | b'$' if !all => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(escape).collect()
    }

    /// What stands for a parameter of this type, as it should be or not.
    pub(super) fn value(&mut self, of: &str, id: &str) -> String {
        if self.once_in(2) {
            return self.odd_text();
        }
        let own: &[&str] = match of {
            "token" => &["final", "http://loinc.org|99504-3", "|x", "http://loinc.org|", "true", "female", "a,b,c"],
            "date" => &["2024-01-01", "ge2024", "lt2030-01-01T00:00:00Z", "ne2024-02", "sa2020", "eb2030", "ap2024-01"],
            "number" => &["5", "lt5", "1e2", "-0.5"],
            "quantity" => &["5", "gt5.4|http://unitsofmeasure.org|mg/dL", "5||mg", "ap7"],
            "string" => &["a", "Anna", "Mül", "a b", "A\\,B"],
            "uri" => &["urn:x", "http://example.org/a"],
            "composite" => &["http://loinc.org|99504-3$gt5", "a$b"],
            "reference" if !id.is_empty() => return id.to_owned(),
            _ => &["Patient/1", "x", "http://other.example/Patient/1"],
        };
        self.text(own).to_owned()
    }

    /// A text that somebody might send by mistake, or on purpose.
    pub(super) fn odd_text(&mut self) -> String {
        const ODD: [&str; 40] = [
            "",
            " ",
            "|",
            "|||",
            "$",
            "$$",
            ",",
            ",,,",
            "\\",
            "\\,",
            "\\|",
            "null",
            "true",
            "-1",
            "0",
            "1e999",
            "NaN",
            "ge",
            "gt",
            "ge9999-99-99",
            "0000-00-00",
            "2024-02-30",
            "2024-01-01T25:00:00Z",
            "99999999999999999999",
            "../../etc/passwd",
            "Patient/",
            "/",
            "Patient/1/_history/",
            "#",
            "?",
            "' OR 1=1 --",
            "\"; DROP TABLE r; --",
            "%",
            "{}",
            "<script>",
            "\u{0}",
            "\u{202e}abc",
            "\u{1f4a9}",
            "e\u{301}",
            "*",
        ];
        match self.below(12) {
            0 => "x".repeat(1 + self.below(3_000)),
            1 => "a,".repeat(1 + self.below(200)),
            _ => self.text(&ODD).to_owned(),
        }
    }

    /// A value that does not belong where it stands.
    pub(super) fn odd_value(&mut self) -> Value {
        match self.below(14) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(-1),
            3 => json!(1e300),
            4 => json!(0.000_000_000_000_000_1),
            5 => json!([]),
            6 => json!({}),
            7 => json!([[]]),
            8 => json!([null]),
            9 => json!({ "reference": self.odd_text() }),
            10 => json!({ "extension": [{ "url": self.odd_text(), "valueString": self.odd_text() }] }),
            11 => json!(i64::MAX),
            _ => json!(self.odd_text()),
        }
    }
}
