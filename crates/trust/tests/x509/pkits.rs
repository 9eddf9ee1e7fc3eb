//! NIST's Public Key Interoperability Test Suite. `pkits.txt` has what each test expects, `pkits-exceptions.txt` the
//! tests in which this crate differs and why; a test that differs without being there fails, and so does one that is
//! there and does not differ.

use super::provider::Provider;
use medlock_trust::{
    Anchor, Budget, Time,
    path::{self, AuthorityKind},
    x509::Certificate,
};
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

const TESTS: &str = include_str!("../pkits.txt");
const EXCEPTIONS: &str = include_str!("../pkits-exceptions.txt");
const SUITE: &str = "cryptography_vectors/x509/PKITS_data";

/// The suite's folder: `MEDLOCK_PKITS`, or where `cargo xtask test` installs it.
pub(crate) fn folder() -> PathBuf {
    let libraries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/lib");
    let installed = fs::read_dir(&libraries).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = installed.map(|python| python.path().join("site-packages").join(SUITE)).collect();
    if let Some(folder) = env::var_os("MEDLOCK_PKITS") {
        folders = vec![folder.into()];
    }
    folders.iter().find(|folder| folder.is_dir()).cloned().unwrap_or_else(|| {
        panic!(
            "NIST PKITS is neither below {} nor where MEDLOCK_PKITS says: run `cargo xtask test`, which installs it, or \
             set MEDLOCK_PKITS to the folder PKITS_data of PyPI's cryptography_vectors",
            libraries.display()
        )
    })
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty())
}

/// Shows REQ-TRUST-05.
#[test]
fn nist_pkits() {
    let certificates = folder().join("certs");
    let read = |name: &str| {
        let file = certificates.join(name).with_extension("crt");
        fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    };
    let root = read("TrustAnchorRootCertificate");
    let root = Certificate::from_der(&root).unwrap();
    let anchors = [Anchor::for_everything(&root, AuthorityKind::Site, &Provider).unwrap()];
    // All certificates but those with a wrong date are valid from 2010 to 2030.
    let at = Time::from_utc(2026, 1, 1, 0, 0, 0).unwrap();

    let mut exceptions: BTreeMap<&str, &str> = lines(EXCEPTIONS).filter_map(|line| line.split_once(' ')).collect();
    let mut count = 0;
    let mut wrong = Vec::new();
    for line in lines(TESTS) {
        let mut words = line.split(' ');
        let (number, expected) = (words.next().unwrap(), words.next().unwrap());
        let chain: Vec<Vec<u8>> = words.map(read).collect();
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let result = path::validate(&chain, &anchors, &mut Budget::default(), &Provider)
            .and_then(|path| path.check_validity(at).map(|()| path));
        let as_expected = match expected {
            "valid" => result.is_ok(),
            "invalid" => result.is_err(),
            other => panic!("{number}: neither valid nor invalid: {other}"),
        };
        let reason = result.map_or_else(|error| error.to_string(), |_| "valid".into());
        match (as_expected, exceptions.remove(number)) {
            (true, None) | (false, Some(_)) => {}
            (true, Some(_)) => wrong.push(format!("{number} passes and is among the exceptions")),
            (false, None) => wrong.push(format!("{number} should be {expected}: {reason}")),
        }
        count += 1;
    }
    wrong.extend(exceptions.keys().map(|number| format!("{number} is among the exceptions and not in the suite")));
    assert!(wrong.is_empty(), "{} of {count} tests:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(count, 178);
}
