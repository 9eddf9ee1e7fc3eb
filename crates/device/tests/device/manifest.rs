//! Software manifests: the draft's examples, and ones made here.

use medlock_device::manifest::{Activity, MAX_ENVELOPE, Refused, Target, Update, UpdateKey, UpdateKeys};
use medlock_proto::crypto::{OwnKey, Secret};
use medlock_rustcrypto::{PublicBits, RustCrypto, SoftwareKey};
use medlock_trust::KeyId;
use medlock_trust::crypto::{Crypto as _, Message};
use proptest::prelude::*;

const CRYPTO: RustCrypto = RustCrypto;
const EXAMPLES: &str = include_str!("suit_examples.txt");
/// The key pair of the draft's examples (its appendix "Examples").
const EXAMPLE_KEY: &str = "0296588d909418b339d150420a3612b57fb4f631a69f224fae90cb4f3fe18973";

/// fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe
const VENDOR: [u8; 16] =
    [0xfa, 0x6b, 0x4a, 0x53, 0xd5, 0xad, 0x5f, 0xdf, 0xbe, 0x9d, 0xe6, 0x63, 0xe4, 0xd4, 0x1f, 0xfe];
/// 1492af14-2569-5e48-bf42-9b2d51f2ab45
const CLASS: [u8; 16] =
    [0x14, 0x92, 0xaf, 0x14, 0x25, 0x69, 0x5e, 0x48, 0xbf, 0x42, 0x9b, 0x2d, 0x51, 0xf2, 0xab, 0x45];

fn target(installed: Option<u64>) -> Target<'static> {
    Target { vendor: VENDOR, class: CLASS, device: None, component: &[&[0]], installed }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn example(number: usize) -> Vec<u8> {
    unhex(EXAMPLES.lines().nth(number + 1).unwrap())
}

fn accept<'a>(
    envelope: &'a [u8],
    target: &Target<'_>,
    keys: &[&SoftwareKey],
    threshold: u8,
) -> Result<Update<'a>, Refused> {
    let public: Vec<PublicBits> = keys.iter().map(|key| key.public()).collect();
    let key = |bits| UpdateKey { id: key_id(bits), key: PublicBits::verifier(bits).unwrap() };
    let keys: Vec<UpdateKey<'_>> = public.iter().map(key).collect();
    Update::accept(envelope, target, &UpdateKeys { keys: &keys, threshold }, &CRYPTO)
}

fn key_id(public: &PublicBits) -> KeyId {
    KeyId::of(&[public.verifier().unwrap().bits], &CRYPTO)
}

fn key(number: u8) -> SoftwareKey {
    SoftwareKey::p256(Secret::from_bytes([number; 32])).unwrap()
}

/// The first three examples are for one component. The others want a larger processor, and say so.
///
/// Shows REQ-DEV-80.
#[test]
fn the_examples_of_the_draft_are_taken_or_refused() {
    let signer = SoftwareKey::p256(Secret::from_bytes(unhex(EXAMPLE_KEY).try_into().unwrap())).unwrap();
    for (number, uri) in [
        (0, None),
        (1, Some("http://example.com/file.bin")),
        (2, Some("http://example.com/very/long/path/to/file/file.bin")),
    ] {
        let envelope = example(number);
        let update = accept(&envelope, &target(None), &[&signer], 1).unwrap();
        assert_eq!(update.sequence_number(), number as u64);
        assert_eq!(update.size(), 34_768);
        assert_eq!(update.uri(), uri);
        assert_eq!(accept(&envelope, &target(None), &[&key(9)], 1), Err(Refused::Signatures(0)));
    }
    for (number, refused) in [(3, Refused::Command(15)), (4, Refused::Unsupported(8)), (5, Refused::Component)] {
        assert_eq!(accept(&example(number), &target(None), &[&signer], 1), Err(refused), "example {number}");
    }
}

/// Shows REQ-DEV-81.
#[test]
fn no_changed_byte_of_an_envelope_is_taken() {
    let signer = SoftwareKey::p256(Secret::from_bytes(unhex(EXAMPLE_KEY).try_into().unwrap())).unwrap();
    for number in [1, 2] {
        let envelope = example(number);
        assert!(accept(&envelope, &target(None), &[&signer], 1).is_ok());
        for at in 0..envelope.len() {
            let mut changed = envelope.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(accept(&changed, &target(None), &[&signer], 1).is_err(), "example {number}, byte {at}");
            assert!(accept(&envelope[..at], &target(None), &[&signer], 1).is_err(), "example {number}, cut at {at}");
        }
    }
}

fn bytes(content: &[u8]) -> Vec<u8> {
    let mut out = match content.len() {
        0..24 => vec![0x40 | content.len() as u8],
        24..256 => vec![0x58, content.len() as u8],
        _ => [&[0x59][..], &(content.len() as u16).to_be_bytes()].concat(),
    };
    out.extend(content);
    out
}

fn digest(content: &[u8]) -> Vec<u8> {
    [&[0x82, 0x2f, 0x58, 0x20][..], &CRYPTO.sha256(&[content])].concat()
}

const IMAGE: &[u8] = b"the image";

/// A manifest, as its parts.
struct Draft {
    number: u8,
    component: Vec<u8>,
    parameters: Vec<u8>,
    conditions: Vec<u8>,
    validate: Vec<u8>,
    more: Vec<u8>,
    members: u8,
}

impl Draft {
    fn new(number: u8) -> Self {
        let parameters = [
            &[0xa4, 1][..],
            &bytes(&VENDOR),
            &[2],
            &bytes(&CLASS),
            &[3],
            &bytes(&digest(IMAGE)),
            &[0x0e, IMAGE.len() as u8],
        ]
        .concat();
        Self {
            number,
            component: vec![0x81, 0x81, 0x41, 0],
            parameters,
            conditions: vec![1, 15, 2, 15],
            validate: vec![0x82, 3, 15],
            more: Vec::new(),
            members: 4,
        }
    }

    fn manifest(&self) -> Vec<u8> {
        let items = 2 + self.conditions.len() as u8;
        let shared = [&[0x80 | items, 0x14][..], &self.parameters, &self.conditions].concat();
        let common = [&[0xa2, 2][..], &self.component, &[4], &bytes(&shared)].concat();
        [&[0xa0 | self.members, 1, 1, 2, self.number, 3][..], &bytes(&common), &[7], &bytes(&self.validate), &self.more]
            .concat()
    }

    fn signed_by(&self, signers: &[&SoftwareKey]) -> Vec<u8> {
        envelope(&self.manifest(), signers, false)
    }
}

fn envelope(manifest: &[u8], signers: &[&SoftwareKey], named: bool) -> Vec<u8> {
    let digest = digest(&bytes(manifest));
    let mut wrapper = [&[0x81 + signers.len() as u8][..], &bytes(&digest)].concat();
    for signer in signers {
        let mut protected = vec![0xa1, 1, 0x26];
        if named {
            protected[0] = 0xa2;
            protected.push(4);
            protected.extend(bytes(key_id(&signer.public()).as_bytes()));
        }
        let signed = [&b"\x84\x6aSignature1"[..], &bytes(&protected), &[0x40], &bytes(&digest)].concat();
        let parts = [&signed[..]];
        let message: &dyn Message = &parts;
        let signature = signer.sign(message).unwrap();
        wrapper.extend(bytes(&[&[0xd2, 0x84][..], &bytes(&protected), &[0xa0, 0xf6], &bytes(&signature)].concat()));
    }
    [&[0xd8, 0x6b, 0xa2, 2][..], &bytes(&wrapper), &[3], &bytes(manifest)].concat()
}

/// Shows REQ-DEV-82.
#[test]
fn enough_different_pinned_keys_must_have_signed() {
    let [a, b, c, stranger] = [1, 2, 3, 4].map(key);
    let pinned = [&a, &b, &c];
    let draft = Draft::new(1);
    let count = |signers: &[&SoftwareKey], threshold| {
        accept(&draft.signed_by(signers), &target(None), &pinned, threshold).map(|update| update.sequence_number())
    };
    assert_eq!(count(&[&a, &c], 2), Ok(1));
    assert_eq!(count(&[&c, &b, &a], 3), Ok(1));
    assert_eq!(count(&[&stranger, &b], 1), Ok(1));
    assert_eq!(count(&[&a], 2), Err(Refused::Signatures(1)));
    // One key twice is one key.
    assert_eq!(count(&[&a, &a], 2), Err(Refused::Signatures(1)));
    assert_eq!(count(&[&stranger, &stranger], 1), Err(Refused::Signatures(0)));
    assert_eq!(count(&[], 1), Err(Refused::Signatures(0)));
    // No threshold is no licence.
    assert_eq!(count(&[], 0), Err(Refused::Signatures(0)));
    let named = envelope(&draft.manifest(), &[&b, &c], true);
    assert!(accept(&named, &target(None), &pinned, 2).is_ok());
    assert_eq!(accept(&named, &target(None), &[&a, &b], 2), Err(Refused::Signatures(1)));
}

/// Eight signatures by strangers hide no ninth: the work is bounded, and the answer is no.
#[test]
fn signature_checks_are_bounded() {
    let keys: Vec<_> = (1..=8).map(key).collect();
    let pinned: Vec<_> = keys.iter().collect();
    let stranger = key(99);
    let draft = Draft::new(1);
    let mut signers = vec![&stranger; 7];
    signers.push(&keys[7]);
    let envelope = draft.signed_by(&signers);
    assert_eq!(accept(&envelope, &target(None), &pinned, 1), Err(Refused::Signatures(0)));
    assert!(accept(&draft.signed_by(&[&keys[7]]), &target(None), &pinned, 1).is_ok());
}

/// Shows REQ-DEV-83.
#[test]
fn an_update_never_goes_back() {
    let signer = key(1);
    let envelope = Draft::new(7).signed_by(&[&signer]);
    for (installed, refused) in [(None, false), (Some(6), false), (Some(7), true), (Some(8), true)] {
        let result = accept(&envelope, &target(installed), &[&signer], 1);
        assert_eq!(result.err(), refused.then_some(Refused::NotNewer(7)), "{installed:?}");
    }
}

/// Shows REQ-DEV-84.
#[test]
fn only_the_right_image_is_installed_and_not_while_a_delivery_runs() {
    let signer = key(1);
    let envelope = Draft::new(7).signed_by(&[&signer]);
    let update = accept(&envelope, &target(None), &[&signer], 1).unwrap();
    let check = |parts: &[&[u8]]| update.check_image(&parts, &CRYPTO).map(drop);
    assert_eq!(check(&[b"the", b" ", b"image"]), Ok(()));
    assert_eq!(check(&[b"the imag"]), Err(Refused::ImageSize));
    assert_eq!(check(&[b"the image "]), Err(Refused::ImageSize));
    assert_eq!(check(&[b"The image"]), Err(Refused::ImageDigest));
    let image = update.check_image(&[IMAGE], &CRYPTO).unwrap();
    assert_eq!(image.install(Activity::Delivering, None).unwrap_err(), Refused::Delivering);
    assert_eq!(image.install(Activity::Idle, Some(6)).unwrap().sequence_number(), 7);
    // Another was installed while this one lay in its slot.
    assert_eq!(image.install(Activity::Idle, Some(7)).unwrap_err(), Refused::NotNewer(7));
}

/// Shows REQ-DEV-85.
#[test]
fn a_manifest_for_another_device_or_that_checks_too_little_is_refused() {
    let signer = key(1);
    let refused = |change: fn(&mut Draft), target: &Target<'_>| {
        let mut draft = Draft::new(1);
        change(&mut draft);
        accept(&draft.signed_by(&[&signer]), target, &[&signer], 1).err()
    };
    let own = target(None);
    assert_eq!(refused(|_| {}, &own), None);
    assert_eq!(refused(|_| {}, &Target { vendor: [1; 16], ..own }), Some(Refused::Addressee));
    assert_eq!(refused(|_| {}, &Target { class: [1; 16], ..own }), Some(Refused::Addressee));
    assert_eq!(refused(|_| {}, &Target { component: &[&[1]], ..own }), Some(Refused::Component));
    assert_eq!(refused(|_| {}, &Target { component: &[&[0], &[0]], ..own }), Some(Refused::Component));
    let two = |draft: &mut Draft| draft.component = vec![0x82, 0x81, 0x41, 0, 0x81, 0x41, 1];
    assert_eq!(refused(two, &own), Some(Refused::Component));
    assert_eq!(refused(|draft| draft.conditions = vec![1, 15], &own), Some(Refused::Incomplete));
    assert_eq!(refused(|draft| draft.conditions = vec![2, 15], &own), Some(Refused::Incomplete));
    assert_eq!(refused(|draft| draft.validate = vec![0x82, 12, 0], &own), Some(Refused::Incomplete));
    // A condition on this very device needs its parameter.
    let device = |draft: &mut Draft| draft.validate = vec![0x82, 0x18, 24, 15];
    assert_eq!(refused(device, &own), Some(Refused::Command(24)));
    // Commands and parameters beyond one image.
    assert_eq!(refused(|draft| draft.validate = vec![0x82, 0x16, 2], &own), Some(Refused::Command(22)));
    assert_eq!(refused(|draft| draft.validate = vec![0x82, 0x20, 2], &own), Some(Refused::Command(-1)));
    assert_eq!(refused(|draft| draft.conditions = vec![14, 15], &own), Some(Refused::Command(14)));
    assert_eq!(refused(|draft| draft.parameters = vec![0xa1, 5, 0], &own), Some(Refused::Unsupported(5)));
    // Parameters set again behind the checks.
    let again = |draft: &mut Draft| draft.validate = vec![0x84, 0x14, 0xa1, 0x0e, 1, 3, 15];
    assert_eq!(refused(again, &own), Some(Refused::Unsupported(14)));
    // A sequence moved to the envelope that is not there.
    let moved = |draft: &mut Draft| {
        draft.more = [&[0x14][..], &digest(b"")].concat();
        draft.members = 5;
    };
    assert_eq!(refused(moved, &own), Some(Refused::Incomplete));
}

#[test]
fn bytes_that_are_no_envelope_are_refused() {
    let signer = key(1);
    let accept = |envelope: &[u8]| accept(envelope, &target(None), &[&signer], 1).map(drop);
    assert_eq!(accept(&[0; MAX_ENVELOPE + 1]), Err(Refused::TooLong));
    let good = Draft::new(1).signed_by(&[&signer]);
    // A bare manifest, and trailing bytes.
    assert!(matches!(accept(&Draft::new(1).manifest()), Err(Refused::Malformed(_))));
    assert!(matches!(accept(&[&good[..], &[0]].concat()), Err(Refused::Malformed(_))));
    // A MAC is no signature.
    let mut mac = good;
    let tag = mac.windows(2).position(|pair| pair == [0xd2, 0x84]).unwrap();
    mac[tag] = 0xd1;
    assert!(matches!(accept(&mac), Err(Refused::Malformed(_))));
    // Version 2.
    let mut draft = Draft::new(1).manifest();
    draft[2] = 2;
    assert_eq!(accept(&envelope(&draft, &[&signer], false)), Err(Refused::Unsupported(2)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(accept(&bytes, &target(None), &[&key(1)], 1).is_err());
        // The same as a manifest that was signed: what cannot be read is refused, whoever signed it.
        prop_assert!(accept(&envelope(&bytes, &[], false), &target(None), &[&key(1)], 1).is_err());
    }

    /// A manifest that a signer made with one byte changed says something else or nothing: the values that come out are
    /// those that went in.
    #[test]
    fn what_is_taken_is_what_was_written(number in 0..24_u8, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let signer = key(1);
        let mut manifest = Draft::new(number).manifest();
        let good = envelope(&manifest, &[&signer], false);
        prop_assert_eq!(accept(&good, &target(None), &[&signer], 1).unwrap().sequence_number(), u64::from(number));
        let at = at.index(manifest.len());
        manifest[at] = byte;
        let changed = envelope(&manifest, &[&signer], false);
        if let Ok(update) = accept(&changed, &target(None), &[&signer], 1) {
            // Only these can change and still be a manifest for this device: its number, digest, size, and who is told.
            let was = accept(&good, &target(None), &[&signer], 1).unwrap();
            let rest = manifest.len() - 1;
            let written = Draft::new(number).manifest();
            let told = written[at] == 15 && byte < 16;
            prop_assert!(update != was || written == manifest || told, "byte {at} of {rest}");
        }
    }
}
