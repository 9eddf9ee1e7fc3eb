//! From a request to who asks.

use super::caller::{Binding, Caller, Grant, Holder, Standing, Who};
use super::gateways::Gateways;
use super::live::Live;
use super::right::{Reach, Right, Verb, Verbs};
use super::testimonies::Testimonies;
use crate::auth::dpop::Asked;
use crate::auth::proof::{self, Unproved};
use crate::auth::{Communities, Member, Proof, Scopes};
use crate::consent::Base;
use crate::kind::{Kind, Millis};
use crate::outcome::{Code, Issue, Refusal};
use crate::provenance::{Part, Testimony};
use crate::seam::{Devices, Handed};
use crate::store::Records;
use crate::subscription::Subscriber;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use medlock_node::accept::PeerInfo;
use medlock_node::clock::Clock;
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::provider::{same_secret, sha256};
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::{CredentialId, DeviceName, Identified, Operation, Role, Verdict};
use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a token, at most: ours have 43.
const LENGTH: usize = 128;

/// A request, as far as it says who asks.
#[derive(Clone, Debug)]
pub struct Shown<'r> {
    /// Its headers.
    pub headers: &'r HeaderMap,
    /// Who is at the other end.
    pub peer: &'r PeerInfo,
    /// Its method.
    pub method: &'r str,
    /// Its address as the caller knows it, without the query.
    pub url: String,
    /// Whether its proof has counted: the parts of one request are admitted one by one.
    pub counted: &'r AtomicBool,
}

/// Admits requests.
pub struct Gate {
    records: Arc<Records>,
    knowledge: Arc<KnowledgeBase>,
    clock: Clock,
    devices: Arc<dyn Devices>,
    live: Mutex<Live>,
    /// Whom the base policy lets see what no Consent speaks of.
    base: Arc<[Base]>,
    testimonies: Testimonies,
    gateways: Gateways,
    communities: Arc<Communities>,
}

/// Why a subscriber is told nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotTold {
    /// What was granted, or the registration, has ended.
    Ended,
    /// Its community does not vouch for it now, and why.
    Unvouched(String),
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
        Self {
            records,
            knowledge,
            clock,
            devices,
            live: Mutex::default(),
            testimonies: Testimonies::default(),
            gateways: Gateways::new(0),
            base: Arc::new([]),
            communities: Arc::default(),
        }
    }

    /// The same, under this base policy.
    pub(crate) fn with_base(self, base: Vec<Base>) -> Self {
        Self { base: base.into(), ..self }
    }

    /// The same, where a device's token lives for so long, in seconds.
    pub(crate) fn with_tokens_of(self, seconds: i64) -> Self {
        Self { gateways: Gateways::new(seconds), ..self }
    }

    /// The same, where the software of these communities has registered by itself.
    pub(crate) fn with_communities(self, communities: Arc<Communities>) -> Self {
        Self { communities, ..self }
    }

    /// Who asks: the holder of a live token, who shows what it is bound to; of a device, one that may do something at this moment.
    /// May use the store: blocks.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, shown: &Shown<'_>) -> Result<Caller, Refusal> {
        let (scheme, token) = credentials(shown.headers)?;
        let (peer, hash) = (shown.peer, sha256(token.as_bytes()));
        let grant = self.grant(hash)?;
        self.vouched(&grant)
            .map_err(|why| Refusal::from(Issue::new(Code::Token, format!("the token is not live: {why}"))))?;
        let grant = match (grant.binding, scheme) {
            (Binding::Bearer, Scheme::Bearer) => grant,
            (Binding::Certificate { certificate, credential }, Scheme::Bearer) => {
                self.shown(hash, grant, (certificate, credential), peer)?
            }
            (Binding::Key(key), Scheme::Proof) => {
                self.prove(key, token, shown)?;
                grant
            }
            (Binding::Key(_), Scheme::Bearer) => {
                return Err(not_bound("the token is bound to a key: show it as Authorization: DPoP, with a proof"));
            }
            (Binding::Bearer | Binding::Certificate { .. }, Scheme::Proof) => {
                return Err(not_bound("the token is bound to no key: show it as Authorization: Bearer"));
            }
        };
        let (who, standings, testimony) = match &grant.holder {
            Holder::Device { name, own } => self.device(name, own.is_none(), peer)?,
            Holder::Software { client } => (Who::Software { client: client.clone() }, Vec::new(), None),
            Holder::Person { account, client, .. } => {
                (Who::Person { account: *account, client: client.clone() }, Vec::new(), None)
            }
        };
        let at = Millis(self.clock.unix_millis());
        Ok(Caller { who, grant, standings, base: Arc::clone(&self.base), at, testimony, token: Some(hash) })
    }

    /// The same software or person a while later: with what is allowed at that moment. What it has shown beside its token counts for
    /// the whole request. May use the store: blocks.
    ///
    /// # Errors
    /// Its token is not live any more.
    pub(crate) fn again(&self, caller: &Caller) -> Result<Caller, Refusal> {
        self.held(caller.token().ok_or_else(not_live)?)
    }

    /// The software or person whose token, by its SHA-256, was shown before, with what it is bound to. May use the store: blocks.
    ///
    /// # Errors
    /// The token is not live any more, or a device's: that shows its certificate each time.
    pub(crate) fn held(&self, token: [u8; 32]) -> Result<Caller, Refusal> {
        let grant = self.grant(token)?;
        self.vouched(&grant).map_err(|_| not_live())?;
        let who = match &grant.holder {
            Holder::Device { .. } => return Err(not_live()),
            Holder::Software { client } => Who::Software { client: client.clone() },
            Holder::Person { account, client, .. } => Who::Person { account: *account, client: client.clone() },
        };
        let (base, at) = (Arc::clone(&self.base), Millis(self.clock.unix_millis()));
        Ok(Caller { who, grant, standings: Vec::new(), base, at, testimony: None, token: Some(token) })
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
        let right = |kind, verbs: &[Verb]| Right {
            kind,
            verbs: Verbs::of(verbs.iter().copied()),
            reach: Reach::All,
            only: None,
        };
        let mut rights: Vec<Right> = made.map(|kind| right(kind, &[Verb::Create, Verb::Read, Verb::Search])).to_vec();
        rights.push(right(Kind::IMAGING_STUDY, &[Verb::Update]));
        rights.push(right(Kind::PATIENT, &[Verb::Read]));
        let grant = Grant {
            leave: 0,
            holder: Holder::Device { name, own: None },
            person: None,
            binding: Binding::Bearer,
            until: i64::MAX,
            scopes: Scopes::default(),
            rights: rights.into(),
            member: None,
        };
        Caller {
            who: Who::Device { name, credential },
            grant: Arc::new(grant),
            standings: vec![(from.permit.operation(), Ok(from.permit.mark()))],
            base: Arc::clone(&self.base),
            at: Millis(self.clock.unix_millis()),
            testimony: Some((self.testimony(from.who, from.chain), Part::of(from.who.roles().contains(Role::Gateway)))),
            token: None,
        }
    }

    /// Who is told something, with what is allowed at this moment: no more than the token was good for that asked for it, than was
    /// granted, and than the software is registered for, and its community may have. Blocks.
    pub(crate) fn subscriber(&self, subscriber: &Subscriber) -> Result<Result<Caller, NotTold>, medlock_store::Error> {
        let (client, until) = (subscriber.client.clone(), subscriber.until);
        let (who, grant) = match subscriber.person {
            Some((leave, account)) => {
                (Who::Person { account, client }, self.records.leave_within(leave, &subscriber.scopes)?)
            }
            None => {
                let kinds: Vec<Kind> = Kind::all().collect();
                let registered = self.records.client(&client)?;
                let grant = registered.map(|registered| {
                    let holder = Holder::Software { client: client.clone() };
                    let (binding, scopes, rights) = (Binding::Bearer, Scopes::default(), Arc::from([]));
                    let member = match registered.proof {
                        Proof::Community(member) => Some(Arc::new(member)),
                        Proof::None | Proof::Secret(_) | Proof::Keys { .. } => None,
                    };
                    let none = Grant { leave: 0, holder, person: None, binding, until, scopes, rights, member };
                    none.good_for(subscriber.scopes.within(&registered.scopes, &kinds))
                });
                (Who::Software { client }, grant)
            }
        };
        let now = self.clock.now().unix();
        let Some(grant) = grant.filter(|grant| grant.until.min(until) > now) else {
            return Ok(Err(NotTold::Ended));
        };
        if let Err(why) = self.vouched(&grant) {
            return Ok(Err(NotTold::Unvouched(why)));
        }
        let grant = self.bounded(grant);
        let (base, at) = (Arc::clone(&self.base), Millis(self.clock.unix_millis()));
        Ok(Ok(Caller { who, grant: Arc::new(grant), standings: Vec::new(), base, at, testimony: None, token: None }))
    }

    /// What is left of a grant under what the site gives to the software's community.
    pub(crate) fn bounded(&self, grant: Grant) -> Grant {
        match &grant.member {
            None => grant,
            Some(member) => {
                let scopes = self.communities.left(member, &grant.scopes);
                grant.good_for(scopes)
            }
        }
    }

    /// Whether the community of the software vouches for it at this moment, if it is of one.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn vouched(&self, grant: &Grant) -> Result<(), String> {
        let vouch = |member: &Arc<Member>| self.communities.vouch(member, self.clock.now());
        let vouched = grant.member.as_ref().map_or(Ok(()), vouch);
        vouched.map_err(|why| format!("its community does not vouch for the software: {why}"))
    }

    fn testimony<C: AsRef<[u8]>>(&self, who: &Identified, chain: &[C]) -> Arc<Testimony> {
        self.testimonies.of(who, verified(chain, who), &self.knowledge, (&*self.devices, &self.clock))
    }

    /// Whether the request proves the key that its token is bound to (RFC 9449 section 7), by a proof that counts once. What was young
    /// when the request came is so for all of its parts, however long they take.
    fn prove(&self, key: [u8; 32], token: &str, shown: &Shown<'_>) -> Result<(), Refusal> {
        if shown.counted.load(Ordering::Relaxed) {
            return Ok(());
        }
        let proof = proof::shown(shown.headers).map_err(unproved)?;
        let proof = proof.ok_or_else(|| Issue::new(Code::Proof, "there is no proof: DPoP: …"))?;
        let asked = Asked { method: shown.method, url: &shown.url, token: Some(token), now: self.clock.now() };
        let proof = proof::check(&self.records, proof, &asked).map_err(unproved)?;
        if !same_secret(&proof.thumbprint, &key) {
            return Err(Issue::new(Code::Proof, "the proof is by another key than the token is bound to").into());
        }
        proof::count(&self.records, &proof).map_err(unproved)?;
        shown.counted.store(true, Ordering::Relaxed);
        Ok(())
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
        let to = (shown, who.credential(), verified(&peer.chain, who));
        let rebound = self.records.rebind(hash, certificate, to).map_err(|error| away(&error))?;
        let rebound = Arc::new(rebound.filter(|grant| is_bound_to(grant, shown)).ok_or_else(other)?);
        self.live().remember(hash, &rebound, self.clock.now().unix());
        Ok(rebound)
    }

    /// The device that shows its certificate, with the verdicts of this moment. A token for others goes with the role of a gateway alone,
    /// by its credential and by the register, as when the token was asked for.
    fn device(&self, name: &DeviceName, for_others: bool, peer: &PeerInfo) -> Result<Standings, Refusal> {
        let who = peer.identified.as_ref().filter(|who| who.device_name() == name);
        let who = who.ok_or_else(|| not_bound("the token is a device's, and this does not show its credential"))?;
        if for_others && !who.roles().contains(Role::Gateway) {
            return Err(not_bound("the token is a gateway's, and this credential is not: ask for another token"));
        }
        if for_others {
            let have = self.gateways.have(name, &*self.devices, self.clock.now().unix());
            let is_one = have.map_err(|error| {
                tracing::error!(%error, "whether a device is a gateway cannot be told");
                Issue::new(Code::StoreAway, "whether the device is a gateway cannot be told now")
            })?;
            if !is_one {
                return Err(not_bound(
                    "the token is a gateway's, and the device is none any more: ask for another token",
                ));
            }
        }
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
        let testimony = (self.testimony(who, &peer.chain), Part::of(for_others));
        Ok((Who::Device { name: *name, credential: who.credential() }, standings.into(), Some(testimony)))
    }

    /// Forgets tokens of what has ended.
    pub(crate) fn forget(&self, ended: &HashSet<i64>) {
        if !ended.is_empty() {
            self.live().forget(ended);
        }
    }

    fn grant(&self, hash: [u8; 32]) -> Result<Arc<Grant>, Refusal> {
        let now = self.clock.now().unix();
        let known = self.live().of(hash);
        let grant = match known {
            Some(grant) => grant,
            None => {
                let found = self.records.token(hash).map_err(|error| {
                    tracing::error!(%error, "a token could not be looked for");
                    Refusal::from(Issue::new(Code::StoreAway, "whether the token is live cannot be told now"))
                })?;
                let grant = Arc::new(self.bounded(found.ok_or_else(not_live)?));
                self.live().remember(hash, &grant, now);
                grant
            }
        };
        if grant.until <= now { Err(not_live()) } else { Ok(grant) }
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A device, with the verdicts of this moment, and what is said of it beside what it writes.
type Standings = (Who, Vec<(Operation, Standing)>, Option<(Arc<Testimony>, Part)>);

/// What of a chain was read when `who` was identified by it: its own certificate and those above, up to what an authority of the lists
/// issued. What a peer shows behind them nobody has looked at.
pub(crate) fn verified<'c, C>(chain: &'c [C], who: &Identified) -> &'c [C] {
    chain.get(..who.issuers().len()).unwrap_or(chain)
}

/// How a token is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// Alone, or with the certificate of the connection (RFC 6750).
    Bearer,
    /// With a proof (RFC 9449 section 7.1).
    Proof,
}

/// The token of a request (RFC 6750 section 2.1): in the header alone, and once.
fn credentials(headers: &HeaderMap) -> Result<(Scheme, &str), Refusal> {
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
    let schemes = [(Scheme::Bearer, "Bearer"), (Scheme::Proof, "DPoP")];
    let scheme = schemes.into_iter().find(|(_, name)| scheme.eq_ignore_ascii_case(name)).map(|(scheme, _)| scheme);
    match scheme {
        Some(scheme) if !token.is_empty() && token.len() <= LENGTH => Ok((scheme, token)),
        _ => Err(wrong("Authorization is not: Bearer, or DPoP, and a token")),
    }
}

fn unproved(why: Unproved) -> Refusal {
    match why {
        Unproved::Away(error) => {
            tracing::error!(%error, "whether a proof came before cannot be told");
            Issue::new(Code::StoreAway, "whether the proof came before cannot be told now").into()
        }
        why if why.wants_nonce() => Issue::new(Code::ProofNonce, why.to_string()).into(),
        why => Issue::new(Code::Proof, why.to_string()).into(),
    }
}

fn is_bound_to(grant: &Grant, shown: [u8; 32]) -> bool {
    matches!(grant.binding, Binding::Certificate { certificate, .. } if certificate == shown)
}

fn not_live() -> Refusal {
    Issue::new(Code::Token, "the token is not live").into()
}

fn not_bound(text: &'static str) -> Refusal {
    Issue::new(Code::TokenBinding, text).into()
}
