//! Software that registered by itself: one registration for each address that a community's certificate names.

use super::Records;
use super::clients::{insert, is_new, text_of};
use super::token::{Grants, end};
use crate::auth::{Client, Member, Proof};
use medlock_store::{Error, Fault, Sql, first, values};

/// Registrations of one community, at most, with those that have ended.
const MOST: i64 = 1_000;
/// Whose the numbers of statements are: no client is called so.
const STATEMENT: &str = "udap";

/// What became of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Registered {
    /// There was none, or none any more; its client's identifier.
    New(String),
    /// There was this one, and it is changed or ended.
    Changed(String),
    /// The statement came before.
    Replayed,
    /// An administrator has removed it.
    Removed,
    /// There is none that could end.
    Unknown,
    /// The community has as many as it may have.
    Full,
}

/// What is kept of software.
enum Found {
    Nothing,
    Registered(String),
    /// It has ended by itself.
    Ended(String),
}

impl Records {
    /// Registers software, or changes what it is registered for, by a statement with this number, which counts once.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn register(&self, client: Client, number: ([u8; 32], i64), now: i64) -> Result<Registered, Error> {
        self.database().write("register software", move |sql| {
            let member = member(&client.proof)?;
            Ok(match find(sql, member, number)? {
                Err(why) => why,
                Ok(Found::Registered(id)) => {
                    change(sql, &id, (&client, member))?;
                    Registered::Changed(id)
                }
                Ok(Found::Ended(id)) => {
                    change(sql, &id, (&client, member))?;
                    Registered::New(id)
                }
                Ok(Found::Nothing) => {
                    let question = "SELECT count(*) AS held FROM client WHERE community = ?1";
                    let held = first(sql, "client", question, values![member.community.as_str()], |row| {
                        row.number::<i64>("held")
                    })?;
                    if held.is_some_and(|held| held >= MOST) {
                        return Ok(Registered::Full);
                    }
                    insert(sql, &client, now)?;
                    Registered::New(client.id.clone())
                }
            })
        })
    }

    /// Ends the registration of software at its own wish, and all that was granted to it: it may register anew, and is the same then.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn unregister(&self, proof: Proof, number: ([u8; 32], i64)) -> Result<Registered, Error> {
        let clock = self.clock.clone();
        self.database().write_first("end a registration", move |sql| {
            let now = clock.now().unix();
            Ok(match find(sql, member(&proof)?, number)? {
                Err(why) => why,
                Ok(Found::Registered(id)) => {
                    sql.execute("UPDATE client SET ended = ?1, returns = 1 WHERE id = ?2", values![now, id.as_str()])?;
                    end(sql, Grants::Client(&id), now)?;
                    Registered::Changed(id)
                }
                Ok(Found::Nothing | Found::Ended(_)) => Registered::Unknown,
            })
        })
    }
}

fn member(proof: &Proof) -> Result<&Member, Fault> {
    match proof {
        Proof::Community(member) => Ok(member),
        Proof::None | Proof::Secret(_) | Proof::Keys { .. } => Err(Fault::Missing("community")),
    }
}

/// Writes what software is from now on.
fn change(sql: &mut dyn Sql, id: &str, (client, member): (&Client, &Member)) -> Result<(), Fault> {
    let update =
        "UPDATE client SET name = ?1, redirects = ?2, scopes = ?3, chain = ?4, ended = NULL, returns = 0 WHERE id = ?5";
    let (redirects, scopes, chain) = (client.redirects.join("\n"), client.scopes.to_string(), text_of(&member.chain));
    sql.execute(update, values![client.name.as_str(), redirects, scopes, chain, id])?;
    Ok(())
}

/// What is kept already, or why the statement with this number does not count.
fn find(
    sql: &mut dyn Sql,
    member: &Member,
    (number, until): ([u8; 32], i64),
) -> Result<Result<Found, Registered>, Fault> {
    if !is_new(sql, STATEMENT, number, until)? {
        return Ok(Err(Registered::Replayed));
    }
    let question = "SELECT id, ended, returns FROM client WHERE community = ?1 AND uri = ?2";
    let found = first(sql, "client", question, values![member.community.as_str(), member.uri.as_str()], |row| {
        Ok((row.text("id")?.to_owned(), row.optional_number::<i64>("ended")?.is_some(), row.flag("returns")?))
    })?;
    Ok(match found {
        None => Ok(Found::Nothing),
        Some((id, false, _)) => Ok(Found::Registered(id)),
        Some((id, true, true)) => Ok(Found::Ended(id)),
        Some((_, true, false)) => Err(Registered::Removed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Scopes;
    use crate::store::Place;
    use medlock_node::clock::Clock;
    use medlock_node::provider::{WebAlgorithm, sha256};

    /// Shows REQ-SMART-127: a community has so many rows at most, and who begins again makes none.
    #[test]
    fn a_community_has_so_many_registrations() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records::open(&Place::File(folder.path().join("x.db")), Clock::system()).expect("opened");
        let client = |number: i64| Client {
            id: format!("id-{number}"),
            name: "app".into(),
            proof: Proof::Community(Member {
                community: "c".into(),
                uri: format!("https://app.example/{number}"),
                chain: vec![vec![1], vec![2]],
            }),
            redirects: Vec::new(),
            scopes: Scopes::read("system/Patient.rs").expect("scopes"),
            algorithm: WebAlgorithm::Rs256,
            introspects: false,
        };
        let mut numbers = 0_u64;
        let mut number = || {
            numbers += 1;
            (sha256(&numbers.to_be_bytes()), 100)
        };
        let all: Vec<Client> = (0..MOST - 1).map(client).collect();
        records
            .database()
            .write("fill", move |sql| all.iter().try_for_each(|client| insert(sql, client, 0)))
            .expect("filled");
        let last = MOST - 1;
        assert_eq!(records.register(client(last), number(), 1).expect("kept"), Registered::New(format!("id-{last}")));
        assert_eq!(records.client(&format!("id-{last}")).expect("read"), Some(client(last)));
        for _ in 0..3 {
            let ended = records.unregister(client(last).proof, number());
            assert_eq!(ended.expect("kept"), Registered::Changed(format!("id-{last}")));
            assert_eq!(records.unregister(client(last).proof, number()).expect("kept"), Registered::Unknown);
            let again = Client { id: "another".into(), ..client(last) };
            assert_eq!(records.register(again, number(), 3).expect("kept"), Registered::New(format!("id-{last}")));
        }
        assert_eq!(records.register(client(MOST), number(), 4).expect("kept"), Registered::Full);
        let elsewhere = Proof::Community(Member { community: "d".into(), uri: "u".into(), chain: Vec::new() });
        let other = Client { proof: elsewhere, ..client(MOST) };
        assert_eq!(records.register(other, number(), 4).expect("kept"), Registered::New(format!("id-{MOST}")));
    }
}
