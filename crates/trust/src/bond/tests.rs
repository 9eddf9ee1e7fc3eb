use super::*;
use crate::cose::testing::{Key, Provider, sign_list};
use crate::id::KeyId;
use crate::list::{Content, Heading, ListKind, Member, Purposes, Service};
use proptest::prelude::*;
use std::vec::Vec;

fn site_list(root: &Key, service: &Key, purposes: &[Purpose], until: Option<Time>) -> Vec<u8> {
    let heading = Heading { ..Heading::first(ListKind::Site, "site", Time::from_unix(1_000), Time::from_unix(2_000)) };
    let content = Content {
        heading,
        members: &[Member { key: root.id, spki: &root.spki, name: "root" }],
        recovery: &[],
        authorities: &[],
        services: &[Service {
            key: service.id,
            spki: &service.spki,
            purposes: Purposes::of(purposes),
            authority: KeyId::from_bytes([1; 16]),
            until,
        }],
    };
    let mut payload = Vec::new();
    content.encode(&mut payload).unwrap();
    sign_list(&payload, &[root])
}

fn bond() -> SignedBond {
    SignedBond {
        device: DeviceId::from_bytes([2; 16]),
        bond: Bond {
            controller: DeviceId::from_bytes([3; 16]),
            patient: PatientContext([4; 16]),
            operations: Operations::of(&[Operation::Treat, Operation::Halt]),
            epoch: 7,
        },
        lowest_epoch: 5,
        issued: Time::from_unix(1_500),
    }
}

fn payload(bond: &SignedBond) -> Vec<u8> {
    let mut payload = Vec::new();
    bond.encode(&mut payload).unwrap();
    payload
}

/// Shows REQ-DEV-01.
#[test]
fn a_bond_is_believed_from_the_sites_key_for_bonds_by_its_own_device_alone() {
    let (root, service, stranger) = (Key::p256(), Key::p256(), Key::p256());
    let believed = |purposes: &[Purpose], until, signer: &Key, content_type, device| {
        let list = site_list(&root, &service, purposes, until);
        let list = List::danger_open(&list).unwrap();
        let bytes = signer.sign1_full(&payload(&bond()), content_type);
        SignedBond::verify(&bytes, device, &list, &Provider)
    };
    let (own, other) = (DeviceId::from_bytes([2; 16]), DeviceId::from_bytes([9; 16]));
    let kind = cose::ContentType::BOND;
    assert_eq!(believed(&[Purpose::Bonds], None, &service, kind, own), Ok(bond()));
    assert_eq!(believed(&[Purpose::Bonds], None, &service, kind, other), Err(Refused::OtherDevice));
    assert_eq!(believed(&[Purpose::Policy], None, &service, kind, own), Err(Refused::UnknownSigner));
    assert_eq!(
        believed(&[Purpose::Bonds], Some(Time::from_unix(1_499)), &service, kind, own),
        Err(Refused::UnknownSigner)
    );
    assert_eq!(believed(&[Purpose::Bonds], None, &stranger, kind, own), Err(Refused::UnknownSigner));
    assert_eq!(
        believed(&[Purpose::Bonds], None, &service, cose::ContentType::POLICY, own),
        Err(Refused::Cose(cose::Error::ContentType))
    );
}

#[test]
fn every_changed_byte_is_refused() {
    let (root, service) = (Key::p256(), Key::p256());
    let list = site_list(&root, &service, &[Purpose::Bonds], None);
    let list = List::danger_open(&list).unwrap();
    let bytes = service.sign1_full(&payload(&bond()), cose::ContentType::BOND);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(SignedBond::verify(&changed, bond().device, &list, &Provider).is_err(), "byte {at}");
    }
}

#[test]
fn a_lowest_epoch_above_its_own_is_refused() {
    let service = Key::p256();
    let bytes = service.sign1_full(&payload(&SignedBond { lowest_epoch: 8, ..bond() }), cose::ContentType::BOND);
    assert!(SignedBond::danger_open(&bytes).is_err());
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(
        device: [u8; 16], controller: [u8; 16], patient: [u8; 16],
        bits in 0_u16..512, epochs: (u64, u64), issued in 0..=Time::NEVER.unix(),
    ) {
        let (lowest_epoch, epoch) = (epochs.0.min(epochs.1), epochs.0.max(epochs.1));
        let bond = SignedBond {
            device: DeviceId::from_bytes(device),
            bond: Bond {
                controller: DeviceId::from_bytes(controller),
                patient: PatientContext(patient),
                operations: Operations::from_bits(bits).unwrap(),
                epoch,
            },
            lowest_epoch,
            issued: Time::from_unix(issued),
        };
        prop_assert_eq!(SignedBond::read_payload(&payload(&bond)), Ok(bond));
    }

    #[test]
    fn no_bytes_panic_and_what_is_read_has_one_encoding(bytes: Vec<u8>) {
        if let Ok(bond) = SignedBond::read_payload(&bytes) {
            prop_assert_eq!(payload(&bond), bytes);
        }
    }
}
