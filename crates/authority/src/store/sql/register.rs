//! Devices, enrolment codes and waiting requests.

use super::pledges::{made_as, made_columns};
use super::row::{Columns as _, word};
use super::{SqlStore, issuance, standing};
use crate::registry::Device;
use crate::store::{
    Claim, CodeRecord, CodeState, DeviceSearch, Enrolment, Issued, PendingRequest, PendingState, Register, StoreError,
    Subject,
};
use medlock_store::{Engine, Fault, Row, Sql, Value, all, first, values};
use medlock_trust::{CredentialId, DeviceName, DeviceType, KeyId, Roles, Time};

const CODE_STATES: &[(CodeState, &str)] = &[
    (CodeState::Open, "open"),
    (CodeState::Waiting, "waiting"),
    (CodeState::Confirmed, "confirmed"),
    (CodeState::Void, "void"),
];
const PENDING_STATES: &[(PendingState, &str)] =
    &[(PendingState::Waiting, "waiting"), (PendingState::Approved, "approved"), (PendingState::Rejected, "rejected")];
const DEVICE_COLUMNS: &str =
    "name, owner, maker_serial, maker_key, roles, device_type, dns, ips, ae_titles, sidecar, validity_seconds";
const PENDING_COLUMNS: &str = "id, device, code, birth, birth_serial, birth_maker, key, key_fingerprint, claims, address, since, state, \
     made_roles, made_type";

/// The series of numbers that counts the devices.
pub(super) const COUNT: &str = "devices";

impl Register for SqlStore {
    fn add_device(&self, device: Device, at: Time) -> Result<(), StoreError> {
        self.database.write("register a device", move |database| {
            let sql =
                "INSERT INTO device (name, owner, maker_serial, maker_key, roles, device_type, dns, ips, ae_titles,
                           sidecar, validity_seconds, at)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING";
            let mut parameters = device_values(&device);
            parameters.push(at.unix().into());
            if database.execute(sql, &parameters)? != 1 {
                return Err(Fault::Taken("device with this name or maker serial"));
            }
            super::journal::next_number(database, COUNT, 0)?;
            set_titles(database, &device)
        })
    }

    fn replace_device(&self, read: Device, device: Device) -> Result<(), StoreError> {
        self.database.write("change a device's entry", move |database| {
            let held = format!("SELECT {DEVICE_COLUMNS} FROM device WHERE name = ?1");
            if first(database, "device", &held, values![device.name.as_str()], self::device)?.as_ref() != Some(&read) {
                return Err(Fault::Missing("device as it was read"));
            }
            let sql = "UPDATE device SET owner = ?2, maker_serial = ?3, maker_key = ?4, roles = ?5, device_type = ?6,
                           dns = ?7, ips = ?8, ae_titles = ?9, sidecar = ?10, validity_seconds = ?11
                       WHERE name = ?1";
            let changed = database
                .execute(sql, &device_values(&device))
                .map_err(Fault::taken("device with this maker serial"))?;
            Fault::unless_one(changed, "device")?;
            set_titles(database, &device)
        })
    }

    fn remove_device(&self, name: DeviceName) -> Result<(), StoreError> {
        self.database.write("remove a device", move |database| {
            let name = values![name.as_str()];
            let kept = "SELECT 1 AS one FROM issuance WHERE device = ?1
                        UNION ALL SELECT 1 AS one FROM pending WHERE device = ?1 AND state <> 'rejected' LIMIT 1";
            if first(database, "device", kept, name, |row| row.number::<i64>("one"))?.is_some() {
                return Err(Fault::Taken("credential or request of this device"));
            }
            for sql in [
                "DELETE FROM pending WHERE device = ?1 OR code IN (SELECT id FROM code WHERE device = ?1)",
                "DELETE FROM code WHERE device = ?1",
                "DELETE FROM ae_title WHERE device = ?1",
            ] {
                database.execute(sql, name)?;
            }
            Fault::unless_one(database.execute("DELETE FROM device WHERE name = ?1", name)?, "device")?;
            database.execute("UPDATE number SET last = last - 1 WHERE series = ?1", values![COUNT])?;
            Ok(())
        })
    }

    fn device_written_like(&self, name: DeviceName) -> Result<Option<DeviceName>, StoreError> {
        let sql = "SELECT name FROM device WHERE lower(name) = ?1 AND name <> ?2 LIMIT 1";
        let parameters = values![name.as_str().to_ascii_lowercase(), name.as_str()];
        self.database.read("find a device by its name", |database| {
            first(database, "device", sql, parameters, |row| row.device("name"))
        })
    }

    fn device(&self, name: DeviceName) -> Result<Option<Device>, StoreError> {
        let sql = format!("SELECT {DEVICE_COLUMNS} FROM device WHERE name = ?1");
        self.database.read("find a device", |database| first(database, "device", &sql, values![name.as_str()], device))
    }

    fn device_with_maker_serial(&self, serial: &str) -> Result<Option<Device>, StoreError> {
        let sql = format!("SELECT {DEVICE_COLUMNS} FROM device WHERE maker_serial = ?1");
        self.database.read("find a device by its maker's serial", |database| {
            first(database, "device", &sql, values![serial], device)
        })
    }

    fn device_with_title(&self, title: &str) -> Result<Option<DeviceName>, StoreError> {
        let sql = "SELECT device FROM ae_title WHERE title = ?1";
        self.database.read("find a device by its title", |database| {
            first(database, "ae_title", sql, values![title], |row| row.device("device"))
        })
    }

    fn devices_page(&self, search: &DeviceSearch, after: Option<&str>, limit: u32) -> Result<Vec<Device>, StoreError> {
        // What begins with a text lies between it and the same text with the last of all characters behind it.
        let (condition, order, parameters) = match search {
            DeviceSearch::Name(start) => ("name <= ?2", "name", [after.max(Some(start)), Some(start)]),
            DeviceSearch::MakerSerial(start) => {
                ("maker_serial <= ?2", "maker_serial", [after.max(Some(start)), Some(start)])
            }
            DeviceSearch::Owner(owner) => ("owner = ?2", "name", [after.or(Some("")), Some(owner)]),
        };
        let [from, with] = parameters.map(Option::unwrap_or_default);
        let with = match search {
            DeviceSearch::Owner(owner) => owner.clone(),
            DeviceSearch::Name(_) | DeviceSearch::MakerSerial(_) => format!("{with}\u{10ffff}"),
        };
        // Only the one that `after` names is left out.
        let than = if after.is_some_and(|after| after == from) { ">" } else { ">=" };
        let sql = format!(
            "SELECT {DEVICE_COLUMNS} FROM device WHERE {order} {than} ?1 AND {condition} ORDER BY {order} LIMIT ?3"
        );
        self.database
            .read("list devices", |database| all(database, "device", &sql, values![from, &with, limit], device))
    }

    fn device_count(&self) -> Result<u64, StoreError> {
        let count = self.database.read("count the devices", |database| {
            let sql = "SELECT last FROM number WHERE series = ?1";
            first(database, "number", sql, values![COUNT], |row| row.number("last"))
        })?;
        Ok(count.unwrap_or(0))
    }

    fn devices_with_routes(&self) -> Result<Vec<Device>, StoreError> {
        let sql =
            format!("SELECT {DEVICE_COLUMNS} FROM device WHERE sidecar IS NOT NULL OR ae_titles <> '[]' ORDER BY name");
        self.database.read("list the devices with routes", |database| all(database, "device", &sql, &[], device))
    }

    fn hubs(&self) -> Result<Vec<Device>, StoreError> {
        // As the index has it.
        let sql = format!("SELECT {DEVICE_COLUMNS} FROM device WHERE (roles & 1) <> 0 ORDER BY name");
        self.database.read("list the hubs of the register", |database| all(database, "device", &sql, &[], device))
    }

    fn add_code(&self, code: CodeRecord) -> Result<(), StoreError> {
        self.database.write("add an enrolment code", move |database| {
            void_codes(database, &code.device)?;
            let added = database.execute(
                "INSERT INTO code (id, device, secret_hash, expires, wrong_tries, state, key)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
                values![
                    code.id,
                    code.device.as_str(),
                    code.secret_hash,
                    code.expires.unix(),
                    code.wrong_tries,
                    word(&code.state, CODE_STATES),
                    code.key.as_ref().map(KeyId::as_bytes),
                ],
            )?;
            if added == 1 { Ok(()) } else { Err(Fault::Taken("enrolment code")) }
        })
    }

    fn code(&self, id: [u8; 5]) -> Result<Option<CodeRecord>, StoreError> {
        let sql = "SELECT id, device, secret_hash, expires, wrong_tries, state, key FROM code WHERE id = ?1";
        self.database.read("find an enrolment code", |database| first(database, "code", sql, values![id], code))
    }

    fn enrolment(&self, code: [u8; 5], key: KeyId) -> Result<Option<Enrolment>, StoreError> {
        let (engine, device) = (self.engine(), self.as_subject("c.device"));
        let records = issuance::records(engine, "c.device");
        let sql = format!(
            "SELECT c.id, c.device, c.secret_hash, c.expires, c.wrong_tries, c.state, c.key, {DEVICE_COLUMNS},
                 s.state AS against, s.reason, s.epoch, s.since, {records} AS records, coalesce(d.turn, 0) AS ended
             FROM code c
             LEFT JOIN device d ON d.name = c.device
             LEFT JOIN standing s ON s.kind = 'device' AND s.subject = {device}
             WHERE c.id = ?1"
        );
        let parameters = match engine {
            Engine::Sqlite => values![code].to_vec(),
            Engine::Postgres => values![code, key.as_bytes()].to_vec(),
        };
        // Both see one instant.
        self.database.read_snapshot("read what an enrolment code is good for", |database| {
            let of_key = issuance::of(database, "key", key.as_bytes().into())?;
            first(database, "code", &sql, &parameters, |row| enrolment(row, of_key.clone()))
        })
    }

    fn count_wrong_try(&self, id: [u8; 5], most: u32) -> Result<u32, StoreError> {
        let sql = "UPDATE code SET wrong_tries = wrong_tries + 1,
                       state = CASE WHEN wrong_tries + 1 >= ?2 THEN 'void' ELSE state END
                   WHERE id = ?1 RETURNING wrong_tries";
        self.database.write_single("count a wrong try", move |database| {
            first(database, "code", sql, values![id, most], |row| row.number("wrong_tries"))?
                .ok_or(Fault::Missing("enrolment code"))
        })
    }

    fn set_code_state(&self, id: [u8; 5], state: CodeState) -> Result<(), StoreError> {
        let sql = "UPDATE code SET state = ?2 WHERE id = ?1";
        self.database.write_single("change an enrolment code", move |database| {
            let changed = database.execute(sql, values![id, word(&state, CODE_STATES)])?;
            Fault::unless_one(changed, "enrolment code")
        })
    }

    fn void_open_codes(&self) -> Result<u64, StoreError> {
        self.database.write("void all open enrolment codes", |database| {
            database.execute(
                "UPDATE pending SET state = 'rejected' WHERE code IS NOT NULL AND state <> 'rejected'
                 AND code IN (SELECT id FROM code WHERE state IN ('open', 'waiting'))",
                &[],
            )?;
            database.execute("UPDATE code SET state = 'void' WHERE state IN ('open', 'waiting')", &[])
        })
    }

    fn void_claims_of(&self, device: DeviceName) -> Result<(), StoreError> {
        self.database.write("void a device's codes", move |database| void_codes(database, &device))
    }

    fn add_pending(&self, pending: PendingRequest, most: u32) -> Result<(), StoreError> {
        self.database.write("add a waiting request", move |database| {
            let count = "SELECT count(*) AS count FROM pending WHERE state = 'waiting'";
            if number(database, count, &[])? >= most.into() {
                return Err(Fault::Taken("full list of waiting requests"));
            }
            if let Claim::Birth { credential, .. } = &pending.claim {
                let same = "SELECT count(*) AS count FROM pending WHERE birth = ?1 AND state = 'waiting'";
                if number(database, same, values![credential.as_bytes()])? > 0 {
                    return Err(Fault::Taken("waiting request by this birth credential"));
                }
            }
            if let Claim::Code(id) = pending.claim {
                let sql = "UPDATE code SET state = 'waiting', key = ?2 WHERE id = ?1 AND state = 'open'";
                let changed = database.execute(sql, values![id, pending.key.as_bytes()])?;
                Fault::unless_one(changed, "open enrolment code")?;
            }
            insert_pending(database, &pending)
        })
    }

    fn pending(&self, id: [u8; 8]) -> Result<Option<PendingRequest>, StoreError> {
        let sql = format!("SELECT {PENDING_COLUMNS} FROM pending WHERE id = ?1");
        self.database.read("find a waiting request", |database| first(database, "pending", &sql, values![id], pending))
    }

    fn pending_by(&self, claim: &Claim, key: KeyId) -> Result<Option<PendingRequest>, StoreError> {
        let sql = format!(
            "SELECT {PENDING_COLUMNS} FROM pending WHERE key = ?1 AND code IS NOT DISTINCT FROM ?2
                 AND birth IS NOT DISTINCT FROM ?3 ORDER BY rowid DESC LIMIT 1"
        );
        let (code, birth) = match claim {
            Claim::Code(id) => (Some(id.as_slice()), None),
            Claim::Birth { credential, .. } => (None, Some(credential.as_bytes().as_slice())),
        };
        self.database.read("find a waiting request by its key", |database| {
            first(database, "pending", &sql, values![key.as_bytes(), code, birth], pending)
        })
    }

    fn waiting(&self) -> Result<Vec<PendingRequest>, StoreError> {
        let sql = format!("SELECT {PENDING_COLUMNS} FROM pending WHERE state = 'waiting' ORDER BY since, rowid");
        self.database.read("list waiting requests", |database| all(database, "pending", &sql, &[], pending))
    }

    fn settle(&self, id: [u8; 8], state: PendingState, device: Option<DeviceName>) -> Result<(), StoreError> {
        self.database.write("decide a waiting request", move |database| {
            let name = device.as_ref().map(DeviceName::as_str);
            let changed = database.execute(
                "UPDATE pending SET state = ?2, device = coalesce(?3, device) WHERE id = ?1 AND state = 'waiting'",
                values![id, word(&state, PENDING_STATES), name],
            )?;
            Fault::unless_one(changed, "waiting request")?;
            let code = match state {
                PendingState::Approved => CodeState::Confirmed,
                PendingState::Waiting | PendingState::Rejected => CodeState::Void,
            };
            database.execute(
                "UPDATE code SET state = ?2 WHERE id = (SELECT code FROM pending WHERE id = ?1) AND state = 'waiting'",
                values![id, word(&code, CODE_STATES)],
            )?;
            Ok(())
        })
    }
}

fn number(database: &mut dyn Sql, question: &str, parameters: &[Value]) -> Result<i64, Fault> {
    Ok(first(database, "pending", question, parameters, |row| row.number("count"))?.unwrap_or(0))
}

/// A title belongs to one device.
fn set_titles(database: &mut dyn Sql, device: &Device) -> Result<(), Fault> {
    database.execute("DELETE FROM ae_title WHERE device = ?1", values![device.name.as_str()])?;
    for title in &device.ae_titles {
        let sql = "INSERT INTO ae_title (title, device) VALUES (?1, ?2)
                   ON CONFLICT (title) DO UPDATE SET device = excluded.device WHERE ae_title.device = excluded.device";
        if database.execute(sql, values![title, device.name.as_str()])? != 1 {
            return Err(Fault::Taken("application entity title"));
        }
    }
    Ok(())
}

/// The columns of a device, in the order of `?1` to `?11`.
fn device_values(device: &Device) -> Vec<Value> {
    let list = |names: &[String]| serde_json::Value::from(names).to_string();
    let ips: Vec<String> = device.ips.iter().map(ToString::to_string).collect();
    values![
        device.name.as_str(),
        &device.owner,
        device.maker_serial.as_deref(),
        device.maker_key,
        device.roles.bits(),
        device.device_type.map(|kind| kind.0),
        list(&device.dns),
        list(&ips),
        list(&device.ae_titles),
        device.sidecar.as_deref(),
        device.validity_seconds,
    ]
    .to_vec()
}

fn void_codes(database: &mut dyn Sql, device: &DeviceName) -> Result<(), Fault> {
    let name = values![device.as_str()];
    database.execute("UPDATE code SET state = 'void' WHERE device = ?1", name)?;
    database.execute("UPDATE pending SET state = 'rejected' WHERE device = ?1 AND state <> 'rejected'", name)?;
    Ok(())
}

fn insert_pending(database: &mut dyn Sql, pending: &PendingRequest) -> Result<(), Fault> {
    let (code, birth, birth_serial, birth_maker) = match &pending.claim {
        Claim::Code(id) => (Some(id), None, None, None),
        Claim::Birth { credential, serial, maker } => {
            (None, Some(credential.as_bytes()), Some(serial), maker.as_ref().map(KeyId::as_bytes))
        }
    };
    let sql = format!(
        "INSERT INTO pending ({PENDING_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT DO NOTHING"
    );
    let (roles, kind) = made_columns(pending.made_as);
    let parameters = values![
        pending.id,
        pending.device.as_ref().map(DeviceName::as_str),
        code,
        birth,
        birth_serial,
        birth_maker,
        pending.key.as_bytes(),
        pending.key_fingerprint,
        &pending.claims,
        &pending.address,
        pending.since.unix(),
        word(&pending.state, PENDING_STATES),
        roles,
        kind,
    ];
    if database.execute(&sql, parameters)? == 1 { Ok(()) } else { Err(Fault::Taken("waiting request")) }
}

fn device(row: &Row) -> Result<Device, Fault> {
    Ok(Device {
        name: row.device("name")?,
        owner: row.text("owner")?.to_owned(),
        maker_serial: row.optional_text("maker_serial")?.map(str::to_owned),
        maker_key: row.optional_bytes("maker_key")?,
        roles: Roles::from_bits(row.number("roles")?),
        device_type: row.optional_number("device_type")?.map(DeviceType),
        dns: row.json("dns")?,
        ips: row.json("ips")?,
        ae_titles: row.json("ae_titles")?,
        sidecar: row.optional_text("sidecar")?.map(str::to_owned),
        validity_seconds: row.optional_number("validity_seconds")?,
    })
}

fn code(row: &Row) -> Result<CodeRecord, Fault> {
    Ok(CodeRecord {
        id: row.bytes("id")?,
        device: row.device("device")?,
        secret_hash: row.bytes("secret_hash")?,
        expires: row.time("expires")?,
        wrong_tries: row.number("wrong_tries")?,
        state: row.word("state", CODE_STATES)?,
        key: row.optional_bytes("key")?.map(KeyId::from_bytes),
    })
}

fn enrolment(row: &Row, of_key: Vec<Issued>) -> Result<Enrolment, Fault> {
    let code = code(row)?;
    let device = row.optional_text("name")?.map(|_| device(row)).transpose()?;
    let against = standing::against(row, Subject::Device(code.device))?;
    Ok(Enrolment { code, device, against, turn: issuance::turn(row)?, of_key })
}

fn pending(row: &Row) -> Result<PendingRequest, Fault> {
    let claim = match (row.optional_bytes("code")?, row.optional_bytes("birth")?) {
        (Some(id), None) => Claim::Code(id),
        (None, Some(birth)) => Claim::Birth {
            credential: CredentialId::from_bytes(birth),
            serial: row.text("birth_serial")?.to_owned(),
            maker: row.optional_bytes("birth_maker")?.map(KeyId::from_bytes),
        },
        _ => return Err(row.damaged("code")),
    };
    Ok(PendingRequest {
        id: row.bytes("id")?,
        device: row.optional_device("device")?,
        claim,
        key: row.key("key")?,
        key_fingerprint: row.bytes("key_fingerprint")?,
        claims: row.text("claims")?.to_owned(),
        made_as: made_as(row)?,
        address: row.text("address")?.to_owned(),
        since: row.time("since")?,
        state: row.word("state", PENDING_STATES)?,
    })
}
