//! Chains made for one question each.

use super::{
    maker::{
        Authority, anchor, authority_params, below, by_hand, extension, extension_der, leaf, leaf_params, named, root,
    },
    provider::Provider,
};
use medlock_trust::{
    Anchor, Budget, KeyId, Time,
    path::{self, Error, Limit, MAX_CHAIN, VerifiedPath},
    x509::{Certificate, NameForm, Problem, ids},
};
use rcgen::{CertificateParams, CidrSubnet, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, SanType};
use std::slice;

fn validate<'a>(chain: &[&'a [u8]], anchors: &[Anchor<'a>]) -> Result<VerifiedPath<'a>, Error> {
    path::validate(chain, anchors, &mut Budget::default(), &Provider)
}

/// Root, issuing authority and leaf, as a site has them.
fn site() -> (Authority, Authority, Vec<u8>) {
    let root = root(authority_params("Site root", Some(1)));
    let issuing = below(&root, authority_params("Issuing", Some(0)));
    let leaf = leaf(&issuing, &leaf_params("ct-1", &["ct-1.example.org"]));
    (root, issuing, leaf)
}

/// The outcome of a chain of root, issuing authority and leaf with these parameters.
fn outcome(issuing: CertificateParams, device: &CertificateParams) -> Result<(), Error> {
    let root = root(authority_params("Site root", None));
    let issuing = below(&root, issuing);
    let leaf = leaf(&issuing, device);
    validate(&[&leaf, &issuing.der], &[anchor(&root.der)]).map(drop)
}

/// Shows REQ-TRUST-04.
#[test]
fn a_site_chain_is_valid_with_and_without_its_root() {
    let (root, issuing, leaf) = site();
    let anchors = [anchor(&root.der)];
    let path = validate(&[&leaf, &issuing.der], &anchors).unwrap();
    assert_eq!(path.certificates().len(), 2);
    assert_eq!(path.leaf().encoding(), leaf);
    let issuing_key = KeyId::of(&[Certificate::from_der(&issuing.der).unwrap().spki()], &Provider);
    assert_eq!(path.issuer_keys(), [issuing_key, anchors[0].key_id]);

    let path = validate(&[&leaf, &issuing.der, &root.der], &anchors).unwrap();
    assert_eq!(path.certificates().len(), 2, "the root is not part of the path");
    // An issuing authority that is an anchor itself ends the path there.
    let path = validate(&[&leaf, &issuing.der, &root.der], &[anchor(&issuing.der)]).unwrap();
    assert_eq!(path.certificates().len(), 1);
}

#[test]
fn a_path_must_end_in_an_anchor() {
    let (root_one, issuing, leaf) = site();
    let (other, ..) = site();
    let anchors = [anchor(&root_one.der)];
    assert_eq!(validate(&[], &anchors).unwrap_err(), Error::EmptyChain);
    assert_eq!(validate(&[&leaf], &anchors).unwrap_err(), Error::UnknownIssuer);
    assert_eq!(validate(&[&leaf, &issuing.der], &[]).unwrap_err(), Error::UnknownIssuer);
    assert_eq!(validate(&[&root_one.der], &anchors).unwrap_err(), Error::AnchorAsLeaf);
    assert_eq!(validate(&[&leaf, &root_one.der], &anchors).unwrap_err(), Error::IssuerMismatch { index: 0 });
    // A root of the same name with another key.
    assert_eq!(validate(&[&leaf, &issuing.der], &[anchor(&other.der)]).unwrap_err(), Error::BadSignature { index: 1 });
    // Both roots, as after a change of keys: each is tried.
    assert!(validate(&[&leaf, &issuing.der], &[anchor(&other.der), anchors[0]]).is_ok());
}

/// Shows REQ-TRUST-04.
#[test]
fn an_issuer_must_be_an_authority_that_may_sign_certificates() {
    let device = leaf_params("ct-1", &[]);
    assert_eq!(outcome(authority_params("Issuing", None), &device), Ok(()));
    let mut no_ca = authority_params("Issuing", None);
    no_ca.is_ca = IsCa::ExplicitNoCa;
    no_ca.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    assert_eq!(outcome(no_ca, &device), Err(Error::NotAuthority { index: 1 }));
    let mut silent = authority_params("Issuing", None);
    silent.is_ca = IsCa::NoCa;
    silent.key_usages.clear();
    assert_eq!(outcome(silent, &device), Err(Error::NotAuthority { index: 1 }));
    let mut no_sign = authority_params("Issuing", None);
    no_sign.key_usages = vec![KeyUsagePurpose::CrlSign];
    assert_eq!(outcome(no_sign, &device), Err(Error::KeyUsage { index: 1 }));
    let mut boasting = device;
    boasting.key_usages.push(KeyUsagePurpose::KeyCertSign);
    assert_eq!(outcome(authority_params("Issuing", None), &boasting), Err(Error::Contradiction { index: 0 }));
}

#[test]
fn a_path_length_counts_authorities_but_not_those_that_issued_themselves() {
    let root = root(authority_params("Site root", None));
    let one = below(&root, authority_params("One", Some(0)));
    let two = below(&one, authority_params("Two", None));
    let leaf_two = leaf(&two, &leaf_params("ct-1", &[]));
    let anchors = [anchor(&root.der)];
    assert_eq!(validate(&[&leaf_two, &two.der, &one.der], &anchors).unwrap_err(), Error::PathLength { index: 1 });
    // The same authority with a new key.
    let renewed = below(&one, authority_params("One", Some(0)));
    let leaf_renewed = leaf(&renewed, &leaf_params("ct-1", &[]));
    assert!(validate(&[&leaf_renewed, &renewed.der, &one.der], &anchors).is_ok());
}

fn constrained(permitted: Vec<GeneralSubtree>, excluded: Vec<GeneralSubtree>) -> CertificateParams {
    let mut params = authority_params("Issuing", None);
    params.name_constraints = Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded });
    params
}

/// Shows REQ-TRUST-06.
#[test]
fn names_stay_inside_the_constraints_of_authorities_above() {
    let dns = |name: &str| GeneralSubtree::DnsName(name.into());
    let ip = |address| GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(address, 8));
    let refused = |form| Err(Error::NameConstraint { index: 0, form });
    let device = leaf_params("ct-1", &["ct-1.example.org", "10.0.0.1"]);
    for (permitted, excluded, expected) in [
        (vec![dns("example.org"), ip([10, 0, 0, 0])], vec![], Ok(())),
        (vec![dns("example.com")], vec![], refused(NameForm::Dns)),
        (vec![ip([192, 0, 0, 0])], vec![], refused(NameForm::Ip)),
        (vec![], vec![dns("ct-1.example.org")], refused(NameForm::Dns)),
        (vec![], vec![ip([10, 0, 0, 0])], refused(NameForm::Ip)),
        (vec![], vec![dns("ct-2.example.org")], Ok(())),
        (vec![GeneralSubtree::DirectoryName(named("Else"))], vec![], refused(NameForm::Directory)),
        (vec![], vec![GeneralSubtree::DirectoryName(named("ct-1"))], refused(NameForm::Directory)),
        (vec![GeneralSubtree::Rfc822Name("example.org".into())], vec![], Ok(())),
    ] {
        let params = constrained(permitted.clone(), excluded.clone());
        assert_eq!(outcome(params, &device), expected, "{permitted:?} {excluded:?}");
    }
}

/// Guards against what RUSTSEC-2026-0098 was in another implementation: a form of name that no arm had in mind.
#[test]
fn a_uri_is_bound_by_uri_constraints() {
    // nameConstraints { permitted { uniformResourceIdentifier ".example.org" } }
    let uri = [&[0x30, 18, 0xa0, 16, 0x30, 14, 0x86, 12][..], b".example.org"].concat();
    let mut issuing = authority_params("Issuing", None);
    issuing.custom_extensions = vec![extension(&[2, 5, 29, 30], uri, true)];
    for (name, expected) in [
        ("https://hub.example.org/x", Ok(())),
        ("https://hub.example.com/x", Err(Error::NameConstraint { index: 0, form: NameForm::Uri })),
        ("https://10.0.0.1/x", Err(Error::NameConstraint { index: 0, form: NameForm::Uri })),
        ("urn:uuid:1", Err(Error::NameConstraint { index: 0, form: NameForm::Uri })),
    ] {
        let mut device = leaf_params("ct-1", &[]);
        device.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
        assert_eq!(outcome(issuing.clone(), &device), expected, "{name}");
    }
}

/// A name that cannot be told to lie outside an excluded subtree counts as inside.
#[test]
fn a_uri_without_a_host_does_not_slip_past_an_exclusion() {
    // nameConstraints { excluded { uniformResourceIdentifier ".example.org" } }
    let uri = [&[0x30, 18, 0xa1, 16, 0x30, 14, 0x86, 12][..], b".example.org"].concat();
    let mut issuing = authority_params("Issuing", None);
    issuing.custom_extensions = vec![extension(&[2, 5, 29, 30], uri, true)];
    for (name, refused) in [("https://hub.example.com/", false), ("https://10.0.0.1/", true), ("urn:uuid:1", true)] {
        let mut device = leaf_params("ct-1", &[]);
        device.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
        assert_eq!(outcome(issuing.clone(), &device).is_err(), refused, "{name}");
    }
}

#[test]
fn an_anchor_may_bring_constraints_of_its_own() {
    let mut params = constrained(vec![GeneralSubtree::DnsName("example.com".into())], vec![]);
    params.distinguished_name = named("Site root");
    let root = root(params);
    let leaf = leaf(&root, &leaf_params("ct-1", &["ct-1.example.org"]));
    let mut believed = anchor(&root.der);
    let refused = validate(&[&leaf], slice::from_ref(&believed)).unwrap_err();
    assert_eq!(refused, Error::NameConstraint { index: 0, form: NameForm::Dns });
    believed.name_constraints = None;
    assert!(validate(&[&leaf], &[believed]).is_ok());
}

#[test]
fn an_unknown_critical_extension_is_refused_wherever_it_is() {
    let unknown = extension(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0], true);
    let mut device = leaf_params("ct-1", &[]);
    device.custom_extensions = vec![unknown.clone()];
    assert_eq!(outcome(authority_params("Issuing", None), &device), Err(Error::UnknownCriticalExtension { index: 0 }));
    let mut issuing = authority_params("Issuing", None);
    issuing.custom_extensions = vec![unknown];
    assert_eq!(outcome(issuing, &leaf_params("ct-1", &[])), Err(Error::UnknownCriticalExtension { index: 1 }));
}

#[test]
fn nothing_else_than_an_authority_can_be_made_an_anchor() {
    let (_, _, leaf) = site();
    let certificate = Certificate::from_der(&leaf).unwrap();
    assert!(Anchor::for_everything(&certificate, path::AuthorityKind::Site, &Provider).is_none());
}

#[test]
fn a_serial_number_of_zero_or_above_twenty_octets_is_refused() {
    let (root, certificate) = by_hand(&[1], &[]);
    assert!(validate(&[&certificate], &[anchor(&root.der)]).is_ok());
    let (root, certificate) = by_hand(&[0], &[]);
    match validate(&[&certificate], &[anchor(&root.der)]).unwrap_err() {
        Error::Certificate { index: 0, error } => assert_eq!(error.problem, Problem::SerialNumber),
        other => panic!("{other}"),
    }
    for serial in [&[1; 21][..], &[0x80], &[0, 1], &[]] {
        let (_, certificate) = by_hand(serial, &[]);
        assert!(Certificate::from_der(&certificate).is_err(), "{serial:?}");
    }
}

#[test]
fn an_extension_that_occurs_twice_is_refused() {
    let key_usage = extension_der(ids::KEY_USAGE.as_bytes(), true, &[3, 2, 7, 0x80]);
    let (_, certificate) = by_hand(&[1], &[key_usage.clone(), key_usage]);
    assert_eq!(Certificate::from_der(&certificate).unwrap_err().problem, Problem::Duplicate);
}

#[test]
fn validity_is_judged_apart() {
    let root = root(authority_params("Site root", None));
    let mut issuing_params = authority_params("Issuing", None);
    issuing_params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    let issuing = below(&root, issuing_params);
    let mut device = leaf_params("ct-1", &[]);
    device.not_before = rcgen::date_time_ymd(2026, 6, 1);
    device.not_after = rcgen::date_time_ymd(2026, 7, 1);
    let leaf = leaf(&issuing, &device);
    let anchors = [anchor(&root.der)];
    let path = validate(&[&leaf, &issuing.der], &anchors).unwrap();
    let instant = |month, day| Time::from_utc(2026, month, day, 0, 0, 0).unwrap();
    assert_eq!(path.validity().not_before, instant(6, 1));
    assert_eq!(path.validity().not_after, instant(7, 1));
    assert_eq!(path.check_validity(instant(6, 1)), Ok(()));
    assert_eq!(path.check_validity(instant(7, 1)), Ok(()));
    assert_eq!(path.check_validity(instant(5, 31)), Err(Error::NotYetValid { not_before: instant(6, 1) }));
    assert_eq!(path.check_validity(instant(7, 2)), Err(Error::Expired { not_after: instant(7, 1) }));
}

/// Shows REQ-TRUST-07.
#[test]
fn work_ends_with_the_budget() {
    let (root, issuing, leaf) = site();
    let chain = [&leaf[..], &issuing.der];
    let anchors = [anchor(&root.der)];
    let limited = |mut budget: Budget| path::validate(&chain, &anchors, &mut budget, &Provider).map(drop);
    let whole = Budget::default();
    assert_eq!(limited(Budget { signatures: 2, ..whole }), Ok(()));
    assert_eq!(limited(Budget { signatures: 1, ..whole }), Err(Error::Budget(Limit::Signatures)));
    assert_eq!(limited(Budget { steps: 2, ..whole }), Err(Error::Budget(Limit::Steps)));
    assert_eq!(limited(Budget { bytes: 700, ..whole }), Err(Error::Budget(Limit::Bytes)));
    let long = [&leaf[..]; MAX_CHAIN + 1];
    assert_eq!(validate(&long, &anchors).unwrap_err(), Error::ChainTooLong);
    // Roots of the same name and other keys cost a signature each, and not more than the budget has.
    let others: Vec<Authority> = (0..40).map(|_| super::maker::root(authority_params("Site root", Some(1)))).collect();
    let mut many: Vec<Anchor<'_>> = others.iter().map(|other| anchor(&other.der)).collect();
    many.push(anchors[0]);
    assert_eq!(validate(&chain, &many).unwrap_err(), Error::Budget(Limit::Signatures));
}

#[test]
fn keys_of_every_kind_sign_paths() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = authority_params("Site root", None);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let root = Authority { issuer: rcgen::Issuer::new(params, key), der };
        let leaf = leaf(&root, &leaf_params("ct-1", &[]));
        assert!(validate(&[&leaf], &[anchor(&root.der)]).is_ok(), "{algorithm:?}");
    }
}
