//! Reading lists: who signed, and what differs.

use super::{file, key_id, now, opened, write};
use crate::cli::VerifyListArgs;
use crate::cli::trust_list::DiffArgs;
use crate::decide::root_keys;
use crate::output::{self, say};
use crate::{Failure, Outcome};
use medlock_authority::alliance::signing::Believed;
use medlock_authority::alliance::summary::changes;
use medlock_node::knowledge::suspensions;
use medlock_node::lists::fork::Signature;
use medlock_node::lists::fork::{Fork, Signatory, signatures};
use medlock_node::provider::AwsLc;
use medlock_trust::Interval;
use medlock_trust::cose::ContentType;
use medlock_trust::list::{List, Suspension};
use serde_json::json;
use std::path::Path;

/// `medlock trust-list verify`.
///
/// # Errors
/// When a file cannot be read or nobody is named who is believed.
pub(crate) fn verify(args: &VerifyListArgs) -> Result<Outcome, Failure> {
    let mut keys = root_keys(&args.roots)?;
    keys.extend(args.members.iter().map(|member| key_id(member)).collect::<Result<Vec<_>, _>>()?);
    let held = args.current.as_deref().map(|path| Ok::<_, Failure>((file(path)?, path))).transpose()?;
    let held = held.as_ref().map(|(bytes, path)| opened(bytes, path)).transpose()?;
    let bytes = file(&args.file)?;
    if suspensions::each(&bytes).next().is_some_and(|one| Suspension::danger_open(one).is_ok()) {
        return verify_suspensions(args, &bytes, held.as_ref());
    }
    let by = match &held {
        Some(held) => Believed::After(held),
        None if keys.is_empty() => {
            return Err(
                "name at least one member you believe, by --root or --member, or the list you hold, by --current"
                    .into(),
            );
        }
        None => Believed::Members(&keys, args.threshold),
    };
    let steps = List::danger_open(&bytes)
        .map(|list| signatures(&bytes, ContentType::LIST, &list, held.as_ref()))
        .unwrap_or_default();
    let result = by.verify(&bytes, now());
    let reason = result.as_ref().err().map(ToString::to_string);
    if args.json {
        output::json(&json!({ "valid": reason.is_none(), "reason": reason, "signatures": steps }))?;
    } else {
        steps.iter().for_each(say_signature);
        match &result {
            Ok(list) => say!("{:?} version {}: signed as it should be", list.heading().name, list.heading().version),
            Err(error) => say!("{}: {error}", args.file.display()),
        }
    }
    Ok(if reason.is_none() { Outcome::Done } else { Outcome::Refused })
}

fn say_signature(one: &Signature) {
    let verdict = match one.valid {
        Some(true) => "right",
        Some(false) => "WRONG",
        None => "not checked",
    };
    let whose = match one.signatory {
        Signatory::Member => "member",
        Signatory::Recovery => "recovery key",
        Signatory::HeldMember => "member of the current list",
        Signatory::HeldRecovery => "recovery key of the current list",
        Signatory::Stranger => "stranger, counts for nothing",
    };
    say!("{}  {verdict:<11}  {:?}, {whose}", one.key, one.name.as_deref().unwrap_or(""));
}

/// The same for suspensions, one after the other: the members of the current list signed them.
fn verify_suspensions(args: &VerifyListArgs, bytes: &[u8], held: Option<&List<'_>>) -> Result<Outcome, Failure> {
    let held = held.ok_or("a suspension is signed by members of the list that is in force: name it, by --current")?;
    let all: usize = suspensions::each(bytes).map(<[u8]>::len).sum();
    let mut found = Vec::new();
    for one in suspensions::each(bytes) {
        let verified = Suspension::verify(one, held, Interval::exactly(now()), &AwsLc);
        let reason = verified.as_ref().err().map(ToString::to_string);
        let name = |key| held.authority(key).map_or_else(String::new, |listed| listed.name.to_owned());
        let content = Suspension::danger_open(one).ok().map(|one| *one.content());
        let suspended: Vec<(String, String)> =
            content.iter().flat_map(|content| content.authorities().map(|key| (name(key), key.to_string()))).collect();
        let until = content.map(|content| content.expires.to_string());
        let signed = signatures(one, ContentType::SUSPENSION, held, None);
        found.push((reason, suspended, until, signed));
    }
    let valid = all == bytes.len() && found.iter().all(|(reason, ..)| reason.is_none());
    if args.json {
        let all: Vec<_> = found
            .iter()
            .map(|(reason, suspended, until, signed)| {
                let names: Vec<_> = suspended.iter().map(|(name, key)| json!({ "name": name, "key": key })).collect();
                json!({ "valid": reason.is_none(), "reason": reason, "suspends": names, "until": until, "signatures": signed })
            })
            .collect();
        output::json(&json!({ "valid": valid, "suspensions": all }))?;
    } else {
        for (reason, suspended, until, signed) in &found {
            signed.iter().for_each(say_signature);
            let names: Vec<_> = suspended.iter().map(|(name, key)| format!("{name:?} ({key})")).collect();
            let (names, until) = (names.join(", "), until.as_deref().unwrap_or("?"));
            match reason {
                None => say!("suspension of {names} until {until}: signed as it should be"),
                Some(reason) => say!("suspension of {names} until {until}: {reason}"),
            }
        }
        if all != bytes.len() {
            say!("{}: what follows is no suspension", args.file.display());
        }
    }
    Ok(if valid { Outcome::Done } else { Outcome::Refused })
}

/// A list, signed or proposed.
fn either<'b>(bytes: &'b [u8], path: &Path) -> Result<List<'b>, Failure> {
    List::danger_open(bytes)
        .or_else(|error| List::danger_open_payload(bytes).map_err(|_| error))
        .map_err(|error| format!("{} is no list: {error}", path.display()).into())
}

/// `medlock trust-list diff`.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn diff(args: &DiffArgs) -> Result<Outcome, Failure> {
    let (from, to) = (file(&args.from)?, file(&args.to)?);
    let (old, new) = (either(&from, &args.from)?, either(&to, &args.to)?);
    let changed = changes(Some(&old), &new);
    let fork = Fork::of(&from, &to);
    if let (Some(fork), Some(path)) = (&fork, &args.evidence) {
        write(path, &serde_json::to_vec_pretty(fork)?)?;
    }
    let follows = new.heading().previous == Some(medlock_node::provider::sha256(old.payload()));
    if args.json {
        output::json(&json!({ "changes": changed, "follows": follows, "fork": fork }))?;
    } else {
        changed.iter().for_each(|change| say!("  {change}"));
        if changed.is_empty() {
            say!("they say the same");
        }
        if !follows && new.heading().version == old.heading().version.saturating_add(1) {
            say!("note: the second names another list as the one before it");
        }
        if let Some(fork) = &fork {
            say!("ALARM: {}", fork.sentence());
        }
    }
    Ok(if fork.is_some() { Outcome::Refused } else { Outcome::Done })
}
