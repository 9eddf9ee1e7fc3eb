//! First contact without a code: by birth credential and voucher (RFC 8995).

use super::certificate_request;
use super::client::{ENROLL, Enrolment, Hub, Progress};
use crate::Error;
use crate::brski::{Birth, ENROLL_STATUS, MAX_MESSAGE, REQUEST_VOUCHER, Telemetry, VOUCHER_CMS, VOUCHER_STATUS};
use crate::http::{Client, Limits};
use crate::identity::{Identity, IdentityStore};
use crate::news::status;
use crate::provider::random;
use crate::tls::{Believed, Connector};
use bytes::Bytes;
use http::{Method, StatusCode};
use medlock_trust::Role;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::time::Duration;

const JSON: &str = "application/json";
/// How long the registrar may take: it asks the maker first.
const PATIENCE: Duration = Duration::from_secs(60);

impl Enrolment {
    /// Meets a site for the first time without a code: whoever answers is believed for the moment, shown the birth
    /// credential and asked for the maker's voucher. Only when that says that the device belongs to this site, and this
    /// site it is, is anything of it believed, and a credential asked for. All of it may be repeated.
    ///
    /// # Errors
    /// Any of [`Error`]; nothing is half-done, and the site is told why the voucher or its credential was not taken.
    pub async fn zero_touch(&self, birth: &Birth) -> Result<Arc<Identity>, Error> {
        self.progress.send_replace(Progress::Asking);
        let own = IdentityStore::in_memory(Some(birth.identity().clone()));
        let connector = Connector::new(Some(&own), Believed::Provisional, Some(Role::Hub))?;
        let limits = Limits { request: PATIENCE, ..Limits::default() };
        let client = Client::tls(self.address.as_str(), connector).with_limits(limits);
        let mut hub = Hub { connection: Some(client.connection().await?), client };
        let chain = hub.connection.as_ref().map(|connection| connection.chain().to_vec()).unwrap_or_default();
        let root = match self.voucher(birth, &mut hub, &chain).await {
            Ok(root) => root,
            Err(error) => {
                // What the site itself answered, it knows.
                if !matches!(error, Error::Status { .. }) {
                    report(&mut hub, VOUCHER_STATUS, Telemetry::new(Some(error.to_string()))).await;
                }
                return Err(error);
            }
        };
        // Should the connection end now, the next one is to somebody who is known.
        let connector = Connector::new(Some(&own), Believed::Certificate(root.clone()), Some(Role::Hub))?;
        hub.client = Client::tls(self.address.as_str(), connector);
        report(&mut hub, VOUCHER_STATUS, Telemetry::new(None)).await;
        let enrolled = self.enrol_at_known(&own, &mut hub, &root).await;
        let outcome = Telemetry::new(enrolled.as_ref().err().map(ToString::to_string));
        if enrolled.is_ok() {
            // With the new credential: that shows that it is of use (RFC 8995 section 5.9.4).
            hub = self.heard(Some(&self.identity))?;
        }
        report(&mut hub, ENROLL_STATUS, outcome).await;
        enrolled
    }

    /// Asks for a voucher and judges it.
    async fn voucher(
        &self,
        birth: &Birth,
        hub: &mut Hub,
        chain: &[CertificateDer<'static>],
    ) -> Result<CertificateDer<'static>, Error> {
        let nonce = random::<16>();
        let registrar = chain.first().ok_or_else(|| self.wrong("it showed no certificate"))?;
        let body = birth.request(registrar, Some(&nonce), self.knowledge.clock().now())?;
        let message = hub.client.request(Method::POST, REQUEST_VOUCHER, Some(VOUCHER_CMS), body.into())?;
        let answer = hub.send(message).await?;
        if answer.status() != StatusCode::OK {
            return Err(status(&hub.client, &format!("POST {REQUEST_VOUCHER}"), answer.status(), answer.body()));
        }
        if answer.body().len() > MAX_MESSAGE {
            return Err(self.wrong("its voucher is too long"));
        }
        self.knowledge.with_knowledge(|knowledge, _| birth.believe(answer.body(), Some(&nonce), chain, knowledge))
    }

    async fn enrol_at_known(
        &self,
        own: &IdentityStore,
        hub: &mut Hub,
        root: &CertificateDer<'_>,
    ) -> Result<Arc<Identity>, Error> {
        self.knowledge.pin_root(root)?;
        self.take_site_list(hub).await?;
        *hub = self.heard(Some(own))?;
        let authorities = self.ca_certificates(hub).await?;
        let key = self.identity.next_key()?;
        let request = certificate_request(&key, None);
        let issued = self.ask(hub, ENROLL, None, &key, &request).await?;
        self.adopt(&issued, &authorities)
    }
}

/// Tells the site how it went. That it did not hear it changes nothing.
async fn report(hub: &mut Hub, path: &str, what: Telemetry) {
    let message = hub.client.request(Method::POST, path, Some(JSON), Bytes::from(what.write()));
    let sent = match message {
        Ok(message) => hub.send(message).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = sent {
        tracing::info!(%error, path, "the site could not be told how it went");
    }
}
