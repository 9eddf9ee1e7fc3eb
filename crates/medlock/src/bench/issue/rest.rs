//! Tickets, proofs, and openssl's own authority.

use super::library::{Line, NAME, at_once};
use super::{IssueArgs, Proof};
use crate::Failure;
use crate::bench::peers;
use crate::bench::rate::{Rate, Took, took};
use medlock_authority::signer::InProcess;
use medlock_authority::{Authority, AuthorityConfig, status};
use medlock_node::clock::Clock;
use medlock_node::enrol::certificate_request;
use medlock_node::log::{Checkpoint, Proof as LogProof};
use medlock_node::provider::{AwsLc, SigningKey};
use medlock_trust::log::Hash;
use medlock_trust::status::{Reason, TicketContent};
use medlock_trust::{CredentialId, Time};
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// What `openssl ca` needs to be told.
const CONFIGURATION: &str = "
[ca]
default_ca = site
[site]
database = index.txt
serial = serial
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_days = 1
unique_subject = no
policy = any
[any]
commonName = supplied
";
/// The most requests of one call of openssl: as many as fit a command line.
const OPENSSL: u32 = 2_000;
/// Proofs that are made and checked.
const PROOFS: u32 = 2_000;

/// Proofs from the log that the certificates of before are in.
pub(super) fn proof(line: &Line) -> Result<Proof, Failure> {
    let checkpoint = line.store.checkpoint()?.ok_or("the log has no checkpoint")?;
    let head = Checkpoint::verify(&checkpoint.note, line.log.key(), &[])?.checkpoint.head;
    let places: Vec<u64> = (0..u64::from(PROOFS)).map(|number| number * 7_919 % checkpoint.size).collect();
    let (proofs, making) = took(|| {
        places
            .iter()
            .map(|place| Ok(line.log.inclusion_proof(*place, &checkpoint)?))
            .collect::<Result<Vec<_>, Failure>>()
    })?;
    let entries: Vec<Hash> = places
        .iter()
        .map(|place| {
            let found = line.store.log_entries(*place, 1)?;
            let entry = found.first().ok_or("an entry is missing")?;
            Ok(Hash::of_entry(&[entry.tbs.as_slice()], &AwsLc))
        })
        .collect::<Result<_, Failure>>()?;
    let ((), verifying) = took(|| {
        for (bytes, entry) in proofs.iter().zip(&entries) {
            LogProof::read(bytes)?.verify(*entry, line.log.key(), &[])?;
        }
        Ok(())
    })?;
    let read: Vec<LogProof<'_>> = proofs.iter().map(|bytes| LogProof::read(bytes)).collect::<Result<_, _>>()?;
    let (all, hashing) = took(|| {
        Ok(read
            .iter()
            .zip(&entries)
            .all(|(proof, entry)| head.includes(*entry, proof.index, black_box(&proof.path), &AwsLc)))
    })?;
    if !all {
        return Err("a proof does not hold".into());
    }
    let each = |took: Took| took.seconds * 1e6 / f64::from(PROOFS);
    Ok(Proof {
        entries: checkpoint.size,
        made_microseconds: each(making),
        verified_microseconds: each(verifying),
        path_microseconds: each(hashing),
        target_microseconds: 20.0,
    })
}

/// Status tickets, each with the judge's nonce, through the library.
pub(super) fn tickets(args: &IssueArgs) -> Result<Rate, Failure> {
    let folder = tempfile::tempdir()?;
    let signer = Arc::new(InProcess::open(&folder.path().join("keys"))?);
    let site = Authority::open(&AuthorityConfig::site(folder.path(), "Sankt Anna"), Clock::system(), signer.clone())?;
    let issuing = site.issuing();
    let count = args.certificates * 2;
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        let one = |number: u32| {
            let now = Time::from_unix(1_800_000_000);
            let nonce = u64::from(number).to_be_bytes();
            let content = TicketContent {
                credential: CredentialId::from_bytes([7; 16]),
                state: None,
                reason: Reason::UNSPECIFIED,
                epoch: 1_800_000_000,
                issued: now,
                nonce: Some(&nonce),
            };
            black_box(status::ticket(&*signer, &issuing, &content)?);
            Ok(())
        };
        rounds.push(took(|| at_once(2, count, one))?.1);
    }
    Ok(Rate::new(count, rounds, Some(20_000)))
}

/// The same number of certificates by `openssl ca`, from as many requests.
pub(super) fn openssl(args: &IssueArgs, folder: &Path) -> Result<Rate, Failure> {
    if !peers::installed("openssl") {
        return Err("it is not installed".into());
    }
    std::fs::create_dir(folder)?;
    let write = |name: &str, content: &[u8]| std::fs::write(folder.join(name), content);
    write("index.txt", b"")?;
    write("serial", b"01\n")?;
    write("ca.cnf", CONFIGURATION.as_bytes())?;
    let run = |arguments: &[&str]| -> Result<(), Failure> {
        let output = Command::new("openssl").args(arguments).current_dir(folder).stdin(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).lines().next_back().unwrap_or("it failed").to_owned().into())
    };
    run(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key"])?;
    run(&["req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=CA", "-days", "2", "-out", "ca.pem"])?;
    let request = certificate_request(&SigningKey::generate(), Some(&NAME));
    let pem = medlock_authority::pem("CERTIFICATE REQUEST", &request);
    let count = args.certificates.min(OPENSSL);
    let names: Vec<String> = (0..count).map(|number| format!("r{number}.pem")).collect();
    for name in &names {
        write(name, pem.as_bytes())?;
    }
    let mut arguments = vec!["ca", "-batch", "-notext", "-config", "ca.cnf", "-infiles"];
    arguments.extend(names.iter().map(String::as_str));
    let ((), took) = took(|| run(&arguments))?;
    Ok(Rate::new(count, vec![took], None))
}
