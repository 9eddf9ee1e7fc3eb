use super::*;
use std::vec::Vec;

fn voucher<'a>(pinned: Pinned<'a>, nonce: Option<&'a [u8]>) -> Voucher<'a> {
    Voucher {
        assertion: Assertion::Verified,
        created_on: Time::from_utc(2026, 11, 22, 5, 4, 3).unwrap(),
        expires_on: nonce.is_none().then(|| Time::from_utc(2036, 1, 1, 0, 0, 0).unwrap()),
        nonce,
        serial_number: "P-0007",
        idevid_issuer: Some(&[7; 20]),
        pinned,
        last_renewal_date: None,
    }
}

fn written(voucher: &Voucher<'_>) -> Vec<u8> {
    let mut data = Vec::new();
    voucher.encode(&mut data).unwrap();
    data
}

#[test]
fn what_is_written_is_read() {
    for pinned in [Pinned::Certificate(&[0x30; 700]), Pinned::Key(&[0x30; 91]), Pinned::Hash(&[9; 32])] {
        for nonce in [None, Some(&[1; 8][..]), Some(&[2; 32])] {
            let one = voucher(pinned, nonce);
            assert_eq!(Voucher::read(&written(&one)), Ok(one));
        }
    }
    let all = Voucher { last_renewal_date: Some(Time::from_unix(0)), ..voucher(Pinned::Hash(&[9; 32]), None) };
    assert_eq!(Voucher::read(&written(&all)), Ok(all));
}

#[test]
fn a_voucher_without_bounds_or_with_unknown_members_is_refused() {
    let endless = Voucher { expires_on: None, ..voucher(Pinned::Hash(&[9; 32]), None) };
    assert!(Voucher::read(&written(&endless)).is_err());
    let short = voucher(Pinned::Hash(&[9; 32]), Some(&[1; 7]));
    assert!(Voucher::read(&written(&short)).is_err());
    let good = written(&voucher(Pinned::Hash(&[9; 32]), None));
    for end in 0..good.len() {
        assert!(Voucher::read(&good[..end]).is_err());
    }
    // A member of another number than any that is known: 12.
    let mut other = good;
    let at = other.iter().position(|byte| *byte == 0x66).unwrap() - 1;
    other[at] = 12;
    assert!(Voucher::read(&other).is_err());
}

#[test]
fn dates_of_others_are_read_and_nonsense_is_not() {
    let noon = Time::from_utc(2022, 12, 6, 20, 23, 30);
    for text in
        ["2022-12-06T20:23:30Z", "2022-12-06T20:23:30.708Z", "2022-12-06T20:23:30+00:00", "2022-12-06T20:23:30.7-00:00"]
    {
        assert_eq!(date_and_time(text), noon, "{text}");
    }
    for text in [
        "",
        "2022-12-06",
        "2022-12-06T20:23:30",
        "2022-12-06T20:23:30+01:00",
        "2022-13-06T20:23:30Z",
        "2022-12-06T20:23:30.Z",
        "x022-12-06T20:23:30Z",
        "2022-12-06 20:23:30Z",
    ] {
        assert_eq!(date_and_time(text), None, "{text}");
    }
}
