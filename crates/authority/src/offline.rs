//! The beginning of an authority whose root is offline: the root is made where it is kept, the authority asks it, and can be
//! opened when it has answered. Later requests are those of [`crate::rotation`].

use crate::authority::{Ground, algorithm_of, authority_template, ensure_root};
use crate::directory::{open_store, own_directory};
use crate::issue::{self, Issuer};
use crate::keys::AuthorityCertificate;
use crate::objects::Kind as ObjectKind;
use crate::root_crl;
use crate::root_request::{KeyChange, RootAnswer};
use crate::rotation::Asking;
use crate::settings::{AuthorityConfig, Kind, Rules, Settings};
use crate::signer::{KeyLabel, Kind as SignedKind, Signer};
use crate::store::{Published, Purpose, StoreError};
use crate::{Authority, Error, encode};
use medlock_node::clock::Clock;
use medlock_node::provider::AwsLc;
use medlock_trust::Time;
use medlock_trust::x509::Certificate;
use std::sync::Arc;

impl Authority {
    /// Begins an authority whose root is offline, with that root's certificate (DER): makes the issuing key, and gives what
    /// the root is to sign. Asking again gives it anew, until [`Authority::finish`].
    ///
    /// # Errors
    /// As [`Authority::open`]; [`Error::Conflict`] when the authority has its issuing key, or another root.
    pub fn begin(
        config: &AuthorityConfig,
        clock: &Clock,
        signer: &Arc<dyn Signer>,
        root: &[u8],
    ) -> Result<Vec<u8>, Error> {
        // Before anything is fixed for good.
        let root = AuthorityCertificate::read(KeyLabel::ROOT, root.to_vec())?;
        check_root(&root, &config.name)?;
        own_directory(&config.dir)?;
        let ground = Ground::lay(config, signer, Arc::new(open_store(config)?))?;
        let (settings, rules, line, now) = (&ground.settings, &ground.rules, ground.line(), clock.now());
        match line.store.newest(Purpose::Root)? {
            Some(held) if held.certificate == root.der => {}
            Some(_) => return Err(Error::Conflict("the authority has another root".to_owned())),
            None => issue::take_in(Purpose::Root, &root.der, now, &line)?,
        }
        if line.store.newest(Purpose::Issuing)?.is_some() {
            return Err(Error::Conflict(
                "the authority has an issuing key: ask with `medlock authority request issuing` for another".to_owned(),
            ));
        }
        let held = line.store.published(ObjectKind::SiteList.name())?;
        let held = held.as_ref();
        Asking { settings, rules, root: &root, keys: None, held, line, now, vouches: None }.request(KeyChange::Rotate)
    }

    /// Takes in what the offline root has answered to [`Authority::begin`]; afterwards the authority can be opened. If it can
    /// be already, nothing is done, and `false` is given.
    ///
    /// # Errors
    /// As [`Authority::open`], and [`Authority::accept_root`].
    pub fn finish(
        config: &AuthorityConfig,
        clock: &Clock,
        signer: &Arc<dyn Signer>,
        answer: &[u8],
    ) -> Result<bool, Error> {
        let ground = Ground::lay(config, signer, Arc::new(open_store(config)?))?;
        let (line, now) = (ground.line(), clock.now());
        if line.store.newest(Purpose::Issuing)?.is_some() {
            return Ok(false);
        }
        let root = ensure_root(&ground.settings, &ground.rules, &line, now)?;
        let answer = RootAnswer::read(answer, std::slice::from_ref(&root))?;
        let request = &answer.request;
        let ours = signer.public_key(request.key)?.as_deref() == Some(&*request.spki);
        let Some(certificate) = &answer.certificate else { return Err(not_the_first()) };
        if !ours || request.name != ground.settings.name || request.key != KeyLabel::ISSUING {
            return Err(not_the_first());
        }
        // The list first: with the issuing certificate the authority is whole.
        let kind = ObjectKind::SiteList.name();
        if let Some(list) = answer.list.clone().filter(|_| ground.settings.kind == Kind::Site) {
            match line.store.publish(kind, Published { version: 1, at: now, bytes: list }) {
                Ok(()) | Err(StoreError::Taken { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(crl) = &answer.crl {
            root_crl::take(root_crl::KIND, crl, &root, line.store, now)?;
        }
        issue::take_in(Purpose::Issuing, certificate, now, &line)?;
        Ok(true)
    }
}

fn not_the_first() -> Error {
    let why = "it does not answer what this authority asked at its beginning".to_owned();
    Error::Object { what: "answer of the root", why }
}

/// A root is of this organisation, signs itself, and may have authorities below it.
fn check_root(root: &AuthorityCertificate, organization: &str) -> Result<(), Error> {
    let wrong = |why: &str| Error::invalid("root", format!("{why}; make one with `medlock authority make-root`"));
    let certificate = Certificate::from_der(&root.der).map_err(|error| wrong(&error.to_string()))?;
    let public = certificate.public_key().ok_or_else(|| wrong("its key cannot be read"))?;
    let authority = certificate.extensions().basic_constraints().is_some_and(|constraints| constraints.ca);
    if !authority || certificate.verify_with(public, &AwsLc).is_err() {
        return Err(wrong("it is not the certificate of a root"));
    }
    if root.subject != issue::authority_name(organization, KeyLabel::ROOT) {
        return Err(wrong(&format!("it is not called \"{organization} root\"")));
    }
    Ok(())
}

/// Makes the root of an authority where it is kept, and its certificate (DER).
///
/// # Errors
/// [`Error::Conflict`] when there is a root key already: it is never made anew; [`Error::Signer`].
pub fn make_root(config: &AuthorityConfig, now: Time, signer: &dyn Signer) -> Result<Vec<u8>, Error> {
    let (settings, rules) = (Settings::try_from(config)?, Rules::try_from(config)?);
    if signer.public_key(KeyLabel::ROOT)?.is_some() {
        return Err(Error::Conflict("there is a root key already, which is never made anew".to_owned()));
    }
    let spki = signer.generate(KeyLabel::ROOT, rules.algorithm)?;
    let name = issue::authority_name(&settings.name, KeyLabel::ROOT);
    let issuer = Issuer { name: &name, spki: &spki, key: KeyLabel::ROOT, algorithm: algorithm_of(&spki)? };
    let approved = issue::prepare(&authority_template(&settings, &rules, KeyLabel::ROOT, &spki, now), &issuer, now)?;
    let tbs = approved.to_be_signed();
    Ok(encode::signed(tbs, &signer.sign(KeyLabel::ROOT, SignedKind::Certificate, tbs)?))
}
