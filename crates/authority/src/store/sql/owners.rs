//! Whose each device of a maker is, and was.

use super::SqlStore;
use super::row::Columns as _;
use crate::store::{Owner, OwnerEvent, Owners, StoreError};
use medlock_store::{Fault, Row, Sql, all, first, values};
use medlock_trust::Time;

impl Owners for SqlStore {
    fn owner_now(&self, serial: &str) -> Result<Owner, StoreError> {
        let sql = "SELECT domain, promised FROM owner WHERE serial = ?1";
        self.database.read("read whose a device is", |database| {
            let read = |row: &Row| Ok((row.optional_bytes("domain")?, row.optional_bytes("promised")?));
            let found = all(database, "owner", sql, values![serial], read)?;
            let (domain, promised) = found.into_iter().next().unwrap_or_default();
            Ok(Owner { domain, promised })
        })
    }

    fn give_owner(&self, serial: &str, event: OwnerEvent) -> Result<(), StoreError> {
        let serial = serial.to_owned();
        self.database.write("record a voucher", move |database| {
            let given = database.execute(
                "INSERT INTO owner (serial, domain) VALUES (?1, ?2)
                 ON CONFLICT (serial) DO UPDATE SET domain = excluded.domain, promised = NULL
                 WHERE COALESCE(owner.domain, owner.promised, excluded.domain) = excluded.domain",
                values![&serial, &event.domain],
            )?;
            if given == 1 { add(database, &serial, &event) } else { Err(Fault::Taken("owner")) }
        })
    }

    fn free_owner(&self, serial: &str, event: OwnerEvent, promised: Option<[u8; 32]>) -> Result<(), StoreError> {
        let serial = serial.to_owned();
        self.database.write("record that a device was released", move |database| {
            let freed = database.execute(
                "UPDATE owner SET domain = NULL, promised = ?3 WHERE serial = ?1 AND domain = ?2",
                values![&serial, &event.domain, promised.map(|domain| domain.to_vec())],
            )?;
            Fault::unless_one(freed, "owner")?;
            add(database, &serial, &event)
        })
    }

    fn forget_promise(&self, serial: &str, event: OwnerEvent) -> Result<(), StoreError> {
        let serial = serial.to_owned();
        self.database.write("record that a device is promised to nobody", move |database| {
            let sql = "UPDATE owner SET promised = NULL WHERE serial = ?1 AND domain IS NULL AND promised IS NOT NULL";
            Fault::unless_one(database.execute(sql, values![&serial])?, "owner")?;
            add(database, &serial, &event)
        })
    }

    fn owned_since(&self, serial: &str) -> Result<Option<Time>, StoreError> {
        let sql = "SELECT at FROM owner_event WHERE serial = ?1
                   AND id > COALESCE((SELECT max(id) FROM owner_event WHERE serial = ?1 AND voucher IS NULL), 0)
                   ORDER BY id LIMIT 1";
        self.database.read("read since when a device is its owner's", |database| {
            first(database, "owner_event", sql, values![serial], |row| row.time("at"))
        })
    }

    fn owners(&self, serial: &str, most: u16) -> Result<Vec<OwnerEvent>, StoreError> {
        let sql =
            "SELECT at, domain, voucher, expires, why FROM owner_event WHERE serial = ?1 ORDER BY id DESC LIMIT ?2";
        self.database.read("list a device's owners", |database| {
            all(database, "owner_event", sql, values![serial, i64::from(most)], event)
        })
    }
}

fn add(database: &mut dyn Sql, serial: &str, event: &OwnerEvent) -> Result<(), Fault> {
    database.execute(
        "INSERT INTO owner_event (serial, at, domain, voucher, expires, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        values![
            serial,
            event.at.unix(),
            &event.domain,
            event.voucher.clone(),
            event.expires.map(Time::unix),
            &event.why
        ],
    )?;
    Ok(())
}

fn event(row: &Row) -> Result<OwnerEvent, Fault> {
    Ok(OwnerEvent {
        at: row.time("at")?,
        domain: row.bytes("domain")?,
        voucher: row.optional_blob("voucher")?.map(<[u8]>::to_vec),
        expires: row.optional_number("expires")?.map(Time::from_unix),
        why: row.text("why")?.to_owned(),
    })
}
