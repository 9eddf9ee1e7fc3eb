//! Passkeys of accounts.

use super::Records;
use super::account::{ACCOUNT, THERE, account_of};
use super::clients::is_new;
use super::token::{Grants, end};
use super::upstream::unlink;
use crate::audit::{self, Act, Note};
use crate::auth::passkey::Passkey;
use crate::kind::Millis;
use medlock_store::{Error, first, values};

/// Passkeys of one account, at most.
const MOST: i64 = 10;
/// Whose the questions are that were answered: no client is called so.
const QUESTION: &str = "passkey";

/// What there is to say of passkeys to who is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// They came with a code, and may have another passkey.
    Another,
    /// They came with a code and have made one, which was not used yet.
    Made,
}

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

    /// What of passkeys is there to say in this session, if anything.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn offer(&self, session: [u8; 32]) -> Result<Option<Offer>, Error> {
        let question = "SELECT s.passkey, k.id, k.used, (SELECT count(*) FROM passkey p WHERE p.account = s.account) AS number \
                        FROM login s LEFT JOIN passkey k ON k.id = s.passkey WHERE s.hash = ?1 AND s.upstream IS NULL";
        let found = self.database().read("look for a session", |sql| {
            first(sql, "login", question, values![session], |row| {
                let (of_code, may) = (row.optional_blob("passkey")?.is_none(), row.number::<i64>("number")? < MOST);
                let unused = row.optional_blob("id")?.is_some() && row.optional_number::<i64>("used")?.is_none();
                Ok(match (of_code, may, unused) {
                    (true, true, _) => Some(Offer::Another),
                    (false, _, true) => Some(Offer::Made),
                    _ => None,
                })
            })
        })?;
        Ok(found.flatten())
    }

    /// Keeps a passkey that answered `question`, which was made in this session; `false`: it did before, the passkey is there, the account
    /// has enough, or the session has ended.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn keep_passkey(
        &self,
        account: i64,
        passkey: Passkey,
        (question, until): ([u8; 32], i64),
        (session, now): ([u8; 32], i64),
    ) -> Result<bool, Error> {
        self.database().write("keep a passkey", move |sql| {
            if !is_new(sql, QUESTION, question, until)? {
                return Ok(false);
            }
            let insert = "INSERT INTO passkey (id, account, key, counter, made) SELECT ?1, ?2, ?3, ?4, ?5 \
                          WHERE (SELECT count(*) FROM passkey p WHERE p.account = ?2) < ?6 \
                          AND EXISTS (SELECT 1 FROM login s WHERE s.hash = ?7 AND s.account = ?2) ON CONFLICT DO NOTHING";
            let (id, key, counter) = (passkey.id.as_slice(), passkey.key.as_slice(), i64::from(passkey.counter));
            let kept = sql.execute(insert, values![id, account, key, counter, now, MOST, session])? > 0;
            if kept {
                let update = "UPDATE login SET passkey = ?1 WHERE hash = ?2";
                sql.execute(update, values![id, session])?;
            }
            Ok(kept)
        })
    }

    /// Begins a session of whose passkey answered `question`, keeps its counter, and notes it on the way to the software `client`; `false`: it was answered before, or the
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
        (client, origin): (&str, String),
    ) -> Result<bool, Error> {
        let (passkey, client, at) = (passkey.to_vec(), client.to_owned(), Millis(self.clock.unix_millis()));
        self.database().write("sign in", move |sql| {
            if !is_new(sql, QUESTION, question, until)? {
                return Ok(false);
            }
            let update = "UPDATE passkey SET counter = ?1, used = ?2 WHERE id = ?3 AND counter = ?4";
            let counters = (i64::from(counter), i64::from(before));
            if sql.execute(update, values![counters.0, signed_in.made, passkey.as_slice(), counters.1])? == 0 {
                return Ok(false);
            }
            let owner = format!(
                "SELECT {ACCOUNT} FROM passkey k JOIN account a ON a.id = k.account WHERE k.id = ?1 AND a.ended = 0 AND {THERE}"
            );
            let owner = first(sql, "account", &owner, values![passkey.as_slice()], account_of)?;
            let Some(account) = owner else { return Ok(false) };
            let SignedIn { session, made, until } = signed_in;
            let insert = "INSERT INTO login (hash, account, made, until, passkey) VALUES (?1, ?2, ?3, ?4, ?5)";
            sql.execute(insert, values![session, account.number, made, until, passkey.as_slice()])?;
            audit::append(sql, at, &[Note::signing_in(&account, &client, Act::Passkey, origin.clone())])?;
            Ok(true)
        })
    }

    /// Removes all passkeys of an account, says that it is of nobody whom a provider knows, ends its sessions and what it has granted: who
    /// has the machine that they were on has its apps too, and may be signed in at the provider. How many passkeys there were, and whether
    /// a provider knew whose it is.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn remove_passkeys(&self, account: i64) -> Result<(u64, bool), Error> {
        let clock = self.clock.clone();
        self.database().write_first("remove passkeys", move |sql| {
            sql.execute("DELETE FROM login WHERE account = ?1", values![account])?;
            sql.execute("DELETE FROM setup_code WHERE account = ?1", values![account])?;
            end(sql, Grants::Account(account), clock.now().unix())?;
            let passkeys = sql.execute("DELETE FROM passkey WHERE account = ?1", values![account])?;
            Ok((passkeys, unlink(sql, account)?))
        })
    }
}
