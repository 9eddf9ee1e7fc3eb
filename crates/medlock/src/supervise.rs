//! Child processes: this same program under another command, ended with their parent.

use crate::{Failure, output};
use std::ffi::OsString;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The option that makes a child end when its standard input does, and with it when its parent dies, however it dies.
pub(crate) const WITH_PARENT: &str = "--with-parent";

/// A child that runs this program; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    name: String,
}

impl Process {
    /// Starts `command`, made by [`command`], with [`WITH_PARENT`].
    ///
    /// # Errors
    /// When the program cannot be started.
    pub(crate) fn start(name: &str, mut command: Command) -> Result<Self, Failure> {
        let mut child = command
            .arg(WITH_PARENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{name} cannot be started: {error}"))?;
        let stdout = child.stdout.take().ok_or_else(|| format!("{name} has no standard output"))?;
        Ok(Self { child, lines: BufReader::new(stdout).lines(), name: name.into() })
    }

    /// The child's next line of standard output.
    ///
    /// # Errors
    /// When the child has ended.
    pub(crate) async fn line(&mut self) -> Result<String, Failure> {
        match self.lines.next_line().await? {
            Some(line) => Ok(line),
            None => Err(format!("{} ended: {}", self.name, self.child.wait().await?).into()),
        }
    }

    /// Gives the child a line on its standard input.
    ///
    /// # Errors
    /// When the child has ended.
    pub(crate) async fn give(&mut self, line: &str) -> Result<(), Failure> {
        let name = &self.name;
        let input = self.child.stdin.as_mut().ok_or_else(|| format!("{name} has no standard input"))?;
        let line = format!("{line}\n");
        input.write_all(line.as_bytes()).await.map_err(|error| format!("{name} takes nothing more: {error}").into())
    }

    /// Kills the child at once (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub(crate) async fn kill(&mut self) -> Result<(), Failure> {
        Ok(self.child.kill().await?)
    }

    /// The process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

/// A command that runs this same program.
///
/// # Errors
/// When the program's own path is unknown.
pub(crate) fn command<I, S>(arguments: I) -> Result<Command, Failure>
where
    I: IntoIterator<Item = S>,
    S: Into<OsString>,
{
    let program = std::env::current_exe().map_err(|error| format!("own program not found: {error}"))?;
    let mut command = Command::new(program);
    command.args(arguments.into_iter().map(Into::into));
    output::log_as_we_do(command.as_std_mut());
    Ok(command)
}

/// Returns when this process should end: asked by a signal, or, `with_parent`, when standard input has ended because the
/// parent has.
///
/// # Errors
/// When the signals cannot be watched.
pub(crate) async fn asked_to_stop_or_gone(with_parent: bool) -> std::io::Result<()> {
    tokio::select! {
        result = asked_to_stop() => result,
        () = parent_gone(), if with_parent => Ok(()),
    }
}

async fn parent_gone() {
    // Whatever is written to us is ignored; an error is an end too.
    let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
}

async fn asked_to_stop() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}
