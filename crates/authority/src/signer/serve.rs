//! The signer's side.

use super::protocol::{self, Answer, Request};
use super::retired::Retired;
use super::signed::Signed;
use super::web::Web;
use super::{KeyLabel, KeyRole, Kind, LABELS, Signer, SignerError, check};
use crate::keys::{KeyDirectory, Token, TokenConfig};
use medlock_node::log::Checkpoint;
use medlock_node::provider::{SigningAlgorithm, SigningKey, WebAlgorithm};
use std::collections::BTreeMap;
use std::io::{self, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Connections served at once. The hub uses one; a program on the same machine could try more.
const MAX_CONNECTIONS: usize = 16;
/// How long a connection may say nothing, and how long a message may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an answer may wait for the next, when there are more requests already.
const TOGETHER: Duration = Duration::from_millis(5);
/// Bytes that are read at once, and after which answers are sent.
const READ: usize = 32 << 10;

/// The keys in this process. A key is read when it is first used, and wiped from memory when this is dropped.
#[derive(Debug)]
pub struct InProcess {
    place: Place,
    /// How far logs were signed.
    signed: Signed,
    /// Which keys sign nothing any more.
    retired: Retired,
    /// The keys for tokens of the web.
    web: Web,
}

/// Where the keys are.
#[derive(Debug)]
enum Place {
    Files(Files),
    Token(Token),
}

#[derive(Debug)]
struct Files {
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

    /// The keys in this directory, with their passphrase in a file elsewhere.
    ///
    /// # Errors
    /// [`SignerError::KeyFile`].
    pub fn open_with_passphrase(directory: &Path, passphrase_file: &Path) -> Result<Self, SignerError> {
        Ok(Self::with(KeyDirectory::open_with_passphrase(directory, passphrase_file)?))
    }

    /// The keys in this directory, with a passphrase of which two persons have a half each.
    ///
    /// # Errors
    /// [`SignerError::KeyFile`].
    pub fn open_with_halves(directory: &Path, halves: [&str; 2]) -> Result<Self, SignerError> {
        Ok(Self::with(KeyDirectory::open_with_halves(directory, halves)?))
    }

    /// The keys of this authority in this token, which is opened when it is first used. Its library runs in this process. How far
    /// logs were signed, which keys were retired, and that a PIN was refused, is kept in `folder`.
    #[must_use]
    pub fn in_token(config: TokenConfig, authority: &str, folder: &Path) -> Self {
        let token = Token::new(config, authority, folder);
        let (signed, retired) = (Signed::within(folder), Retired::within(folder));
        Self { place: Place::Token(token), signed, retired, web: Web::default() }
    }

    fn with(keys: KeyDirectory) -> Self {
        let (signed, retired) = (Signed::within(keys.directory()), Retired::within(keys.directory()));
        Self { place: Place::Files(Files { keys, loaded: Mutex::default() }), signed, retired, web: Web::default() }
    }

    /// Where the keys for tokens of the web are.
    fn folder(&self) -> Result<&KeyDirectory, SignerError> {
        match &self.place {
            Place::Files(files) => Ok(&files.keys),
            Place::Token(_) => Err(SignerError::Refused(
                "keys for tokens of the web are kept in files, and this signer has a PKCS#11 token: people sign in at a hub whose keys are in files"
                    .to_owned(),
            )),
        }
    }

    /// Whether there is a later key of the same role that signs.
    fn is_followed(&self, key: KeyLabel) -> Result<bool, SignerError> {
        let later = (key.number()..key.number().saturating_add(LABELS))
            .filter_map(|number| KeyLabel::new(key.role(), number.checked_add(1)?));
        for later in later {
            if !self.retired.has(later)? && self.public_key(later)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Files {
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

    fn set_aside(&self, key: KeyLabel) -> Result<(), SignerError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.remove(&key);
        self.keys.set_aside(key)
    }
}

impl Signer for InProcess {
    fn generate(&self, key: KeyLabel, algorithm: SigningAlgorithm) -> Result<Vec<u8>, SignerError> {
        check::algorithm(key, algorithm).map_err(|refused| SignerError::Refused(refused.to_string()))?;
        self.retired.check(key)?;
        match &self.place {
            Place::Files(files) => {
                let made = files.key(key, Some(algorithm))?;
                made.map(|made| made.spki().to_vec()).ok_or(SignerError::NoKey(key))
            }
            Place::Token(token) => token.generate(key, algorithm),
        }
    }

    fn public_key(&self, key: KeyLabel) -> Result<Option<Vec<u8>>, SignerError> {
        self.retired.check(key)?;
        match &self.place {
            Place::Files(files) => Ok(files.key(key, None)?.map(|found| found.spki().to_vec())),
            Place::Token(token) => token.public_key(key),
        }
    }

    fn sign(&self, key: KeyLabel, kind: Kind, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.retired.check(key)?;
        let checked = || {
            check(key, kind, message).map_err(|refused| SignerError::Refused(refused.to_string()))?;
            if kind == Kind::Checkpoint { self.signed.admit(message) } else { Ok(()) }
        };
        let as_cose = match kind {
            Kind::Certificate | Kind::Crl | Kind::Ocsp | Kind::Checkpoint | Kind::VoucherAttributes => false,
            Kind::C509 | Kind::Cose | Kind::Voucher => true,
        };
        match &self.place {
            Place::Files(files) => {
                let with = files.key(key, None)?.ok_or(SignerError::NoKey(key))?;
                checked()?;
                Ok(if as_cose { with.sign_cose(&[message]) } else { with.sign_x509(&[message]) })
            }
            Place::Token(token) => {
                checked()?;
                token.sign(key, message, as_cose)?.ok_or(SignerError::NoKey(key))
            }
        }
    }

    fn retire(&self, key: KeyLabel) -> Result<(), SignerError> {
        if !self.retired.has(key)? {
            if key.role() != KeyRole::Issuing {
                return Err(SignerError::Refused(format!("the {key} key is not retired: only issuing keys are")));
            }
            if !self.is_followed(key)? {
                return Err(SignerError::Refused(format!(
                    "the {key} key is the newest of its role here and is not retired: make its successor first, or bring the \
                     successor's file to this signer"
                )));
            }
            self.retired.add(key)?;
        }
        match &self.place {
            Place::Files(files) => files.set_aside(key),
            // Its objects stay: a key that is destroyed because somebody said so cannot be brought back.
            Place::Token(_) => Ok(()),
        }
    }

    fn signed_checkpoint(&self, origin: &str) -> Result<Option<Checkpoint>, SignerError> {
        self.signed.newest(origin)
    }

    fn web_key(&self, algorithm: WebAlgorithm) -> Result<Vec<u8>, SignerError> {
        self.web.public_key(self.folder()?, algorithm)
    }

    fn sign_token(&self, algorithm: WebAlgorithm, input: &str) -> Result<Vec<u8>, SignerError> {
        self.web.sign(self.folder()?, algorithm, input)
    }
}

/// Who may connect to a signer's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Whoever the signer runs as: mode 0600.
    Owner,
    /// The group the signer runs as, too: mode 0660. A hub that runs as another user cannot read the keys then.
    Group,
}

/// Opens the signer's socket at `socket`.
///
/// # Errors
/// [`SignerError::Away`] when it cannot be used.
pub fn listen(socket: &Path, callers: Callers) -> Result<UnixListener, SignerError> {
    let failed = |error: io::Error| SignerError::Away(format!("{}: {error}", socket.display()));
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(failed)?;
    let mode = match callers {
        Callers::Owner => 0o600,
        Callers::Group => 0o660,
    };
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    Ok(listener)
}

/// Ends this process when its standard input ends, so that it does not outlive the hub that started it.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        // Nothing is ever written to it: the read returns when the hub has ended.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(0);
    });
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
            if let Err(error) = converse(stream, &keys, PATIENCE) {
                tracing::warn!(%error, "a connection to the signer ended early");
            }
            drop(counted);
        });
    }
    Ok(())
}

/// A connection that is read until an instant: who says nothing, or a byte now and then, does not keep its place.
struct Until(UnixStream, Instant);

impl io::Read for Until {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.1.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.0.set_read_timeout(Some(left))?;
        self.0.read(buffer)
    }
}

/// Answers one request after the other. Answers to requests that have come together go back together, but none waits long
/// for the next.
fn converse(stream: UnixStream, keys: &InProcess, patience: Duration) -> io::Result<()> {
    stream.set_write_timeout(Some(patience))?;
    let mut stream = BufReader::with_capacity(READ, Until(stream, Instant::now()));
    let mut framed = Vec::new();
    let mut began = Instant::now();
    loop {
        stream.get_mut().1 = Instant::now() + patience;
        let message = match protocol::receive(&mut stream) {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(()),
            // A hub that has nothing to sign comes again when it has.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return Ok(()),
            Err(error) => return Err(error),
        };
        if framed.is_empty() {
            began = Instant::now();
        }
        let answer = match protocol::decode_request(&message) {
            Ok(request) => answer(&request, keys),
            Err(error) => Answer::Refused(format!("the request cannot be read: {error}")),
        };
        protocol::frame(&protocol::encode_answer(&answer), &mut framed)?;
        if !protocol::is_whole(stream.buffer()) || began.elapsed() > TOGETHER || framed.len() > READ {
            stream.get_mut().0.write_all(&framed)?;
            framed.clear();
        }
    }
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
        Request::Retire(key) => keys.retire(*key).map(|()| Vec::new()),
        Request::WebKey(algorithm) => keys.web_key(*algorithm),
        Request::SignToken(algorithm, input) => keys.sign_token(*algorithm, input),
        Request::SignedCheckpoint(origin) => match keys.signed_checkpoint(origin) {
            Ok(None) => return Answer::NoKey,
            Ok(Some(found)) => Ok(found.to_string().into_bytes()),
            Err(error) => Err(error),
        },
    };
    match outcome {
        Ok(bytes) => Answer::Done(bytes),
        Err(SignerError::NoKey(_)) => Answer::NoKey,
        Err(SignerError::Refused(why)) => {
            tracing::warn!(%why, "refused");
            Answer::Refused(why)
        }
        Err(error @ (SignerError::Away(_) | SignerError::KeyFile(_) | SignerError::Token { .. })) => {
            Answer::Failed(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-KEYS-55: neither silence nor a byte now and then keeps a place at the signer.
    #[test]
    fn a_caller_that_says_nothing_loses_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Arc::new(InProcess::open(folder.path()).unwrap());
        let patience = Duration::from_millis(200);
        for dribbles in [false, true] {
            let (mut caller, served) = UnixStream::pair().unwrap();
            let keys = keys.clone();
            let began = Instant::now();
            let serving = std::thread::spawn(move || converse(served, &keys, patience));
            if dribbles {
                caller.write_all(&[0, 0, 1, 0]).unwrap();
            }
            while !serving.is_finished() && began.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(20));
                let _ = if dribbles { caller.write(&[0]) } else { Ok(0) };
            }
            assert!(began.elapsed() < Duration::from_secs(4), "it waited for {:?}", began.elapsed());
            serving.join().unwrap().unwrap();
        }
    }
}
