//! The command line of `cargo xtask`.

use crate::generate::Mode;
use crate::peers::{Consent, Peer};
use crate::stage::{Selection, Stage};
use crate::{Error, Result};

pub(crate) const USAGE: &str = "\
usage: cargo xtask test [--yes] [STAGE…]    every check, or the stages named
       cargo xtask peers [--yes]            only install what the checks need
       cargo xtask firmware [--json]        build the pump's image, run it in QEMU, print what it costs
       cargo xtask generate [--check]       make the tables of FHIR anew, or say where they differ (needs npm)
       cargo xtask fuzz [TARGET [SECONDS]]  fuzz one target (60 seconds), or list the targets

stages: format clippy docs peers tests bare firmware miri interop fuzz deny
  interop may be followed by peers: interop dcmtk orthanc pynetdicom est aiocoap libcoap pkits

Before anything is installed you are shown what, and asked; --yes answers for you.
MEDLOCK_FUZZ_SECONDS sets the seconds a target in stage fuzz (default 5).";

/// What the caller wants done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Help,
    Test {
        selection: Selection,
        consent: Consent,
    },
    Firmware {
        /// As JSON and nothing else.
        json: bool,
        consent: Consent,
    },
    /// The tables that are made of published definitions.
    Generate(Mode),
    /// Without a target: list them.
    Fuzz {
        target: Option<String>,
        seconds: u32,
    },
}

pub(crate) fn parse(arguments: &[String]) -> Result<Wish> {
    let consent =
        if arguments.iter().any(|word| word == "--yes" || word == "-y") { Consent::Given } else { Consent::Ask };
    let mut words = arguments.iter().map(String::as_str).filter(|word| !matches!(*word, "--yes" | "-y"));
    match words.next() {
        None | Some("help" | "--help" | "-h") => Ok(Wish::Help),
        Some("test") => {
            let rest: Vec<&str> = words.collect();
            if rest.iter().any(|word| matches!(*word, "--help" | "-h")) {
                return Ok(Wish::Help);
            }
            Ok(Wish::Test { selection: selection(&rest)?, consent })
        }
        Some("peers") => match words.next() {
            None => Ok(Wish::Test { selection: Selection::of(&[Stage::Peers]), consent }),
            Some(word) => Err(Error::new(format!("`cargo xtask peers` takes no further word, but got `{word}`"))),
        },
        Some("firmware") => match words.collect::<Vec<_>>().as_slice() {
            [] => Ok(Wish::Firmware { json: false, consent }),
            ["--json"] => Ok(Wish::Firmware { json: true, consent }),
            [word, ..] => Err(Error::new(format!("`cargo xtask firmware` takes --json alone, but got `{word}`"))),
        },
        Some("generate") => match words.collect::<Vec<_>>().as_slice() {
            [] => Ok(Wish::Generate(Mode::Write)),
            ["--check"] => Ok(Wish::Generate(Mode::Check)),
            [word, ..] => Err(Error::new(format!("`cargo xtask generate` takes --check alone, but got `{word}`"))),
        },
        Some("fuzz") => fuzz(&words.collect::<Vec<_>>()),
        Some(word) => Err(Error::new(format!("there is no task `{word}`"))),
    }
}

fn selection(words: &[&str]) -> Result<Selection> {
    let mut stages = Vec::new();
    let mut peers = Vec::new();
    for word in words {
        if let Some(stage) = Stage::named(word) {
            stages.push(stage);
        } else if let Some(peer) = Peer::named(word) {
            if !stages.contains(&Stage::Interop) {
                return Err(Error::new(format!("`{word}` is a peer, not a stage; say `interop {word}`")));
            }
            peers.push(peer);
        } else {
            return Err(Error::new(format!("there is no stage `{word}`")));
        }
    }
    if stages.is_empty() {
        return Ok(Selection::everything());
    }
    let mut selection = Selection::of(&stages);
    if !peers.is_empty() {
        selection.peers = peers;
    }
    Ok(selection)
}

fn fuzz(words: &[&str]) -> Result<Wish> {
    let seconds = match words.get(1) {
        None => 60,
        Some(word) => word
            .parse()
            .ok()
            .filter(|seconds| *seconds > 0)
            .ok_or_else(|| Error::new(format!("`{word}` is no number of seconds")))?,
    };
    if let Some(word) = words.get(2) {
        return Err(Error::new(format!("`cargo xtask fuzz` takes a target and seconds, but also got `{word}`")));
    }
    Ok(Wish::Fuzz { target: words.first().map(ToString::to_string), seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Wish, String> {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        parse(&words).map_err(|error| error.to_string())
    }

    #[test]
    fn test_alone_means_every_stage() {
        assert_eq!(parsed("test").unwrap(), Wish::Test { selection: Selection::everything(), consent: Consent::Ask });
    }

    #[test]
    fn yes_is_heard_anywhere() {
        for line in ["--yes test docs", "test --yes docs", "test docs -y"] {
            let expected = Wish::Test { selection: Selection::of(&[Stage::Docs]), consent: Consent::Given };
            assert_eq!(parsed(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn stages_run_in_house_order_and_once() {
        let Wish::Test { selection, .. } = parsed("test deny format deny").unwrap() else { panic!("a test") };
        assert_eq!(selection.stages, [Stage::Format, Stage::Deny]);
    }

    #[test]
    fn interop_takes_peers() {
        let Wish::Test { selection, .. } = parsed("test interop dcmtk est").unwrap() else { panic!("a test") };
        assert_eq!(selection.peers, [Peer::Dcmtk, Peer::Est]);
        let Wish::Test { selection, .. } = parsed("test interop").unwrap() else { panic!("a test") };
        assert_eq!(selection.peers, Peer::ALL);
    }

    #[test]
    fn unknown_words_are_refused_by_name() {
        assert!(parsed("test formt").unwrap_err().contains("`formt`"));
        assert!(parsed("tset").unwrap_err().contains("`tset`"));
        assert!(parsed("peers dcmtk").unwrap_err().contains("`dcmtk`"));
        assert!(parsed("test dcmtk").unwrap_err().contains("interop dcmtk"));
    }

    #[test]
    fn firmware_prints_words_or_json() {
        assert_eq!(parsed("firmware").unwrap(), Wish::Firmware { json: false, consent: Consent::Ask });
        assert_eq!(parsed("firmware --json --yes").unwrap(), Wish::Firmware { json: true, consent: Consent::Given });
        assert!(parsed("firmware --jsn").unwrap_err().contains("`--jsn`"));
    }

    #[test]
    fn fuzz_takes_a_target_and_seconds() {
        assert_eq!(parsed("fuzz").unwrap(), Wish::Fuzz { target: None, seconds: 60 });
        assert_eq!(parsed("fuzz cose 5").unwrap(), Wish::Fuzz { target: Some("cose".into()), seconds: 5 });
        assert!(parsed("fuzz cose 0").is_err());
        assert!(parsed("fuzz cose five").is_err());
        assert!(parsed("fuzz cose 5 6").is_err());
    }
}
