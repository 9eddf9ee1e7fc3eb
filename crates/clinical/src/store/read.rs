//! One resource, and its former versions.

use super::{OF_ONE, Records, Statement};
use crate::access::Sight;
use crate::kind::{Id, Kind, Millis, Row, Version};
use crate::{moment, validate};
use medlock_store::{Error, Fault, Row as Found, Sql, first};

/// A resource as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its row.
    pub row: Row,
    /// Its kind.
    pub kind: Kind,
    /// Its identifier.
    pub id: Id,
    /// Its version.
    pub version: Version,
    /// When it was written.
    pub updated: Millis,
    /// The row of the patient whose it is.
    pub patient: Option<Row>,
    /// Whether it was deleted with this version.
    pub gone: bool,
    /// It, as JSON; of a version that deletes, the one before.
    pub body: Vec<u8>,
}

/// The columns of a resource.
pub(super) const COLUMNS: &str = "r.rid, r.kind, r.id, r.version, r.updated, r.patient, r.gone, r.body";
/// Those of a former version `v` of a resource.
pub(super) const FORMER: &str = "r.rid, r.kind, r.id, v.version, v.updated, v.patient, v.gone, v.body";

/// The same without the resource itself, but for how many bytes that has.
const HEAD: &str =
    "r.rid, r.kind, r.id, r.version, r.updated, r.patient, r.gone, CAST(length(r.body) AS BIGINT) AS bytes";

impl Stored {
    pub(super) fn of(row: &Found) -> Result<Self, Fault> {
        let mut stored = Self::without_body(row)?;
        let (version, updated) = (stored.version.number(), moment::written(stored.updated));
        stored.body = validate::body(stored.kind, &stored.id, version, &updated, row.blob("body")?);
        Ok(stored)
    }

    fn without_body(row: &Found) -> Result<Self, Fault> {
        let kind = Kind::numbered(row.number("kind")?).ok_or_else(|| row.damaged("kind"))?;
        let id = Id::read(row.text("id")?).ok_or_else(|| row.damaged("id"))?;
        let (version, updated) = (Version::numbered(row.number("version")?), Millis(row.number("updated")?));
        let (patient, gone) = (row.optional_number("patient")?.map(Row), row.flag("gone")?);
        Ok(Self { row: Row(row.number("rid")?), kind, id, version, updated, patient, gone, body: Vec::new() })
    }
}

impl Records {
    /// The resource, if it is in sight; also one that was deleted.
    ///
    /// # Errors
    /// [`Error`].
    pub fn read(&self, sight: &Sight, kind: Kind, id: &Id) -> Result<Option<Stored>, Error> {
        let statement = kept(sight, kind, id);
        self.database().read_brief("read a resource", OF_ONE, |sql| {
            first(sql, "resource", statement.sql(), statement.values(), Stored::of)
        })
    }

    /// A version of the resource, if the resource is in sight, and was when it had this version.
    ///
    /// # Errors
    /// [`Error`].
    pub fn version(&self, sight: &Sight, kind: Kind, id: &Id, version: Version) -> Result<Option<Stored>, Error> {
        let present = kept(sight, kind, id);
        let mut former = former(sight, kind, id);
        former.text(" AND v.version = ").value(i64::from(version.number()));
        // What is changed between the two questions is found by the second.
        self.database().read_brief("read a version", OF_ONE, |sql| {
            let found = first(sql, "resource", present.sql(), present.values(), Stored::of)?;
            match found {
                Some(present) if present.version == version => Ok(Some(present)),
                Some(_) => first(sql, "past", former.sql(), former.values(), Stored::of),
                None => Ok(None),
            }
        })
    }
}

/// Asks for the resource as it is now.
pub(super) fn kept(sight: &Sight, kind: Kind, id: &Id) -> Statement {
    let mut statement = Statement::kept(COLUMNS, sight, kind);
    statement.text(" AND r.id = ").value(id.as_str());
    statement
}

/// The resource as it is now, without itself: with how many bytes that has.
pub(super) fn head(sql: &mut dyn Sql, sight: &Sight, kind: Kind, id: &Id) -> Result<Option<(Stored, usize)>, Fault> {
    let mut question = Statement::kept(HEAD, sight, kind);
    question.text(" AND r.id = ").value(id.as_str());
    first(sql, "resource", question.sql(), question.values(), |row| {
        Ok((Stored::without_body(row)?, row.number::<u32>("bytes")? as usize))
    })
}

/// The resource as it is now, whoever may see it: for what was asked for with a sight before.
pub(super) fn whole(sql: &mut dyn Sql, kind: Kind, id: &Id) -> Result<Stored, Fault> {
    let question = kept(&Sight::of_what_was_named(kind), kind, id);
    let found = first(sql, "resource", question.sql(), question.values(), Stored::of)?;
    found.ok_or(Fault::Missing("resource that was there"))
}

/// Asks for former versions of it.
pub(super) fn former(sight: &Sight, kind: Kind, id: &Id) -> Statement {
    let mut statement = Statement::default();
    statement.text("SELECT ").text(FORMER).text(" FROM resource r JOIN past v ON v.rid = r.rid WHERE r.kind = ");
    statement.value(kind.number()).text(" AND r.id = ").value(id.as_str()).text(" AND ");
    sight.write(kind, "r", &mut statement);
    statement.text(" AND ").with_patient("r", "v.patient", "0 = 1", sight, kind);
    statement
}
