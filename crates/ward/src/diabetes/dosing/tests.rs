use super::*;
use crate::diabetes::patient::Patient;
use crate::diabetes::sensor::{INTERVAL_MINUTES, Probe};

fn settings() -> Settings {
    Settings::for_basal(Rate::from_milliunits_per_hour(1000))
}

fn reading(minute: u64, mg_dl: f64) -> Reading {
    Reading { minute, measured: Measured::Value(Glucose::from_mg_dl(mg_dl)), automatic: true }
}

fn steady(mg_dl: f64) -> [Reading; 3] {
    [reading(0, mg_dl), reading(5, mg_dl), reading(10, mg_dl)]
}

/// Shows REQ-LOOP-04: the curve begins at one, ends at nothing, only falls, and acts most at its peak.
#[test]
fn insulin_on_board_only_falls() {
    assert!((on_board(0.0) - 1.0).abs() < 1e-9);
    assert!(on_board(DURATION_MINUTES).abs() < 1e-9 && on_board(DURATION_MINUTES - 0.01) < 1e-4);
    let acting: Vec<f64> =
        (0..300).map(|minute| on_board(f64::from(minute)) - on_board(f64::from(minute + 1))).collect();
    assert!(acting.iter().all(|acting| *acting > 0.0));
    let peak = (0..300).max_by(|a, b| acting[*a].total_cmp(&acting[*b])).expect("a peak");
    assert!((73..=77).contains(&peak), "{peak}");
}

/// Shows REQ-LOOP-05: nothing automatic rests on an old, marked or missing reading, or on a word.
#[test]
fn nothing_is_dosed_on_readings_that_must_not_feed_therapy() {
    let fit = steady(250.0);
    assert!(matches!(advise(&settings(), &fit, &[], false, 12), Advice::Treat { .. }));
    let nothing = |readings: &[Reading], now, why| {
        assert_eq!(advise(&settings(), readings, &[], false, now), Advice::Nothing(why));
    };
    nothing(&[], 0, Why::NoRecentReading);
    nothing(&fit, 10 + MAX_READING_AGE_MINUTES + 1, Why::NoRecentReading);
    let mut marked = fit;
    marked[2].automatic = false;
    nothing(&marked, 12, Why::NotForTherapy);
    let mut high = fit;
    high[2].measured = Measured::High;
    nothing(&high, 12, Why::OutOfRange);
    nothing(&fit[2..], 12, Why::NoTrend);
    // Marked readings do not count as a trend either.
    let mut before = fit;
    (before[0].automatic, before[1].automatic) = (false, false);
    nothing(&before, 12, Why::NoTrend);
}

/// Shows REQ-LOOP-04.
#[test]
fn low_glucose_stops_high_raises_and_all_stays_within_bounds() {
    let settings = settings();
    let stop = Advice::Treat { rate: Rate::ZERO, bolus: None };
    assert_eq!(advise(&settings, &steady(70.0), &[], false, 10), stop);
    let mut low = steady(100.0);
    low[2].measured = Measured::Low;
    assert_eq!(advise(&settings, &low, &[], false, 10), stop);
    // Falling fast from a good value.
    let falling = [reading(0, 150.0), reading(5, 130.0), reading(10, 110.0)];
    assert_eq!(advise(&settings, &falling, &[], false, 10), stop);
    // Much insulin on board.
    let dose = Dose { minute: 9, units: 5.0 };
    assert_eq!(advise(&settings, &steady(200.0), &[dose], false, 10), stop);
    // At the target: the programme.
    assert_eq!(advise(&settings, &steady(110.0), &[], false, 10), Advice::Treat { rate: settings.basal, bolus: None });
    let Advice::Treat { rate, bolus: Some(bolus) } = advise(&settings, &steady(400.0), &[], false, 10) else {
        panic!("a correction");
    };
    assert_eq!((rate, bolus), (settings.highest_rate, settings.largest_correction));
    assert_eq!(bolus.rounded_down_to(settings.step), bolus);
}

/// Shows REQ-LOOP-06.
#[test]
fn no_bolus_is_asked_while_the_outcome_of_one_is_unknown() {
    let Advice::Treat { bolus, .. } = advise(&settings(), &steady(300.0), &[], true, 10) else { panic!("a rate") };
    assert_eq!(bolus, None);
}

/// Shows REQ-LOOP-04: three days of a virtual patient with three meals each, under the rule alone.
#[test]
fn the_rule_keeps_virtual_patients_from_harm() {
    for seed in 0..10 {
        let mut patient = Patient::new(seed);
        let settings = Settings::for_basal(patient.basal());
        let mut probe = Probe::new(seed);
        let (mut readings, mut doses): (Vec<Reading>, Vec<Dose>) = (Vec::new(), Vec::new());
        let (mut rate, mut owed) = (settings.basal, 0_u64);
        let mut in_range = 0;
        for minute in 0..3 * 1440 {
            if [450, 750, 1140].contains(&(minute % 1440)) {
                patient.eat(30.0);
            }
            let mut now = Insulin::NONE;
            if minute % INTERVAL_MINUTES == 0 {
                let measured = probe.measure(patient.glucose());
                readings.push(Reading { minute, measured, automatic: true });
                if let Advice::Treat { rate: next, bolus } = advise(&settings, &readings, &doses, false, minute) {
                    rate = next;
                    now = bolus.unwrap_or_default();
                }
                let above = rate.units_per_hour() - settings.basal.units_per_hour();
                let units = now.units() + above * INTERVAL_MINUTES as f64 / 60.0;
                doses.push(Dose { minute, units });
            }
            owed += u64::from(rate.milliunits_per_hour());
            now += Insulin::from_milliunits((owed / 60) as u32);
            owed %= 60;
            patient.live_a_minute(now);
            let glucose = patient.glucose().mg_dl();
            assert!(glucose > 54.0, "seed {seed}, minute {minute}: {glucose}");
            in_range += u64::from((70.0..=180.0).contains(&glucose));
        }
        assert!(in_range * 100 / (3 * 1440) >= 70, "seed {seed}: {in_range} minutes in range");
    }
}
