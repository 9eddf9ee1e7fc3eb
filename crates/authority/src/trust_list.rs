//! Lists: the site's own, which its root signs alone, and the alliance's, which is taken over after it was verified.

use crate::Error;
use crate::bytes::Sink;
use crate::keys::{AuthorityCertificate, IssuingKey, KeyList, KeyState, RootKey};
use crate::root_request::KeyChange;
use crate::signer::{Kind, Signer};
use crate::status::not_signed;
use medlock_node::provider::AwsLc;
use medlock_trust::cose::{self, ContentType};
use medlock_trust::list::{
    Authority, AuthorityState, Content, Heading, List, ListKind, MAX_SERVICES, Member, Pinned, Purpose, Purposes,
    Service,
};
use medlock_trust::path::AuthorityKind;
use medlock_trust::{Interval, KeyId, Role, Roles, Time};

/// How long the next site list may take, in seconds: ten years, because the root that signs it is kept offline.
const NEXT_SECONDS: i64 = 10 * 365 * 86_400;

/// What the issuing key signs beside credentials.
const ISSUING_SIGNS: [Purpose; 5] = [Purpose::Status, Purpose::Policy, Purpose::Routes, Purpose::Time, Purpose::Bonds];

/// What a retired root may still vouch for: every role but that of a hub. Hubs have renewed before it retires.
const RETIRED_ROLES: Roles = Roles::from_bits(Roles::EVERY.bits() & !Roles::of(&[Role::Hub]).bits());

/// Whose list it is: the roots that sign the next one, and those whose place they took.
#[derive(Clone, Debug)]
pub(crate) struct SiteRoots<'a> {
    /// The one in whose name the site speaks, and its keys sign.
    pub(crate) anchor: &'a AuthorityCertificate,
    /// The one that is to take its place.
    pub(crate) coming: Option<&'a AuthorityCertificate>,
    /// Those that are retired.
    pub(crate) retired: Vec<RetiredRoot<'a>>,
}

/// A root that a list calls retired.
#[derive(Clone, Debug)]
pub(crate) struct RetiredRoot<'a> {
    pub(crate) certificate: &'a AuthorityCertificate,
    pub(crate) since: Time,
    /// Until when what is below it counts.
    pub(crate) until: Option<Time>,
}

impl<'a> SiteRoots<'a> {
    /// Those of a list of keys.
    pub(crate) fn of(keys: &'a KeyList) -> Option<Self> {
        Self::standing(keys.roots())
    }

    /// As roots stand: the first and the last of those that are not retired are members.
    fn standing(roots: &'a [RootKey]) -> Option<Self> {
        let mut stand =
            roots.iter().filter(|root| root.state != KeyState::Retired).map(|root| root.certificate.as_ref());
        let anchor = stand.next()?;
        let retired = roots.iter().filter(|root| root.state == KeyState::Retired).filter_map(|root| {
            let certificate = root.certificate.as_ref();
            Some(RetiredRoot { certificate, since: root.until?, until: root.vouches })
        });
        Some(Self { anchor, coming: stand.next_back(), retired: retired.collect() })
    }

    /// Those that a list names, if all of them are `known`.
    fn named(list: &List<'_>, known: &'a [AuthorityCertificate]) -> Option<Self> {
        let root = |key: KeyId| known.iter().find(|root| root.key == key);
        // In its name the keys sign.
        let anchor = root(list.services().next()?.authority)?;
        let coming = list.members().find(|member| member.key != anchor.key);
        let coming = coming.map(|coming| root(coming.key).ok_or(())).transpose().ok()?;
        let retired = list.authorities().filter(|authority| authority.state == AuthorityState::Retired);
        let retired = retired
            .map(|entry| Some(RetiredRoot { certificate: root(entry.key)?, since: entry.since, until: entry.until }));
        Some(Self { anchor, coming, retired: retired.collect::<Option<_>>()? })
    }
}

/// Since when a list calls this root retired, and until when what is below it counts.
pub(crate) fn retirement(list: &List<'_>, root: KeyId) -> Option<(Time, Option<Time>)> {
    let entry = list.authorities().find(|entry| entry.key == root && entry.state == AuthorityState::Retired);
    entry.map(|entry| (entry.since, entry.until))
}

/// What a site's own list says.
#[derive(Clone, Debug)]
pub(crate) struct SiteList<'a> {
    /// The site's name.
    pub(crate) name: &'a str,
    /// How often a list was taken back that a clock far ahead had signed.
    pub(crate) recovery_epoch: u64,
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
        payload(
            self.name,
            (self.recovery_epoch, self.version),
            self.issued,
            &self.roots,
            &services(self.keys, self.roots.anchor.key),
        )
    }
}

const fn order(heading: &Heading<'_>) -> (u64, u64) {
    (heading.recovery_epoch, heading.version)
}

/// What a site's list says, whatever keys it lets sign: its own roots and nobody else. Of two members each may sign the next
/// list alone, so that losing one of them loses nothing.
fn payload(
    name: &str,
    (recovery_epoch, version): (u64, u64),
    issued: Time,
    roots: &SiteRoots<'_>,
    services: &[Service<'_>],
) -> Result<Vec<u8>, Error> {
    let heading = Heading {
        recovery_epoch,
        version,
        ..Heading::first(ListKind::Site, name, issued, issued.plus_seconds(NEXT_SECONDS))
    };
    fn entry<'a>(root: &'a AuthorityCertificate, name: &'a str) -> Authority<'a> {
        Authority::for_everything(root.key, AuthorityKind::Site, name, &root.subject, &root.spki)
    }
    let members = std::iter::once(roots.anchor).chain(roots.coming);
    let standing = members.clone().map(|root| Authority { since: issued, ..entry(root, name) });
    let retired = roots.retired.iter().map(|retired| Authority {
        state: AuthorityState::Retired,
        since: retired.since,
        until: retired.until,
        roles: RETIRED_ROLES,
        ..entry(retired.certificate, name)
    });
    let authorities: Vec<Authority<'_>> = standing.chain(retired).collect();
    let members: Vec<Member<'_>> = members.map(|root| Member { key: root.key, spki: &root.spki, name }).collect();
    let content = Content { heading, members: &members, recovery: &[], authorities: &authorities, services };
    let mut payload = Vec::new();
    content.encode(Sink(&mut payload)).map_err(|error| Error::Object { what: WHAT, why: error.to_string() })?;
    Ok(payload)
}

/// Checks that these bytes are a site's list as [`SiteList::encode`] writes it after a change of keys: the roots stand as
/// they stood, but for what the change says; nobody else signs the next one, and nobody but issuing keys below them signs
/// anything, and nothing but what issuing keys sign.
///
/// # Errors
/// [`Error::Object`], which says what is wrong.
pub(crate) fn check_follows(bytes: &[u8], roots: &[RootKey], change: KeyChange) -> Result<(), Error> {
    let list = opened(bytes)?;
    let heading = list.heading();
    let wrong = |why: String| Err(Error::Object { what: WHAT, why });
    let mut roots = roots.to_vec();
    if let KeyChange::Retire(label) = change
        && let Some(root) = roots.iter_mut().find(|root| root.certificate.label == label)
    {
        match retirement(&list, root.certificate.key).filter(|(since, _)| *since <= heading.issued) {
            Some((since, vouches)) if root.state != KeyState::Current => {
                *root = RootKey { state: KeyState::Retired, until: Some(since), vouches, ..root.clone() };
            }
            Some(_) | None => {
                return wrong(format!("it does not retire {label}, which no other root has replaced here"));
            }
        }
    }
    let Some(follow) = SiteRoots::standing(&roots) else { return wrong("no root is left".to_owned()) };
    let members = || std::iter::once(follow.anchor).chain(follow.coming);
    for retired in &follow.retired {
        let RetiredRoot { certificate, since, .. } = retired;
        if list.member(certificate.key).is_some() {
            return wrong(format!("it makes {} a member again, which was retired at {since}", certificate.label));
        }
        if retirement(&list, certificate.key) != Some((*since, retired.until)) {
            return wrong(format!("it does not call {} retired since {since}, as it was", certificate.label));
        }
    }
    if let Some(left) = members().find(|root| list.member(root.key).is_none()) {
        return wrong(format!("it leaves out {}, which is a member, and nobody retires it", left.label));
    }
    let services: Vec<Service<'_>> = list.services().collect();
    let bounded = services.iter().all(|service| service.authority == follow.anchor.key);
    if bounded && payload(heading.name, order(heading), heading.issued, &follow, &services)? == bytes {
        return Ok(());
    }
    wrong("it says more than which keys of roots that are here may sign".to_owned())
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
    payload(heading.name, order(heading), heading.issued, &roots, &services)
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

/// Whether a site's list says what these keys and their roots ask for, and nothing else. Lists of earlier versions name fewer
/// purposes, and let retired roots vouch for more.
#[must_use]
pub fn is_complete(site_list: &List<'_>, keys: &KeyList) -> bool {
    let (heading, roots) = (site_list.heading(), SiteRoots::of(keys));
    let (name, recovery_epoch, version, issued) =
        (heading.name, heading.recovery_epoch, heading.version, heading.issued);
    let list = roots.map(|roots| SiteList { name, recovery_epoch, version, issued, roots, keys }.encode());
    list.is_some_and(|list| list.is_ok_and(|list| site_list.payload() == list))
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
                Error::invalid(
                    "members",
                    "name the members' keys (--member) and how many of them must have signed (--threshold, at least 1)",
                )
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
