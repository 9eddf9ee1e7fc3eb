//! Vouchers (RFC 8366): a maker's word that a device belongs to a site, and the record of whose each device was.
//!
//! A device has one owner at a time. Its next owner gets a voucher when the one before has let it go: by a transfer that it
//! signed, or by the maker's decision, which is recorded with its reason. docs/decisions/0023-vouchers.md says against whom
//! this helps.

mod import;

use crate::admin::Response;
use crate::issue::{self, Form, Template};
use crate::keys::KeyState;
use crate::signer::{KeyLabel, Kind};
use crate::store::{Owner, OwnerEvent, Purpose, StoreError};
use crate::{Authority, Error, authority, bytes, est, settings, status};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use medlock_node::brski::{self, cms};
use medlock_node::provider::{self, AwsLc, SigningAlgorithm};
use medlock_trust::voucher::{self, Assertion, MAX_NONCE, MAX_SERIAL, MIN_NONCE, Pinned, Transfer, Voucher};
use medlock_trust::x509::{Certificate, SubjectPublicKeyInfo};
use medlock_trust::{DeviceName, KeyId, Time};
use serde::{Deserialize, Serialize};

/// How long the certificate of a voucher key is good, in seconds: 15 years.
const CERTIFICATE_SECONDS: i64 = 15 * 365 * 86_400;

/// How much of what was said of a device's owners is shown.
const SHOWN: u16 = 1_000;

/// For how long a hub may take to make it.
const MAKING_SECONDS: u32 = 10;

/// In which form a voucher is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VoucherForm {
    /// JSON in CMS (`application/voucher-cms+json`, RFC 8366).
    #[default]
    Cms,
    /// CBOR in COSE (`application/voucher+cose`, draft-ietf-anima-constrained-voucher).
    Cose,
}

/// What a voucher is to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoucherOrder {
    /// The device's serial.
    pub serial: String,
    /// Whose it is: the certificate of the site's root, PEM or base64; for COSE also SHA-256 of its key
    /// (`SubjectPublicKeyInfo`) in 64 hexadecimal digits.
    pub domain: String,
    /// What the device asks with, in hexadecimal: 8 to 32 bytes. A voucher with it answers that request alone.
    #[serde(default)]
    pub nonce: Option<String>,
    /// Without a nonce: for how many days the voucher is good, 1 to 36,500.
    #[serde(default)]
    pub days: Option<u32>,
    /// How it is written.
    #[serde(default)]
    pub form: VoucherForm,
    /// A person knows that the device is this owner's, also where a maker was brought back and does not.
    #[serde(default)]
    pub owner_known: bool,
}

/// One line of what was said of a device's owners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerView {
    /// When, RFC 3339.
    pub at: String,
    /// `voucher` or `released`.
    pub what: String,
    /// The owner: SHA-256 of the key of its root, in hexadecimal.
    pub domain: String,
    /// Until when the voucher is good, RFC 3339; `None` with a nonce.
    pub expires: Option<String>,
    /// Why the device was released.
    pub why: String,
}

/// Whom a voucher is to name.
enum Domain {
    Certificate(Vec<u8>),
    Hash([u8; 32]),
}

impl Domain {
    fn read(text: &str) -> Result<Self, Error> {
        if let Ok(hash) = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes())
            && let Ok(hash) = <[u8; 32]>::try_from(hash)
        {
            return Ok(Self::Hash(hash));
        }
        let der = est::decode_body(text.as_bytes()).ok().filter(|der| Certificate::from_der(der).is_ok());
        let wrong = "give the certificate of the site's root, or SHA-256 of its key in 64 hexadecimal digits";
        der.map(Self::Certificate).ok_or_else(|| Error::invalid("domain", wrong))
    }

    fn pinned(&self) -> Pinned<'_> {
        match self {
            Self::Certificate(der) => Pinned::Certificate(der),
            Self::Hash(hash) => Pinned::Hash(hash),
        }
    }
}

impl Authority {
    /// A maker's voucher for a device that it gave a birth credential, recorded before it is given out.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a serial without a birth credential; [`Error::Conflict`] when the device is another
    /// owner's, or nobody knows whose since a restore; [`Error::Invalid`]; store and signer.
    pub fn issue_voucher(&self, order: &VoucherOrder) -> Result<Vec<u8>, Error> {
        if !order.owner_known {
            self.not_in_doubt(
                "does not know whose the device is by now, so that it gives no voucher (`--owner-known`, if you do)",
            )?;
        }
        self.clocks_agree()?;
        let domain = Domain::read(&order.domain)?;
        let nonce = order.nonce.as_deref().map(nonce).transpose()?;
        let now = self.clock.now();
        let expires = match (&nonce, order.days) {
            (None, Some(days @ 1..=36_500)) => Some(now.plus_seconds(i64::from(days) * 86_400)),
            (Some(_), None) => None,
            (None, _) => return Err(Error::invalid("days", "a voucher without a nonce is good for 1 to 36500 days")),
            (Some(_), Some(_)) => return Err(Error::invalid("days", "a voucher with a nonce answers it and no more")),
        };
        let issuer = self.issuer_of(&order.serial)?;
        let voucher = Voucher {
            assertion: Assertion::Verified,
            created_on: now,
            expires_on: expires,
            nonce: nonce.as_deref(),
            serial_number: &order.serial,
            idevid_issuer: issuer.as_deref(),
            pinned: domain.pinned(),
            last_renewal_date: None,
        };
        let fingerprint = voucher.pinned.fingerprint(&AwsLc);
        let fingerprint = fingerprint.ok_or_else(|| Error::invalid("domain", "its certificate cannot be read"))?;
        let bytes = match order.form {
            VoucherForm::Cms => self.in_cms(&voucher)?,
            VoucherForm::Cose => self.in_cose(&voucher)?,
        };
        let event =
            OwnerEvent { at: now, domain: fingerprint, voucher: Some(bytes.clone()), expires, why: String::new() };
        match self.store.give_owner(&order.serial, event) {
            Err(StoreError::Taken { .. }) if self.owner(&order.serial)?.is_none() => Err(Error::Conflict(format!(
                "{} was transferred by its last owner to another one than this: a maker that takes that back says why \
                 (`medlock voucher release --why`)",
                order.serial
            ))),
            Err(StoreError::Taken { .. }) => Err(Error::Conflict(format!(
                "{} belongs to another owner: it has to let it go first (`medlock voucher release`)",
                order.serial
            ))),
            other => {
                other?;
                self.count_act();
                Ok(bytes)
            }
        }
    }

    /// Which key of this maker issued the device's birth credential, where that says it (`authorityKeyIdentifier`). Only
    /// devices of this maker get vouchers.
    fn issuer_of(&self, serial: &str) -> Result<Option<Vec<u8>>, Error> {
        let unknown =
            || Error::Unknown { what: "device with a birth credential and the serial", name: serial.to_owned() };
        let name = DeviceName::new(serial).filter(|_| self.settings.kind == settings::Kind::Maker);
        let births = self.store.credentials_of(name.ok_or_else(unknown)?)?;
        let birth = births.into_iter().find(|issued| issued.record.purpose == Purpose::Birth).ok_or_else(unknown)?;
        let read = Certificate::read(&birth.certificate).map_err(|error| Error::Lint(error.to_string()))?;
        Ok(read.extensions().authority_key_id().and_then(|issuer| issuer.key_id).map(<[u8]>::to_vec))
    }

    /// Lets a device go: its owner signed a transfer, after which only the site that it names gets the next voucher; or the
    /// maker decided, and why. The maker's decision also takes back whom a device was transferred to.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it has no owner, or the transfer is not its owner's; store and signer.
    pub fn release(&self, serial: &str, transfer: Option<(&[u8], &[u8])>, why: &str) -> Result<(), Error> {
        let at = self.clock.now();
        let nobodys = || Error::Conflict(format!("{serial} belongs to nobody"));
        let Owner { domain, promised } = self.store.owner_now(serial)?;
        if let (None, Some(domain), None) = (domain, promised, transfer)
            && !why.trim().is_empty()
        {
            let event = OwnerEvent { at, domain, voucher: None, expires: None, why: why.to_owned() };
            return Ok(self.store.forget_promise(serial, event)?);
        }
        let owner = domain.ok_or_else(nobodys)?;
        let mut promised = None;
        let why = match transfer {
            Some((bytes, root)) => {
                let refused =
                    |error: voucher::Refused| Error::Conflict(format!("the transfer does not count: {error}"));
                let certificate = Certificate::from_der(root)
                    .map_err(|error| Error::invalid("owner", format!("its certificate cannot be read: {error}")))?;
                let key = certificate.public_key().ok_or_else(|| Error::invalid("owner", "its key is unknown here"))?;
                let transfer = Transfer::verify(bytes, key, certificate.spki(), &AwsLc).map_err(refused)?;
                if (transfer.serial_number, *transfer.from) != (serial, owner) {
                    return Err(Error::Conflict("the transfer is of another device or another owner".to_owned()));
                }
                // One from before this owner got it back was for another time. Vouchers that the owner was given since, as at
                // each reset, change nothing.
                if self.store.owned_since(serial)?.is_some_and(|since| transfer.created_on < since) {
                    return Err(Error::Conflict(
                        "the transfer is older than what made the device this owner's: sign a new one".to_owned(),
                    ));
                }
                promised = transfer.to.copied();
                let to = transfer.to.map(|to| format!(" to {}", HEXLOWER.encode(to))).unwrap_or_default();
                format!("transferred by its owner{to} at {}", transfer.created_on)
            }
            None if why.trim().is_empty() => {
                return Err(Error::invalid("why", "say why the maker lets a device go without its owner's transfer"));
            }
            None => why.to_owned(),
        };
        let event = OwnerEvent { at, domain: owner, voucher: None, expires: None, why };
        Ok(self.store.free_owner(serial, event, promised)?)
    }

    pub(crate) fn release_by(
        &self,
        serial: &str,
        transfer: Option<&str>,
        owner: Option<&str>,
        why: &str,
    ) -> Result<Response, Error> {
        let decoded = |what: &str, text: &str| {
            est::decode_body(text.as_bytes()).map_err(|error| Error::invalid(what, error.to_string()))
        };
        let proof = match (transfer, owner) {
            (Some(transfer), Some(owner)) => Some((decoded("transfer", transfer)?, decoded("owner", owner)?)),
            (None, None) => None,
            _ => return Err(Error::invalid("transfer", "give the transfer and the certificate of the owner's root")),
        };
        self.release(serial, proof.as_ref().map(|(transfer, root)| (&transfer[..], &root[..])), why)?;
        Ok(Response::Done { text: format!("{serial} is free: its next owner may get a voucher") })
    }

    /// A site's transfer of one of its devices: to the next owner, or back to the maker's decision. Signed by the root that the
    /// device's voucher names, if that is known here.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a maker; [`Error::Signer`]: the root's key has to be there.
    pub fn transfer(&self, serial: &str, to: Option<&str>) -> Result<Vec<u8>, Error> {
        if self.settings.kind != settings::Kind::Site || serial.is_empty() || serial.len() > MAX_SERIAL {
            return Err(Error::Conflict("a transfer is signed by the site that owns the device".to_owned()));
        }
        let to = to.map(Domain::read).transpose()?.and_then(|domain| domain.pinned().fingerprint(&AwsLc));
        let owner = self.owner(serial)?;
        let named = self.roots().into_iter().find(|root| Some(provider::sha256(&root.spki)) == owner);
        let root = named.unwrap_or_else(|| self.root());
        let from = provider::sha256(&root.spki);
        let transfer = Transfer { serial_number: serial, from: &from, to: to.as_ref(), created_on: self.clock.now() };
        let mut payload = Vec::new();
        let Ok(()) = transfer.encode(bytes::Sink(&mut payload));
        status::sign1(&*self.signer, &root, &payload, Transfer::PLACE, "transfer")
    }

    /// Whose a device is: SHA-256 of the key of its owner's root.
    pub(crate) fn owner(&self, serial: &str) -> Result<Option<[u8; 32]>, Error> {
        Ok(self.store.owner_now(serial)?.domain)
    }

    /// What was said of a device's owners, newest first.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn owners_view(&self, serial: &str) -> Result<Response, Error> {
        let view = |event: OwnerEvent| OwnerView {
            at: event.at.to_string(),
            what: if event.voucher.is_some() { "voucher" } else { "released" }.to_owned(),
            domain: HEXLOWER.encode(&event.domain),
            expires: event.expires.map(|time| time.to_string()),
            why: event.why,
        };
        Ok(Response::Owners { events: self.store.owners(serial, SHOWN)?.into_iter().map(view).collect() })
    }

    fn in_cose(&self, voucher: &Voucher<'_>) -> Result<Vec<u8>, Error> {
        let mut data = Vec::new();
        let Ok(()) = voucher.encode(bytes::Sink(&mut data));
        let chain = self.voucher_chain()?;
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        voucher::sign(&data, &chain, bytes::Sink(&mut out), |parts| {
            let signature = self.signer.sign(KeyLabel::VOUCHER, Kind::Voucher, &parts.concat())?;
            let wrong = || Error::Lint("the signer's signature is not 64 bytes".to_owned());
            <[u8; 64]>::try_from(signature).map_err(|_| wrong())
        })?;
        let signed = voucher::Signed::read(&out).map_err(|error| Error::Lint(error.to_string()))?;
        let key = chain.first().and_then(|der| Certificate::from_der(der).ok());
        let key =
            key.as_ref().and_then(Certificate::public_key).ok_or_else(|| lost("the voucher key cannot be read"))?;
        let read = signed.verify(key, &AwsLc).map_err(|error| Error::Lint(error.to_string()))?;
        if read == *voucher { Ok(out) } else { Err(lost("the voucher differs from what was ordered")) }
    }

    fn in_cms(&self, voucher: &Voucher<'_>) -> Result<Vec<u8>, Error> {
        let Pinned::Certificate(domain) = voucher.pinned else {
            let what = "a voucher in CMS names its owner by a certificate: give that of the site's root";
            return Err(Error::invalid("domain", what));
        };
        let json = brski::write_voucher(voucher, domain);
        let attributes = cms::attributes(&json, voucher.created_on);
        let chain = self.voucher_chain()?;
        let signature = self.signer.sign(KeyLabel::VOUCHER, Kind::VoucherAttributes, &attributes)?;
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        cms::signed_data(&json, &attributes, SigningAlgorithm::P256, &signature, &chain)
            .map_err(|error| Error::Lint(error.to_string()))
    }

    /// The certificate of the voucher key, and the issuing one behind it. Both are made at the first voucher.
    fn voucher_chain(&self) -> Result<[Vec<u8>; 2], Error> {
        if let Some(certificate) = self.voucher_certificate()? {
            return Ok(self.with_issuer(certificate));
        }
        let _lock = self.publishing_lock();
        // Of hubs that share a store, one makes it, and the others find it.
        let _held = authority::Held::wait(self.store.clone(), "making the voucher key's certificate", MAKING_SECONDS)?;
        if let Some(certificate) = self.voucher_certificate()? {
            return Ok(self.with_issuer(certificate));
        }
        let spki = match self.signer.public_key(KeyLabel::VOUCHER)? {
            Some(spki) => spki,
            None => self.signer.generate(KeyLabel::VOUCHER, SigningAlgorithm::P256)?,
        };
        let (now, issuing) = (self.clock.now(), self.issuing());
        let template = Template {
            form: Form::X509,
            purpose: Purpose::Voucher,
            organization: &self.settings.name,
            device: None,
            authority: None,
            maker_serial: None,
            spki: &spki,
            parent: None,
            not_before: now.plus_seconds(-self.rules().profile.backdate_seconds()),
            not_after: now.plus_seconds(CERTIFICATE_SECONDS),
            addresses: None,
            masa: None,
        };
        let (_, certificate) = issue::issue(&template, &issuing.issuer(), now, &self.line())?;
        Ok(self.with_issuer(certificate))
    }

    /// With the certificate of the key that has issued it, which may be a former one.
    fn with_issuer(&self, certificate: Vec<u8>) -> [Vec<u8>; 2] {
        let issuer = self.certificate_above(&certificate).unwrap_or_else(|| self.issuing());
        [certificate, issuer.der.clone()]
    }

    /// The certificate of the voucher key, if there is one that is good for long, by a key that nothing is said against.
    fn voucher_certificate(&self) -> Result<Option<Vec<u8>>, Error> {
        let Some(spki) = self.signer.public_key(KeyLabel::VOUCHER)? else { return Ok(None) };
        let key = SubjectPublicKeyInfo::from_der(&spki).map_err(|error| Error::Lint(error.to_string()))?;
        let held = self.store.credentials_for(KeyId::of(&[key.encoding()], &AwsLc))?;
        let good = |end: Time| end.seconds_since(self.clock.now()) > CERTIFICATE_SECONDS / 2;
        let keys = self.keys();
        let signs = |certificate: &[u8]| keys.issuer_of(certificate).is_some_and(|issuer| issuer.state.signs());
        let held = held.into_iter().find(|one| {
            one.record.purpose == Purpose::Voucher && good(one.record.not_after) && signs(&one.certificate)
        });
        Ok(held.map(|held| held.certificate))
    }

    /// Whether a key that was stolen since has issued the certificate of whoever signed this: such a voucher is given to nobody
    /// any more.
    pub(crate) fn is_below_stolen_key(&self, signer: &[u8]) -> bool {
        self.keys().issuer_of(signer).is_some_and(|issuer| issuer.state == KeyState::Compromised)
    }
}

fn nonce(text: &str) -> Result<Vec<u8>, Error> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    let bytes = bytes.filter(|bytes| (MIN_NONCE..=MAX_NONCE).contains(&bytes.len()));
    bytes.ok_or_else(|| Error::invalid("nonce", "give 8 to 32 bytes in hexadecimal"))
}

fn lost(what: &str) -> Error {
    Error::Lint(what.to_owned())
}
