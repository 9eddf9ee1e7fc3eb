//! Ports, and children that end with the test.

use std::io;
use std::net::TcpListener;
use std::process::Command;

/// A TCP port on 127.0.0.1 that was free a moment ago.
///
/// # Panics
/// If the system has none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// A child process that is killed, by its id, when this is dropped.
#[derive(Debug)]
pub struct Child(std::process::Child);

impl Child {
    /// Starts `command`.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.spawn().map(Self)
    }

    /// The process, to wait for it or talk to it.
    pub const fn process(&mut self) -> &mut std::process::Child {
        &mut self.0
    }

    /// Kills it at once (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(&mut self) -> io::Result<()> {
        self.0.kill()?;
        self.0.wait().map(drop)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_child_is_gone() {
        let mut child = Child::start(Command::new("sleep").arg("1000")).expect("sleep");
        let id = child.process().id();
        drop(child);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }
}
