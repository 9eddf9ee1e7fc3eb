//! What a person or a script sees: tables, JSON, and the log.

use serde::Serialize;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;

static LOG: OnceLock<(String, LogFormat)> = OnceLock::new();

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Starts the log on standard error. `filter` is `tracing`'s directive syntax.
pub(crate) fn start_log(filter: &str, format: LogFormat) {
    let (filter, format) = LOG.get_or_init(|| (filter.to_owned(), format));
    let log = tracing_subscriber::fmt()
        // A line that nobody can read any more ends no thread: a signer whose hub is gone has the hub's broken pipe.
        .log_internal_errors(false)
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// Has a child write its log as we do.
pub(crate) fn log_as_we_do(child: &mut std::process::Command) {
    let (filter, format) = LOG.get().map_or(("warn", LogFormat::Text), |(filter, format)| (filter.as_str(), *format));
    let format = match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    child.env("MEDLOCK_LOG", filter).env("MEDLOCK_LOG_FORMAT", format);
}

/// Prints a line. Whoever stops reading does not stop us: a guard goes on when its terminal is gone.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*), "\n") };
}

/// Prints text as it is, as [`say!`] does.
macro_rules! say_raw {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*), "") };
}

pub(crate) use {say, say_raw};

/// What [`say!`] and [`say_raw!`] do.
pub(crate) fn line(text: std::fmt::Arguments<'_>, end: &str) {
    let _ = write!(std::io::stdout().lock(), "{text}{end}");
}

/// An error and the errors that caused it, in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        // Many errors already have their cause's words.
        if !text.contains(&message) {
            let _ = write!(text, ": {message}");
        }
        cause = inner.source();
    }
    text
}

/// A word of a command that somebody is to paste into a shell.
pub(crate) fn word(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/:@,=".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Asks a person who sits there; only `y` or `yes` is yes.
///
/// # Errors
/// When the terminal cannot be read.
pub(crate) fn ask_person(question: &str) -> std::io::Result<bool> {
    say_raw!("{question} [yes/no] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].iter().any(|yes| answer.trim().eq_ignore_ascii_case(yes)))
}

/// Prints `value` as JSON on one line of standard output.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn json(value: &impl Serialize) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    writeln!(out)
}

/// Text of others, with what could deceive a terminal or an eye written out; lines stay lines.
pub(crate) fn harmless(text: &str) -> String {
    let deceives = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if deceives(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// A table of text with aligned columns; the last column may be as long as it likes. What is in a cell stays there.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads.
    pub(crate) fn new(heads: &[&str]) -> Self {
        Self { rows: vec![heads.iter().map(|head| head.to_uppercase()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| harmless(&cell).replace('\n', "\\n")).collect());
    }

    /// Prints the table; with no rows, says so.
    pub(crate) fn print(&self, empty: &str) {
        if self.rows.len() == 1 {
            say!("{empty}");
            return;
        }
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max())
            .map(|width| width.unwrap_or(0))
            .collect();
        for row in &self.rows {
            let line: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            say!("{}", line.join("  ").trim_end());
        }
    }
}

/// Bytes as lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// A fingerprint in groups of four, as people compare it.
pub(crate) fn grouped(hex: &str) -> String {
    let mut text = String::with_capacity(hex.len() + hex.len() / 4);
    for (index, character) in hex.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            text.push(' ');
        }
        text.push(character);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_in_a_shell() {
        assert_eq!(
            ["ct-1", "/var/lib/x", "CT 1", "it's", "$(x)", ""].map(word),
            ["ct-1", "/var/lib/x", "'CT 1'", r"'it'\''s'", "'$(x)'", "''"]
        );
    }

    /// Shows REQ-LOG-100: what an entry of a log calls itself conceals no other entry, and makes no row.
    #[test]
    fn what_is_in_a_cell_stays_there() {
        let mut table = Table::new(&["entry", "names"]);
        table.row(["7".to_owned(), "a\u{1b}[8m\n8  b\r\u{202e}".to_owned()]);
        assert_eq!(table.rows[1], ["7", "a\\u{1b}[8m\\n8  b\\u{d}\\u{202e}"]);
    }

    #[test]
    fn fingerprints_are_grouped() {
        assert_eq!(grouped("0011aabbc"), "0011 aabb c");
    }
}
