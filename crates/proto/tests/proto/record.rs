//! What devices report to their hub.

use medlock_proto::reading::{Decimal, Mdc, Moment, Reading, Special, Value};
use medlock_proto::record::{Delivered, Delivery, Numbered, Record, Records};
use medlock_proto::sealed::{Concentration, MilliUnits};
use medlock_trust::cbor::{Reader, Writer};
use medlock_trust::{DeviceName, Interval, Time};
use minicbor::encode::write::Cursor;
use proptest::prelude::*;

fn moment() -> impl Strategy<Value = Moment> {
    let utc = (0..4_000_000_000_i64, proptest::option::of(0..100_000_i64)).prop_map(|(earliest, more)| {
        let latest = more.map(|more| Time::from_unix(earliest + more));
        Interval::new(Time::from_unix(earliest), latest).expect("in order")
    });
    (any::<u64>(), proptest::option::of(utc)).prop_map(|(ticks, utc)| Moment { ticks, utc })
}

fn record() -> impl Strategy<Value = Record> {
    let value = prop_oneof![
        (-Decimal::MAX_MANTISSA..=Decimal::MAX_MANTISSA, any::<i8>())
            .prop_map(|(mantissa, exponent)| Value::Number(Decimal::new(mantissa, exponent).expect("in range"))),
        (0..Special::ALL.len()).prop_map(|which| Value::Special(Special::ALL[which])),
    ];
    let reading =
        (any::<u64>(), any::<u32>(), any::<u32>(), value, moment()).prop_map(|(number, code, unit, value, moment)| {
            let reading = Reading { code: Mdc(code), unit: Mdc(unit), value, moment, mark: None };
            Record::Reading(Numbered { number, reading })
        });
    let amount = (any::<bool>(), any::<u32>()).prop_map(|(certain, amount)| match certain {
        true => Delivered::Amount(MilliUnits(amount)),
        false => Delivered::AtMost(MilliUnits(amount)),
    });
    let commander = proptest::option::of("[ -~]{1,64}").prop_map(|name| name.and_then(|name| DeviceName::new(&name)));
    let delivery = (any::<u64>(), any::<u64>(), moment(), amount, any::<u16>(), commander).prop_map(
        |(bond_epoch, counter, moment, delivered, concentration, commander)| {
            let concentration = Concentration(concentration);
            Record::Delivery(Delivery { bond_epoch, counter, moment, delivered, concentration, commander })
        },
    );
    prop_oneof![reading, delivery]
}

fn list(records: &[Record]) -> Vec<u8> {
    let mut out = vec![0; records.len() * Record::MAX_LENGTH + 3];
    let mut cursor = Cursor::new(&mut out[..]);
    Records::encode(records, &mut Writer::new(&mut cursor)).expect("each is within its bound");
    let length = cursor.position();
    out.truncate(length);
    out
}

proptest! {
    /// Shows REQ-INTAKE-20: what is reported is read as it was written, and each is within its bound.
    #[test]
    fn records_round_trip(all in proptest::collection::vec(record(), 0..8)) {
        prop_assert_eq!(Records::read(&list(&all)).expect("read").collect::<Vec<_>>(), all);
    }

    /// Shows REQ-INTAKE-20.
    #[test]
    fn any_bytes_are_refused_or_written_again(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
        if let Ok(records) = Records::read(&bytes) {
            prop_assert_eq!(list(&records.collect::<Vec<_>>()), bytes);
        }
    }

    /// Shows REQ-INTAKE-20: nothing may be missing or follow, and a changed byte is another record or none.
    #[test]
    fn cut_longer_and_changed_lists_are_refused(one in record(), at in any::<proptest::sample::Index>(), to in any::<u8>()) {
        let whole = list(&[one]);
        for length in 0..whole.len() {
            prop_assert!(Records::read(&whole[..length]).is_err());
        }
        prop_assert!(Records::read(&[&whole[..], &[0]].concat()).is_err());
        let mut changed = whole.clone();
        changed[at.index(whole.len())] = to;
        if let Ok(records) = Records::read(&changed) {
            prop_assert_eq!(list(&records.collect::<Vec<_>>()), changed);
        }
    }
}

/// Shows REQ-INTAKE-20: the bytes of docs/sealed-command.md.
#[test]
fn a_delivery_has_the_documented_form() {
    let bytes = [0x81, 0x8a, 1, 7, 2, 0x18, 41, 0xf6, 0xf6, 0, 0x19, 0x05, 0xdc, 0x18, 100, 0x62, b'c', b'7'];
    let moment = Moment { ticks: 41, utc: None };
    let delivery = Delivery {
        bond_epoch: 7,
        counter: 2,
        moment,
        delivered: Delivered::Amount(MilliUnits(1_500)),
        concentration: Concentration::U100,
        commander: DeviceName::new("c7"),
    };
    assert_eq!(list(&[Record::Delivery(delivery)]), bytes);
    // A certainty that does not exist, an empty name, a list that says it has more than one message may hold.
    for (at, wrong) in [(9, 2), (15, 0x60), (0, 0x82)] {
        let mut bytes = bytes;
        bytes[at] = wrong;
        assert!(Records::read(&bytes).is_err(), "{at}");
    }
    assert!(Reader::new(&[0x19, 1, 0x21]).array(Records::MAX).is_err());
}
