//! From a request to who asks.

use super::caller::{Binding, Caller, Grant, Holder, Standing, Who};
use super::right::{Reach, Right, Verb, Verbs};
use super::testimonies::Testimonies;
use crate::auth::Scopes;
use crate::kind::Kind;
use crate::outcome::{Code, Issue, Refusal};
use crate::provenance::Testimony;
use crate::seam::{Devices, Handed};
use crate::store::Records;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use medlock_node::accept::PeerInfo;
use medlock_node::clock::Clock;
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::provider::sha256;
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::{CredentialId, DeviceName, Identified, Operation, Verdict};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tokens that are remembered, at most.
const REMEMBERED: usize = 65_536;
/// Bytes of a token, at most: ours have 43.
const LENGTH: usize = 128;

/// Admits requests.
pub struct Gate {
    records: Arc<Records>,
    knowledge: Arc<KnowledgeBase>,
    clock: Clock,
    devices: Arc<dyn Devices>,
    /// Live tokens by their hashes.
    live: Mutex<HashMap<[u8; 32], Arc<Grant>>>,
    testimonies: Testimonies,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    pub(crate) fn new(
        records: Arc<Records>,
        knowledge: Arc<KnowledgeBase>,
        clock: Clock,
        devices: Arc<dyn Devices>,
    ) -> Self {
        Self { records, knowledge, clock, devices, live: Mutex::default(), testimonies: Testimonies::default() }
    }

    /// Who asks: the holder of a live token, who shows what it is bound to; of a device, one that may do something at this moment.
    /// May read the store: blocks.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, headers: &HeaderMap, peer: &PeerInfo) -> Result<Caller, Refusal> {
        let token = bearer(headers)?;
        let hash = sha256(token.as_bytes());
        let grant = self.grant(hash)?;
        let grant = match grant.binding {
            Binding::Bearer => grant,
            Binding::Certificate { certificate, credential } => {
                self.shown(hash, grant, (certificate, credential), peer)?
            }
            Binding::Key(_) => return Err(not_bound("the token is bound to a key, and there is no proof of it")),
        };
        let (who, standings, testimony) = match &grant.holder {
            Holder::Device { name, .. } => self.device(name, peer)?,
            Holder::Software { client } => (Who::Software { client: client.clone() }, Vec::new(), None),
            Holder::Person { account, client, .. } => {
                (Who::Person { account: *account, client: client.clone() }, Vec::new(), None)
            }
        };
        Ok(Caller { who, grant, standings, testimony })
    }

    /// Who hands over what a device says, in this process: it makes what the intake makes, and sees what it needs for that.
    /// May ask for the proof of its credential: blocks.
    pub(crate) fn handed(&self, from: &Handed<'_>) -> Caller {
        let (name, credential) = (*from.who.device_name(), from.who.credential());
        let made = [
            Kind::DEVICE,
            Kind::DEVICE_METRIC,
            Kind::OBSERVATION,
            Kind::MEDICATION_ADMINISTRATION,
            Kind::IMAGING_STUDY,
        ];
        let right = |kind, verbs: &[Verb]| Right { kind, verbs: Verbs::of(verbs.iter().copied()), reach: Reach::All };
        let mut rights: Vec<Right> = made.map(|kind| right(kind, &[Verb::Create, Verb::Read, Verb::Search])).to_vec();
        rights.push(right(Kind::IMAGING_STUDY, &[Verb::Update]));
        rights.push(right(Kind::PATIENT, &[Verb::Read]));
        let grant = Grant {
            leave: 0,
            holder: Holder::Device { name, own: None },
            binding: Binding::Bearer,
            until: i64::MAX,
            scopes: Scopes::default(),
            rights: rights.into(),
        };
        Caller {
            who: Who::Device { name, credential },
            grant: Arc::new(grant),
            standings: vec![(from.permit.operation(), Ok(from.permit.mark()))],
            testimony: Some(self.testimony(from.who, from.chain)),
        }
    }

    fn testimony<C: AsRef<[u8]>>(&self, who: &Identified, chain: &[C]) -> Arc<Testimony> {
        self.testimonies.of(who, chain, &self.knowledge, (&*self.devices, &self.clock))
    }

    /// What is granted to who shows the certificate that the token is bound to, or its renewal: then the token is bound to
    /// that one from now on, and the one before serves no more.
    fn shown(
        &self,
        hash: [u8; 32],
        grant: Arc<Grant>,
        (certificate, credential): ([u8; 32], CredentialId),
        peer: &PeerInfo,
    ) -> Result<Arc<Grant>, Refusal> {
        let shown = peer.chain.first().map(|certificate| sha256(certificate));
        if shown == Some(certificate) {
            return Ok(grant);
        }
        let other = || not_bound("the token is bound to a certificate, and this is not shown");
        let (Holder::Device { name, .. }, Some(shown), Some(who)) = (&grant.holder, shown, &peer.identified) else {
            return Err(other());
        };
        if who.device_name() != name || who.kind() != CredentialKind::Operational {
            return Err(other());
        }
        let away = |error: &dyn fmt::Display| {
            tracing::error!(%error, "whether a certificate was renewed cannot be told");
            Refusal::from(Issue::new(Code::StoreAway, "whether the certificate was renewed cannot be told now"))
        };
        if !self.devices.follows(credential, who.credential()).map_err(|error| away(&error))? {
            return Err(other());
        }
        let to = (shown, who.credential());
        let rebound = self.records.rebind(hash, certificate, to).map_err(|error| away(&error))?;
        let rebound = Arc::new(rebound.filter(|grant| is_bound_to(grant, shown)).ok_or_else(other)?);
        self.remember(hash, &rebound, self.clock.now().unix());
        Ok(rebound)
    }

    /// The device that shows its certificate, with the verdicts of this moment.
    fn device(&self, name: &DeviceName, peer: &PeerInfo) -> Result<Standings, Refusal> {
        let who = peer.identified.as_ref().filter(|who| who.device_name() == name);
        let who = who.ok_or_else(|| not_bound("the token is a device's, and this does not show its credential"))?;
        let judge = |operation| {
            let standing = match self.knowledge.judge(who, operation) {
                Verdict::Allow(permit) => Ok(permit.mark()),
                Verdict::Deny(denied) => Err(denied),
            };
            (operation, standing)
        };
        let standings = [Operation::Read, Operation::Report, Operation::Store].map(judge);
        if let [(_, Err(denied)), (_, Err(_)), (_, Err(_))] = &standings {
            return Err(Issue::new(Code::Standing, denied.to_string()).into());
        }
        let testimony = self.testimony(who, &peer.chain);
        Ok((Who::Device { name: *name, credential: who.credential() }, standings.into(), Some(testimony)))
    }

    /// Forgets tokens of what has ended.
    pub(crate) fn forget(&self, ended: &HashSet<i64>) {
        if !ended.is_empty() {
            self.live().retain(|_, grant| !ended.contains(&grant.leave));
        }
    }

    fn grant(&self, hash: [u8; 32]) -> Result<Arc<Grant>, Refusal> {
        let unknown = || Refusal::from(Issue::new(Code::Token, "the token is not live"));
        let now = self.clock.now().unix();
        let known = self.live().get(&hash).cloned();
        let grant = match known {
            Some(grant) => grant,
            None => {
                let found = self.records.token(hash).map_err(|error| {
                    tracing::error!(%error, "a token could not be looked for");
                    Refusal::from(Issue::new(Code::StoreAway, "whether the token is live cannot be told now"))
                })?;
                let grant = Arc::new(found.ok_or_else(unknown)?);
                self.remember(hash, &grant, now);
                grant
            }
        };
        if grant.until <= now { Err(unknown()) } else { Ok(grant) }
    }

    fn remember(&self, hash: [u8; 32], grant: &Arc<Grant>, now: i64) {
        let mut live = self.live();
        if live.len() >= REMEMBERED {
            live.retain(|_, grant| grant.until > now);
        }
        if live.len() >= REMEMBERED {
            live.clear();
        }
        live.insert(hash, Arc::clone(grant));
    }

    fn live(&self) -> MutexGuard<'_, HashMap<[u8; 32], Arc<Grant>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A device, with the verdicts of this moment, and what is said of it beside what it writes.
type Standings = (Who, Vec<(Operation, Standing)>, Option<Arc<Testimony>>);

/// The token of a request (RFC 6750 section 2.1): in the header alone, and once.
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let wrong = |text: &'static str| Refusal::from(Issue::new(Code::Token, text));
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (one, more) = (all.next(), all.next());
    let one =
        one.ok_or_else(|| Refusal::from(Issue::new(Code::NoToken, "there is no token: Authorization: Bearer …")))?;
    if more.is_some() {
        return Err(wrong("Authorization stands twice"));
    }
    let text = one.to_str().map_err(|_| wrong("Authorization is no text"))?;
    let (scheme, token) = text.split_once(' ').ok_or_else(|| wrong("Authorization has no token"))?;
    if !scheme.eq_ignore_ascii_case("Bearer") || token.is_empty() || token.len() > LENGTH {
        return Err(wrong("Authorization is not: Bearer and a token"));
    }
    Ok(token)
}

fn is_bound_to(grant: &Grant, shown: [u8; 32]) -> bool {
    matches!(grant.binding, Binding::Certificate { certificate, .. } if certificate == shown)
}

fn not_bound(text: &'static str) -> Refusal {
    Issue::new(Code::TokenBinding, text).into()
}
