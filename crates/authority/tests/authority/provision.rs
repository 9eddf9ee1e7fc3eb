//! Birth credentials in bulk, and which keys and requests get none.

use crate::fixture::{FROM, Site, issued, noon, refused};
use data_encoding::{BASE64, HEXLOWER};
use medlock_authority::admin::{Asker, Reason, Request, Response};
use medlock_authority::enrolment::RefusalKind;
use medlock_authority::issue::Form;
use medlock_authority::provision::{Birth, BirthProfileConfig, MAX_ROWS, Row, RowOutcome};
use medlock_authority::signer::InProcess;
use medlock_authority::{Authority, AuthorityConfig};
use medlock_node::clock::Clock;
use medlock_node::enrol::certificate_request;
use medlock_node::provider::SigningKey;
use medlock_trust::x509::{Certificate, SignedForm, ids};
use medlock_trust::{Role, Roles, Time};
use std::path::Path;
use std::sync::Arc;

/// The P-256 key of RFC 9500 section 2.3.
const RFC_9500: &str = "3059301306072a8648ce3d020106082a8648ce3d03010703420004422548f88fb782ffb5eca3744452c72a1e558fbd6f73be5e\
                        48e93232cc45c5b16c4cd10c4cb8d5b8a17139e94882c8992572993425f41419ab7e90a42a494272";
/// The base point of P-256 (FIPS 186-5): the key whose private half is one.
const ONE: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0\
                   f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

fn maker(dir: &Path) -> Authority {
    let signer = Arc::new(InProcess::open(&dir.join("signer")).unwrap());
    Authority::open(&AuthorityConfig::maker(dir, "Pump Works"), Clock::manual(noon()), signer).unwrap()
}

fn pumps() -> BirthProfileConfig {
    BirthProfileConfig {
        roles: vec!["actuator".into()],
        device_type: Some(21),
        device_types: vec![22],
        serial_prefix: "P-".into(),
        form: None,
    }
}

fn row(serial: &str, material: &[u8]) -> Row {
    Row { serial: Some(serial.into()), material: BASE64.encode(material), ..Row::default() }
}

fn births(outcomes: Vec<RowOutcome>) -> Vec<Birth> {
    let birth = |outcome| match outcome {
        RowOutcome::Issued(birth) => birth,
        other => panic!("{other:?}"),
    };
    outcomes.into_iter().map(birth).collect()
}

fn why(outcome: &RowOutcome) -> (&str, &str) {
    match outcome {
        RowOutcome::Refused { code, reason, .. } => (code, reason),
        other => panic!("{other:?}"),
    }
}

/// Shows REQ-PROV-01, REQ-STORE-130.
#[test]
fn keys_and_requests_become_birth_credentials_in_both_forms_and_nothing_is_issued_twice() {
    let dir = tempfile::tempdir().unwrap();
    let maker = maker(dir.path());
    let keys: Vec<SigningKey> = (0..40).map(|_| SigningKey::generate()).collect();
    let rows: Vec<Row> = keys
        .iter()
        .enumerate()
        .map(|(number, key)| match number % 2 {
            0 => row(&format!("P-{number:04}"), key.spki()),
            _ => row(&format!("P-{number:04}"), &certificate_request(key, None)),
        })
        .collect();
    let mut given = Vec::new();
    for (form, signed, half) in
        [(Some(Form::C509), SignedForm::Native, &rows[..20]), (None, SignedForm::X509, &rows[20..])]
    {
        let profile = BirthProfileConfig { form, ..pumps() };
        let made = births(maker.provision(profile, half).unwrap());
        for (birth, row) in made.iter().zip(half) {
            assert_eq!(Some(&birth.serial), row.serial.as_ref());
            let bytes = BASE64.decode(birth.certificate.as_bytes()).unwrap();
            let read = Certificate::read(&bytes).unwrap();
            assert_eq!((read.form(), read.not_after()), (signed, Time::NEVER));
            assert_eq!(read.subject().only(ids::SERIAL_NUMBER).unwrap().to_string(), birth.serial);
            let mut modules = read.extensions().subject_alt_names().filter_map(|name| name.hardware_module_name());
            assert_eq!(modules.next().unwrap().serial, birth.serial.as_bytes());
            let role = read.extensions().role().unwrap();
            assert_eq!((role.roles, role.device_type.map(|kind| kind.0)), (Roles::of(&[Role::Actuator]), Some(21)));
        }
        given.extend(made);
    }
    let ids: Vec<String> = keys.iter().map(|key| key.key_id().to_string()).collect();
    assert_eq!(given.iter().map(|birth| birth.key.clone()).collect::<Vec<_>>(), ids);
    // All outcomes were lost: the same rows get the same credentials, whatever the form is now.
    let again: Vec<RowOutcome> = given.into_iter().map(RowOutcome::IssuedBefore).collect();
    assert_eq!(maker.provision(pumps(), &rows).unwrap(), again);
    // Its register has no device, and who asks for one is shown what it has all the same.
    let shown = |device: &str| maker.administer(&Asker::program(), Request::Show { device: device.into() });
    let Response::Device(view) = shown("P-0001").unwrap() else { panic!() };
    assert_eq!(
        (view.state.as_str(), view.credentials.len(), view.credentials[0].state.as_str()),
        ("enrolled", 1, "good")
    );
    shown("P-0099").unwrap_err();
    // And so after a restart.
    drop(maker);
    assert_eq!(self::maker(dir.path()).provision(pumps(), &rows).unwrap(), again);
}

/// Shows REQ-PROV-60: of two rows for one serial, or with one key, the earlier one gets the credential, however they are
/// worked on.
#[test]
fn of_two_rows_for_one_device_the_earlier_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let maker = maker(dir.path());
    for round in 0..8 {
        let keys: Vec<SigningKey> = (0..6).map(|_| SigningKey::generate()).collect();
        let serial = |number: usize| format!("P-{round}-{number}");
        let mut rows: Vec<Row> =
            keys.iter().take(3).enumerate().map(|(at, key)| row(&serial(at), key.spki())).collect();
        // Each serial again, with another key; and a key again, with another serial.
        rows.extend(keys.iter().skip(3).enumerate().map(|(at, key)| row(&serial(at), key.spki())));
        rows.push(row(&serial(9), keys[0].spki()));
        rows.push(rows[0].clone());
        let outcomes = maker.provision(pumps(), &rows).unwrap();
        let first = births(outcomes[..3].to_vec());
        assert!(first.iter().zip(&keys).all(|(birth, key)| birth.key == key.key_id().to_string()));
        let codes: Vec<&str> = outcomes[3..7].iter().map(|outcome| why(outcome).0).collect();
        assert_eq!(codes, ["second-key", "second-key", "second-key", "reused-key"]);
        assert_eq!(outcomes[7], RowOutcome::IssuedBefore(first[0].clone()));
    }
}

/// Shows REQ-PROV-03, REQ-PROV-04.
#[test]
fn each_bad_row_is_refused_with_its_reason_and_the_others_get_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let maker = maker(dir.path());
    let mut off_curve = SigningKey::generate().spki().to_vec();
    *off_curve.last_mut().unwrap() ^= 1;
    let key = SigningKey::generate();
    let mut forged = certificate_request(&key, None);
    *forged.last_mut().unwrap() ^= 1;
    let subject = [&[0x30, 15, 0x31, 13, 0x30, 11, 0x06, 3, 0x55, 4, 5, 0x13, 4][..], b"P-99"].concat();
    let named = certificate_request(&key, Some(&subject));
    // 1024 bits, made with `openssl genrsa`.
    let rsa = "30819f300d06092a864886f70d010101050003818d00308189028181009b2f6582b3ac4bdb97902cf9568410061a10fe1f7569c4e58bb4\
               da182f8ad2c7b2ace4512b5b4c8df607f72b580ba59df953ff1e801e2178664178cb0711000b54c6c76d6fda5a1e88b94ff080388d6a98\
               e0cbfeb8b8f50d462f57b2eca5c2cd3e8109c4e63a457b63ed34607ea938a32e6e44bb212ef773e87d8cb9b684e7cf0203010001";
    let hex = |serial: &str, hex: &str| row(serial, &HEXLOWER.decode(hex.as_bytes()).unwrap());
    let table = [
        (hex("P-1", ONE), "weak-key", "make a new key"),
        (row("P-2", &off_curve), "weak-key", "no point of its curve"),
        (hex("P-3", RFC_9500), "known-key", "RFC 9500"),
        (hex("P-4", rsa), "key-type", "make a key of type p256 or p384"),
        (row("P-5", &forged), "bad-signature", "signed with the key it names"),
        (row("P-6", &named), "wrong-name", "\"P-99\""),
        (Row { serial: None, ..row("", key.spki()) }, "wrong-name", "no serial"),
        (row("Q-7", key.spki()), "wrong-name", "begin with \"P-\""),
        (row("P-\u{e9}", key.spki()), "wrong-name", "printable ASCII"),
        (Row { device_type: Some(30), ..row("P-8", key.spki()) }, "wrong-profile", "device_types"),
        (row("P-9", &key.to_pkcs8()), "private-key", "must never leave the device"),
        (row("P-10", b"nothing"), "malformed", "cannot be read"),
    ];
    let good = SigningKey::generate();
    let mut rows: Vec<Row> = table.iter().map(|(row, ..)| row.clone()).collect();
    rows.push(Row { device_type: Some(22), ..row("P-11", good.spki()) });
    let mut outcomes = maker.provision(pumps(), &rows).unwrap();
    births(vec![outcomes.pop().unwrap()]);
    for ((row, code, part), outcome) in table.iter().zip(&outcomes) {
        let (found, reason) = why(outcome);
        assert_eq!(found, *code, "{:?}: {reason}", row.serial);
        assert!(reason.contains(part), "{reason}");
    }
    // One key in two devices, at the same moment: one of them gets it.
    let twins = [row("P-20", key.spki()), row("P-21", key.spki())];
    let outcomes = maker.provision(pumps(), &twins).unwrap();
    let (given, refused): (Vec<_>, Vec<_>) =
        outcomes.iter().partition(|outcome| matches!(outcome, RowOutcome::Issued(_)));
    assert_eq!(given.len(), 1);
    assert_eq!(why(refused[0]).0, "reused-key");
    // Two keys for one serial.
    let outcomes = maker.provision(pumps(), &[row("P-11", SigningKey::generate().spki())]).unwrap();
    assert_eq!(why(&outcomes[0]).0, "second-key");
    // What is no batch.
    assert!(maker.provision(pumps(), &vec![Row::default(); MAX_ROWS + 1]).is_err());
    assert!(maker.provision(BirthProfileConfig::default(), &[]).is_err(), "no roles");
    let error = Site::new().authority.provision(pumps(), &[]).unwrap_err().to_string();
    assert!(error.contains("create-maker"), "{error}");
}

/// Shows REQ-PROV-46, REQ-PROV-47.
#[test]
fn who_comes_with_another_profile_or_board_is_told_and_gets_a_credential_behind_a_revocation() {
    let dir = tempfile::tempdir().unwrap();
    let maker = maker(dir.path());
    let (old, new) = (SigningKey::generate(), SigningKey::generate());
    let one = |profile, key: &SigningKey| maker.provision(profile, &[row("P-1", key.spki())]).unwrap().remove(0);
    let first = births(vec![one(pumps(), &old)]).remove(0);
    assert_eq!(one(pumps(), &old), RowOutcome::IssuedBefore(first));
    let sensors = || BirthProfileConfig { roles: vec!["sensor".into()], ..pumps() };
    let c509 = || BirthProfileConfig { form: Some(Form::C509), ..pumps() };
    for other in [sensors(), BirthProfileConfig { device_type: Some(22), ..pumps() }, c509()] {
        let outcome = one(other, &old);
        assert_eq!(why(&outcome).0, "wrong-profile");
        assert!(why(&outcome).1.contains("device revoke P-1"), "{outcome:?}");
    }
    assert_eq!(why(&one(pumps(), &new)).0, "second-key");
    let revoke = |device: &str, reason| {
        let why = "a new board".to_owned();
        maker.administer(&Asker::program(), Request::Revoke { device: device.to_owned(), reason, why })
    };
    assert!(revoke("P-9", Reason::Superseded).unwrap_err().to_string().contains("P-9"));
    revoke("P-1", Reason::Superseded).unwrap();
    births(vec![one(sensors(), &new)]);
    // One that is gone for good gets none.
    revoke("P-1", Reason::Stolen).unwrap();
    assert!(why(&one(pumps(), &SigningKey::generate())).1.contains("no credential any more"));
}

/// Shows REQ-PROV-03, REQ-PROV-04.
#[test]
fn a_site_refuses_bad_keys_and_names_too_and_says_why() {
    let site = Site::new();
    let taken = SigningKey::generate();
    site.enrol("ct-1", &taken);
    site.register("pump-9");
    site.register("ct-2");
    let code = site.code("ct-2");
    let ask =
        |request: &[u8]| refused(site.authority.enrol_by_code(&code.user(), &code.password(), request, FROM).unwrap());
    let key = SigningKey::generate();
    let asking = |subject: &[u8]| certificate_request(&key, Some(subject));
    let name = [&[0x30, 17, 0x31, 15, 0x30, 13, 0x06, 3, 0x55, 4, 5, 0x13, 6][..], b"pump-9"].concat();
    let (kind, reason) = ask(&asking(&name));
    assert_eq!(kind, RefusalKind::Malformed);
    assert!(reason.contains("\"pump-9\"") && reason.contains("\"ct-2\""), "{reason}");
    assert!(site.pending().is_empty(), "nobody is asked to confirm it");
    // The key of another device: known when the certificate is to be given.
    let request = certificate_request(&taken, None);
    let give = || site.authority.enrol_by_code(&code.user(), &code.password(), &request, FROM).unwrap();
    give();
    site.approve_all();
    let (kind, reason) = refused(give());
    assert_eq!(kind, RefusalKind::Forbidden);
    assert!(reason.contains("ct-1 has this key"), "{reason}");
    // The operator has found a key in a firmware image.
    let found = SigningKey::generate();
    let line = format!("{}  in an image\n", HEXLOWER.encode(&medlock_node::provider::sha256(found.spki())));
    std::fs::write(site.dir.path().join("blocked-keys"), line).unwrap();
    let code = site.code("ct-2");
    let (_, reason) = refused(site.by_code(&code, &found));
    assert!(reason.contains("in an image"), "{reason}");
    // A good one with the right name still gets in.
    let name = [&[0x30, 15, 0x31, 13, 0x30, 11, 0x06, 3, 0x55, 4, 5, 0x13, 4][..], b"ct-2"].concat();
    let request = asking(&name);
    let give = || site.authority.enrol_by_code(&code.user(), &code.password(), &request, FROM).unwrap();
    give();
    site.approve_all();
    issued(give());
}
