//! Asking witnesses (C2SP tlog-witness) to cosign, so that the authority cannot show different people different logs without
//! their help.

use crate::store::{Published, SignedCheckpoint};
use crate::{Authority, Error};
use medlock_node::http::{Client, Limits};
use medlock_node::log::{Checkpoint, VerifierKey, witness};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The kind under which the cosigned checkpoint is kept.
pub(crate) const KIND: &str = "log-checkpoint";
/// What one answer of a witness may cost: a slow one must not hold up the others.
const LIMITS: Limits =
    Limits { connect: Duration::from_secs(2), request: Duration::from_secs(2), body_bytes: 64 << 10 };
/// How often a witness is asked anew because it remembers another size.
const TRIES: u32 = 2;

/// A witness of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// Its key, as text: `NAME+8 hexadecimal digits+base64`.
    pub key: String,
    /// Where it is: `http://host:port`. What goes there is signed.
    pub url: String,
}

/// A witness, and what it is known to have cosigned.
#[derive(Debug)]
pub(crate) struct Cosigner {
    key: VerifierKey,
    client: Client,
    path: String,
    size: Mutex<u64>,
}

impl TryFrom<&WitnessConfig> for Cosigner {
    type Error = Error;

    fn try_from(raw: &WitnessConfig) -> Result<Self, Error> {
        let key = raw.key.parse().map_err(|error| Error::invalid("log_witnesses", format!("key: {error}")))?;
        let rest = raw.url.strip_prefix("http://").filter(|rest| !rest.is_empty());
        let rest =
            rest.ok_or_else(|| Error::invalid("log_witnesses", format!("{:?} is not http://host:port", raw.url)))?;
        let (server, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = if server.contains(':') { server.to_owned() } else { format!("{server}:80") };
        let base = path.trim_end_matches('/');
        let path = if base.is_empty() { "/add-checkpoint".to_owned() } else { format!("/{base}/add-checkpoint") };
        Ok(Self { key, client: Client::plain(address).with_limits(LIMITS), path, size: Mutex::default() })
    }
}

impl Authority {
    /// The checkpoint that is shown: the newest that witnesses were asked about, or, without witnesses, the newest.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn shown_checkpoint(&self) -> Result<Option<SignedCheckpoint>, Error> {
        let newest = self.log().checkpoint()?;
        if self.rules().cosigners.is_empty() {
            return Ok(newest);
        }
        let shown = self.store.published(KIND)?.map(|held| SignedCheckpoint { size: held.version, note: held.bytes });
        Ok(shown.or(newest))
    }

    /// Asks all witnesses to cosign the newest checkpoint, and shows it from then on with what they have answered. One that
    /// does not answer does not hold it up: whoever asks for its cosignature sees that it is missing.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn ask_witnesses(&self) -> Result<(), Error> {
        let rules = self.rules();
        let (Some(newest), shown) = (self.log().checkpoint()?, self.store.published(KIND)?) else { return Ok(()) };
        if rules.cosigners.is_empty() || shown.is_some_and(|shown| shown.version >= newest.size) {
            return Ok(());
        }
        let asked = rules.cosigners.iter().map(|cosigner| self.cosigned(cosigner, &newest));
        let mut note = newest.note.clone();
        for answer in futures_util::future::join_all(asked).await {
            match answer {
                Ok(lines) => note.extend_from_slice(lines.as_bytes()),
                Err(Uncosigned { error, remembers_another }) => {
                    tracing::warn!(%error, "a witness has not cosigned the log");
                    if remembers_another {
                        let text = format!(
                            "{error}. The log went back, or was signed in two ways: a backup was brought back, or a server took over that \
                             lacks some. Stop all hubs and bring the newer store back; if it is lost, `medlock authority restore BACKUP \
                             --accept-loss`"
                        );
                        self.alarm_about("log-left-behind", None, "witness".to_owned(), text)?;
                    }
                }
            }
        }
        let object = Published { version: newest.size, at: self.clock.now(), bytes: note };
        match self.store.publish(KIND, object) {
            // Another hub was faster.
            Err(crate::store::StoreError::Taken { .. }) => Ok(()),
            other => Ok(other?),
        }
    }

    /// The witness's line.
    async fn cosigned(&self, cosigner: &Cosigner, newest: &SignedCheckpoint) -> Result<String, Uncosigned> {
        let refused =
            |why: String| Error::Object { what: "cosignature", why: format!("{}: {why}", cosigner.key.name()) };
        let another = |why: String| Uncosigned { error: refused(why), remembers_another: true };
        for _ in 0..TRIES {
            let old = *cosigner.size.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(proof) = self.log().consistency(old, newest.size)? else {
                return Err(self.beyond(old, refused)?);
            };
            let body = witness::write_request(old, &proof, &newest.note);
            let answer = cosigner.client.post(&cosigner.path, "text/plain", body).await;
            let answer = answer.map_err(|error| refused(error.to_string()))?;
            let text = String::from_utf8_lossy(answer.body()).into_owned();
            match answer.status().as_u16() {
                200 => {
                    let whole = [newest.note.as_slice(), text.as_bytes()].concat();
                    let keys = std::slice::from_ref(&cosigner.key);
                    let read = Checkpoint::verify(&whole, self.log().key(), keys);
                    let read = read.map_err(|error| refused(error.to_string()))?;
                    if read.witnesses.is_empty() {
                        return Err(refused("its answer has no cosignature by its key".to_owned()).into());
                    }
                    *cosigner.size.lock().unwrap_or_else(PoisonError::into_inner) = newest.size;
                    return Ok(text);
                }
                409 => {
                    let size = text.trim().parse().map_err(|_| refused("its answer is no size".to_owned()))?;
                    if size > newest.size {
                        return Err(self.beyond(size, refused)?);
                    }
                    *cosigner.size.lock().unwrap_or_else(PoisonError::into_inner) = size;
                }
                // The proof does not lead from what it has cosigned to this.
                422 => return Err(another(format!("it answered 422: {}", text.trim()))),
                status => return Err(refused(format!("it answered {status}: {}", text.trim())).into()),
            }
        }
        Err(refused("it remembers another size each time: does another program cosign for it?".to_owned()).into())
    }
}

impl Authority {
    /// What it means that a witness has cosigned so many entries, more than it was asked about. It is not kept: who is on the way
    /// could say anything.
    fn beyond(&self, cosigned: u64, refused: impl Fn(String) -> Error) -> Result<Uncosigned, Error> {
        let size = self.log().checkpoint()?.map_or(0, |checkpoint| checkpoint.size);
        // The next round asks about the newer one.
        Ok(if cosigned <= size {
            refused("another hub was faster".to_owned()).into()
        } else {
            let why = format!("it has cosigned {cosigned} entries, and this log has {size}");
            Uncosigned { error: refused(why), remembers_another: true }
        })
    }
}

/// Why a witness has not cosigned.
struct Uncosigned {
    error: Error,
    /// It has cosigned what this log does not go on from.
    remembers_another: bool,
}

impl From<Error> for Uncosigned {
    fn from(error: Error) -> Self {
        Self { error, remembers_another: false }
    }
}
