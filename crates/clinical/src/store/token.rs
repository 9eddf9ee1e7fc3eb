//! Tokens: kept as their hashes, with what they stand for.

use super::Records;
use super::account::THERE;
use super::clients::{chain_of, member_of, text_of};
use super::names::{self, Bound};
use crate::access::{Binding, Grant, Holder};
use crate::auth::Scopes;
use crate::kind::{Kind, Row};
use medlock_store::{Error, Fault, Row as Found, Sql, all, first, values};
use medlock_trust::{CredentialId, DeviceName};
use std::collections::HashSet;
use std::sync::Arc;

/// Sorts of tokens, as they are kept.
const ACCESS: i64 = 0;
const REFRESH: i64 = 1;

/// Tokens, and chains, that are forgotten together, at most.
const TOGETHER: u64 = 1_000;
/// So much longer than the token with which it was written a chain is kept, in seconds: it is not written again for each.
const LONGER: i64 = 3_600;
/// So long, in seconds, what is late is ended too: the clocks of hubs differ, and what it allowed may wait to be written.
const BEHIND: i64 = 300;
/// What one client has of one person, and what a device has, or software in its own name: alive, at most. What ends it is short so.
const OF_APP: u64 = 100;
const OF_MACHINE: u64 = 1_000;

/// What became of a wish for tokens, in the verb that keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// They are kept.
    Kept,
    /// What they were asked for with came before.
    Before,
    /// Who asks is no more who it was, or what was granted has ended: since it was looked at.
    Ended,
}

/// Whose grants end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Grants<'w> {
    /// This one.
    One(i64),
    /// Those of the device with this name.
    Device(&'w str),
    /// Those of this client: its own, and what people granted to it.
    Client(&'w str),
    /// What this account granted.
    Account(i64),
    /// What this account granted to this client.
    App(i64, &'w str),
}

/// What is to be granted.
#[derive(Clone, Debug)]
pub(crate) struct NewLeave {
    /// To whom.
    pub(crate) holder: Holder,
    /// What.
    pub(crate) scopes: Scopes,
    /// When, and until when at most, in seconds since 1970.
    pub(crate) made: i64,
    pub(crate) until: i64,
}

/// An access token that is to be kept.
#[derive(Clone, Debug)]
pub(crate) struct NewToken {
    /// SHA-256 of the token.
    pub(crate) hash: [u8; 32],
    /// What it is good for.
    pub(crate) scopes: Scopes,
    /// What has to be shown with it.
    pub(crate) binding: Binding,
    /// Until when it is good, in seconds since 1970.
    pub(crate) until: i64,
}

/// A refresh token that is to be kept: good for all that was granted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRefresh {
    /// SHA-256 of the token.
    pub(crate) hash: [u8; 32],
    /// Until when it is good, in seconds since 1970.
    pub(crate) until: i64,
}

/// A refresh token that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refresh {
    /// Of what was granted.
    pub(crate) leave: i64,
    /// To which client.
    pub(crate) client: String,
    /// By which account.
    pub(crate) account: i64,
    /// For whose data.
    pub(crate) patient: Option<Row>,
    /// What.
    pub(crate) scopes: Scopes,
    /// Until when.
    pub(crate) until: i64,
    /// Whether another one was given for it.
    pub(crate) used: bool,
    /// The thumbprint of the key it is bound to.
    pub(crate) key: Option<[u8; 32]>,
    /// What else is told with its tokens: JSON.
    pub(crate) context: Option<String>,
}

/// Whether a holder is still who it was when it was looked at: what ended its grants does not end one that comes behind it.
pub(super) fn stands(sql: &mut dyn Sql, holder: &Holder) -> Result<bool, Fault> {
    let found = match holder {
        // It has no row of its own: what it is the register says, at each use.
        Holder::Device { own: None, .. } => return Ok(true),
        Holder::Device { name, own: Some(own) } => {
            return Ok(matches!(names::bound(sql, name)?, Bound::To { row, .. } if row == *own));
        }
        Holder::Software { client } => {
            let question = "SELECT c.id FROM client c WHERE c.id = ?1 AND c.ended IS NULL";
            first(sql, "client", question, values![client.as_str()], |_| Ok(()))?
        }
        Holder::Person { client, account, .. } => {
            let question = format!(
                "SELECT c.id FROM client c JOIN account a ON a.id = ?2 WHERE c.id = ?1 AND {STAND} AND {THERE}"
            );
            first(sql, "client", &question, values![client.as_str(), *account], |_| Ok(()))?
        }
    };
    Ok(found.is_some())
}

/// Whether what was granted has ended.
pub(super) fn has_ended(sql: &mut dyn Sql, leave: i64) -> Result<bool, Fault> {
    let question = "SELECT id FROM leave WHERE id = ?1 AND ended IS NULL";
    Ok(first(sql, "leave", question, values![leave], |_| Ok(()))?.is_none())
}

/// Whether what a person granted has not ended, nor who had it.
pub(super) fn lives(sql: &mut dyn Sql, leave: i64) -> Result<bool, Fault> {
    let question = format!("SELECT l.id FROM {OF_PERSON} WHERE l.id = ?1 AND l.ended IS NULL AND {STAND} AND {THERE}");
    Ok(first(sql, "leave", &question, values![leave], |_| Ok(()))?.is_some())
}

impl NewLeave {
    /// Keeps it; where its holder has too many, the oldest end. `now` is taken in the verb.
    pub(super) fn keep(&self, sql: &mut dyn Sql, now: i64) -> Result<i64, Fault> {
        let (device, own, client, account, patient) = match &self.holder {
            Holder::Device { name, own } => (Some(name.as_str()), *own, None, None, None),
            Holder::Software { client } => (None, None, Some(client.as_str()), None, None),
            Holder::Person { client, account, patient } => {
                (None, None, Some(client.as_str()), Some(*account), *patient)
            }
        };
        let insert = "INSERT INTO leave (device, own, client, account, patient, scopes, made, until) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let rows = (own.map(|row| row.0), patient.map(|row| row.0));
        let values = values![device, rows.0, client, account, rows.1, self.scopes.to_string(), self.made, self.until];
        let leave = sql.insert("id", insert, values)?;
        self.bound(sql, now)?;
        Ok(leave)
    }

    fn bound(&self, sql: &mut dyn Sql, now: i64) -> Result<(), Fault> {
        /// As the index has them.
        const NEWEST: &str = "until DESC, id";
        let update = |of: &str, newest: &str, most: u64| {
            format!(
                "UPDATE leave SET ended = ?1 WHERE id IN (SELECT id FROM leave WHERE ended IS NULL AND {of} \
                 ORDER BY {newest} DESC LIMIT {TOGETHER} OFFSET {most})"
            )
        };
        match &self.holder {
            Holder::Device { name, .. } => {
                sql.execute(&update("device = ?2 AND until > ?1", NEWEST, OF_MACHINE), values![now, name.as_str()])?
            }
            Holder::Software { client } => {
                let of = "client = ?2 AND account IS NULL AND until > ?1";
                sql.execute(&update(of, NEWEST, OF_MACHINE), values![now, client.as_str()])?
            }
            Holder::Person { client, account, .. } => {
                // By the number itself a server goes through the table backwards, however few there are.
                let of = "account = ?2 AND client = ?3";
                sql.execute(&update(of, "id + 0", OF_APP), values![now, *account, client.as_str()])?
            }
        };
        Ok(())
    }
}

impl NewToken {
    pub(super) fn keep(&self, leave: i64, sql: &mut dyn Sql) -> Result<(), Fault> {
        let (binding, bound, credential) = match &self.binding {
            Binding::Bearer => (0, None, None),
            Binding::Certificate { certificate, credential } => {
                (1, Some(*certificate), Some(credential.as_bytes().as_slice()))
            }
            Binding::Key(key) => (2, Some(*key), None),
        };
        let insert = "INSERT INTO token (hash, sort, leave, scopes, until, binding, bound, credential) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let scopes = self.scopes.to_string();
        sql.execute(
            insert,
            values![self.hash, ACCESS, leave, scopes, self.until, i64::from(binding), bound, credential],
        )?;
        Ok(())
    }
}

impl NewRefresh {
    /// A public client's is bound to the key its tokens are bound to (RFC 9449 section 5).
    pub(super) fn keep(&self, leave: i64, binding: Binding, sql: &mut dyn Sql) -> Result<(), Fault> {
        let (binding, bound) = match binding {
            Binding::Key(key) => (2_i64, Some(key)),
            Binding::Bearer | Binding::Certificate { .. } => (0, None),
        };
        let insert =
            "INSERT INTO token (hash, sort, leave, scopes, until, binding, bound) VALUES (?1, ?2, ?3, '', ?4, ?5, ?6)";
        sql.execute(insert, values![self.hash, REFRESH, leave, self.until, binding, bound])?;
        Ok(())
    }
}

fn binding_of(row: &Found) -> Result<Binding, Fault> {
    Ok(match row.number::<i64>("binding")? {
        0 => Binding::Bearer,
        1 => {
            let credential = CredentialId::from_bytes(row.bytes("credential")?);
            Binding::Certificate { certificate: row.bytes("bound")?, credential }
        }
        2 => Binding::Key(row.bytes("bound")?),
        _ => return Err(row.damaged("binding")),
    })
}

pub(super) fn scopes_of(row: &Found, column: &str) -> Result<Scopes, Fault> {
    Ok(Scopes::of_kept(row.text(column)?))
}

/// What a person granted, with its client and account; and that those have not ended.
const OF_PERSON: &str = "leave l JOIN client c ON c.id = l.client JOIN account a ON a.id = l.account";
const STAND: &str = "c.ended IS NULL AND a.ended = 0";
/// Columns of what was granted, with the person who granted it, and the community of the software.
const LEAVE: &str = "l.id, l.device, l.own, l.client, l.account, l.patient, l.made, a.person, a.person_kind, c.community, c.uri, c.chain";

/// Whose it is, and the resource of the person, if it is a person's.
fn holder_of(row: &Found) -> Result<(Holder, Option<(Kind, Row)>), Fault> {
    if let Some(name) = row.optional_text("device")? {
        let name = DeviceName::new(name).ok_or_else(|| row.damaged("device"))?;
        return Ok((Holder::Device { name, own: row.optional_number("own")?.map(Row) }, None));
    }
    let client = row.text("client")?.to_owned();
    let Some(account) = row.optional_number("account")? else {
        return Ok((Holder::Software { client }, None));
    };
    let patient = row.optional_number("patient")?.map(Row);
    let kind = Kind::numbered(row.number("person_kind")?).ok_or_else(|| row.damaged("person_kind"))?;
    Ok((Holder::Person { account, client, patient }, Some((kind, Row(row.number("person")?)))))
}

/// What was granted, with its scopes and until when.
fn grant_of(row: &Found, binding: Binding) -> Result<Grant, Fault> {
    let (holder, person) = holder_of(row)?;
    let (leave, until) = (row.number("id")?, row.number("until")?);
    let (scopes, rights, member) = (Scopes::default(), Arc::from([]), member_of(row)?.map(Arc::new));
    let none = Grant { leave, holder, person, binding, until, scopes, rights, member };
    Ok(none.good_for(scopes_of(row, "scopes")?))
}

impl Records {
    /// Grants something to a device, with a token for it; `path`: the certificates from its own up to what an authority issued.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn keep_token<C: AsRef<[u8]>>(
        &self,
        leave: NewLeave,
        token: NewToken,
        path: &[C],
    ) -> Result<Given, Error> {
        let (path, clock) = (text_of(path), self.clock.clone());
        self.database().write("keep a token", move |sql| {
            if !stands(sql, &leave.holder)? {
                return Ok(Given::Ended);
            }
            let leave = leave.keep(sql, clock.now().unix())?;
            token.keep(leave, sql)?;
            if let Binding::Certificate { certificate, .. } = token.binding {
                keep_chain(sql, certificate, &path, token.until)?;
            }
            Ok(Given::Kept)
        })
    }

    /// The chain of the certificate that a device's access token is bound to, up to what an authority issued; empty if there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn chain_of_token(&self, hash: [u8; 32]) -> Result<Vec<Vec<u8>>, Error> {
        let question = "SELECT coalesce(c.path, t.chain) AS chain FROM token t LEFT JOIN chain c ON c.certificate = t.bound \
                        WHERE t.hash = ?1 AND t.sort = ?2";
        let chain = self.database().read("look for the chain of a token", |sql| {
            first(sql, "token", question, values![hash, ACCESS], chain_of)
        })?;
        Ok(chain.unwrap_or_default())
    }

    /// What the access token with this hash stands for, if it has not ended. That it is late is for who asks to see.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn token(&self, hash: [u8; 32]) -> Result<Option<Grant>, Error> {
        let question = format!(
            "SELECT {LEAVE}, t.scopes, t.until, t.binding, t.bound, t.credential FROM token t JOIN leave l ON l.id = t.leave \
             LEFT JOIN account a ON a.id = l.account LEFT JOIN client c ON c.id = l.client WHERE t.hash = ?1 AND t.sort = ?2 AND l.ended IS NULL"
        );
        self.database().read("look for a token", |sql| {
            first(sql, "token", &question, values![hash, ACCESS], |row| {
                let binding = binding_of(row)?;
                grant_of(row, binding)
            })
        })
    }

    /// What is left of `scopes` of what was granted to a person's software, if it has not ended: what that is registered for now
    /// counts too. That it is late is for who asks to see.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn leave_within(&self, leave: i64, scopes: &Scopes) -> Result<Option<Grant>, Error> {
        let question = format!(
            "SELECT {LEAVE}, l.scopes, l.until, c.scopes AS registered FROM {OF_PERSON} WHERE l.id = ?1 AND l.ended IS NULL AND {STAND} AND {THERE}"
        );
        let kinds: Vec<Kind> = Kind::all().collect();
        self.database().read("look for what was granted", |sql| {
            first(sql, "leave", &question, values![leave], |row| {
                let grant = grant_of(row, Binding::Bearer)?;
                let left = scopes.within(&grant.scopes, &kinds).within(&scopes_of(row, "registered")?, &kinds);
                Ok(grant.good_for(left))
            })
        })
    }

    /// Binds a token to another certificate of its device, with its path, if it is bound to `from` still; what it stands for then.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn rebind<C: AsRef<[u8]>>(
        &self,
        hash: [u8; 32],
        from: [u8; 32],
        (certificate, credential, path): ([u8; 32], CredentialId, &[C]),
    ) -> Result<Option<Grant>, Error> {
        let update = "UPDATE token SET bound = ?1, credential = ?2 WHERE hash = ?3 AND bound = ?4 RETURNING until";
        let path = text_of(path);
        self.database().write("bind a token anew", move |sql| {
            let values = values![certificate, credential.as_bytes().as_slice(), hash, from];
            match first(sql, "token", update, values, |row| row.number("until"))? {
                Some(until) => keep_chain(sql, certificate, &path, until),
                None => Ok(()),
            }
        })?;
        self.token(hash)
    }

    /// The refresh token with this hash, if what was granted has not ended.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn refresh_token(&self, hash: [u8; 32]) -> Result<Option<Refresh>, Error> {
        let question = "SELECT l.id, l.client, l.account, l.patient, l.scopes, l.context, t.until, t.used, t.binding, t.bound, t.credential \
                        FROM token t JOIN leave l ON l.id = t.leave WHERE t.hash = ?1 AND t.sort = ?2 AND l.ended IS NULL";
        self.database().read("look for a refresh token", |sql| {
            first(sql, "token", question, values![hash, REFRESH], |row| {
                let key = match binding_of(row)? {
                    Binding::Key(key) => Some(key),
                    Binding::Bearer | Binding::Certificate { .. } => None,
                };
                Ok(Refresh {
                    leave: row.number("id")?,
                    client: row.text("client")?.to_owned(),
                    account: row.number("account")?,
                    patient: row.optional_number("patient")?.map(Row),
                    scopes: scopes_of(row, "scopes")?,
                    until: row.number("until")?,
                    used: row.optional_number::<i64>("used")?.is_some(),
                    key,
                    context: row.optional_text("context")?.map(str::to_owned),
                })
            })
        })
    }

    /// Gives tokens for a refresh token, which serves no more. If it was used before, all that was granted ends.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn rotate(&self, refresh: [u8; 32], token: NewToken, next: NewRefresh) -> Result<Given, Error> {
        let clock = self.clock.clone();
        self.database().write("refresh a token", move |sql| {
            let now = clock.now().unix();
            let question = "SELECT leave FROM token WHERE hash = ?1 AND sort = ?2";
            let leave = first(sql, "token", question, values![refresh, REFRESH], |row| row.number("leave"))?;
            let leave: i64 = leave.ok_or(Fault::Missing("refresh token"))?;
            let used = "UPDATE token SET used = ?1 WHERE hash = ?2 AND used IS NULL";
            if sql.execute(used, values![now, refresh])? == 0 {
                end(sql, Grants::One(leave), now)?;
                return Ok(Given::Before);
            }
            if !lives(sql, leave)? {
                return Ok(Given::Ended);
            }
            token.keep(leave, sql)?;
            next.keep(leave, token.binding, sql)?;
            Ok(Given::Kept)
        })
    }

    /// Ends what was granted, with all its tokens.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn end_leave(&self, leave: i64) -> Result<(), Error> {
        let clock = self.clock.clone();
        let verb = move |sql: &mut dyn Sql| end(sql, Grants::One(leave), clock.now().unix());
        self.database().write_first("end what was granted", verb)
    }

    /// Ends what an account has granted: to this client, or to all.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn end_apps(&self, account: i64, client: Option<String>) -> Result<(), Error> {
        let clock = self.clock.clone();
        self.database().write_first("end what was granted to apps", move |sql| {
            let whose = client.as_deref().map_or(Grants::Account(account), |client| Grants::App(account, client));
            end(sql, whose, clock.now().unix())
        })
    }

    /// What was ended since `since`, by any hub of this store.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn ended_since(&self, since: i64) -> Result<HashSet<i64>, Error> {
        self.database().read("look for what was ended", |sql| {
            let ended =
                all(sql, "leave", "SELECT id FROM leave WHERE ended >= ?1", values![since], |row| row.number("id"))?;
            Ok(ended.into_iter().collect())
        })
    }

    /// Forgets some of the tokens that were late at `before`, and of the chains; whether there may be more.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn forget_tokens(&self, before: i64) -> Result<bool, Error> {
        self.database().write("forget late tokens", move |sql| {
            let mut more = false;
            for (table, key) in [("token", "hash"), ("chain", "certificate")] {
                let late = format!("SELECT {key} FROM {table} WHERE until < ?1 ORDER BY until LIMIT {TOGETHER}");
                let forgotten =
                    sql.execute(&format!("DELETE FROM {table} WHERE {key} IN ({late})"), values![before])?;
                more |= forgotten >= TOGETHER;
            }
            Ok(more)
        })
    }
}

/// Keeps the chain of a certificate for as long as a token may be bound to it; the last one that was shown counts. Mostly it is there
/// already, and nothing is written.
fn keep_chain(sql: &mut dyn Sql, certificate: [u8; 32], path: &str, until: i64) -> Result<(), Fault> {
    let question = "SELECT until FROM chain WHERE certificate = ?1 AND until >= ?2 AND path = ?3";
    let kept = first(sql, "chain", question, values![certificate, until, path], |row| row.number::<i64>("until"))?;
    if kept.is_some() {
        return Ok(());
    }
    let upsert = "INSERT INTO chain (certificate, path, until) VALUES (?1, ?2, ?3) ON CONFLICT (certificate) DO UPDATE \
                  SET path = excluded.path, until = CASE WHEN chain.until > excluded.until THEN chain.until ELSE excluded.until END";
    sql.execute(upsert, values![certificate, path, until.saturating_add(LONGER)]).map(drop)
}

/// Ends what was granted, as far as it is alive: of who asks for tokens all day, what is late is too much for one verb. `now` is taken
/// in the verb: other hubs ask what has ended lately.
pub(super) fn end(sql: &mut dyn Sql, whose: Grants<'_>, now: i64) -> Result<(), Fault> {
    const END: &str = "UPDATE leave SET ended = ?1 WHERE ended IS NULL AND ";
    let late = now.saturating_sub(BEHIND);
    match whose {
        Grants::One(leave) => sql.execute(&[END, "id = ?2"].concat(), values![now, leave])?,
        Grants::Device(name) => sql.execute(&[END, "device = ?2 AND until > ?3"].concat(), values![now, name, late])?,
        Grants::Client(id) => {
            sql.execute(&[END, "client = ?2 AND account IS NOT NULL"].concat(), values![now, id])?;
            sql.execute(&[END, "client = ?2 AND account IS NULL AND until > ?3"].concat(), values![now, id, late])?
        }
        Grants::Account(number) => sql.execute(&[END, "account = ?2"].concat(), values![now, number])?,
        Grants::App(number, id) => {
            sql.execute(&[END, "account = ?2 AND client = ?3"].concat(), values![now, number, id])?
        }
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fixture::House;
    use medlock_store::{Engine, Row as Found, Value};

    /// Explains each statement, and does nothing.
    struct Explained<'s> {
        sql: &'s mut dyn Sql,
        told: Vec<String>,
    }

    impl Sql for Explained<'_> {
        fn engine(&self) -> Engine {
            self.sql.engine()
        }

        fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, Fault> {
            let (explain, column) = match self.engine() {
                Engine::Sqlite => ("EXPLAIN QUERY PLAN", "detail"),
                Engine::Postgres => ("EXPLAIN", "QUERY PLAN"),
            };
            let lines =
                all(self.sql, "plan", &format!("{explain} {sql}"), parameters, |row| Ok(row.text(column)?.to_owned()))?;
            self.told.push(lines.join("\n"));
            Ok(0)
        }

        fn insert(&mut self, key: &'static str, sql: &str, parameters: &[Value]) -> Result<i64, Fault> {
            self.sql.insert(key, sql, parameters)
        }

        fn each(
            &mut self,
            table: &'static str,
            sql: &str,
            parameters: &[Value],
            take: &mut dyn FnMut(&Found) -> Result<bool, Fault>,
        ) -> Result<(), Fault> {
            self.sql.each(table, sql, parameters, take)
        }

        fn batch(&mut self, sql: &str) -> Result<(), Fault> {
            self.sql.batch(sql)
        }
    }

    /// Shows REQ-STORE-197: whose grants end is found by an index that leads to those that are alive, past all that were ever given.
    #[tokio::test]
    async fn what_ends_is_found_by_an_index() {
        for house in House::both() {
            let told = house.clinical.records().database().write("explain", |sql| {
                // Most are late, or have ended, and of few: as where somebody asks all day.
                sql.batch(
                    "INSERT INTO leave (device, client, account, scopes, made, until) \
                     WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
                     SELECT CASE WHEN i % 2 = 0 THEN 'cgm' END, CASE WHEN i % 2 = 1 THEN 'app' END, NULL, '', i, i FROM n",
                )?;
                sql.batch(
                    "INSERT INTO leave (client, account, scopes, made, until, ended) \
                     WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) \
                     SELECT 'app', CASE WHEN i % 2 = 0 THEN i % 500 ELSE 4 END, '', i, i, CASE WHEN i % 2 = 1 THEN i END FROM n",
                )?;
                if sql.engine() == Engine::Postgres {
                    sql.batch("ANALYZE leave")?;
                }
                let mut explained = Explained { sql, told: Vec::new() };
                let (scopes, name) = (Scopes::default(), DeviceName::new("cgm").expect("a name"));
                for holder in [
                    Holder::Device { name, own: None },
                    Holder::Software { client: "app".to_owned() },
                    Holder::Person { account: 4, client: "app".to_owned(), patient: None },
                ] {
                    let leave = NewLeave { holder, scopes: scopes.clone(), made: 30_000, until: 30_060 };
                    leave.keep(&mut explained, 30_000)?;
                }
                for whose in [Grants::One(1), Grants::Device("cgm"), Grants::Client("app"), Grants::Account(4)] {
                    end(&mut explained, whose, 30_000)?;
                }
                Ok(explained.told)
            });
            let told = told.expect("explained");
            let by_number = "INTEGER PRIMARY KEY (rowid=?)";
            let device = "INDEX leave_of_device (device=? AND until>?)";
            let software = "INDEX leave_of_software (client=? AND until>?)";
            let (users, account) = ("INDEX leave_of_users (client=?)", "INDEX leave_of_account (account=?)");
            let sqlite = [device, software, account, by_number, device, users, software, account];
            // Of so few it may as well look at all that people have granted and that is alive.
            let (device, software, people) = ("leave_of_device", "leave_of_software", "leave_of_");
            let postgres = [device, software, people, "leave_pkey", device, "leave_of_users", software, people];
            let expected = match house.clinical.records().database().engine() {
                Engine::Sqlite => sqlite,
                Engine::Postgres => postgres,
            };
            assert_eq!(told.len(), expected.len());
            for (told, expected) in told.iter().zip(expected) {
                assert!(told.contains(expected), "{expected}: {told}");
            }
        }
    }
}
