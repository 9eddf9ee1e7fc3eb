//! The tables, in numbered steps. A step that was ever released is never changed; the next one is added behind it.
//!
//! `rid` is the number of a resource's row, `term` a code with its system, `concept` a set of them; times are milliseconds
//! since 1970, those of tokens seconds.

use medlock_store::{Schema, Step};

pub(super) const SCHEMA: Schema = Schema {
    application: "medlock-clinical",
    // "MDLC"
    id: 0x4d44_4c43,
    oldest: 24,
    steps: &[
        Step::Both(TABLES),
        Step::Sql { sqlite: SQLITE_APPEND, postgres: POSTGRES_APPEND },
        Step::Both(PAST),
        Step::Sql { sqlite: SQLITE_PAST_APPEND, postgres: POSTGRES_PAST_APPEND },
        Step::Both(CLIENTS),
        Step::Both(DEVICE_NAMES),
        Step::Code(super::names::gather),
        Step::Both(CODE_KEY),
        Step::Both(LAUNCHES),
        Step::Both(PASSKEYS),
        Step::Both(CONSENTS),
        Step::Sql { sqlite: SQLITE_GLASS_APPEND, postgres: POSTGRES_GLASS_APPEND },
        Step::Both(STATEMENTS),
        Step::Both(SUBSCRIPTIONS),
        Step::Both(SUBSCRIBERS),
        Step::Both(HANDED),
        Step::Both(UPSTREAM),
        Step::Both(COMMUNITIES),
        Step::Both(BINDINGS),
        Step::Both(SWITCHED_OFF),
        Step::Both(MEMBERS),
        Step::Both(DISMISSED),
        Step::Both(WEB_KEYS),
        Step::Both(EXPORTS),
        // Each change asks when the last export was made.
        Step::Index { name: "export_made", on: "export (made)" },
        Step::Both(WEB_KEYS_OF),
        Step::Both(TOKEN_CHAINS),
        Step::Both(CHAINS),
        // A patient's app asks what became of that patient's resources of a kind.
        Step::Index { name: "change_patient", on: "change (patient, kind, seq)" },
        // What ends somebody's grants looks at those alone that are alive. Of people's nobody knows here until when they refresh them.
        Step::Index { name: "leave_of_device", on: "leave (device, until) WHERE device IS NOT NULL AND ended IS NULL" },
        Step::Index { name: "leave_of_software", on: "leave (client, until) WHERE account IS NULL AND ended IS NULL" },
        Step::Index { name: "leave_of_users", on: "leave (client) WHERE account IS NOT NULL AND ended IS NULL" },
        Step::Index { name: "leave_of_account", on: "leave (account) WHERE account IS NOT NULL AND ended IS NULL" },
        Step::Both(FORMER),
        Step::Both(SUBSCRIPTIONS_OF),
        // Who writes one is told how many there are of the same writer.
        Step::Index { name: "subscription_writer", on: "subscription_of (client, account)" },
        Step::Both(REGISTERED_BY),
        // Who registers is told how many there are of its community, of which most may have ended, and by its key.
        Step::Index { name: "client_community", on: "client (community, ended) WHERE community IS NOT NULL" },
        Step::Index { name: "client_spki", on: "client (spki) WHERE spki IS NOT NULL AND ended IS NULL" },
        Step::Both(OPENERS),
        // Who opens apps is told how many launches are alive.
        Step::Index { name: "launch_alive", on: "launch (until, opener) WHERE used IS NULL" },
    ],
};

const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE term (id INTEGER PRIMARY KEY, system TEXT NOT NULL, code TEXT NOT NULL, UNIQUE (code, system)) STRICT;
CREATE TABLE concept (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE) STRICT;
CREATE TABLE concept_term (term INTEGER NOT NULL, concept INTEGER NOT NULL, PRIMARY KEY (term, concept)) STRICT, WITHOUT ROWID;
CREATE TABLE resource (
    rid INTEGER PRIMARY KEY, kind INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, patient INTEGER,
    at INTEGER NOT NULL, until INTEGER, updated INTEGER NOT NULL, c0 INTEGER, c1 INTEGER, c2 INTEGER, c3 INTEGER,
    gone INTEGER NOT NULL, statement INTEGER, body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX resource_id ON resource (kind, id);
CREATE INDEX resource_patient ON resource (patient, kind, at, rid, c1, c2);
CREATE INDEX resource_patient_code ON resource (patient, kind, c0, at, rid);
CREATE INDEX resource_code ON resource (kind, c0, at, rid);
CREATE INDEX resource_updated ON resource (kind, updated, rid);
CREATE TABLE change (
    seq INTEGER PRIMARY KEY, rid INTEGER NOT NULL, version INTEGER NOT NULL, kind INTEGER NOT NULL, patient INTEGER,
    updated INTEGER NOT NULL, gone INTEGER NOT NULL
) STRICT;
CREATE TABLE mark (
    rid INTEGER NOT NULL, param INTEGER NOT NULL, part INTEGER NOT NULL, term INTEGER NOT NULL, PRIMARY KEY (rid, param, part, term)
) STRICT, WITHOUT ROWID;
CREATE TABLE span (
    rid INTEGER NOT NULL, param INTEGER NOT NULL, part INTEGER NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL,
    PRIMARY KEY (rid, param, part, low, high)
) STRICT, WITHOUT ROWID;
CREATE TABLE quantity (
    rid INTEGER NOT NULL, param INTEGER NOT NULL, part INTEGER NOT NULL, unit INTEGER NOT NULL, low BLOB NOT NULL, high BLOB NOT NULL,
    PRIMARY KEY (rid, param, part, unit, low, high)
) STRICT, WITHOUT ROWID;
CREATE TABLE link (
    param INTEGER NOT NULL, target INTEGER NOT NULL, rid INTEGER NOT NULL, PRIMARY KEY (param, target, rid)
) STRICT, WITHOUT ROWID;
CREATE TABLE ident (
    param INTEGER NOT NULL, value TEXT NOT NULL, rid INTEGER NOT NULL, PRIMARY KEY (param, value, rid)
) STRICT, WITHOUT ROWID;
CREATE TABLE word (
    param INTEGER NOT NULL, value TEXT NOT NULL, rid INTEGER NOT NULL, PRIMARY KEY (param, value, rid)
) STRICT, WITHOUT ROWID;
CREATE TABLE leave (
    id INTEGER PRIMARY KEY, device TEXT, own INTEGER, client TEXT, account INTEGER, patient INTEGER, scopes TEXT NOT NULL,
    made INTEGER NOT NULL, until INTEGER NOT NULL, ended INTEGER
) STRICT;
CREATE INDEX leave_ended ON leave (ended);
CREATE INDEX leave_until ON leave (until);
CREATE INDEX leave_client ON leave (client);
CREATE INDEX leave_account ON leave (account);
CREATE TABLE token (
    hash BLOB PRIMARY KEY, sort INTEGER NOT NULL, leave INTEGER NOT NULL, scopes TEXT NOT NULL, until INTEGER NOT NULL, used INTEGER,
    binding INTEGER NOT NULL, bound BLOB, credential BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX token_until ON token (until);
CREATE TABLE audit (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, entry BLOB NOT NULL, chain BLOB NOT NULL) STRICT;
CREATE TABLE audit_patient (patient INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (patient, seq)) STRICT, WITHOUT ROWID;
";

/// What was told is never told otherwise: these tables only grow.
const SQLITE_APPEND: &str = "
CREATE TRIGGER change_update BEFORE UPDATE ON change BEGIN SELECT RAISE(ABORT, 'changes are only added'); END;
CREATE TRIGGER change_delete BEFORE DELETE ON change BEGIN SELECT RAISE(ABORT, 'changes are only added'); END;
CREATE TRIGGER audit_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is only added'); END;
CREATE TRIGGER audit_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is only added'); END;
CREATE TRIGGER audit_patient_update BEFORE UPDATE ON audit_patient BEGIN SELECT RAISE(ABORT, 'audit is only added'); END;
CREATE TRIGGER audit_patient_delete BEFORE DELETE ON audit_patient BEGIN SELECT RAISE(ABORT, 'audit is only added'); END;
";
const POSTGRES_APPEND: &str = "
CREATE FUNCTION only_added() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% is only added to', TG_TABLE_NAME; END $$;
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON change FOR EACH STATEMENT EXECUTE FUNCTION only_added();
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION only_added();
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_patient FOR EACH STATEMENT EXECUTE FUNCTION only_added();
";

/// Former versions, each with the patient whose it was; and words by their rows, which order them.
const PAST: &str = "
CREATE TABLE past (
    rid INTEGER NOT NULL, version INTEGER NOT NULL, updated INTEGER NOT NULL, patient INTEGER, gone INTEGER NOT NULL,
    statement INTEGER, body BLOB NOT NULL, PRIMARY KEY (rid, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX word_row ON word (rid, param, value);
";
const SQLITE_PAST_APPEND: &str = "
CREATE TRIGGER past_update BEFORE UPDATE ON past BEGIN SELECT RAISE(ABORT, 'former versions are only added'); END;
CREATE TRIGGER past_delete BEFORE DELETE ON past BEGIN SELECT RAISE(ABORT, 'former versions are only added'); END;
";
const POSTGRES_PAST_APPEND: &str = "CREATE TRIGGER only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON past FOR EACH STATEMENT EXECUTE FUNCTION only_added();";

/// Who asks for tokens, and who signs in. Secrets are kept as their hashes; times are seconds.
const CLIENTS: &str = "
CREATE TABLE client (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, proof INTEGER NOT NULL, secret BLOB, keys TEXT, keys_url TEXT, redirects TEXT NOT NULL,
    scopes TEXT NOT NULL, token_algorithm TEXT NOT NULL, introspects INTEGER NOT NULL, made INTEGER NOT NULL, ended INTEGER
) STRICT;
CREATE TABLE account (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, subject TEXT NOT NULL UNIQUE, person INTEGER NOT NULL, person_kind INTEGER NOT NULL,
    person_id TEXT NOT NULL, made INTEGER NOT NULL, ended INTEGER NOT NULL, UNIQUE (name, ended)
) STRICT;
CREATE TABLE setup_code (account INTEGER PRIMARY KEY, hash BLOB NOT NULL, until INTEGER NOT NULL, tries INTEGER NOT NULL) STRICT;
CREATE TABLE login (hash BLOB PRIMARY KEY, account INTEGER NOT NULL, made INTEGER NOT NULL, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX login_until ON login (until);
CREATE TABLE code (
    hash BLOB PRIMARY KEY, leave INTEGER NOT NULL, redirect TEXT NOT NULL, challenge BLOB NOT NULL, nonce TEXT, signed_in INTEGER NOT NULL,
    until INTEGER NOT NULL, used INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX code_until ON code (until);
CREATE TABLE jti (client TEXT NOT NULL, hash BLOB NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (client, hash)) STRICT, WITHOUT ROWID;
CREATE INDEX jti_until ON jti (until);
";

/// Which Device each device of the register is.
const DEVICE_NAMES: &str = "
CREATE TABLE device_name (name TEXT PRIMARY KEY, rid INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX device_name_row ON device_name (rid);
";

/// The key that the tokens of a code have to be bound to.
const CODE_KEY: &str = "ALTER TABLE code ADD COLUMN bound BLOB;";

/// What is said of patient and place when an app is opened, and what is told of it with each token.
const LAUNCHES: &str = "
CREATE TABLE launch (
    hash BLOB PRIMARY KEY, client TEXT NOT NULL, account INTEGER, patient INTEGER, context TEXT NOT NULL, until INTEGER NOT NULL, used INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX launch_until ON launch (until);
ALTER TABLE leave ADD COLUMN context TEXT;
";

/// Passkeys of accounts, and by which one a session was begun, or which was made in it; neither: it was begun by a code.
const PASSKEYS: &str = "
CREATE TABLE passkey (
    id BLOB PRIMARY KEY, account INTEGER NOT NULL, key BLOB NOT NULL, counter INTEGER NOT NULL, made INTEGER NOT NULL, used INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX passkey_account ON passkey (account);
ALTER TABLE login ADD COLUMN passkey BLOB;
";
/// What active Consents say (`sort` and `meaning` are those of `consent::Condition` and `consent::Meaning`), and whose glass was
/// broken: that is kept, as the patient's notice of it.
const CONSENTS: &str = "
CREATE TABLE provision (
    id INTEGER PRIMARY KEY, consent INTEGER NOT NULL, patient INTEGER NOT NULL, parent INTEGER, deny INTEGER NOT NULL,
    named INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, verbs INTEGER NOT NULL, purposes INTEGER NOT NULL,
    kinds INTEGER NOT NULL
) STRICT;
CREATE INDEX provision_patient ON provision (patient, deny);
CREATE INDEX provision_parent ON provision (parent);
CREATE INDEX provision_consent ON provision (consent);
CREATE TABLE provision_condition (
    provision INTEGER NOT NULL, number INTEGER NOT NULL, sort INTEGER NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL,
    PRIMARY KEY (provision, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE provision_value (
    provision INTEGER NOT NULL, number INTEGER NOT NULL, value INTEGER NOT NULL, meaning INTEGER NOT NULL,
    PRIMARY KEY (provision, number, value, meaning)
) STRICT, WITHOUT ROWID;
CREATE TABLE glass (
    id INTEGER PRIMARY KEY, leave INTEGER NOT NULL, patient INTEGER NOT NULL, person INTEGER NOT NULL, client TEXT NOT NULL,
    reason TEXT NOT NULL, made INTEGER NOT NULL, until INTEGER NOT NULL
) STRICT;
CREATE INDEX glass_leave ON glass (leave, patient, until);
CREATE INDEX glass_patient ON glass (patient, made);
";
const SQLITE_GLASS_APPEND: &str = "
CREATE TRIGGER glass_update BEFORE UPDATE ON glass BEGIN SELECT RAISE(ABORT, 'notices are only added'); END;
CREATE TRIGGER glass_delete BEFORE DELETE ON glass BEGIN SELECT RAISE(ABORT, 'notices are only added'); END;
";
const POSTGRES_GLASS_APPEND: &str = "CREATE TRIGGER only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON glass FOR EACH STATEMENT EXECUTE FUNCTION only_added();";
/// The rows of each Provenance.
const STATEMENTS: &str = "
CREATE INDEX resource_statement ON resource (statement) WHERE statement IS NOT NULL;
CREATE INDEX past_statement ON past (statement) WHERE statement IS NOT NULL;
";
/// Subscriptions that are told, each in the name of what was granted to who wrote it: up to which change, how often in a row that
/// failed, and when it is tried again; and which hub tells, until when. Times are milliseconds.
const SUBSCRIPTIONS: &str = "
CREATE TABLE subscription (
    rid INTEGER PRIMARY KEY, leave INTEGER NOT NULL, told INTEGER NOT NULL, failures INTEGER NOT NULL, next INTEGER NOT NULL
) STRICT;
CREATE INDEX subscription_told ON subscription (told);
CREATE TABLE telling (id INTEGER PRIMARY KEY, hub BLOB NOT NULL, until INTEGER NOT NULL) STRICT;
";
/// In whose name each is told, what the token was good for that wrote it, and until when (seconds); software's has no grant (`leave` is
/// 0). How often the hub that tells has said so; and changes by their kinds.
const SUBSCRIBERS: &str = "
ALTER TABLE subscription ADD COLUMN client TEXT NOT NULL DEFAULT '';
ALTER TABLE subscription ADD COLUMN account INTEGER;
ALTER TABLE subscription ADD COLUMN scopes TEXT NOT NULL DEFAULT '';
ALTER TABLE subscription ADD COLUMN until INTEGER NOT NULL DEFAULT 0;
UPDATE subscription SET client = l.client, account = l.account, scopes = l.scopes, until = l.until FROM leave l WHERE l.id = subscription.leave;
UPDATE leave SET ended = made WHERE account IS NULL AND id IN (SELECT leave FROM subscription);
UPDATE subscription SET leave = 0 WHERE account IS NULL;
ALTER TABLE telling RENAME COLUMN until TO beat;
CREATE INDEX change_kind ON change (kind, seq);
";
/// What devices handed over, by the numbers that they gave, with SHA-256 of it; and deliveries that wait until a person says whose
/// they are, and then name the row of their resource: they stay, so that no number is given to another.
const HANDED: &str = "
CREATE TABLE handed (device TEXT NOT NULL, key BLOB NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (device, key)) STRICT, WITHOUT ROWID;
CREATE TABLE waiting (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, came INTEGER NOT NULL, identifier TEXT NOT NULL, record BLOB NOT NULL,
    provenance BLOB NOT NULL, mark TEXT, resource INTEGER
) STRICT;
CREATE INDEX waiting_still ON waiting (id) WHERE resource IS NULL;
";
/// Which account somebody has whom an OpenID provider signs in, and which provider began a session.
const UPSTREAM: &str = "
CREATE TABLE upstream (
    issuer TEXT NOT NULL, claim TEXT NOT NULL, subject TEXT NOT NULL, account INTEGER NOT NULL UNIQUE, made INTEGER NOT NULL,
    PRIMARY KEY (issuer, claim, subject)
) STRICT, WITHOUT ROWID;
ALTER TABLE login ADD COLUMN upstream TEXT;
";
/// Software that registered by itself: the community that vouches for it, and the address that its certificates name. An ended one that
/// has its address was removed by an administrator.
const COMMUNITIES: &str = "
ALTER TABLE client ADD COLUMN community TEXT;
ALTER TABLE client ADD COLUMN uri TEXT;
CREATE UNIQUE INDEX client_uri ON client (community, uri);
";
/// Since when a Device is a device of the register, in milliseconds; NULL for the first that its name ever was. And the names that some
/// Device had, and lost.
const BINDINGS: &str = "
ALTER TABLE device_name ADD COLUMN since INTEGER;
CREATE TABLE device_name_was (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
";
/// How far Subscriptions were told that the hub switched off.
const SWITCHED_OFF: &str = "CREATE TABLE subscription_was (rid INTEGER PRIMARY KEY, told INTEGER NOT NULL) STRICT;";
/// The chain that software of a community showed last (base64, a line each), and whether software that has ended may come back: it has
/// ended by itself.
const MEMBERS: &str = "
ALTER TABLE client ADD COLUMN chain TEXT;
ALTER TABLE client ADD COLUMN returns INTEGER NOT NULL DEFAULT 0;
";
/// Deliveries that waited and were nobody's: when that was said, in milliseconds, and why.
const DISMISSED: &str = "
ALTER TABLE waiting ADD COLUMN dismissed INTEGER;
ALTER TABLE waiting ADD COLUMN why TEXT;
DROP INDEX waiting_still;
CREATE INDEX waiting_still ON waiting (id) WHERE resource IS NULL AND dismissed IS NULL;
CREATE INDEX waiting_of ON waiting (device, id) WHERE resource IS NULL AND dismissed IS NULL;
";
/// The public keys of the hubs of this store, and when they had them last, in seconds.
const WEB_KEYS: &str = "CREATE TABLE web_key (spki BLOB PRIMARY KEY, algorithm TEXT NOT NULL, seen INTEGER NOT NULL) STRICT, WITHOUT ROWID;";
/// Exports: what was asked (`wish`) when `newest` was the newest change, at `made` (milliseconds), until then (seconds); and how it is
/// divided into files. No rows are kept.
const EXPORTS: &str = "
CREATE TABLE export (
    id BLOB PRIMARY KEY, client TEXT NOT NULL, request TEXT NOT NULL, wish TEXT NOT NULL, newest INTEGER NOT NULL, made INTEGER NOT NULL,
    until INTEGER NOT NULL, step INTEGER NOT NULL, division TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX export_until ON export (until);
";
/// Which hub has a key, with its credential; and those that nobody is to believe.
const WEB_KEYS_OF: &str = "
ALTER TABLE web_key ADD COLUMN hub TEXT;
ALTER TABLE web_key ADD COLUMN credential BLOB;
ALTER TABLE web_key ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;
";
/// The chain of the certificate that a device's token is bound to (base64, a line each): of tokens of the version before alone.
const TOKEN_CHAINS: &str = "ALTER TABLE token ADD COLUMN chain TEXT;";
/// The chain of each certificate that devices' tokens are bound to, once, by its SHA-256 (base64, a line each): at least until the
/// last of those tokens ends, in seconds.
const CHAINS: &str = "
CREATE TABLE chain (certificate BLOB PRIMARY KEY, path TEXT NOT NULL, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX chain_until ON chain (until);
";
/// Identifiers that Patients had (`value` as in `ident`), and when each lost it last, in milliseconds; and up to which change of a Patient
/// they are noted: those of before, and those that a program of before writes beside this one, are noted afterwards.
const FORMER: &str = "
CREATE TABLE ident_was (value TEXT NOT NULL, rid INTEGER NOT NULL, lost INTEGER NOT NULL, PRIMARY KEY (value, rid)) STRICT, WITHOUT ROWID;
CREATE TABLE ident_noted (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
";
/// Who wrote a Subscription: software, or an account with it. Of one that is told `subscription` says it too; of one that was off when there
/// was no such note, nobody knows.
const SUBSCRIPTIONS_OF: &str = "
CREATE TABLE subscription_of (rid INTEGER PRIMARY KEY, client TEXT NOT NULL, account INTEGER) STRICT;
";
/// SHA-256 of the key (`SubjectPublicKeyInfo`) by which software of a community registered last.
const REGISTERED_BY: &str = "ALTER TABLE client ADD COLUMN spki BLOB;";
/// Who opened an app: whose turn it is (`Caller::taker`).
const OPENERS: &str = "ALTER TABLE launch ADD COLUMN opener TEXT;";
