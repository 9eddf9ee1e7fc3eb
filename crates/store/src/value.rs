//! Values, rows, and what a verb is written over.

use crate::{Engine, Fault};
use std::sync::Arc;

/// A value of a column: the four kinds both databases have. Numbers are 64 bits and signed, a flag is 0 or 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A number.
    Integer(i64),
    /// Characters.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Integer(number.into())
    }
}

/// Beyond 2^63 nothing counts.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Integer(flag.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

impl From<&Vec<u8>> for Value {
    fn from(bytes: &Vec<u8>) -> Self {
        Self::Blob(bytes.clone())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The values of a statement's parameters, `?1` first: `values![name, 7_u32, None::<&str>]`.
#[macro_export]
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::Value::from($value)),*] };
}

/// One row of an answer, read by the names of its columns. What cannot be read is damage, and named.
#[derive(Clone, Debug)]
pub struct Row {
    table: &'static str,
    names: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    pub(crate) fn new(table: &'static str, names: Arc<[String]>, values: Vec<Value>) -> Self {
        Self { table, names, values }
    }

    /// All values, in the order of their columns.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Says that a column holds what was never written.
    #[must_use]
    pub fn damaged(&self, column: &str) -> Fault {
        Fault::Damaged { table: self.table, what: format!("column {column} holds a value that was never written") }
    }

    /// The value of a column.
    ///
    /// # Errors
    /// [`Fault::Damaged`] when there is no such column.
    pub fn value(&self, column: &str) -> Result<&Value, Fault> {
        let place = self.names.iter().position(|name| name == column);
        place
            .and_then(|place| self.values.get(place))
            .ok_or_else(|| Fault::Damaged { table: self.table, what: format!("it has no column {column}") })
    }

    /// A number, in whatever width it has to fit.
    ///
    /// # Errors
    /// [`Fault::Damaged`], as of all that read a column.
    pub fn number<T: TryFrom<i64>>(&self, column: &str) -> Result<T, Fault> {
        self.optional_number(column)?.ok_or_else(|| self.damaged(column))
    }

    /// A number, or nothing.
    ///
    /// # Errors
    /// [`Fault::Damaged`].
    pub fn optional_number<T: TryFrom<i64>>(&self, column: &str) -> Result<Option<T>, Fault> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Integer(number) => T::try_from(*number).map(Some).map_err(|_| self.damaged(column)),
            Value::Text(_) | Value::Blob(_) => Err(self.damaged(column)),
        }
    }

    /// A flag.
    ///
    /// # Errors
    /// [`Fault::Damaged`].
    pub fn flag(&self, column: &str) -> Result<bool, Fault> {
        Ok(self.number::<i64>(column)? != 0)
    }

    /// Characters.
    ///
    /// # Errors
    /// [`Fault::Damaged`].
    pub fn text(&self, column: &str) -> Result<&str, Fault> {
        self.optional_text(column)?.ok_or_else(|| self.damaged(column))
    }

    /// Characters, or nothing.
    ///
    /// # Errors
    /// [`Fault::Damaged`].
    pub fn optional_text(&self, column: &str) -> Result<Option<&str>, Fault> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            Value::Integer(_) | Value::Blob(_) => Err(self.damaged(column)),
        }
    }

    /// Bytes.
    ///
    /// # Errors
    /// [`Fault::Damaged`].
    pub fn blob(&self, column: &str) -> Result<&[u8], Fault> {
        self.optional_blob(column)?.ok_or_else(|| self.damaged(column))
    }

    /// Bytes, or nothing.
    ///
    /// # Errors
    /// [`Fault::Damaged`].
    pub fn optional_blob(&self, column: &str) -> Result<Option<&[u8]>, Fault> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Blob(bytes) => Ok(Some(bytes)),
            Value::Integer(_) | Value::Text(_) => Err(self.damaged(column)),
        }
    }

    /// So many bytes.
    ///
    /// # Errors
    /// [`Fault::Damaged`].
    pub fn bytes<const N: usize>(&self, column: &str) -> Result<[u8; N], Fault> {
        self.blob(column)?.try_into().map_err(|_| self.damaged(column))
    }

    /// So many bytes, or nothing.
    ///
    /// # Errors
    /// [`Fault::Damaged`].
    pub fn optional_bytes<const N: usize>(&self, column: &str) -> Result<Option<[u8; N]>, Fault> {
        self.optional_blob(column)?.map(|bytes| bytes.try_into().map_err(|_| self.damaged(column))).transpose()
    }

    /// One of the names in `words`.
    ///
    /// # Errors
    /// [`Fault::Damaged`].
    pub fn word<T: Copy>(&self, column: &str, words: &[(T, &str)]) -> Result<T, Fault> {
        let found = self.text(column)?;
        let meant = words.iter().find(|(_, word)| *word == found).map(|(value, _)| *value);
        meant.ok_or_else(|| self.damaged(column))
    }
}

/// What a verb is written over: statements of the dialect both databases understand, with parameters `?1`, `?2` …
///
/// Both understand: `ON CONFLICT … DO`, `RETURNING`, `IS NOT DISTINCT FROM`, partial indices, `CASE`. Columns are
/// `BIGINT`/`INTEGER`, `TEXT` and `BYTEA`/`BLOB`. A statement that fails leaves the transaction unusable on PostgreSQL:
/// where a verb goes on after a duplicate, it says `ON CONFLICT DO NOTHING` and looks at the count.
pub trait Sql {
    /// Which database this is, for the few statements that must differ.
    fn engine(&self) -> Engine;

    /// Does a statement; how many rows it changed.
    ///
    /// # Errors
    /// [`Fault`].
    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, Fault>;

    /// Adds one row; its number, that of the column `key`. With `RETURNING` SQLite would keep each page that the row changes twice.
    ///
    /// # Errors
    /// [`Fault`].
    fn insert(&mut self, key: &'static str, sql: &str, parameters: &[Value]) -> Result<i64, Fault>;

    /// Asks; `take` gets each row as it comes, and says whether it wants another. `table` is named when a row is damaged.
    ///
    /// # Errors
    /// [`Fault`], or what `take` gave.
    fn each(
        &mut self,
        table: &'static str,
        sql: &str,
        parameters: &[Value],
        take: &mut dyn FnMut(&Row) -> Result<bool, Fault>,
    ) -> Result<(), Fault>;

    /// Does several statements without parameters.
    ///
    /// # Errors
    /// [`Fault`].
    fn batch(&mut self, sql: &str) -> Result<(), Fault>;
}

/// All rows of a question, read.
///
/// # Errors
/// [`Fault`].
pub fn all<T>(
    sql: &mut dyn Sql,
    table: &'static str,
    question: &str,
    parameters: &[Value],
    read: impl Fn(&Row) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut found = Vec::new();
    sql.each(table, question, parameters, &mut |row| {
        found.push(read(row)?);
        Ok(true)
    })?;
    Ok(found)
}

/// The first row of a question, read.
///
/// # Errors
/// [`Fault`].
pub fn first<T>(
    sql: &mut dyn Sql,
    table: &'static str,
    question: &str,
    parameters: &[Value],
    read: impl Fn(&Row) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let mut found = None;
    sql.each(table, question, parameters, &mut |row| {
        found = Some(read(row)?);
        Ok(false)
    })?;
    Ok(found)
}
