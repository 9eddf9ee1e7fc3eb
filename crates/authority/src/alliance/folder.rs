//! A folder of lists, to be served by any web server.

use super::signing::Believed;
use super::{names, refused};
use crate::Error;
use medlock_node::files;
use medlock_node::knowledge::suspensions;
use medlock_node::lists::{Entry, INDEX, Index, LATEST, SUSPENSIONS, delta};
use medlock_node::provider::AwsLc;
use medlock_trust::list::{List, Suspension};
use medlock_trust::{Interval, Time};
use std::path::{Path, PathBuf};

/// From how many versions before it a delta to the newest is kept: who missed more takes whole lists.
const DELTAS: usize = 10;

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The version; none of a suspension.
    pub version: Option<u64>,
    /// The files that were written, the index last.
    pub files: Vec<PathBuf>,
}

/// Adds a list to the folder, or a suspension.
///
/// # Errors
/// As [`publish_list`] and [`publish_suspension`].
pub fn publish(folder: &Path, bytes: &[u8], first: Believed<'_>, now: Time) -> Result<Published, Error> {
    match Suspension::danger_open(bytes) {
        Ok(_) => publish_suspension(folder, bytes, now),
        Err(_) => publish_list(folder, bytes, first, now),
    }
}

/// Adds a suspension to the folder, if those who hold the newest list there would take it. Those that are over go, and those on which
/// that list has decided, being later.
///
/// # Errors
/// [`Error::Object`] if it is refused; [`Error::File`].
pub fn publish_suspension(folder: &Path, bytes: &[u8], now: Time) -> Result<Published, Error> {
    let what = "suspension";
    let latest = read(&folder.join(LATEST))?;
    let latest = latest.ok_or_else(|| refused(what, "publish the list first whose members signed it"))?;
    let list = List::danger_open(&latest).map_err(|error| refused("latest.cbor", error))?;
    let given =
        Suspension::verify(bytes, &list, Interval::exactly(now), &AwsLc).map_err(|error| refused(what, error))?;
    let file = folder.join(SUSPENSIONS);
    let held = read(&file)?.unwrap_or_default();
    let decided = list.heading().issued;
    let stays = |one: &&[u8]| {
        Suspension::danger_open(one).is_ok_and(|one| {
            let content = one.content();
            content.expires > now && content.issued >= decided && one.payload() != given.payload()
        })
    };
    let mut all: Vec<&[u8]> = suspensions::each(&held).filter(stays).collect();
    if all.len() >= suspensions::MOST {
        let why = format!(
            "{} are in force there, and nobody reads more: publish a later list first, which decides on those makers",
            all.len()
        );
        return Err(refused(what, why));
    }
    all.push(bytes);
    put(&file, &all.concat())?;
    Ok(Published { version: None, files: vec![file] })
}

/// Adds a list to the folder, if those who hold the newest one there would take it. The index is written last: whoever reads it
/// finds all it names.
///
/// # Errors
/// [`Error::Object`] if the list is refused; [`Error::File`].
pub fn publish_list(folder: &Path, bytes: &[u8], first: Believed<'_>, now: Time) -> Result<Published, Error> {
    std::fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))?;
    let latest = read(&folder.join(LATEST))?;
    let held = latest.as_deref().map(List::danger_open).transpose();
    let held =
        held.map_err(|error| refused("latest.cbor", format!("{error}; move it away, or publish to another folder")))?;
    let list = match &held {
        Some(held) => Believed::After(held).verify(bytes, now)?,
        None => first.verify(bytes, now)?,
    };
    names::check(&list, held.is_none())?;
    let mut index = match read(&folder.join(INDEX))? {
        Some(text) => serde_json::from_slice(&text).map_err(|error| refused("index.json", error))?,
        None => Index { name: list.heading().name.to_owned(), versions: Vec::new() },
    };
    let mut entry = Entry::of(&list, held.as_ref());
    let mut files = Vec::new();
    let mut write = |name: String, content: &[u8]| {
        let path = folder.join(name);
        put(&path, content)?;
        files.push(path);
        Ok::<_, Error>(())
    };
    write(entry.file(), bytes)?;
    let same_epoch = |old: &&Entry| old.recovery_epoch == entry.recovery_epoch;
    let bases: Vec<Entry> = index.versions.iter().rev().filter(same_epoch).take(DELTAS).cloned().collect();
    for base in bases {
        let Some(old) = read(&folder.join(base.file()))? else { continue };
        let made = delta::make(&old, bytes).map_err(|error| refused("delta", error))?;
        // A delta that is longer than the list saves nothing.
        if made.len() < bytes.len() {
            write(entry.delta_file(base.version), &made)?;
            entry.deltas.push(base.version);
        }
    }
    write(LATEST.to_owned(), bytes)?;
    let version = entry.version;
    index.versions.push(entry);
    let text = serde_json::to_vec_pretty(&index).map_err(|error| refused("index.json", error))?;
    write(INDEX.to_owned(), &text)?;
    Ok(Published { version: Some(version), files })
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    files::read(path).map_err(|error| refused("folder of lists", error))
}

/// Writes a file that a web server, which is another user, may read.
fn put(path: &Path, content: &[u8]) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    files::replace(path, content).map_err(|error| refused("folder of lists", error))?;
    let public = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(path, public).map_err(|error| Error::file(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use medlock_node::provider::SigningKey;
    use medlock_trust::cose::{self, Algorithm, ContentType};
    use medlock_trust::list::{Authority, Content, Heading, ListKind, Member, SuspensionContent};
    use medlock_trust::path::AuthorityKind;
    use medlock_trust::status::Reason;

    /// Two members, of whom both sign a list and one suspends, and as many makers as are wanted.
    struct Alliance {
        members: [SigningKey; 2],
        makers: Vec<SigningKey>,
    }

    impl Alliance {
        fn signed(&self, payload: &[u8], kind: ContentType, signers: usize) -> Vec<u8> {
            let ids: Vec<_> = self.members[..signers].iter().map(|one| (one.key_id(), Algorithm::Es256)).collect();
            let mut out = Vec::new();
            let signed = cose::sign(payload, kind, &ids, &mut out, |id, parts| {
                let member = self.members.iter().find(|member| member.key_id() == id).unwrap();
                Ok::<_, std::convert::Infallible>(member.sign_cose(&parts))
            });
            signed.unwrap();
            out
        }

        fn list(&self, version: u64, issued: Time) -> Vec<u8> {
            let first = Heading::first(ListKind::Alliance, "Alliance", issued, issued.plus_seconds(86_400));
            let heading = Heading { version, threshold: 2, emergency: 1, ..first };
            let members =
                self.members.each_ref().map(|key| Member { key: key.key_id(), spki: key.spki(), name: "member" });
            let authorities: Vec<_> = self
                .makers
                .iter()
                .map(|key| Authority {
                    since: issued,
                    ..Authority::for_everything(key.key_id(), AuthorityKind::Maker, "maker", &[0x30, 0], key.spki())
                })
                .collect();
            let content =
                Content { heading, members: &members, recovery: &[], authorities: &authorities, services: &[] };
            let mut payload = Vec::new();
            content.encode(&mut payload).unwrap();
            self.signed(&payload, ContentType::LIST, 2)
        }

        fn suspension(&self, maker: usize, issued: Time) -> Vec<u8> {
            let key = self.makers[maker].key_id();
            let expires = issued.plus_seconds(3_600);
            let content =
                SuspensionContent::new("Alliance", 0, issued, expires, Reason::KEY_COMPROMISE, key.as_bytes());
            let mut payload = Vec::new();
            content.unwrap().encode(&mut payload).unwrap();
            self.signed(&payload, ContentType::SUSPENSION, 1)
        }
    }

    /// Shows REQ-LIST-48: of sixteen suspensions in force no more is published, because nobody would read it; a later list, which has
    /// decided on them, makes room.
    #[test]
    fn of_sixteen_suspensions_in_force_no_more_is_published_before_a_list_has_decided() {
        let makers = (0..=suspensions::MOST).map(|_| SigningKey::generate()).collect();
        let (all, dir) =
            (Alliance { members: [0; 2].map(|_| SigningKey::generate()), makers }, tempfile::tempdir().unwrap());
        let begun = Time::from_unix(1_800_000_000);
        let members = all.members.each_ref().map(SigningKey::key_id);
        let first = || Believed::Members(&members, 2);
        publish(dir.path(), &all.list(1, begun), first(), begun).unwrap();
        let at = |seconds: i64| begun.plus_seconds(seconds);
        let suspend = |maker: usize, now: Time| publish(dir.path(), &all.suspension(maker, now), first(), now);
        for maker in 0..suspensions::MOST {
            suspend(maker, at(60)).unwrap();
        }
        let refused = suspend(suspensions::MOST, at(60)).unwrap_err().to_string();
        assert!(
            refused.contains("16 are in force there") && refused.contains("publish a later list first"),
            "{refused}"
        );
        let held = || suspensions::each(&read(&dir.path().join(SUSPENSIONS)).unwrap().unwrap()).count();
        assert_eq!(held(), suspensions::MOST);
        publish(dir.path(), &all.list(2, at(120)), first(), at(120)).unwrap();
        suspend(suspensions::MOST, at(180)).unwrap();
        assert_eq!(held(), 1, "what the list has decided on stays");
        // Without a list, those that lapse make room.
        for maker in 0..suspensions::MOST - 1 {
            suspend(maker, at(200)).unwrap();
        }
        suspend(suspensions::MOST - 1, at(200)).unwrap_err();
        suspend(suspensions::MOST - 1, at(180 + 3_600)).unwrap();
    }
}
