//! One file of an export: read from the rows while it is fetched.

use super::super::answer;
use super::super::asking::{Asking, failed, too_late};
use super::{place, sights};
use crate::access::{Caller, Verb};
use crate::audit::Note;
use crate::kind::{Kind, Row, Seq};
use crate::outcome::{Code, Issue, Refusal};
use crate::store::{File, Stored};
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::try_unfold;
use serde_json::json;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// `GET /fhir/$export-file/{id}/{number}`
pub(in super::super) async fn file(asking: Asking) -> Response {
    let asking = Arc::new(asking);
    let begun = Arc::clone(&asking);
    match spawn_blocking(move || begun.export_file()).await {
        Ok(Ok(reading)) => reading.response(asking),
        Ok(Err(why)) => asking.refusal(why),
        Err(_) => failed("the request was not finished").into_response(),
    }
}

/// A file as it is read.
struct Reading {
    caller: Caller,
    client: String,
    file: File,
    note: Note,
    /// Behind this change comes what was not given yet; none: all was.
    after: Option<Seq>,
    /// The patients whom the audit names.
    named: HashSet<Row>,
    is_noted: bool,
}

impl Asking {
    /// The file that the address names, of the caller's own export.
    fn export_file(&self) -> Result<Reading, Refusal> {
        answer::accepts_lines(self.headers())?;
        let (caller, client) = self.exporter()?;
        let (export, none) = (self.own_export(&client)?, || Issue::new(Code::NotFound, "there is no such file"));
        let number = self.name(1)?.parse::<usize>().ok();
        let file = number.and_then(|number| export.division.files.get(number)).copied().ok_or_else(none)?;
        let kind = Kind::numbered(file.kind).ok_or_else(none)?;
        let note = self.note(&caller, Verb::Search, kind)?.searching(&self.address_with(self.query()));
        self.wanted_of(&caller, &export.wish, file).map_err(|why| self.refused(&note, why))?;
        let (after, _) = place(file);
        Ok(Reading { caller, client, file, note, after: Some(after), named: HashSet::new(), is_noted: false })
    }

    /// The next lines of a file, under what the caller may see at this moment. Blocks.
    fn lines(&self, reading: &mut Reading, after: Seq) -> Result<Vec<u8>, Refusal> {
        let clinical = &self.door.clinical;
        reading.caller = clinical.gate().again(&reading.caller)?;
        let (caller, export) = (&reading.caller, self.own_export(&reading.client)?);
        let (wanted, sights) = (self.wanted_of(caller, &export.wish, reading.file)?, sights(caller));
        let (_, upto) = place(reading.file);
        let limit = clinical.settings().search_limit;
        let brought = clinical.records().exported(&sights, &wanted.part(&export), (after, upto), limit);
        let brought = brought.map_err(too_late)?;
        let mut found = brought.found;
        self.complete(&sights.read, &mut found)?;
        let named = if reading.is_noted { Vec::new() } else { self.named(caller, &wanted)? };
        let patients = found.iter().filter_map(|stored| stored.patient).chain(named);
        let new: Vec<Row> = patients.filter(|patient| reading.named.insert(*patient)).collect();
        if !reading.is_noted || !new.is_empty() {
            self.noted(reading.note.about(wanted.kind, None, None, new))?;
            reading.is_noted = true;
        }
        reading.after = Some(brought.upto).filter(|reached| *reached < upto);
        Ok(if reading.file.deleted { deletions(&found) } else { resources(&found) })
    }
}

/// A file with the request for it.
type Fetched = (Reading, Arc<Asking>);

impl Reading {
    /// What fails on the way breaks the answer off: nobody takes a part for the whole.
    fn response(self, asking: Arc<Asking>) -> Response {
        answer::lines(Body::from_stream(try_unfold((self, asking), Self::next)))
    }

    /// The next step. Between two steps it holds nothing of the store, however slowly its reader takes what was given.
    async fn next((mut reading, asking): Fetched) -> io::Result<Option<(Bytes, Fetched)>> {
        let Some(after) = reading.after else { return Ok(None) };
        let same = Arc::clone(&asking);
        let turn = asking.door.clinical.exports().take(&reading.client).await;
        let read = spawn_blocking(move || same.lines(&mut reading, after).map(|lines| (lines, reading)));
        let (lines, reading) = read.await?.map_err(|why| {
            let why = why.code().as_str();
            tracing::info!(why, "a file of an export was broken off");
            io::Error::other(why)
        })?;
        drop(turn);
        Ok(Some((Bytes::from(lines), (reading, asking))))
    }
}

/// A line for each.
fn resources(found: &[Stored]) -> Vec<u8> {
    found.iter().flat_map(|stored| [stored.body.as_slice(), b"\n"]).flatten().copied().collect()
}

/// One line with all: a transaction that deletes them elsewhere too.
fn deletions(found: &[Stored]) -> Vec<u8> {
    if found.is_empty() {
        return Vec::new();
    }
    let entry =
        |stored: &Stored| json!({ "request": { "method": "DELETE", "url": format!("{}/{}", stored.kind, stored.id) } });
    let entries: Vec<_> = found.iter().map(entry).collect();
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
    format!("{bundle}\n").into_bytes()
}
