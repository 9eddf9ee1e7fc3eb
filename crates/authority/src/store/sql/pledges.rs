//! Devices that came though nobody registered them.

use super::SqlStore;
use super::row::Columns as _;
use crate::MadeAs;
use crate::store::{Pledge, PledgeRoom, Pledges, StoreError};
use medlock_store::{Fault, Row, all, first, values};
use medlock_trust::{DeviceType, KeyId, Roles, Time};

const COLUMNS: &str = "maker, serial, address, first, last, count, made_roles, made_type";

impl Pledges for SqlStore {
    fn note_pledge(&self, pledge: Pledge, room: PledgeRoom) -> Result<bool, StoreError> {
        self.database.write("note a device that is not registered", move |database| {
            let Pledge { maker, serial, made_as, address, first, last, count } = &pledge;
            let (roles, kind) = made_columns(*made_as);
            let known = database.execute(
                "UPDATE pledge SET address = ?3, last = ?4, count = count + ?5, made_roles = ?6, made_type = ?7
                     WHERE maker = ?1 AND serial = ?2",
                values![maker.as_bytes(), serial, address, last.unix(), *count, roles, kind],
            )?;
            if known == 0 {
                database.execute(
                    &format!("INSERT INTO pledge ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
                    values![maker.as_bytes(), serial, address, first.unix(), last.unix(), *count, roles, kind],
                )?;
            }
            database.execute("DELETE FROM pledge WHERE last < ?1", values![room.since.unix()])?;
            database.execute(
                "DELETE FROM pledge WHERE maker = ?1 AND serial NOT IN
                     (SELECT serial FROM pledge WHERE maker = ?1 ORDER BY last DESC, serial LIMIT ?2)",
                values![maker.as_bytes(), room.maker],
            )?;
            database.execute(
                "DELETE FROM pledge WHERE last <= (SELECT last FROM pledge ORDER BY last DESC LIMIT 1 OFFSET ?1)",
                values![room.all],
            )?;
            Ok(known == 0)
        })
    }

    fn pledge(&self, maker: KeyId, serial: &str) -> Result<Option<Pledge>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM pledge WHERE maker = ?1 AND serial = ?2");
        self.database.read("find a device that is not registered", |database| {
            first(database, "pledge", &sql, values![maker.as_bytes(), serial], pledge)
        })
    }

    fn pledges(&self, since: Time, most: u32) -> Result<Vec<Pledge>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM pledge WHERE last >= ?1 AND NOT EXISTS
                 (SELECT 1 FROM device WHERE device.maker_serial = pledge.serial
                      AND (device.maker_key IS NULL OR device.maker_key = pledge.maker))
             ORDER BY last DESC, serial LIMIT ?2"
        );
        self.database.read("list the devices that are not registered", |database| {
            all(database, "pledge", &sql, values![since.unix(), most], pledge)
        })
    }
}

fn pledge(row: &Row) -> Result<Pledge, Fault> {
    Ok(Pledge {
        maker: row.key("maker")?,
        serial: row.text("serial")?.to_owned(),
        made_as: made_as(row)?,
        address: row.text("address")?.to_owned(),
        first: row.time("first")?,
        last: row.time("last")?,
        count: row.number("count")?,
    })
}

/// The columns for what a device was made for.
pub(super) fn made_columns(made: Option<MadeAs>) -> (Option<u32>, Option<u16>) {
    (made.map(|made| made.roles.bits()), made.and_then(|made| made.device_type).map(|kind| kind.0))
}

/// What a device was made for, of a row with these columns.
pub(super) fn made_as(row: &Row) -> Result<Option<MadeAs>, Fault> {
    let roles = row.optional_number("made_roles")?.map(Roles::from_bits);
    let device_type = row.optional_number("made_type")?.map(DeviceType);
    Ok(roles.map(|roles| MadeAs { roles, device_type }))
}
