//! Talking to a hub: through its admin socket when it runs, else by opening its store under an exclusive lock.

use crate::{Failure, folder};
use http::StatusCode;
use medlock_authority::Authority;
use medlock_authority::admin::{Asker, ErrorView, Request, Response};
use medlock_clinical::auth::{Asked, Told};
use medlock_node::Error;
use medlock_node::http::Client;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::UnixStream;

/// The name of the admin socket in a hub's folder.
pub(crate) const SOCKET: &str = "admin.sock";

/// Asks the hub whose state is in `dir`.
///
/// # Errors
/// When there is no hub, or it refuses; the error says why in the hub's words.
pub(crate) fn ask(dir: &Path, request: Request) -> Result<Response, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let reached = Reached::at(dir).await?;
        let answer = reached.ask(request).await?;
        if let (Reached::Stopped(authority), Response::Done { .. }) = (&reached, &answer) {
            let hub = if authority.is_shared() {
                "This hub does not run: this is recorded, and the others tell it"
            } else {
                "The hub does not run: this is recorded, and no device hears of it before `medlock up`"
            };
            eprintln!("{hub}.");
        }
        Ok(answer)
    })
}

/// A hub that answers: while this is held, a stopped one stays open.
#[derive(Clone)]
pub(crate) enum Reached {
    /// It runs, and this is its admin socket.
    Running(PathBuf),
    /// It does not run, and its store is open here.
    Stopped(Arc<Authority>),
}

impl Reached {
    /// Reaches the hub whose state is in `dir`.
    ///
    /// # Errors
    /// When there is no hub, or its state is damaged.
    pub(crate) async fn at(dir: &Path) -> Result<Self, Failure> {
        let socket = dir.join(SOCKET);
        match UnixStream::connect(&socket).await {
            Ok(_) => Ok(Self::Running(socket)),
            Err(_) if folder::was_made(dir) => match folder::open_for_command(dir) {
                Ok(authority) => Ok(Self::Stopped(authority)),
                // A hub that is just starting has the store already, and soon its socket.
                Err(_) if UnixStream::connect(&socket).await.is_ok() => Ok(Self::Running(socket)),
                Err(error) => Err(error),
            },
            Err(error) => Err(format!(
                "no hub at {}: {error}; start one with `medlock up --dir {0}`, or name its folder with --dir",
                dir.display()
            )
            .into()),
        }
    }

    /// Asks it.
    ///
    /// # Errors
    /// When it cannot be reached or refuses; the error says why in the hub's words.
    pub(crate) async fn ask(&self, request: Request) -> Result<Response, Failure> {
        match self {
            Self::Running(socket) => ask_running(socket, &request).await,
            Self::Stopped(authority) => {
                let (authority, asker) = (authority.clone(), Asker::uid(rustix::process::getuid().as_raw()));
                Ok(tokio::task::spawn_blocking(move || authority.administer(&asker, request)).await??)
            }
        }
    }
}

/// Asks a running hub.
///
/// # Errors
/// As [`ask`].
pub(crate) async fn ask_running(socket: &Path, request: &Request) -> Result<Response, Failure> {
    ask_at(socket, "/v1/admin", request).await
}

/// Asks the clinical face of a running hub.
///
/// # Errors
/// As [`ask_clinical`].
pub(crate) async fn ask_running_clinical(socket: &Path, request: &Asked) -> Result<Told, Failure> {
    ask_at(socket, "/v1/clinical", request).await
}

/// Asks the clinical face of the hub whose state is in `dir`: it runs, or nothing is done.
///
/// # Errors
/// When it does not run, has no clinical face, or refuses.
pub(crate) fn ask_clinical(dir: &Path, request: &Asked) -> Result<Told, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = dir.join(SOCKET);
        if let Err(error) = UnixStream::connect(&socket).await {
            let text = "software and people are managed while the hub runs: start it with `medlock up`, or name its folder with --dir";
            return Err(format!("no hub answers at {}: {error}; {text}", socket.display()).into());
        }
        ask_at(&socket, "/v1/clinical", request).await
    })
}

async fn ask_at<T: DeserializeOwned>(socket: &Path, path: &str, request: &impl Serialize) -> Result<T, Failure> {
    let answer = Client::unix(socket).post(path, "application/json", serde_json::to_vec(request)?).await;
    let answer = answer.map_err(unanswered)?;
    if answer.status().is_success() {
        Ok(serde_json::from_slice(answer.body())?)
    } else {
        match serde_json::from_slice::<ErrorView>(answer.body()) {
            Ok(view) => Err(view.error.into()),
            Err(_) if answer.status() == StatusCode::NOT_FOUND => Err(
                "the hub has no clinical face: set clinical.enabled = true and clinical.public_url, and start it anew"
                    .into(),
            ),
            Err(_) => Err(format!("the hub answered {}", answer.status()).into()),
        }
    }
}

/// Why there is no answer, and whether what was asked may be done all the same.
fn unanswered(error: Error) -> Failure {
    match error {
        Error::Closed { .. } | Error::Connection { .. } => format!(
            "the hub has ended while it was asked, and may have done it or not: start it, look what it says, and repeat the command \
             if it was not done ({error})"
        )
        .into(),
        Error::Timeout { limit, .. } => format!(
            "the hub has not answered within {} seconds, and may do it yet: look what it says (`medlock authority audit`) before you \
             repeat the command",
            limit.as_secs()
        )
        .into(),
        other => other.into(),
    }
}

/// An answer that does not fit the question.
pub(crate) fn unexpected(answer: &Response) -> Failure {
    format!("the hub answered something else than was asked; is it of another version? ({answer:?})").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use medlock_node::http::Limits;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    /// Shows REQ-CLI-53: a hub that ends, one that is slow and one that says nonsense are told apart.
    #[tokio::test]
    async fn who_closes_is_not_who_is_slow() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join(SOCKET);
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move {
            for answer in [None, Some(""), Some("HTTP/1.1 200"), Some("SSH-2.0-hub\r\n\r\n")] {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.read_exact(&mut [0; 16]).await.unwrap();
                match answer {
                    None => {
                        tokio::spawn(async move {
                            tokio::time::sleep(Duration::from_secs(60)).await;
                            drop(stream);
                        });
                    }
                    Some(text) => stream.write_all(text.as_bytes()).await.unwrap(),
                }
            }
        });
        let limits = Limits { request: Duration::from_secs(1), ..Limits::default() };
        let client = Client::unix(&socket).with_limits(limits);
        for words in ["within 1 seconds, and may do it yet", "has ended", "has ended", "HTTP with"] {
            let error = client.post("/v1/admin", "application/json", "{}").await.unwrap_err();
            let said = unanswered(error).to_string();
            assert!(said.contains(words) && said.contains("has ended") == (words == "has ended"), "{words}: {said}");
        }
    }
}
