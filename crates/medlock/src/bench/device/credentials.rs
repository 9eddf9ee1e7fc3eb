//! A device's certificate as the authority issues it, in DER and as C509 of type 2, and re-encoded as type 3: converted,
//! read and verified.

use super::Row;
use crate::Failure;
use medlock_authority::issue::{Form, Issuer, Line, Room, Template, issue};
use medlock_authority::log::Sequencer;
use medlock_authority::registry::{Device, DeviceConfig};
use medlock_authority::signer::{InProcess, KeyLabel, Signer};
use medlock_authority::store::{Purpose, SqlStore, Store};
use medlock_node::provider::{AwsLc, SigningAlgorithm, SigningKey};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::Time;
use medlock_trust::c509::{self, Points};
use medlock_trust::crypto::Crypto;
use medlock_trust::x509::{Certificate, SubjectPublicKeyInfo};
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

/// The issuing authority's name: `CN=CA`.
const NAME: [u8; 15] = [0x30, 13, 0x31, 11, 0x30, 9, 0x06, 3, 0x55, 4, 3, 0x0c, 2, b'C', b'A'];

struct Issued {
    der: Vec<u8>,
    native: Vec<u8>,
    /// The issuer's key, `SubjectPublicKeyInfo`.
    issuer: Vec<u8>,
}

/// Conversions both ways, with points as they are and compressed; then reading and verifying.
pub(super) fn rows() -> Result<Vec<Row>, Failure> {
    let issued = Rc::new(issued()?);
    let mut rows = of("aws-lc", AwsLc, &issued)?;
    rows.extend(of("rustcrypto", RustCrypto, &issued)?);
    Ok(rows)
}

fn issued() -> Result<Issued, Failure> {
    let folder = tempfile::tempdir()?;
    let store: Arc<dyn Store> = Arc::new(SqlStore::sqlite(&folder.path().join("authority.sqlite"))?);
    let signer: Arc<dyn Signer> = Arc::new(InProcess::open(folder.path())?);
    let log = Sequencer::open(store.clone(), signer.clone(), None)?;
    let issuer = signer.generate(KeyLabel::ISSUING, SigningAlgorithm::P256)?;
    let config = DeviceConfig { name: "pump-6".into(), roles: vec!["actuator".into()], ..DeviceConfig::default() };
    let (device, key) = (Device::try_from(config)?, SigningKey::generate());
    let now = Time::from_unix(1_800_000_000);
    let one = |form| {
        let template = Template {
            form,
            purpose: Purpose::Operational,
            organization: "Sankt Anna",
            device: Some(&device),
            authority: None,
            maker_serial: None,
            spki: key.spki(),
            parent: None,
            not_before: now,
            not_after: now.plus_seconds(86_400),
            addresses: None,
            masa: None,
        };
        let issuer = Issuer { name: &NAME, spki: &issuer, key: KeyLabel::ISSUING, algorithm: SigningAlgorithm::P256 };
        issue(&template, &issuer, now, &Line { store: &*store, signer: &*signer, log: &log, room: &Room::default() })
            .map(|(_, encoding)| encoding)
    };
    Ok(Issued { der: one(Form::X509)?, native: one(Form::C509)?, issuer: issuer.clone() })
}

fn of<C: Crypto + Copy + 'static>(provider: &'static str, crypto: C, issued: &Rc<Issued>) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    let mut reencoded = Vec::new();
    for (points, form) in [(Points::AsTheyAre, "point as it is"), (Points::Compressed, "compressed point")] {
        let mut out = [0; 2048];
        reencoded = c509::from_der(&issued.der, points, &mut out, &crypto)?.to_vec();
        let from = Rc::clone(issued);
        rows.push(Row::new(format!("DER to type 3, {form}"), provider, move || {
            black_box(c509::from_der(black_box(&from.der), points, &mut out, &crypto)?);
            Ok(())
        }));
        let from = reencoded.clone();
        rows.push(Row::new(format!("type 3 to DER, {form}"), provider, move || {
            black_box(c509::to_der(black_box(&from), &mut out, &crypto)?);
            Ok(())
        }));
    }
    for (form, encoding) in [("X.509", &issued.der), ("type 2", &issued.native), ("type 3", &reencoded)] {
        let (encoding, issuer) = (encoding.clone(), issued.issuer.clone());
        let what = format!("read and verified: {form}, {} bytes", encoding.len());
        let row = Row::new(what, provider, move || {
            let issuer = SubjectPublicKeyInfo::from_der(&issuer)?;
            let key = issuer.public_key().ok_or("no key")?;
            let verified = Certificate::read(black_box(&encoding))?.verify_with(key, &crypto);
            Ok(verified.map_err(|error| format!("not verified: {error:?}"))?)
        });
        rows.push(row.without_target());
    }
    Ok(rows)
}
