//! Devices, enrolment codes and waiting requests.

use super::row::{Reading, all, first, signed, word};
use super::{Fault, SqliteStore, one, taken};
use crate::registry::Device;
use crate::store::{Claim, CodeRecord, CodeState, PendingRequest, PendingState, Register, StoreError};
use medlock_trust::{CredentialId, DeviceName, DeviceType, KeyId, Roles, Time};
use rusqlite::{Connection, params};

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
const PENDING_COLUMNS: &str =
    "id, device, code, birth, birth_serial, birth_maker, key, key_fingerprint, claims, address, since, state";

impl Register for SqliteStore {
    fn add_device(&self, device: Device, at: Time) -> Result<(), StoreError> {
        self.write("register a device", move |connection| {
            let sql =
                "INSERT INTO device (name, owner, maker_serial, maker_key, roles, device_type, dns, ips, ae_titles,
                           sidecar, validity_seconds, at)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
            put_device(connection, sql, &device, Some(at)).map(|_| ())
        })
    }

    fn replace_device(&self, device: Device) -> Result<(), StoreError> {
        self.write("change a device's entry", move |connection| {
            let sql = "UPDATE device SET owner = ?2, maker_serial = ?3, maker_key = ?4, roles = ?5, device_type = ?6,
                           dns = ?7, ips = ?8, ae_titles = ?9, sidecar = ?10, validity_seconds = ?11
                       WHERE name = ?1";
            one(put_device(connection, sql, &device, None)?, "device")
        })
    }

    fn device(&self, name: DeviceName) -> Result<Option<Device>, StoreError> {
        let sql = format!("SELECT {DEVICE_COLUMNS} FROM device WHERE name = ?1");
        self.read("find a device", |connection| first(connection, "device", &sql, [name.as_str()], device))
    }

    fn device_with_maker_serial(&self, serial: &str) -> Result<Option<Device>, StoreError> {
        let sql = format!("SELECT {DEVICE_COLUMNS} FROM device WHERE maker_serial = ?1");
        self.read("find a device by its maker's serial", |connection| {
            first(connection, "device", &sql, [serial], device)
        })
    }

    fn devices(&self) -> Result<Vec<Device>, StoreError> {
        let sql = format!("SELECT {DEVICE_COLUMNS} FROM device ORDER BY name");
        self.read("list the devices", |connection| all(connection, "device", &sql, [], device))
    }

    fn add_code(&self, code: CodeRecord) -> Result<(), StoreError> {
        self.write("add an enrolment code", move |connection| {
            void_codes(connection, &code.device)?;
            connection
                .prepare_cached(
                    "INSERT INTO code (id, device, secret_hash, expires, wrong_tries, state, key)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    code.id,
                    code.device.as_str(),
                    code.secret_hash,
                    code.expires.unix(),
                    code.wrong_tries,
                    word(&code.state, CODE_STATES),
                    code.key.as_ref().map(KeyId::as_bytes),
                ])
                .map_err(taken("enrolment code"))?;
            Ok(())
        })
    }

    fn code(&self, id: [u8; 5]) -> Result<Option<CodeRecord>, StoreError> {
        let sql = "SELECT id, device, secret_hash, expires, wrong_tries, state, key FROM code WHERE id = ?1";
        self.read("find an enrolment code", |connection| first(connection, "code", sql, [id], code))
    }

    fn count_wrong_try(&self, id: [u8; 5], most: u32) -> Result<u32, StoreError> {
        self.write("count a wrong try", move |connection| {
            let sql = "UPDATE code SET wrong_tries = wrong_tries + 1,
                           state = CASE WHEN wrong_tries + 1 >= ?2 THEN 'void' ELSE state END
                       WHERE id = ?1 RETURNING wrong_tries";
            first(connection, "code", sql, params![id, most], |row| row.plain("wrong_tries"))?
                .ok_or(Fault::Missing("enrolment code"))
        })
    }

    fn set_code_state(&self, id: [u8; 5], state: CodeState) -> Result<(), StoreError> {
        self.write("change an enrolment code", move |connection| {
            let sql = "UPDATE code SET state = ?2 WHERE id = ?1";
            let changed = connection.prepare_cached(sql)?.execute(params![id, word(&state, CODE_STATES)])?;
            one(changed, "enrolment code")
        })
    }

    fn void_claims_of(&self, device: DeviceName) -> Result<(), StoreError> {
        self.write("void a device's codes", move |connection| void_codes(connection, &device))
    }

    fn add_pending(&self, pending: PendingRequest, most: u32) -> Result<(), StoreError> {
        self.write("add a waiting request", move |connection| {
            let waiting: u32 =
                connection.query_row("SELECT count(*) FROM pending WHERE state = 'waiting'", [], |row| row.get(0))?;
            if waiting >= most {
                return Err(Fault::Taken("full list of waiting requests"));
            }
            if let Claim::Birth { credential, .. } = &pending.claim {
                let sql = "SELECT count(*) FROM pending WHERE birth = ?1 AND state = 'waiting'";
                let same: u32 = connection.query_row(sql, [credential.as_bytes()], |row| row.get(0))?;
                if same > 0 {
                    return Err(Fault::Taken("waiting request by this birth credential"));
                }
            }
            if let Claim::Code(id) = pending.claim {
                let sql = "UPDATE code SET state = 'waiting', key = ?2 WHERE id = ?1 AND state = 'open'";
                let changed = connection.prepare_cached(sql)?.execute(params![id, pending.key.as_bytes()])?;
                one(changed, "open enrolment code")?;
            }
            insert_pending(connection, &pending)
        })
    }

    fn pending(&self, id: [u8; 8]) -> Result<Option<PendingRequest>, StoreError> {
        let sql = format!("SELECT {PENDING_COLUMNS} FROM pending WHERE id = ?1");
        self.read("find a waiting request", |connection| first(connection, "pending", &sql, [id], pending))
    }

    fn pending_by(&self, claim: &Claim, key: KeyId) -> Result<Option<PendingRequest>, StoreError> {
        let sql = format!(
            "SELECT {PENDING_COLUMNS} FROM pending WHERE key = ?1 AND code IS ?2 AND birth IS ?3 ORDER BY rowid DESC LIMIT 1"
        );
        let (code, birth) = match claim {
            Claim::Code(id) => (Some(id.as_slice()), None),
            Claim::Birth { credential, .. } => (None, Some(credential.as_bytes().as_slice())),
        };
        self.read("find a waiting request by its key", |connection| {
            first(connection, "pending", &sql, params![key.as_bytes(), code, birth], pending)
        })
    }

    fn waiting(&self) -> Result<Vec<PendingRequest>, StoreError> {
        let sql = format!("SELECT {PENDING_COLUMNS} FROM pending WHERE state = 'waiting' ORDER BY since, rowid");
        self.read("list waiting requests", |connection| all(connection, "pending", &sql, [], pending))
    }

    fn settle(&self, id: [u8; 8], state: PendingState, device: Option<DeviceName>) -> Result<(), StoreError> {
        self.write("decide a waiting request", move |connection| {
            let sql =
                "UPDATE pending SET state = ?2, device = coalesce(?3, device) WHERE id = ?1 AND state = 'waiting'";
            let name = device.as_ref().map(DeviceName::as_str);
            let changed = connection.prepare_cached(sql)?.execute(params![id, word(&state, PENDING_STATES), name])?;
            one(changed, "waiting request")?;
            let code = match state {
                PendingState::Approved => CodeState::Confirmed,
                PendingState::Waiting | PendingState::Rejected => CodeState::Void,
            };
            let sql =
                "UPDATE code SET state = ?2 WHERE id = (SELECT code FROM pending WHERE id = ?1) AND state = 'waiting'";
            connection.prepare_cached(sql)?.execute(params![id, word(&code, CODE_STATES)])?;
            Ok(())
        })
    }
}

fn put_device(connection: &Connection, sql: &str, device: &Device, at: Option<Time>) -> Result<usize, Fault> {
    let list = |names: &[String]| serde_json::Value::from(names).to_string();
    let ips: Vec<String> = device.ips.iter().map(ToString::to_string).collect();
    let mut statement = connection.prepare_cached(sql)?;
    let shared = params![
        device.name.as_str(),
        device.owner,
        device.maker_serial,
        device.maker_key,
        device.roles.bits(),
        device.device_type.map(|kind| kind.0),
        list(&device.dns),
        list(&ips),
        list(&device.ae_titles),
        device.sidecar,
        device.validity_seconds.map(signed),
    ];
    let at = at.map(Time::unix);
    let mut all: Vec<&dyn rusqlite::ToSql> = shared.to_vec();
    if let Some(at) = &at {
        all.push(at);
    }
    statement.execute(all.as_slice()).map_err(taken("device with this name or maker serial"))
}

fn void_codes(connection: &Connection, device: &DeviceName) -> Result<(), Fault> {
    connection.prepare_cached("UPDATE code SET state = 'void' WHERE device = ?1")?.execute([device.as_str()])?;
    connection
        .prepare_cached("UPDATE pending SET state = 'rejected' WHERE device = ?1 AND state <> 'rejected'")?
        .execute([device.as_str()])?;
    Ok(())
}

fn insert_pending(connection: &Connection, pending: &PendingRequest) -> Result<(), Fault> {
    let (code, birth, birth_serial, birth_maker) = match &pending.claim {
        Claim::Code(id) => (Some(id), None, None, None),
        Claim::Birth { credential, serial, maker } => {
            (None, Some(credential.as_bytes()), Some(serial), maker.as_ref().map(KeyId::as_bytes))
        }
    };
    let sql =
        format!("INSERT INTO pending ({PENDING_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)");
    connection
        .prepare_cached(&sql)?
        .execute(params![
            pending.id,
            pending.device.as_ref().map(DeviceName::as_str),
            code,
            birth,
            birth_serial,
            birth_maker,
            pending.key.as_bytes(),
            pending.key_fingerprint,
            pending.claims,
            pending.address,
            pending.since.unix(),
            word(&pending.state, PENDING_STATES),
        ])
        .map_err(taken("waiting request"))?;
    Ok(())
}

fn device(row: &Reading<'_, '_>) -> Result<Device, Fault> {
    Ok(Device {
        name: row.device("name")?,
        owner: row.plain("owner")?,
        maker_serial: row.plain("maker_serial")?,
        maker_key: row.optional_bytes("maker_key")?,
        roles: Roles::from_bits(row.plain("roles")?),
        device_type: row.plain::<Option<u16>>("device_type")?.map(DeviceType),
        dns: row.json("dns")?,
        ips: row.json("ips")?,
        ae_titles: row.json("ae_titles")?,
        sidecar: row.plain("sidecar")?,
        validity_seconds: row
            .plain::<Option<i64>>("validity_seconds")?
            .map(|seconds| u64::try_from(seconds).map_err(|_| row.damaged("validity_seconds")))
            .transpose()?,
    })
}

fn code(row: &Reading<'_, '_>) -> Result<CodeRecord, Fault> {
    Ok(CodeRecord {
        id: row.bytes("id")?,
        device: row.device("device")?,
        secret_hash: row.bytes("secret_hash")?,
        expires: row.time("expires")?,
        wrong_tries: row.plain("wrong_tries")?,
        state: row.word("state", CODE_STATES)?,
        key: row.optional_bytes("key")?.map(KeyId::from_bytes),
    })
}

fn pending(row: &Reading<'_, '_>) -> Result<PendingRequest, Fault> {
    let claim = match (row.optional_bytes("code")?, row.optional_bytes("birth")?) {
        (Some(id), None) => Claim::Code(id),
        (None, Some(birth)) => Claim::Birth {
            credential: CredentialId::from_bytes(birth),
            serial: row.plain("birth_serial")?,
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
        claims: row.plain("claims")?,
        address: row.plain("address")?,
        since: row.time("since")?,
        state: row.word("state", PENDING_STATES)?,
    })
}
