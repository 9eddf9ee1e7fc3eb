//! OpenSSL reads and verifies the DER that C509 stands for.

use crate::{
    maker::{authority_params, below, leaf, leaf_params, root},
    provider::Provider,
};
use medlock_trust::c509::{self, Points};
use std::{fs, process::Command};

fn openssl(line: &str, folder: &std::path::Path) -> String {
    let output = Command::new("openssl").args(line.split(' ')).current_dir(folder).output().expect("openssl runs");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "openssl {line}: {text}");
    text
}

/// Shows REQ-C509-11.
#[test]
fn openssl_accepts_der_made_from_c509() {
    let folder = std::env::temp_dir().join(format!("medlock-c509-openssl-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let root = root(authority_params("Root", None));
    let issuing = below(&root, authority_params("Issuing", Some(0)));
    let device = leaf(&issuing, &leaf_params("pump-1", &["pump-1.example.org", "pump.example.org"]));
    for (name, der) in [("root", &root.der), ("issuing", &issuing.der), ("device", &device)] {
        let (mut c509, mut again) = (vec![0; 2048], vec![0; 2048]);
        let c509 = c509::from_der(der, Points::Compressed, &mut c509, &Provider).unwrap();
        let again = c509::to_der(c509, &mut again, &Provider).unwrap();
        fs::write(folder.join(format!("{name}.der")), again).unwrap();
        openssl(&format!("x509 -inform der -in {name}.der -out {name}.pem"), &folder);
    }
    let text = openssl("x509 -inform der -in device.der -noout -text", &folder);
    assert!(text.contains("pump-1.example.org") && text.contains("Digital Signature"), "{text}");
    let verdict = openssl("verify -CAfile root.pem -untrusted issuing.pem device.pem", &folder);
    assert_eq!(verdict.trim(), "device.pem: OK");
    fs::remove_dir_all(&folder).unwrap();
}
