//! The log: what was put is there, whatever the instant at which power goes.

use crate::flash::{Cut, NoPower, Nor, Tear};
use medlock_device::log::{Area, Key, Log, LogError};
use medlock_device::platform::Flash;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};

type Values = BTreeMap<u16, Vec<u8>>;

fn read<F: Flash<Error = NoPower>>(log: &Log, flash: &F) -> Values {
    let mut values = Values::new();
    let mut from = Key(0);
    while let Some(key) = log.next_key(flash, from).expect("power") {
        let mut bytes = [0; 2048];
        let value = log.get(flash, key, &mut bytes).expect("power").expect("a key has a value");
        assert_eq!(log.length(flash, key), Ok(Some(value.len())));
        values.insert(key.0, value.to_vec());
        from = Key(key.0 + 1);
    }
    values
}

/// One change: a key, and its value if it is not removed.
type Change = (u16, Option<Vec<u8>>);

fn apply<F: Flash>(log: &mut Log, flash: &mut F, (key, value): &Change) -> Result<(), LogError<F::Error>> {
    match value {
        // In two pieces, to see that they become one value.
        Some(value) => log.put(flash, Key(*key), &[&value[..value.len() / 2], &value[value.len() / 2..]]),
        None => log.remove(flash, Key(*key)),
    }
}

fn note(values: &mut Values, (key, value): &Change) {
    match value {
        Some(value) => values.insert(*key, value.clone()),
        None => values.remove(key),
    };
}

fn script() -> Vec<Change> {
    let value = |length: usize, seed: u8| Some((0..length).map(|at| seed ^ at.to_le_bytes()[0]).collect());
    vec![
        (1, value(40, 1)),
        (2, value(0, 0)),
        (3, value(100, 3)),
        (1, value(41, 4)),
        (3, None),
        (4, value(63, 5)),
        (1, value(90, 6)),
        (5, value(70, 7)),
        (4, value(64, 8)),
        (1, value(65, 9)),
        (2, None),
        (5, value(17, 10)),
        (6, value(1, 11)),
    ]
}

/// Cuts power at every flash operation of the script in every way, and then, for every state of the flash that this left,
/// at every operation of the recovery in every way. Says how many cuts were made.
fn explore<const PAGE: usize, const WORD: usize>(pages: usize, bank_pages: usize) -> usize {
    let area = Area { pages: 0..pages, bank_pages };
    let mut fresh = Nor::<PAGE, WORD>::new(pages);
    Log::format(&mut fresh, &area).expect("power");
    let (mut cuts, mut states) = (0, HashSet::new());
    for event in 0.. {
        let mut reached = false;
        for tear in Tear::ALL {
            let mut flash = fresh.clone();
            flash.boot(Some(Cut { event, tear }));
            let mut allowed = vec![Values::new()];
            if let Ok(mut log) = Log::open(&mut flash, &area) {
                for change in script() {
                    let mut next = allowed[0].clone();
                    note(&mut next, &change);
                    match apply(&mut log, &mut flash, &change) {
                        Ok(()) => allowed = vec![next],
                        Err(LogError::Flash(NoPower)) => {
                            allowed.push(next);
                            break;
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
            }
            if flash.has_power() {
                continue;
            }
            (reached, cuts) = (true, cuts + 1);
            if states.insert((flash.bytes().to_vec(), allowed.clone())) {
                cuts += recover_with_cuts(&flash, &area, &allowed);
            }
        }
        if !reached {
            return cuts;
        }
    }
    cuts
}

fn recover_with_cuts<const PAGE: usize, const WORD: usize>(
    torn: &Nor<PAGE, WORD>,
    area: &Area,
    allowed: &[Values],
) -> usize {
    let mut cuts = 0;
    for event in 0.. {
        let mut reached = false;
        for tear in Tear::ALL {
            let mut flash = torn.clone();
            flash.boot(Some(Cut { event, tear }));
            let _ = Log::open(&mut flash, area);
            reached |= !flash.has_power();
            cuts += usize::from(!flash.has_power());
            flash.boot(None);
            let mut log = Log::open(&mut flash, area).expect("a log");
            let found = read(&log, &flash);
            assert!(allowed.contains(&found), "{found:?} is neither of {allowed:?}");
            // What was found once is found again, and the log goes on.
            log.put(&mut flash, Key(9), &[b"on"]).expect("power");
            flash.boot(None);
            let again = Log::open(&mut flash, area).expect("a log");
            let mut expected = found;
            expected.insert(9, b"on".to_vec());
            assert_eq!(read(&again, &flash), expected);
        }
        if !reached {
            break;
        }
    }
    cuts
}

/// Shows REQ-SEAL-20: a value is there wholly or not at all, one whose writing returned is there for good, wherever power
/// goes, and wherever it goes again during recovery.
#[test]
fn every_cut_leaves_the_old_value_or_the_new_one() {
    let mut cuts = explore::<512, 8>(2, 1);
    cuts += explore::<512, 1>(3, 1);
    cuts += explore::<256, 16>(6, 2);
    println!("flash log: power was cut {cuts} times");
    assert!(cuts > 5_000, "{cuts}");
}

/// Shows REQ-SEAL-21: every page is erased equally often.
#[test]
fn wear_is_spread_over_all_pages() {
    let area = Area { pages: 0..4, bank_pages: 1 };
    let mut flash = Nor::<512, 8>::new(4);
    let mut log = Log::format(&mut flash, &area).expect("power");
    for number in 0..1_000_u32 {
        log.put(&mut flash, Key(1), &[&number.to_le_bytes(), &[0; 40]]).expect("power");
    }
    let (least, most) = (flash.erasures.iter().min().expect("4"), flash.erasures.iter().max().expect("4"));
    assert!(most - least <= 1, "{:?}", flash.erasures);
    // 52 bytes and a head of 8 make 8 records a bank.
    assert!(*most <= 1_000 / 8 / 4 + 3, "{:?}", flash.erasures);
    assert_eq!(usize::try_from(log.generation()).expect("small"), flash.erasures.iter().sum::<usize>() - 3);
}

/// Shows REQ-SEAL-22: what does not fit is refused and changes nothing.
#[test]
fn a_full_log_says_so_and_keeps_what_it_has() {
    let area = Area { pages: 1..3, bank_pages: 1 };
    let mut flash = Nor::<256, 4>::new(4);
    let mut log = Log::format(&mut flash, &area).expect("power");
    assert_eq!(log.room(&flash), Ok(256 - 12 - 8));
    log.put(&mut flash, Key(1), &[&[1; 100]]).expect("room");
    log.put(&mut flash, Key(2), &[&[2; 100]]).expect("room");
    assert_eq!(log.put(&mut flash, Key(3), &[&[3; 100]]), Err(LogError::Full));
    assert_eq!(log.put(&mut flash, Key(3), &[&[3; 40_000]]), Err(LogError::Length));
    log.put(&mut flash, Key(2), &[&[4; 90]]).expect("it takes the place of what was there");
    let mut short = [0; 99];
    assert_eq!(log.get(&flash, Key(1), &mut short), Err(LogError::Length));
    assert_eq!(read(&log, &flash), Values::from([(1, vec![1; 100]), (2, vec![4; 90])]));
    assert_eq!(Log::open(&mut flash, &Area { pages: 3..5, bank_pages: 1 }).err(), Some(LogError::Area));
    assert_eq!(Log::open(&mut flash, &Area { pages: 3..4, bank_pages: 1 }).err(), Some(LogError::Area));
    assert_eq!(Log::open(&mut Nor::<256, 4>::new(4), &area).err(), Some(LogError::Unformatted));
}

/// A flash operation that fails without power going is no end: the next change moves to another bank.
#[test]
fn a_failed_operation_is_left_behind() {
    let area = Area { pages: 0..2, bank_pages: 1 };
    let mut flash = Nor::<512, 8>::new(2);
    let mut log = Log::format(&mut flash, &area).expect("power");
    log.put(&mut flash, Key(1), &[b"first"]).expect("power");
    flash.boot(Some(Cut { event: 0, tear: Tear::FirstHalf }));
    assert_eq!(log.put(&mut flash, Key(1), &[b"second"]), Err(LogError::Flash(NoPower)));
    flash.boot(None);
    assert_eq!(read(&log, &flash), Values::from([(1, b"first".to_vec())]));
    log.put(&mut flash, Key(1), &[b"third"]).expect("power");
    assert_eq!(read(&log, &flash), Values::from([(1, b"third".to_vec())]));
    let log = Log::open(&mut flash, &area).expect("a log");
    assert_eq!(read(&log, &flash), Values::from([(1, b"third".to_vec())]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is put and removed is found, as in a map.
    #[test]
    fn a_log_is_a_map(changes in prop::collection::vec((0_u16..5, prop::option::of(prop::collection::vec(any::<u8>(), 0..60))), 0..60)) {
        let area = Area { pages: 0..3, bank_pages: 1 };
        let mut flash = Nor::<512, 8>::new(3);
        let mut log = Log::format(&mut flash, &area).expect("power");
        let mut values = Values::new();
        for change in &changes {
            apply(&mut log, &mut flash, change).expect("room");
            note(&mut values, change);
            prop_assert_eq!(&read(&log, &flash), &values);
        }
        let log = Log::open(&mut flash, &area).expect("a log");
        prop_assert_eq!(&read(&log, &flash), &values);
    }

    /// Whatever the flash holds, opening ends, and what opens can be used.
    #[test]
    fn any_content_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..1024), header in any::<bool>()) {
        let area = Area { pages: 0..2, bank_pages: 1 };
        let mut flash = Nor::<512, 8>::holding(&bytes, 2);
        if header {
            // A real header before arbitrary records.
            let mut real = Nor::<512, 8>::new(2);
            Log::format(&mut real, &area).expect("power");
            let bank = real.bytes()[512..528].to_vec();
            let rest = flash.bytes()[528..].to_vec();
            flash = Nor::holding(&[vec![0; 512], bank, rest].concat(), 2);
        }
        if let Ok(mut log) = Log::open(&mut flash, &area) {
            let _ = read(&log, &flash);
            let _ = log.put(&mut flash, Key(1), &[b"value"]);
        } else {
            prop_assert!(!header, "a log with a valid header opens");
        }
    }
}
