//! The authority's side: a client that reconnects, and a supervisor that starts the process again.

use super::protocol::{self, Answer, Request};
use super::waiting::{Waiting, WaitingRoom, Word};
use super::{KeyLabel, Kind, Signer, SignerError};
use medlock_node::log::Checkpoint;
use medlock_node::provider::SigningAlgorithm;
use std::collections::VecDeque;
use std::io::{self, BufReader};
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

/// The client of a signer process. All that wait are asked for together: so the busier an authority is, the less often it
/// and its signer wait for one another. A call that finds the process gone starts it again and tries once more.
#[derive(Debug)]
pub struct ProcessSigner {
    socket: PathBuf,
    supervisor: Option<Supervisor>,
    room: WaitingRoom,
    /// Held by the one who asks.
    connection: Mutex<Option<Stream>>,
}

type Stream = BufReader<UnixStream>;

impl ProcessSigner {
    /// A client of the signer at `socket`; with a supervisor, the process is started when it is needed.
    #[must_use]
    pub fn new(socket: &Path, supervisor: Option<Supervisor>) -> Self {
        Self { socket: socket.to_owned(), supervisor, room: WaitingRoom::default(), connection: Mutex::new(None) }
    }

    /// The supervisor given to [`ProcessSigner::new`].
    #[must_use]
    pub fn supervisor(&self) -> Option<&Supervisor> {
        self.supervisor.as_ref()
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answer, SignerError> {
        let (asks, word) = self.room.enter(protocol::encode_request(request));
        if asks {
            self.ask_for_those_who_wait();
        }
        loop {
            match word.recv() {
                Ok(Word::Ask) => self.ask_for_those_who_wait(),
                Ok(Word::Answer(answer)) => return answer.map_err(SignerError::Away),
                Err(_) => return Err(SignerError::Away("the thread that asked has ended unexpectedly".to_owned())),
            }
        }
    }

    /// Asks for all that wait, this thread among them, and then lets the next one ask. After a failure it asks for one only,
    /// on a new connection: so one request that the signer does not survive takes no other with it.
    fn ask_for_those_who_wait(&self) {
        let _turn = self.room.turn();
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut together = self.room.together();
        if let Some(mut stream) = connection.take() {
            // Making a signature twice does no harm: only one of them is used.
            if exchange(&mut stream, &mut together).is_ok() {
                *connection = Some(stream);
            }
        }
        if let Some(one) = together.pop_front() {
            self.room.put_back(together);
            let answer = self.ask_anew(&mut connection, one.message());
            one.tell(answer.map_err(|error| format!("{}: {error}", self.socket.display())));
        }
    }

    fn ask_anew(&self, connection: &mut Option<Stream>, message: &[u8]) -> io::Result<Answer> {
        let mut tries = 1..=TRIES;
        loop {
            let attempt = self.connect().and_then(|stream| {
                let mut stream = BufReader::new(stream);
                protocol::send(stream.get_mut(), &[message])?;
                receive(&mut stream).map(|answer| (stream, answer))
            });
            match attempt {
                Ok((stream, answer)) => {
                    *connection = Some(stream);
                    return Ok(answer);
                }
                // One that hangs would hang again.
                Err(error) if is_late(&error) || tries.next().is_none() => return Err(error),
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
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Sends all requests at once, and tells each its answer as it comes. Those that had none when this fails are left.
fn exchange(stream: &mut Stream, together: &mut VecDeque<Waiting>) -> io::Result<()> {
    let messages: Vec<&[u8]> = together.iter().map(Waiting::message).collect();
    protocol::send(stream.get_mut(), &messages)?;
    while !together.is_empty() {
        let answer = receive(stream)?;
        if let Some(one) = together.pop_front() {
            one.tell(Ok(answer));
        }
    }
    Ok(())
}

fn receive(stream: &mut Stream) -> io::Result<Answer> {
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
