//! Lists: the site's own, which its root signs alone, and the alliance's, which is taken over after it was verified.

use crate::Error;
use crate::bytes::Sink;
use crate::keys::{AuthorityCertificate, IssuingKey, KeyList, KeyState};
use crate::signer::{Kind, Signer};
use crate::status::not_signed;
use medlock_node::provider::AwsLc;
use medlock_trust::cose::{self, ContentType};
use medlock_trust::list::{
    Authority, Content, Heading, List, ListKind, MAX_SERVICES, Member, Pinned, Purpose, Purposes, Service,
};
use medlock_trust::path::AuthorityKind;
use medlock_trust::{Interval, KeyId, Time};

/// How long the next site list may take, in seconds: ten years, because the root that signs it is kept offline.
const NEXT_SECONDS: i64 = 10 * 365 * 86_400;

/// What the issuing key signs beside credentials.
const ISSUING_SIGNS: [Purpose; 5] = [Purpose::Status, Purpose::Policy, Purpose::Routes, Purpose::Time, Purpose::Bonds];

/// What a site's own list says.
#[derive(Clone, Copy, Debug)]
pub struct SiteList<'a> {
    /// The site's name.
    pub name: &'a str,
    /// Which version.
    pub version: u64,
    /// When.
    pub issued: Time,
    /// The root.
    pub root: &'a AuthorityCertificate,
    /// The issuing keys, of which at most [`MAX_SERVICES`] have room.
    pub keys: &'a KeyList,
}

impl SiteList<'_> {
    /// The bytes that the root signs.
    ///
    /// # Errors
    /// [`Error::Object`].
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        payload(self.name, self.version, self.issued, self.root, &services(self.keys, self.root.key))
    }
}

/// What a site's list says, whatever keys it lets sign: one member, one authority, its own root.
fn payload(
    name: &str,
    version: u64,
    issued: Time,
    root: &AuthorityCertificate,
    services: &[Service<'_>],
) -> Result<Vec<u8>, Error> {
    let heading =
        Heading { version, ..Heading::first(ListKind::Site, name, issued, issued.plus_seconds(NEXT_SECONDS)) };
    let authority = Authority {
        since: issued,
        ..Authority::for_everything(root.key, AuthorityKind::Site, name, &root.subject, &root.spki)
    };
    let content = Content {
        heading,
        members: &[Member { key: root.key, spki: &root.spki, name }],
        recovery: &[],
        authorities: &[authority],
        services,
    };
    let mut payload = Vec::new();
    content.encode(Sink(&mut payload)).map_err(|error| Error::Object { what: WHAT, why: error.to_string() })?;
    Ok(payload)
}

/// Whether these bytes are a site's list as [`SiteList::encode`] writes it: nobody but the root signs the next one, and
/// nobody but issuing keys of that root signs anything, and nothing but what issuing keys sign.
///
/// # Errors
/// [`Error::Object`] when they are no list.
pub(crate) fn is_plain(bytes: &[u8], root: &AuthorityCertificate) -> Result<bool, Error> {
    let object = |error: &dyn std::fmt::Display| Error::Object { what: WHAT, why: error.to_string() };
    let list = List::danger_open_payload(bytes).map_err(|error| object(&error))?;
    let services: Vec<Service<'_>> = list.services().collect();
    let bounded = services.iter().all(|service| service.authority == root.key);
    let heading = list.heading();
    Ok(bounded && payload(heading.name, heading.version, heading.issued, root, &services)? == bytes)
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

/// Signs a site's list, as [`SiteList::encode`] gives it, with its root, 1 of 1.
///
/// # Errors
/// [`Error::Signer`], [`Error::Object`].
pub fn sign_site_list(
    payload: &[u8],
    root: &AuthorityCertificate,
    signer: &(impl Signer + ?Sized),
) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    cose::sign(payload, ContentType::LIST, &[(root.key, root.algorithm.cose())], Sink(&mut out), |_, parts| {
        signer.sign(root.label, Kind::Cose, &parts.concat())
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
