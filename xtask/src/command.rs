//! Running programs: each is shown before it runs, so that it can be repeated by hand.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Error, Result};

/// A program and its arguments, not yet run.
pub(crate) struct Program {
    command: Command,
    shown: Vec<OsString>,
}

/// What a program that was listened to said.
pub(crate) struct Heard {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program.as_ref());
        command.stdin(Stdio::null());
        // `cargo run` tells us about the package xtask; the programs we start should not hear of it.
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        Self { command, shown: vec![program.as_ref().to_owned()] }
    }

    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        for argument in arguments {
            self.command.arg(argument.as_ref());
            self.shown.push(argument.as_ref().to_owned());
        }
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Lets the program read our standard input, if it has to ask for a password.
    pub(crate) fn terminal(mut self, wanted: bool) -> Self {
        if wanted {
            self.command.stdin(Stdio::inherit());
        }
        self
    }

    pub(crate) fn folder(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    /// The command line, for messages; a long one is cut.
    pub(crate) fn line(&self) -> String {
        let words: Vec<_> = self.shown.iter().map(|word| word.to_string_lossy()).collect();
        let line = words.join(" ");
        match line.char_indices().nth(200) {
            Some((cut, _)) => format!("{} …", &line[..cut]),
            None => line,
        }
    }

    fn not_started(&self, error: &std::io::Error) -> Error {
        Error::new(format!("cannot start `{}`: {error}", self.shown[0].to_string_lossy()))
    }

    /// Runs with our own output; an error if it does not end well.
    pub(crate) fn run(mut self) -> Result<()> {
        println!("$ {}", self.line());
        let status = self.command.status().map_err(|error| self.not_started(&error))?;
        if status.success() { Ok(()) } else { Err(Error::new(format!("`{}` ended with {status}", self.line()))) }
    }

    /// Runs without output and returns what it said, whether it ended well or not.
    pub(crate) fn hear(mut self) -> Result<Heard> {
        let output = self.command.output().map_err(|error| self.not_started(&error))?;
        Ok(Heard {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// As [`Program::hear`], but ended after `limit`; `None` then.
    pub(crate) fn hear_within(mut self, limit: Duration) -> Result<Option<Heard>> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(|error| self.not_started(&error))?;
        let stdout = child.stdout.take().map(drain);
        let stderr = child.stderr.take().map(drain);
        let start = Instant::now();
        let broken = |error| Error::new(format!("lost sight of a child process: {error}"));
        loop {
            if let Some(status) = child.try_wait().map_err(broken)? {
                let text = |reader: Option<std::thread::JoinHandle<String>>| {
                    reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
                };
                return Ok(Some(Heard { success: status.success(), stdout: text(stdout), stderr: text(stderr) }));
            }
            if start.elapsed() > limit {
                child.kill().map_err(broken)?;
                child.wait().map_err(broken)?;
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs without output; standard output is read as JSON.
    pub(crate) fn json(self) -> Result<Value> {
        let line = self.line();
        let heard = self.hear()?;
        if !heard.success {
            return Err(Error::new(format!("`{line}` failed:\n{}", heard.stderr)));
        }
        serde_json::from_str(&heard.stdout)
            .map_err(|error| Error::new(format!("`{line}` answered no readable JSON: {error}")))
    }

    /// Runs with our own output and hands each line of standard output to `listener` as well.
    /// True if the program ended well.
    pub(crate) fn watch(mut self, shown: bool, mut listener: impl FnMut(&str)) -> Result<bool> {
        println!("$ {}", self.line());
        self.command.stdout(Stdio::piped());
        let mut child = self.command.spawn().map_err(|error| self.not_started(&error))?;
        let lost = |error| Error::new(format!("lost the output of `{}`: {error}", self.line()));
        if let Some(pipe) = child.stdout.take() {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).map_err(lost)? > 0 {
                if shown {
                    std::io::stdout().write_all(&line).map_err(lost)?;
                }
                listener(String::from_utf8_lossy(&line).trim_end());
                line.clear();
            }
        }
        Ok(child.wait().map_err(lost)?.success())
    }
}

fn drain(mut pipe: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks gives what came before it broke.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Where a program is, on the PATH or in the folders for system programs that a user's PATH may lack.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(name)).find(|path| path.is_file())
}
