//! `medlock log …`: what an authority has issued, provably.

use super::HubArgs;
use crate::admin::{self, ask};
use crate::folder::authority_in_force;
use crate::output::{self, Table, hex, say, say_raw};
use crate::{Failure, Outcome, inspect, supervise};
use clap::{Args, Subcommand};
use medlock_authority::Authority;
use medlock_authority::admin::{Request, Response};
use medlock_authority::log::Entry;
use medlock_node::accept::{self, Limits};
use medlock_node::clock::Clock;
use medlock_node::log::{Cosigned, FollowError, Follower, Place, Proof, VerifierKey, Witness, follow, witness};
use medlock_node::provider::{AwsLc, SigningAlgorithm, SigningKey};
use medlock_node::{files, stop};
use medlock_trust::Time;
use medlock_trust::log::Hash;
use medlock_trust::x509::Certificate;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// `medlock log …`.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Show the state of a hub's log, and the key by which others verify it.
    Show {
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Write the proof that a credential is in the log: a file that belongs beside it and is verified offline.
    Proof {
        /// The credential: its identifier, or a file with the certificate.
        credential: String,
        /// Write to this file instead of standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Verify a whole log, or, with --proof, that one credential is in it. Exit code 0 if so.
    Verify(VerifyLogArgs),
    /// Follow a log, and report what was issued for the names one watches. Exit code 1 if the log is not honest.
    Monitor(MonitorArgs),
    /// After entries were lost for good: begin the log of a stopped hub anew, with a new name and all records there are.
    StartAnew {
        /// Yes: certificates and revocations since the backup are lost.
        #[arg(long, required = true)]
        accept_loss: bool,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Witness logs (C2SP tlog-witness): cosign each checkpoint that continues the one before, and no other. Runs until it is
    /// stopped; a witness is somebody else than the authority.
    Witness(WitnessArgs),
}

/// Whose signatures count.
#[derive(Debug, Args)]
pub(crate) struct Believed {
    /// The log's key (`medlock log show` prints it), or a file with it. Get it from the organisation, not from the log.
    #[arg(long, value_name = "KEY|FILE")]
    key: String,
    /// The key of a witness that must have cosigned, or a file with it. Can be given several times: all must have.
    #[arg(long = "witness", value_name = "KEY|FILE")]
    witnesses: Vec<String>,
}

/// `medlock log verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyLogArgs {
    /// Where the log is: a folder, or http://HOST:PORT/PATH. Without --proof: every entry and every tile is read.
    #[arg(id = "place", value_name = "LOG", required_unless_present = "proof")]
    log: Option<String>,
    #[command(flatten)]
    believed: Believed,
    /// Verify this proof instead, offline.
    #[arg(long, value_name = "FILE", requires = "credential", conflicts_with = "place")]
    proof: Option<PathBuf>,
    /// The certificate the proof is about: X.509 or C509, PEM or not.
    #[arg(long, value_name = "FILE", requires = "proof")]
    credential: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// `medlock log monitor`.
#[derive(Debug, Args)]
pub(crate) struct MonitorArgs {
    /// Where the log is: a folder, or http://HOST:PORT/PATH.
    #[arg(id = "place", value_name = "LOG")]
    log: String,
    #[command(flatten)]
    believed: Believed,
    /// Report entries with this name (device, subject, DNS name, address), key or serial number; `*` stands for anything.
    /// Can be given several times. Without one, every entry is reported.
    #[arg(long, value_name = "NAME")]
    watch: Vec<String>,
    /// What was seen is kept here, so that the next run goes on from there and sees whether the log still has it.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// Go on for ever, and look so often, in seconds. Without it: look once.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
}

/// `medlock log witness`.
#[derive(Debug, Args)]
pub(crate) struct WitnessArgs {
    /// Where the witness keeps its key (made at the first start) and what it has cosigned.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The witness's name, as it stands in cosignatures: without spaces, such as `witness.example.org`.
    #[arg(long)]
    name: String,
    /// The key of a log to be witnessed, or a file with it. Can be given several times.
    #[arg(long = "log-key", value_name = "KEY|FILE", required = true)]
    logs: Vec<String>,
    /// Where to listen (plain HTTP: checkpoints and cosignatures are signed).
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8090")]
    listen: std::net::SocketAddr,
    /// Say where it listens as JSON.
    #[arg(long)]
    json: bool,
    /// End when standard input ends.
    #[arg(long, hide = true)]
    with_parent: bool,
}

/// Does what was asked.
///
/// # Errors
/// When the hub cannot be reached or refuses, or a file cannot be read.
pub(crate) fn run(command: LogCommand) -> Result<Outcome, Failure> {
    match command {
        LogCommand::Show { hub } => show(&hub),
        LogCommand::Proof { credential, out, hub } => proof(&credential, out.as_deref(), &hub),
        LogCommand::Verify(args) => match (&args.proof, &args.credential, &args.log) {
            (Some(proof), Some(credential), _) => verify_proof(&args, proof, credential),
            (_, _, Some(log)) => verify_log(&args, log),
            _ => Err("give a log, or --proof and --credential".into()),
        },
        LogCommand::Monitor(args) => monitor(&args),
        LogCommand::StartAnew { accept_loss: _, hub } => start_anew(&hub),
        LogCommand::Witness(args) => witness(args),
    }
}

fn witness(args: WitnessArgs) -> Result<Outcome, Failure> {
    files::private_directory(&args.dir)?;
    let path = args.dir.join("witness.key");
    let key = match files::read(&path)? {
        Some(bytes) => SigningKey::from_pkcs8(&bytes)?,
        None => {
            let made = SigningKey::generate_with(SigningAlgorithm::Ed25519);
            files::replace(&path, &made.to_pkcs8())?;
            made
        }
    };
    let logs = args.logs.iter().map(|key| verifier_key(key)).collect::<Result<_, _>>()?;
    let witness = Arc::new(Witness::open(&args.name, key, logs, args.dir, Clock::system())?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime
        .block_on(async {
            let listener = TcpListener::bind(args.listen).await;
            let listener = listener.map_err(|error| format!("{} cannot be opened: {error}", args.listen))?;
            let address = listener.local_addr()?;
            if args.json {
                output::json(
                    &serde_json::json!({ "event": "up", "listen": address, "key": witness.key().to_string() }),
                )?;
            } else {
                say!("{} cosigns at http://{address}", witness.key().name());
                say!("  key  {}", witness.key());
            }
            let (stopper, stop) = stop::channel();
            let serving =
                tokio::spawn(accept::serve(listener, None, Limits::default(), witness::router(witness), stop));
            supervise::asked_to_stop_or_gone(args.with_parent).await?;
            stopper.stop();
            Ok(serving.await?)
        })
        .map(|()| Outcome::Done)
}

fn start_anew(hub: &HubArgs) -> Result<Outcome, Failure> {
    let (old, new) = Authority::start_log_anew(&authority_in_force(&hub.dir)?, &Clock::system())?;
    if hub.json {
        output::json(&serde_json::json!({ "before": old, "origin": new }))?;
    } else {
        say!(
            "The log {old} goes on as {new}. Start the hub, give the log's new key (`medlock log show`) to monitors and witnesses,"
        );
        say!("and revoke again what was revoked since the backup.");
    }
    Ok(Outcome::Done)
}

fn show(hub: &HubArgs) -> Result<Outcome, Failure> {
    match ask(&hub.dir, Request::Log)? {
        answer @ Response::Log(_) if hub.json => output::json(&answer)?,
        Response::Log(log) => {
            say!("origin   {}", log.origin);
            say!("key      {}", log.key);
            say!("entries  {}", log.size);
            if let Some(checkpoint) = log.checkpoint {
                say!("\n{}", checkpoint.trim_end());
            }
        }
        other => return Err(admin::unexpected(&other)),
    }
    Ok(Outcome::Done)
}

fn proof(credential: &str, out: Option<&Path>, hub: &HubArgs) -> Result<Outcome, Failure> {
    let file = Path::new(credential);
    let credential = if file.exists() {
        hex(Certificate::read(&inspect::first_certificate(file)?)?.credential_id(&AwsLc).as_bytes())
    } else if credential.len() == 32 && credential.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        credential.to_owned()
    } else {
        return Err(
            format!("{credential}: there is no such file, and it is no credential's identifier (32 digits)").into()
        );
    };
    match ask(&hub.dir, Request::Proof { credential })? {
        answer @ Response::Proof { .. } if hub.json => output::json(&answer)?,
        Response::Proof { proof } => match out {
            Some(path) => {
                std::fs::write(path, proof)
                    .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
                say!("the proof is in {}", path.display());
            }
            None => say_raw!("{proof}"),
        },
        other => return Err(admin::unexpected(&other)),
    }
    Ok(Outcome::Done)
}

fn verify_proof(args: &VerifyLogArgs, proof: &Path, credential: &Path) -> Result<Outcome, Failure> {
    let (key, witnesses) = args.believed.read()?;
    let bytes = std::fs::read(proof).map_err(|error| format!("{} cannot be read: {error}", proof.display()))?;
    let certificate = inspect::first_certificate(credential)?;
    let entry = Hash::of_entry(&[Certificate::read(&certificate)?.tbs()], &AwsLc);
    let read = Proof::read(&bytes).map_err(|error| format!("{}: {error}", proof.display()))?;
    let cosigned = read.verify(entry, &key, &witnesses).map_err(|error| format!("{}: {error}", proof.display()))?;
    all_witnessed(&cosigned, &witnesses)?;
    if args.json {
        output::json(&serde_json::json!({
            "verified": true, "origin": cosigned.checkpoint.origin, "index": read.index,
            "size": cosigned.checkpoint.head.size, "witnesses": witnessed(&cosigned),
        }))?;
    } else {
        say!("{} is entry {} of {}", credential.display(), read.index, cosigned.checkpoint.origin);
        tell_witnesses(&cosigned);
    }
    Ok(Outcome::Done)
}

fn verify_log(args: &VerifyLogArgs, log: &str) -> Result<Outcome, Failure> {
    let (key, witnesses) = args.believed.read()?;
    let place = Place::parse(log)?;
    let mut follower = Follower::new(key);
    let (mut unreadable, mut authorities) = (Vec::new(), 0_u64);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cosigned =
        runtime.block_on(follower.advance(&place, &witnesses, true, |number, entry| match Entry::read(entry) {
            Ok(read) => authorities += u64::from(read.authority),
            Err(why) => unreadable.push(format!("entry {number} cannot be read: {why}")),
        }));
    let cosigned = cosigned.map_err(|error| format!("{log}: {error}"))?;
    all_witnessed(&cosigned, &witnesses)?;
    if let Some(first) = unreadable.first().map(|first| output::harmless(first)) {
        return Err(format!("{log}: {} entries are no certificates; the first: {first}", unreadable.len()).into());
    }
    let head = cosigned.checkpoint.head;
    if args.json {
        output::json(&serde_json::json!({
            "verified": true, "origin": cosigned.checkpoint.origin, "size": head.size, "root": hex(head.root.as_bytes()),
            "authorities": authorities, "witnesses": witnessed(&cosigned),
        }))?;
    } else {
        say!("{}: all {} entries and all tiles are what was signed", cosigned.checkpoint.origin, head.size);
        say!("  root        {}", hex(head.root.as_bytes()));
        say!("  authorities {authorities} of the entries are certificates of authorities");
        tell_witnesses(&cosigned);
    }
    Ok(Outcome::Done)
}

fn monitor(args: &MonitorArgs) -> Result<Outcome, Failure> {
    let (key, witnesses) = args.believed.read()?;
    let place = Place::parse(&args.log)?;
    let mut follower = resume(&args.state, key)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    loop {
        match runtime.block_on(look(args, &place, &witnesses, &mut follower)) {
            Ok(()) => {}
            // Who watches goes on: a log that is away is not dishonest.
            Err(FollowError::Unreachable { path, why }) if args.every.is_some() => {
                tracing::warn!(path, why, "the log cannot be read; it is tried again");
            }
            Err(error @ FollowError::Older { .. }) if args.every.is_some() => {
                tracing::warn!(log = args.log, %error, "the log is looked at again");
            }
            Err(error @ FollowError::Forked { .. }) => {
                let (log, state) = (&args.log, args.state.display());
                return Err(format!(
                    "{log}: {error}. The one before is in {state}, the other is {log}/checkpoint: copy both"
                )
                .into());
            }
            Err(error) => return Err(format!("{}: {error}", args.log).into()),
        }
        let Some(seconds) = args.every else { return Ok(Outcome::Done) };
        std::thread::sleep(Duration::from_secs(seconds));
    }
}

/// Looks once: shows what is new and proven, and keeps what was seen.
async fn look(
    args: &MonitorArgs,
    place: &Place,
    witnesses: &[VerifierKey],
    follower: &mut Follower,
) -> Result<(), FollowError> {
    let (old, mut found) = (follower.head().size, Vec::new());
    let cosigned = follower
        .advance(place, witnesses, false, |number, entry| {
            let read = Entry::read(entry);
            let watched = args.watch.is_empty()
                || read.as_ref().map_or(true, |read| args.watch.iter().any(|pattern| read.is_about(pattern)));
            if watched {
                found.push((number, read));
            }
        })
        .await?;
    let kept = serde_json::to_vec(&follower.keep()).map_err(|_| FollowError::State("it cannot be written"))?;
    let size = cosigned.checkpoint.head.size;
    report(args, &cosigned, old, &found)
        .map_err(|why| FollowError::Unreachable { path: "standard output".into(), why })?;
    files::replace(&args.state, &kept)
        .map_err(|error| FollowError::Unreachable { path: args.state.display().to_string(), why: error.to_string() })?;
    tracing::debug!(size, "the log was read");
    Ok(())
}

fn report(
    args: &MonitorArgs,
    cosigned: &Cosigned<'_>,
    old: u64,
    found: &[(u64, Result<Entry, String>)],
) -> Result<(), String> {
    let size = cosigned.checkpoint.head.size;
    if args.json {
        for (number, read) in found {
            let line = match read {
                Ok(entry) => serde_json::json!({ "event": "entry", "number": number, "entry": entry }),
                Err(why) => serde_json::json!({ "event": "unreadable", "number": number, "why": why }),
            };
            say!("{line}");
        }
        let now = Clock::system().now().to_string();
        say!(
            "{}",
            serde_json::json!({ "event": "seen", "at": now, "size": size, "new": size - old, "watched": found.len() })
        );
        return Ok(());
    }
    let mut table = Table::new(&["entry", "device", "names", "until", "serial", "key"]);
    for (number, read) in found {
        match read {
            Ok(entry) => table.row([
                number.to_string(),
                entry.device.clone().unwrap_or_else(|| entry.subject.clone()),
                entry.names.join(" "),
                entry.not_after.clone(),
                entry.serial.clone(),
                entry.key.clone(),
            ]),
            Err(why) => table.row([number.to_string(), "(cannot be read)".into(), why.clone()]),
        }
    }
    if !found.is_empty() {
        table.print("");
    }
    // Who looks again and again hears of what is new, and once that the log is right.
    if args.every.is_some() && size == old && size > 0 {
        return Ok(());
    }
    say!(
        "{}: {size} entries, {} new, {} of them watched; it continues what was seen before",
        cosigned.checkpoint.origin,
        size - old,
        found.len()
    );
    Ok(())
}

fn resume(state: &Path, key: VerifierKey) -> Result<Follower, Failure> {
    let Some(bytes) = files::read(state)? else { return Ok(Follower::new(key)) };
    let failed = |why: String| format!("{}: {why}; a monitor must not forget: bring the file back", state.display());
    let kept: follow::Kept = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
    let follower = Follower::resume(&kept).map_err(|error| failed(error.to_string()))?;
    if *follower.key() != key {
        return Err(format!(
            "{}: it is of another log than --key; a monitor must not forget: bring the file back. If the log was begun anew, as \
             whoever runs the hub must be able to say, keep this file and name another one for the new log",
            state.display()
        )
        .into());
    }
    Ok(follower)
}

impl Believed {
    fn read(&self) -> Result<(VerifierKey, Vec<VerifierKey>), Failure> {
        Ok((verifier_key(&self.key)?, self.witnesses.iter().map(|key| verifier_key(key)).collect::<Result<_, _>>()?))
    }
}

/// A key, or the file it is in.
///
/// # Errors
/// When it is neither.
pub(crate) fn verifier_key(text: &str) -> Result<VerifierKey, Failure> {
    let failed = |error: String| format!("{text:?}: {error}");
    let neither = |error| format!("{text:?} is no verifier key ({error}), and there is no such file");
    match text.parse() {
        Ok(key) => Ok(key),
        Err(error) => match std::fs::read_to_string(text) {
            Ok(content) => {
                Ok(content.parse().map_err(|error: medlock_node::log::NoteError| failed(error.to_string()))?)
            }
            Err(_) => Err(neither(error).into()),
        },
    }
}

fn all_witnessed(cosigned: &Cosigned<'_>, witnesses: &[VerifierKey]) -> Result<(), Failure> {
    for witness in witnesses {
        if !cosigned.witnesses.iter().any(|(by, _)| *by == witness) {
            return Err(format!("the witness {} has not cosigned this checkpoint", witness.name()).into());
        }
    }
    Ok(())
}

fn witnessed(cosigned: &Cosigned<'_>) -> Vec<serde_json::Value> {
    let one = |(by, at): &(&VerifierKey, u64)| serde_json::json!({ "name": by.name(), "at": time(*at) });
    cosigned.witnesses.iter().map(one).collect()
}

fn tell_witnesses(cosigned: &Cosigned<'_>) {
    for (by, at) in &cosigned.witnesses {
        say!("  cosigned by {} at {}", by.name(), time(*at));
    }
}

fn time(seconds: u64) -> String {
    Time::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX)).to_string()
}
