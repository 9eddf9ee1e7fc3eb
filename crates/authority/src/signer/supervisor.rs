//! Starts the signer process, and starts it again when it has ended: at once where it was killed, and later and later where it
//! does not come up.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// So often in a row the process may end before anybody has reached it until who waits for it is told: another that is just
/// ending may have been in its way.
const TRIES: u32 = 3;
/// How long after it did not come up it is started again; twice as long each time.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long who asks sleeps before he looks again.
const LOOK: Duration = Duration::from_millis(20);
/// How long the last words of a process that has ended are waited for.
const HEARD_OUT: Duration = Duration::from_secs(1);

/// Starts the signer process, and starts it again when it has ended.
#[derive(Debug)]
pub struct Supervisor {
    command: Mutex<Command>,
    runs: Mutex<Runs>,
}

#[derive(Debug, Default)]
struct Runs {
    child: Option<Child>,
    /// Somebody has reached the one that runs or ran last.
    listened: bool,
    /// Those in a row that ended before anybody had reached them.
    failures: u32,
    /// The next one does not start before.
    next: Option<Instant>,
    /// What the one that runs or ran last said last.
    said: Arc<Mutex<String>>,
    /// Reads what it says.
    reader: Option<JoinHandle<()>>,
}

impl Runs {
    /// Waits a moment until all is read that the process has said, which has ended.
    fn hear_out(&mut self) {
        let Some(reader) = self.reader.take() else { return };
        let until = Instant::now() + HEARD_OUT;
        while !reader.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The process does not come up: what it said.
#[derive(Debug, thiserror::Error)]
#[error("it does not start: {0}")]
pub(super) struct NotRunning(String);

impl NotRunning {
    /// Whether this is the error.
    pub(super) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

impl Supervisor {
    /// Will run `command`: `medlock signer …` with the directory and socket of the client that gets this supervisor.
    #[must_use]
    pub fn new(mut command: Command) -> Self {
        // The process ends when its standard input does: it does not outlive us, even if we are killed.
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        Self { command: Mutex::new(command), runs: Mutex::default() }
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        let mut runs = self.runs();
        let running = runs.child.as_mut()?;
        matches!(running.try_wait(), Ok(None)).then(|| running.id())
    }

    /// Starts the process unless it runs, when its time has come.
    ///
    /// # Errors
    /// [`NotRunning`] when it has ended often by itself before anybody reached it, or is not due before `deadline`.
    pub(super) fn ensure(&self, deadline: Instant) -> io::Result<()> {
        loop {
            let mut runs = self.runs();
            let ended = match runs.child.as_mut().map(Child::try_wait).transpose()? {
                Some(None) => return Ok(()),
                Some(Some(status)) => Some(status),
                None => None,
            };
            if let Some(status) = ended {
                runs.child = None;
                runs.hear_out();
                runs.failures = if runs.listened { 0 } else { runs.failures.saturating_add(1) };
                let pause = match runs.failures.checked_sub(1) {
                    None => Duration::ZERO,
                    Some(before) => PAUSE.saturating_mul(1 << before.min(16)).min(LONGEST_PAUSE),
                };
                runs.next = Some(Instant::now() + pause);
                tracing::warn!(%status, again_in = ?pause, "the signer process has ended and is started again");
            }
            match runs.next.filter(|next| *next > Instant::now()) {
                None => return self.start(&mut runs),
                Some(next) if runs.failures >= TRIES || next >= deadline => {
                    let said = runs.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    return Err(io::Error::other(NotRunning(said)));
                }
                Some(_) => {}
            }
            drop(runs);
            std::thread::sleep(LOOK);
        }
    }

    /// Somebody has reached it.
    pub(super) fn has_listened(&self) {
        let mut runs = self.runs();
        runs.listened = true;
        runs.failures = 0;
    }

    fn start(&self, runs: &mut Runs) -> io::Result<()> {
        let mut child = self.command.lock().unwrap_or_else(PoisonError::into_inner).spawn()?;
        runs.listened = false;
        runs.said = Arc::default();
        if let Some(stderr) = child.stderr.take() {
            let said = runs.said.clone();
            let reader = std::thread::Builder::new().name("signer-says".to_owned()).spawn(move || {
                for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                    // Whoever no longer reads what we say stops nobody.
                    let _ = io::stderr().lock().write_all(&[line.as_slice(), b"\n"].concat());
                    let line = String::from_utf8_lossy(&line);
                    let line = line.strip_prefix("medlock: ").unwrap_or(&line);
                    if !line.trim().is_empty() {
                        line.clone_into(&mut said.lock().unwrap_or_else(PoisonError::into_inner));
                    }
                }
            })?;
            runs.reader = Some(reader);
        }
        runs.child = Some(child);
        Ok(())
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let runs = self.runs.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = runs.child.take() {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that notes each start, and then does this.
    fn supervisor(folder: &std::path::Path, then: &str) -> Supervisor {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("echo started >>starts; {then}")).current_dir(folder);
        Supervisor::new(command)
    }

    fn starts(folder: &std::path::Path) -> usize {
        std::fs::read_to_string(folder.join("starts")).unwrap_or_default().lines().count()
    }

    /// Shows REQ-RUN-40, REQ-RUN-41: who waits for a process that does not come up hears its own words soon, and it is not
    /// started again and again.
    #[test]
    fn a_process_that_does_not_come_up_says_why_and_is_started_ever_later() {
        let folder = tempfile::tempdir().unwrap();
        let supervisor = supervisor(folder.path(), "echo a warning >&2; echo medlock: no passphrase >&2; exit 1");
        let begun = Instant::now();
        let deadline = begun + Duration::from_secs(60);
        let said = loop {
            match supervisor.ensure(deadline) {
                Ok(()) => std::thread::sleep(LOOK),
                Err(error) => break error,
            }
        };
        assert!(NotRunning::is(&said) && begun.elapsed() < Duration::from_secs(30), "{said}");
        assert_eq!(said.to_string(), "it does not start: no passphrase");
        // Those who ask again and again for two seconds start it at most twice more: 400 and 800 ms later.
        let (before, until) = (starts(folder.path()), Instant::now() + Duration::from_secs(2));
        while Instant::now() < until {
            let _ = supervisor.ensure(Instant::now() + Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(5));
        }
        let after = starts(folder.path());
        assert!((3..=4).contains(&before) && after <= before + 3, "{before} starts, then {after}");
    }

    #[test]
    fn one_that_was_reached_and_killed_is_started_again_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let supervisor = supervisor(folder.path(), "exec sleep 60");
        let soon = || Instant::now() + Duration::from_secs(60);
        for round in 1..=5 {
            supervisor.ensure(soon()).unwrap();
            let id = supervisor.process_id().unwrap();
            supervisor.has_listened();
            let begun = Instant::now();
            while starts(folder.path()) < round {
                assert!(begun.elapsed() < Duration::from_secs(30), "it was not started in round {round}");
                std::thread::sleep(LOOK);
            }
            assert!(Command::new("kill").args(["-9", &id.to_string()]).status().unwrap().success());
            while supervisor.process_id().is_some() {
                std::thread::sleep(LOOK);
            }
        }
        // It is not waited for.
        supervisor.ensure(Instant::now()).unwrap();
    }
}
