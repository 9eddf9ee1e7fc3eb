use super::*;

const MINUTE: u64 = 60_000;

fn units(milliunits: u32) -> Insulin {
    Insulin::from_milliunits(milliunits)
}

fn rate(milliunits: u32) -> Rate {
    Rate::from_milliunits_per_hour(milliunits)
}

fn limits() -> Limits {
    Limits { bolus: units(5000), temporary_rate: rate(4000), minutes: 120, hour: units(8000), day: units(60_000) }
}

fn pump() -> Pump {
    let midnight = TimeOfDay::Known { offset_millis: 0 };
    let mut pump = Pump::new(Programme::flat(rate(1000)), limits(), midnight, units(200_000));
    pump.lease(DAY_MILLIS);
    pump
}

/// Goes on for `minutes`; what happened.
fn go_on(pump: &mut Pump, minutes: u64) -> Vec<Event> {
    let mut events = Vec::new();
    pump.advance(pump.now_millis() + minutes * MINUTE, &mut |event| events.push(event));
    events
}

fn total(events: &[Event], why: Because) -> u32 {
    let amounts = events.iter().filter_map(|event| match event {
        Event::Delivered(delivery) if delivery.because == why => Some(delivery.amount),
        _ => None,
    });
    amounts.sum::<Insulin>().milliunits()
}

fn order(pump: &mut Pump, order: Order) -> Result<Vec<Event>, Refusal> {
    let mut events = Vec::new();
    pump.order(order, &mut |event| events.push(event)).map(|()| events)
}

/// Shows REQ-LOOP-07.
#[test]
fn the_programme_follows_the_hours_and_is_the_lowest_when_the_time_of_day_is_lost() {
    let mut rates = [rate(1000); 24];
    rates[1] = rate(2000);
    rates[5] = rate(400);
    let start = |time| Pump::new(Programme::new(rates), limits(), time, units(200_000));
    let mut known = start(TimeOfDay::Known { offset_millis: 30 * MINUTE });
    assert_eq!(total(&go_on(&mut known, 30), Because::Programme), 500);
    assert_eq!(total(&go_on(&mut known, 60), Because::Programme), 2000);
    assert_eq!(total(&go_on(&mut known, 60), Because::Programme), 1000);
    let mut lost = start(TimeOfDay::Lost);
    assert_eq!(total(&go_on(&mut lost, 24 * 60), Because::Programme), 24 * 400);
}

/// Shows REQ-LOOP-08: however time is cut into pieces, the same is delivered at the same instants.
#[test]
fn pieces_of_time_do_not_matter() {
    let run = |step: u64| {
        let mut pump = pump();
        let mut events = Vec::new();
        pump.order(Order::Temporary { rate: rate(2350), minutes: 45 }, &mut |_| {}).expect("carried out");
        pump.order(Order::Bolus(units(1250)), &mut |_| {}).expect("carried out");
        while pump.now_millis() < 2 * HOUR_MILLIS {
            let to = (pump.now_millis() + step).min(2 * HOUR_MILLIS);
            pump.advance(to, &mut |event| events.push(event));
        }
        events
    };
    let whole = run(2 * HOUR_MILLIS);
    assert_eq!(total(&whole, Because::Bolus), 1250);
    for step in [1_000, 1_777, 61_003] {
        assert_eq!(run(step), whole);
    }
}

/// Shows REQ-LOOP-09.
#[test]
fn a_temporary_basal_ends_at_its_own_time() {
    let mut pump = pump();
    order(&mut pump, Order::Temporary { rate: rate(3000), minutes: 30 }).expect("carried out");
    let events = go_on(&mut pump, 60);
    assert_eq!(total(&events, Because::Temporary), 1500);
    assert_eq!(total(&events, Because::Programme), 500);
    assert!(events.contains(&Event::BackToProgramme { at_millis: 30 * MINUTE }));
}

/// Shows REQ-LOOP-10: nothing an order raised outlives the lease; what it lowered, the programme and the stop do not
/// depend on it.
#[test]
fn what_an_order_raised_ends_with_the_lease() {
    let mut pump = pump();
    order(&mut pump, Order::Temporary { rate: rate(3000), minutes: 120 }).expect("carried out");
    order(&mut pump, Order::Bolus(units(3000))).expect("carried out");
    go_on(&mut pump, 1);
    let mut events = Vec::new();
    pump.end_lease(&mut |event| events.push(event));
    let cut = Event::BolusCut { delivered: units(1500) };
    assert_eq!(events, [cut, Event::BackToProgramme { at_millis: MINUTE }]);
    assert_eq!(order(&mut pump, Order::Bolus(units(50))), Err(Refusal::NoLease));
    assert_eq!(order(&mut pump, Order::Programme), Err(Refusal::NoLease));
    assert_eq!(total(&go_on(&mut pump, 60), Because::Programme), 1000);

    pump.lease(pump.now_millis() + 10 * MINUTE);
    order(&mut pump, Order::Temporary { rate: Rate::ZERO, minutes: 30 }).expect("carried out");
    let events = go_on(&mut pump, 60);
    assert_eq!(total(&events, Because::Programme), 500);

    // One that lapses by itself.
    pump.lease(pump.now_millis() + 10 * MINUTE);
    order(&mut pump, Order::Temporary { rate: rate(3000), minutes: 60 }).expect("carried out");
    assert_eq!(total(&go_on(&mut pump, 60), Because::Temporary), 500);
}

/// Shows REQ-LOOP-11: a command is bounded by itself and by what was delivered before it.
#[test]
fn limits_hold_for_one_order_and_for_all_together() {
    let mut pump = pump();
    for beyond in [0, 5050, 1, 49] {
        assert_eq!(order(&mut pump, Order::Bolus(units(beyond))), Err(Refusal::Limit), "{beyond}");
    }
    for (mu, minutes) in [(4050, 30), (2000, 0), (2000, 121)] {
        assert_eq!(order(&mut pump, Order::Temporary { rate: rate(mu), minutes }), Err(Refusal::Limit));
    }
    assert_eq!(order(&mut pump, Order::Suspend { minutes: 121 }), Err(Refusal::Limit));
    order(&mut pump, Order::Bolus(units(5000))).expect("carried out");
    assert_eq!(order(&mut pump, Order::Bolus(units(50))), Err(Refusal::Busy));
    // What is under way counts although it is not delivered.
    assert_eq!(order(&mut pump, Order::Temporary { rate: rate(4000), minutes: 60 }), Err(Refusal::HourLimit));
    go_on(&mut pump, 4);
    assert_eq!(order(&mut pump, Order::Bolus(units(5000))), Err(Refusal::HourLimit));
    order(&mut pump, Order::Bolus(units(2000))).expect("carried out");
    go_on(&mut pump, 10);
    assert_eq!(pump.delivered_within(HOUR_MILLIS), units(7200));
    // Much later the hour is free again; the day has a limit of its own.
    let mut given = 0;
    let refused = loop {
        go_on(&mut pump, 90);
        match order(&mut pump, Order::Bolus(units(5000))) {
            Ok(_) => given += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!((refused, given), (Refusal::DayLimit, 8));
    // The programme goes on beyond all limits on orders.
    assert_eq!(total(&go_on(&mut pump, 60), Because::Programme), 1000);
}

/// Shows REQ-LOOP-12: what may have been delivered before power was lost counts as delivered.
#[test]
fn what_is_uncertain_counts_as_delivered() {
    let mut pump = pump();
    pump.count_as_delivered(units(5000), Because::Uncertain);
    assert_eq!(order(&mut pump, Order::Bolus(units(3050))), Err(Refusal::HourLimit));
    order(&mut pump, Order::Bolus(units(3000))).expect("carried out");
}

/// Shows REQ-LOOP-13: the stop at the pump asks nobody, cuts a bolus, and only a hand ends it.
#[test]
fn the_stop_at_the_pump_always_works() {
    let mut pump = pump();
    order(&mut pump, Order::Temporary { rate: rate(3000), minutes: 60 }).expect("carried out");
    order(&mut pump, Order::Bolus(units(3000))).expect("carried out");
    go_on(&mut pump, 1);
    let mut events = Vec::new();
    pump.stop_by_hand(&mut |event| events.push(event));
    assert_eq!(events, [Event::BolusCut { delivered: units(1500) }]);
    assert_eq!(go_on(&mut pump, 120), []);
    for refused in [Order::Bolus(units(50)), Order::Programme, Order::Temporary { rate: rate(1), minutes: 1 }] {
        assert_eq!(order(&mut pump, refused), Err(Refusal::Stopped));
    }
    pump.resume_by_hand();
    assert_eq!(total(&go_on(&mut pump, 60), Because::Programme), 1000);
}

/// Shows REQ-LOOP-13: a suspension from afar is bounded and resumes by itself.
#[test]
fn a_suspension_resumes_by_itself() {
    let mut pump = pump();
    order(&mut pump, Order::Bolus(units(3000))).expect("carried out");
    go_on(&mut pump, 1);
    let events = order(&mut pump, Order::Suspend { minutes: 30 }).expect("carried out");
    assert_eq!(events, [Event::BolusCut { delivered: units(1500) }]);
    assert_eq!(total(&go_on(&mut pump, 60), Because::Programme), 500);
    // Lowering needs no lease.
    pump.end_lease(&mut |_| {});
    order(&mut pump, Order::Reduce { percent: 40, minutes: 30 }).expect("carried out");
    let events = go_on(&mut pump, 60);
    assert_eq!((total(&events, Because::Temporary), total(&events, Because::Programme)), (200, 500));
    assert_eq!(order(&mut pump, Order::Reduce { percent: 101, minutes: 30 }), Err(Refusal::Limit));
}

#[test]
fn an_empty_reservoir_ends_a_bolus_and_is_told() {
    let mut pump = Pump::new(Programme::flat(Rate::ZERO), limits(), TimeOfDay::Lost, units(120));
    pump.lease(DAY_MILLIS);
    assert_eq!(order(&mut pump, Order::Bolus(units(150))), Err(Refusal::Reservoir));
    order(&mut pump, Order::Bolus(units(100))).expect("carried out");
    assert_eq!(go_on(&mut pump, 1).last(), Some(&Event::BolusDone { delivered: units(100) }));
    assert_eq!(pump.reservoir(), units(20));
}
