//! The signer's side.

use super::protocol::{self, Answer, Request};
use super::{KeyLabel, Kind, Signer, SignerError, check};
use crate::keys::KeyDirectory;
use medlock_node::provider::{SigningAlgorithm, SigningKey};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Connections served at once. The hub uses one; a program on the same machine could try more.
const MAX_CONNECTIONS: usize = 16;
/// How long a half-sent message may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The keys in this process. A key is read when it is first used, and wiped from memory when this is dropped.
#[derive(Debug)]
pub struct InProcess {
    keys: KeyDirectory,
    loaded: Mutex<BTreeMap<KeyLabel, Arc<SigningKey>>>,
}

impl InProcess {
    /// The keys in this directory.
    ///
    /// # Errors
    /// [`SignerError::KeyFile`].
    pub fn open(directory: &Path) -> Result<Self, SignerError> {
        Ok(Self::with(KeyDirectory::open(directory)?))
    }

    fn with(keys: KeyDirectory) -> Self {
        Self { keys, loaded: Mutex::default() }
    }

    /// The key, if it is there; with an algorithm it is made if it is not.
    fn key(&self, key: KeyLabel, make: Option<SigningAlgorithm>) -> Result<Option<Arc<SigningKey>>, SignerError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = loaded.get(&key) {
            return Ok(Some(found.clone()));
        }
        let found = match (self.keys.load(key)?, make) {
            (None, None) => return Ok(None),
            (None, Some(algorithm)) => self.keys.create(key, algorithm)?,
            (Some(found), _) => found,
        };
        let found = Arc::new(found);
        loaded.insert(key, found.clone());
        Ok(Some(found))
    }
}

impl Signer for InProcess {
    fn generate(&self, key: KeyLabel, algorithm: SigningAlgorithm) -> Result<Vec<u8>, SignerError> {
        check::algorithm(key, algorithm).map_err(|refused| SignerError::Refused(refused.to_string()))?;
        self.key(key, Some(algorithm))?.map(|made| made.spki().to_vec()).ok_or(SignerError::NoKey(key))
    }

    fn public_key(&self, key: KeyLabel) -> Result<Option<Vec<u8>>, SignerError> {
        Ok(self.key(key, None)?.map(|found| found.spki().to_vec()))
    }

    fn sign(&self, key: KeyLabel, kind: Kind, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let with = self.key(key, None)?.ok_or(SignerError::NoKey(key))?;
        check(key, kind, message).map_err(|refused| SignerError::Refused(refused.to_string()))?;
        Ok(match kind {
            Kind::Certificate | Kind::Crl | Kind::Ocsp | Kind::Checkpoint | Kind::VoucherAttributes => {
                with.sign_x509(&[message])
            }
            Kind::C509 | Kind::Cose | Kind::Voucher => with.sign_cose(&[message]),
        })
    }
}

/// The signer process: keys in `directory`, their passphrase in `passphrase_file` or beside them, a socket (0600) at
/// `socket`. Ends when its standard input ends, so that it does not outlive the hub that started it.
///
/// # Errors
/// [`SignerError`] when keys or socket cannot be used.
pub fn run(directory: &Path, passphrase_file: Option<&Path>, socket: &Path) -> Result<(), SignerError> {
    let keys = InProcess::with(match passphrase_file {
        Some(file) => KeyDirectory::open_with_passphrase(directory, file)?,
        None => KeyDirectory::open(directory)?,
    });
    let failed = |error: io::Error| SignerError::Away(format!("{}: {error}", socket.display()));
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(failed)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    std::thread::spawn(|| {
        // Nothing is ever written to it: the read returns when the hub has ended.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        tracing::info!("the hub has ended, and the signer with it");
        std::process::exit(0);
    });
    serve(&listener, &Arc::new(keys))
}

/// Answers requests on `listener`, one thread a connection, until accepting fails.
///
/// # Errors
/// [`SignerError::Away`] when accepting fails.
pub fn serve(listener: &UnixListener, keys: &Arc<InProcess>) -> Result<(), SignerError> {
    let open = Arc::new(());
    for stream in listener.incoming() {
        let stream = stream.map_err(|error| SignerError::Away(error.to_string()))?;
        if Arc::strong_count(&open) > MAX_CONNECTIONS {
            tracing::warn!("more than {MAX_CONNECTIONS} connections: the new one is closed");
            continue;
        }
        let (keys, counted) = (keys.clone(), open.clone());
        std::thread::spawn(move || {
            if let Err(error) = converse(stream, &keys) {
                tracing::warn!(%error, "a connection to the signer ended early");
            }
            drop(counted);
        });
    }
    Ok(())
}

fn converse(mut stream: UnixStream, keys: &InProcess) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    while let Some(message) = protocol::receive(&mut stream)? {
        let answer = match protocol::decode_request(&message) {
            Ok(request) => answer(&request, keys),
            Err(error) => Answer::Refused(format!("the request cannot be read: {error}")),
        };
        protocol::send(&mut stream, &protocol::encode_answer(&answer))?;
    }
    Ok(())
}

fn answer(request: &Request<'_>, keys: &InProcess) -> Answer {
    let outcome = match request {
        Request::Generate(key, algorithm) => keys.generate(*key, *algorithm),
        Request::PublicKey(key) => match keys.public_key(*key) {
            Ok(None) => Err(SignerError::NoKey(*key)),
            Ok(Some(found)) => Ok(found),
            Err(error) => Err(error),
        },
        Request::Sign(key, kind, message) => keys.sign(*key, *kind, message),
    };
    match outcome {
        Ok(bytes) => Answer::Done(bytes),
        Err(SignerError::NoKey(_)) => Answer::NoKey,
        Err(SignerError::Refused(why)) => {
            tracing::warn!(%why, "refused to sign");
            Answer::Refused(why)
        }
        Err(error @ (SignerError::Away(_) | SignerError::KeyFile(_))) => Answer::Failed(error.to_string()),
    }
}
