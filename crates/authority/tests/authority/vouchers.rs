//! A maker's vouchers: who gets one, what ordinary software and small devices make of them, and how a device goes on to its
//! next owner, with the maker and without.

use crate::fixture::noon;
use data_encoding::{BASE64, HEXLOWER};
use medlock_authority::admin::{Asker, Reason, Request, Response};
use medlock_authority::directory::DATABASE;
use medlock_authority::provision::{BirthProfileConfig, Row};
use medlock_authority::restoring::Since;
use medlock_authority::signer::InProcess;
use medlock_authority::store::SqlStore;
use medlock_authority::voucher::{VoucherForm, VoucherOrder};
use medlock_authority::{Authority, AuthorityConfig, Error};
use medlock_node::brski::cms::SignedJson;
use medlock_node::brski::{self, VOUCHER_PURPOSE, believe, is_for};
use medlock_node::clock::Clock;
use medlock_node::identity::Identity;
use medlock_node::provider::{AwsLc, SigningKey, sha256};
use medlock_trust::path::AuthorityKind;
use medlock_trust::policy::Setting;
use medlock_trust::time::Interval;
use medlock_trust::voucher::{Expected, Refused, Signed, Transfer, Voucher};
use medlock_trust::x509::{Certificate, ids};
use medlock_trust::{Anchor, Knowledge, Time};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

struct World {
    folder: tempfile::TempDir,
    clock: Clock,
    maker: Authority,
    sites: [Authority; 2],
}

fn open(dir: &Path, config: &AuthorityConfig, clock: &Clock) -> Authority {
    let signer = Arc::new(InProcess::open(&dir.join("signer")).unwrap());
    Authority::open(config, clock.clone(), signer).unwrap()
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(noon());
        let dir = |name: &str| folder.path().join(name);
        let maker = open(&dir("maker"), &AuthorityConfig::maker(dir("maker"), "Pump Works"), &clock);
        let site = |name: &str| open(&dir(name), &AuthorityConfig::site(dir(name), name), &clock);
        let sites = [site("Sankt Anna"), site("Elisabeth")];
        let world = Self { maker, sites, folder, clock };
        world.build("P-1");
        world
    }

    fn build(&self, serial: &str) {
        let profile = BirthProfileConfig { roles: vec!["actuator".into()], ..BirthProfileConfig::default() };
        let material = BASE64.encode(SigningKey::generate().spki());
        let row = Row { serial: Some(serial.into()), material, ..Row::default() };
        self.maker.provision_one(profile, row).unwrap();
    }

    fn order(&self, site: usize, form: VoucherForm) -> VoucherOrder {
        let domain = BASE64.encode(&self.sites[site].root().der);
        VoucherOrder { serial: "P-1".into(), domain, days: Some(30), form, ..VoucherOrder::default() }
    }

    fn domain(&self, site: usize) -> [u8; 32] {
        sha256(&self.sites[site].root().spki)
    }

    /// As the device has it in its flash: the key in the certificate that comes with the voucher, whose chain a registrar
    /// checks.
    fn voucher_key(&self, cose: &[u8]) -> Vec<u8> {
        let mut reader = medlock_trust::cbor::Reader::new(cose);
        reader.tag(18).unwrap();
        reader.array_of(4).unwrap();
        reader.bytes().unwrap();
        reader.map(1).unwrap();
        assert_eq!((reader.uint().unwrap(), reader.array(2).unwrap()), (32, 2));
        let certificate = Certificate::from_der(reader.bytes().unwrap()).unwrap();
        assert!(certificate.subject().to_string().contains("Pump Works vouchers"));
        let issuing = self.maker.issuing();
        let issuing = Certificate::from_der(&issuing.der).unwrap();
        certificate.verify_with(issuing.public_key().unwrap(), &AwsLc).unwrap();
        certificate.spki().to_vec()
    }
}

fn public(spki: &[u8]) -> medlock_trust::x509::SubjectPublicKeyInfo<'_> {
    medlock_trust::x509::SubjectPublicKeyInfo::from_der(spki).unwrap()
}

/// Shows REQ-PROV-06.
#[test]
fn a_voucher_in_cms_is_believed_by_openssl_and_says_what_was_ordered() {
    let world = World::new();
    let at = |name: &str| world.folder.path().join(name);
    let order =
        VoucherOrder { nonce: Some("00112233445566778899".into()), days: None, ..world.order(0, VoucherForm::Cms) };
    std::fs::write(at("voucher"), world.maker.issue_voucher(&order).unwrap()).unwrap();
    std::fs::write(at("root"), medlock_authority::pem("CERTIFICATE", &world.maker.root().der)).unwrap();
    let verify = |root: &str| {
        let mut command = Command::new("openssl");
        command.args(["cms", "-verify", "-inform", "DER", "-purpose", "any", "-in"]).arg(at("voucher"));
        command.arg("-CAfile").arg(at(root)).args(["-attime", &noon().unix().to_string()]);
        command.output().expect("openssl starts")
    };
    let output = verify("root");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let voucher = &json["ietf-voucher:voucher"];
    assert_eq!((&voucher["serial-number"], &voucher["assertion"]), (&"P-1".into(), &"verified".into()));
    assert_eq!(voucher["nonce"], BASE64.encode(&HEXLOWER.decode(b"00112233445566778899").unwrap()));
    assert_eq!(voucher["pinned-domain-cert"], BASE64.encode(&world.sites[0].root().der));
    assert_eq!(voucher["created-on"], noon().to_string());
    assert!(voucher.get("expires-on").is_none());
    // Another maker's root does not do.
    std::fs::write(at("other"), medlock_authority::pem("CERTIFICATE", &world.sites[0].root().der)).unwrap();
    assert!(!verify("other").status.success());
}

/// Shows REQ-PROV-07.
#[test]
fn a_device_believes_its_own_sites_voucher_and_refuses_every_other() {
    let world = World::new();
    world.build("P-2");
    let (domain, other) = (world.domain(0), world.domain(1));
    let bytes = world.maker.issue_voucher(&world.order(0, VoucherForm::Cose)).unwrap();
    let key = world.voucher_key(&bytes);
    let issuing = world.maker.issuing();
    let issuing = Certificate::from_der(&issuing.der).unwrap();
    let issuer = issuing.extensions().subject_key_id().unwrap();
    let right = Expected {
        serial_number: "P-1",
        idevid_issuer: Some(issuer),
        nonce: None,
        domain: &domain,
        time: Interval::exactly(noon()),
        floor: Time::from_unix(0),
    };
    let judge = |bytes: &[u8], expected: &Expected<'_>| {
        let signed = Signed::read(bytes)?;
        signed.verify(public(&key).public_key().unwrap(), &AwsLc)?.judge(expected, &AwsLc)
    };
    assert_eq!(judge(&bytes, &right), Ok(()));
    for (wrong, why) in [
        (Expected { serial_number: "P-2", ..right }, Refused::OtherDevice),
        (Expected { idevid_issuer: Some(&[1; 20]), ..right }, Refused::OtherDevice),
        (Expected { domain: &other, ..right }, Refused::OtherDomain),
        (Expected { time: Interval::exactly(noon().plus_seconds(31 * 86_400)), ..right }, Refused::Expired),
        (Expected { floor: noon().plus_seconds(1), ..right }, Refused::Older),
    ] {
        assert_eq!(judge(&bytes, &wrong), Err(why));
    }
    // With a nonce: it answers that one alone, and neither time nor floor count.
    let asked = VoucherOrder { nonce: Some("aa".repeat(16)), days: None, ..world.order(0, VoucherForm::Cose) };
    let fresh = world.maker.issue_voucher(&asked).unwrap();
    let late =
        Expected { time: Interval::since(noon().plus_seconds(400 * 86_400)), floor: noon().plus_seconds(1), ..right };
    assert_eq!(judge(&fresh, &Expected { nonce: Some(&[0xaa; 16]), ..late }), Ok(()));
    assert_eq!(judge(&fresh, &Expected { nonce: Some(&[0xab; 16]), ..right }), Err(Refused::Nonce));
    assert_eq!(judge(&fresh, &right), Err(Refused::Nonce));
    // Every changed byte of what is signed is refused; and so is another maker's signature.
    let signed_from = bytes.len() - 66 - 200;
    for place in (signed_from..bytes.len()).step_by(7) {
        let mut forged = bytes.clone();
        forged[place] ^= 1;
        assert!(judge(&forged, &right).is_err(), "byte {place}");
    }
    let stranger = World::new();
    let theirs = stranger.maker.issue_voucher(&world.order(0, VoucherForm::Cose)).unwrap();
    assert_eq!(judge(&theirs, &right), Err(Refused::Forged));
}

/// Shows REQ-PROV-08.
#[test]
fn a_device_goes_to_its_next_owner_only_when_the_one_before_let_it_go() {
    let world = World::new();
    let ask = |request| world.maker.administer(&Asker::uid(1000), request);
    let voucher = |site| world.maker.issue_voucher(&world.order(site, VoucherForm::Cose));
    let release = |transfer: Option<&[u8]>, owner: usize, why: &str| {
        ask(Request::ReleaseDevice {
            serial: "P-1".into(),
            transfer: transfer.map(|bytes| BASE64.encode(bytes)),
            owner: transfer.map(|_| medlock_authority::pem("CERTIFICATE", &world.sites[owner].root().der)),
            why: why.into(),
        })
    };
    assert!(release(None, 0, "stolen").is_err(), "it belongs to nobody");
    voucher(0).unwrap();
    voucher(0).unwrap();
    let error = voucher(1).unwrap_err().to_string();
    assert!(error.contains("belongs to another owner"), "{error}");
    // A thief's own transfer does not count, nor one of another device, nor none without a reason.
    let thief = world.sites[1].transfer("P-1", None).unwrap();
    assert!(release(Some(&thief), 1, "").is_err());
    assert!(release(Some(&thief), 0, "").is_err());
    let other = world.sites[0].transfer("P-2", None).unwrap();
    assert!(release(Some(&other), 0, "").is_err());
    assert!(release(None, 0, " ").is_err());
    let own = world.sites[0].transfer("P-1", Some(&HEXLOWER.encode(&world.domain(1)))).unwrap();
    release(Some(&own), 0, "").unwrap();
    world.clock.advance(60);
    voucher(1).unwrap();
    assert!(voucher(0).is_err(), "the former owner is out");
    release(None, 0, "the hospital was closed").unwrap();
    let Response::Owners { events } = ask(Request::Owners { serial: "P-1".into() }).unwrap() else { panic!() };
    let told: Vec<&str> = events.iter().map(|event| event.what.as_str()).collect();
    assert_eq!(told, ["released", "voucher", "released", "voucher", "voucher"]);
    assert_eq!(events[0].why, "the hospital was closed");
    assert!(events[2].why.contains("transferred by its owner"), "{}", events[2].why);
    // What is ordered wrongly.
    let order = world.order(0, VoucherForm::Cose);
    for (bad, part) in [
        (VoucherOrder { serial: "P-9".into(), ..order.clone() }, "P-9"),
        (VoucherOrder { days: None, ..order.clone() }, "1 to 36500 days"),
        (VoucherOrder { nonce: Some("aa".repeat(16)), ..order.clone() }, "answers it"),
        (VoucherOrder { nonce: Some("aa".into()), days: None, ..order.clone() }, "8 to 32 bytes"),
        (VoucherOrder { domain: "aa".into(), ..order.clone() }, "domain"),
        (VoucherOrder { domain: "aa".repeat(32), form: VoucherForm::Cms, ..order }, "certificate"),
    ] {
        let error = world.maker.issue_voucher(&bad).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

/// Shows REQ-PROV-35: a nonce makes no voucher newer than what the device has believed for another owner.
#[test]
fn a_device_with_papers_lets_no_former_owner_back_by_a_nonce() {
    let world = World::new();
    let key = Arc::new(SigningKey::generate());
    let profile = BirthProfileConfig { roles: vec!["actuator".into()], ..BirthProfileConfig::default() };
    let row = Row { serial: Some("P-2".into()), material: BASE64.encode(key.spki()), ..Row::default() };
    let chain = world.maker.provision_one(profile, row).unwrap().to_vec();
    let file = world.folder.path().join("birth.pem");
    let root = world.maker.root().der.clone();
    let certificates = chain.iter().chain([&root]).map(|der| medlock_authority::pem("CERTIFICATE", der));
    let key = medlock_authority::pem("PRIVATE KEY", &key.to_pkcs8());
    std::fs::write(&file, key + &certificates.collect::<String>()).unwrap();
    let birth = brski::Birth::open(&file).unwrap();
    let domain = |site: usize| BASE64.encode(&world.sites[site].root().der);
    let voucher = |site, nonce: Option<u8>| {
        let order = VoucherOrder {
            serial: "P-2".into(),
            domain: domain(site),
            nonce: nonce.map(|byte| HEXLOWER.encode(&[byte; 16])),
            days: nonce.is_none().then_some(3_000),
            ..VoucherOrder::default()
        };
        world.maker.issue_voucher(&order).unwrap()
    };
    let believes = |site: usize, voucher: &[u8], nonce: Option<u8>| {
        let registrar = world.sites[site].hub_identity().current().unwrap();
        let nonce = nonce.map(|byte| [byte; 16]);
        let known = Knowledge::nothing(Interval::since(noon()), Setting::Hospital);
        birth
            .believe(voucher, nonce.as_ref().map(<[u8; 16]>::as_slice), registrar.chain(), &known)
            .map_err(|why| why.to_string())
    };
    // Two papers and an answer for the first owner, then, in the same second, an answer for the second one.
    let old = voucher(0, None);
    world.clock.advance(100);
    let first = voucher(0, Some(1));
    world.maker.release("P-2", None, "sold").unwrap();
    let same_second = voucher(1, Some(2));
    believes(0, &first, Some(1)).unwrap();
    assert!(believes(1, &same_second, Some(2)).unwrap_err().contains("newer word"));
    world.clock.advance(1);
    let second = voucher(1, Some(3));
    believes(1, &second, Some(3)).unwrap();
    // The former owner's, with the nonce that was asked with and without one.
    assert!(believes(0, &first, Some(1)).unwrap_err().contains("newer word"));
    assert!(believes(0, &old, None).unwrap_err().contains("newer word"));
    // An older word of the owner of today counts, and takes back nothing.
    believes(1, &same_second, Some(2)).unwrap();
    world.clock.advance(-1);
    world.maker.release("P-2", None, "back").unwrap();
    let between = voucher(0, Some(4));
    assert!(believes(0, &between, Some(4)).unwrap_err().contains("newer word"));
}

/// Shows REQ-PROV-34.
#[test]
fn only_the_site_a_transfer_names_gets_the_next_voucher_unless_the_maker_says_why_not() {
    let world = World::new();
    let voucher = |site| world.maker.issue_voucher(&world.order(site, VoucherForm::Cose));
    let root = |site: usize| world.sites[site].root().der.clone();
    voucher(0).unwrap();
    let transfer = world.sites[0].transfer("P-1", Some(&HEXLOWER.encode(&world.domain(1)))).unwrap();
    world.maker.release("P-1", Some((&transfer, &root(0))), "").unwrap();
    let error = voucher(0).unwrap_err().to_string();
    assert!(error.contains("transferred by its last owner"), "{error}");
    voucher(1).unwrap();
    // The owner of today transfers it to somebody who is gone.
    world.clock.advance(60);
    let transfer = world.sites[1].transfer("P-1", Some(&"ab".repeat(32))).unwrap();
    world.maker.release("P-1", Some((&transfer, &root(1))), "").unwrap();
    assert!(voucher(0).is_err() && voucher(1).is_err());
    assert!(world.maker.release("P-1", None, " ").is_err());
    world.maker.release("P-1", None, "the buyer closed before it had the device").unwrap();
    assert!(world.maker.release("P-1", None, "again").is_err(), "nothing is promised any more");
    voucher(0).unwrap();
    // To nobody in particular: the maker decides.
    world.clock.advance(60);
    let transfer = world.sites[0].transfer("P-1", None).unwrap();
    world.maker.release("P-1", Some((&transfer, &root(0))), "").unwrap();
    voucher(1).unwrap();
}

/// Shows REQ-PROV-65: a voucher that the owner asks for meanwhile, as at a reset, takes nothing from its transfer; the owner
/// having let the device go and got it back does.
#[test]
fn a_transfer_counts_for_as_long_as_its_owner_has_the_device() {
    let world = World::new();
    let voucher = |site| world.maker.issue_voucher(&world.order(site, VoucherForm::Cose)).map(drop);
    let release =
        |transfer: &[u8], site: usize| world.maker.release("P-1", Some((transfer, &world.sites[site].root().der)), "");
    let to = |site: usize| Some(HEXLOWER.encode(&world.domain(site)));
    voucher(0).unwrap();
    world.clock.advance(60);
    let old = world.sites[0].transfer("P-1", to(1).as_deref()).unwrap();
    world.clock.advance(60);
    voucher(0).unwrap();
    world.clock.advance(60);
    release(&old, 0).unwrap();
    voucher(1).unwrap();
    world.clock.advance(60);
    release(&world.sites[1].transfer("P-1", to(0).as_deref()).unwrap(), 1).unwrap();
    voucher(0).unwrap();
    world.clock.advance(60);
    let error = release(&old, 0).unwrap_err().to_string();
    assert!(error.contains("older than what made the device this owner's"), "{error}");
    voucher(0).unwrap();
    assert!(release(&old, 0).is_err());
    release(&world.sites[0].transfer("P-1", to(1).as_deref()).unwrap(), 0).unwrap();
}

/// Shows REQ-PROV-63: what a thief of the issuing key can sign a voucher below, the maker itself uses no more.
#[test]
fn behind_a_stolen_issuing_key_vouchers_are_signed_below_the_new_one() {
    let world = World::new();
    let order = |site, nonce: &str| VoucherOrder {
        nonce: Some(nonce.repeat(16)),
        days: None,
        ..world.order(site, VoucherForm::Cms)
    };
    let above = |voucher: &[u8]| {
        let signed = SignedJson::read(voucher).unwrap();
        let [own, above, ..] = &signed.chain[..] else { panic!("a short chain") };
        let issuer = Certificate::from_der(above).unwrap();
        Certificate::from_der(own).unwrap().verify_with(issuer.public_key().unwrap(), &AwsLc).unwrap();
        above.to_vec()
    };
    let stolen = world.maker.issuing();
    assert_eq!(above(&world.maker.issue_voucher(&order(0, "aa")).unwrap()), stolen.der);
    let change =
        Request::ChangeKeys { change: "compromised issuing".parse().unwrap(), anyway: false, why: String::new() };
    world.maker.administer(&Asker::uid(1000), change).unwrap();
    let fresh = world.maker.issue_voucher(&order(0, "bb")).unwrap();
    assert_eq!(above(&fresh), world.maker.issuing().der);
    assert_ne!(above(&fresh), stolen.der);
    world.voucher_key(&world.maker.issue_voucher(&world.order(0, VoucherForm::Cose)).unwrap());
    // A former key is none of a thief: what it made goes on.
    let change = Request::ChangeKeys { change: "issuing".parse().unwrap(), anyway: false, why: String::new() };
    let former = world.maker.issuing();
    world.maker.administer(&Asker::uid(1000), change).unwrap();
    assert_eq!(above(&world.maker.issue_voucher(&order(0, "cc")).unwrap()), former.der);
}

/// Shows REQ-PROV-09.
#[test]
fn where_the_maker_is_gone_a_transfer_by_the_owner_makes_the_device_the_next_owners() {
    let world = World::new();
    let [owner, next] = [world.domain(0), world.domain(1)];
    let transfer = world.sites[0].transfer("P-1", Some(&HEXLOWER.encode(&next))).unwrap();
    let root = world.sites[0].root();
    let root = Certificate::from_der(&root.der).unwrap();
    let read = Transfer::verify(&transfer, root.public_key().unwrap(), root.spki(), &AwsLc).unwrap();
    let right = Expected {
        serial_number: "P-1",
        idevid_issuer: None,
        nonce: None,
        domain: &next,
        time: Interval::exactly(noon()),
        floor: noon(),
    };
    assert_eq!(read.judge(&owner, &right), Ok(()));
    assert_eq!(read.judge(&next, &right), Err(Refused::OtherDomain), "it is not of the one who owns the device");
    assert_eq!(read.judge(&owner, &Expected { domain: &owner, ..right }), Err(Refused::OtherDomain));
    assert_eq!(read.judge(&owner, &Expected { serial_number: "P-2", ..right }), Err(Refused::OtherDevice));
    assert_eq!(read.judge(&owner, &Expected { floor: noon().plus_seconds(1), ..right }), Err(Refused::Older));
    let theirs = world.sites[1].root();
    let theirs = Certificate::from_der(&theirs.der).unwrap();
    let forged = Transfer::verify(&transfer, theirs.public_key().unwrap(), theirs.spki(), &AwsLc);
    assert_eq!(forged, Err(Refused::Forged));
    // To the maker's decision: no device takes it for a transfer to anybody.
    let free = world.sites[0].transfer("P-1", None).unwrap();
    let read = Transfer::verify(&free, root.public_key().unwrap(), root.spki(), &AwsLc).unwrap();
    assert_eq!(read.judge(&owner, &right), Err(Refused::OtherDomain));
    assert!(Voucher::read(&transfer).is_err(), "one is not taken for the other");
}

/// Shows REQ-PROV-20.
#[test]
fn only_a_key_for_vouchers_signs_them_and_its_purpose_is_critical() {
    let world = World::new();
    let cms = world.maker.issue_voucher(&world.order(0, VoucherForm::Cms)).unwrap();
    let signed = SignedJson::read(&cms).unwrap();
    let own = Certificate::from_der(signed.chain[0]).unwrap();
    assert!(own.extensions().find(ids::EXTENDED_KEY_USAGE).unwrap().critical && is_for(&own, VOUCHER_PURPOSE));
    let anchor_of = |der: &'static [u8]| {
        let root = Certificate::from_der(der).unwrap();
        Anchor::for_everything(&root, AuthorityKind::Maker, &AwsLc).unwrap()
    };
    let kept = |authority: &Authority| -> &'static [u8] { Box::leak(authority.root().der.clone().into_boxed_slice()) };
    let (maker, stranger) = (anchor_of(kept(&world.maker)), anchor_of(kept(&world.sites[1])));
    let known = Knowledge::nothing(Interval::exactly(noon()), Setting::Hospital);
    let (voucher, by) = believe(&signed, &[maker], &known).unwrap();
    assert_eq!((voucher.serial_number.as_str(), by), ("P-1", world.maker.root().key));
    assert!(matches!(believe(&signed, &[stranger], &known), Err(brski::Refused::Signer(_))));
    // A device signs the same words with its birth credential, whose chain is right.
    let key = Arc::new(SigningKey::generate());
    let profile = BirthProfileConfig { roles: vec!["actuator".into()], ..BirthProfileConfig::default() };
    let row = Row { serial: Some("P-2".into()), material: BASE64.encode(key.spki()), ..Row::default() };
    let chain = world.maker.provision_one(profile, row).unwrap();
    let device = Identity::new(key, chain.into_iter().map(Into::into).collect()).unwrap();
    let forged = brski::sign(&device, signed.json, noon()).unwrap();
    let read = SignedJson::read(&forged).unwrap();
    assert_eq!(believe(&read, &[maker], &known), Err(brski::Refused::Purpose));
    // No changed byte says something else: most are refused, and what nobody signs of the envelope changes nothing.
    for place in (0..cms.len()).step_by(11) {
        let mut changed = cms.clone();
        changed[place] ^= 1;
        let believed = SignedJson::read(&changed).and_then(|read| believe(&read, &[maker], &known));
        assert!(believed.is_err() || believed == Ok((voucher.clone(), by)), "byte {place}");
    }
}

/// Shows REQ-STORE-92, REQ-STORE-93: a maker that was brought back does not know what it sold, passed on and revoked since. It gives no
/// voucher, and says of no device that it is in good standing, before a person has entered that and said so.
#[test]
fn a_maker_that_was_brought_back_says_nothing_of_its_devices_before_a_person_has() {
    let world = World::new();
    world.build("P-2");
    let backup = world.folder.path().join("backup.sqlite");
    SqlStore::copy(&world.folder.path().join("maker").join(DATABASE), &backup).unwrap();
    let [own, other] = [0, 1].map(|site| world.order(site, VoucherForm::Cms));
    world.maker.issue_voucher(&own).unwrap();
    let ask = |maker: &Authority, request| maker.administer(&Asker::uid(1000), request);
    let revoke = || Request::Revoke { device: "P-2".into(), reason: Reason::Stolen, why: String::new() };
    ask(&world.maker, revoke()).unwrap();
    let revoked = world.maker.crl().unwrap();
    let World { folder, clock, maker, .. } = world;
    let (dir, name) = (folder.path().join("maker"), "Pump Works");
    drop(maker);
    for since in [Since { owners_unchanged: true, ..Since::default() }, Since { nothing: true, ..Since::default() }] {
        Authority::begin_restore(&dir, &backup).unwrap().finish(since).unwrap();
        Authority::start_log_anew(&AuthorityConfig::maker(&dir, name), &clock).unwrap();
        let maker = open(&dir, &AuthorityConfig::maker(&dir, name), &clock);
        assert!(maker.crl().is_ok(), "{since:?}");
        assert!(matches!(ask(&maker, Request::ConfirmRestore), Err(Error::Conflict(_))), "{since:?}");
    }
    Authority::begin_restore(&dir, &backup).unwrap().finish(Since::default()).unwrap();
    Authority::start_log_anew(&AuthorityConfig::maker(&dir, name), &clock).unwrap();
    let maker = open(&dir, &AuthorityConfig::maker(&dir, name), &clock);
    let Response::Alarms { alarms } = ask(&maker, Request::Alarms).unwrap() else { panic!("no alarms") };
    assert!(alarms.iter().any(|alarm| alarm.kind == "maker-restored" && alarm.text.contains("confirm-restore")));
    for refused in [maker.issue_voucher(&other).map(drop), maker.issue_voucher(&own).map(drop), maker.crl().map(drop)] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("confirm-restore"), "{refused}");
    }
    // Who knows whose it is says so, of one device at a time.
    maker.issue_voucher(&VoucherOrder { owner_known: true, ..own }).unwrap();
    ask(&maker, revoke()).unwrap();
    ask(&maker, Request::ConfirmRestore).unwrap();
    let refused = maker.issue_voucher(&other).unwrap_err().to_string();
    assert!(refused.contains("belongs to another owner"), "{refused}");
    assert_eq!(entries(&maker.crl().unwrap()), entries(&revoked));
}

/// The serial numbers that a revocation list has, as openssl reads them.
fn entries(crl: &[u8]) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), crl).unwrap();
    let read =
        Command::new("openssl").args(["crl", "-inform", "DER", "-noout", "-text", "-in"]).arg(file.path()).output();
    let text = String::from_utf8(read.unwrap().stdout).unwrap();
    let serials: Vec<_> = text.lines().filter(|line| line.contains("Serial Number:")).map(str::to_owned).collect();
    assert_eq!(serials.len(), 1, "{text}");
    serials
}
