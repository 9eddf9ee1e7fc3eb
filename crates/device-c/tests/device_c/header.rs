//! The header against the code: constants, layouts, functions.

use crate::library::{compile, finished, folder, scratch};
use medlock_device_c::{numbers, records};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;

fn header() -> String {
    std::fs::read_to_string(folder().join("include/medlock_device.h")).expect("the header")
}

/// The enumerators of the header.
fn constants(header: &str) -> BTreeMap<String, i64> {
    let lines = header.lines().map(str::trim).filter(|line| line.starts_with("MEDLOCK_"));
    let pairs = lines.filter_map(|line| line.split_once(" = "));
    let pairs = pairs.map(|(name, rest)| {
        let digits: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        let value = match digits.strip_prefix("0x") {
            Some(hexadecimal) => i64::from_str_radix(hexadecimal, 16),
            None => digits.parse(),
        };
        (name.to_string(), value.unwrap_or_else(|_| panic!("no number: {rest}")))
    });
    pairs.collect()
}

/// Shows REQ-DEV-62: each constant of the header has the value it has in Rust, and none is missing on either side.
#[test]
fn constants_are_those_of_the_code() {
    let there = constants(&header());
    let here: BTreeMap<String, i64> =
        numbers::ALL.iter().map(|(name, value)| (name.to_string(), i64::from(*value))).collect();
    assert!(here.len() > 100);
    assert_eq!(here.len(), numbers::ALL.len(), "a name twice");
    let differs: Vec<&String> =
        there.keys().chain(here.keys()).filter(|name| there.get(*name) != here.get(*name)).collect();
    assert!(differs.is_empty(), "header and code differ: {differs:?}");
}

/// Shows REQ-DEV-62: each struct has the same fields at the same places on both sides.
#[test]
fn structs_lie_in_memory_as_in_the_code() {
    let mut source = "#include \"medlock_device.h\"\n#include <stdio.h>\nint main(void)\n{\n".to_string();
    let mut expected = String::new();
    for (name, size, fields) in records::LAYOUTS {
        writeln!(source, "    printf(\"{name} %u\\n\", (unsigned)sizeof({name}));").expect("room");
        writeln!(expected, "{name} {size}").expect("room");
        for (field, offset) in *fields {
            writeln!(source, "    printf(\"{name}.{field} %u\\n\", (unsigned)offsetof({name}, {field}));")
                .expect("room");
            writeln!(expected, "{name}.{field} {offset}").expect("room");
        }
    }
    source += "    return 0;\n}\n";
    let folder = scratch("layout");
    let (path, program) = (folder.join("layout.c"), folder.join("layout"));
    std::fs::write(&path, source).expect("the source can be written");
    compile(&[&"-o", &program, &path]);
    let output = finished(Command::new(&program), "the program that prints layouts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    let structs = header().matches("typedef struct").count();
    assert_eq!(records::LAYOUTS.len() + 2, structs, "all but the two opaque ones are compared");
}

/// Shows REQ-DEV-62: every function that the header declares is in the code with as many arguments, and the other way
/// round. The example calls most of them, so the linker compares the rest.
#[test]
fn functions_are_those_of_the_code() {
    let mut declared = BTreeMap::new();
    for declaration in without_comments(&header()).split(';') {
        let Some((head, arguments)) = declaration.split_once('(') else { continue };
        let Some(name) = head.split_whitespace().last().filter(|name| name.starts_with("medlock_")) else { continue };
        declared.insert(name.to_string(), count(arguments));
    }
    // It is the firmware's own.
    assert_eq!(declared.remove("medlock_panicked"), Some(0));
    let mut defined = BTreeMap::new();
    for file in ["calls", "trust", "owner", "therapy", "commander", "software"] {
        let code = std::fs::read_to_string(folder().join(format!("src/{file}.rs"))).expect("a module");
        for function in code.split("extern \"C\" fn ").skip(1) {
            let (name, rest) = function.split_once('(').expect("a function has arguments");
            let arguments = rest.split(") ->").next().expect("and a result");
            defined.insert(name.to_string(), arguments.matches(": ").count());
        }
    }
    assert!(defined.len() > 40);
    assert_eq!(declared, defined);
}

fn without_comments(text: &str) -> String {
    text.split("/*").map(|part| part.split_once("*/").map_or(part, |(_, after)| after)).collect()
}

fn count(arguments: &str) -> usize {
    if arguments.trim_end().trim_end_matches(')').trim() == "void" { 0 } else { arguments.split(',').count() }
}

/// Shows REQ-DEV-63: the header is C99 and C++ without a warning.
#[test]
fn the_header_is_c_and_cpp_without_a_warning() {
    let header = folder().join("include/medlock_device.h");
    compile(&[&"-fsyntax-only", &"-x", &"c", &header]);
    let mut command = Command::new("c++");
    command.args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-x", "c++"]).arg(&header);
    let output = command.output().expect("c++ is missing; `cargo xtask peers` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
