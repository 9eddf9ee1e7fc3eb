//! What members do: keys, drafts, proposals, signatures, publication.

use super::{file, now, opened, suspensions_of, write};
use crate::cli::trust_list::{
    AssembleArgs, ConfirmArgs, CurrentArgs, DraftArgs, MemberKeyArgs, OutArgs, ProposeArgs, PublishArgs, RecoverArgs,
    SignArgs, SuspendArgs,
};
use crate::output::{self, say};
use crate::{Failure, Outcome};
use medlock_authority::alliance::draft::{Draft, Key, Listed};
use medlock_authority::alliance::proposal::{self, Proposal};
use medlock_authority::alliance::signing::Believed;
use medlock_authority::alliance::summary::{Change, changes};
use medlock_authority::alliance::{folder, signing};
use medlock_authority::keys;
use medlock_node::lists::SUSPENSIONS;
use medlock_trust::KeyId;
use medlock_trust::list::{Authority, AuthorityState, List};
use serde_json::json;
use std::path::{Path, PathBuf};

/// `medlock trust-list member-key`.
///
/// # Errors
/// When the key is there already, or a file cannot be written.
pub(crate) fn member_key(args: &MemberKeyArgs) -> Result<Outcome, Failure> {
    let key = keys::make_key_file(&args.out, &args.passphrase_file, args.algorithm.into())?;
    let public = args.out.with_extension("pub");
    let body = data_encoding::BASE64.encode(key.spki());
    let lines: Vec<&str> = body.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
    write(&public, pem.as_bytes())?;
    let id = key.key_id().to_string();
    if args.json {
        output::json(&json!({ "key": id, "private": args.out, "public": public, "passphrase": args.passphrase_file }))?;
    } else {
        say!("key {id}");
        say!(
            "private {} (encrypted; keep the passphrase {} elsewhere)",
            args.out.display(),
            args.passphrase_file.display()
        );
        say!("public  {}: give it to those who draft the list", public.display());
    }
    Ok(Outcome::Done)
}

/// The current list's bytes, if one is named.
fn current(args: &CurrentArgs) -> Result<Option<(Vec<u8>, &Path)>, Failure> {
    args.current.as_deref().map(|path| Ok((file(path)?, path))).transpose()
}

fn view<'b>(current: Option<&'b (Vec<u8>, &Path)>) -> Result<Option<List<'b>>, Failure> {
    current.map(|(bytes, path)| opened(bytes, path)).transpose()
}

/// `medlock trust-list draft`.
///
/// # Errors
/// When an argument or the current list cannot be used.
pub(crate) fn draft(args: &DraftArgs) -> Result<Outcome, Failure> {
    let held = current(&args.current)?;
    let mut draft = match (view(held.as_ref())?, &args.name) {
        (Some(list), None) => Draft::after(&list),
        (None, Some(name)) => Draft::new(name),
        (Some(_), Some(_)) => return Err("the name of a list never changes: leave out --name, or --current".into()),
        (None, None) => return Err("give --current LIST, or --name for the first list of a new alliance".into()),
    };
    let key = |text: &String| -> Result<Key, Failure> {
        let (name, path) = pair(text)?;
        Ok(Key { name, key: absolute(&path)? })
    };
    draft.members.extend(args.members.iter().map(key).collect::<Result<Vec<_>, _>>()?);
    draft.recovery.extend(args.recovery.iter().map(key).collect::<Result<Vec<_>, _>>()?);
    for maker in &args.makers {
        let (name, path) = pair(maker)?;
        draft.authorities.push(Listed::maker(&name, &absolute(&path)?));
    }
    draft.threshold = args.threshold.unwrap_or(draft.threshold);
    draft.emergency_threshold = args.emergency.unwrap_or(draft.emergency_threshold);
    draft.recovery_threshold = args.recovery_threshold.unwrap_or(draft.recovery_threshold);
    let notes = suspended(view(held.as_ref())?.as_ref(), &args.current)?;
    let notes = notes
        .iter()
        .map(|one| format!("{}: this list will end that, unless its entry says state = \"suspended\"", one.note));
    let notes: Vec<String> = notes.collect();
    let outcome = drafted(&draft, &notes, &args.out)?;
    if !args.out.json && !args.makers.is_empty() {
        say!(
            "each new maker may vouch for every role, type and name, unless you say `roles`, `device_types`, `names` in its entry"
        );
    }
    Ok(outcome)
}

/// An authority that members suspend at present.
struct Suspended {
    key: KeyId,
    note: String,
}

/// What whoever drafts or signs the next list must know: which authorities of the current one members suspend at present.
fn suspended(list: Option<&List<'_>>, args: &CurrentArgs) -> Result<Vec<Suspended>, Failure> {
    let (Some(list), Some(current)) = (list, &args.current) else { return Ok(Vec::new()) };
    let beside = current.with_file_name(SUSPENSIONS);
    let mut all = Vec::new();
    for path in args.suspensions.iter().chain(beside.exists().then_some(&beside)) {
        all.extend(file(path)?);
    }
    let mut found: Vec<Suspended> = Vec::new();
    for (_, suspension) in suspensions_of(&all, list) {
        let content = suspension.content();
        for authority in list.authorities().filter(|authority| content.names(authority.key)) {
            let Authority { key, name, .. } = authority;
            let note = format!("{name:?} ({key}) is suspended by members until {}", content.expires);
            if found.iter().all(|one| one.note != note) {
                found.push(Suspended { key, note });
            }
        }
    }
    Ok(found)
}

/// The suspensions that a proposed list ends: those of authorities that it does not call suspended itself.
fn ended(proposal: &Proposal<'_>, held: Option<&List<'_>>, args: &CurrentArgs) -> Result<Vec<String>, Failure> {
    let Proposal::List(next) = proposal else { return Ok(Vec::new()) };
    let state = |key: KeyId| next.authority(key).map(|entry| entry.state);
    let mut all = suspended(held, args)?;
    all.retain(|one| state(one.key) != Some(AuthorityState::Suspended));
    Ok(all.into_iter().map(|one| format!("{}: this list ends that", one.note)).collect())
}

fn drafted(draft: &Draft, notes: &[String], out: &OutArgs) -> Result<Outcome, Failure> {
    let mut text: String = notes.iter().map(|note| format!("# NOTE: {note}\n")).collect();
    text.push_str(&draft.to_toml()?);
    write(&out.out, text.as_bytes())?;
    if out.json {
        output::json(&json!({ "draft": out.out, "name": draft.name, "version": draft.version,
            "recovery_epoch": draft.recovery_epoch, "suspended": notes }))?;
    } else {
        notes.iter().for_each(|note| say!("NOTE: {note}"));
        say!("draft of version {} written to {}", draft.version, out.out.display());
        say!("edit it, then: medlock trust-list propose {} --out …", out.out.display());
    }
    Ok(Outcome::Done)
}

fn pair(text: &str) -> Result<(String, PathBuf), Failure> {
    let (name, path) = text.split_once('=').ok_or_else(|| format!("{text}: write NAME=FILE"))?;
    Ok((name.to_owned(), path.into()))
}

/// A draft may lie elsewhere than here.
fn absolute(path: &Path) -> Result<String, Failure> {
    let path = std::fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()))?;
    path.into_os_string().into_string().map_err(|_| "a file's name is not UTF-8: rename it".into())
}

/// `medlock trust-list propose`.
///
/// # Errors
/// When the draft or what it says cannot be used, or verifiers would refuse it.
pub(crate) fn propose(args: &ProposeArgs) -> Result<Outcome, Failure> {
    let text =
        String::from_utf8(file(&args.draft)?).map_err(|_| format!("{}: it is not UTF-8", args.draft.display()))?;
    let held = current(&args.current)?;
    let held = view(held.as_ref())?;
    let folder = args.draft.parent().unwrap_or(Path::new("."));
    let in_draft = |error: medlock_authority::Error| format!("{}: {error}", args.draft.display());
    let payload = Draft::parse(&text).and_then(|draft| draft.payload(folder, now())).map_err(in_draft)?;
    let proposal = Proposal::read(&payload)?;
    proposal.check(held.as_ref(), now()).map_err(in_draft)?;
    write(&args.out.out, &payload)?;
    proposed(&payload, held.as_ref(), &args.current, &args.out, "proposal")
}

/// Says what a file holds that was just written.
fn proposed(
    payload: &[u8],
    held: Option<&List<'_>>,
    current: &CurrentArgs,
    out: &OutArgs,
    what: &str,
) -> Result<Outcome, Failure> {
    let proposal = &Proposal::read(payload)?;
    let ends = ended(proposal, held, current)?;
    let sha256 = data_encoding::HEXLOWER.encode(&medlock_node::provider::sha256(payload));
    let changed = said(proposal, held);
    let signers = who_must_sign(proposal, held);
    if out.json {
        output::json(&json!({ what: out.out, "sha256": sha256, "changes": changed, "ends_suspensions": ends,
            "signers": signers }))?;
    } else {
        changed.iter().for_each(|change| say!("  {change}"));
        ends.iter().for_each(|end| say!("NOTE: {end}"));
        say!("must sign: {signers}");
        say!("SHA-256 of what is signed: {sha256}");
        say!("{what} written to {}", out.out.display());
    }
    Ok(Outcome::Done)
}

fn said(proposal: &Proposal<'_>, held: Option<&List<'_>>) -> Vec<Change> {
    match proposal {
        Proposal::List(list) => changes(held, list),
        Proposal::Suspension(content) => {
            let name = |key: KeyId| {
                let named = held.and_then(|list| list.authority(key));
                format!("authority {key} {:?}", named.map_or("", |authority| authority.name))
            };
            let to = format!("suspended from {} to {} ({})", content.issued, content.expires, content.reason.name());
            content.authorities().map(|key| Change { what: name(key), from: None, to: Some(to.clone()) }).collect()
        }
    }
}

fn who_must_sign(proposal: &Proposal<'_>, held: Option<&List<'_>>) -> String {
    match (proposal, held) {
        (Proposal::Suspension(_), held) => {
            format!("{} members of the current list", held.map_or(0, |list| list.heading().emergency))
        }
        (Proposal::List(list), None) => format!("{} of its members", list.heading().threshold),
        (Proposal::List(list), Some(held)) => {
            let (new, old) = (list.heading(), held.heading());
            let own = format!("{} of its own members", new.threshold);
            let keys = |list: &List<'_>| list.recovery().map(|one| one.key).collect::<Vec<_>>();
            let recovers = new.recovery_epoch != old.recovery_epoch;
            let changed = (new.recovery_threshold, keys(list)) != (old.recovery_threshold, keys(held));
            match (recovers, old.recovery_threshold) {
                (true, count @ 1..) => format!("{count} recovery keys of the current list, and {own}"),
                (false, count @ 1..) if changed => {
                    format!("{} members and {count} recovery keys of the current list, and {own}", old.threshold)
                }
                _ => format!("{} members of the current list, and {own}", old.threshold),
            }
        }
    }
}

/// `medlock trust-list sign`.
///
/// # Errors
/// When the key cannot be used, or its signature would count for nothing.
pub(crate) fn sign(args: &SignArgs) -> Result<Outcome, Failure> {
    let payload = file(&args.proposal)?;
    let held = current(&args.current)?;
    let held = view(held.as_ref())?;
    let key = keys::key_file(&args.key, &args.passphrase_file)?;
    let signed = signing::sign(&payload, &key, held.as_ref(), now())?;
    write(&args.out.out, &signed)?;
    proposed(&payload, held.as_ref(), &args.current, &args.out, "signature")
}

/// `medlock trust-list assemble`.
///
/// # Errors
/// When not enough have signed, or something else.
pub(crate) fn assemble(args: &AssembleArgs) -> Result<Outcome, Failure> {
    let payload = file(&args.proposal)?;
    let held = current(&args.current)?;
    let held = view(held.as_ref())?;
    let signatures = args.signatures.iter().map(|path| file(path)).collect::<Result<Vec<_>, _>>()?;
    let by = held.as_ref().map_or(Believed::Itself, Believed::After);
    let made = signing::assemble(&payload, &signatures, by, now())?;
    write(&args.out.out, &made)?;
    if args.out.json {
        return proposed(&payload, held.as_ref(), &args.current, &args.out, "signed object");
    }
    // Whoever has signed has seen what changes.
    let sha256 = data_encoding::HEXLOWER.encode(&medlock_node::provider::sha256(&payload));
    say!("SHA-256 of what is signed: {sha256}");
    say!("signed object written to {}; medlock trust-list diff shows what it changes", args.out.out.display());
    Ok(Outcome::Done)
}

/// `medlock trust-list publish`.
///
/// # Errors
/// When those who hold the newest list of the folder would refuse it, or a file cannot be written.
pub(crate) fn publish(args: &PublishArgs) -> Result<Outcome, Failure> {
    let bytes = file(&args.list)?;
    let published = folder::publish(&args.folder, &bytes, Believed::Itself, now())?;
    if args.json {
        output::json(&json!({ "version": published.version, "files": published.files }))?;
    } else {
        published.files.iter().for_each(|file| say!("{}", file.display()));
        let what =
            published.version.map_or_else(|| "the suspension".to_owned(), |version| format!("version {version}"));
        say!("{what} is published; let any web server serve {}", args.folder.display());
    }
    Ok(Outcome::Done)
}

/// `medlock trust-list suspend`.
///
/// # Errors
/// When an authority is not listed, or nobody may suspend by fewer signatures.
pub(crate) fn suspend(args: &SuspendArgs) -> Result<Outcome, Failure> {
    let bytes = file(&args.current)?;
    let held = opened(&bytes, &args.current)?;
    let mut keys = Vec::new();
    for text in &args.authorities {
        let fits = held.authorities().find(|one| one.key.to_string() == *text || one.name == text);
        let missing = || {
            format!("{} has no authority {text:?}: give its name or the identifier of its key", args.current.display())
        };
        keys.push(fits.ok_or_else(missing)?.key);
    }
    let payload = proposal::suspension(&held, &keys, args.reason.into(), now(), args.days)?;
    write(&args.out.out, &payload)?;
    let current = CurrentArgs { current: Some(args.current.clone()), suspensions: Vec::new() };
    proposed(&payload, Some(&held), &current, &args.out, "proposal")
}

/// `medlock trust-list confirm`.
///
/// # Errors
/// When the suspension is not of the current list's members.
pub(crate) fn confirm(args: &ConfirmArgs) -> Result<Outcome, Failure> {
    let bytes = file(&args.current)?;
    let draft = proposal::confirmation(&opened(&bytes, &args.current)?, &file(&args.suspension)?, now())?;
    drafted(&draft, &[], &args.out)
}

/// `medlock trust-list recover`.
///
/// # Errors
/// When the current list cannot be read.
pub(crate) fn recover(args: &RecoverArgs) -> Result<Outcome, Failure> {
    let bytes = file(&args.current)?;
    drafted(&proposal::recovery(&opened(&bytes, &args.current)?), &[], &args.out)
}
