//! Passkeys of accounts.

use super::Records;
use super::clients::is_new;
use crate::auth::passkey::Passkey;
use medlock_store::{Error, first, values};

/// Passkeys of one account, at most.
const MOST: i64 = 10;
/// Whose the questions are that were answered: no client is called so.
const QUESTION: &str = "passkey";

/// A session that begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignedIn {
    /// SHA-256 of its name.
    pub(crate) session: [u8; 32],
    /// From when, and until when, in seconds since 1970.
    pub(crate) made: i64,
    pub(crate) until: i64,
}

impl Records {
    /// The passkey with this name.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn passkey(&self, id: &[u8]) -> Result<Option<Passkey>, Error> {
        let question = "SELECT id, key, counter FROM passkey WHERE id = ?1";
        self.database().read("look for a passkey", |sql| {
            first(sql, "passkey", question, values![id], |row| {
                let (id, key) = (row.blob("id")?.to_vec(), row.blob("key")?.to_vec());
                Ok(Passkey { id, key, counter: row.number("counter")? })
            })
        })
    }

    /// Whether this session was begun with a code, since when, by an account that may have another passkey.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn may_get_passkey(&self, session: [u8; 32]) -> Result<bool, Error> {
        let question = "SELECT account FROM login s WHERE s.hash = ?1 AND s.passkey IS NULL AND s.upstream IS NULL \
                        AND (SELECT count(*) FROM passkey p WHERE p.account = s.account) < ?2";
        self.database().read("look for a session", |sql| {
            let found = first(sql, "login", question, values![session, MOST], |row| row.number::<i64>("account"))?;
            Ok(found.is_some())
        })
    }

    /// Keeps a passkey that answered `question`; `false`: it did before, the passkey is there, or the account has enough.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn keep_passkey(
        &self,
        account: i64,
        passkey: Passkey,
        (question, until): ([u8; 32], i64),
        now: i64,
    ) -> Result<bool, Error> {
        self.database().write("keep a passkey", move |sql| {
            if !is_new(sql, QUESTION, question, until)? {
                return Ok(false);
            }
            let insert = "INSERT INTO passkey (id, account, key, counter, made) SELECT ?1, ?2, ?3, ?4, ?5 \
                          WHERE (SELECT count(*) FROM passkey p WHERE p.account = ?2) < ?6 ON CONFLICT DO NOTHING";
            let own =
                values![passkey.id.as_slice(), account, passkey.key.as_slice(), i64::from(passkey.counter), now, MOST];
            Ok(sql.execute(insert, own)? > 0)
        })
    }

    /// Begins a session of whose passkey answered `question`, and keeps its counter; `false`: it was answered before, or the
    /// passkey has counted on meanwhile, or is gone.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn sign_in_by(
        &self,
        passkey: &[u8],
        (before, counter): (u32, u32),
        (question, until): ([u8; 32], i64),
        signed_in: SignedIn,
    ) -> Result<bool, Error> {
        let passkey = passkey.to_vec();
        self.database().write("sign in", move |sql| {
            if !is_new(sql, QUESTION, question, until)? {
                return Ok(false);
            }
            let update = "UPDATE passkey SET counter = ?1, used = ?2 WHERE id = ?3 AND counter = ?4";
            let counters = (i64::from(counter), i64::from(before));
            if sql.execute(update, values![counters.0, signed_in.made, passkey.as_slice(), counters.1])? == 0 {
                return Ok(false);
            }
            let insert = "INSERT INTO login (hash, account, made, until, passkey) \
                          SELECT ?1, p.account, ?2, ?3, p.id FROM passkey p WHERE p.id = ?4";
            let SignedIn { session, made, until } = signed_in;
            Ok(sql.execute(insert, values![session, made, until, passkey.as_slice()])? > 0)
        })
    }

    /// Removes all passkeys of an account, and ends its sessions; how many there were.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn remove_passkeys(&self, account: i64) -> Result<u64, Error> {
        self.database().write("remove passkeys", move |sql| {
            sql.execute("DELETE FROM login WHERE account = ?1", values![account])?;
            sql.execute("DELETE FROM passkey WHERE account = ?1", values![account])
        })
    }
}
