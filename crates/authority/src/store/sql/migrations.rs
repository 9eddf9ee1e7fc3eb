//! The tables, in numbered steps. A step that was ever released is never changed; the next one is added behind it.

use medlock_node::provider::AwsLc;
use medlock_store::{Fault, Sql, Step, all, values};
use medlock_trust::x509::Certificate;

use super::row::Columns as _;

/// Each step, in order, with the same number on both databases. PostgreSQL came after the fourth: its first step makes what
/// the first four of SQLite do.
pub(super) const STEPS: &[Step] = &[
    Step::Sql { sqlite: ONE, postgres: POSTGRES_ONE },
    Step::Sql { sqlite: TWO, postgres: "" },
    Step::Code(name_credentials_by_what_is_signed),
    Step::Sql { sqlite: FOUR, postgres: "" },
    Step::Both(FIVE),
    Step::Sql { sqlite: OWNERS, postgres: POSTGRES_OWNERS },
    Step::Both(SHARED),
    Step::Code(fill_titles_and_count),
    Step::Sql { sqlite: "", postgres: POSTGRES_SINCE },
    Step::Both(ROLL),
    Step::Sql { sqlite: PROMISED, postgres: POSTGRES_PROMISED },
    Step::Sql { sqlite: UNTIL, postgres: POSTGRES_UNTIL },
    Step::Both(FOUND),
    Step::Sql { sqlite: PLEDGES, postgres: POSTGRES_PLEDGES },
    Step::Sql { sqlite: MADE_AS, postgres: POSTGRES_MADE_AS },
    Step::Both(SUBJECT),
    Step::Sql { sqlite: HEARD, postgres: POSTGRES_HEARD },
    // Devices by their names without regard to capital letters.
    Step::Index { name: "device_written_like", on: "device (lower(name))" },
    // The few entries with the role of a hub, among millions.
    Step::Index { name: "device_hubs", on: "device (name) WHERE (roles & 1) <> 0" },
];

/// Standings that were taken over from a status list that was heard: the key that signed it, and what the store said before.
const HEARD: &str = "
CREATE TABLE standing_heard (
    kind    TEXT NOT NULL,
    subject BLOB NOT NULL,
    key     BLOB NOT NULL CHECK (length(key) = 16),
    state   TEXT,
    reason  TEXT,
    since   INTEGER,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX standing_heard_key ON standing_heard (key);
";
const POSTGRES_HEARD: &str = r#"
CREATE TABLE standing_heard (
    kind    TEXT   COLLATE "C" NOT NULL,
    subject BYTEA  NOT NULL,
    key     BYTEA  NOT NULL CHECK (length(key) = 16),
    state   TEXT,
    reason  TEXT,
    since   BIGINT,
    PRIMARY KEY (kind, subject)
);
CREATE INDEX standing_heard_key ON standing_heard (key);
"#;

/// What an alarm is about that is about no device of the register, or says more than one thing about a device.
const SUBJECT: &str = "ALTER TABLE alarm ADD COLUMN subject TEXT NOT NULL DEFAULT ''";

/// What birth credentials say that devices were made for.
const MADE_AS: &str = "ALTER TABLE pledge ADD COLUMN made_roles INTEGER;
ALTER TABLE pledge ADD COLUMN made_type INTEGER;
ALTER TABLE pending ADD COLUMN made_roles INTEGER;
ALTER TABLE pending ADD COLUMN made_type INTEGER;
";
const POSTGRES_MADE_AS: &str = "ALTER TABLE pledge ADD COLUMN made_roles BIGINT;
ALTER TABLE pledge ADD COLUMN made_type BIGINT;
ALTER TABLE pending ADD COLUMN made_roles BIGINT;
ALTER TABLE pending ADD COLUMN made_type BIGINT;
";

/// The authority's own certificates, among millions of others; a device's requests, among those of all.
const FOUND: &str = "
DROP INDEX issuance_purpose;
CREATE INDEX issuance_own ON issuance (purpose, number) WHERE purpose IN ('root', 'issuing', 'voucher');
CREATE INDEX pending_device ON pending (device) WHERE device IS NOT NULL;
";

/// To whom its last owner has transferred a device that nobody has.
const PROMISED: &str = "ALTER TABLE owner ADD COLUMN promised BLOB CHECK (length(promised) = 32)";
const POSTGRES_PROMISED: &str = "ALTER TABLE owner ADD COLUMN promised BYTEA CHECK (length(promised) = 32)";

/// What was read from all devices once.
fn fill_titles_and_count(database: &mut dyn Sql) -> Result<(), Fault> {
    let devices = "SELECT name, ae_titles FROM device ORDER BY name";
    let devices = all(database, "device", devices, &[], |row| {
        Ok((row.text("name")?.to_owned(), row.json::<Vec<String>>("ae_titles")?))
    })?;
    for (name, title) in devices.iter().flat_map(|(name, titles)| titles.iter().map(move |title| (name, title))) {
        database.execute(
            "INSERT INTO ae_title (title, device) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            values![title, name],
        )?;
    }
    let count = devices.len() as u64;
    database.execute("INSERT INTO number (series, last) VALUES (?1, ?2)", values![super::register::COUNT, count])?;
    Ok(())
}

/// Credentials were named by the hash of the whole certificate once. What a list told by those names stays told: of its
/// compromises, the next list has each again.
fn name_credentials_by_what_is_signed(database: &mut dyn Sql) -> Result<(), Fault> {
    let issued = "SELECT credential, certificate FROM issuance WHERE state = 'issued'";
    let issued = all(database, "issuance", issued, &[], |row| {
        Ok((row.blob("credential")?.to_vec(), row.blob("certificate")?.to_vec()))
    })?;
    for (old, certificate) in issued {
        let Ok(view) = Certificate::read(&certificate) else { continue };
        let new = view.credential_id(&AwsLc);
        for sql in [
            "UPDATE issuance SET credential = ?2 WHERE credential = ?1",
            "UPDATE issuance SET parent = ?2 WHERE parent = ?1",
            "UPDATE standing SET subject = ?2 WHERE kind = 'credential' AND subject = ?1",
        ] {
            database.execute(sql, values![&old, new.as_bytes()])?;
        }
    }
    Ok(())
}

const ONE: &str = "
CREATE TABLE issuance (
    serial      BLOB    PRIMARY KEY CHECK (length(serial) = 16),
    purpose     TEXT    NOT NULL,
    device      TEXT,
    key         BLOB    NOT NULL CHECK (length(key) = 16),
    parent      BLOB,
    not_before  INTEGER NOT NULL,
    not_after   INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    tbs         BLOB    NOT NULL,
    state       TEXT    NOT NULL DEFAULT 'recorded' CHECK (state IN ('recorded', 'issued', 'abandoned')),
    abandoned   TEXT,
    credential  BLOB    UNIQUE,
    certificate BLOB,
    used        INTEGER NOT NULL DEFAULT 0,
    CHECK ((state = 'issued') = (certificate IS NOT NULL)),
    CHECK ((state = 'issued') = (credential IS NOT NULL))
) STRICT;
CREATE INDEX issuance_device ON issuance (device) WHERE device IS NOT NULL;
CREATE INDEX issuance_key ON issuance (key);
CREATE INDEX issuance_parent ON issuance (parent) WHERE parent IS NOT NULL;
CREATE INDEX issuance_recorded ON issuance (state) WHERE state = 'recorded';
CREATE INDEX issuance_purpose ON issuance (purpose, at) WHERE purpose IN ('root', 'issuing');
CREATE TRIGGER issuance_stays BEFORE DELETE ON issuance
BEGIN SELECT RAISE(ABORT, 'issuance is append-only'); END;

CREATE TABLE device (
    name             TEXT PRIMARY KEY,
    owner            TEXT NOT NULL,
    maker_serial     TEXT UNIQUE,
    maker_key        BLOB,
    roles            INTEGER NOT NULL,
    device_type      INTEGER,
    dns              TEXT NOT NULL,
    ips              TEXT NOT NULL,
    ae_titles        TEXT NOT NULL,
    sidecar          TEXT,
    validity_seconds INTEGER,
    at               INTEGER NOT NULL
) STRICT;

CREATE TABLE code (
    id          BLOB    PRIMARY KEY CHECK (length(id) = 5),
    device      TEXT    NOT NULL REFERENCES device (name),
    secret_hash BLOB    NOT NULL CHECK (length(secret_hash) = 32),
    expires     INTEGER NOT NULL,
    wrong_tries INTEGER NOT NULL DEFAULT 0,
    state       TEXT    NOT NULL,
    key         BLOB
) STRICT;
CREATE INDEX code_device ON code (device);

CREATE TABLE pending (
    id              BLOB    PRIMARY KEY CHECK (length(id) = 8),
    device          TEXT    REFERENCES device (name),
    code            BLOB    REFERENCES code (id),
    birth           BLOB,
    birth_serial    TEXT,
    key             BLOB    NOT NULL CHECK (length(key) = 16),
    key_fingerprint BLOB    NOT NULL CHECK (length(key_fingerprint) = 32),
    claims          TEXT    NOT NULL,
    address         TEXT    NOT NULL,
    since           INTEGER NOT NULL,
    state           TEXT    NOT NULL,
    CHECK ((code IS NULL) <> (birth IS NULL)),
    CHECK ((birth IS NULL) = (birth_serial IS NULL))
) STRICT;
CREATE INDEX pending_key ON pending (key);
CREATE INDEX pending_waiting ON pending (since) WHERE state = 'waiting';

CREATE TABLE standing (
    kind    TEXT    NOT NULL,
    subject BLOB    NOT NULL,
    state   TEXT    NOT NULL,
    reason  TEXT    NOT NULL,
    epoch   INTEGER NOT NULL,
    since   INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE standing_change (
    id      INTEGER PRIMARY KEY,
    kind    TEXT    NOT NULL,
    subject BLOB    NOT NULL,
    state   TEXT,
    reason  TEXT    NOT NULL,
    epoch   INTEGER NOT NULL,
    at      INTEGER NOT NULL
) STRICT;

CREATE TABLE object (
    kind    TEXT    NOT NULL,
    version INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    bytes   BLOB    NOT NULL,
    PRIMARY KEY (kind, version)
) STRICT;

CREATE TABLE number (
    series TEXT    PRIMARY KEY,
    last   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE alarm (
    id           INTEGER PRIMARY KEY,
    at           INTEGER NOT NULL,
    kind         TEXT    NOT NULL,
    device       TEXT,
    text         TEXT    NOT NULL,
    acknowledged INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    who     TEXT    NOT NULL,
    verb    TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    outcome TEXT    NOT NULL
) STRICT;
CREATE TRIGGER audit_stays BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_is_not_rewritten BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Who vouches for a birth credential; alarms that are counted up.
const TWO: &str = "
ALTER TABLE pending ADD COLUMN birth_maker BLOB;
CREATE INDEX pending_birth ON pending (birth) WHERE birth IS NOT NULL AND state = 'waiting';
ALTER TABLE alarm ADD COLUMN last INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alarm ADD COLUMN count INTEGER NOT NULL DEFAULT 1;
UPDATE alarm SET last = at;
CREATE INDEX alarm_open ON alarm (kind, device) WHERE acknowledged = 0;
";

/// The transparency log: records are numbered in the order in which they are written, and the numbers stay.
const FOUR: &str = "
CREATE TABLE issuance_numbered (
    number      INTEGER PRIMARY KEY,
    serial      BLOB    NOT NULL UNIQUE CHECK (length(serial) = 16),
    purpose     TEXT    NOT NULL,
    device      TEXT,
    key         BLOB    NOT NULL CHECK (length(key) = 16),
    parent      BLOB,
    not_before  INTEGER NOT NULL,
    not_after   INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    tbs         BLOB    NOT NULL,
    state       TEXT    NOT NULL DEFAULT 'recorded' CHECK (state IN ('recorded', 'issued', 'abandoned')),
    abandoned   TEXT,
    credential  BLOB    UNIQUE,
    certificate BLOB,
    used        INTEGER NOT NULL DEFAULT 0,
    CHECK ((state = 'issued') = (certificate IS NOT NULL)),
    CHECK ((state = 'issued') = (credential IS NOT NULL))
) STRICT;
INSERT INTO issuance_numbered
    SELECT row_number() OVER (ORDER BY rowid), serial, purpose, device, key, parent, not_before, not_after, at, tbs,
           state, abandoned, credential, certificate, used
    FROM issuance ORDER BY rowid;
DROP TRIGGER issuance_stays;
DROP TABLE issuance;
ALTER TABLE issuance_numbered RENAME TO issuance;
CREATE INDEX issuance_device ON issuance (device) WHERE device IS NOT NULL;
CREATE INDEX issuance_key ON issuance (key);
CREATE INDEX issuance_parent ON issuance (parent) WHERE parent IS NOT NULL;
CREATE INDEX issuance_recorded ON issuance (state) WHERE state = 'recorded';
CREATE INDEX issuance_purpose ON issuance (purpose, at) WHERE purpose IN ('root', 'issuing');
CREATE TRIGGER issuance_stays BEFORE DELETE ON issuance
BEGIN SELECT RAISE(ABORT, 'issuance is append-only'); END;
CREATE TRIGGER issuance_is_not_rewritten BEFORE UPDATE OF number, serial, tbs ON issuance
BEGIN SELECT RAISE(ABORT, 'issuance is append-only'); END;

CREATE TABLE log (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    holder      BLOB,
    term        INTEGER NOT NULL DEFAULT 0,
    size        INTEGER NOT NULL DEFAULT 0,
    signed_size INTEGER,
    checkpoint  BLOB,
    CHECK ((signed_size IS NULL) = (checkpoint IS NULL)),
    CHECK (signed_size <= size)
) STRICT;
INSERT INTO log (one) VALUES (1);

CREATE TABLE log_tile (
    level  INTEGER NOT NULL,
    place  INTEGER NOT NULL,
    hashes BLOB    NOT NULL,
    PRIMARY KEY (level, place)
) STRICT;
";

/// When the lease of the log lapses, in seconds of the server's clock; a store of one process needs none.
/// Whose each device of a maker is, and what was said of it.
const OWNERS: &str = "
CREATE TABLE owner (
    serial TEXT PRIMARY KEY,
    domain BLOB CHECK (length(domain) = 32)
) STRICT, WITHOUT ROWID;
CREATE TABLE owner_event (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    serial  TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    domain  BLOB    NOT NULL CHECK (length(domain) = 32),
    voucher BLOB,
    expires INTEGER,
    why     TEXT    NOT NULL
) STRICT;
CREATE INDEX owner_event_serial ON owner_event (serial, id);
CREATE TRIGGER owner_event_stays BEFORE DELETE ON owner_event
BEGIN SELECT RAISE(ABORT, 'what was said of owners is append-only'); END;
CREATE TRIGGER owner_event_is_not_rewritten BEFORE UPDATE ON owner_event
BEGIN SELECT RAISE(ABORT, 'what was said of owners is append-only'); END;
";

const POSTGRES_OWNERS: &str = "
CREATE TABLE owner (
    serial TEXT  PRIMARY KEY,
    domain BYTEA CHECK (length(domain) = 32)
);
CREATE TABLE owner_event (
    id      BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    serial  TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    domain  BYTEA  NOT NULL CHECK (length(domain) = 32),
    voucher BYTEA,
    expires BIGINT,
    why     TEXT   NOT NULL
);
CREATE INDEX owner_event_serial ON owner_event (serial, id);
CREATE TRIGGER owner_event_stays BEFORE DELETE OR UPDATE OR TRUNCATE ON owner_event EXECUTE FUNCTION stays();
";

const FIVE: &str = "ALTER TABLE log ADD COLUMN until INTEGER";

/// Several hubs on one store; millions of devices in it.
const SHARED: &str = "
ALTER TABLE device ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
CREATE INDEX device_owner ON device (owner, name);
CREATE INDEX device_routed ON device (name) WHERE sidecar IS NOT NULL OR ae_titles <> '[]';
CREATE TABLE ae_title (
    title  TEXT PRIMARY KEY,
    device TEXT NOT NULL REFERENCES device (name)
) STRICT, WITHOUT ROWID;
CREATE INDEX ae_title_device ON ae_title (device);
CREATE TABLE hold (
    name   TEXT    PRIMARY KEY,
    holder BLOB    NOT NULL,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Since when, by the server's clock, a record waits for its certificate.
const POSTGRES_SINCE: &str =
    "ALTER TABLE issuance ADD COLUMN since BIGINT NOT NULL DEFAULT CAST(extract(epoch FROM now()) AS BIGINT)";

/// As the first four steps leave SQLite. `rowid` is what SQLite has by itself: the order in which rows came.
const POSTGRES_ONE: &str = r#"
CREATE FUNCTION stays() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$;

CREATE TABLE issuance (
    number      BIGINT PRIMARY KEY,
    serial      BYTEA  NOT NULL UNIQUE CHECK (length(serial) = 16),
    purpose     TEXT   NOT NULL,
    device      TEXT   COLLATE "C",
    key         BYTEA  NOT NULL CHECK (length(key) = 16),
    parent      BYTEA,
    not_before  BIGINT NOT NULL,
    not_after   BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    tbs         BYTEA  NOT NULL,
    state       TEXT   NOT NULL DEFAULT 'recorded' CHECK (state IN ('recorded', 'issued', 'abandoned')),
    abandoned   TEXT,
    credential  BYTEA  UNIQUE,
    certificate BYTEA,
    used        BIGINT NOT NULL DEFAULT 0,
    CHECK ((state = 'issued') = (certificate IS NOT NULL)),
    CHECK ((state = 'issued') = (credential IS NOT NULL))
);
CREATE INDEX issuance_device ON issuance (device) WHERE device IS NOT NULL;
CREATE INDEX issuance_key ON issuance (key);
CREATE INDEX issuance_parent ON issuance (parent) WHERE parent IS NOT NULL;
CREATE INDEX issuance_recorded ON issuance (number) WHERE state = 'recorded';
CREATE INDEX issuance_purpose ON issuance (purpose, at) WHERE purpose IN ('root', 'issuing');
CREATE TRIGGER issuance_stays BEFORE DELETE OR TRUNCATE ON issuance EXECUTE FUNCTION stays();
CREATE TRIGGER issuance_is_not_rewritten BEFORE UPDATE OF number, serial, tbs ON issuance EXECUTE FUNCTION stays();

CREATE TABLE device (
    name             TEXT   COLLATE "C" PRIMARY KEY,
    owner            TEXT   NOT NULL,
    maker_serial     TEXT   COLLATE "C" UNIQUE,
    maker_key        BYTEA,
    roles            BIGINT NOT NULL,
    device_type      BIGINT,
    dns              TEXT   NOT NULL,
    ips              TEXT   NOT NULL,
    ae_titles        TEXT   NOT NULL,
    sidecar          TEXT,
    validity_seconds BIGINT,
    at               BIGINT NOT NULL
);

CREATE TABLE code (
    id          BYTEA  PRIMARY KEY CHECK (length(id) = 5),
    device      TEXT   COLLATE "C" NOT NULL REFERENCES device (name),
    secret_hash BYTEA  NOT NULL CHECK (length(secret_hash) = 32),
    expires     BIGINT NOT NULL,
    wrong_tries BIGINT NOT NULL DEFAULT 0,
    state       TEXT   NOT NULL,
    key         BYTEA
);
CREATE INDEX code_device ON code (device);

CREATE TABLE pending (
    rowid           BIGINT GENERATED BY DEFAULT AS IDENTITY UNIQUE,
    id              BYTEA  PRIMARY KEY CHECK (length(id) = 8),
    device          TEXT   COLLATE "C" REFERENCES device (name),
    code            BYTEA  REFERENCES code (id),
    birth           BYTEA,
    birth_serial    TEXT,
    birth_maker     BYTEA,
    key             BYTEA  NOT NULL CHECK (length(key) = 16),
    key_fingerprint BYTEA  NOT NULL CHECK (length(key_fingerprint) = 32),
    claims          TEXT   NOT NULL,
    address         TEXT   NOT NULL,
    since           BIGINT NOT NULL,
    state           TEXT   NOT NULL,
    CHECK ((code IS NULL) <> (birth IS NULL)),
    CHECK ((birth IS NULL) = (birth_serial IS NULL))
);
CREATE INDEX pending_key ON pending (key);
CREATE INDEX pending_waiting ON pending (since) WHERE state = 'waiting';
CREATE INDEX pending_birth ON pending (birth) WHERE birth IS NOT NULL AND state = 'waiting';

CREATE TABLE standing (
    kind    TEXT   COLLATE "C" NOT NULL,
    subject BYTEA  NOT NULL,
    state   TEXT   NOT NULL,
    reason  TEXT   NOT NULL,
    epoch   BIGINT NOT NULL,
    since   BIGINT NOT NULL,
    PRIMARY KEY (kind, subject)
);

CREATE TABLE standing_change (
    id      BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    kind    TEXT   NOT NULL,
    subject BYTEA  NOT NULL,
    state   TEXT,
    reason  TEXT   NOT NULL,
    epoch   BIGINT NOT NULL,
    at      BIGINT NOT NULL
);

CREATE TABLE object (
    kind    TEXT   NOT NULL,
    version BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    bytes   BYTEA  NOT NULL,
    PRIMARY KEY (kind, version)
);

CREATE TABLE number (
    series TEXT   PRIMARY KEY,
    last   BIGINT NOT NULL
);

CREATE TABLE alarm (
    id           BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    at           BIGINT NOT NULL,
    last         BIGINT NOT NULL DEFAULT 0,
    count        BIGINT NOT NULL DEFAULT 1,
    kind         TEXT   NOT NULL,
    device       TEXT,
    text         TEXT   NOT NULL,
    acknowledged BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX alarm_open ON alarm (kind, device) WHERE acknowledged = 0;

CREATE TABLE audit (
    id      BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    at      BIGINT NOT NULL,
    who     TEXT   NOT NULL,
    verb    TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    outcome TEXT   NOT NULL
);
CREATE TRIGGER audit_stays BEFORE DELETE OR UPDATE OR TRUNCATE ON audit EXECUTE FUNCTION stays();

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE log (
    one         BIGINT PRIMARY KEY CHECK (one = 1),
    holder      BYTEA,
    term        BIGINT NOT NULL DEFAULT 0,
    size        BIGINT NOT NULL DEFAULT 0,
    signed_size BIGINT,
    checkpoint  BYTEA,
    CHECK ((signed_size IS NULL) = (checkpoint IS NULL)),
    CHECK (signed_size <= size)
);
INSERT INTO log (one) VALUES (1);

CREATE TABLE log_tile (
    level  BIGINT NOT NULL,
    place  BIGINT NOT NULL,
    hashes BYTEA  NOT NULL,
    PRIMARY KEY (level, place)
);
"#;

/// To walk through all credentials without their certificates.
const ROLL: &str = "
CREATE INDEX issuance_roll ON issuance (credential, not_before, device) WHERE credential IS NOT NULL;
";

/// Until when a superseded credential is good: a status list is made without a look at those that ended long ago.
const UNTIL: &str = "ALTER TABLE standing ADD COLUMN until INTEGER;
UPDATE standing SET until = (SELECT not_after FROM issuance WHERE credential = standing.subject)
    WHERE kind = 'credential' AND state = 'superseded';
CREATE INDEX standing_firm ON standing (kind, subject) WHERE until IS NULL;
CREATE INDEX standing_until ON standing (until, subject) WHERE until IS NOT NULL;
";
const POSTGRES_UNTIL: &str = "ALTER TABLE standing ADD COLUMN until BIGINT;
UPDATE standing SET until = (SELECT not_after FROM issuance WHERE credential = standing.subject)
    WHERE kind = 'credential' AND state = 'superseded';
CREATE INDEX standing_firm ON standing (kind, subject) WHERE until IS NULL;
CREATE INDEX standing_until ON standing (until, subject) WHERE until IS NOT NULL;
";

/// Devices that came to a registrar though nobody registered them.
const PLEDGES: &str = "
CREATE TABLE pledge (
    maker   BLOB    NOT NULL CHECK (length(maker) = 16),
    serial  TEXT    NOT NULL,
    address TEXT    NOT NULL,
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (maker, serial)
) STRICT;
CREATE INDEX pledge_last ON pledge (last);
";
const POSTGRES_PLEDGES: &str = r#"
CREATE TABLE pledge (
    maker   BYTEA  NOT NULL CHECK (length(maker) = 16),
    serial  TEXT   COLLATE "C" NOT NULL,
    address TEXT   NOT NULL,
    first   BIGINT NOT NULL,
    last    BIGINT NOT NULL,
    count   BIGINT NOT NULL,
    PRIMARY KEY (maker, serial)
);
CREATE INDEX pledge_last ON pledge (last);
"#;
