//! Whether conditions find at the moment of a change what they found when the request was read. Nobody else writes meanwhile, so it
//! takes no longer than the changes themselves do.

use super::Statement;
use super::act::{Act, Asked, Condition};
use super::search;
use super::write::{Stopped, refused};
use crate::access::Sight;
use crate::definitions::{Definitions, Owner};
use crate::kind::{Kind, Seq};
use crate::outcome::{Code, Issue};
use medlock_store::{Sql, all};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

/// How long the conditions of a request are looked at while others wait to write.
pub(super) const TOGETHER: Duration = Duration::from_millis(250);
/// How long it takes, about, to look whether one filter holds of a row by itself.
const FILTER: Duration = Duration::from_micros(5);
/// Rows that may have changed since a request was read, or it is read again.
const CHANGED: usize = 10_000;

/// The rows of a kind that have changed since.
type Changed = HashMap<(Kind, Seq), Vec<i64>>;

/// Looks whether all conditions find what they found before, until then; of the first that does not, which act it is of.
pub(super) fn all_of(sql: &mut dyn Sql, sight: &Sight, acts: &[Act], until: Instant) -> Result<(), (usize, Stopped)> {
    let mut changed = Changed::new();
    for (number, act) in acts.iter().enumerate() {
        let Some(condition) = act.condition() else { continue };
        match holds(sql, sight, condition, &mut changed, until) {
            Ok(true) => {}
            Ok(false) => return Err((number, Stopped::Changed)),
            Err(stopped) => return Err((number, stopped)),
        }
    }
    Ok(())
}

/// Whether a condition finds what it found before: one that was asked then is asked of the rows alone that have changed since, unless
/// to ask it of all takes no longer.
fn holds(
    sql: &mut dyn Sql,
    sight: &Sight,
    condition: &Condition,
    changed: &mut Changed,
    until: Instant,
) -> Result<bool, Stopped> {
    let (plan, now) = (&condition.plan, Instant::now());
    let in_time = |needed: Duration| {
        let text = "so many conditions keep others from writing while so much is changed: ask fewer at once";
        if now + needed < until { Ok(()) } else { Err(refused(Issue::new(Code::TooCostly, text))) }
    };
    if let Some(Asked { newest, row, took }) = condition.asked {
        let rows = match changed.entry((plan.kind(), newest)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(changed_since(sql, plan.kind(), newest)?),
        };
        if rows.is_empty() {
            return Ok(true);
        }
        let each = FILTER.saturating_mul(plan.weight());
        let among = each.saturating_mul(rows.len().try_into().unwrap_or(u32::MAX));
        in_time(among.min(took))?;
        if took > among {
            let question = search::among(sql, "r.rid", sight, plan, rows)?;
            let found: Vec<i64> = all(sql, "resource", question.sql(), question.values(), |row| row.number("rid"))?;
            return Ok(found.as_slice() == row.map(|row| row.0).filter(|row| rows.contains(row)).as_slice());
        }
    }
    in_time(Duration::ZERO)?;
    let found = search::matches(sql, sight, plan)?;
    Ok(match (found.as_slice(), condition.is) {
        ([], None) => true,
        ([one], Some(id)) => one.id == id,
        _ => false,
    })
}

/// The rows of a kind that have changed since; a DeviceMetric does so with its Device, whose patient it has.
fn changed_since(sql: &mut dyn Sql, kind: Kind, newest: Seq) -> Result<Vec<i64>, Stopped> {
    let mut question = Statement::default();
    question.text("SELECT DISTINCT c.rid FROM change c WHERE c.kind = ").value(kind.number());
    question.text(" AND c.seq > ").value(newest.0);
    if let (Kind::DEVICE_METRIC, Owner::Through(source)) = (kind, Definitions::r4().owner(kind)) {
        question.text(" UNION SELECT l.rid FROM change c JOIN link l ON l.target = c.rid WHERE l.param = ");
        question.value(source.number()).text(" AND c.kind = ").value(Kind::DEVICE.number());
        question.text(" AND c.seq > ").value(newest.0);
    }
    question.text(" LIMIT ").value(CHANGED as i64);
    let rows: Vec<i64> = all(sql, "change", question.sql(), question.values(), |row| row.number("rid"))?;
    if rows.len() < CHANGED { Ok(rows) } else { Err(Stopped::Changed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Reach, Right, Verb, Verbs};
    use crate::kind::{Id, Row};
    use crate::query::{self, Handling, Terms};
    use crate::store::Expected;
    use crate::tests::fixture::{Device, House, device, patient};
    use medlock_store::values;
    use medlock_trust::Role;
    use serde_json::{Value, json};

    /// What became of conditions that were looked at.
    #[derive(Debug, PartialEq, Eq)]
    enum Told {
        Same,
        Changed,
        Refused(Code),
    }

    /// What is told of the condition that Patient has this identifier.
    fn told(house: &House, number: &str, found: Option<(Id, Row)>, (newest, took): (Seq, Duration)) -> Told {
        look(house, number, found, (newest, took), Instant::now() + Duration::from_secs(3_600), 0)
    }

    fn look(
        house: &House,
        number: &str,
        found: Option<(Id, Row)>,
        (newest, took): (Seq, Duration),
        until: Instant,
        others: usize,
    ) -> Told {
        let query = format!("urn:n|{number}");
        let terms = Terms { handling: Handling::Strict, most: 50, bases: &[] };
        let mut pairs = vec![("identifier".into(), query.as_str().into())];
        pairs.extend((0..others).map(|number| ("_tag:not".into(), format!("a{number}").into())));
        let plan = query::plan(Kind::PATIENT, &pairs, terms, Definitions::r4()).expect("a search");
        let asked = Some(Asked { newest, row: found.map(|(_, row)| row), took });
        let condition = Condition { plan, is: found.map(|(id, _)| id), asked };
        let id = Id::read("00000000000000000000000000").expect("an id");
        let acts =
            vec![Act::Delete { kind: Kind::PATIENT, id, expected: Expected::Anything, condition: Some(condition) }];
        let right = Right { kind: Kind::PATIENT, verbs: Verbs::of([Verb::Search]), reach: Reach::All, only: None };
        let sight = Sight::new([right].into_iter());
        let told = house.clinical.records().database().write("look at conditions", move |sql| {
            match all_of(sql, &sight, &acts, until) {
                Ok(()) => Ok(Told::Same),
                Err((_, Stopped::Changed)) => Ok(Told::Changed),
                Err((_, Stopped::Refused(why))) => Ok(Told::Refused(why.code())),
                Err((_, Stopped::Fault(fault))) => Err(fault),
            }
        });
        told.expect("looked at")
    }

    fn with(number: &str) -> Value {
        let mut anna = patient("Anna");
        anna["identifier"] = json!([{ "system": "urn:n", "value": number }]);
        anna
    }

    async fn put(who: &Device<'_>, id: &str, number: &str) {
        let mut anna = with(number);
        anna["id"] = id.into();
        let answer = who.put(&format!("Patient/{id}"), &anna).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }

    /// Shows REQ-FHIR-40: while others wait, a condition that took long is asked of what has changed since it was asked, and of nothing
    /// else.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_has_not_changed_is_not_looked_for_again() {
        const LONG: Duration = Duration::from_secs(3_600);
        for house in House::both() {
            let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
            let anna = gateway.create(&with("1")).await.made();
            let records = house.clinical.records();
            let right = Right { kind: Kind::PATIENT, verbs: Verbs::of([Verb::Read]), reach: Reach::All, only: None };
            let id = Id::read(&anna).expect("an id");
            let row =
                records.read(&Sight::new([right].into_iter()), Kind::PATIENT, &id).expect("read").expect("it").row;
            let found = Some((id, row));
            let before = records.newest().expect("the newest change");
            // Had it been there, the condition had found it: nobody looks again.
            assert_eq!(told(&house, "1", None, (before, LONG)), Told::Same);
            gateway.create(&with("2")).await.made();
            for took in [LONG, Duration::ZERO] {
                assert_eq!(told(&house, "1", found, (before, took)), Told::Same, "another one has changed");
                assert_eq!(told(&house, "2", None, (before, took)), Told::Changed, "there is one now");
                assert_eq!(told(&house, "3", None, (before, took)), Told::Same);
            }
            assert_eq!(told(&house, "1", None, (before, LONG)), Told::Same, "that one has not changed");
            assert_eq!(told(&house, "1", None, (before, Duration::ZERO)), Told::Changed, "all were asked");
            put(&gateway, &anna, "1").await;
            for took in [LONG, Duration::ZERO] {
                assert_eq!(told(&house, "1", found, (before, took)), Told::Same, "it has changed, and is found still");
            }
            put(&gateway, &anna, "2").await;
            for took in [LONG, Duration::ZERO] {
                assert_eq!(told(&house, "1", found, (before, took)), Told::Changed, "it is not found any more");
                assert_eq!(told(&house, "2", found, (before, took)), Told::Changed, "there are two");
            }
        }
    }

    /// Shows REQ-FHIR-41, REQ-FHIR-52: others wait for the conditions of a request no longer than their time.
    #[tokio::test(flavor = "multi_thread")]
    async fn conditions_have_their_time_together() {
        for house in House::both() {
            let asked = (Seq(0), Duration::ZERO);
            assert_eq!(look(&house, "1", None, asked, Instant::now() + TOGETHER, 0), Told::Same, "nothing has changed");
            let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
            gateway.create(&with("2")).await.made();
            let late = look(&house, "1", None, asked, Instant::now(), 0);
            assert_eq!(late, Told::Refused(Code::TooCostly));
            let soon = || Instant::now() + TOGETHER;
            assert_eq!(look(&house, "1", None, asked, soon(), 0), Told::Same);
            // What would take longer is not begun, whichever way it is looked at.
            let rows = "INSERT INTO change (rid, version, kind, patient, updated, gone) WITH RECURSIVE n (i) AS \
                        (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i, 1, ?1, NULL, 0, 0 FROM n";
            let kind = i64::from(Kind::PATIENT.number());
            let database = house.clinical.records().database();
            database.write("change much", move |sql| sql.execute(rows, values![kind])).expect("changed");
            let asked = |took| (Seq(0), took);
            assert_eq!(look(&house, "1", None, asked(TOGETHER * 2), soon(), 25), Told::Refused(Code::TooCostly));
            assert_eq!(look(&house, "1", None, asked(TOGETHER / 4), soon(), 25), Told::Same);
        }
    }

    /// Shows REQ-FHIR-52: what has changed is looked at by itself where that takes less time than to ask anew: each row, each filter.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_has_changed_is_looked_at_where_that_is_less() {
        for house in House::both() {
            let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
            gateway.create(&with("1")).await.made();
            let before = house.clinical.records().newest().expect("the newest change");
            gateway.create(&with("2")).await.made();
            let soon = || Instant::now() + Duration::from_secs(3_600);
            // Asked anew, it finds the one that was there before; of what has changed, none.
            for (took, others, told) in
                [(FILTER * 20, 0, Told::Same), (FILTER * 20, 25, Told::Changed), (FILTER * 60, 25, Told::Same)]
            {
                assert_eq!(look(&house, "1", None, (before, took), soon(), others), told, "{took:?}, {others}");
            }
        }
    }

    /// Shows REQ-FHIR-75: what measures changes with its Device: it may be another patient's.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_metric_changes_with_its_device() {
        for house in House::both() {
            let all = house.device("gw", Role::Gateway).with("system/*.crus").await;
            let [anna, bert] = [all.create(&patient("Anna")).await.made(), all.create(&patient("Bert")).await.made()];
            let pump = all.create(&device("pump", &anna)).await.made();
            let metric = json!({
                "resourceType": "DeviceMetric", "category": "measurement", "source": { "reference": format!("Device/{pump}") },
                "type": { "coding": [{ "system": "urn:x", "code": "a" }] },
            });
            all.create(&metric).await.made();
            let newest = house.clinical.records().newest().expect("the newest change");
            let changed = || {
                let told = house.clinical.records().database().read("look", |sql| {
                    Ok(changed_since(sql, Kind::DEVICE_METRIC, newest).map_or(usize::MAX, |rows| rows.len()))
                });
                told.expect("looked")
            };
            assert_eq!(changed(), 0);
            let mut moved = device("pump", &bert);
            moved["id"] = json!(pump);
            let told = all.put(&format!("Device/{pump}"), &moved).await;
            assert_eq!(told.status, http::StatusCode::OK);
            assert_eq!(changed(), 1);
        }
    }
}
