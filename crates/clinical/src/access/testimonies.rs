//! What is said of devices beside what they write, remembered while nothing of it changes.

use crate::provenance::{Basis, Testimony};
use crate::seam::Devices;
use medlock_node::clock::Clock;
use medlock_node::knowledge::{Kind, KnowledgeBase};
use medlock_trust::{CredentialId, Identified};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Devices that are remembered, at most.
const REMEMBERED: usize = 4_096;
/// After so many seconds it is asked again for a proof that was not there: a log takes some seconds to cover a credential.
const AGAIN: i64 = 60;

/// The newest testimony on each credential, and when its proof was asked for.
#[derive(Debug, Default)]
pub(super) struct Testimonies(Mutex<HashMap<CredentialId, (i64, Arc<Testimony>)>>);

impl Testimonies {
    /// The testimony on `who`, who showed `chain`. May ask for the proof: blocks.
    pub(super) fn of<C: AsRef<[u8]>>(
        &self,
        who: &Identified,
        chain: &[C],
        knowledge: &KnowledgeBase,
        (devices, clock): (&dyn Devices, &Clock),
    ) -> Arc<Testimony> {
        let basis = Basis {
            site_list: knowledge.version(Kind::SiteList),
            status: knowledge.version(Kind::Status),
            policy: knowledge.version(Kind::Policy),
        };
        let (credential, now) = (who.credential(), clock.now().unix());
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&credential).cloned();
        if let Some((asked, known)) = &known
            && known.basis == basis
            && (known.proof.is_some() || now.saturating_sub(*asked) < AGAIN)
            && known.chain.iter().map(Vec::as_slice).eq(chain.iter().map(AsRef::as_ref))
        {
            return Arc::clone(known);
        }
        // An entry stays where it is in the log.
        let proof = known.and_then(|(_, known)| known.proof.clone()).or_else(|| proof(devices, credential));
        let testimony = Arc::new(Testimony {
            name: *who.device_name(),
            credential,
            chain: chain.iter().map(|certificate| certificate.as_ref().to_vec()).collect(),
            basis,
            proof,
        });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(credential, (now, Arc::clone(&testimony)));
        testimony
    }
}

fn proof(devices: &dyn Devices, credential: CredentialId) -> Option<Arc<[u8]>> {
    match devices.log_proof(credential) {
        Ok(proof) => proof.map(Into::into),
        Err(error) => {
            tracing::warn!(%error, %credential, "the proof that a credential is in the log cannot be had now");
            None
        }
    }
}
