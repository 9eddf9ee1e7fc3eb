//! A witness (C2SP tlog-witness): it cosigns each checkpoint that continues the one before, and no other. A log that shows
//! different people different entries needs its witnesses to help it.

use super::checkpoint::{Checkpoint, cosigned_text, read_hash};
use super::note::{KeyKind, Note, VerifierKey};
use crate::Error;
use crate::clock::Clock;
use crate::files;
use crate::provider::{self, AwsLc, SigningKey};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use medlock_trust::crypto::KeyAlgorithm;
use medlock_trust::log::Hash;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Consistency proofs have no more hashes (tlog-witness).
const MAX_PROOF: usize = 63;
/// The most bytes of a request: a proof, and a checkpoint with 32 signatures of ML-DSA-44.
pub const MAX_REQUEST: usize = 256 << 10;

/// A witness of some logs.
pub struct Witness {
    key: SigningKey,
    /// As others know the key.
    public: VerifierKey,
    logs: Vec<VerifierKey>,
    directory: PathBuf,
    clock: Clock,
    /// Held from comparing to keeping: two requests must not overtake one another.
    turn: Mutex<()>,
}

/// Why a witness does not cosign: each with its HTTP status (tlog-witness).
#[derive(Debug, thiserror::Error)]
pub enum WitnessRefusal {
    /// 400.
    #[error("the request is not one of tlog-witness: {0}")]
    Malformed(&'static str),
    /// 404.
    #[error("this log is not one of those that are witnessed here")]
    UnknownLog,
    /// 403.
    #[error("the checkpoint is not signed by its log")]
    NotSigned,
    /// 409, with the size.
    #[error("the last checkpoint that was cosigned covers {0} entries: prove from there")]
    OtherSize(u64),
    /// 422.
    #[error(
        "the checkpoint does not continue the one that was cosigned before: the log may show different people different entries"
    )]
    Inconsistent,
    /// 500.
    #[error("{0}")]
    Failed(#[from] Error),
}

impl Witness {
    /// A witness with this name and key, for these logs; what it has cosigned lies in `directory`.
    ///
    /// # Errors
    /// [`Error`] when the key is neither Ed25519 nor ML-DSA-44, the name cannot be one, or the directory not be used.
    pub fn open(
        name: &str,
        key: SigningKey,
        logs: Vec<VerifierKey>,
        directory: PathBuf,
        clock: Clock,
    ) -> Result<Self, Error> {
        files::private_directory(&directory)?;
        let kind = match key.public_key().algorithm {
            KeyAlgorithm::Ed25519 => Some(KeyKind::CosignatureEd25519),
            KeyAlgorithm::MlDsa44 => Some(KeyKind::CosignatureMlDsa44),
            KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::Rsa | KeyAlgorithm::MlDsa65 => None,
        };
        let public = kind.and_then(|kind| VerifierKey::new(name, kind, key.public_key().bits));
        let public = public.ok_or(Error::Key(
            "a witness has an Ed25519 or ML-DSA-44 key, and a name of 1 to 255 bytes without spaces and +",
        ))?;
        Ok(Self { key, public, logs, directory, clock, turn: Mutex::default() })
    }

    /// The key by which others believe its cosignatures.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.public
    }

    /// Answers `add-checkpoint`: the line with the cosignature.
    ///
    /// # Errors
    /// [`WitnessRefusal`].
    pub fn add_checkpoint(&self, body: &[u8]) -> Result<String, WitnessRefusal> {
        let (old, proof, note) = read_request(body)?;
        let read = Note::read(note).map_err(|_| WitnessRefusal::Malformed("the checkpoint is not a signed note"))?;
        let new = Checkpoint::read(read.text()).map_err(|_| WitnessRefusal::Malformed("it is not a checkpoint"))?;
        let log = self.logs.iter().find(|log| log.name() == new.origin).ok_or(WitnessRefusal::UnknownLog)?;
        Checkpoint::verify(note, log, &[]).map_err(|_| WitnessRefusal::NotSigned)?;
        if old > new.head.size {
            return Err(WitnessRefusal::Malformed("the old size is larger than the new one"));
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.last(log)?;
        let size = last.as_ref().map_or(0, |last| last.head.size);
        if size != old {
            return Err(WitnessRefusal::OtherSize(size));
        }
        let nothing = Hash::of_nothing(&AwsLc);
        let continues = match &last {
            Some(last) if old > 0 => new.head.continues(&last.head, &proof, &AwsLc),
            _ => proof.is_empty() && (new.head.size > 0 || new.head.root == nothing),
        };
        if !continues {
            tracing::error!(
                log = log.name(),
                old,
                new = new.head.size,
                "a checkpoint does not continue the one before"
            );
            return Err(WitnessRefusal::Inconsistent);
        }
        let time = u64::try_from(self.clock.now().unix()).unwrap_or(0);
        let message = match self.public.kind() {
            KeyKind::CosignatureMlDsa44 => new.cosigned_structure(self.public.name(), time),
            KeyKind::Ed25519 | KeyKind::CosignatureEd25519 => cosigned_text(read.text(), time).into_bytes(),
        };
        let signature = [time.to_be_bytes().as_slice(), &self.key.sign_x509(&[message.as_slice()])].concat();
        let line = format!("{}\n", self.public.line(signature));
        // Of the signatures, the log's own and ours: others are not ours to repeat.
        let own = read.signatures().filter(|line| line.name == log.name() && line.key == log.id());
        let own: String = own.map(|line| format!("{line}\n")).collect();
        files::replace(&self.file(log), format!("{}\n{own}{line}", read.text()).as_bytes())?;
        Ok(line)
    }

    /// The newest checkpoint of a log that was cosigned, as a signed note, by the SHA-256 of the log's origin in
    /// hexadecimal digits.
    ///
    /// # Errors
    /// [`Error`] when it cannot be read.
    pub fn checkpoint(&self, origin_hash: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.logs.iter().find(|log| origin(log) == origin_hash) {
            Some(log) => files::read(&self.file(log)),
            None => Ok(None),
        }
    }

    fn last(&self, log: &VerifierKey) -> Result<Option<Checkpoint>, Error> {
        let path = self.file(log);
        let Some(bytes) = files::read(&path)? else { return Ok(None) };
        let read = Checkpoint::verify(&bytes, log, &[]).map(|cosigned| cosigned.checkpoint);
        read.map(Some).map_err(|error| Error::Damaged {
            what: error.to_string(),
            remedy: "a witness must not forget: bring the file back from your backup",
            path,
        })
    }

    fn file(&self, log: &VerifierKey) -> PathBuf {
        self.directory.join(format!("{}.checkpoint", origin(log)))
    }
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Witness({})", self.public.name())
    }
}

/// `POST /add-checkpoint`, `GET /SHA-256-OF-ORIGIN/checkpoint`.
pub fn router(witness: Arc<Witness>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{origin}/checkpoint", get(checkpoint))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(witness)
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: Bytes) -> Response {
    match tokio::task::spawn_blocking(move || witness.add_checkpoint(&body)).await {
        Ok(Ok(line)) => line.into_response(),
        Ok(Err(refusal)) => refusal.into_response(),
        Err(error) => {
            tracing::error!(%error, "a checkpoint was not cosigned");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn checkpoint(State(witness): State<Arc<Witness>>, Path(origin): Path<String>) -> Response {
    match witness.checkpoint(&origin) {
        Ok(Some(note)) => note.into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => WitnessRefusal::Failed(error).into_response(),
    }
}

impl IntoResponse for WitnessRefusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::UnknownLog => StatusCode::NOT_FOUND,
            Self::NotSigned => StatusCode::FORBIDDEN,
            Self::OtherSize(size) => {
                let size_type = HeaderValue::from_static("text/x.tlog.size");
                return (StatusCode::CONFLICT, [(CONTENT_TYPE, size_type)], format!("{size}\n")).into_response();
            }
            Self::Inconsistent => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Failed(error) => {
                tracing::error!(%error, "the witness cannot keep what it cosigns");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        (status, format!("{self}\n")).into_response()
    }
}

fn origin(log: &VerifierKey) -> String {
    data_encoding::HEXLOWER.encode(&provider::sha256(log.name().as_bytes()))
}

/// `old SIZE`, the proof, an empty line, the checkpoint.
fn read_request(body: &[u8]) -> Result<(u64, Vec<Hash>, &[u8]), WitnessRefusal> {
    let malformed = WitnessRefusal::Malformed;
    let end = body.windows(2).position(|pair| pair == b"\n\n").ok_or(malformed("there is no empty line"))?;
    let (head, note) = (body.get(..end).unwrap_or_default(), body.get(end + 2..).unwrap_or_default());
    let head = std::str::from_utf8(head).map_err(|_| malformed("it is not UTF-8 text"))?;
    let mut lines = head.split('\n');
    let size = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(|text| {
        let size = text.parse::<u64>().ok()?;
        (size.to_string() == text).then_some(size)
    });
    let size = size.ok_or(malformed("the first line is old SIZE"))?;
    let mut proof = Vec::new();
    for line in lines {
        if proof.len() == MAX_PROOF {
            return Err(malformed("a proof has 63 hashes at most"));
        }
        proof.push(read_hash(line).ok_or(malformed("a line of the proof is not a hash"))?);
    }
    Ok((size, proof, note))
}

/// Writes the body of `add-checkpoint`.
#[must_use]
pub fn write_request(old: u64, proof: &[Hash], note: &[u8]) -> Vec<u8> {
    let mut head = format!("old {old}\n");
    for hash in proof {
        head.push_str(&super::checkpoint::write_hash(hash));
        head.push('\n');
    }
    head.push('\n');
    [head.as_bytes(), note].concat()
}
