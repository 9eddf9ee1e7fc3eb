//! Where lists are fetched from, and how one who is behind catches up.

use super::{INDEX, Index, delta};
use crate::Error;
use crate::http::{Client, Limits};
use crate::knowledge::{Kind, KnowledgeBase};
use crate::provider::AwsLc;
use bytes::Bytes;
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Method, StatusCode};
use medlock_trust::Interval;
use medlock_trust::list::List;
use std::path::PathBuf;
use std::sync::Arc;

/// The longest answer of a web server: an index with all its versions.
const LARGEST_ANSWER: usize = 4 << 20;

/// A folder of lists: on this machine, or behind a web server.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder.
    Folder(PathBuf),
    /// A web server, and the path of the folder there, which ends with a slash. Lists are signed and not secret, so it does
    /// not matter who serves them, nor over which connection.
    Web(Client, String),
}

/// What became of a question for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// There is none.
    Missing,
    /// It is as it was at the last time.
    Same,
    /// This is in it.
    File(Bytes),
}

impl Source {
    /// The folder at `text`: a path, also as `file:///path`, or `http://host[:port]/path`.
    ///
    /// # Errors
    /// [`Error::NotReady`] for other kinds of addresses.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Some(rest) = text.strip_prefix("http://") else {
            if let Some(path) = text.strip_prefix("file://").filter(|path| path.starts_with('/')) {
                return Ok(Self::Folder(path.into()));
            }
            if text.contains("://") {
                return Err(Error::NotReady(
                    "lists are fetched over http:// or from a folder; they are signed, so that nothing else is needed",
                ));
            }
            return Ok(Self::Folder(text.into()));
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { host.to_owned() } else { format!("{host}:80") };
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { "/".to_owned() } else { format!("/{path}/") };
        let limits = Limits { body_bytes: LARGEST_ANSWER, ..Limits::default() };
        Ok(Self::Web(Client::plain(address).with_limits(limits), path))
    }

    /// The file with this name; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::File`], or as [`Client::get`].
    pub async fn file(&self, name: &str) -> Result<Option<Bytes>, Error> {
        match self.file_since(name, &mut None).await? {
            Fetched::File(bytes) => Ok(Some(bytes)),
            Fetched::Missing | Fetched::Same => Ok(None),
        }
    }

    /// The file with this name, unless it is still what it was when the web server said `tag` (RFC 9110 section 13.1.2), which
    /// becomes what it says now.
    ///
    /// # Errors
    /// As [`Source::file`].
    pub async fn file_since(&self, name: &str, tag: &mut Option<HeaderValue>) -> Result<Fetched, Error> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                let read = tokio::task::spawn_blocking(move || crate::files::read(&path)).await;
                Ok(read.unwrap_or(Ok(None))?.map_or(Fetched::Missing, |bytes| Fetched::File(bytes.into())))
            }
            Self::Web(client, path) => {
                let path = format!("{path}{name}");
                let mut request = client.request(Method::GET, &path, None, Bytes::new())?;
                if let Some(tag) = tag.take() {
                    request.headers_mut().insert(IF_NONE_MATCH, tag);
                }
                let asked = request.headers().get(IF_NONE_MATCH).cloned();
                let answer = client.send(request).await?;
                match answer.status() {
                    StatusCode::OK => {
                        *tag = answer.headers().get(ETAG).cloned();
                        Ok(Fetched::File(answer.into_body()))
                    }
                    StatusCode::NOT_MODIFIED if asked.is_some() => {
                        *tag = asked;
                        Ok(Fetched::Same)
                    }
                    StatusCode::NOT_FOUND => Ok(Fetched::Missing),
                    other => Err(crate::news::status(client, &format!("GET {path}"), other, answer.body())),
                }
            }
        }
    }

    /// Which versions there are.
    ///
    /// # Errors
    /// As [`Source::file`]; [`Error::NotReady`] if there is no index, or none that can be read.
    pub async fn index(&self) -> Result<Index, Error> {
        let missing = Error::NotReady("there is no index.json: publish the list with `medlock trust-list publish`");
        Index::read(&self.file(INDEX).await?.ok_or(missing)?)
    }

    /// The list that `entry` of the index names: made of the one held if there is a delta of use, or else whole. Nobody signs
    /// deltas: one of use makes a list that the signers of the one held have signed.
    ///
    /// # Errors
    /// As [`Source::file`]; [`Error::NotReady`] if it is not there.
    pub async fn list(&self, entry: &super::Entry, held: &[u8]) -> Result<Bytes, Error> {
        if let Ok(list) = List::danger_open(held)
            && list.heading().recovery_epoch == entry.recovery_epoch
            && entry.deltas.contains(&list.heading().version)
            && let Some(file) = self.file(&entry.delta_file(list.heading().version)).await?
            && let Ok(made) = delta::apply(held, &file)
            && List::verify_successor(&made, &list, Interval::UNKNOWN, &AwsLc).is_ok()
        {
            return Ok(made.into());
        }
        let missing = Error::NotReady("a list that the index names is not there: publish the folder again");
        self.file(&entry.file()).await?.ok_or(missing)
    }
}

/// How far a catch-up came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchUp {
    /// How many lists were taken.
    pub steps: usize,
    /// The version held now.
    pub version: u64,
    /// Whether nothing newer is known; if not, go on with another call, also after a restart.
    pub finished: bool,
}

/// Takes the lists that are newer than the one held, one after the other, at most `most` in this call. Each is durable
/// before the next, so that it may be interrupted at any time.
///
/// # Errors
/// As [`Source::file`]; [`Error::NotReady`] if no list is held; [`Error::List`] if one is refused.
pub async fn catch_up(source: &Source, knowledge: &Arc<KnowledgeBase>, most: usize) -> Result<CatchUp, Error> {
    let index = source.index().await?;
    let mut steps = 0;
    loop {
        let held = knowledge.object(Kind::TrustList);
        let held =
            held.ok_or(Error::NotReady("no trust list is held yet: import the first one with its members' keys"))?;
        let list = List::danger_open(&held).map_err(|_| Error::NotReady("the trust list held is damaged"))?;
        let version = list.heading().version;
        let Some(entry) = index.next(&list, knowledge.time().earliest()) else {
            return Ok(CatchUp { steps, version, finished: true });
        };
        if steps == most {
            return Ok(CatchUp { steps, version, finished: false });
        }
        let bytes = source.list(entry, &held).await?;
        let taker = knowledge.clone();
        let taken = tokio::task::spawn_blocking(move || taker.accept(Kind::TrustList, &bytes)).await;
        let file = entry.file();
        match taken {
            Ok(Ok(_)) => steps += 1,
            Ok(Err(refused)) => return Err(Error::List { file, why: refused.to_string() }),
            Err(error) => return Err(Error::List { file, why: error.to_string() }),
        }
    }
}
