//! Lists: the site's own, which its root signs alone, and the alliance's, which is taken over after it was verified.

use crate::Error;
use crate::bytes::Sink;
use crate::keys::AuthorityCertificate;
use crate::signer::{Kind, Signer};
use crate::status::not_signed;
use medlock_node::provider::AwsLc;
use medlock_trust::cose::{self, ContentType};
use medlock_trust::list::{Authority, Content, Heading, List, ListKind, Member, Pinned, Purpose, Purposes, Service};
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
    /// The issuing keys, at most [`MAX_SERVICES`](medlock_trust::list::MAX_SERVICES): they also sign status, policy,
    /// routes and bonds.
    pub issuing: &'a [&'a AuthorityCertificate],
}

/// Signs the site's list with its root, 1 of 1.
///
/// # Errors
/// [`Error::Signer`], [`Error::Object`].
pub fn sign_site_list(site: &SiteList<'_>, signer: &(impl Signer + ?Sized)) -> Result<Vec<u8>, Error> {
    let root = site.root;
    let heading = Heading {
        version: site.version,
        ..Heading::first(ListKind::Site, site.name, site.issued, site.issued.plus_seconds(NEXT_SECONDS))
    };
    let authority = Authority {
        since: site.issued,
        ..Authority::for_everything(root.key, AuthorityKind::Site, site.name, &root.subject, &root.spki)
    };
    let mut services: Vec<Service<'_>> = site
        .issuing
        .iter()
        .map(|issuing| Service {
            key: issuing.key,
            spki: &issuing.spki,
            purposes: Purposes::of(&ISSUING_SIGNS),
            authority: root.key,
            until: None,
        })
        .collect();
    services.sort_by_key(|service| service.key);
    let content = Content {
        heading,
        members: &[Member { key: root.key, spki: &root.spki, name: site.name }],
        recovery: &[],
        authorities: &[authority],
        services: &services,
    };
    let what = "site list";
    let mut payload = Vec::new();
    content.encode(Sink(&mut payload)).map_err(|error| Error::Object { what, why: error.to_string() })?;
    let mut out = Vec::new();
    cose::sign(&payload, ContentType::LIST, &[(root.key, root.algorithm.cose())], Sink(&mut out), |_, parts| {
        signer.sign(root.label, Kind::Cose, &parts.concat())
    })
    .map_err(|error| not_signed(what, error))?;
    Ok(out)
}

/// Whether a site's list lets its issuing key sign all that this program signs with it. Lists of earlier versions name fewer
/// purposes.
#[must_use]
pub fn is_complete(site_list: &List<'_>, issuing: KeyId) -> bool {
    ISSUING_SIGNS.iter().all(|purpose| site_list.service(*purpose, issuing.as_bytes()).is_some())
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
