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
use std::slice;

/// Among how many of a device's newest vouchers one is looked for.
const IMPORTED: u16 = 1_000;

impl Authority {
    /// What a voucher says that makes a device this site's, and the keys of makers on the trust list that stand above who says
    /// it: a maker whose issuing key was stolen is listed with its root, up to a cut-off, and with the key that took over.
    pub(crate) fn own_voucher(&self, bytes: &[u8]) -> Result<(VoucherData, Vec<KeyId>), Refused> {
        let signed = SignedJson::read(bytes)?;
        let (voucher, makers) = self.knowledge().with_knowledge(|knowledge, _| {
            let listed = knowledge.lists.iter().flat_map(List::authorities);
            let makers = listed.filter(|authority| authority.kind == AuthorityKind::Maker);
            let anchors: Vec<Anchor<'_>> = makers.filter_map(|maker| maker.anchor()).collect();
            let each =
                anchors.iter().map(|anchor| (anchor.key_id, believe(&signed, slice::from_ref(anchor), knowledge)));
            let above: Vec<_> =
                each.filter(|(_, said)| matches!(said, Ok(_) | Err(Refused::Withdrawn { .. }))).collect();
            let makers = above.iter().map(|(maker, _)| *maker).collect();
            let (voucher, _) = match above.into_iter().find_map(|(_, said)| said.ok()) {
                Some(believed) => believed,
                None => believe(&signed, &anchors, knowledge)?,
            };
            Ok::<_, Refused>((voucher, makers))
        })?;
        if !voucher.voucher().pinned.fingerprint(&AwsLc).is_some_and(|domain| self.is_own_root(domain)) {
            return Err(voucher::Refused::OtherDomain.into());
        }
        Ok((voucher, makers))
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
    /// is still good: what was believed once is judged again, since its signer's key may have been stolen meanwhile.
    pub(crate) fn imported_voucher(&self, serial: &str, issuer: Option<&[u8]>) -> Result<Option<Vec<u8>>, Error> {
        let now = self.clock.now();
        let good = |bytes: &Vec<u8>| {
            let said = self.own_voucher(bytes);
            if let Err(why) = &said {
                tracing::warn!(serial, %why, "a voucher that was imported does not count any more");
            }
            said.is_ok_and(|(voucher, _)| voucher.idevid_issuer.is_none() || voucher.idevid_issuer.as_deref() == issuer)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AuthorityConfig;
    use crate::admin::{Asker, Request};
    use crate::provision::{BirthProfileConfig, Row};
    use crate::signer::InProcess;
    use crate::voucher::{VoucherForm, VoucherOrder};
    use medlock_node::clock::Clock;
    use medlock_node::provider::SigningKey;
    use medlock_trust::Time;
    use medlock_trust::cose::{self, Algorithm, ContentType};
    use medlock_trust::list::{Authority as Listed, AuthorityState, Content, Heading, ListKind, Member};
    use medlock_trust::log::{Hash, TreeHead};
    use std::sync::Arc;

    struct World {
        clock: Clock,
        maker: Authority,
        site: Authority,
        /// The one who signs the list that the site believes.
        member: SigningKey,
        _folder: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let clock = Clock::manual(Time::from_utc(2026, 11, 22, 12, 0, 0).unwrap());
            let open = |config: AuthorityConfig| {
                let signer = Arc::new(InProcess::open(&config.dir.join("signer")).unwrap());
                Authority::open(&config, clock.clone(), signer).unwrap()
            };
            let maker = open(AuthorityConfig::maker(folder.path().join("maker"), "Pump Works"));
            let site = open(AuthorityConfig::site(folder.path().join("site"), "Sankt Anna"));
            for serial in ["P-1", "P-2"] {
                let profile = BirthProfileConfig { roles: vec!["actuator".into()], ..BirthProfileConfig::default() };
                let material = BASE64.encode(SigningKey::generate().spki());
                maker.provision_one(profile, Row { serial: Some(serial.into()), material, ..Row::default() }).unwrap();
            }
            Self { clock, maker, site, member: SigningKey::generate(), _folder: folder }
        }

        fn voucher(&self, serial: &str) -> Vec<u8> {
            let domain = BASE64.encode(&self.site.root().der);
            let (serial, form) = (serial.to_owned(), VoucherForm::Cms);
            self.maker
                .issue_voucher(&VoucherOrder { serial, domain, nonce: None, days: Some(300), form, owner_known: false })
                .unwrap()
        }

        /// The site hears a list with the maker's root, which stands so, and maybe with a key that took over.
        fn hear(&self, version: u64, state: AuthorityState, cutoff: Option<TreeHead>, more: Option<KeyId>) {
            self.clock.advance(60);
            let (issued, root, issuing) = (self.clock.now(), self.maker.root(), self.maker.issuing());
            let heading = Heading {
                version,
                ..Heading::first(ListKind::Alliance, "Alliance", issued, issued.plus_seconds(400 * 86_400))
            };
            let keys = [(root, state, cutoff), (issuing, AuthorityState::Listed, None)];
            let named = keys.iter().filter(|(key, ..)| key.label == self.maker.root().label || more == Some(key.key));
            let entries = named.map(|(key, state, cutoff)| Listed {
                state: *state,
                since: issued,
                cutoff: *cutoff,
                ..Listed::for_everything(key.key, AuthorityKind::Maker, "Pump Works", &key.subject, &key.spki)
            });
            let mut entries: Vec<_> = entries.collect();
            entries.sort_by_key(|entry| entry.key);
            let members = [Member { key: self.member.key_id(), spki: self.member.spki(), name: "member" }];
            let content = Content { heading, members: &members, recovery: &[], authorities: &entries, services: &[] };
            let mut payload = Vec::new();
            content.encode(&mut payload).unwrap();
            let mut list = Vec::new();
            let signer = [(self.member.key_id(), Algorithm::Es256)];
            cose::sign(&payload, ContentType::LIST, &signer, &mut list, |_, parts| {
                Ok::<_, std::convert::Infallible>(self.member.sign_cose(&parts))
            })
            .unwrap();
            self.site.import_trust_list(&list, &[self.member.key_id()], 1).unwrap();
        }

        fn import(&self, voucher: &[u8]) -> Result<(), String> {
            let import = Request::ImportVoucher { voucher: BASE64.encode(voucher) };
            self.site.administer(&Asker::uid(1000), import).map(drop).map_err(|error| error.to_string())
        }

        fn is_given(&self, serial: &str) -> bool {
            let issuer = self.maker.issuer_of(serial).unwrap();
            self.site.imported_voucher(serial, issuer.as_deref()).unwrap().is_some()
        }
    }

    /// Shows REQ-PROV-64: a maker whose issuing key was stolen is listed up to a cut-off; what a thief signs below that key
    /// makes no device a site's, nor does what was imported before; what the new key vouches for does.
    #[test]
    fn a_voucher_below_a_withdrawn_issuing_key_is_not_believed() {
        let world = World::new();
        world.hear(1, AuthorityState::Listed, None, None);
        let old = world.voucher("P-1");
        world.import(&old).unwrap();
        assert!(world.is_given("P-1"));
        // As a thief's: made below the stolen key, whenever it says.
        let forged = world.voucher("P-2");
        let change =
            Request::ChangeKeys { change: "compromised issuing".parse().unwrap(), anyway: false, why: String::new() };
        world.maker.administer(&Asker::uid(1000), change).unwrap();
        let log = TreeHead { size: 1, root: Hash::from_bytes([7; 32]) };
        world.hear(2, AuthorityState::Listed, Some(log), Some(world.maker.issuing().key));
        let error = world.import(&forged).unwrap_err();
        assert!(error.contains("is not known to be in it. Ask the maker for a new voucher"), "{error}");
        assert!(!world.is_given("P-1") && !world.is_given("P-2"));
        let new = world.voucher("P-2");
        let (_, makers) = world.site.own_voucher(&new).unwrap();
        assert!(makers.contains(&world.maker.root().key), "the device's birth credential is below it");
        world.import(&new).unwrap();
        assert!(world.is_given("P-2"));
        world.import(&world.voucher("P-1")).unwrap();
        assert!(world.is_given("P-1"));
    }

    /// Shows REQ-PROV-64.
    #[test]
    fn a_suspended_maker_makes_no_device_a_sites_until_it_is_lifted() {
        let world = World::new();
        world.hear(1, AuthorityState::Listed, None, None);
        let voucher = world.voucher("P-1");
        world.import(&voucher).unwrap();
        world.hear(2, AuthorityState::Suspended, None, None);
        let error = world.import(&voucher).unwrap_err();
        assert!(error.contains("is suspended") && !world.is_given("P-1"), "{error}");
        world.hear(3, AuthorityState::Listed, None, None);
        assert!(world.is_given("P-1"));
        world.hear(4, AuthorityState::Retired, None, None);
        assert!(world.is_given("P-1"), "what a retired maker said before counts on");
        world.hear(5, AuthorityState::Compromised, None, None);
        assert!(!world.is_given("P-1") && world.import(&voucher).is_err());
    }
}
