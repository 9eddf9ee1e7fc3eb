//! Lists of a hub: shown, given to it, fetched for it.

use super::{file, key_id, now, suspensions_of};
use crate::admin::{self, ask};
use crate::cli::trust_list::{BelievedArgs, FetchArgs};
use crate::cli::{HubArgs, InspectArgs, device};
use crate::output::{self, say};
use crate::{Failure, Outcome, inspect};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use medlock_authority::admin::{Request, Response};
use medlock_authority::objects::Kind;
use medlock_node::lists::{SUSPENSIONS, Source};
use medlock_trust::list::List;
use serde_json::json;
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

/// `medlock trust-list show`.
///
/// # Errors
/// When the list cannot be read, or the hub not be reached.
pub(crate) fn show(
    file: Option<PathBuf>,
    alliance: bool,
    save: Option<&Path>,
    hub: &HubArgs,
) -> Result<Outcome, Failure> {
    match (file, save) {
        (Some(file), None) => inspect::run(&InspectArgs { file, root: None, log_key: None, json: hub.json }),
        (Some(_), Some(_)) => Err("--save writes the hub's list; there is no need to save a file that is there".into()),
        (None, save) => {
            let bytes = held(hub, if alliance { Kind::TrustList } else { Kind::SiteList })?;
            let Some(path) = save else {
                let suspended = if alliance { in_force(hub, &bytes)? } else { Vec::new() };
                let all: Vec<&[u8]> = std::iter::once(&bytes).chain(&suspended).map(Vec::as_slice).collect();
                return inspect::show_each(&all, hub.json);
            };
            super::write(path, &bytes)?;
            say!("{} bytes written to {}", bytes.len(), path.display());
            Ok(Outcome::Done)
        }
    }
}

/// The suspensions that count beside this list.
fn in_force(hub: &HubArgs, list: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
    // Until the first emergency there are none.
    let all = held(hub, Kind::Suspensions).unwrap_or_default();
    let list = List::danger_open(list).map_err(|error| format!("the hub's trust list is damaged: {error}"))?;
    Ok(suspensions_of(&all, &list).map(|(bytes, _)| bytes.to_vec()).collect())
}

fn held(hub: &HubArgs, kind: Kind) -> Result<Vec<u8>, Failure> {
    match ask(&hub.dir, Request::Object { object: kind })? {
        Response::Object { bytes, .. } => Ok(BASE64.decode(bytes)?),
        other => Err(admin::unexpected(&other)),
    }
}

/// `medlock trust-list import`.
///
/// # Errors
/// When the hub does not take it.
pub(crate) fn import(path: &Path, believed: BelievedArgs, hub: &HubArgs) -> Result<Outcome, Failure> {
    device::done(hub, request(&file(path)?, &believed)?)
}

fn request(object: &[u8], believed: &BelievedArgs) -> Result<Request, Failure> {
    let members =
        believed.members.iter().map(|member| Ok(key_id(member)?.to_string())).collect::<Result<_, Failure>>()?;
    let threshold = usize::from(believed.threshold);
    Ok(Request::ImportTrustList { object: BASE64.encode(object), members, threshold })
}

/// `medlock trust-list fetch`: each list is in force, durably, before the next is asked for. Suspensions are taken whatever became
/// of the lists, unless there are more of these than are wanted now.
///
/// # Errors
/// When the folder cannot be read, or the hub refuses something: the first reason.
pub(crate) fn fetch(args: &FetchArgs) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let source = Source::parse(&args.source)?;
    let (mut versions, mut suspended) = (Vec::new(), Vec::new());
    let finished = fetch_lists(args, &runtime, &source, &mut versions);
    let there_is_more = matches!(finished, Ok(false));
    let suspensions = if there_is_more { Ok(()) } else { fetch_suspensions(args, &runtime, &source, &mut suspended) };
    if args.hub.json {
        let finished = matches!(finished, Ok(true));
        output::json(&json!({ "taken": versions, "finished": finished, "suspensions": suspended.len() }))?;
    } else {
        suspended.iter().for_each(|text| say!("{text}"));
        versions.iter().for_each(|version| say!("version {version} is in force"));
        match finished {
            Ok(true) => say!("no newer list is published"),
            Ok(false) => say!("there is more: fetch again"),
            Err(_) => {}
        }
    }
    finished.and(suspensions).map(|()| Outcome::Done)
}

/// Whether nothing newer is left.
fn fetch_lists(args: &FetchArgs, runtime: &Runtime, source: &Source, versions: &mut Vec<u64>) -> Result<bool, Failure> {
    let index = runtime.block_on(source.index())?;
    loop {
        let held = held(&args.hub, Kind::TrustList).ok();
        let entry = match held.as_deref().map(List::danger_open).transpose() {
            Ok(Some(list)) => index.next(&list, now()),
            // The first list is believed for the members one names; an old one if they have changed since.
            Ok(None) => index.versions.iter().find(|entry| !entry.rotation),
            Err(error) => return Err(format!("the hub's trust list is damaged: {error}").into()),
        };
        let Some(entry) = entry else { return Ok(true) };
        if versions.len() == args.most {
            return Ok(false);
        }
        let bytes = runtime.block_on(source.list(entry, held.as_deref().unwrap_or_default()))?;
        match ask(&args.hub.dir, request(&bytes, &args.believed)?)? {
            Response::Done { .. } => versions.push(entry.version),
            other => return Err(admin::unexpected(&other)),
        }
    }
}

/// One that is refused keeps back none of the others.
fn fetch_suspensions(
    args: &FetchArgs,
    runtime: &Runtime,
    source: &Source,
    suspended: &mut Vec<String>,
) -> Result<(), Failure> {
    let suspensions = runtime.block_on(source.file(SUSPENSIONS))?;
    let list = held(&args.hub, Kind::TrustList).unwrap_or_default();
    let mut refused = Ok(());
    if let (Some(all), Ok(list)) = (&suspensions, List::danger_open(&list)) {
        for (one, _) in suspensions_of(all, &list) {
            match ask(&args.hub.dir, request(one, &args.believed)?) {
                Ok(Response::Done { text }) => suspended.push(text),
                Ok(other) => return Err(admin::unexpected(&other)),
                Err(error) => refused = refused.and(Err(error)),
            }
        }
    }
    refused
}
