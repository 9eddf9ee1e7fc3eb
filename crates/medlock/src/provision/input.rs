//! Rows from CSV, JSON lines, a single request, or a folder of requests: one at a time, in an order that is always the same.

use crate::Failure;
use data_encoding::{BASE64, HEXLOWER};
use medlock_authority::enrolment::Unfit;
use medlock_authority::provision::{self, Row};
use medlock_node::provider::sha256;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most bytes of one row or file.
const MAX_ROW: u64 = 256 << 10;

/// One row, and what tells it from others.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its number in the input, from 1.
    pub(crate) number: u64,
    /// The row, or why it cannot be read.
    pub(crate) row: Result<Row, String>,
    /// The first 8 bytes of SHA-256 of what it says, in hexadecimal.
    pub(crate) digest: String,
}

/// An input: an iterator of rows.
pub(crate) struct Input {
    number: u64,
    source: Source,
}

enum Source {
    Csv { reader: Box<csv::Reader<Bounded>>, columns: Vec<Column>, budget: Arc<AtomicU64> },
    JsonLines(Box<dyn BufRead>),
    Files { names: std::vec::IntoIter<PathBuf>, count: u64 },
    One(Option<Row>),
}

/// What is wrong.
#[derive(Debug)]
enum Wrong {
    /// This row cannot be read; the others go on.
    Row(String),
    /// The run stops.
    Run(Failure),
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::Run(error.into())
    }
}

impl From<Wrong> for Failure {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Row(why) => why.into(),
            Wrong::Run(failure) => failure,
        }
    }
}

/// What a column of a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Serial,
    Material,
    Type,
}

impl Column {
    fn named(name: &str) -> Result<Self, Wrong> {
        match name.trim().to_ascii_lowercase().as_str() {
            "serial" => Ok(Self::Serial),
            "key" | "public_key" | "request" | "material" => Ok(Self::Material),
            "type" | "device_type" => Ok(Self::Type),
            "d" => Err(Wrong::Run(Box::new(Unfit::PrivateKey))),
            other if other.contains("priv") || other.contains("secret") => Err(Wrong::Run(Box::new(Unfit::PrivateKey))),
            other if other.contains([';', '\t']) => {
                Err(Wrong::Row(format!("{other:?}: write commas between the columns serial, key, request, type")))
            }
            other => Err(Wrong::Row(format!("{other:?} is none of serial, key, request, type"))),
        }
    }
}

impl Input {
    /// Opens a file, a folder or standard input (`-`).
    ///
    /// # Errors
    /// When it cannot be read, or its header is not understood.
    pub(crate) fn open(path: &Path, serial: Option<&str>) -> Result<Self, Failure> {
        let named = |error: io::Error| format!("input {}: {error}", path.display());
        if path.is_dir() {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(path).map_err(named)? {
                let entry = entry.map_err(named)?;
                let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                if !hidden && entry.file_type().map_err(named)?.is_file() {
                    names.push(entry.path());
                }
            }
            // A folder has no order of its own, and a run that goes on needs the one of before.
            names.sort_unstable();
            let count = u64::try_from(names.len())?;
            return Ok(Self { number: 0, source: Source::Files { names: names.into_iter(), count } });
        }
        let reader: Box<dyn BufRead> = if path.as_os_str() == "-" {
            Box::new(BufReader::new(io::stdin()))
        } else {
            Box::new(BufReader::with_capacity(1 << 16, File::open(path).map_err(named)?))
        };
        let source = Source::of(reader, serial).map_err(|error| format!("input {}: {error}", path.display()))?;
        Ok(Self { number: 0, source })
    }

    /// How many rows there are, where that is known before they are read.
    pub(crate) fn count(&self) -> Option<u64> {
        match &self.source {
            Source::Files { count, .. } => Some(*count),
            Source::One(_) => Some(1),
            Source::Csv { .. } | Source::JsonLines(_) => None,
        }
    }
}

impl Iterator for Input {
    type Item = Result<Entry, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.source.next().transpose()?;
        self.number += 1;
        let entry = match row {
            Ok(row) => entry(self.number, Ok(row)),
            Err(Wrong::Row(why)) => entry(self.number, Err(why)),
            Err(Wrong::Run(failure)) => Err(failure),
        };
        Some(entry.map_err(|error| format!("input, row {}: {error}", self.number).into()))
    }
}

/// A private key stops the run: it is not a row that went wrong, but a factory that does not do what it should.
fn entry(number: u64, row: Result<Row, String>) -> Result<Entry, Failure> {
    let digest = match &row {
        Ok(row) if provision::material(&row.material) == Err(Unfit::PrivateKey) => {
            return Err(Box::new(Unfit::PrivateKey));
        }
        Ok(row) => sha256(&serde_json::to_vec(row)?),
        Err(why) => sha256(why.as_bytes()),
    };
    Ok(Entry { number, row, digest: HEXLOWER.encode(&digest[..8]) })
}

impl Source {
    fn of(mut reader: Box<dyn BufRead>, serial: Option<&str>) -> Result<Self, Failure> {
        // Enough to see what it is; the buffer is never empty before the end.
        let start = reader.fill_buf()?;
        let is_der =
            start.starts_with(&[0x30, 0x81]) || start.starts_with(&[0x30, 0x82]) || start.starts_with(&[0x30, 0x59]);
        let start = start.trim_ascii_start();
        if start.is_empty() {
            return Err("it is empty".into());
        }
        if start.starts_with(b"{") {
            return Ok(Self::JsonLines(reader));
        }
        if is_der || start.starts_with(b"-----BEGIN ") || serial.is_some() {
            let mut bytes = Vec::new();
            reader.take(MAX_ROW).read_to_end(&mut bytes)?;
            let serial = serial.map(str::to_owned);
            return Ok(Self::One(Some(Row { serial, material: text(bytes), ..Row::default() })));
        }
        let budget = Arc::new(AtomicU64::new(MAX_ROW));
        let bounded = Bounded { reader, budget: budget.clone() };
        let mut reader = Box::new(csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bounded));
        let columns = reader.headers()?.iter().map(Column::named).collect::<Result<Vec<_>, _>>()?;
        let once = |column| columns.iter().filter(|found| **found == column).count() == 1;
        if !once(Column::Material) || columns.iter().filter(|found| **found == Column::Serial).count() > 1 {
            return Err("the first line has to name the columns: serial, and key or request, and perhaps type".into());
        }
        Ok(Self::Csv { reader, columns, budget })
    }

    fn next(&mut self) -> Result<Option<Row>, Wrong> {
        match self {
            Self::One(row) => Ok(row.take()),
            Self::Files { names, .. } => names.next().map(|name| of_file(&name)).transpose(),
            Self::JsonLines(reader) => loop {
                let mut line = Vec::new();
                reader.take(MAX_ROW).read_until(b'\n', &mut line)?;
                if line.is_empty() {
                    return Ok(None);
                }
                if line.len() as u64 == MAX_ROW {
                    return Err(Wrong::Run(format!("it has more than {MAX_ROW} bytes").into()));
                }
                if !line.trim_ascii().is_empty() {
                    return of_json(&line).map(Some);
                }
            },
            Self::Csv { reader, columns, budget } => {
                budget.store(MAX_ROW, Ordering::Relaxed);
                let mut record = csv::StringRecord::new();
                if !reader.read_record(&mut record).map_err(of_csv)? {
                    return Ok(None);
                }
                let cells = columns.iter().copied().zip(record.iter().map(str::to_owned));
                of_cells(cells.filter(|(_, cell)| !cell.is_empty())).map(Some)
            }
        }
    }
}

/// What a reader of CSV says of a row: whether it knows where the next one begins.
fn of_csv(error: csv::Error) -> Wrong {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            Wrong::Row(format!("it has {len} fields, and the first line names {expected_len}"))
        }
        csv::ErrorKind::Utf8 { .. } => Wrong::Row("it is not UTF-8".to_owned()),
        _ => Wrong::Run(error.into()),
    }
}

fn of_json(line: &[u8]) -> Result<Row, Wrong> {
    let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(line);
    let object = object.map_err(|error| Wrong::Row(format!("it is no JSON object: {error}")))?;
    // Whatever else is wrong with a row: a private key in it stops the run.
    for name in object.keys() {
        if let Err(wrong @ Wrong::Run(_)) = Column::named(name) {
            return Err(wrong);
        }
    }
    let mut cells = Vec::new();
    for (name, value) in object {
        let cell = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            _ => return Err(Wrong::Row(format!("{name:?} is neither text nor a number"))),
        };
        cells.push((Column::named(&name)?, cell));
    }
    of_cells(cells.into_iter())
}

fn of_cells(cells: impl Iterator<Item = (Column, String)>) -> Result<Row, Wrong> {
    let mut row = Row::default();
    for (column, cell) in cells {
        match column {
            Column::Serial => row.serial = Some(cell),
            Column::Material => row.material = cell,
            Column::Type => {
                let number = cell.parse();
                let number =
                    number.map_err(|_| Wrong::Row(format!("the type {cell:?} is not a number below 65536")))?;
                row.device_type = Some(number);
            }
        }
    }
    Ok(row)
}

/// A file is named by its serial where what is in it names none.
fn of_file(path: &Path) -> Result<Row, Wrong> {
    let named = |error: io::Error| Wrong::Run(format!("{}: {error}", path.display()).into());
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_ROW).read_to_end(&mut bytes)).map_err(named)?;
    let named_by = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Ok(Row { named_by, material: text(bytes), ..Row::default() })
}

/// PEM as it is, DER in base64.
fn text(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) if !text.starts_with('0') || text.trim_ascii().bytes().all(|byte| byte.is_ascii_graphic()) => text,
        Ok(text) => BASE64.encode(text.as_bytes()),
        Err(error) => BASE64.encode(error.as_bytes()),
    }
}

/// A reader that ends a row which does not end: an open quotation mark must not swallow the file.
struct Bounded {
    reader: Box<dyn BufRead>,
    budget: Arc<AtomicU64>,
}

impl Read for Bounded {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let left = self.budget.load(Ordering::Relaxed);
        if left == 0 {
            let what = format!("a row has more than {MAX_ROW} bytes: is a quotation mark missing?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let length = self.reader.read(space)?;
        self.budget.store(left.saturating_sub(length as u64), Ordering::Relaxed);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Result<Vec<Row>, String> {
        let reader = Box::new(io::Cursor::new(text.as_bytes().to_vec()));
        let source = Source::of(reader, None).map_err(|error| error.to_string())?;
        let input = Input { number: 0, source };
        input.map(|entry| entry.map_err(|error| error.to_string())?.row).collect()
    }

    fn row(serial: &str, material: &str, device_type: Option<u16>) -> Row {
        Row { serial: Some(serial.into()), material: material.into(), device_type, ..Row::default() }
    }

    /// Shows REQ-PROV-01.
    #[test]
    fn both_forms_say_the_same_and_columns_have_any_order() {
        let expected = vec![row("A-1", "3059", Some(21)), row("A-2", "-----BEGIN X-----\nAA==\n-----END X-----", None)];
        let csv = "type,KEY, serial\n21,3059,A-1\n,\"-----BEGIN X-----\nAA==\n-----END X-----\",A-2\n";
        assert_eq!(rows(csv), Ok(expected.clone()));
        let json = "{\"serial\":\"A-1\",\"key\":\"3059\",\"type\":21}\n\n\
                    {\"request\":\"-----BEGIN X-----\\nAA==\\n-----END X-----\",\"serial\":\"A-2\",\"type\":null}\n";
        assert_eq!(rows(json), Ok(expected));
    }

    /// Shows REQ-CLI-44: as a German or French table program writes it.
    #[test]
    fn a_table_with_semicolons_is_told_what_to_write() {
        for table in ["serial;key;type\nA-1;3059;21\n", "serial\tkey\nA-1\t3059\n"] {
            let error = rows(table).unwrap_err();
            assert!(error.contains("write commas between the columns serial, key, request, type"), "{error}");
        }
    }

    /// Shows REQ-PROV-02.
    #[test]
    fn a_private_key_stops_the_run_and_is_not_repeated_in_what_is_said() {
        let pem = "-----BEGIN EC PRIVATE KEY-----\\nc2VjcmV0\\n-----END EC PRIVATE KEY-----";
        for text in [
            format!("{{\"serial\":\"A\",\"key\":\"{pem}\"}}\n"),
            "{\"serial\":\"A\",\"d\":\"c2VjcmV0\"}\n".to_owned(),
            "serial,private_key\nA,c2VjcmV0\n".to_owned(),
        ] {
            let error = rows(&text).unwrap_err();
            assert!(error.contains("private key") && !error.contains("c2VjcmV0"), "{error}");
        }
    }

    /// Shows REQ-PROV-45.
    #[test]
    fn a_row_that_cannot_be_read_does_not_stop_the_others() {
        let read = |text: &str| -> Vec<Result<Row, String>> {
            let source = Source::of(Box::new(io::Cursor::new(text.as_bytes().to_vec())), None).unwrap();
            Input { number: 0, source }.map(|entry| entry.unwrap().row).collect()
        };
        let good = |serial| Ok(row(serial, "00", None));
        let csv = read("serial,key\nA,00\nB,00,1\nC,00\n");
        assert_eq!(csv, [good("A"), Err("it has 3 fields, and the first line names 2".to_owned()), good("C")]);
        let json = read(
            "{\"serial\":\"A\",\"key\":\"00\"}\nnothing\n{\"key\":[]}\n{\"colour\":\"red\"}\n\
             {\"serial\":\"C\",\"key\":\"00\"}\n",
        );
        assert_eq!((&json[0], &json[4], json.len()), (&good("A"), &good("C"), 5));
        for (number, part) in [(1, "no JSON object"), (2, "neither text nor a number"), (3, "colour")] {
            assert!(json[number].as_ref().unwrap_err().contains(part), "{json:?}");
        }
    }

    #[test]
    fn what_is_no_row_is_named() {
        for (text, part) in [
            ("", "empty"),
            ("serial,colour\nA,red\n", "colour"),
            ("serial,type\nA,1\n", "key or request"),
            ("serial,key,type\nA,00,1\nB,00,many\n", "many"),
            ("serial,key\nA,00,1\n", "3 fields"),
            ("{\"serial\":\"A\",\"key\":[]}\n", "neither"),
        ] {
            let error = rows(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let endless = format!("serial,key\nA,\"{}", "x".repeat(1 << 20));
        assert!(rows(&endless).unwrap_err().contains("quotation mark"));
    }
}
