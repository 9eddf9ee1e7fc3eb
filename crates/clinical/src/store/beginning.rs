//! When a verb that changes something is done.

use crate::audit;
use crate::kind::Millis;
use medlock_node::clock::Clock;
use medlock_store::{Fault, Sql, first};

/// How far the clock may be behind what has been written and is believed all the same: those of the hubs of one store differ a
/// little, and one that was wrong by more is not followed for ever.
const BEHIND: i64 = 60_000;

/// When a verb that runs now is done, by the clock: no earlier than any that changed something before it, and later than each export
/// that does not have what it changes. Verbs wait for one another, so this is found in the verb itself; with it, in one journey, the hash
/// of the newest entry of the audit.
pub(super) fn beginning(sql: &mut dyn Sql, clock: &Clock) -> Result<(Millis, Option<[u8; 32]>), Fault> {
    const LATEST: &str = "SELECT max(m.at) AS at FROM (SELECT c.updated AS at FROM \
        (SELECT updated FROM change ORDER BY seq DESC LIMIT 1) c UNION ALL SELECT max(made) + 1 FROM export) m";
    let question = format!("SELECT ({LATEST}) AS at, {} AS chain", audit::NEWEST);
    let found = first(sql, "change", &question, &[], |row| {
        Ok((row.optional_number::<i64>("at")?, row.optional_bytes("chain")?))
    })?;
    let ((latest, chain), now) = (found.unwrap_or_default(), clock.unix_millis());
    let at = latest.filter(|latest| (now..now.saturating_add(BEHIND)).contains(latest)).unwrap_or(now);
    Ok((Millis(at), chain))
}
