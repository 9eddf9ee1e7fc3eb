use super::*;
use jiff::civil::datetime;

const HEADER: &str = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient Info,Device Info,\
    Source Device ID,Glucose Value (mg/dL),Insulin Value (u),Carb Value (grams),Duration (hh:mm:ss),\
    Glucose Rate of Change (mg/dL/min),Transmitter Time (Long Integer),Transmitter ID\n";

fn read_rows(rows: &str) -> Result<Export, Error> {
    read(format!("{HEADER}{rows}").as_bytes())
}

fn refused(rows: &str) -> String {
    read_rows(rows).expect_err("refused").to_string()
}

/// Shows REQ-LOOP-01.
#[test]
fn every_kind_of_row_is_read() {
    let export = read_rows(
        "1,,FirstName,,\"Ann, the first\",,,,,,,,,\n\
         2,,Alert,Urgent Low,,,,55,,,,,,\n\
         3,2026-11-01T00:05:00,EGV,,,,G6,Low,,,,,300,8AM\n\
         4,2026-11-01T00:00:00,EGV,,,,G6,157,,,,-1.5,0,8AM\n\
         5,2026-11-01T00:10:00,EGV,,,,G6,\"High\",,,,,600,8AM\n\
         6,2026-11-01 7:39:00,Carbs,,,,,,,38,,,,\n\
         7,2026-11-01T08:00:00,Insulin,Fast-Acting,,,,,4.25,,,,,\n\
         8,2026-11-01T22:00:00,Insulin,Long-Acting,,,,,\"12,5\",,,,,\n\
         9,2026-11-01T09:00:00,Exercise,Medium,,,,,,,00:30:00,,,\n\
         10,2026-11-01T09:10:00,Calibration,,,,,101,,,,,,\n\
         11,2026-11-01T09:20:00,Alert,Signal Loss,,,,,,,,,,\n\
         12,2026-11-01T09:30:00,Health,Stress,,,,,,,,,,\n",
    )
    .expect("an export");
    let what: Vec<What> = export.events.iter().map(|event| event.what).collect();
    let value = |mg_dl| Measured::Value(Glucose::from_mg_dl(mg_dl));
    let insulin = |milliunits, long_acting| What::Insulin { amount: Insulin::from_milliunits(milliunits), long_acting };
    assert_eq!(
        what,
        [
            What::Glucose(value(157.0)),
            What::Glucose(Measured::Low),
            What::Glucose(Measured::High),
            What::Carbohydrates { grams: 38.0 },
            insulin(4250, false),
            What::Exercise,
            What::Calibration(value(101.0)),
            What::Alert,
            What::Other,
            insulin(12_500, true),
        ]
    );
    // In the order of time, with the lines of the file.
    assert_eq!((export.events[0].line, export.events[0].at), (5, datetime(2026, 11, 1, 0, 0, 0, 0)));
    assert_eq!((export.events[1].line, export.events[1].at), (4, datetime(2026, 11, 1, 0, 5, 0, 0)));
    assert_eq!(export.glucose().count(), 3);
}

#[test]
fn lines_are_those_of_the_file_whatever_they_end_with() {
    let rows = "1,2026-11-01T00:00:00,EGV,,,,G6,157,,,,,,\n2,2026-11-01T00:05:00,EGV,,,,G6,158,,,,,,\n";
    for end in ["\n", "\r\n"] {
        let file = format!("{HEADER}{rows}").replace('\n', end);
        let lines: Vec<u64> = read(file.as_bytes()).expect("an export").events.iter().map(|event| event.line).collect();
        assert_eq!(lines, [2, 3], "{end:?}");
        let wrong = read(format!("{file}3,2026-11-01T00:10:00,EGV{end}").as_bytes()).expect_err("a short row");
        assert!(wrong.to_string().starts_with("line 4:"), "{wrong}");
    }
}

/// Shows REQ-LOOP-01.
#[test]
fn millimoles_columns_in_another_order_and_a_mark_of_the_byte_order_are_read() {
    let text = "\u{feff}Event Type,Glucose Value (mmol/L),Something New,Timestamp (YYYY-MM-DDThh:mm:ss)\r\n\
                EGV,5.5,x,2026-11-01T00:00:00\r\nEGV,\"10,0\",,2026-11-01T00:05:00\r\n";
    let export = read(text.as_bytes()).expect("an export");
    let values: Vec<i64> = export
        .glucose()
        .map(|(_, measured)| match measured {
            Measured::Value(value) => value.mg_dl().round() as i64,
            Measured::Low | Measured::High => panic!("a value"),
        })
        .collect();
    assert_eq!(values, [99, 180]);
}

/// Shows REQ-LOOP-01: what is wrong is refused with its line, never taken for a reading.
#[test]
fn wrong_fields_are_refused_with_their_line() {
    let good = "1,2026-11-01T00:00:00,EGV,,,,G6,157,,,,,0,8AM\n";
    for (bad, what) in [
        ("2,2026-11-01T00:05:00,EGV,,,,G6,,,,,,0,8AM\n", "line 3: \"\" is no glucose value"),
        ("2,2026-11-01T00:05:00,EGV,,,,G6,-5,,,,,0,8AM\n", "line 3: \"-5\" is no glucose value"),
        ("2,2026-11-01T00:05:00,EGV,,,,G6,NaN,,,,,0,8AM\n", "line 3: \"NaN\" is no glucose value"),
        ("2,2026-11-01T00:05:00,EGV,,,,G6,1e2,,,,,0,8AM\n", "line 3: \"1e2\" is no glucose value"),
        ("2,2026-11-01T00:05:00,EGV,,,,G6,6553.5,,,,,0,8AM\n", "line 3: \"6553.5\" is no glucose value"),
        ("2,2026-11-01T00:05:00,EGV,,,,G6,7,,,,,0,8AM\n", "line 3: \"7\" is no glucose value"),
        ("2,2026-11-01T00:05:00,EGV,,,,G6,1.0.0,,,,,0,8AM\n", "line 3: \"1.0.0\" is no glucose value"),
        ("2,2026-02-30T00:05:00,EGV,,,,G6,100,,,,,0,8AM\n", "is no time"),
        ("2,2026-11-01T24:05:00,EGV,,,,G6,100,,,,,0,8AM\n", "is no time"),
        ("2,2026-11-01,EGV,,,,G6,100,,,,,0,8AM\n", "line 3: \"2026-11-01\" is no time"),
        ("2,2026-11-01T00:05:00,Insulin,,,,,,1001,,,,,\n", "line 3: \"1001\" is no amount of insulin"),
        ("2,2026-11-01T00:05:00,Carbs,,,,,,,,,,,\n", "line 3: \"\" is no amount of carbohydrates"),
        (
            "2,2026-11-01T00:05:00,EGV\n",
            "line 3: this is no CSV as Clarity exports it: 3 fields where the first row has 14",
        ),
    ] {
        let words = refused(&format!("{good}{bad}"));
        assert!(words.contains(what), "{bad:?}: {words}");
    }
    let long = format!("{good}2,{},EGV,,,,G6,100,,,,,0,8AM\n", "x".repeat(1 << 20));
    assert!(refused(&long).len() < 200);
}

/// Shows REQ-LOOP-01.
#[test]
fn exports_without_columns_or_values_are_refused() {
    assert!(matches!(read(&b""[..]), Err(Error::Column(_))));
    let words = read(&b"Zeit,Wert\n1,2\n"[..]).expect_err("refused").to_string();
    assert!(words.contains("Timestamp"), "{words}");
    assert!(matches!(read_rows("1,2026-11-01T00:00:00,Carbs,,,,,,,38,,,,\n"), Err(Error::NoGlucose)));
    assert!(matches!(read(&[0xff, 0xfe, b'\n'][..]), Err(Error::Csv { line: 1, .. })));
}

/// Shows REQ-LOOP-01: an endless file is left after a bounded number of bytes and events.
#[test]
fn endless_exports_are_left() {
    let endless = |byte| HEADER.as_bytes().chain(io::repeat(byte));
    assert!(matches!(read_within(endless(b'1'), 10_000, 10), Err(Error::TooLong | Error::Csv { .. })));
    // Empty lines are no rows.
    assert!(matches!(read_within(endless(b'\n'), 10_000, 10), Err(Error::TooLong)));
    let many = format!("{HEADER}{}", "1,2026-11-01T00:00:00,EGV,,,,,100,,,,,,\n".repeat(11));
    assert!(matches!(read_within(many.as_bytes(), 10_000, 10), Err(Error::TooManyEvents { line: 12 })));
    assert!(read_within(many.as_bytes(), 10_000, 11).is_ok());
}
