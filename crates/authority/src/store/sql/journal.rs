//! Published objects, alarms, the audit trail, settings.

use super::row::Columns as _;
use super::{SET_BACK, SqlStore};
use crate::present::LAPSES;
use crate::store::{ALARM_SUBJECTS, ALARM_TEXTS, Alarm, AuditEntry, Journal, Published, StoreError};
use medlock_store::{Engine, Fault, Row, Sql, all, first, values};
use medlock_trust::{DeviceName, Time};
use std::collections::{HashMap, HashSet};

/// How many objects of a kind are kept: the newest, and some for whoever looks into what went wrong.
const KEPT_OBJECTS: u32 = 4;

impl Journal for SqlStore {
    fn publish(&self, kind: &'static str, object: Published) -> Result<(), StoreError> {
        self.database.write("publish a signed object", move |database| {
            let newest = newest(database, kind)?;
            if newest.is_some_and(|newest| newest >= object.version) {
                return Err(Fault::Taken("version of this object"));
            }
            add_object(database, kind, &object)
        })
    }

    fn publish_all(&self, objects: Vec<(&'static str, Published, Option<u64>)>) -> Result<(), StoreError> {
        self.database.write("publish a signed object", move |database| {
            objects.iter().try_for_each(|(kind, object, before)| {
                if newest(database, kind)? != *before || before.is_some_and(|before| before >= object.version) {
                    return Err(Fault::Taken("version of this object"));
                }
                add_object(database, kind, object)
            })
        })
    }

    fn versions(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = "SELECT kind, max(version) AS version FROM object GROUP BY kind";
        self.database.read("look for news", |database| {
            all(database, "object", sql, &[], |row| Ok((row.text("kind")?.to_owned(), row.number("version")?)))
        })
    }

    fn is_shared(&self) -> bool {
        self.engine() == Engine::Postgres
    }

    fn server_time(&self) -> Result<Option<Time>, StoreError> {
        if !self.is_shared() {
            return Ok(None);
        }
        let sql = format!("SELECT {} AS now", super::seconds_now(self.engine()));
        self.database
            .read("ask for the server's clock", |database| first(database, "clock", &sql, &[], |row| row.time("now")))
    }

    fn hold(&self, what: &str, holder: [u8; 16], seconds: u32) -> Result<bool, StoreError> {
        if !self.is_shared() {
            return Ok(true);
        }
        let (now, what) = (super::seconds_now(self.engine()), what.to_owned());
        let sql = format!(
            "INSERT INTO hold (name, holder, until) VALUES (?1, ?2, {now} + ?3)
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
                 WHERE hold.holder = excluded.holder OR hold.until NOT BETWEEN {now} + 1 AND {now} + ?3 + {SET_BACK}"
        );
        self.database.write_single("wait for another hub", move |database| {
            Ok(database.execute(&sql, values![&what, holder, seconds])? == 1)
        })
    }

    fn hubs_at_work(&self) -> Result<Vec<String>, StoreError> {
        self.holding(Self::HUB)
    }

    fn clocks_of_the_server(&self) -> Result<Vec<String>, StoreError> {
        self.holding(Self::CLOCK)
    }

    fn let_go(&self, what: &str, holder: [u8; 16]) -> Result<(), StoreError> {
        let what = what.to_owned();
        self.database.write_single("let another hub go on", move |database| {
            database.execute("DELETE FROM hold WHERE name = ?1 AND holder = ?2", values![&what, holder]).map(drop)
        })
    }

    fn published(&self, kind: &'static str) -> Result<Option<Published>, StoreError> {
        let sql = "SELECT version, at, bytes FROM object WHERE kind = ?1 ORDER BY version DESC LIMIT 1";
        self.database.read("read a signed object", |database| {
            first(database, "object", sql, values![kind], |row| {
                let bytes = row.blob("bytes")?.to_vec();
                Ok(Published { version: row.number("version")?, at: row.time("at")?, bytes })
            })
        })
    }

    fn next_number(&self, series: &str, least: u64) -> Result<u64, StoreError> {
        let series = series.to_owned();
        self.database.write_single("take the next number", move |database| next_number(database, &series, least))
    }

    fn next_number_after(&self, series: &'static str, least: u64, before: u64) -> Result<u64, StoreError> {
        let sql = match before {
            0 => "INSERT INTO number (series, last) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            _ => "UPDATE number SET last = ?2 WHERE series = ?1 AND last = ?3",
        };
        let next = least.max(before.saturating_add(1));
        self.database.write_single("take the next number", move |database| {
            let taken = match before {
                0 => database.execute(sql, values![series, next]),
                _ => database.execute(sql, values![series, next, before]),
            };
            if taken? == 1 { Ok(next) } else { Err(Fault::Taken("next number")) }
        })
    }

    fn last_number(&self, series: &str) -> Result<u64, StoreError> {
        self.database.read("read the last number", |database| last_number(database, series))
    }

    fn raise(&self, alarm: Alarm) -> Result<(), StoreError> {
        self.database.write("raise an alarm", move |database| match counts_up(database, &alarm)? {
            Some(id) if alarm.subject.is_empty() => {
                let sql = "UPDATE alarm SET count = count + 1, last = ?1 WHERE id = ?2";
                database.execute(sql, values![alarm.at.unix(), id]).map(drop)
            }
            Some(id) => {
                let sql = "UPDATE alarm SET count = count + 1, last = ?1, subject = ?2, text = ?3 WHERE id = ?4";
                database.execute(sql, values![alarm.at.unix(), &alarm.subject, &alarm.text, id]).map(drop)
            }
            None => insert(database, &alarm),
        })
    }

    fn alarms(&self) -> Result<Vec<Alarm>, StoreError> {
        let sql = "SELECT id, at, last, count, kind, device, subject, text, acknowledged FROM alarm
                   ORDER BY acknowledged, last DESC, id DESC LIMIT 1000";
        self.database.read("list the alarms", |database| all(database, "alarm", sql, &[], alarm))
    }

    fn last_alarm(&self, kind: &str, device: DeviceName) -> Result<Option<Alarm>, StoreError> {
        let sql = "SELECT id, at, last, count, kind, device, subject, text, acknowledged FROM alarm
                   WHERE kind = ?1 AND device = ?2 ORDER BY last DESC, id DESC LIMIT 1";
        self.database.read("read the last alarm", |database| {
            first(database, "alarm", sql, values![kind, device.as_str()], alarm)
        })
    }

    fn last_alarms(&self, kind: &str, devices: &[DeviceName]) -> Result<HashMap<DeviceName, Alarm>, StoreError> {
        let sql = "SELECT id, at, last, count, kind, device, subject, text, acknowledged FROM alarm
                   WHERE kind = ?1 AND device IS NOT NULL ORDER BY last, id";
        let found = self
            .database
            .read("read alarms of devices", |database| all(database, "alarm", sql, values![kind], alarm))?;
        let wanted: HashSet<&DeviceName> = devices.iter().collect();
        let about =
            found.into_iter().filter_map(|alarm| Some((alarm.device.filter(|name| wanted.contains(name))?, alarm)));
        Ok(about.collect())
    }

    fn acknowledge(&self, id: i64) -> Result<(), StoreError> {
        self.database.write_single("acknowledge an alarm", move |database| {
            Fault::unless_one(
                database.execute("UPDATE alarm SET acknowledged = 1 WHERE id = ?1", values![id])?,
                "alarm",
            )
        })
    }

    fn note(&self, entry: AuditEntry) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit (at, who, verb, subject, outcome) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.database.write_single("write the audit trail", move |database| {
            let AuditEntry { at, who, verb, subject, outcome } = &entry;
            database.execute(sql, values![at.unix(), who, verb, subject, outcome])?;
            Ok(())
        })
    }

    fn audit(&self, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = "SELECT at, who, verb, subject, outcome FROM audit ORDER BY id DESC LIMIT ?1";
        self.database.read("read the audit trail", |database| all(database, "audit", sql, values![limit], audit_entry))
    }

    fn setting(&self, name: &'static str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT value FROM setting WHERE name = ?1";
        self.database.read("read a setting", |database| {
            first(database, "setting", sql, values![name], |row| Ok(row.text("value")?.to_owned()))
        })
    }

    fn set_once(&self, name: &'static str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO setting (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        let value = value.to_owned();
        self.database.write_single("make a setting", move |database| {
            let added = database.execute(sql, values![name, &value])?;
            if added == 1 { Ok(()) } else { Err(Fault::Taken("setting")) }
        })
    }
}

fn newest(database: &mut dyn Sql, kind: &str) -> Result<Option<u64>, Fault> {
    let sql = "SELECT version FROM object WHERE kind = ?1 ORDER BY version DESC LIMIT 1";
    first(database, "object", sql, values![kind], |row| row.number("version"))
}

fn add_object(database: &mut dyn Sql, kind: &str, object: &Published) -> Result<(), Fault> {
    database.execute(
        "INSERT INTO object (kind, version, at, bytes) VALUES (?1, ?2, ?3, ?4)",
        values![kind, object.version, object.at.unix(), &object.bytes],
    )?;
    database.execute(
        "DELETE FROM object WHERE kind = ?1 AND version NOT IN
             (SELECT version FROM object WHERE kind = ?1 ORDER BY version DESC LIMIT ?2)",
        values![kind, KEPT_OBJECTS],
    )?;
    Ok(())
}

pub(super) fn last_number(database: &mut dyn Sql, series: &str) -> Result<u64, Fault> {
    let sql = "SELECT last FROM number WHERE series = ?1";
    Ok(first(database, "number", sql, values![series], |row| row.number("last"))?.unwrap_or(0))
}

pub(super) fn next_number(database: &mut dyn Sql, series: &str, least: u64) -> Result<u64, Fault> {
    let sql = "INSERT INTO number (series, last) VALUES (?1, CASE WHEN ?2 < 1 THEN 1 ELSE ?2 END)
               ON CONFLICT (series) DO UPDATE
                   SET last = CASE WHEN number.last + 1 < ?2 THEN ?2 ELSE number.last + 1 END
               RETURNING last";
    let next = first(database, "number", sql, values![series, least], |row| row.number("last"))?;
    next.ok_or(Fault::Missing("series of numbers"))
}

/// Which open alarm is counted up instead of another one like this, if there is no room for that.
fn counts_up(database: &mut dyn Sql, alarm: &Alarm) -> Result<Option<i64>, Fault> {
    let device = alarm.device.as_ref().map(DeviceName::as_str);
    let open = "FROM alarm WHERE kind = ?1 AND device IS NOT DISTINCT FROM ?2 AND acknowledged = 0";
    let newest = "ORDER BY last DESC, id DESC LIMIT 1";
    let id = |row: &Row| row.number("id");
    let same = if alarm.subject.is_empty() {
        let sql = format!("SELECT id {open} AND subject = '' {newest}");
        first(database, "alarm", &sql, values![&alarm.kind, device], id)?
    } else {
        let sql = format!("SELECT id {open} AND subject = ?3 AND text = ?4 {newest}");
        first(database, "alarm", &sql, values![&alarm.kind, device, &alarm.subject, &alarm.text], id)?
    };
    if same.is_some() || alarm.subject.is_empty() {
        return Ok(same);
    }
    let sql = format!("SELECT id {open} AND subject = ?3 ORDER BY last DESC, id DESC");
    let of_subject = all(database, "alarm", &sql, values![&alarm.kind, device, &alarm.subject], id)?;
    if of_subject.len() as u64 >= ALARM_TEXTS {
        return Ok(of_subject.first().copied());
    }
    let sql = format!("SELECT id {open} AND subject <> '' ORDER BY last DESC, id DESC");
    let of_kind = all(database, "alarm", &sql, values![&alarm.kind, device], id)?;
    Ok(of_kind.first().copied().filter(|_| of_kind.len() as u64 >= ALARM_SUBJECTS))
}

fn insert(database: &mut dyn Sql, alarm: &Alarm) -> Result<(), Fault> {
    let device = alarm.device.as_ref().map(DeviceName::as_str);
    database.execute(
        "INSERT INTO alarm (at, last, kind, device, subject, text) VALUES (?1, ?1, ?2, ?3, ?4, ?5)",
        values![alarm.at.unix(), &alarm.kind, device, &alarm.subject, &alarm.text],
    )?;
    Ok(())
}

fn alarm(row: &Row) -> Result<Alarm, Fault> {
    Ok(Alarm {
        id: row.number("id")?,
        at: row.time("at")?,
        last: row.time("last")?,
        count: row.number("count")?,
        kind: row.text("kind")?.to_owned(),
        device: row.optional_device("device")?,
        subject: row.text("subject")?.to_owned(),
        text: row.text("text")?.to_owned(),
        acknowledged: row.flag("acknowledged")?,
    })
}

fn audit_entry(row: &Row) -> Result<AuditEntry, Fault> {
    let text = |column| row.text(column).map(str::to_owned);
    Ok(AuditEntry {
        at: row.time("at")?,
        who: text("who")?,
        verb: text("verb")?,
        subject: text("subject")?,
        outcome: text("outcome")?,
    })
}

impl SqlStore {
    /// The names behind `what` of all that say every few seconds that they hold it.
    fn holding(&self, what: &'static str) -> Result<Vec<String>, StoreError> {
        if !self.is_shared() {
            return Ok(Vec::new());
        }
        let now = super::seconds_now(self.engine());
        let sql = format!(
            "SELECT name FROM hold WHERE name LIKE ?1 AND until BETWEEN {now} + 1 AND {now} + {LAPSES} + {SET_BACK} ORDER BY name"
        );
        let names = self.database.read("look what hubs hold", move |database| {
            all(database, "hold", &sql, values![format!("{what}%")], |row| Ok(row.text("name")?.to_owned()))
        })?;
        Ok(names.iter().filter_map(|name| name.strip_prefix(what)).map(str::to_owned).collect())
    }
}
