//! The example in C, as a firmware would build it.

use crate::library::{SYSTEM, compile, finished, folder, library, scratch};
use std::path::Path;
use std::process::Command;

/// What the example says.
const SAID: &str = "\
pump: a session stands
controller: session with pump-1; if it asked to treat: role-lacks-operation
pump: asked for its state; operation 0 is permitted
controller: the pump's state has 1 byte
pump: delivers 1500 mIU
controller: the bolus is under way
controller: outcome 2, 1500 mIU delivered
";

/// Shows REQ-DEV-60: two devices in C shake hands, one judges the other's request, and a sealed bolus is carried out and
/// receipted, with the static library and the header alone.
#[test]
fn two_devices_in_c_meet_and_a_sealed_bolus_is_receipted() {
    assert_eq!(said(&folder().join("examples/first_session.c")), SAID);
}

/// What the pump of the example says when power goes while its motor runs: an act begins once; after the cut nobody knows,
/// and its handle names nothing.
const AFTER_A_CUT: &str = "\
pump: a session stands
controller: session with pump-1; if it asked to treat: role-lacks-operation
pump: asked for its state; operation 0 is permitted
controller: the pump's state has 1 byte
pump: delivers 1500 mIU
started twice: 10
unable after that: 10
done without power: 5
uncertain: action 0, 1500 mIU
done after the cut: 10
the bond was kept: 1
";

/// Shows REQ-DEV-71: what a firmware in C was doing when power went is uncertain at the next start, told once with the act,
/// and no handle of before names anything.
#[test]
fn a_power_cut_leaves_an_act_uncertain_and_its_handle_void() {
    assert_eq!(said(&folder().join("tests/device_c/power_cut.c")), AFTER_A_CUT);
}

/// Shows REQ-DEV-61: the page about the SDK shows code of the example, and no other.
#[test]
fn the_page_shows_what_the_example_does() {
    let page = std::fs::read_to_string(folder().join("../../docs/device-sdk.md")).expect("docs/device-sdk.md");
    let example = std::fs::read_to_string(folder().join("examples/first_session.c")).expect("the example");
    let pieces: Vec<&str> = page.split("```c\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(pieces.len() >= 5, "the page walks through the example");
    let example: Vec<&str> = example.lines().map(str::trim).collect();
    for piece in pieces {
        let lines: Vec<&str> = piece.lines().map(str::trim).collect();
        assert!(example.windows(lines.len()).any(|there| there == lines), "not in the example:\n{piece}");
    }
}

/// Compiles a program, links it with the library, runs it.
fn said(source: &Path) -> String {
    let name = source.file_stem().expect("a file has a name").to_string_lossy();
    let program = scratch(&name).join("program");
    let library = library();
    let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"-O1", &"-o", &program, &source, &library];
    SYSTEM.iter().for_each(|one| arguments.push(one));
    compile(&arguments);
    let output = finished(Command::new(&program), &format!("the program of {}", source.display()));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
