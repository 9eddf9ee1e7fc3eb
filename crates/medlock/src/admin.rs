//! Talking to a hub: through its admin socket when it runs, else by opening its store under an exclusive lock.

use crate::{Failure, hub};
use medlock_authority::admin::{Asker, ErrorView, Request, Response};
use medlock_node::http::Client;
use std::path::Path;
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
        let socket = dir.join(SOCKET);
        match UnixStream::connect(&socket).await {
            Ok(_) => ask_running(&socket, &request).await,
            Err(_) if dir.join(hub::DATABASE).exists() => match ask_stopped(dir, request.clone()).await {
                // A hub that is just starting has the store already, and soon its socket.
                Err(_) if UnixStream::connect(&socket).await.is_ok() => ask_running(&socket, &request).await,
                outcome => outcome,
            },
            Err(error) => Err(format!(
                "no hub at {}: {error}; start one with `medlock up --dir {0}`, or name its folder with --dir",
                dir.display()
            )
            .into()),
        }
    })
}

/// Asks a running hub.
///
/// # Errors
/// As [`ask`].
pub(crate) async fn ask_running(socket: &Path, request: &Request) -> Result<Response, Failure> {
    let answer = Client::unix(socket).post("/v1/admin", "application/json", serde_json::to_vec(request)?).await?;
    if answer.status().is_success() {
        Ok(serde_json::from_slice(answer.body())?)
    } else {
        match serde_json::from_slice::<ErrorView>(answer.body()) {
            Ok(view) => Err(view.error.into()),
            Err(_) => Err(format!("the hub answered {}", answer.status()).into()),
        }
    }
}

async fn ask_stopped(dir: &Path, request: Request) -> Result<Response, Failure> {
    let authority = hub::open_for_command(dir)?;
    let asker = Asker::uid(rustix::process::getuid().as_raw());
    let answer = tokio::task::spawn_blocking(move || authority.administer(&asker, request)).await??;
    if let Response::Done { .. } = answer {
        eprintln!("The hub does not run: this is recorded, and no device hears of it before `medlock up`.");
    }
    Ok(answer)
}

/// An answer that does not fit the question.
pub(crate) fn unexpected(answer: &Response) -> Failure {
    format!("the hub answered something else than was asked; is it of another version? ({answer:?})").into()
}
