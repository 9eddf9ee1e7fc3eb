//! Whose each device of a maker is, and was.

use super::SqlStore;
use super::row::Columns as _;
use crate::store::{OwnerEvent, Owners, StoreError};
use medlock_store::{Fault, Row, Sql, all, values};
use medlock_trust::Time;

impl Owners for SqlStore {
    fn give_owner(&self, serial: &str, event: OwnerEvent) -> Result<(), StoreError> {
        let serial = serial.to_owned();
        self.database.write("record a voucher", move |database| {
            let given = database.execute(
                "INSERT INTO owner (serial, domain) VALUES (?1, ?2) ON CONFLICT (serial) DO UPDATE SET domain = excluded.domain
                 WHERE owner.domain IS NULL OR owner.domain = excluded.domain",
                values![&serial, &event.domain],
            )?;
            if given == 1 { add(database, &serial, &event) } else { Err(Fault::Taken("owner")) }
        })
    }

    fn free_owner(&self, serial: &str, event: OwnerEvent) -> Result<(), StoreError> {
        let serial = serial.to_owned();
        self.database.write("record that a device was released", move |database| {
            let freed = database.execute(
                "UPDATE owner SET domain = NULL WHERE serial = ?1 AND domain = ?2",
                values![&serial, &event.domain],
            )?;
            Fault::unless_one(freed, "owner")?;
            add(database, &serial, &event)
        })
    }

    fn owners(&self, serial: &str) -> Result<Vec<OwnerEvent>, StoreError> {
        let sql =
            "SELECT at, domain, voucher, expires, why FROM owner_event WHERE serial = ?1 ORDER BY id DESC LIMIT 1000";
        self.database
            .read("list a device's owners", |database| all(database, "owner_event", sql, values![serial], event))
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
