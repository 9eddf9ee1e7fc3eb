//! A PKCS#11 token in software (SoftHSM 2), which tests take away and put back.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A new token called `medlock` in a folder of its own.
#[derive(Debug)]
pub struct SoftHsm {
    dir: PathBuf,
    module: PathBuf,
}

impl SoftHsm {
    /// The label of the token.
    pub const TOKEN: &str = "medlock";
    /// The PIN of its user.
    pub const PIN: &str = "648219";

    /// Makes a token in `dir`.
    ///
    /// # Panics
    /// If SoftHSM is not there, or the folder cannot be used.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        std::fs::create_dir(dir.join("tokens")).expect("a folder for tokens");
        let text = format!("directories.tokendir = {}\nlog.level = ERROR\n", dir.join("tokens").display());
        std::fs::write(dir.join("softhsm2.conf"), text).expect("written");
        std::fs::write(dir.join("pin"), format!("{}\n", Self::PIN)).expect("written");
        let softhsm = Self { dir: dir.to_owned(), module: Self::library() };
        let token = ["--init-token", "--free", "--label", Self::TOKEN, "--so-pin", "7355608", "--pin", Self::PIN];
        softhsm.run("softhsm2-util", &token);
        softhsm
    }

    /// Where the library is.
    ///
    /// # Panics
    /// If SoftHSM is not there.
    #[must_use]
    pub fn library() -> PathBuf {
        let folders = ["/usr/lib/softhsm", "/usr/lib/x86_64-linux-gnu/softhsm", "/usr/lib/aarch64-linux-gnu/softhsm"];
        let module = folders.iter().map(|folder| Path::new(folder).join("libsofthsm2.so")).find(|path| path.exists());
        module.expect("SoftHSM; `cargo xtask peers` installs it")
    }

    /// Its library.
    #[must_use]
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// The file with its PIN.
    #[must_use]
    pub fn pin_file(&self) -> PathBuf {
        self.dir.join("pin")
    }

    /// Its configuration, to which the variable `SOFTHSM2_CONF` of whoever loads the library points.
    #[must_use]
    pub fn conf(&self) -> PathBuf {
        self.dir.join("softhsm2.conf")
    }

    /// Runs a program that uses it, and gives what it said.
    ///
    /// # Panics
    /// If it cannot be started or fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).env("SOFTHSM2_CONF", self.conf()).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{program}: {text}");
        text
    }

    /// Takes the token away, or puts it back. A library that has it in memory goes on with it: end its process too.
    ///
    /// # Panics
    /// If it is so already.
    pub fn there(&self, there: bool) {
        let (tokens, away) = (self.dir.join("tokens"), self.dir.join("away"));
        let (from, to) = if there { (away, tokens) } else { (tokens, away) };
        std::fs::rename(from, to).expect("moved");
    }
}
