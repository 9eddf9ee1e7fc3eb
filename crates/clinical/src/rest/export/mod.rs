//! `$export`: much of what is kept, as files (HL7 FHIR Bulk Data Access 2.0.0).
//!
//! Nothing is copied: an export is what was asked, and how it is divided; a file is read from the rows while it is fetched, under what its
//! reader may see at that moment.
//!
//! | module | what is there |
//! | --- | --- |
//! | `wish` | what is asked |
//! | `status` | how it is divided into files, and the manifest that names them |
//! | `file` | one file |

mod file;
mod status;
mod wish;

pub(super) use file::file;
pub(super) use status::{end, status};

use super::answer;
use super::asking::{Asking, absent, denied, insert, no_address, read_whole, store_failed};
use crate::access::{Caller, Verb};
use crate::kind::{Kind, Row, Seq};
use crate::outcome::{Code, Issue, Refusal};
use crate::query::{Handling, Plan};
use crate::store::{Begun, Division, Export, File, NewExport, Part, Sights, Wish};
use crate::turns;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use data_encoding::HEXLOWER;
use http::StatusCode;
use http::header::CONTENT_LOCATION;
use medlock_node::provider;
use std::collections::BTreeSet;

/// Steps of files that are read at once, so that all others find readers, and those of one client among them.
pub(crate) const READS: (usize, usize) = (turns::EACH, 2);
/// How long an export is there, in seconds.
const LASTS: i64 = 86_400;

/// `GET /fhir/$export`
pub(super) async fn of_all(asking: Asking) -> Response {
    asking.blocking(|asking| asking.export(false, asking.query())).await
}

/// `POST /fhir/$export`
pub(super) async fn of_all_by_post(asking: Asking, body: Result<Bytes, BytesRejection>) -> Response {
    asking.blocking(move |asking| asking.export(false, &asking.asked_by_parameters(&read_whole(body)?)?)).await
}

/// `GET /fhir/Patient/$export`
pub(super) async fn of_patients(asking: Asking) -> Response {
    asking
        .blocking(|asking| {
            asking.is_of_patients()?;
            asking.export(true, asking.query())
        })
        .await
}

/// `POST /fhir/Patient/$export`
pub(super) async fn of_patients_by_post(asking: Asking, body: Result<Bytes, BytesRejection>) -> Response {
    asking
        .blocking(move |asking| {
            asking.is_of_patients()?;
            asking.export(true, &asking.asked_by_parameters(&read_whole(body)?)?)
        })
        .await
}

/// Which rows of an export a file has.
struct Wanted {
    kind: Kind,
    deleted: bool,
    plans: Vec<Plan>,
}

impl Wanted {
    fn part(&self, export: &Export) -> Part<'_> {
        let Wish { of_patients, since, .. } = export.wish;
        Part { kind: self.kind, deleted: self.deleted, of_patients, since, plans: &self.plans }
    }
}

impl Asking {
    fn is_of_patients(&self) -> Result<(), Refusal> {
        self.caller()?;
        if self.name(0)? == Kind::PATIENT.name() {
            return Ok(());
        }
        Err(no_address(format!("{} is not served: /$export and /Patient/$export are", self.shown())))
    }

    /// Begins an export, of all that the caller may see, or of what is some patient's, that is asked for by these parameters.
    fn export(&self, of_patients: bool, asked: &str) -> Result<Response, Refusal> {
        self.accepts()?;
        let (caller, client) = self.exporter()?;
        let asked_for = self.address_with(asked);
        let note = self.note(&caller, Verb::Search, Kind::PATIENT)?.searching(&asked_for);
        if !answer::prefers(self.headers(), "respond-async") {
            let text = "an export is not answered at once: send Prefer: respond-async";
            let issue = Issue::new(Code::ParameterValue, text).at("Prefer").help("send Prefer: respond-async");
            return Err(issue.into());
        }
        let wish = self.wish(&caller, of_patients, asked).map_err(|why| self.refused(&note, why))?;
        let wish = Wish { asked_for, ..wish };
        let clinical = &self.door.clinical;
        let id = provider::random();
        for kind in &wish.kinds {
            let wanted = self.wanted_of(&caller, &wish, File::first(*kind, false))?;
            self.noted(note.about(wanted.kind, None, None, self.named(&caller, &wanted)?))?;
        }
        let division = Division { files: Vec::new(), open: first_file(&wish).map(|file| (file, 0)) };
        let export = NewExport { id, client, request: self.address_with(self.query()), wish, lasts: LASTS, division };
        let why = match clinical.records().keep_export(export).map_err(|error| store_failed(&error))? {
            Begun::Kept => None,
            Begun::Ended => Some(Issue::new(Code::Token, "the token is not live: what was granted has ended")),
            Begun::Full(full) => Some(Issue::new(Code::Exports, full.text())),
        };
        if let Some(why) = why {
            return Err(self.refused(&note, why.into()));
        }
        let mut response = answer::empty(StatusCode::ACCEPTED);
        let address = format!("{}/$export-status/{}", self.door.base, HEXLOWER.encode(&id));
        insert(response.headers_mut(), CONTENT_LOCATION, &address);
        Ok(response)
    }

    /// Who exports: software in its own name.
    fn exporter(&self) -> Result<(Caller, String), Refusal> {
        let caller = self.caller()?;
        match caller.software() {
            Some(client) => {
                let client = client.to_owned();
                Ok((caller, client))
            }
            None => {
                let text = "exports are for software in its own name, with scopes system/…rs";
                let note = self.note(&caller, Verb::Search, Kind::PATIENT)?.searching("$export");
                Err(self.refused(&note, Issue::new(Code::Forbidden, text).into()))
            }
        }
    }

    /// The export that the address names, if it is the caller's own. Every other one is as one that is not there.
    fn own_export(&self, client: &str) -> Result<Export, Refusal> {
        let id = HEXLOWER.decode(self.name(0)?.as_bytes()).ok().and_then(|id| <[u8; 16]>::try_from(id).ok());
        let (clinical, none) =
            (&self.door.clinical, || Refusal::from(Issue::new(Code::NotFound, "there is no such export")));
        let now = clinical.clock().now().unix();
        let found = clinical.records().export(id.ok_or_else(none)?, client, now);
        found.map_err(|error| store_failed(&error))?.ok_or_else(none)
    }

    /// Which rows a file has, if the caller may look for them at all at this moment.
    fn wanted_of(&self, caller: &Caller, wish: &Wish, file: File) -> Result<Wanted, Refusal> {
        let kind = Kind::numbered(file.kind).ok_or_else(|| absent(Kind::PATIENT))?;
        self.may_export(caller, kind)?;
        let own = wish.filters.iter().filter(|(of, _)| *of == file.kind && !file.deleted);
        let plans = own.map(|(_, query)| self.plan(kind, query, Handling::Strict)).collect::<Result<_, _>>()?;
        Ok(Wanted { kind, deleted: file.deleted, plans })
    }

    /// Those whom the searches and scopes name by which rows are wanted: whatever is found or not is told of them too.
    fn named(&self, caller: &Caller, wanted: &Wanted) -> Result<Vec<Row>, Refusal> {
        let mut named = caller.sight(Verb::Search).patients(wanted.kind);
        wanted.plans.iter().for_each(|plan| named.extend(plan.patients()));
        self.door.clinical.records().patients(&named).map_err(|error| store_failed(&error))
    }

    /// What is exported is looked for, and read.
    fn may_export(&self, caller: &Caller, kind: Kind) -> Result<(), Refusal> {
        let why = [Verb::Search, Verb::Read].into_iter().find_map(|verb| denied(caller, verb, kind));
        why.map_or(Ok(()), Err)
    }

    /// What the scopes of a token ask of the kinds that an export looks at, besides their kind.
    fn only(&self, caller: &Caller, wish: &Wish) -> Result<Vec<String>, Refusal> {
        let mut kinds: BTreeSet<Kind> = wish.kinds.iter().filter_map(|kind| Kind::numbered(*kind)).collect();
        for (kind, query) in &wish.filters {
            let kind = Kind::numbered(*kind).ok_or_else(|| absent(Kind::PATIENT))?;
            kinds.extend(self.plan(kind, query, Handling::Strict)?.others());
        }
        let Sights { search, read } = sights(caller);
        let of = |kind: Kind| [(Verb::Search, &search), (Verb::Read, &read)].map(|(verb, sight)| (kind, verb, sight));
        let texts = kinds.into_iter().flat_map(of).flat_map(|(kind, verb, sight)| {
            let constraints = sight.constraints(kind).into_iter();
            constraints.map(move |only| format!("{kind}.{}?{only}", verb.letter()))
        });
        Ok(texts.collect::<BTreeSet<String>>().into_iter().collect())
    }

    /// The address that was asked, with these parameters.
    fn address_with(&self, query: &str) -> String {
        let separator = if query.is_empty() { "" } else { "?" };
        format!("{}{separator}{query}", self.url())
    }
}

fn sights(caller: &Caller) -> Sights {
    Sights { search: caller.sight(Verb::Search), read: caller.sight(Verb::Read) }
}

fn first_file(wish: &Wish) -> Option<File> {
    wish.kinds.first().map(|kind| File::first(*kind, false))
}

/// The files of the next kind, or of what of this one was deleted.
fn next_file(wish: &Wish, file: File) -> Option<File> {
    if wish.since.is_some() && !file.deleted {
        return Some(File::first(file.kind, true));
    }
    let place = wish.kinds.iter().position(|kind| *kind == file.kind)?;
    let kind = wish.kinds.get(place.saturating_add(1))?;
    Some(File::first(*kind, false))
}

/// Where it stands in the list of changes.
const fn place(file: File) -> (Seq, Seq) {
    (Seq(file.after), Seq(file.upto))
}
