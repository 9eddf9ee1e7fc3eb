//! Issuing a certificate, in the only order there is:
//!
//! 1. [`prepare`] writes the to-be-signed bytes from profile and register, reads them back with the trust core's own
//!    parser, and compares each field with what was approved (lint);
//! 2. `Approved::record` stores them durably, with a serial number that was never used;
//! 3. `Recorded::sign` lets the signer sign them, and checks the signature;
//! 4. `Signed::store` stores the certificate durably;
//! 5. `Stored::release` gives it out when a signed checkpoint of the log covers what was signed. The log takes the
//!    record in while it is being signed.
//!
//! Each step consumes the one before, so none can be left out or taken twice. Each is taken for all that are there at the
//! same time ([`Room`]): one that fails takes no other with it. A process that stops between 2 and 4
//! leaves a record without a certificate; [`recover`] marks it abandoned at the next start, or at another hub.

mod template;

pub use template::{Addresses, Form, Issuer, Template};
pub(crate) use template::{authority_name, key_identifier};

use crate::log::{Expected, Sequencer};
use crate::signer::{KeyLabel, Signer, SignerError};
use crate::store::{Issuances, Purpose, Record, Serial, Store, StoreError, Turn};
use crate::waiting::WaitingRoom;
use crate::{Error, encode};
use medlock_node::provider::{self, AwsLc};
use medlock_trust::x509::{Certificate, GeneralName, Name, SignedForm, SubjectPublicKeyInfo};
use medlock_trust::{CredentialId, DeviceName, Time};
use std::net::IpAddr;

/// What a certificate passes on its way.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// Where it is recorded.
    pub store: &'a dyn Store,
    /// Who signs it.
    pub signer: &'a dyn Signer,
    /// The log that must cover it.
    pub log: &'a Sequencer,
    /// Those who wait for all this.
    pub room: &'a Room,
}

/// Those who wait for certificates of one [`Line`]: a few of them do for all what has to be done, and the others are woken
/// once, when theirs is there.
#[derive(Debug)]
pub struct Room(WaitingRoom<Ordered, Result<Given, Error>>);

/// A certificate that may be signed, and the turn of its device, if it is one, in which it was approved.
pub(crate) type Ordered = (Approved, Option<Turn>);
/// A certificate that may be given out, and its identifier.
pub(crate) type Given = (CredentialId, Vec<u8>);

/// So many work in a room at once: while one waits for the disk, another can go on.
const WORKING: usize = 3;
/// The most certificates that take their steps together.
const TOGETHER: usize = 64;

impl Default for Room {
    fn default() -> Self {
        Self(WaitingRoom::new(WORKING))
    }
}

/// A certificate that may be signed: once.
#[derive(Debug)]
pub struct Approved {
    record: Record,
    form: Form,
    signer: KeyLabel,
    /// The issuing key (`SubjectPublicKeyInfo`), to check what the signer made.
    issuer_spki: Vec<u8>,
}

/// A certificate whose to-be-signed bytes are stored.
#[derive(Debug)]
struct Recorded(Approved);

/// A certificate that is signed and not yet stored: it is not given out.
#[derive(Debug)]
struct Signed {
    serial: Serial,
    credential: CredentialId,
    certificate: Vec<u8>,
}

/// A certificate that is stored, and whose log may not cover it yet: it is not given out.
#[derive(Debug)]
struct Stored(Signed);

/// Writes the to-be-signed bytes of `template`, and checks that they say what it says and nothing else.
///
/// # Errors
/// [`Error::Lint`] when they differ from what was approved.
pub fn prepare(template: &Template<'_>, issuer: &Issuer<'_>, now: Time) -> Result<Approved, Error> {
    let serial = match template.form {
        Form::X509 => Serial::from_random(provider::random()),
        Form::C509 => Serial::short_from_random(provider::random()),
    };
    let tbs = template::to_be_signed(template, issuer, serial)?;
    lint(&tbs, template, issuer, serial)?;
    let key = SubjectPublicKeyInfo::from_der(template.spki).map_err(|error| Error::Lint(error.to_string()))?;
    let record = Record {
        serial,
        purpose: template.purpose,
        device: template.device.map(|device| device.name),
        key: key.key_id(&AwsLc),
        parent: template.parent,
        not_before: template.not_before,
        not_after: template.not_after,
        at: now,
        tbs,
    };
    Ok(Approved { record, form: template.form, signer: issuer.key, issuer_spki: issuer.spki.to_vec() })
}

impl Approved {
    /// The serial number it will have.
    #[must_use]
    pub const fn serial(&self) -> Serial {
        self.record.serial
    }

    /// The bytes that are to be signed.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        &self.record.tbs
    }

    /// Stores the to-be-signed bytes durably, where it has one in the turn of its device ([`Issuances::turn_of`]).
    ///
    /// # Errors
    /// [`Error::Conflict`] when the turn is over: what was approved was approved by what is no longer so; [`StoreError`];
    /// [`StoreError::Taken`] when the serial was used before (once in 2^60 certificates or less).
    fn record(ordered: Vec<Ordered>, store: &(impl Issuances + ?Sized)) -> Vec<Result<Recorded, Error>> {
        let outcomes = store.record_all(ordered.iter().map(|(one, turn)| (one.record.clone(), *turn)).collect());
        let ended = |(approved, turn): Ordered, outcome| match (outcome, turn) {
            (Ok(()), _) => Ok(Recorded(approved)),
            (Err(StoreError::Missing { .. }), Some(_)) => Err(Error::Conflict(format!(
                "{} was changed at the same time, maybe at another hub: ask again (where a hub was killed meanwhile, in a minute: then what it \
                 has not finished is given up)",
                approved.record.device.map(|name| name.to_string()).unwrap_or_default()
            ))),
            (Err(error), _) => Err(error.into()),
        };
        ordered.into_iter().zip(outcomes).map(|(one, outcome)| ended(one, outcome)).collect()
    }
}

impl Recorded {
    /// Lets the signer sign, and checks what it made. When it does not, the record is given up.
    ///
    /// # Errors
    /// [`Error::Signer`]; [`Error::Lint`] when the signature is wrong.
    fn sign(
        those: Vec<Self>,
        signer: &(impl Signer + ?Sized),
        store: &(impl Issuances + ?Sized),
    ) -> Vec<Result<Signed, Error>> {
        let mut signatures: Vec<Option<Result<Vec<u8>, SignerError>>> = those.iter().map(|_| None).collect();
        let asked = |one: &Self| (one.0.signer, one.0.form.kind());
        for (at, one) in those.iter().enumerate() {
            if signatures.get(at).is_some_and(Option::is_some) {
                continue;
            }
            // With the same key, all at once.
            let same: Vec<usize> =
                (at..those.len()).filter(|other| those.get(*other).map(asked) == Some(asked(one))).collect();
            let messages: Vec<&[u8]> = same.iter().filter_map(|at| Some(those.get(*at)?.0.to_be_signed())).collect();
            let (key, kind) = asked(one);
            for (place, signature) in same.into_iter().zip(signer.sign_all(key, kind, &messages)) {
                if let Some(place) = signatures.get_mut(place) {
                    *place = Some(signature);
                }
            }
        }
        let unasked = || Err(SignerError::Away("it gave no answer".to_owned()));
        let signatures = signatures.into_iter().map(|signature| signature.unwrap_or_else(unasked));
        let outcomes = those.into_iter().zip(signatures).map(|(one, signature)| {
            let serial = one.0.serial();
            one.checked(signature).inspect_err(|error| {
                // If this fails too, the record is given up at the next start.
                if let Err(error) = store.abandon(serial, &error.to_string()) {
                    tracing::warn!(%serial, %error, "an unsigned record is left for the next start");
                }
            })
        });
        outcomes.collect()
    }

    /// The certificate with its signature, which is checked as everybody will check it.
    fn checked(self, signature: Result<Vec<u8>, SignerError>) -> Result<Signed, Error> {
        let Approved { record, form, signer: _, issuer_spki } = self.0;
        let signature = signature?;
        let certificate = match form {
            Form::X509 => encode::signed(&record.tbs, &signature),
            Form::C509 => encode::signed_c509(&record.tbs, &signature).map_err(Error::Lint)?,
        };
        let public = SubjectPublicKeyInfo::from_der(&issuer_spki).map_err(|error| Error::Lint(error.to_string()))?;
        let public = public.public_key().ok_or_else(|| Error::Lint("the issuing key cannot be read".to_owned()))?;
        let view = Certificate::read(&certificate).map_err(|error| Error::Lint(error.to_string()))?;
        view.verify_with(public, &AwsLc)
            .map_err(|_| Error::Lint("the signer's signature is not of the issuing key".to_owned()))?;
        let credential = view.credential_id(&AwsLc);
        Ok(Signed { serial: record.serial, credential, certificate })
    }
}

impl Signed {
    /// Stores the certificate durably.
    ///
    /// # Errors
    /// [`StoreError`]: then the certificate is not given out.
    fn store(those: Vec<Self>, store: &(impl Issuances + ?Sized)) -> Vec<Result<Stored, Error>> {
        let certificates = those.iter().map(|one| (one.serial, one.credential, one.certificate.clone())).collect();
        let outcomes = store.complete_all(certificates).into_iter();
        those
            .into_iter()
            .zip(outcomes)
            .map(|(one, outcome)| outcome.map(|()| Stored(one)).map_err(Error::from))
            .collect()
    }
}

impl Stored {
    /// Waits for the log, and gives the certificate out.
    ///
    /// # Errors
    /// [`Error::Log`] when no signed checkpoint covers it in time; who asks again gets it then.
    fn release(those: Vec<Self>, places: &Expected<'_>) -> Vec<Result<Given, Error>> {
        let serials: Vec<_> = those.iter().map(|Self(one)| one.serial).collect();
        let covered = places.wait(&serials).into_iter();
        those
            .into_iter()
            .zip(covered)
            .map(|(Self(one), covered)| covered.map(|()| (one.credential, one.certificate)))
            .collect()
    }
}

/// Takes all steps for these together; one outcome for each, in their order.
pub(crate) fn issue_all(ordered: Vec<Ordered>, line: &Line<'_>) -> Vec<Result<Given, Error>> {
    let places = line.log.expect(ordered.iter().map(|(approved, _)| approved.serial()).collect());
    let recorded = Approved::record(ordered, line.store);
    places.recorded();
    let signed = those_that_may(recorded, |those| Recorded::sign(those, line.signer, line.store));
    let stored = those_that_may(signed, |those| Signed::store(those, line.store));
    those_that_may(stored, |those| Stored::release(those, &places))
}

/// Takes a step with those that took the one before.
fn those_that_may<T, U>(
    before: Vec<Result<T, Error>>,
    step: impl FnOnce(Vec<T>) -> Vec<Result<U, Error>>,
) -> Vec<Result<U, Error>> {
    let mut may = Vec::with_capacity(before.len());
    let failed: Vec<Option<Error>> = before.into_iter().map(|one| one.map(|one| may.push(one)).err()).collect();
    let mut outcomes = step(may).into_iter();
    let outcome = |failed: Option<Error>| match failed {
        Some(error) => Err(error),
        None => outcomes.next().unwrap_or_else(|| Err(Error::Lint("a step has left it out".to_owned()))),
    };
    failed.into_iter().map(outcome).collect()
}

/// Takes all steps.
///
/// # Errors
/// Those of the steps.
pub fn issue(
    template: &Template<'_>,
    issuer: &Issuer<'_>,
    now: Time,
    line: &Line<'_>,
) -> Result<(CredentialId, Vec<u8>), Error> {
    in_room((prepare(template, issuer, now)?, None), line)
}

/// As [`issue`], in this turn of the device; see [`Issuances::record_in_turn`].
///
/// # Errors
/// [`Error::Conflict`] when the turn is over; else those of the steps.
pub fn issue_in_turn(
    template: &Template<'_>,
    issuer: &Issuer<'_>,
    now: Time,
    turn: Turn,
    line: &Line<'_>,
) -> Result<(CredentialId, Vec<u8>), Error> {
    in_room((prepare(template, issuer, now)?, Some(turn)), line)
}

fn in_room(ordered: Ordered, line: &Line<'_>) -> Result<Given, Error> {
    let Room(room) = line.room;
    let work = || {
        let (ordered, askers): (Vec<_>, Vec<_>) =
            room.together(TOGETHER, |_| true).into_iter().map(|one| (one.request, one.asker)).unzip();
        for (asker, outcome) in askers.into_iter().zip(issue_all(ordered, line)) {
            asker.tell(outcome);
        }
    };
    let outcome = room.ask(vec![ordered], work).pop().flatten();
    outcome.unwrap_or_else(|| {
        Err(Error::Conflict("who made the certificate has ended unexpectedly: ask again".to_owned()))
    })
}

/// Takes in a certificate of the authority itself that a root elsewhere has signed, which the caller has checked: it is
/// recorded and logged as if it had been signed here. Taking it in again changes nothing.
pub(crate) fn take_in(purpose: Purpose, certificate: &[u8], now: Time, line: &Line<'_>) -> Result<(), Error> {
    let read = Certificate::from_der(certificate).map_err(|error| Error::Lint(error.to_string()))?;
    let serial = Serial::from_octets(read.serial_magnitude());
    let serial = serial.ok_or_else(|| Error::Lint("its serial number is none of ours".to_owned()))?;
    if line.store.issued_with_serial(serial)?.is_some_and(|held| held.certificate == certificate) {
        return line.log.await_covered(serial);
    }
    let record = Record {
        serial,
        purpose,
        device: None,
        key: read.key_id(&AwsLc),
        parent: None,
        not_before: read.not_before(),
        not_after: read.not_after(),
        at: now,
        tbs: read.tbs().to_vec(),
    };
    let place = line.log.expect(vec![serial]);
    line.store.record(record)?;
    place.recorded();
    line.store.complete(serial, read.credential_id(&AwsLc), certificate.to_vec())?;
    place.wait_for(serial)
}

/// Gives up what an earlier run has recorded and not finished; returns how many those were. Their certificates were
/// never given out, and who asked for them asks again.
///
/// # Errors
/// [`StoreError`].
pub fn recover(store: &(impl Issuances + ?Sized)) -> Result<usize, StoreError> {
    let orphans = store.orphans()?;
    if !orphans.is_empty() {
        let count = orphans.len();
        tracing::warn!(
            count,
            "certificates were recorded and never finished: they are given up, and who asked asks again"
        );
    }
    for serial in &orphans {
        tracing::debug!(%serial, "a certificate was recorded and never finished: it is given up");
        match store.abandon(*serial, "the process stopped before the certificate was stored") {
            // Another hub has done the same, or it was finished after all.
            Ok(()) | Err(StoreError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(orphans.len())
}

/// Whether these are the bytes of a certificate of an issuing key as [`prepare`] writes it: nothing but serial, validity and
/// where the root's revocation list is, is open.
pub(crate) fn is_plain_issuing(tbs: &[u8], organization: &str, key: KeyLabel, issuer: &Issuer<'_>) -> bool {
    let whole = encode::signed(tbs, &[0; 8]);
    let Ok(read) = Certificate::from_der(&whole) else { return false };
    let addresses = root_crl_address(&read).and_then(Addresses::of_root_crl);
    is_written(&read, &issuing_template(&read, organization, key, addresses.as_ref()), issuer)
}

/// What a certificate of an issuing key that is to be signed says, by another root and with a new serial number.
pub(crate) fn reissued(tbs: &[u8], organization: &str, key: KeyLabel, issuer: &Issuer<'_>) -> Result<Vec<u8>, Error> {
    let whole = encode::signed(tbs, &[0; 8]);
    let read = Certificate::from_der(&whole).map_err(|error| Error::Lint(error.to_string()))?;
    let addresses = root_crl_address(&read).and_then(Addresses::of_root_crl);
    let template = issuing_template(&read, organization, key, addresses.as_ref());
    Ok(prepare(&template, issuer, read.not_before())?.to_be_signed().to_vec())
}

fn issuing_template<'a>(
    read: &Certificate<'a>,
    organization: &'a str,
    key: KeyLabel,
    addresses: Option<&'a Addresses>,
) -> Template<'a> {
    Template {
        form: Form::X509,
        purpose: Purpose::Issuing,
        organization,
        device: None,
        authority: Some(key),
        maker_serial: None,
        spki: read.spki(),
        parent: None,
        not_before: read.not_before(),
        not_after: read.not_after(),
        addresses,
        masa: None,
    }
}

/// Whether a certificate says what this template says, and nothing else; its serial number is open.
pub(crate) fn is_written(read: &Certificate<'_>, template: &Template<'_>, issuer: &Issuer<'_>) -> bool {
    let Some(serial) = Serial::from_octets(read.serial_magnitude()) else { return false };
    template::to_be_signed(template, issuer, serial).is_ok_and(|usual| usual == read.tbs())
}

/// Where a certificate says that revocations are told, if it does.
pub(crate) fn root_crl_address<'a>(certificate: &Certificate<'a>) -> Option<&'a str> {
    certificate.extensions().crl_distribution_points().find_map(|name| match name {
        GeneralName::Uri(address) => Some(address),
        _ => None,
    })
}

/// Whether a certificate's names have these DNS names and IP addresses and no others, in this order.
pub(crate) fn has_addresses(names: &[GeneralName<'_>], dns: &[String], ips: &[IpAddr]) -> bool {
    let told_dns = names.iter().filter_map(|name| if let GeneralName::Dns(name) = name { Some(*name) } else { None });
    let told_ips =
        names.iter().filter_map(|name| if let GeneralName::Ip(ip) = name { Some(ip.to_vec()) } else { None });
    let octets = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    told_dns.eq(dns.iter().map(String::as_str)) && told_ips.eq(ips.iter().map(octets))
}

/// Reads the to-be-signed bytes as everybody will, and compares.
fn lint(tbs: &[u8], template: &Template<'_>, issuer: &Issuer<'_>, serial: Serial) -> Result<(), Error> {
    let whole = match template.form {
        Form::X509 => encode::signed(tbs, &[0; 8]),
        Form::C509 => encode::signed_c509(tbs, &[0; 64]).map_err(Error::Lint)?,
    };
    let read = Certificate::read(&whole).map_err(|error| Error::Lint(error.to_string()))?;
    let same = |what: &str, equal: bool| if equal { Ok(()) } else { Err(Error::Lint(format!("{what} differs"))) };
    let name = Name::from_der(issuer.name).map_err(|error| Error::Lint(error.to_string()))?;
    same("the form", read.form() == if template.form == Form::X509 { SignedForm::X509 } else { SignedForm::Native })?;
    same("the serial number", Serial::from_octets(read.serial_magnitude()) == Some(serial))?;
    same("the issuer", read.issuer().matches(&name))?;
    let key = SubjectPublicKeyInfo::from_der(template.spki).map_err(|error| Error::Lint(error.to_string()))?;
    same("the key", read.key_id(&AwsLc) == key.key_id(&AwsLc))?;
    same("the validity", (read.not_before(), read.not_after()) == (template.not_before, template.not_after))?;
    same("the validity's order", template.not_before < template.not_after)?;
    let extensions = read.extensions();
    let authority = extensions.basic_constraints().is_some_and(|constraints| constraints.ca);
    same("being an authority", authority == matches!(template.purpose, Purpose::Root | Purpose::Issuing))?;
    same("unknown critical extensions", extensions.unknown_critical().is_none())?;
    let role = extensions.role();
    let approved = template.device.map(|device| (device.roles, device.device_type));
    same("the role", role.map(|role| (role.roles, role.device_type)) == approved)?;
    let name = read.subject().only(medlock_trust::x509::ids::SERIAL_NUMBER).and_then(DeviceName::from_text);
    let expected = template.subject_serial().and_then(|serial| DeviceName::new(&serial));
    same("the device's name", name == expected)?;
    lint_names(extensions.subject_alt_names(), template, &same)
}

fn lint_names<'a>(
    names: impl Iterator<Item = GeneralName<'a>>,
    template: &Template<'_>,
    same: &impl Fn(&str, bool) -> Result<(), Error>,
) -> Result<(), Error> {
    let names: Vec<_> = names.collect();
    let device = template.device.filter(|_| template.form == Form::X509);
    let (dns, ips) = device.map_or((&[][..], &[][..]), |device| (&device.dns, &device.ips));
    same("a DNS name or IP address", has_addresses(&names, dns, ips))?;
    let others = names.iter().filter(|name| !matches!(name, GeneralName::Dns(_) | GeneralName::Ip(_)));
    let modules = others.map(|name| name.hardware_module_name().map(|module| module.serial.to_vec()));
    let modules: Vec<_> = modules.collect();
    let module = template.maker_serial.map(|serial| Some(serial.as_bytes().to_vec()));
    same("another name", modules == module.into_iter().collect::<Vec<_>>())
}
