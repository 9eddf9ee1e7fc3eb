//! Two lists with one version: whoever signed both said two things at one time. The two lists are the evidence.

use crate::provider::{AwsLc, sha256};
use data_encoding::{BASE64, HEXLOWER};
use medlock_trust::KeyId;
use medlock_trust::cose::{ContentType, Sign, Signer};
use medlock_trust::list::{List, Member};
use medlock_trust::x509::SubjectPublicKeyInfo;
use serde::Serialize;

/// Whose a signature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signatory {
    /// A member of the list itself.
    Member,
    /// A recovery key of the list itself.
    Recovery,
    /// A member of the list held.
    HeldMember,
    /// A recovery key of the list held.
    HeldRecovery,
    /// Nobody the lists name: it counts for nothing.
    Stranger,
}

/// One signature of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// The key's identifier.
    pub key: String,
    /// What people call its holder.
    pub name: Option<String>,
    /// Whose it is.
    pub signatory: Signatory,
    /// Whether it is right; a stranger's cannot be checked.
    pub valid: Option<bool>,
}

/// The signatures of an object of this kind, checked by the keys that `list`, or else `held`, names.
#[must_use]
pub fn signatures(object: &[u8], kind: ContentType, list: &List<'_>, held: Option<&List<'_>>) -> Vec<Signature> {
    let Ok(signed) = Sign::read(object, kind) else { return Vec::new() };
    let one = |signer: Signer<'_>| {
        let named = named(signer.key(), list, held);
        Signature {
            key: signer.key().to_string(),
            name: named.map(|(member, _)| member.name.to_owned()),
            signatory: named.map_or(Signatory::Stranger, |(_, signatory)| signatory),
            valid: named.map(|(member, _)| is_right(&signed, &signer, &member)),
        }
    };
    signed.signers().map(one).collect()
}

fn named<'a>(key: KeyId, list: &List<'a>, held: Option<&List<'a>>) -> Option<(Member<'a>, Signatory)> {
    let recovery = |list: &List<'a>| list.recovery().find(|one| one.key == key);
    list.member(key)
        .map(|one| (one, Signatory::Member))
        .or_else(|| recovery(list).map(|one| (one, Signatory::Recovery)))
        .or_else(|| held?.member(key).map(|one| (one, Signatory::HeldMember)))
        .or_else(|| recovery(held?).map(|one| (one, Signatory::HeldRecovery)))
}

fn is_right(signed: &Sign<'_>, signer: &Signer<'_>, member: &Member<'_>) -> bool {
    let spki = SubjectPublicKeyInfo::from_der(member.spki).ok().filter(|spki| spki.key_id(&AwsLc) == member.key);
    let key = spki.and_then(|spki| spki.public_key());
    key.is_some_and(|key| signed.verify(signer, key, &AwsLc).is_ok())
}

/// The evidence that somebody signed two lists with one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fork {
    /// The name of the list.
    pub name: String,
    /// The recovery epoch of both.
    pub recovery_epoch: u64,
    /// The version of both.
    pub version: u64,
    /// The SHA-256 of each payload, in hexadecimal.
    pub payload_sha256: [String; 2],
    /// Who signed both: rightly, with keys that the lists name.
    pub signed_both: Vec<Signature>,
    /// Both lists, in base64: whoever doubts it checks the signatures.
    pub lists: [String; 2],
}

impl Fork {
    /// The evidence in two lists; `None` if they are not of one version, or say the same.
    #[must_use]
    pub fn of(first: &[u8], second: &[u8]) -> Option<Self> {
        let (one, other) = (List::danger_open(first).ok()?, List::danger_open(second).ok()?);
        let (a, b) = (one.heading(), other.heading());
        let same = (a.kind, a.name, a.recovery_epoch, a.version) == (b.kind, b.name, b.recovery_epoch, b.version);
        if !same || one.payload() == other.payload() {
            return None;
        }
        let right = |object: &[u8], list: &List<'_>, held: &List<'_>| {
            let mut all = signatures(object, ContentType::LIST, list, Some(held));
            all.retain(|signature| signature.valid == Some(true));
            all
        };
        let mut signed_both = right(first, &one, &other);
        let in_second = right(second, &other, &one);
        signed_both.retain(|signature| in_second.iter().any(|two| two.key == signature.key));
        Some(Self {
            name: a.name.to_owned(),
            recovery_epoch: a.recovery_epoch,
            version: a.version,
            payload_sha256: [one.payload(), other.payload()].map(|payload| HEXLOWER.encode(&sha256(payload))),
            signed_both,
            lists: [first, second].map(|bytes| BASE64.encode(bytes)),
        })
    }

    /// In words, for an alarm.
    #[must_use]
    pub fn sentence(&self) -> String {
        let who: Vec<String> = self
            .signed_both
            .iter()
            .map(|one| format!("{:?} ({})", one.name.as_deref().unwrap_or("unnamed"), one.key))
            .collect();
        let who = if who.is_empty() { "nobody".to_owned() } else { who.join(", ") };
        format!(
            "there are two lists {:?} with version {}: SHA-256 {} and {}; signed both: {who}. Keep both files, ask these \
             members, and take neither further until they have said which one counts",
            self.name, self.version, self.payload_sha256[0], self.payload_sha256[1]
        )
    }
}
