//! Statements as they grow: text with its values. The only file that names the table of resources in a question.

use crate::access::Sight;
use crate::kind::{Kind, Row};
use medlock_store::Value;

/// A statement with the values of its parameters.
#[derive(Debug, Default)]
pub(crate) struct Statement {
    text: String,
    values: Vec<Value>,
}

impl Statement {
    /// A question for `columns` of resources `r` of a kind that are there and in sight. More conditions may follow, each with
    /// `AND`.
    pub(crate) fn seen(columns: &str, sight: &Sight, kind: Kind) -> Self {
        Self::of_kind("r.kind", columns, sight, kind)
    }

    /// The same, where the rows are given by something else than their kind.
    pub(crate) fn seen_by_row(columns: &str, sight: &Sight, kind: Kind) -> Self {
        Self::of_kind("+r.kind", columns, sight, kind)
    }

    /// The same, of resources that are there or were deleted.
    pub(super) fn kept(columns: &str, sight: &Sight, kind: Kind) -> Self {
        Self::kept_of(columns, "resource r", sight, kind)
    }

    /// The same of a join, `from`.
    pub(super) fn kept_of(columns: &str, from: &str, sight: &Sight, kind: Kind) -> Self {
        let mut statement = Self::default();
        statement.text("SELECT ").text(columns).text(" FROM ").text(from).text(" WHERE r.kind = ");
        statement.value(kind.number()).text(" AND ");
        sight.write(kind, "r", &mut statement);
        statement
    }

    /// The same of a join, `from`, where the rows are given by something else than their kind.
    pub(super) fn kept_by_row(columns: &str, from: &str, sight: &Sight, kind: Kind) -> Self {
        let mut statement = Self::default();
        statement.text("SELECT ").text(columns).text(" FROM ").text(from).text(" WHERE +r.kind = ");
        statement.value(kind.number()).text(" AND ");
        sight.write(kind, "r", &mut statement);
        statement
    }

    fn of_kind(column: &str, columns: &str, sight: &Sight, kind: Kind) -> Self {
        let mut statement = Self::default();
        statement.text("SELECT ").text(columns).text(" FROM resource r WHERE ").text(column).text(" = ");
        statement.value(kind.number()).text(" AND r.gone = 0 AND ");
        sight.write(kind, "r", &mut statement);
        statement
    }

    /// Appends the condition that the resource `row` with the patient `patient` were in sight: that of a version, which `present`
    /// says to be the one that `row` has.
    pub(super) fn with_patient(
        &mut self,
        row: &str,
        patient: &str,
        present: &str,
        sight: &Sight,
        kind: Kind,
    ) -> &mut Self {
        self.text("EXISTS (SELECT 1 FROM (SELECT ");
        for column in ["rid", "kind", "id", "at", "until", "updated", "c0", "c1", "c2", "c3", "gone"] {
            self.text(&format!("{row}.{column} AS {column}, "));
        }
        self.text(patient).text(" AS patient) o WHERE ");
        sight.write(kind, "o", self);
        self.text(" AND (").text(present).text(" OR ");
        sight.write_past(kind, "o", self);
        self.text("))")
    }

    /// Appends text.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Appends a parameter.
    pub(crate) fn value(&mut self, value: impl Into<Parameter>) -> &mut Self {
        self.values.push(value.into().0);
        let number = self.values.len();
        self.text.push('?');
        self.text.push_str(&number.to_string());
        self
    }

    /// Appends a list of parameters in brackets. It is as long as 1, 4, 16, 64 or 256 values, or that of which `values` is
    /// longer: then a server knows few texts, not one for each length.
    pub(crate) fn list(&mut self, values: &[i64]) -> &mut Self {
        let Some(last) = values.last() else { return self.text("(NULL)") };
        let padded = [1, 4, 16, 64, 256].into_iter().find(|length| *length >= values.len()).unwrap_or(values.len());
        self.text("(");
        for place in 0..padded {
            if place > 0 {
                self.text(", ");
            }
            self.value(values.get(place).copied().unwrap_or(*last));
        }
        self.text(")")
    }

    /// Appends the patient whose the device with this row is now.
    pub(crate) fn patient_of(&mut self, device: Row) -> &mut Self {
        self.text("(SELECT d.patient FROM resource d WHERE d.rid = ").value(device.0).text(" AND d.gone = 0)")
    }

    /// The text.
    pub(crate) fn sql(&self) -> &str {
        &self.text
    }

    /// The values.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }
}

/// The value of a parameter.
pub(crate) struct Parameter(Value);

impl From<i64> for Parameter {
    fn from(number: i64) -> Self {
        Self(number.into())
    }
}

impl From<u8> for Parameter {
    fn from(number: u8) -> Self {
        Self(i64::from(number).into())
    }
}

impl From<u16> for Parameter {
    fn from(number: u16) -> Self {
        Self(number.into())
    }
}

impl From<&[u8]> for Parameter {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec().into())
    }
}

impl From<&str> for Parameter {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Parameter {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}
