//! How an export stands: it is divided into files by who asks how it stands, a second long each time, so that nothing runs for who does
//! not ask, and any hub goes on where another one stopped.

use super::super::answer;
use super::super::asking::{Asking, insert, store_failed, too_late};
use super::super::places::Aim;
use super::{next_file, place, sights};
use crate::access::{Caller, Verb};
use crate::kind::{Kind, Millis};
use crate::moment;
use crate::outcome::{Code, Issue, Refusal};
use crate::store::{Counted, Export, File};
use axum::response::Response;
use data_encoding::HEXLOWER;
use http::header::{EXPIRES, RETRY_AFTER};
use http::{HeaderName, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Resources of one file, at least, where there are more. It is fetched while a token lasts.
const ROWS: u32 = 5_000;
/// How long it is divided for one question, and in how many steps at most.
const WORKS: Duration = Duration::from_secs(1);
const STEPS: u32 = 24;
const PROGRESS: HeaderName = HeaderName::from_static("x-progress");

/// `GET /fhir/$export-status/{id}`
pub(in super::super) async fn status(asking: Asking) -> Response {
    asking.blocking(Asking::export_status).await
}

/// `DELETE /fhir/$export-status/{id}`
pub(in super::super) async fn end(asking: Asking) -> Response {
    asking.blocking(Asking::end_export).await
}

impl Asking {
    fn export_status(&self) -> Result<Response, Refusal> {
        self.accepts()?;
        let (caller, client) = self.exporter()?;
        let mut export = self.own_export(&client)?;
        for kind in export.wish.kinds.iter().filter_map(|kind| Kind::numbered(*kind)) {
            self.may_export(&caller, kind)?;
        }
        // Files without a row for who divides it are left out, for all others too.
        if export.division.open.is_some() && self.only(&caller, &export.wish)? != export.wish.only {
            let text = "it is divided for who asked for it: show a token with the same scopes for what is exported";
            return Err(Issue::new(Code::Forbidden, text).into());
        }
        // It takes its turn among the searches that may look at everything of a kind; without one it is asked for again.
        if export.division.open.is_some()
            && let Some(_turn) = self.door.clinical.places().take(Aim::Look, caller.taker())
        {
            self.divide(&caller, &mut export)?;
        }
        if let Some((file, _)) = export.division.open {
            let kind = Kind::numbered(file.kind).map_or("", Kind::name);
            let mut response = answer::empty(StatusCode::ACCEPTED);
            let progress = format!("{} files so far, {kind} is looked through", export.division.files.len());
            insert(response.headers_mut(), PROGRESS, &progress);
            insert(response.headers_mut(), RETRY_AFTER, "1");
            return Ok(response);
        }
        let mut response = answer::told(&self.manifest(&export));
        let expires = moment::http_date(Millis(export.until.saturating_mul(1_000)));
        insert(response.headers_mut(), EXPIRES, &expires);
        Ok(response)
    }

    /// Divides it further, and notes how far, also where a step fails.
    fn divide(&self, caller: &Caller, export: &mut Export) -> Result<(), Refusal> {
        let divided = self.divide_some(caller, export);
        // Where another one has divided it meanwhile, both have done the same.
        let kept = self.door.clinical.records().keep_division(export).map_err(|error| store_failed(&error));
        divided.and(kept)
    }

    /// Divides it further. Rows are counted under what the caller may see, so that the number of files tells of no others; whose they are
    /// is noted before it is kept how far it is divided, since that tells of them.
    fn divide_some(&self, caller: &Caller, export: &mut Export) -> Result<(), Refusal> {
        let (sights, began, clinical) = (sights(caller), Instant::now(), &self.door.clinical);
        let (records, limit) = (clinical.records(), clinical.settings().search_limit);
        let note = self.note(caller, Verb::Search, Kind::PATIENT)?.searching(&export.wish.asked_for);
        let mut steps = 0;
        while let Some((file, rows)) = export.division.open
            && began.elapsed() < WORKS
            && steps < STEPS
        {
            steps += 1;
            // A token that is good for less than was asked goes no further: it would leave out files, and nobody would know.
            let wanted = self.wanted_of(caller, &export.wish, file)?;
            let (_, upto) = place(file);
            let within = (upto, export.newest);
            let brought = records.count_exported(&sights, &wanted.part(export), within, limit).map_err(too_late)?;
            let Counted { total, patients } = brought.found;
            if !self.untold(caller, wanted.kind, &patients).is_empty() {
                self.noted_counting(caller, note.clone(), (wanted.kind, Vec::new()), &patients)?;
            }
            // More than are counted are enough for a file.
            let counted = total.and_then(|total| u32::try_from(total).ok()).unwrap_or(ROWS);
            let (file, rows) = (File { upto: brought.upto.0, ..file }, rows.saturating_add(counted));
            let is_last = brought.upto >= export.newest;
            if rows >= ROWS || is_last && rows > 0 {
                export.division.files.push(file);
            }
            export.division.open = if is_last {
                next_file(&export.wish, file).map(|next| (next, 0))
            } else if rows >= ROWS {
                Some((File { after: file.upto, ..file }, 0))
            } else {
                Some((file, rows))
            };
        }
        Ok(())
    }

    fn manifest(&self, export: &Export) -> Value {
        let id = HEXLOWER.encode(&export.id);
        let files = |deleted: bool| {
            let all = export.division.files.iter().enumerate().filter(move |(_, file)| file.deleted == deleted);
            let named = all.map(|(number, file)| {
                let kind = Kind::numbered(file.kind).map_or("", Kind::name);
                json!({
                    "type": if deleted { "Bundle" } else { kind },
                    "url": format!("{}/$export-file/{id}/{number}", self.door.base),
                })
            });
            named.collect::<Vec<_>>()
        };
        json!({
            "transactionTime": moment::written(export.made),
            "request": export.request,
            "requiresAccessToken": true,
            "output": files(false),
            "deleted": files(true),
            "error": [],
        })
    }

    fn end_export(&self) -> Result<Response, Refusal> {
        let (_, client) = self.exporter()?;
        let export = self.own_export(&client)?;
        let clinical = &self.door.clinical;
        let ended = clinical.records().end_export(export.id, &client, clinical.clock().now().unix());
        match ended.map_err(|error| store_failed(&error))? {
            true => Ok(answer::empty(StatusCode::ACCEPTED)),
            false => Err(Issue::new(Code::NotFound, "there is no such export").into()),
        }
    }
}
