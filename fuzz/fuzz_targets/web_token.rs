//! What strangers send to the authorization server: signed tokens, keys, proofs, passkeys, and addresses that are called. An
//! address that is read is read the same again, and leads to one host.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_clinical::auth::dpop::{Asked, Proof};
use medlock_clinical::auth::passkey::{self, Passkey};
use medlock_clinical::auth::{ProviderMetadata, RevocationList, Scopes};
use medlock_clinical::jose::{Compact, Key, KeySet};
use medlock_clinical::kind::Kind;
use medlock_node::outbound::{Address, Network};
use medlock_trust::Time;

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let text = std::str::from_utf8(rest).unwrap_or_default();
    match first % 7 {
        0 => {
            let Ok(token) = Compact::read(text) else { return };
            let _ = token.danger_issuer();
            if let Some(key) = token.header().key.clone() {
                let _ = token.verify(&key);
            }
        }
        1 => {
            let _ = (Key::from_json(rest), KeySet::from_json(rest));
            let _ = (ProviderMetadata::read(rest, "https://login.example"), RevocationList::read(rest));
        }
        2 => {
            let asked =
                Asked { method: "POST", url: "https://hub.example/x", token: Some("t"), now: Time::from_unix(0) };
            let _ = Proof::check(text, &asked, |_| Some(Time::from_unix(1)));
        }
        3 => {
            let asked = passkey::Asked {
                challenge: &[7; passkey::CHALLENGE],
                origin: "https://hub.example",
                rp_id: "hub.example",
            };
            let (one, other) = rest.split_at(rest.len() / 2);
            let _ = Passkey::made(one, other, &asked);
            let known = Passkey { id: vec![1], key: one.to_vec(), counter: 0 };
            let _ = known.used(one, other, other, &asked);
        }
        4 => {
            let Ok(address) = Address::read(text) else { return };
            let again = format!("https://{}{}", address.authority(), address.path());
            // A slash may have been added to one that was as long as it may be.
            assert!(again.len() > 1_024 || Address::read(&again).as_ref() == Ok(&address), "{again}");
            assert!(!address.authority().contains('@') && !address.path().contains('#'));
        }
        5 => {
            let _ = Network::read(text);
        }
        _ => {
            let Ok(scopes) = Scopes::read(text) else { return };
            // What is written reads the same, and nothing is wider than itself.
            let told = scopes.to_string();
            assert!(
                told.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic() && !b"\"\\".contains(&byte)),
                "{told}"
            );
            assert_eq!(Scopes::of_kept(&told), scopes);
            // What is served of it is served whole.
            let kinds: Vec<_> = Kind::all().collect();
            let served = scopes.within(&scopes, &kinds);
            let again = served.within(&served, &kinds);
            assert!(served.resources().iter().all(|one| again.resources().contains(one)), "{told}");
        }
    }
});
