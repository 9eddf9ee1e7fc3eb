//! A site's side of vouchers: what makers say of its devices, believed by the trust list, and kept.

use crate::admin::Response;
use crate::store::OwnerEvent;
use crate::{Authority, Error, settings};
use data_encoding::BASE64;
use medlock_node::brski::cms::SignedJson;
use medlock_node::brski::{Refused, VoucherData, believe};
use medlock_node::provider::{self, AwsLc};
use medlock_trust::list::List;
use medlock_trust::path::AuthorityKind;
use medlock_trust::{Anchor, KeyId, voucher};

/// Among how many of a device's newest vouchers one is looked for.
const IMPORTED: u16 = 1_000;

impl Authority {
    /// What a voucher says that makes a device this site's, and the key of the maker on the trust list that says it.
    pub(crate) fn own_voucher(&self, bytes: &[u8]) -> Result<(VoucherData, KeyId), Refused> {
        let signed = SignedJson::read(bytes)?;
        let (voucher, maker) = self.knowledge().with_knowledge(|knowledge, _| {
            let listed = knowledge.lists.iter().flat_map(List::authorities);
            let makers = listed.filter(|authority| authority.kind == AuthorityKind::Maker);
            let anchors: Vec<Anchor<'_>> = makers.filter_map(|maker| maker.anchor()).collect();
            believe(&signed, &anchors)
        })?;
        if !voucher.voucher().pinned.fingerprint(&AwsLc).is_some_and(|domain| self.is_own_root(domain)) {
            return Err(voucher::Refused::OtherDomain.into());
        }
        Ok((voucher, maker))
    }

    /// Whether a root of this site has this key (SHA-256), also one whose place another has taken: vouchers name the root of
    /// their day.
    pub(crate) fn is_own_root(&self, domain: [u8; 32]) -> bool {
        self.roots().iter().any(|root| provider::sha256(&root.spki) == domain)
    }

    /// Keeps a voucher of a device of this site.
    pub(crate) fn keep_voucher(&self, voucher: &VoucherData, bytes: &[u8]) -> Result<(), Error> {
        let (serial, at) = (&voucher.serial_number, self.clock.now());
        let root = || provider::sha256(&self.root().spki);
        let domain = voucher.voucher().pinned.fingerprint(&AwsLc).unwrap_or_else(root);
        if let Some(before) = self.owner(serial)?.filter(|before| *before != domain && self.is_own_root(*before)) {
            let why = "its maker names another root of this site from now on".to_owned();
            let event = OwnerEvent { at, domain: before, voucher: None, expires: None, why };
            self.store.free_owner(serial, event, None)?;
        }
        let event = OwnerEvent {
            at,
            domain,
            voucher: Some(bytes.to_vec()),
            expires: voucher.expires_on.filter(|_| voucher.nonce.is_none()),
            why: String::new(),
        };
        Ok(self.store.give_owner(serial, event)?)
    }

    /// The newest voucher that was imported for this device, of the maker key that issued its birth credential, and that
    /// is still good.
    pub(crate) fn imported_voucher(&self, serial: &str, issuer: Option<&[u8]>) -> Result<Option<Vec<u8>>, Error> {
        let now = self.clock.now();
        let good = |bytes: &Vec<u8>| {
            let voucher = SignedJson::read(bytes).and_then(|signed| VoucherData::read(signed.json));
            voucher.is_ok_and(|voucher| voucher.idevid_issuer.is_none() || voucher.idevid_issuer.as_deref() == issuer)
        };
        let current =
            self.store.owners(serial, IMPORTED)?.into_iter().filter(|event| event.expires.is_some_and(|end| end > now));
        Ok(current.filter_map(|event| event.voucher).find(good))
    }

    /// Takes a voucher that is good for a time.
    pub(crate) fn import_voucher(&self, voucher: &str) -> Result<Response, Error> {
        if self.settings.kind != settings::Kind::Site {
            return Err(Error::Conflict("a site keeps the vouchers of its devices: ask its hub".to_owned()));
        }
        let what = "voucher";
        let bytes = BASE64.decode(voucher.as_bytes()).map_err(|error| Error::invalid(what, error.to_string()))?;
        let (voucher, _) = self.own_voucher(&bytes).map_err(|why| Error::Object { what, why: why.to_string() })?;
        let refused = |why: &str| Error::Object { what, why: why.to_owned() };
        let Some(end) = voucher.expires_on.filter(|_| voucher.nonce.is_none()) else {
            return Err(refused(
                "it answers one request (it has a nonce): ask the maker for one that is good for a time",
            ));
        };
        if end <= self.clock.now() {
            return Err(refused("it has expired: ask the maker for a new one"));
        }
        self.keep_voucher(&voucher, &bytes)?;
        let serial = &voucher.serial_number;
        let known = self.store.device_with_maker_serial(serial)?.map_or_else(
            || format!("; register it: `medlock device register NAME --role ROLE --maker-serial {serial}`"),
            |device| format!("; it is {}", device.name),
        );
        Ok(Response::Done { text: format!("{serial} belongs to this site until {end} by its maker's word{known}") })
    }
}
