//! The authority's side: a client that reconnects.

use super::protocol::{self, Answer, MAX_MESSAGE, Request};
use super::supervisor::{NotRunning, Supervisor};
use super::{KeyLabel, Kind, Signer, SignerError};
use crate::waiting::{Waiting, WaitingRoom};
use medlock_node::log::Checkpoint;
use medlock_node::provider::{SigningAlgorithm, WebAlgorithm};
use std::collections::VecDeque;
use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long one signature may take before the signer counts as stuck.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a call connects anew: at a start, the socket may still be that of a process that is ending.
const TRIES: u32 = 3;
/// How long a process that was just started may take to listen.
const START: Duration = Duration::from_secs(10);

/// The client of a signer process. All that wait are asked for together: so the busier an authority is, the less often it
/// and its signer wait for one another. A call that finds the process gone starts it again and tries once more.
#[derive(Debug)]
pub struct ProcessSigner {
    socket: PathBuf,
    supervisor: Option<Supervisor>,
    room: Room,
    /// Held by the one who asks.
    connection: Mutex<Option<Stream>>,
}

type Stream = BufReader<UnixStream>;
/// Messages, and their answers, or why there is none.
type Room = WaitingRoom<Vec<u8>, Result<Answer, String>>;
type Together = VecDeque<Waiting<Vec<u8>, Result<Answer, String>>>;

/// The most requests that are sent before an answer is read, and their most bytes. Both fit what a socket holds: so neither
/// side waits for the other to read while it writes itself. A request that is longer goes alone.
const TOGETHER: usize = 32;
const TOGETHER_BYTES: usize = 64 << 10;

impl ProcessSigner {
    /// A client of the signer at `socket`; with a supervisor, the process is started when it is needed.
    #[must_use]
    pub fn new(socket: &Path, supervisor: Option<Supervisor>) -> Self {
        Self { socket: socket.to_owned(), supervisor, room: WaitingRoom::new(1), connection: Mutex::new(None) }
    }

    /// The supervisor given to [`ProcessSigner::new`].
    #[must_use]
    pub fn supervisor(&self) -> Option<&Supervisor> {
        self.supervisor.as_ref()
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answer, SignerError> {
        self.ask_all([request]).pop().unwrap_or_else(|| Err(unanswered()))
    }

    /// One answer for each request, in their order.
    fn ask_all<'r>(&self, requests: impl IntoIterator<Item = &'r Request<'r>>) -> Vec<Result<Answer, SignerError>> {
        let messages: Vec<_> = requests.into_iter().map(protocol::encode_request).collect();
        // Not even tried: the signer would close the connection that others use.
        if let Some(long) = messages.iter().map(Vec::len).find(|length| *length > MAX_MESSAGE) {
            let refused = || SignerError::Refused(format!("{long} bytes are more than the {MAX_MESSAGE} it takes"));
            return messages.iter().map(|_| Err(refused())).collect();
        }
        let answers = self.room.ask(messages, || self.ask_for_those_who_wait()).into_iter();
        answers.map(|answer| answer.ok_or_else(unanswered)?.map_err(SignerError::Away)).collect()
    }

    /// Asks for all that wait, this thread among them. After a failure it asks for one only,
    /// on a new connection: so one request that the signer does not survive takes no other with it.
    fn ask_for_those_who_wait(&self) {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = 0;
        let mut together = self.room.together(TOGETHER, |message| {
            bytes += message.len();
            bytes <= TOGETHER_BYTES
        });
        if let Some(mut stream) = connection.take() {
            // Making a signature twice does no harm: only one of them is used.
            if exchange(&mut stream, &mut together).is_ok() {
                *connection = Some(stream);
            }
        }
        if let Some(one) = together.pop_front() {
            self.room.put_back(together);
            let answer = self.ask_anew(&mut connection, &one.request);
            one.asker.tell(answer.map_err(|error| format!("{}: {error}", self.socket.display())));
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
                // One that hangs would hang again, and one that does not come up says why.
                Err(error) if is_late(&error) || NotRunning::is(&error) || tries.next().is_none() => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn connect(&self) -> io::Result<UnixStream> {
        let deadline = Instant::now() + START;
        loop {
            if let Some(supervisor) = &self.supervisor {
                supervisor.ensure(deadline)?;
            }
            match UnixStream::connect(&self.socket) {
                Ok(stream) => {
                    if let Some(supervisor) = &self.supervisor {
                        supervisor.has_listened();
                    }
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
fn exchange(stream: &mut Stream, together: &mut Together) -> io::Result<()> {
    let messages: Vec<&[u8]> = together.iter().map(|one| one.request.as_slice()).collect();
    protocol::send(stream.get_mut(), &messages)?;
    while !together.is_empty() {
        let answer = receive(stream)?;
        if let Some(one) = together.pop_front() {
            one.asker.tell(Ok(answer));
        }
    }
    Ok(())
}

fn receive(stream: &mut Stream) -> io::Result<Answer> {
    let answer = protocol::receive(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    protocol::decode_answer(&answer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

fn unanswered() -> SignerError {
    SignerError::Away("the thread that asked has ended unexpectedly".to_owned())
}

fn result(key: KeyLabel, answer: Answer) -> Result<Vec<u8>, SignerError> {
    match answer {
        Answer::NoKey => Err(SignerError::NoKey(key)),
        answer => done(answer),
    }
}

/// What was done; of a key that has no label.
fn done(answer: Answer) -> Result<Vec<u8>, SignerError> {
    match answer {
        Answer::Done(bytes) => Ok(bytes),
        Answer::NoKey => Err(SignerError::Refused("there is no such key here".to_owned())),
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

    fn sign_all(&self, key: KeyLabel, kind: Kind, messages: &[&[u8]]) -> Vec<Result<Vec<u8>, SignerError>> {
        let requests: Vec<_> = messages.iter().map(|message| Request::Sign(key, kind, message)).collect();
        self.ask_all(&requests).into_iter().map(|answer| result(key, answer?)).collect()
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

    fn web_key(&self, algorithm: WebAlgorithm) -> Result<Vec<u8>, SignerError> {
        done(self.ask(&Request::WebKey(algorithm))?)
    }

    fn sign_token(&self, algorithm: WebAlgorithm, input: &str) -> Result<Vec<u8>, SignerError> {
        if input.len() > protocol::MAX_TOKEN {
            return Err(SignerError::Refused("the token is too long".to_owned()));
        }
        done(self.ask(&Request::SignToken(algorithm, input))?)
    }
}
