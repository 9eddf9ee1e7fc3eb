//! What holds for all input.

use super::{
    maker::{anchor, authority_params, below, leaf, leaf_params, request_params, root},
    provider::Provider,
};
use medlock_trust::{
    Anchor, Budget, DeviceType, Roles,
    crypto::{Crypto, KeyAlgorithm, Message, PublicKey, Signature, SignatureAlgorithm, VerifyError},
    path,
    x509::{Certificate, Name, Request, RoleExtension, role_extension_der},
};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::sync::OnceLock;

/// Root, issuing authority, leaf and a request, made once.
struct Made {
    root: Vec<u8>,
    issuing: Vec<u8>,
    leaf: Vec<u8>,
    request: Vec<u8>,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let root = root(authority_params("Site root", Some(1)));
        let issuing = below(&root, authority_params("Issuing", Some(0)));
        let params = leaf_params("ct-1", &["ct-1.example.org", "10.1.2.3"]);
        let asked = request_params("ct-1", &["ct-1.example.org"]);
        let request = asked.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec();
        Made { leaf: leaf(&issuing, &params), issuing: issuing.der, root: root.der, request }
    })
}

/// One change of a byte string.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        any::<Index>().prop_map(Change::Remove),
        any::<Index>().prop_map(Change::Cut),
    ]
}

fn changed(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        match change {
            Change::Flip(at, bit) => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Change::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
            Change::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            Change::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
    bytes
}

/// Asks a view everything it can tell.
fn look_at(der: &[u8]) {
    if let Ok(certificate) = Certificate::from_der(der) {
        assert_eq!(certificate.encoding(), der);
        let _ = format!("{} {certificate:?}", certificate.subject());
        let extensions = certificate.extensions();
        for name in extensions.subject_alt_names() {
            let _ = format!("{name} {:?}", name.hardware_module_name());
        }
        let _ = extensions.crl_distribution_points().count() + extensions.authority_info_access().count();
        let _ = (certificate.public_key(), certificate.signature_algorithm(), certificate.is_self_issued());
    }
    if let Ok(request) = Request::from_der(der) {
        let _ = (request.challenge_password(), request.attributes().count(), request.verify(&Provider));
    }
}

/// Takes every signature for right, so that tests reach the rules behind them.
struct Trusting;

impl Crypto for Trusting {
    fn verify(
        &self,
        _: SignatureAlgorithm,
        _: PublicKey<'_>,
        _: &dyn Message,
        _: Signature<'_>,
    ) -> Result<(), VerifyError> {
        Ok(())
    }

    fn sha256(&self, message: &dyn Message) -> [u8; 32] {
        Provider.sha256(message)
    }

    fn decompress<'o>(&self, _: KeyAlgorithm, _: &[u8], _: &'o mut [u8; 97]) -> Option<&'o [u8]> {
        None
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_view_panic(bytes in vec(any::<u8>(), 0..200)) {
        look_at(&bytes);
    }

    #[test]
    fn no_change_of_a_real_one_makes_a_view_panic(changes in vec(change(), 1..6)) {
        look_at(&changed(&made().leaf, &changes));
        look_at(&changed(&made().issuing, &changes));
        look_at(&changed(&made().request, &changes));
    }

    /// Shows REQ-TRUST-04.
    #[test]
    fn a_changed_chain_is_never_valid(in_leaf in vec(change(), 0..3), in_issuing in vec(change(), 0..3)) {
        let made = made();
        let (leaf, issuing) = (changed(&made.leaf, &in_leaf), changed(&made.issuing, &in_issuing));
        let anchors = [anchor(&made.root)];
        let valid = path::validate(&[&leaf, &issuing], &anchors, &mut Budget::default(), &Provider).is_ok();
        prop_assert_eq!(valid, leaf == made.leaf && issuing == made.issuing);
    }

    #[test]
    fn a_changed_request_never_proves_its_key(changes in vec(change(), 1..4)) {
        let request = changed(&made().request, &changes);
        let proves = Request::from_der(&request).is_ok_and(|view| view.verify(&Provider).is_ok());
        prop_assert_eq!(proves, request == made().request);
    }

    #[test]
    fn no_chain_makes_validation_panic(in_leaf in vec(change(), 0..3), in_root in vec(change(), 0..3)) {
        let (leaf, root) = (changed(&made().leaf, &in_leaf), changed(&made().root, &in_root));
        let Ok(view) = Certificate::from_der(&root) else { return Ok(()) };
        let Some(anchor) = Anchor::for_everything(&view, path::AuthorityKind::Maker, &Trusting) else { return Ok(()) };
        let chain = [&leaf[..], &made().issuing, &root];
        let _ = path::validate(&chain, &[anchor], &mut Budget::default(), &Trusting).map(|path| path.validity());
    }

    #[test]
    fn a_role_extension_round_trips(bits in any::<u32>(), device_type in any::<Option<u16>>()) {
        let (roles, device_type) = (Roles::from_bits(bits), device_type.map(DeviceType));
        let mut out = [0; 64];
        let der = role_extension_der(roles, device_type, &mut out);
        prop_assert_eq!(RoleExtension::from_der(der), Ok(RoleExtension { roles, device_type }));
    }

    #[test]
    fn what_is_read_as_a_role_extension_has_one_encoding(bytes in vec(any::<u8>(), 0..16)) {
        if let Ok(RoleExtension { roles, device_type }) = RoleExtension::from_der(&bytes) {
            let mut out = [0; 64];
            prop_assert_eq!(role_extension_der(roles, device_type, &mut out), &bytes[..]);
        }
    }

    #[test]
    fn names_match_whatever_case_and_space(text in "[a-zA-Z0-9 .-]{1,30}", upper in any::<bool>()) {
        let name = |tag: u8, text: &str| {
            let value = super::maker::der(tag, text.as_bytes());
            let attribute = super::maker::der(0x30, &[&[6, 3, 0x55, 4, 3], &value[..]].concat());
            super::maker::der(0x30, &super::maker::der(0x31, &attribute))
        };
        let respaced = format!("  {} ", text.replace(' ', "   "));
        let other = if upper { respaced.to_uppercase() } else { respaced.to_lowercase() };
        let (one, two) = (name(0x13, &text), name(0x0c, &other));
        let (one, two) = (Name::from_der(&one).unwrap(), Name::from_der(&two).unwrap());
        prop_assert!(one.matches(&two) && two.matches(&one) && one.is_within(&two));
        let longer = name(0x0c, &format!("{other}x"));
        prop_assert!(!one.matches(&Name::from_der(&longer).unwrap()));
    }
}
