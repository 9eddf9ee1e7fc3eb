//! What others have kept of what an authority has published: the folder of knowledge of a sidecar or of a hub, and the root's
//! revocation list as anybody has fetched it. A store from a backup does not know what came behind it, and on a new disk
//! nothing else does.
//!
//! What is given is believed as a node believes it, under the authority's own root, and put into the folder of the hub: its next
//! start goes on behind it.

use crate::keys::{AuthorityCertificate, KeyList};
use crate::objects::Kind as ObjectKind;
use crate::restored::{ACCEPTED, kept_answers, knowledge_of};
use crate::root_crl;
use crate::store::{Journal as _, Published, SqlStore, StoreError};
use crate::{Error, doubt};
use medlock_node::clock::Clock;
use medlock_node::files;
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::provider::AwsLc;
use medlock_trust::Time;
use medlock_trust::cbor::Reader;
use medlock_trust::list::List;
use medlock_trust::policy::Setting;
use medlock_trust::status::StatusList;
use std::fmt;
use std::path::{Path, PathBuf};

/// A file with something that an authority has published, as a person gives it.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Source {
    /// What is at `path`: a folder of knowledge, or one in which it is called `knowledge`, or one file of those.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Invalid`] when there is nothing of the kind.
    pub fn read(path: &Path) -> Result<Vec<Self>, Error> {
        let kind = std::fs::metadata(path).map_err(|error| Error::file(path, error))?;
        if !kind.is_dir() {
            if !kind.is_file() {
                return Err(Error::invalid(path.display().to_string(), "it is neither a file nor a folder"));
            }
            let bytes = files::read(path).map_err(|error| Error::Conflict(error.to_string()))?.unwrap_or_default();
            return Ok(Self::each(path.to_owned(), from_pem(bytes)));
        }
        let names = What::ALL.map(What::file);
        let beside = std::iter::once(BESIDE.to_owned());
        let mut found = Vec::new();
        for path in [path.to_owned(), knowledge_of(path)]
            .iter()
            .flat_map(|folder| names.iter().cloned().chain(beside.clone()).map(|name| folder.join(name)))
        {
            // What is no file is none of those.
            if path.exists() && !path.is_file() {
                continue;
            }
            if let Some(bytes) = files::read(&path).map_err(|error| Error::Conflict(error.to_string()))? {
                found.extend(Self::each(path, bytes));
            }
        }
        if found.is_empty() {
            let why = format!("there is none of {} in it; name the folder of a sidecar or a hub", names.join(", "));
            return Err(Error::invalid(path.display().to_string(), why));
        }
        Ok(found)
    }

    /// What is in a file: one object, or the status lists that a node keeps beside the newest.
    fn each(path: PathBuf, bytes: Vec<u8>) -> Vec<Self> {
        if path.file_name().is_none_or(|name| name != BESIDE) {
            return vec![Self { path, bytes }];
        }
        split(&bytes).map(|bytes| Self { path: path.clone(), bytes: bytes.to_vec() }).collect()
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The objects of a sequence (RFC 8742), as far as it is one, and not more than a node keeps.
fn split(sequence: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(sequence);
    std::iter::from_fn(move || reader.skip().ok()).take(MOST_BESIDE)
}

/// A revocation list as many programs keep it (RFC 7468 section 6) is taken too.
fn from_pem(bytes: Vec<u8>) -> Vec<u8> {
    let within = || {
        let text = std::str::from_utf8(&bytes).ok()?;
        let (_, text) = text.split_once("-----BEGIN X509 CRL-----")?;
        let (text, _) = text.split_once("-----END X509 CRL-----")?;
        let text: String = text.split_whitespace().collect();
        data_encoding::BASE64.decode(text.as_bytes()).ok()
    };
    within().unwrap_or(bytes)
}

/// In a folder of knowledge, the status lists that tell what the newest has forgotten, one behind the other.
const BESIDE: &str = "status-before.cose";
/// The most of them that a node keeps.
const MOST_BESIDE: usize = 8;

/// What is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    SiteList,
    Status,
    /// Of the root that certifies.
    RootCrl,
    /// Of the root whose place that one has taken, and that is not retired.
    FormerCrl,
}

impl What {
    const ALL: [Self; 4] = [Self::SiteList, Self::Status, Self::RootCrl, Self::FormerCrl];

    fn file(self) -> String {
        match self {
            Self::SiteList => ObjectKind::SiteList.file(),
            Self::Status => ObjectKind::Status.file(),
            Self::RootCrl => root_crl::FILE.to_owned(),
            Self::FormerCrl => root_crl::FORMER_FILE.to_owned(),
        }
    }

    /// What it is called among the published objects.
    const fn published(self) -> &'static str {
        match self {
            Self::SiteList => ObjectKind::SiteList.name(),
            Self::Status => ObjectKind::Status.name(),
            Self::RootCrl => root_crl::KIND,
            Self::FormerCrl => root_crl::FORMER_KIND,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::SiteList => "site list",
            Self::Status => "status list",
            Self::RootCrl => "revocation list of the root",
            Self::FormerCrl => "revocation list of the former root",
        }
    }

    /// The version of these bytes, and when they were made, if they are this, of these roots; says nothing of signatures.
    fn version(self, bytes: &[u8], roots: &Roots) -> Option<(u64, Time)> {
        match self {
            Self::SiteList => {
                let list = List::danger_open(bytes).ok()?;
                let ours = roots.all.iter().any(|root| list.member(root.key).is_some());
                ours.then(|| (list.heading().version, list.heading().issued))
            }
            Self::Status => {
                let status = StatusList::danger_open(bytes).ok()?;
                let ours = roots.all.iter().any(|root| status.heading().authority == root.key);
                ours.then(|| (status.heading().epoch, status.heading().issued))
            }
            Self::RootCrl | Self::FormerCrl => {
                root_crl::opened_of(bytes, self.signer(roots)?).map(|list| (list.number(), list.issued()))
            }
        }
    }

    /// Whose revocation list it is.
    fn signer(self, roots: &Roots) -> Option<&AuthorityCertificate> {
        match self {
            Self::RootCrl => Some(&roots.newest),
            Self::FormerCrl => roots.former.as_ref(),
            Self::SiteList | Self::Status => None,
        }
    }
}

/// The roots of an authority, by its store.
struct Roots {
    all: Vec<AuthorityCertificate>,
    newest: AuthorityCertificate,
    former: Option<AuthorityCertificate>,
}

impl Roots {
    /// `None` where it waits for its root. Those that came behind the backup are in the hub's folder.
    fn of(dir: &Path, store: &SqlStore) -> Result<Option<Self>, Error> {
        let Some(newest) = KeyList::stored_root(store)? else { return Ok(None) };
        let keys = KeyList::held(store)?;
        let mut all = keys.as_ref().map(KeyList::root_certificates).unwrap_or_default();
        if all.is_empty() {
            all.push(newest.clone());
        }
        let kept = kept_answers(dir, all.clone())?;
        all.extend(kept.into_iter().filter_map(|answer| Some(answer.root?.certificate)));
        let former = keys.as_ref().and_then(KeyList::former_root).map(|root| AuthorityCertificate::clone(root));
        Ok(Some(Self { all, newest, former }))
    }
}

/// One object that was looked at: which it is, where it was, and how it stands to the backup.
#[derive(Clone, Debug)]
pub struct Heard {
    what: What,
    version: u64,
    issued: Time,
    /// Where it was.
    from: PathBuf,
    /// What the store from the backup has.
    backup: Option<(u64, Time)>,
    /// Why it does not count, if it does not.
    refused: Option<String>,
}

impl Heard {
    /// Whether the store from the backup has a newer one.
    fn is_older(&self) -> bool {
        self.backup.is_some_and(|(version, _)| self.version < version)
    }

    /// Whether it is later than what the backup has: the hub has worked since.
    #[must_use]
    pub fn is_since(&self) -> bool {
        self.refused.is_none() && self.backup.is_some_and(|(version, _)| self.version > version)
    }

    /// Whether what it says is known now.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.refused.is_none() && !self.is_older()
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}, from {}", self.what.name(), self.version, self.issued, self.from.display())?;
        match (&self.refused, self.backup) {
            (Some(why), _) => write!(f, ": not taken: {why}"),
            (None, Some((version, at))) if self.is_older() => {
                write!(f, ": older than the backup, which has {version} of {at}")
            }
            (None, _) => Ok(()),
        }
    }
}

/// What a restored authority knows of what came behind its backup.
#[derive(Clone, Debug, Default)]
pub struct Hearing {
    /// Whether it is a maker.
    pub is_maker: bool,
    /// What was looked at: of each kind the newest that counts, and what does not count.
    pub heard: Vec<Heard>,
    /// The files that would say how its keys stand, as far as they are missing: a site list, by which nodes go; for a maker the
    /// root's revocation list, by which ordinary software does.
    pub keys_wanted: Vec<String>,
    /// The files that would say which of a site's devices were revoked, as far as they are missing.
    pub devices_wanted: Vec<String>,
}

/// An authority that is not open, and hears.
struct Ear<'a> {
    dir: &'a Path,
    /// The copy of what it has heard itself, into which what counts is put.
    folder: &'a Path,
    store: &'a SqlStore,
    roots: Roots,
    knowledge: std::sync::Arc<KnowledgeBase>,
}

/// Lets an authority that is not open hear what others have kept, before it starts behind a backup: what counts is put into
/// `folder`, a copy of what it has heard itself. Of `sources` those that are of other authorities stay.
pub(crate) fn hear_from(
    dir: &Path,
    folder: &Path,
    store: &SqlStore,
    sources: &mut Vec<Source>,
) -> Result<Hearing, Error> {
    let Some(roots) = Roots::of(dir, store)? else {
        // It waits for its root: it has published nothing.
        return Ok(Hearing::default());
    };
    let failed = |error: medlock_node::Error| Error::Conflict(error.to_string());
    let knowledge = KnowledgeBase::open(folder, Clock::system(), Setting::Hospital).map_err(failed)?;
    if knowledge.root().is_none() {
        knowledge.pin_root(&roots.newest.der).map_err(failed)?;
    }
    let ear = Ear { dir, folder, store, roots, knowledge };
    let mut heard = Vec::new();
    for what in What::ALL {
        ear.hear(what, sources, &mut heard)?;
    }
    sources.retain(|source| What::ALL.iter().all(|what| what.version(&source.bytes, &ear.roots).is_none()));
    let is_maker = doubt::is_of_maker(store)?;
    let (keys, devices): (&[What], &[What]) = match is_maker {
        true if ear.roots.former.is_some() => (&[What::RootCrl, What::FormerCrl], &[]),
        true => (&[What::RootCrl], &[]),
        false => (&[What::SiteList], &[What::Status]),
    };
    let missing = |kinds: &[What]| -> Vec<String> {
        let known = |what: &What| heard.iter().any(|heard: &Heard| heard.what == *what && heard.counts());
        kinds.iter().filter(|what| !known(what)).map(|what| what.file()).collect()
    };
    Ok(Hearing { is_maker, keys_wanted: missing(keys), devices_wanted: missing(devices), heard })
}

/// Notes that issuing keys which the newest site list in the folder `heard` names, and which are not here, are lost for good.
pub(crate) fn accept_lost_keys(heard: &Path, store: &SqlStore) -> Result<(), Error> {
    let knowledge = KnowledgeBase::open(heard, Clock::system(), Setting::Hospital);
    let knowledge = knowledge.map_err(|error| Error::Conflict(error.to_string()))?;
    let Some(version) = knowledge.version(ObjectKind::SiteList) else { return Ok(()) };
    match store.publish(ACCEPTED, Published { version, at: Clock::system().now(), bytes: Vec::new() }) {
        Err(StoreError::Taken { .. }) => Ok(()),
        other => Ok(other?),
    }
}

impl Ear<'_> {
    /// Takes the newest of what is given, and of what the folder has.
    fn hear(&self, what: What, sources: &[Source], heard: &mut Vec<Heard>) -> Result<(), Error> {
        let backup = match self.store.published(what.published())? {
            Some(held) => what.version(&held.bytes, &self.roots),
            None => None,
        };
        // What was the newest root's when the backup was made is the former one's by now, or the other way round.
        let files: &[What] = match what {
            What::RootCrl | What::FormerCrl => &[What::RootCrl, What::FormerCrl],
            What::SiteList | What::Status => &[what],
        };
        let own = |file: &What| -> Result<Source, Error> {
            Ok(Source { path: knowledge_of(self.dir).join(file.file()), bytes: self.held(*file)? })
        };
        let own = files.iter().map(own).collect::<Result<Vec<Source>, Error>>()?;
        let mut given: Vec<(u64, Heard, &Source)> = own
            .iter()
            .chain(sources)
            .filter_map(|source| {
                let (version, issued) = what.version(&source.bytes, &self.roots)?;
                let from = source.path.clone();
                Some((version, Heard { what, version, issued, from, backup, refused: None }, source))
            })
            .collect();
        given.sort_by_key(|(version, ..)| std::cmp::Reverse(*version));
        for (_, mut one, source) in given {
            if !one.is_older() {
                one.refused = self.take(what, source)?;
            }
            let counts = one.counts();
            heard.push(one);
            if counts {
                break;
            }
        }
        if what == What::Status { self.keep_beside(sources, backup, heard) } else { Ok(()) }
    }

    /// Puts the status lists beside the newest that tell compromises which that has forgotten, and no other that is there: its
    /// number says which one is later, not which knows more.
    fn keep_beside(
        &self,
        sources: &[Source],
        backup: Option<(u64, Time)>,
        heard: &mut Vec<Heard>,
    ) -> Result<(), Error> {
        let path = self.folder.join(BESIDE);
        let held = files::read(&path).map_err(|error| Error::Conflict(error.to_string()))?.unwrap_or_default();
        let (Some(list), newest) = (self.knowledge.object(ObjectKind::SiteList), self.held(What::Status)?) else {
            return Ok(());
        };
        let Ok(list) = List::danger_open(&list) else { return Ok(()) };
        let mut told: Vec<Vec<u8>> = split(&held).map(<[u8]>::to_vec).chain([newest]).collect();
        for source in sources {
            let Ok(given) = StatusList::verify_told(&source.bytes, &list, &AwsLc) else { continue };
            let Some((version, issued)) = What::Status.version(&source.bytes, &self.roots) else { continue };
            let mut lists = told.iter().filter_map(|told| StatusList::danger_open(told).ok());
            if lists.any(|told| told.remembers(&given).is_ok()) {
                continue;
            }
            let from = source.path.clone();
            let mut one = Heard { what: What::Status, version, issued, from, backup, refused: None };
            if told.len() > MOST_BESIDE {
                one.refused = Some(format!(
                    "there are {MOST_BESIDE} others beside it: give it to the hub when these are taken over"
                ));
            } else {
                told.insert(0, source.bytes.clone());
            }
            heard.push(one);
        }
        // The newest has a file of its own.
        told.pop();
        let all = told.concat();
        if all == held {
            Ok(())
        } else {
            files::replace(&path, &all).map_err(|error| Error::Conflict(error.to_string()))
        }
    }

    /// What the folder has.
    fn held(&self, what: What) -> Result<Vec<u8>, Error> {
        let path = self.folder.join(what.file());
        Ok(files::read(&path).map_err(|error| Error::Conflict(error.to_string()))?.unwrap_or_default())
    }

    /// Believes it, and puts it into the folder; or says why not. What the root itself must have signed and has not is an
    /// error: it may be the one that matters.
    fn take(&self, what: What, source: &Source) -> Result<Option<String>, Error> {
        let not_ours =
            |why: String| Error::Object { what: what.name(), why: format!("{}: {why}", source.path.display()) };
        let own = self.held(what)? == source.bytes;
        match what {
            What::SiteList if own => Ok(None),
            What::SiteList => match self.knowledge.accept(ObjectKind::SiteList, &source.bytes) {
                Ok(_) => Ok(None),
                Err(refused) => Err(not_ours(refused.to_string())),
            },
            // Whoever has stolen a key that is withdrawn by now has signed it, maybe: also one that was taken by an older list.
            What::Status if own => Ok(self.doubts(&source.bytes)),
            What::Status => {
                Ok(self.knowledge.accept(ObjectKind::Status, &source.bytes).err().map(|why| why.to_string()))
            }
            What::RootCrl | What::FormerCrl => {
                if what.signer(&self.roots).is_none_or(|root| root_crl::read(&source.bytes, root).is_none()) {
                    return Err(not_ours("it is not signed by this authority's root".to_owned()));
                }
                if !own {
                    let path = self.folder.join(what.file());
                    files::replace(&path, &source.bytes).map_err(|error| Error::Conflict(error.to_string()))?;
                }
                Ok(None)
            }
        }
    }

    /// Why the newest site list does not stand for a status list, if it does not.
    fn doubts(&self, status: &[u8]) -> Option<String> {
        let list = self.knowledge.object(ObjectKind::SiteList)?;
        let list = List::danger_open(&list).ok()?;
        StatusList::verify(status, &list, &AwsLc).err().map(|why| why.to_string())
    }
}
