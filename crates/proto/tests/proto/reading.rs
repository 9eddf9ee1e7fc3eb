//! Readings, and the evidence made of them.

use medlock_proto::reading::{Decimal, Evidence, Mdc, Moment, Reading, Readings, Special, Value};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::cbor::{Reader, Writer};
use medlock_trust::decide::Code;
use medlock_trust::{DeviceId, Interval, Time};
use minicbor::encode::write::Cursor;
use proptest::prelude::*;

fn glucose() -> Reading {
    Reading {
        code: Mdc::CONC_GLU_ISF,
        unit: Mdc::DIM_MILLI_G_PER_DL,
        value: Value::Number(Decimal::new(123, 0).expect("in range")),
        moment: Moment { ticks: 300_000, utc: Some(Interval::exactly(Time::from_unix(1_800_000_000))) },
        mark: None,
    }
}

fn bytes(reading: &Reading) -> Vec<u8> {
    reading.to_slice(&mut [0; Reading::MAX_LENGTH]).expect("it fits").to_vec()
}

fn list(readings: &[Reading]) -> Vec<u8> {
    let mut out = [0; 512];
    let mut cursor = Cursor::new(&mut out[..]);
    Readings::encode(readings, &mut Writer::new(&mut cursor)).expect("it fits");
    let length = cursor.position();
    out[..length].to_vec()
}

/// Shows REQ-SEAL-15: what is no number is never taken for one.
#[test]
fn specials_are_no_numbers() {
    for special in Special::ALL {
        let reading = Reading { value: Value::Special(special), ..glucose() };
        let read = Reading::decode(&mut Reader::new(&bytes(&reading))).expect("a reading");
        assert_eq!(read.value, Value::Special(special));
        assert_eq!(read.value.number(), None);
    }
    // The mantissas by which FLOAT-Type writes NaN, NRes, infinities and the reserved value.
    for mantissa in [0x7f_ffff, 0x80_0000, 0x7f_fffe, -0x7f_fffe, -0x80_0000, -0x7f_ffff] {
        assert_eq!(Decimal::new(mantissa, 0), None, "{mantissa:x}");
    }
    assert!(Decimal::new(-0x7f_fffd, 0).is_some() && Decimal::new(0x7f_fffd, 127).is_some());
}

#[test]
fn decimals_scale_towards_zero() {
    let scaled = |mantissa, exponent, to| Decimal::new(mantissa, exponent).expect("in range").scaled(to);
    assert_eq!(scaled(69, -1, 0), Some(6));
    assert_eq!(scaled(-69, -1, 0), Some(-6));
    assert_eq!(scaled(69, -1, -3), Some(6_900));
    assert_eq!(scaled(1, 127, 0), None);
    assert_eq!(scaled(0, 127, -128), Some(0));
    assert_eq!(scaled(8_388_605, -128, 127), Some(0));
}

/// Shows REQ-SEAL-16: evidence changes with every byte of every reading, its source and the order.
#[test]
fn evidence_is_of_these_readings_and_no_others() {
    let source = DeviceId::from_bytes([1; 16]);
    let later = Reading { moment: Moment { ticks: 600_000, utc: None }, ..glucose() };
    let of = |readings: &[(DeviceId, Reading)]| Evidence::of(readings, &RustCrypto);
    let whole = of(&[(source, glucose()), (source, later)]);
    let different = [
        of(&[]),
        of(&[(source, glucose())]),
        of(&[(source, later), (source, glucose())]),
        of(&[(DeviceId::from_bytes([2; 16]), glucose()), (source, later)]),
        of(&[(source, glucose()), (source, Reading { mark: Some(Code::StatusStale), ..later })]),
    ];
    assert!(different.iter().all(|other| *other != whole));
    assert_eq!(whole, of(&[(source, glucose()), (source, later)]));
    let hashed = [vec![0x81, 0x82, 0x50], vec![1; 16], bytes(&glucose())].concat();
    let hash = medlock_trust::Crypto::sha256(&RustCrypto, &[hashed.as_slice()]);
    assert_eq!(of(&[(source, glucose())]).as_bytes(), &hash[..16]);
}

fn reading() -> impl Strategy<Value = Reading> {
    let value = prop_oneof![
        ((-0x7f_fffd..=0x7f_fffd), any::<i8>())
            .prop_map(|(mantissa, exponent)| Value::Number(Decimal::new(mantissa, exponent).expect("in range"))),
        prop::sample::select(Special::ALL.to_vec()).prop_map(Value::Special),
    ];
    let utc = prop::option::of((0_i64..4_000_000_000, prop::option::of(0_i64..1_000_000))).prop_map(|utc| {
        let (earliest, width) = utc?;
        let earliest = Time::from_unix(earliest);
        Interval::new(earliest, width.map(|width| earliest.plus_seconds(width)))
    });
    let mark = prop::option::of(prop::sample::select(Code::ALL.to_vec()));
    (any::<u32>(), any::<u32>(), value, any::<u64>(), utc, mark).prop_map(|(code, unit, value, ticks, utc, mark)| {
        Reading { code: Mdc(code), unit: Mdc(unit), value, moment: Moment { ticks, utc }, mark }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// Shows REQ-SEAL-17: readings have one encoding, and are read as they were written.
    #[test]
    fn readings_come_back_as_they_were(readings in prop::collection::vec(reading(), 0..5)) {
        let written = list(&readings);
        let read: Vec<Reading> = Readings::read(&written).expect("readings").collect();
        prop_assert_eq!(&read, &readings);
        for at in 0..written.len() {
            prop_assert!(Readings::read(&written[..at]).is_err(), "cut to {}", at);
        }
    }

    /// What is accepted is written again to the same bytes; nothing panics.
    #[test]
    fn what_is_read_has_no_second_encoding(readings in prop::collection::vec(reading(), 1..3), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut changed = list(&readings);
        let at = at.index(changed.len());
        changed[at] = byte;
        if let Ok(read) = Readings::read(&changed) {
            prop_assert_eq!(list(&read.collect::<Vec<_>>()), changed);
        }
    }
}
