//! The file of outcomes: a heading, and a line of JSON for each row, in the order of the input.

use super::input::Entry;
use crate::Failure;
use data_encoding::BASE64;
use medlock_authority::provision::{Birth, BirthProfileConfig, RowOutcome};
use medlock_node::files;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Its name in the folder of a run.
pub(crate) const FILE: &str = "outcomes.jsonl";
/// Of the file with the authority's certificates, without its ending: no device's file has this name.
pub(crate) const CHAIN: &str = "chain";

/// What all outcomes of a file have in common.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Heading {
    /// SHA-256 of the authority's root certificate, in hexadecimal.
    authority: String,
    profile: BirthProfileConfig,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    row: u64,
    input: String,
    #[serde(flatten)]
    outcome: RowOutcome,
}

impl Line {
    /// The outcome, if it is that of this row.
    ///
    /// # Errors
    /// When the input is another one than in the run that wrote the line.
    pub(crate) fn checked(self, entry: &Entry) -> Result<RowOutcome, Failure> {
        if (self.row, &self.input) == (entry.number, &entry.digest) {
            return Ok(self.outcome);
        }
        let what =
            "is not what it was in the run that was stopped: name another folder with --out (what was issued stays)";
        Err(format!("row {} of the input {what}", entry.number).into())
    }
}

/// The outcomes of a run.
pub(crate) struct Outcomes {
    folder: PathBuf,
    file: File,
    /// Where what an earlier run wrote ends.
    end: u64,
    files: bool,
    chain: String,
}

impl Outcomes {
    /// Opens the outcomes in `folder`, or begins them. A line that a kill cut off is removed.
    ///
    /// # Errors
    /// When the folder has the outcomes of another authority or profile.
    pub(crate) fn open(
        folder: &Path,
        authority: &str,
        profile: &BirthProfileConfig,
        files: bool,
    ) -> Result<Self, Failure> {
        files::private_directory(folder)?;
        let path = folder.join(FILE);
        let heading = Heading { authority: authority.to_owned(), profile: profile.clone() };
        let named = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(named)?;
        file.try_lock().map_err(|_| format!("{} is being written by another run", path.display()))?;
        let end = whole_lines(&file)?;
        file.set_len(end)?;
        let mut first = String::new();
        file.seek(SeekFrom::Start(0))?;
        BufReader::new(&file).read_line(&mut first)?;
        if first.is_empty() {
            file.seek(SeekFrom::Start(0))?;
            serde_json::to_writer(&file, &heading)?;
            file.write_all(b"\n")?;
        } else if serde_json::from_str::<Heading>(&first).ok().as_ref() != Some(&heading) {
            let remedy = "name another folder with --out";
            return Err(format!("{} is of another authority or profile: {remedy}", path.display()).into());
        }
        let end = file.seek(SeekFrom::End(0))?;
        Ok(Self { folder: folder.to_owned(), file, end, files, chain: String::new() })
    }

    /// What stands behind each X.509 certificate in a file of its own.
    pub(crate) fn with_chain(&mut self, pem: String) {
        self.chain = pem;
    }

    /// The outcomes that an earlier run wrote, one at a time.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn of_earlier_run(&self) -> Result<impl Iterator<Item = Result<Line, Failure>> + use<>, Failure> {
        let file = File::open(self.folder.join(FILE))?;
        let end = self.end;
        let lines = BufReader::new(std::io::Read::take(file, end)).lines().skip(1).enumerate();
        Ok(lines.map(|(number, line)| {
            let damaged = |error| format!("{FILE}, line {}: {error}; name another folder with --out", number + 2);
            serde_json::from_str(&line?).map_err(|error| damaged(error).into())
        }))
    }

    /// Writes outcomes down; their credentials' files first, so that a line stands for both.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn add<'a>(&mut self, outcomes: impl Iterator<Item = (&'a Entry, RowOutcome)>) -> Result<(), Failure> {
        let mut text = Vec::new();
        for (entry, outcome) in outcomes {
            match &outcome {
                RowOutcome::Issued(birth) | RowOutcome::IssuedBefore(birth) if self.files => self.write(birth)?,
                RowOutcome::Issued(_) | RowOutcome::IssuedBefore(_) | RowOutcome::Refused { .. } => {}
            }
            let line = Line { row: entry.number, input: entry.digest.clone(), outcome };
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        Ok(self.file.write_all(&text)?)
    }

    fn write(&self, birth: &Birth) -> Result<(), Failure> {
        let certificate = BASE64.decode(birth.certificate.as_bytes())?;
        let name = file_name(&birth.serial);
        let (name, content) = if certificate.first() == Some(&0x30) {
            let pem = medlock_authority::pem("CERTIFICATE", &certificate);
            (format!("{name}.pem"), format!("{pem}{}", self.chain).into_bytes())
        } else {
            (format!("{name}.c509"), certificate)
        };
        let path = self.folder.join(name);
        std::fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// Makes all durable.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        Ok(self.file.sync_all()?)
    }
}

/// How many bytes stand before what follows the last end of a line.
fn whole_lines(file: &File) -> Result<u64, Failure> {
    let mut reader = BufReader::new(file);
    let (mut position, mut whole) = (0_u64, 0);
    loop {
        let part = reader.fill_buf()?;
        if part.is_empty() {
            return Ok(whole);
        }
        if let Some(last) = part.iter().rposition(|byte| *byte == b'\n') {
            whole = position + last as u64 + 1;
        }
        let length = part.len();
        position += length as u64;
        reader.consume(length);
    }
}

/// A serial as the name of a file: what is neither letter, digit, `-`, `_` nor a dot within stands as `%` and two digits, and
/// so does the first letter of the serial that is called as the chain's file.
fn file_name(serial: &str) -> String {
    let mut name = String::with_capacity(serial.len());
    for (place, byte) in serial.bytes().enumerate() {
        // Also on a disk to which small and large letters are one.
        let chain = place == 0 && serial.eq_ignore_ascii_case(CHAIN);
        if !chain && (byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || (byte == b'.' && place > 0)) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

/// Writes `outcomes.csv` beside the outcomes.
///
/// # Errors
/// When a file cannot be read or written.
pub(crate) fn to_csv(folder: &Path) -> Result<(), Failure> {
    let mut table = csv::Writer::from_path(folder.join("outcomes.csv"))?;
    table.write_record(["row", "serial", "outcome", "credential", "certificate", "code", "reason"])?;
    for line in BufReader::new(File::open(folder.join(FILE))?).lines().skip(1) {
        let line: Line = serde_json::from_str(&line?)?;
        let (serial, outcome, credential, certificate, code, reason) = match &line.outcome {
            RowOutcome::Issued(birth) => (&birth.serial, "issued", &*birth.credential, &*birth.certificate, "", ""),
            RowOutcome::IssuedBefore(birth) => {
                (&birth.serial, "issued-before", &*birth.credential, &*birth.certificate, "", "")
            }
            RowOutcome::Refused { serial, code, reason } => (serial, "refused", "", "", &**code, &**reason),
        };
        table.write_record([&line.row.to_string(), serial, outcome, credential, certificate, code, reason])?;
    }
    Ok(table.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-PROV-68.
    #[test]
    fn serials_make_safe_file_names_that_differ() {
        assert_eq!(file_name("P-0007.a_B"), "P-0007.a_B");
        assert_eq!(file_name("../etc/%"), "%2E.%2Fetc%2F%25");
        assert_eq!(file_name(".x y"), "%2Ex%20y");
        for chain in ["chain", "Chain", "CHAIN"] {
            assert!(file_name(chain).starts_with('%') && file_name(chain).ends_with(&chain[1..]), "{chain}");
        }
        assert_eq!(file_name("chain-7"), "chain-7");
    }
}
