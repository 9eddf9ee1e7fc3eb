//! `examples/site.h`: what a site's hub makes for the two devices of the example, made here from a seed.
//!
//! `MEDLOCK_WRITE_VECTORS=1 cargo test -p medlock-device-c site_header` writes it anew.

use crate::library::folder;
use crate::platform::Dice;
use crate::site::{DAY, START, Site};
use medlock_device::platform::Rng;
use medlock_proto::crypto::Secret;
use medlock_rustcrypto::SoftwareKey;
use medlock_trust::role::Role;
use std::fmt::Write;

fn array(name: &str, bytes: &[u8]) -> String {
    let mut text = format!("\nstatic const uint8_t {name}[] = {{");
    for line in bytes.chunks(20) {
        text.push_str("\n   ");
        line.iter().for_each(|byte| write!(text, " 0x{byte:02x},").expect("a string has room"));
    }
    text + "\n};\n"
}

fn site() -> String {
    let mut dice = Dice(2026);
    let mut site = Site::new(&mut dice);
    let mut text =
        "/* Made by tests/device_c/site_header.rs: a site that exists nowhere, with keys that are no secret. */\n\
                    #include <stdint.h>\n"
            .to_string();
    writeln!(text, "\n#define SITE_TIME INT64_C({})", START.unix()).expect("a string has room");
    text += &array("SITE_ROOT", site.root.id.as_bytes());
    text += &array("SITE_LIST", &site.list(START));
    text += &array("SITE_STATUS", &site.status(START, &[]));
    for (name, device, role) in [("CONTROLLER", "controller-1", Role::Controller), ("PUMP", "pump-1", Role::Actuator)] {
        let mut secret = [0; 32];
        dice.fill(&mut secret);
        secret[0] &= 0x7f;
        let key = SoftwareKey::p256(Secret::from_bytes(secret)).expect("below the order");
        let validity = (START.plus_seconds(-DAY), START.plus_seconds(90 * DAY));
        text += &array(&format!("{name}_SECRET"), &secret);
        text += &array(&format!("{name}_CREDENTIAL"), &site.root.issue(device, &[role], &key, validity));
    }
    text
}

#[test]
fn the_site_of_the_example_is_the_one_that_is_made() {
    let path = folder().join("examples/site.h");
    if std::env::var_os("MEDLOCK_WRITE_VECTORS").is_some() {
        std::fs::write(&path, site()).expect("the file can be written");
    }
    let written = std::fs::read_to_string(&path).expect("examples/site.h");
    assert!(written == site(), "examples/site.h is not what is made: write it anew as its maker says");
}
