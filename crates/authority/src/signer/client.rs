//! The authority's side: a client that reconnects, and a supervisor that starts the process again.

use super::protocol::{self, Answer, Request};
use super::{KeyLabel, Kind, Signer, SignerError};
use medlock_node::log::Checkpoint;
use medlock_node::provider::SigningAlgorithm;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long one signature may take before the signer counts as stuck.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a call connects anew: at a start, the socket may still be that of a process that is ending.
const TRIES: u32 = 3;
/// How long a process that was just started may take to listen.
const START: Duration = Duration::from_secs(10);

/// Starts the signer process, and starts it again when it has ended.
#[derive(Debug)]
pub struct Supervisor {
    command: Mutex<Command>,
    child: Mutex<Option<Child>>,
}

impl Supervisor {
    /// Will run `command`: `medlock signer …` with the directory and socket of the client that gets this supervisor.
    #[must_use]
    pub fn new(mut command: Command) -> Self {
        // The process ends when its standard input does: it does not outlive us, even if we are killed.
        command.stdin(Stdio::piped());
        Self { command: Mutex::new(command), child: Mutex::new(None) }
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let running = child.as_mut()?;
        matches!(running.try_wait(), Ok(None)).then(|| running.id())
    }

    /// Starts the process unless it runs.
    fn ensure(&self) -> io::Result<()> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = child.as_mut() {
            match running.try_wait()? {
                None => return Ok(()),
                Some(status) => tracing::warn!(%status, "the signer process has ended and is started again"),
            }
        }
        let mut command = self.command.lock().unwrap_or_else(PoisonError::into_inner);
        *child = Some(command.spawn()?);
        Ok(())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = child.take() {
            // It ends by itself with its standard input; the kill is for one that is stuck.
            drop(child.stdin.take());
            let deadline = Instant::now() + Duration::from_secs(2);
            while Instant::now() < deadline {
                if !matches!(child.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The client of a signer process. A call that finds the process gone starts it again and tries once more.
#[derive(Debug)]
pub struct ProcessSigner {
    socket: PathBuf,
    supervisor: Option<Supervisor>,
    connection: Mutex<Option<UnixStream>>,
}

impl ProcessSigner {
    /// A client of the signer at `socket`; with a supervisor, the process is started when it is needed.
    #[must_use]
    pub fn new(socket: &Path, supervisor: Option<Supervisor>) -> Self {
        Self { socket: socket.to_owned(), supervisor, connection: Mutex::new(None) }
    }

    /// The supervisor given to [`ProcessSigner::new`].
    #[must_use]
    pub fn supervisor(&self) -> Option<&Supervisor> {
        self.supervisor.as_ref()
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answer, SignerError> {
        let message = protocol::encode_request(request);
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut stream) = connection.take() {
            // Making a signature twice does no harm: only one of them is used.
            if let Ok(answer) = exchange(&mut stream, &message) {
                *connection = Some(stream);
                return Ok(answer);
            }
        }
        let mut tries = 1..=TRIES;
        loop {
            let attempt =
                self.connect().and_then(|mut stream| exchange(&mut stream, &message).map(|answer| (stream, answer)));
            match attempt {
                Ok((stream, answer)) => {
                    *connection = Some(stream);
                    return Ok(answer);
                }
                // One that hangs would hang again.
                Err(error) if is_late(&error) || tries.next().is_none() => return Err(self.away(&error)),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn connect(&self) -> io::Result<UnixStream> {
        let deadline = Instant::now() + START;
        loop {
            if let Some(supervisor) = &self.supervisor {
                supervisor.ensure()?;
            }
            match UnixStream::connect(&self.socket) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_write_timeout(Some(PATIENCE))?;
                    return Ok(stream);
                }
                Err(error) if self.supervisor.is_none() || Instant::now() >= deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn away(&self, error: &io::Error) -> SignerError {
        SignerError::Away(format!("{}: {error}", self.socket.display()))
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn exchange(stream: &mut UnixStream, message: &[u8]) -> io::Result<Answer> {
    protocol::send(stream, message)?;
    let answer = protocol::receive(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    protocol::decode_answer(&answer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

fn result(key: KeyLabel, answer: Answer) -> Result<Vec<u8>, SignerError> {
    match answer {
        Answer::Done(bytes) => Ok(bytes),
        Answer::NoKey => Err(SignerError::NoKey(key)),
        Answer::Refused(why) => Err(SignerError::Refused(why)),
        Answer::Failed(why) => Err(SignerError::KeyFile(why)),
    }
}

impl Signer for ProcessSigner {
    fn generate(&self, key: KeyLabel, algorithm: SigningAlgorithm) -> Result<Vec<u8>, SignerError> {
        result(key, self.ask(&Request::Generate(key, algorithm))?)
    }

    fn public_key(&self, key: KeyLabel) -> Result<Option<Vec<u8>>, SignerError> {
        match self.ask(&Request::PublicKey(key))? {
            Answer::NoKey => Ok(None),
            answer => result(key, answer).map(Some),
        }
    }

    fn sign(&self, key: KeyLabel, kind: Kind, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        result(key, self.ask(&Request::Sign(key, kind, message))?)
    }

    fn retire(&self, key: KeyLabel) -> Result<(), SignerError> {
        result(key, self.ask(&Request::Retire(key))?).map(drop)
    }

    fn signed_checkpoint(&self, origin: &str) -> Result<Option<Checkpoint>, SignerError> {
        let text = match self.ask(&Request::SignedCheckpoint(origin))? {
            Answer::NoKey => return Ok(None),
            answer => result(KeyLabel::LOG, answer)?,
        };
        let read = std::str::from_utf8(&text).ok().and_then(|text| Checkpoint::read(text).ok());
        read.map(Some).ok_or_else(|| SignerError::Away("it answered something else than a checkpoint".to_owned()))
    }
}
