//! Who is whom: which account somebody has whom an OpenID provider signed in.

use super::Records;
use super::account::{ACCOUNT, THERE, account_of, spend};
use super::clients::is_new;
use super::passkeys::SignedIn;
use crate::audit::{self, Act, Note};
use crate::auth::Account;
use crate::kind::Millis;
use medlock_store::{Error, Fault, Sql, all, first, values};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Whose the sign-ins are that were counted: no client is called so.
const QUESTION: &str = "upstream";

/// Somebody of whom a provider has said who it is, on the way to which software.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sworn {
    pub(crate) issuer: String,
    /// The claim that said it, and what it said.
    pub(crate) claim: String,
    pub(crate) subject: String,
    /// The sign-in, which counts once, and until when that is known.
    pub(crate) question: ([u8; 32], i64),
    pub(crate) client: String,
    /// Where the browser is.
    pub(crate) origin: String,
}

impl Sworn {
    /// Issuer, claim, and what it said.
    fn who(&self) -> (&str, &str, &str) {
        (&self.issuer, &self.claim, &self.subject)
    }
}

impl Records {
    /// The account of whom a provider has signed in.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn account_of(&self, sworn: &Sworn) -> Result<Option<Account>, Error> {
        let question = format!(
            "SELECT {ACCOUNT} FROM upstream u JOIN account a ON a.id = u.account \
             WHERE u.issuer = ?1 AND u.claim = ?2 AND u.subject = ?3 AND a.ended = 0 AND {THERE}"
        );
        let Sworn { issuer, claim, subject, .. } = sworn;
        self.database().read("look for an account", |sql| {
            let key = values![issuer.as_str(), claim.as_str(), subject.as_str()];
            first(sql, "account", &question, key, account_of)
        })
    }

    /// Begins a session of whom a provider has signed in, and notes it; `false`: that sign-in was counted before, or the account is
    /// theirs no more.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn sign_in_upstream(&self, account: Account, sworn: Sworn, signed_in: SignedIn) -> Result<bool, Error> {
        let at = Millis(self.clock.unix_millis());
        self.database().write("sign in", move |sql| {
            Ok(is_new(sql, QUESTION, sworn.question.0, sworn.question.1)?
                && begin(sql, &account, &sworn, signed_in, at)?)
        })
    }

    /// A sign-in counts no more: who was there was somebody else.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn drop_sign_in(&self, (number, until): ([u8; 32], i64)) -> Result<(), Error> {
        self.database().write("drop a sign-in", move |sql| is_new(sql, QUESTION, number, until).map(drop))
    }

    /// The same of whom nobody knows yet, and who has the setup code of an account that is nobody's there yet: it is theirs from now on.
    /// Where that cannot be, the code stays good.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn link_by_code(
        &self,
        account: Account,
        code: [u8; 32],
        sworn: Sworn,
        signed_in: SignedIn,
        now: i64,
    ) -> Result<bool, Error> {
        let at = Millis(self.clock.unix_millis());
        if !self.is_setup_code(account.number, code, now)? {
            return Ok(false);
        }
        self.database().write("link an account", move |sql| {
            let linked = "SELECT account FROM upstream WHERE account = ?1";
            if first(sql, "upstream", linked, values![account.number], |row| row.number::<i64>("account"))?.is_some()
                || holder(sql, sworn.who())?.is_some()
                || !is_new(sql, QUESTION, sworn.question.0, sworn.question.1)?
                || !spend(sql, account.number, code, now)?
                || !link(sql, account.number, sworn.who(), now)?
            {
                return Ok(false);
            }
            begin(sql, &account, &sworn, signed_in, at)
        })
    }

    /// Says that an account is of whom a provider (its issuer and claim) calls so, and of nobody else there; sessions by the one before
    /// end. `false`: they have another account.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn link(&self, account: i64, who: (&str, &str, &str), now: i64) -> Result<bool, Error> {
        let (issuer, claim, subject) = (who.0.to_owned(), who.1.to_owned(), who.2.to_owned());
        self.database().write("link an account", move |sql| link(sql, account, (&issuer, &claim, &subject), now))
    }

    /// Says that an account is of nobody whom a provider knows, and ends the sessions that they began; `false`: so it was.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn unlink(&self, account: i64) -> Result<bool, Error> {
        self.database().write("unlink an account", move |sql| unlink(sql, account))
    }

    /// Who has which account, by the numbers of the accounts.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn linked(&self) -> Result<HashMap<i64, String>, Error> {
        self.database().read("list who has which account", |sql| {
            let linked = all(sql, "upstream", "SELECT account, subject FROM upstream", &[], |row| {
                Ok((row.number("account")?, row.text("subject")?.to_owned()))
            })?;
            Ok(linked.into_iter().collect())
        })
    }
}

fn begin(sql: &mut dyn Sql, account: &Account, sworn: &Sworn, signed_in: SignedIn, at: Millis) -> Result<bool, Fault> {
    let insert = "INSERT INTO login (hash, account, made, until, upstream) SELECT ?1, u.account, ?2, ?3, u.issuer FROM upstream u \
                  WHERE u.issuer = ?4 AND u.claim = ?5 AND u.subject = ?6 AND u.account = ?7";
    let SignedIn { session, made, until } = signed_in;
    let who = sworn.who();
    if sql.execute(insert, values![session, made, until, who.0, who.1, who.2, account.number])? == 0 {
        return Ok(false);
    }
    let note = Note::signing_in(account, &sworn.client, Act::Provider, sworn.origin.clone());
    audit::append(sql, at, &[note.sworn_by(who.0, who.2)])?;
    Ok(true)
}

/// Whose account it is whom a provider calls so.
fn holder(sql: &mut dyn Sql, (issuer, claim, subject): (&str, &str, &str)) -> Result<Option<i64>, Fault> {
    let question = "SELECT account FROM upstream WHERE issuer = ?1 AND claim = ?2 AND subject = ?3";
    first(sql, "upstream", question, values![issuer, claim, subject], |row| row.number("account"))
}

fn link(sql: &mut dyn Sql, account: i64, who: (&str, &str, &str), now: i64) -> Result<bool, Fault> {
    match holder(sql, who)? {
        Some(held) => Ok(held == account),
        None => {
            unlink(sql, account)?;
            let (issuer, claim, subject) = who;
            let insert = "INSERT INTO upstream (issuer, claim, subject, account, made) VALUES (?1, ?2, ?3, ?4, ?5)";
            sql.execute(insert, values![issuer, claim, subject, account, now])?;
            Ok(true)
        }
    }
}

pub(super) fn unlink(sql: &mut dyn Sql, account: i64) -> Result<bool, Fault> {
    sql.execute("DELETE FROM login WHERE account = ?1 AND upstream IS NOT NULL", values![account])?;
    Ok(sql.execute("DELETE FROM upstream WHERE account = ?1", values![account])? > 0)
}
