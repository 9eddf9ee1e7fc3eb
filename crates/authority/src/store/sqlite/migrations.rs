//! The tables, in numbered steps. A step that was ever released is never changed; the next one is added behind it.

use super::Fault;
use medlock_node::provider::AwsLc;
use medlock_trust::x509::Certificate;
use rusqlite::Connection;

/// Each step, in order; `PRAGMA user_version` says how many were taken.
pub(super) const STEPS: &[Step] =
    &[Step::Sql(ONE), Step::Sql(TWO), Step::Code(name_credentials_by_what_is_signed), Step::Sql(FOUR)];

/// A step: a transaction of its own.
pub(super) enum Step {
    Sql(&'static str),
    Code(fn(&Connection) -> Result<(), Fault>),
}

impl Step {
    pub(super) fn take(&self, connection: &Connection) -> Result<(), Fault> {
        match self {
            Self::Sql(sql) => Ok(connection.execute_batch(sql)?),
            Self::Code(code) => code(connection),
        }
    }
}

/// Credentials were named by the hash of the whole certificate once. What a list told by those names stays told: of its
/// compromises, the next list has each again.
fn name_credentials_by_what_is_signed(connection: &Connection) -> Result<(), Fault> {
    let mut issued = connection.prepare("SELECT credential, certificate FROM issuance WHERE state = 'issued'")?;
    let issued = issued.query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    for row in issued.collect::<Result<Vec<_>, _>>()? {
        let (old, certificate) = row;
        let Ok(view) = Certificate::read(&certificate) else { continue };
        let new = view.credential_id(&AwsLc);
        for sql in [
            "UPDATE issuance SET credential = ?2 WHERE credential = ?1",
            "UPDATE issuance SET parent = ?2 WHERE parent = ?1",
            "UPDATE standing SET subject = ?2 WHERE kind = 'credential' AND subject = ?1",
        ] {
            connection.prepare_cached(sql)?.execute([old.as_slice(), new.as_bytes()])?;
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
