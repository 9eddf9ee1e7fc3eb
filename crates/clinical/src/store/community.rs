//! Software that registered by itself: one registration for each address that a community's certificate names.

use super::Records;
use super::clients::{insert, is_new, text_of};
use super::token::end;
use crate::auth::{Client, Member, Proof};
use medlock_store::{Error, Fault, Sql, first, values};

/// Whose the numbers of statements are: no client is called so.
const STATEMENT: &str = "udap";

/// What became of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Registered {
    /// There was none; its client's identifier.
    New(String),
    /// There was this one, and it is changed or ended.
    Changed(String),
    /// The statement came before.
    Replayed,
    /// An administrator has removed it.
    Removed,
    /// There is none that could end.
    Unknown,
}

impl Records {
    /// Registers software, or changes what it is registered for, by a statement with this number, which counts once.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn register(&self, client: Client, number: ([u8; 32], i64), now: i64) -> Result<Registered, Error> {
        self.database().write("register software", move |sql| {
            let registered = find(sql, &client.proof, number)?;
            match &registered {
                Registered::Unknown => {
                    insert(sql, &client, now)?;
                    Ok(Registered::New(client.id.clone()))
                }
                Registered::Changed(id) => {
                    change(sql, id, &client)?;
                    Ok(registered)
                }
                _ => Ok(registered),
            }
        })
    }

    /// Keeps the chain that software of a community showed last.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn keep_chain(&self, client: &str, chain: Vec<Vec<u8>>) -> Result<(), Error> {
        let client = client.to_owned();
        self.database().write("keep a chain", move |sql| {
            let update = "UPDATE client SET chain = ?1 WHERE id = ?2";
            sql.execute(update, values![text_of(&chain), client.as_str()]).map(drop)
        })
    }

    /// Ends the registration of software at its own wish, and all that was granted to it: it may register anew.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn unregister(&self, proof: Proof, number: ([u8; 32], i64), now: i64) -> Result<Registered, Error> {
        self.database().write("end a registration", move |sql| {
            let registered = find(sql, &proof, number)?;
            if let Registered::Changed(id) = &registered {
                sql.execute("UPDATE client SET ended = ?1, uri = NULL WHERE id = ?2", values![now, id.as_str()])?;
                end(sql, "client", id.as_str(), now)?;
            }
            Ok(registered)
        })
    }
}

/// Writes what software wants to be from now on.
fn change(sql: &mut dyn Sql, id: &str, client: &Client) -> Result<(), Fault> {
    let Proof::Community(member) = &client.proof else { return Err(Fault::Missing("community")) };
    let update = "UPDATE client SET name = ?1, redirects = ?2, scopes = ?3, chain = ?4 WHERE id = ?5";
    let (redirects, scopes, chain) = (client.redirects.join("\n"), client.scopes.to_string(), text_of(&member.chain));
    sql.execute(update, values![client.name.as_str(), redirects, scopes, chain, id])?;
    Ok(())
}

/// What is registered already.
fn find(sql: &mut dyn Sql, proof: &Proof, (number, until): ([u8; 32], i64)) -> Result<Registered, Fault> {
    let Proof::Community(Member { community, uri, .. }) = proof else { return Err(Fault::Missing("community")) };
    if !is_new(sql, STATEMENT, number, until)? {
        return Ok(Registered::Replayed);
    }
    let question = "SELECT id, ended FROM client WHERE community = ?1 AND uri = ?2";
    let found = first(sql, "client", question, values![community.as_str(), uri.as_str()], |row| {
        Ok((row.text("id")?.to_owned(), row.optional_number::<i64>("ended")?.is_some()))
    })?;
    Ok(match found {
        None => Registered::Unknown,
        Some((_, true)) => Registered::Removed,
        Some((id, false)) => Registered::Changed(id),
    })
}
