//! `medlock authority make-root | sign-request`: what two persons do where an offline root is kept. There is no hub there:
//! a folder with the encrypted key and the root's certificate. `packaging/ceremony.sh` leads through it.

use super::keys::{certificate, new_file, read};
use crate::output::{self, say};
use crate::{Failure, Outcome};
use clap::Args;
use medlock_authority::keys::{AuthorityCertificate, KeyState, RootKey};
use medlock_authority::root_request::{RootAnswer, RootRequest};
use medlock_authority::signer::{InProcess, KeyLabel, KeyRole};
use medlock_authority::{AuthorityConfig, make_root as new_root, pem};
use medlock_node::clock::Clock;
use medlock_node::files;
use medlock_node::provider::{SigningAlgorithm, sha256};
use medlock_trust::Time;
use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The root's certificate in its folder.
const CERTIFICATE: &str = "root.pem";
/// How the roots in the folder stand: lines `LABEL asked` and `LABEL retired SECONDS [SECONDS]`, since when, and until when
/// what is below it counts.
const STANDING: &str = "standing.txt";

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
    /// Show what it asks, and sign nothing; with --root also whether that root would.
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
    let Some(dir) = &args.root else { return Ok(Outcome::Done) };
    let mut safe = Safe::open(dir)?;
    let roots = safe.roots_for(&asked);
    asked.check_for(&roots)?;
    let (Some(out), false) = (&args.out, args.show) else { return Ok(Outcome::Done) };
    if out.exists() {
        return Err(format!("{} is there already", out.display()).into());
    }
    let answer = RootAnswer::make(&file, &roots, &unlocked(dir)?)?;
    let known: Vec<_> = roots.iter().map(|root| AuthorityCertificate::clone(&root.certificate)).collect();
    if let Some(new) = RootAnswer::read(&answer, &known)?.root {
        keep_new_root(dir, &new.certificate)?;
    }
    safe.keep(&asked, &roots)?;
    new_file(out, &answer)?;
    say!("answer        {}, SHA-256 {}", out.display(), RootRequest::fingerprint(&answer));
    say!("Next: medlock authority accept {} at the hub", out.display());
    Ok(Outcome::Done)
}

/// The roots in a folder: `root.pem`, and `root-2.pem` and so on, which [`keep_new_root`] has put beside it; and how they
/// stand: the newest one certifies, and one that was retired comes back by no request.
struct Safe {
    dir: PathBuf,
    roots: Vec<RootKey>,
    /// Those that have signed something that was asked of them.
    asked: BTreeSet<KeyLabel>,
}

impl Safe {
    fn open(dir: &Path) -> Result<Self, Failure> {
        let mut certificates = vec![AuthorityCertificate::read(KeyLabel::ROOT, certificate(&dir.join(CERTIFICATE))?)?];
        for number in 2..=u16::MAX {
            let Some(label) = KeyLabel::new(KeyRole::Root, number) else { break };
            let path = dir.join(format!("{label}.pem"));
            if !path.exists() {
                break;
            }
            certificates.push(AuthorityCertificate::read(label, certificate(&path)?)?);
        }
        let mut roots: Vec<RootKey> = certificates.into_iter().map(RootKey::former).collect();
        let (path, mut asked) = (dir.join(STANDING), BTreeSet::new());
        let text = files::read(&path)?.unwrap_or_default();
        for line in String::from_utf8_lossy(&text).lines() {
            let damaged = || format!("{}: this line cannot be read: {line}", path.display());
            let mut words = line.split(' ');
            let label: KeyLabel = words.next().unwrap_or_default().parse().map_err(|_| damaged())?;
            let root = roots.iter_mut().find(|root| root.certificate.label == label).ok_or_else(damaged)?;
            let time = |word: &str| word.parse().map(Time::from_unix).map_err(|_| damaged());
            match (words.next(), words.next(), words.next()) {
                (Some("asked"), None, None) => drop(asked.insert(label)),
                (Some("retired"), Some(since), until) => {
                    let certificate = AuthorityCertificate::clone(&root.certificate);
                    *root = RootKey::retired(certificate, time(since)?, until.map(time).transpose()?);
                }
                _ => return Err(damaged().into()),
            }
        }
        Ok(Self { dir: dir.to_owned(), roots, asked })
    }

    /// The roots as they stand for this request. The newest is left out if it was made here and has never been asked: its
    /// answer did not come to the hub, maybe, which asks the one before.
    fn roots_for(&self, request: &RootRequest) -> Vec<RootKey> {
        let mut roots = self.roots.clone();
        if let [.., before, newest] = roots.as_slice()
            && before.certificate.key == request.root
            && !self.asked.contains(&newest.certificate.label)
        {
            roots.pop();
        }
        if let Some(newest) = roots.last_mut() {
            *newest = RootKey::first(AuthorityCertificate::clone(&newest.certificate));
        }
        roots
    }

    /// Keeps how the roots stand when this request is answered.
    fn keep(&mut self, request: &RootRequest, roots: &[RootKey]) -> Result<(), Failure> {
        let retires = request.retires(roots);
        for root in &mut self.roots {
            if root.certificate.key == request.root {
                self.asked.insert(root.certificate.label);
            }
            if let Some(retired) = retires.as_ref().filter(|one| one.certificate.key == root.certificate.key) {
                *root = retired.clone();
            }
        }
        let mut text: String = self.asked.iter().map(|label| format!("{label} asked\n")).collect();
        for root in &self.roots {
            let since = root.until.filter(|_| root.state == KeyState::Retired);
            if let Some(since) = since {
                let until = root.vouches.map_or_else(String::new, |until| format!(" {}", until.unix()));
                text.push_str(&format!("{} retired {}{until}\n", root.certificate.label, since.unix()));
            }
        }
        Ok(files::replace(&self.dir.join(STANDING), text.as_bytes())?)
    }
}

/// Puts the certificate of a root that was made here beside the others: in place of one for the same key, whose answer did
/// not come to the hub.
fn keep_new_root(dir: &Path, root: &AuthorityCertificate) -> Result<(), Failure> {
    let path = dir.join(format!("{}.pem", root.label));
    files::replace(&path, pem("CERTIFICATE", &root.der).as_bytes())?;
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
