//! The project's task runner: `cargo xtask test` installs what the checks need, after asking, and runs them.
//!
//! | module | what is there |
//! | --- | --- |
//! | `cli` | the command line |
//! | `stage` | the stages, their order and the summary |
//! | `peers` | what the checks need from outside, and how it is installed |
//! | `suite` | tests and interop: one list of tests, divided between two stages |
//! | `docs`, `requirements`, `architecture` | checks that documents and code say the same |
//! | `bare`, `elf` | the trust core linked for a bare target |
//! | `firmware` | the pump's image in QEMU, and what it costs |
//! | `generate` | the tables that are made of published definitions |
//! | `miri`, `fuzz`, `deny`, `locks` | the other stages |
//! | `house`, `command` | paths, and running programs |

mod architecture;
mod bare;
mod cli;
mod command;
mod deny;
mod docs;
mod elf;
mod firmware;
mod fuzz;
mod generate;
mod house;
mod lines;
mod locks;
mod miri;
mod npm;
mod peers;
mod requirements;
mod stage;
mod suite;

use std::process::ExitCode;

/// What went wrong, in words for the person at the terminal: what, where, and what to do.
#[derive(Debug)]
pub(crate) struct Error(String);

impl std::fmt::Display for Error {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl Error {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wish = match cli::parse(&arguments) {
        Ok(wish) => wish,
        Err(error) => {
            eprintln!("error: {error}\n\n{}", cli::USAGE);
            return ExitCode::from(2);
        }
    };
    match carry_out(wish) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(wish: cli::Wish) -> Result<bool> {
    match wish {
        cli::Wish::Help => {
            println!("{}", cli::USAGE);
            Ok(true)
        }
        cli::Wish::Test { selection, consent } => stage::run(&house::House::find()?, &selection, consent),
        cli::Wish::Firmware { json, consent } => {
            let house = house::House::find()?;
            peers::install_missing(&house, &firmware::NEEDS, consent)?;
            firmware::show(&house, json)
        }
        cli::Wish::Generate(mode) => generate::run(&house::House::find()?, mode),
        cli::Wish::Fuzz { target, seconds } => {
            let house = house::House::find()?;
            let needs = [peers::Need::CxxCompiler];
            peers::install_missing(&house, &needs, peers::Consent::Ask)?;
            fuzz::run_one(&house, target.as_deref(), seconds)
        }
    }
}
