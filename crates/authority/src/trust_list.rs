//! Lists: the site's own, which its root signs alone, and the alliance's, which is taken over after it was verified.

use crate::Error;
use crate::bytes::Sink;
use crate::keys::{AuthorityCertificate, IssuingKey, KeyList, KeyState};
use crate::signer::{Kind, Signer};
use crate::status::not_signed;
use medlock_node::provider::AwsLc;
use medlock_trust::cose::{self, ContentType};
use medlock_trust::list::{
    Authority, AuthorityState, Content, Heading, List, ListKind, MAX_SERVICES, Member, Pinned, Purpose, Purposes,
    Service,
};
use medlock_trust::path::AuthorityKind;
use medlock_trust::{Interval, KeyId, Time};

/// How long the next site list may take, in seconds: ten years, because the root that signs it is kept offline.
const NEXT_SECONDS: i64 = 10 * 365 * 86_400;

/// What the issuing key signs beside credentials.
const ISSUING_SIGNS: [Purpose; 5] = [Purpose::Status, Purpose::Policy, Purpose::Routes, Purpose::Time, Purpose::Bonds];

/// Whose list it is: the roots that sign the next one, and those whose place they took.
#[derive(Clone, Debug)]
pub(crate) struct SiteRoots<'a> {
    /// The one in whose name the site speaks, and its keys sign.
    pub(crate) anchor: &'a AuthorityCertificate,
    /// The one that is to take its place.
    pub(crate) coming: Option<&'a AuthorityCertificate>,
    /// Those that are retired, and since when.
    pub(crate) retired: Vec<(&'a AuthorityCertificate, Time)>,
}

impl<'a> SiteRoots<'a> {
    /// Those of a list of keys.
    pub(crate) fn of(keys: &'a KeyList) -> Option<Self> {
        let anchor = keys.anchor()?.as_ref();
        let coming = keys.newest_root().map(AsRef::as_ref).filter(|newest| newest.key != anchor.key);
        Some(Self { anchor, coming, retired: keys.retired_roots().collect() })
    }

    /// Those that a list names, if all of them are `known`.
    fn named(list: &List<'_>, known: &'a [AuthorityCertificate]) -> Option<Self> {
        let root = |key: KeyId| known.iter().find(|root| root.key == key);
        // In its name the keys sign.
        let anchor = root(list.services().next()?.authority)?;
        let coming = list.members().find(|member| member.key != anchor.key);
        let coming = coming.map(|coming| root(coming.key).ok_or(())).transpose().ok()?;
        let retired = list.authorities().filter(|authority| authority.state == AuthorityState::Retired);
        let retired = retired.map(|authority| Some((root(authority.key)?, authority.since))).collect::<Option<_>>()?;
        Some(Self { anchor, coming, retired })
    }
}

/// What a site's own list says.
#[derive(Clone, Debug)]
pub(crate) struct SiteList<'a> {
    /// The site's name.
    pub(crate) name: &'a str,
    /// Which version.
    pub(crate) version: u64,
    /// When.
    pub(crate) issued: Time,
    /// The roots.
    pub(crate) roots: SiteRoots<'a>,
    /// The issuing keys, of which at most [`MAX_SERVICES`] have room.
    pub(crate) keys: &'a KeyList,
}

impl SiteList<'_> {
    /// The bytes that the root signs.
    ///
    /// # Errors
    /// [`Error::Object`].
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        payload(self.name, self.version, self.issued, &self.roots, &services(self.keys, self.roots.anchor.key))
    }
}

/// What a site's list says, whatever keys it lets sign: its own roots and nobody else. Of two members each may sign the next
/// list alone, so that losing one of them loses nothing.
fn payload(
    name: &str,
    version: u64,
    issued: Time,
    roots: &SiteRoots<'_>,
    services: &[Service<'_>],
) -> Result<Vec<u8>, Error> {
    let heading =
        Heading { version, ..Heading::first(ListKind::Site, name, issued, issued.plus_seconds(NEXT_SECONDS)) };
    let retired = roots.retired.iter().map(|(root, since)| (*root, AuthorityState::Retired, *since));
    let signing = std::iter::once(roots.anchor).chain(roots.coming);
    let standing = signing.map(|root| (root, AuthorityState::Listed, issued)).chain(retired);
    let authorities: Vec<Authority<'_>> = standing
        .map(|(root, state, since)| Authority {
            since,
            state,
            ..Authority::for_everything(root.key, AuthorityKind::Site, name, &root.subject, &root.spki)
        })
        .collect();
    let members = std::iter::once(roots.anchor).chain(roots.coming);
    let members: Vec<Member<'_>> = members.map(|root| Member { key: root.key, spki: &root.spki, name }).collect();
    let content = Content { heading, members: &members, recovery: &[], authorities: &authorities, services };
    let mut payload = Vec::new();
    content.encode(Sink(&mut payload)).map_err(|error| Error::Object { what: WHAT, why: error.to_string() })?;
    Ok(payload)
}

/// Whether these bytes are a site's list as [`SiteList::encode`] writes it: nobody but roots that are `known` signs the next
/// one, and nobody but issuing keys below them signs anything, and nothing but what issuing keys sign.
///
/// # Errors
/// [`Error::Object`] when they are no list.
pub(crate) fn is_plain(bytes: &[u8], known: &[AuthorityCertificate]) -> Result<bool, Error> {
    let list = opened(bytes)?;
    let services: Vec<Service<'_>> = list.services().collect();
    let Some(roots) = SiteRoots::named(&list, known) else { return Ok(false) };
    let bounded = services.iter().all(|service| service.authority == roots.anchor.key);
    let heading = list.heading();
    Ok(bounded && payload(heading.name, heading.version, heading.issued, &roots, &services)? == bytes)
}

/// The list that `plain` says, with `coming` as a second member: from then on it may sign the next one.
///
/// # Errors
/// [`Error::Object`] when they are no list that names `known` roots.
pub(crate) fn introducing(
    plain: &[u8],
    known: &[AuthorityCertificate],
    coming: &AuthorityCertificate,
) -> Result<Vec<u8>, Error> {
    let list = opened(plain)?;
    let services: Vec<Service<'_>> = list.services().collect();
    let roots = SiteRoots::named(&list, known).filter(|roots| roots.coming.is_none());
    let unknown = || Error::Object { what: WHAT, why: "it names roots that are not known here".to_owned() };
    let roots = SiteRoots { coming: Some(coming), ..roots.ok_or_else(unknown)? };
    let heading = list.heading();
    payload(heading.name, heading.version, heading.issued, &roots, &services)
}

fn opened(payload: &[u8]) -> Result<List<'_>, Error> {
    List::danger_open_payload(payload).map_err(|error| Error::Object { what: WHAT, why: error.to_string() })
}

const WHAT: &str = "site list";

/// What the keys may sign, ascending by key. A key that is compromised may sign nothing. One that is retired has signed bonds,
/// which outlast it: those from before its end stay good.
fn services(keys: &KeyList, root: KeyId) -> Vec<Service<'_>> {
    let service = |key: &'_ IssuingKey| {
        let (purposes, until) = match key.state {
            KeyState::Current | KeyState::Former => (Purposes::of(&ISSUING_SIGNS), None),
            KeyState::Retired => (Purposes::of(&[Purpose::Bonds]), key.until),
            KeyState::Compromised => return None,
        };
        Some((purposes, until))
    };
    let mut all: Vec<(bool, u16, Service<'_>)> = keys
        .iter()
        .filter_map(|key| {
            let (purposes, until) = service(key)?;
            let IssuingKey { certificate, state, .. } = key;
            let said = Service { key: certificate.key, spki: &certificate.spki, purposes, authority: root, until };
            Some((state.signs(), certificate.label.number(), said))
        })
        .collect();
    // Where there are more than a list has room for, the oldest of those that sign no more are left out.
    all.sort_by_key(|(signs, number, _)| std::cmp::Reverse((*signs, *number)));
    all.truncate(MAX_SERVICES);
    let mut services: Vec<Service<'_>> = all.into_iter().map(|(_, _, service)| service).collect();
    services.sort_by_key(|service| service.key);
    services
}

/// Signs a site's list, as [`SiteList::encode`] gives it, with these roots.
///
/// # Errors
/// [`Error::Signer`], [`Error::Object`].
pub(crate) fn sign_site_list(
    payload: &[u8],
    roots: &[&AuthorityCertificate],
    signer: &(impl Signer + ?Sized),
) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let keys: Vec<_> = roots.iter().map(|root| (root.key, root.algorithm.cose())).collect();
    cose::sign(payload, ContentType::LIST, &keys, Sink(&mut out), |key, parts| {
        let root = roots.iter().find(|root| root.key == key);
        let label = root.map_or(crate::signer::KeyLabel::ROOT, |root| root.label);
        signer.sign(label, Kind::Cose, &parts.concat())
    })
    .map_err(|error| not_signed(WHAT, error))?;
    Ok(out)
}

/// Whether a site's list lets these keys sign what they do, and no other. Lists of earlier versions name fewer purposes.
#[must_use]
pub fn is_complete(site_list: &List<'_>, keys: &KeyList, root: KeyId) -> bool {
    site_list.services().eq(services(keys, root))
}

/// Verifies an alliance's list: against the one held, or, the first time, against members one was told of. Returns its
/// version.
///
/// # Errors
/// [`Error::Object`] when it is not to be believed; [`Error::Invalid`] when it is the first and no members were named.
pub fn verify_alliance(
    bytes: &[u8],
    held: Option<&[u8]>,
    members: &[KeyId],
    threshold: usize,
    time: Interval,
) -> Result<u64, Error> {
    let what = "trust list";
    let refused = |why: String| Error::Object { what, why };
    let list = match held {
        Some(held) => {
            let held = List::danger_open(held).map_err(|error| refused(error.to_string()))?;
            List::verify_successor(bytes, &held, time, &AwsLc)
        }
        None => {
            let fits = (1..=members.len()).contains(&threshold);
            let threshold = u8::try_from(threshold).ok().filter(|_| fits).ok_or_else(|| {
                Error::invalid("members", "name the members' keys and how many of them must have signed (at least 1)")
            })?;
            List::verify_pinned(bytes, &Pinned::Members { keys: members, threshold }, time, &AwsLc)
        }
    }
    .map_err(|error| refused(error.to_string()))?;
    if list.heading().kind != ListKind::Alliance {
        return Err(refused("it is a site's list, not an alliance's".to_owned()));
    }
    Ok(list.heading().version)
}
