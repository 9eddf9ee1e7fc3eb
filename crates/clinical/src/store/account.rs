//! Accounts of people, their setup codes and sessions. Whose resource was deleted does not sign in, until it is brought back.

use super::passkeys::SignedIn;
use super::token::{Grants, end};
use super::{Records, Statement, upstream};
use crate::access::Sight;
use crate::audit::{self, Act, Note};
use crate::auth::Account;
use crate::kind::{Id, Kind, Millis, Row};
use medlock_node::provider::same_secret;
use medlock_store::{Error, Fault, Row as Found, Sql, all, first, values};

pub(super) const ACCOUNT: &str = "a.id, a.name, a.subject, a.person, a.person_kind, a.person_id";
/// That the person of an account `a` is there.
pub(super) const THERE: &str = "EXISTS (SELECT 1 FROM resource o WHERE o.rid = a.person AND o.gone = 0)";

/// An account in the list of all.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) account: Account,
    /// How many passkeys it has.
    pub(crate) passkeys: u32,
    /// Whether its person's resource was deleted.
    pub(crate) gone: bool,
}

pub(super) fn account_of(row: &Found) -> Result<Account, Fault> {
    Ok(Account {
        number: row.number("id")?,
        name: row.text("name")?.to_owned(),
        subject: row.text("subject")?.to_owned(),
        row: Row(row.number("person")?),
        kind: Kind::numbered(row.number("person_kind")?).ok_or_else(|| row.damaged("person_kind"))?,
        id: Id::read(row.text("person_id")?).ok_or_else(|| row.damaged("person_id"))?,
    })
}

impl Records {
    /// Makes an account for the person with this resource; `None`: there is no such resource.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Taken`] where there is an account with this name.
    pub(crate) fn add_account(
        &self,
        (name, subject): (&str, &str),
        (kind, id): (Kind, Id),
        now: i64,
    ) -> Result<Option<Account>, Error> {
        let (name, subject) = (name.to_owned(), subject.to_owned());
        self.database().write("make an account", move |sql| {
            let mut statement = Statement::seen("r.rid", &Sight::of_register(), kind);
            statement.text(" AND r.id = ").value(id.as_str());
            let row = first(sql, "resource", statement.sql(), statement.values(), |row| row.number("rid"))?;
            let Some(row) = row.map(Row) else { return Ok(None) };
            let same = "SELECT id FROM account WHERE name = ?1 AND ended = 0";
            if first(sql, "account", same, values![name.as_str()], |row| row.number::<i64>("id"))?.is_some() {
                return Err(Fault::Taken("account"));
            }
            let insert = "INSERT INTO account (name, subject, person, person_kind, person_id, made, ended) \
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)";
            let (name, subject) = (name.clone(), subject.clone());
            let values = values![name.as_str(), subject.as_str(), row.0, i64::from(kind.number()), id.as_str(), now];
            let number = sql.insert("id", insert, values)?;
            Ok(Some(Account { number, name, subject, row, kind, id }))
        })
    }

    /// The account with this name.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn account_named(&self, name: &str) -> Result<Option<Account>, Error> {
        let question = format!("SELECT {ACCOUNT} FROM account a WHERE a.name = ?1 AND a.ended = 0");
        self.database().read("look for an account", |sql| first(sql, "account", &question, values![name], account_of))
    }

    /// The account with this number, if it has not been removed and its person is there.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn account(&self, number: i64) -> Result<Option<Account>, Error> {
        let question = format!("SELECT {ACCOUNT} FROM account a WHERE a.id = ?1 AND a.ended = 0 AND {THERE}");
        self.database().read("look for an account", |sql| first(sql, "account", &question, values![number], account_of))
    }

    /// All accounts.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn accounts(&self) -> Result<Vec<Listed>, Error> {
        let question = format!(
            "SELECT {ACCOUNT}, (SELECT count(*) FROM passkey k WHERE k.account = a.id) AS passkeys, \
             CASE WHEN {THERE} THEN 0 ELSE 1 END AS gone FROM account a WHERE a.ended = 0 ORDER BY a.name LIMIT 1000"
        );
        self.database().read("list accounts", |sql| {
            all(sql, "account", &question, &[], |row| {
                Ok(Listed { account: account_of(row)?, passkeys: row.number("passkeys")?, gone: row.flag("gone")? })
            })
        })
    }

    /// Removes an account, and ends its sessions and all that it has granted; `false`: there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn remove_account(&self, number: i64) -> Result<bool, Error> {
        let clock = self.clock.clone();
        self.database().write_first("remove an account", move |sql| {
            let now = clock.now().unix();
            // No two of one name end at the same time: each has it to itself.
            let ended = "UPDATE account SET ended = (SELECT CASE WHEN max(o.ended) >= ?1 THEN max(o.ended) + 1 ELSE ?1 END FROM account o \
                         WHERE o.name = account.name) WHERE id = ?2 AND ended = 0";
            let found = sql.execute(ended, values![now, number])? > 0;
            sql.execute("DELETE FROM setup_code WHERE account = ?1", values![number])?;
            sql.execute("DELETE FROM login WHERE account = ?1", values![number])?;
            sql.execute("DELETE FROM passkey WHERE account = ?1", values![number])?;
            upstream::unlink(sql, number)?;
            end(sql, Grants::Account(number), now)?;
            Ok(found)
        })
    }

    /// Gives an account a setup code; the one before is void.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn keep_setup_code(&self, account: i64, hash: [u8; 32], until: i64) -> Result<(), Error> {
        self.database().write("keep a setup code", move |sql| {
            sql.execute("DELETE FROM setup_code WHERE account = ?1", values![account])?;
            let insert = "INSERT INTO setup_code (account, hash, until, tries) VALUES (?1, ?2, ?3, 0)";
            sql.execute(insert, values![account, hash, until])?;
            Ok(())
        })
    }

    /// Whether this is the account's setup code: then it is spent, the session begins, and is noted on the way to the software `client`.
    /// A wrong one writes nothing, as the name of no account does not: how long it takes tells neither apart.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn sign_in_by_code(
        &self,
        account: Account,
        code: [u8; 32],
        signed_in: SignedIn,
        (client, origin): (&str, String),
    ) -> Result<bool, Error> {
        let at = Millis(self.clock.unix_millis());
        let note = Note::signing_in(&account, client, Act::Code, origin);
        if !self.is_setup_code(account.number, code, signed_in.made)? {
            return Ok(false);
        }
        self.database().write("sign in", move |sql| {
            let SignedIn { session, made, until } = signed_in;
            let right = spend(sql, account.number, code, made)?;
            if right {
                let insert = "INSERT INTO login (hash, account, made, until) VALUES (?1, ?2, ?3, ?4)";
                sql.execute(insert, values![session, account.number, made, until])?;
                audit::append(sql, at, std::slice::from_ref(&note))?;
            }
            Ok(right)
        })
    }

    /// Whether this is the account's setup code.
    ///
    /// # Errors
    /// [`Error`].
    pub(super) fn is_setup_code(&self, account: i64, hash: [u8; 32], now: i64) -> Result<bool, Error> {
        self.database().read("look at a setup code", |sql| is_code(sql, account, hash, now))
    }

    /// Who is signed in by this session, and since when.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn session(&self, hash: [u8; 32], now: i64) -> Result<Option<(Account, i64)>, Error> {
        let question = format!(
            "SELECT {ACCOUNT}, s.made FROM login s JOIN account a ON a.id = s.account \
             WHERE s.hash = ?1 AND s.until > ?2 AND a.ended = 0 AND {THERE}"
        );
        self.database().read("look for a session", |sql| {
            first(sql, "login", &question, values![hash, now], |row| Ok((account_of(row)?, row.number("made")?)))
        })
    }
}

/// Ends what people have granted whose resources were deleted, these rows, and signs them out.
pub(super) fn left(sql: &mut dyn Sql, people: &[i64], now: i64) -> Result<(), Fault> {
    if people.is_empty() {
        return Ok(());
    }
    let mut question = Statement::default();
    question.text("SELECT a.id FROM account a WHERE a.ended = 0 AND a.person IN ").list(people);
    let accounts = all(sql, "account", question.sql(), question.values(), |row| row.number::<i64>("id"))?;
    for account in accounts {
        sql.execute("DELETE FROM login WHERE account = ?1", values![account])?;
        end(sql, Grants::Account(account), now)?;
    }
    Ok(())
}

/// Whether this is the account's setup code, which is spent then.
pub(super) fn spend(sql: &mut dyn Sql, account: i64, hash: [u8; 32], now: i64) -> Result<bool, Fault> {
    let right = is_code(sql, account, hash, now)?;
    if right {
        sql.execute("DELETE FROM setup_code WHERE account = ?1", values![account])?;
    }
    Ok(right)
}

/// Whether this is the account's setup code. Who knows a name may not void the code by wrong ones, so they are not counted: it has 60
/// bits and is good for a day, and a million guesses a second find one of thirteen million.
fn is_code(sql: &mut dyn Sql, account: i64, hash: [u8; 32], now: i64) -> Result<bool, Fault> {
    let question = format!(
        "SELECT c.hash FROM setup_code c JOIN account a ON a.id = c.account \
         WHERE c.account = ?1 AND c.until > ?2 AND a.ended = 0 AND {THERE}"
    );
    let kept = first(sql, "setup_code", &question, values![account, now], |row| row.bytes::<32>("hash"))?;
    Ok(kept.is_some_and(|kept| same_secret(&kept, &hash)))
}
