//! The C compiler, and the static library that Cargo built for these tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

/// This crate's folder.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A folder for what this test makes.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder for what is built");
    folder
}

/// Compiles with all warnings as errors.
pub(crate) fn compile(arguments: &[&dyn AsRef<std::ffi::OsStr>]) {
    let mut command = Command::new("cc");
    command.args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"]).arg(folder().join("include"));
    for argument in arguments {
        command.arg(argument.as_ref());
    }
    finished(command, "cc, a C compiler (on Debian: apt-get install gcc libc6-dev)");
}

/// Runs a program that must succeed.
pub(crate) fn finished(mut command: Command, what: &str) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{what}: {}\n{out}{err}", output.status);
    output
}

/// The newest static library beside this test: the one that was built with it.
pub(crate) fn library() -> PathBuf {
    let test = std::env::current_exe().expect("the test is a file");
    let folder = test.parent().expect("it lies in a folder");
    let age = |path: &PathBuf| path.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let files = std::fs::read_dir(folder).expect("the folder of the test can be read");
    let libraries = files.filter_map(|file| Some(file.ok()?.path())).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libmedlock_device_c") && name.ends_with(".a")
    });
    libraries.max_by_key(age).unwrap_or_else(|| panic!("no libmedlock_device_c*.a in {}", folder.display()))
}

/// What a program needs beside the library: `rustc --print native-static-libs`.
pub(crate) const SYSTEM: [&str; 5] = ["-lgcc_s", "-lpthread", "-lm", "-ldl", "-lc"];
