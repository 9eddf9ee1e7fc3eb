//! `medlock authority make-root | sign-request`: what two persons do where an offline root is kept. There is no hub there:
//! a folder with the encrypted key and the root's certificate. `packaging/ceremony.sh` leads through it.

use super::keys::{certificate, new_file, read};
use crate::output::{self, say};
use crate::{Failure, Outcome};
use clap::Args;
use medlock_authority::keys::AuthorityCertificate;
use medlock_authority::root_request::{RootAnswer, RootRequest};
use medlock_authority::signer::{InProcess, KeyLabel, KeyRole};
use medlock_authority::{AuthorityConfig, make_root as new_root, pem};
use medlock_node::clock::Clock;
use medlock_node::provider::{SigningAlgorithm, sha256};
use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The root's certificate in its folder.
const CERTIFICATE: &str = "root.pem";

/// `medlock authority make-root`.
#[derive(Debug, Args)]
pub(crate) struct MakeRootArgs {
    /// A new folder for the key and the certificate, on a medium that goes into a safe.
    dir: PathBuf,
    /// The organisation's name, as it stands in every certificate. It cannot be changed later.
    #[arg(long, value_name = "NAME")]
    organization: String,
    /// Of which algorithm: p256, p384, ed25519, ml-dsa-44, ml-dsa-65.
    #[arg(long, default_value = "p256", value_parser = algorithm)]
    algorithm: SigningAlgorithm,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// `medlock authority sign-request`.
#[derive(Debug, Args)]
pub(crate) struct SignRequestArgs {
    /// What an authority has written with `request` or `create --offline-root`.
    request: PathBuf,
    /// The folder that `make-root` has made.
    #[arg(long, value_name = "DIR", required_unless_present = "show")]
    root: Option<PathBuf>,
    /// Where to write the answer.
    #[arg(long, value_name = "FILE", required_unless_present = "show")]
    out: Option<PathBuf>,
    /// Show what it asks, and sign nothing.
    #[arg(long)]
    show: bool,
}

fn algorithm(name: &str) -> Result<SigningAlgorithm, String> {
    let found = SigningAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name);
    found.ok_or_else(|| "give p256, p384, ed25519, ml-dsa-44 or ml-dsa-65".to_owned())
}

/// Makes a root.
///
/// # Errors
/// When there is one in the folder already.
pub(crate) fn make_root(args: &MakeRootArgs) -> Result<Outcome, Failure> {
    let path = args.dir.join(CERTIFICATE);
    if path.exists() {
        return Err(format!("{} is there already: a root is never made anew", path.display()).into());
    }
    let signer = unlocked(&args.dir)?;
    let config = AuthorityConfig { algorithm: args.algorithm, ..AuthorityConfig::site(&args.dir, &args.organization) };
    let der = new_root(&config, Clock::system().now(), &signer)?;
    new_file(&path, pem("CERTIFICATE", &der).as_bytes())?;
    let fingerprint = data_encoding::HEXLOWER.encode(&sha256(&der));
    if args.json {
        output::json(&serde_json::json!({ "certificate": path, "sha256": fingerprint }))?;
    } else {
        say!("{} is the root's certificate, SHA-256 {fingerprint}", path.display());
        say!("Next: bring it to the hub, and `medlock authority request issuing --root {CERTIFICATE} …` there");
    }
    Ok(Outcome::Done)
}

/// Signs a request.
///
/// # Errors
/// When it asks another root, or the passphrase does not open the key.
pub(crate) fn sign_request(args: &SignRequestArgs) -> Result<Outcome, Failure> {
    let file = read(&args.request)?;
    let asked = RootRequest::read(&file)?;
    say!("{asked}SHA-256       {}", RootRequest::fingerprint(&file));
    let (Some(dir), Some(out), false) = (&args.root, &args.out, args.show) else { return Ok(Outcome::Done) };
    if out.exists() {
        return Err(format!("{} is there already", out.display()).into());
    }
    let known = roots(dir)?;
    let answer = RootAnswer::make(&file, &known, &unlocked(dir)?)?;
    if let Some(new) = RootAnswer::read(&answer, &known)?.root {
        keep_new_root(dir, &new.certificate)?;
    }
    new_file(out, &answer)?;
    say!("answer        {}, SHA-256 {}", out.display(), RootRequest::fingerprint(&answer));
    say!("Next: medlock authority accept {} at the hub", out.display());
    Ok(Outcome::Done)
}

/// The roots in this folder: `root.pem`, and `root-2.pem` and so on, which [`keep_new_root`] has put beside it.
fn roots(dir: &Path) -> Result<Vec<AuthorityCertificate>, Failure> {
    let mut roots = vec![AuthorityCertificate::read(KeyLabel::ROOT, certificate(&dir.join(CERTIFICATE))?)?];
    for number in 2..=u16::MAX {
        let Some(label) = KeyLabel::new(KeyRole::Root, number) else { break };
        let path = dir.join(format!("{label}.pem"));
        if !path.exists() {
            break;
        }
        roots.push(AuthorityCertificate::read(label, certificate(&path)?)?);
    }
    Ok(roots)
}

/// Puts the certificate of a root that was made here beside the others.
fn keep_new_root(dir: &Path, root: &AuthorityCertificate) -> Result<(), Failure> {
    let path = dir.join(format!("{}.pem", root.label));
    new_file(&path, pem("CERTIFICATE", &root.der).as_bytes())?;
    let fingerprint = data_encoding::HEXLOWER.encode(&sha256(&root.der));
    say!("{} is the certificate of the new root, SHA-256 {fingerprint}", path.display());
    Ok(())
}

/// The keys in this folder, with the two halves of their passphrase from standard input, a line each.
fn unlocked(dir: &Path) -> Result<InProcess, Failure> {
    let input = std::io::stdin();
    if input.is_terminal() {
        return Err(
            "give the two halves of the passphrase on standard input, a line each; packaging/ceremony.sh asks for \
                    them without showing them"
                .into(),
        );
    }
    let mut input = input.lock();
    let mut half = || -> Result<Zeroizing<String>, Failure> {
        let mut line = Zeroizing::new(String::with_capacity(256));
        input.read_line(&mut line)?;
        Ok(line)
    };
    let (first, second) = (half()?, half()?);
    Ok(InProcess::open_with_halves(&dir.join("keys"), [&first, &second])?)
}
