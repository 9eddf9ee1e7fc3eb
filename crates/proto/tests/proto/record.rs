//! What devices report to their hub.

use medlock_proto::reading::{Decimal, Mdc, Moment, Reading, Special, Value};
use medlock_proto::record::{
    Answer, Delivered, Delivery, Incarnation, Lost, Numbered, Record, Records, Refusal, Report, Sort,
};
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
    let sort = prop_oneof![Just(Sort::Bolus), Just(Sort::TemporaryBasal)];
    let course = (sort, proptest::option::of(any::<u64>()), moment());
    let delivery = (any::<u64>(), any::<u64>(), course, amount, any::<u16>(), commander).prop_map(
        |(bond_epoch, counter, (sort, began, moment), delivered, concentration, commander)| {
            let (began, concentration) = (began.map(|began| began.min(moment.ticks)), Concentration(concentration));
            Record::Delivery(Delivery { bond_epoch, counter, sort, began, moment, delivered, concentration, commander })
        },
    );
    prop_oneof![reading, delivery]
}

fn report(incarnation: u64, (readings, deliveries): (u64, u64), records: &[Record]) -> Vec<u8> {
    let mut out = vec![0; Report::MAX_HEAD + records.len() * Record::MAX_LENGTH];
    let mut cursor = Cursor::new(&mut out[..]);
    let lost = Lost { readings, deliveries };
    Report::encode(Incarnation(incarnation), lost, records, &mut Writer::new(&mut cursor)).expect("within its bound");
    let length = cursor.position();
    out.truncate(length);
    out
}

/// A report that was read, written again.
fn again(read: Report<'_>) -> Vec<u8> {
    let (incarnation, lost) = (read.incarnation.0, (read.lost.readings, read.lost.deliveries));
    report(incarnation, lost, &read.records.collect::<Vec<_>>())
}

fn answer(refused: &[(u16, Refusal)]) -> Vec<u8> {
    let mut out = vec![0; 3 + refused.len() * 5];
    let mut cursor = Cursor::new(&mut out[..]);
    Answer::encode(refused, &mut Writer::new(&mut cursor)).expect("within its bound");
    let length = cursor.position();
    out.truncate(length);
    out
}

proptest! {
    /// Shows REQ-INTAKE-20: what is reported is read as it was written, and each is within its bound.
    #[test]
    fn records_round_trip(
        incarnation in any::<u64>(), lost in any::<(u64, u64)>(), all in proptest::collection::vec(record(), 0..8),
    ) {
        let bytes = report(incarnation, lost, &all);
        let read = Report::read(&bytes).expect("read");
        prop_assert_eq!((read.incarnation.0, read.lost), (incarnation, Lost { readings: lost.0, deliveries: lost.1 }));
        prop_assert_eq!(read.records.collect::<Vec<_>>(), all);
    }

    /// Shows REQ-INTAKE-20.
    #[test]
    fn any_bytes_are_refused_or_written_again(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
        if let Ok(read) = Report::read(&bytes) {
            prop_assert_eq!(again(read), &bytes[..]);
        }
        if let Ok(read) = Answer::read(&bytes) {
            prop_assert_eq!(answer(&read.collect::<Vec<_>>()), bytes);
        }
    }

    /// Shows REQ-INTAKE-20: nothing may be missing or follow, and a changed byte is another record or none.
    #[test]
    fn cut_longer_and_changed_lists_are_refused(one in record(), at in any::<proptest::sample::Index>(), to in any::<u8>()) {
        let whole = report(7, (0, 0), &[one]);
        for length in 0..whole.len() {
            prop_assert!(Report::read(&whole[..length]).is_err());
        }
        prop_assert!(Report::read(&[&whole[..], &[0]].concat()).is_err());
        let mut changed = whole.clone();
        changed[at.index(whole.len())] = to;
        if let Ok(read) = Report::read(&changed) {
            prop_assert_eq!(again(read), changed);
        }
    }
}

/// Shows REQ-INTAKE-20, REQ-INTAKE-30: the bytes of docs/sealed-command.md.
#[test]
fn a_delivery_has_the_documented_form() {
    let bytes = [
        0x84, 9, 0, 0, 0x81, 0x8c, 1, 7, 2, 0, 0x18, 30, 0x18, 41, 0xf6, 0xf6, 0, 0x19, 0x05, 0xdc, 0x18, 100, 0x62,
        b'c', b'7',
    ];
    let delivery = Delivery {
        bond_epoch: 7,
        counter: 2,
        sort: Sort::Bolus,
        began: Some(30),
        moment: Moment { ticks: 41, utc: None },
        delivered: Delivered::Amount(MilliUnits(1_500)),
        concentration: Concentration::U100,
        commander: DeviceName::new("c7"),
    };
    assert_eq!(report(9, (0, 0), &[Record::Delivery(delivery)]), bytes);
    // A sort and a certainty that do not exist, a beginning behind the end, an empty name, a list that says it has more than one
    // message may hold, and one member more.
    for (at, wrong) in [(9, 2), (16, 2), (11, 42), (22, 0x60), (4, 0x82), (0, 0x85)] {
        let mut bytes = bytes;
        bytes[at] = wrong;
        assert!(Report::read(&bytes).is_err(), "{at}");
    }
    assert!(Reader::new(&[0x19, 1, 0x21]).array(Records::MAX).is_err());
}

/// Shows REQ-INTAKE-64, REQ-INTAKE-28: an answer names what is refused, each once, in its order.
#[test]
fn an_answer_has_the_documented_form() {
    let refused = [(0, Refusal::Unfit), (287, Refusal::OtherContents)];
    let bytes = [0x82, 0x82, 0, 2, 0x82, 0x19, 1, 31, 1];
    assert_eq!(answer(&refused), bytes);
    assert_eq!(Answer::read(&bytes).expect("read").collect::<Vec<_>>(), refused);
    let later = [0x81, 0x82, 4, 3];
    assert_eq!(answer(&[(4, Refusal::NoRoom)]), later);
    assert_eq!(Answer::read(&later).expect("read").collect::<Vec<_>>(), [(4, Refusal::NoRoom)]);
    assert_eq!(Answer::read(&[0x80]).expect("read").count(), 0);
    for (at, wrong) in [(0, 0x83), (1, 0x81), (3, 0), (3, 4), (7, 32)] {
        let mut bytes = bytes;
        bytes[at] = wrong;
        assert!(Answer::read(&bytes).is_err(), "{at}");
    }
    assert!(Answer::read(&[0x82, 0x82, 1, 1, 0x82, 1, 1]).is_err(), "the same twice");
    assert!(Answer::read(&[]).is_err());
}
