//! What there is before an authority has its keys, and how it makes the first ones.

use super::{Held, ISSUING_SECONDS, ROOT_SECONDS, STARTING_SECONDS};
use crate::Error;
use crate::directory::{expect_no_keys, lock_directory, own_directory};
use crate::issue::{self, Form, Issuer, Line, Template};
use crate::keys::AuthorityCertificate;
use crate::log::Sequencer;
use crate::present::Present;
use crate::settings::{AuthorityConfig, RootPlace, Rules, Settings};
use crate::signer::{KeyLabel, KeyRole, Signer};
use crate::store::{Purpose, Store};
use medlock_node::provider::SigningAlgorithm;
use medlock_trust::Time;
use medlock_trust::x509::SubjectPublicKeyInfo;
use std::fs::File;
use std::sync::Arc;

/// The setting with the authority's name.
const NAME: &str = "name";

/// What there is before an authority has its keys.
pub(crate) struct Ground {
    pub(crate) settings: Settings,
    pub(crate) rules: Rules,
    pub(super) lock: File,
    /// Hubs that start at once on one store do it one after the other: what the first makes, the next finds.
    pub(super) _starting: Held,
    pub(super) present: Present,
    pub(super) store: Arc<dyn Store>,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) log: Sequencer,
    pub(super) room: issue::Room,
}

impl Ground {
    pub(crate) fn lay(
        config: &AuthorityConfig,
        signer: &Arc<dyn Signer>,
        store: Arc<dyn Store>,
    ) -> Result<Self, Error> {
        own_directory(&config.dir)?;
        let (settings, rules) = (Settings::try_from(config)?, Rules::try_from(config)?);
        let lock = lock_directory(&settings.dir)?;
        let starting = Held::wait(store.clone(), Held::STARTING, STARTING_SECONDS)?;
        // Before it waits for nobody any more: who looks for hubs at work has those wait that start.
        let present = Present::announce(store.clone(), &settings.hub_name, &settings.dir)?;
        // The name is the first thing that a creation writes.
        if store.setting(NAME)?.is_none() {
            expect_no_keys(config, &**signer)?;
        }
        fix_for_good(&*store, &settings, &rules)?;
        issue::recover(&*store)?;
        let log =
            Sequencer::open_in(Some(&settings.dir), store.clone(), signer.clone(), settings.log_origin.as_deref())?;
        let (signer, room) = (signer.clone(), issue::Room::default());
        Ok(Self { settings, rules, lock, _starting: starting, present, store, signer, log, room })
    }

    pub(crate) fn line(&self) -> Line<'_> {
        Line { store: &*self.store, signer: &*self.signer, log: &self.log, room: &self.room }
    }
}

/// Name, kind and the address of a part of the CRL are in every certificate: they are set once.
pub(super) fn fix_for_good(store: &dyn Store, settings: &Settings, rules: &Rules) -> Result<(), Error> {
    let partitions = rules.profile.crl_partitions().to_string();
    let fixed =
        [(NAME, settings.name.as_str()), ("kind", settings.kind.name()), ("crl_partitions", partitions.as_str())];
    for (setting, wanted) in fixed {
        match store.setting(setting)? {
            None => store.set_once(setting, wanted)?,
            Some(found) if found == wanted => {}
            Some(found) => {
                let (place, other) = match &settings.store {
                    None => (settings.dir.display().to_string(), "directory"),
                    Some(server) => {
                        (format!("the store {}, schema {},", server.url, server.schema), "database or schema")
                    }
                };
                return Err(Error::Conflict(format!(
                    "{place} holds an authority whose {setting} is {found:?}, and the configuration says {wanted:?}; the \
                     {setting} of an authority cannot change: correct the configuration or use another {other}"
                )));
            }
        }
    }
    Ok(())
}

pub(crate) fn ensure_root(
    settings: &Settings,
    rules: &Rules,
    line: &Line<'_>,
    now: Time,
) -> Result<AuthorityCertificate, Error> {
    if let Some(found) = line.store.newest(Purpose::Root)? {
        return AuthorityCertificate::read(KeyLabel::ROOT, found.certificate);
    }
    if settings.root == RootPlace::Offline {
        return Err(Error::Conflict(
            "the authority's root is offline and not known yet: make one with `medlock authority make-root` where it is \
             kept, and begin with `medlock authority request issuing --root CERTIFICATE`"
                .to_owned(),
        ));
    }
    let spki = line.signer.generate(KeyLabel::ROOT, rules.algorithm)?;
    let name = issue::authority_name(&settings.name, KeyLabel::ROOT);
    let issuer = Issuer { name: &name, spki: &spki, key: KeyLabel::ROOT, algorithm: algorithm_of(&spki)? };
    let template = authority_template(settings, rules, KeyLabel::ROOT, &spki, now);
    let (_, der) = issue::issue(&template, &issuer, now, line)?;
    AuthorityCertificate::read(KeyLabel::ROOT, der)
}

pub(super) fn ensure_issuing(
    settings: &Settings,
    rules: &Rules,
    root: &AuthorityCertificate,
    line: &Line<'_>,
    now: Time,
) -> Result<AuthorityCertificate, Error> {
    if let Some(found) = line.store.newest(Purpose::Issuing)? {
        return AuthorityCertificate::read(KeyLabel::ISSUING, found.certificate);
    }
    if line.signer.public_key(KeyLabel::ROOT)?.is_none() {
        return Err(Error::Conflict(
            "the offline root has not signed the issuing key yet: bring its answer in with `medlock authority accept`, or \
             ask again with `medlock authority request issuing --root CERTIFICATE`"
                .to_owned(),
        ));
    }
    let spki = line.signer.generate(KeyLabel::ISSUING, rules.algorithm)?;
    let template = authority_template(settings, rules, KeyLabel::ISSUING, &spki, now);
    let (_, der) = issue::issue(&template, &root.issuer(), now, line)?;
    AuthorityCertificate::read(KeyLabel::ISSUING, der)
}

/// What a key that was there before signs with: not always what the configuration says by now.
pub(crate) fn algorithm_of(spki: &[u8]) -> Result<SigningAlgorithm, Error> {
    let key = SubjectPublicKeyInfo::from_der(spki).ok().and_then(|spki| spki.public_key());
    let algorithm = key.and_then(|key| SigningAlgorithm::of(key.algorithm));
    algorithm.ok_or_else(|| Error::Lint("the signer's key is of an unknown kind".to_owned()))
}

pub(crate) fn authority_template<'a>(
    settings: &'a Settings,
    rules: &'a Rules,
    label: KeyLabel,
    spki: &'a [u8],
    now: Time,
) -> Template<'a> {
    let (purpose, seconds, addresses) = match label.role() {
        KeyRole::Root => (Purpose::Root, ROOT_SECONDS, None),
        KeyRole::Issuing | KeyRole::Log | KeyRole::Voucher => {
            (Purpose::Issuing, ISSUING_SECONDS, rules.addresses.as_ref())
        }
    };
    Template {
        form: Form::X509,
        purpose,
        organization: &settings.name,
        device: None,
        authority: Some(label),
        maker_serial: None,
        spki,
        parent: None,
        not_before: now.plus_seconds(-rules.profile.backdate_seconds()),
        not_after: now.plus_seconds(seconds),
        addresses,
        masa: None,
    }
}
