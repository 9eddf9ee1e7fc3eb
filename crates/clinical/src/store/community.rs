//! Software that registered by itself: one registration for each address that a community's certificate names.

use super::Records;
use super::clients::{end_client, insert, is_new, text_of};
use crate::auth::{Client, Member, Proof};
use medlock_store::{Error, Fault, Sql, Value, first, values};

/// Registrations by one key that are alive, at most: a certificate may name hundreds of addresses.
const OF_KEY: i64 = 8;
/// Those of one community that are alive, and those that have ended, of which little is kept.
const ALIVE: i64 = 1_000;
const ENDED: i64 = 100_000;
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
    /// There are as many as there may be.
    Full(Full),
}

/// Of what there are as many as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// Registrations by this key.
    Key,
    /// Registrations of the community.
    Community,
    /// Those of it that have ended.
    Ended,
}

impl Full {
    /// What is said of it, and what helps.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Key => {
                format!(
                    "there are {OF_KEY} registrations by this certificate's key: end one (grant_types []), or use another certificate"
                )
            }
            Self::Community => format!(
                "there are {ALIVE} registrations of this community: end one (grant_types []), or have the site remove some (medlock clinical client remove)"
            ),
            // Who was removed does not come back, so none of them is forgotten.
            Self::Ended => format!(
                "{ENDED} registrations of this community have ended, and no more are taken: the site can give the community another name (udap.name)"
            ),
        }
    }
}

/// What is kept of software.
enum Found {
    Nothing,
    Registered(String),
    /// It has ended by itself.
    Ended(String),
}

impl Records {
    /// Registers software, or changes what it is registered for, by a statement with this number, which counts once. `spki` is SHA-256
    /// of the key that has signed it.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn register(
        &self,
        (client, spki): (Client, [u8; 32]),
        number: ([u8; 32], i64),
        now: i64,
    ) -> Result<Registered, Error> {
        self.database().write("register software", move |sql| {
            let member = member(&client.proof)?;
            let found = match find(sql, member, number)? {
                Ok(found) => found,
                Err(why) => return Ok(why),
            };
            if let Some(full) = full(sql, &found, (member, spki))? {
                return Ok(Registered::Full(full));
            }
            Ok(match found {
                Found::Registered(id) => {
                    change(sql, &id, (&client, member, spki))?;
                    Registered::Changed(id)
                }
                Found::Ended(id) => {
                    change(sql, &id, (&client, member, spki))?;
                    Registered::New(id)
                }
                Found::Nothing => {
                    insert(sql, &client, now)?;
                    change(sql, &client.id, (&client, member, spki))?;
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
                    end_client(sql, &id, now)?;
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
fn change(sql: &mut dyn Sql, id: &str, (client, member, spki): (&Client, &Member, [u8; 32])) -> Result<(), Fault> {
    let update = "UPDATE client SET name = ?1, redirects = ?2, scopes = ?3, chain = ?4, spki = ?5, ended = NULL, returns = 0 \
                  WHERE id = ?6";
    let (redirects, scopes, chain) = (client.redirects.join("\n"), client.scopes.to_string(), text_of(&member.chain));
    sql.execute(update, values![client.name.as_str(), redirects, scopes, chain, spki, id])?;
    Ok(())
}

/// What has no room for this software to be registered by this key.
fn full(sql: &mut dyn Sql, found: &Found, (member, spki): (&Member, [u8; 32])) -> Result<Option<Full>, Fault> {
    let mut has = |of: &str, values: &[Value], most: i64| {
        let question = format!("SELECT count(*) AS held FROM client WHERE {of}");
        let held = first(sql, "client", &question, values, |row| row.number::<i64>("held"))?;
        Ok::<bool, Fault>(held.unwrap_or(0) >= most)
    };
    let community = member.community.as_str();
    let (own, is_alive) = match found {
        Found::Nothing => ("", false),
        Found::Ended(id) => (id.as_str(), false),
        Found::Registered(id) => (id.as_str(), true),
    };
    Ok(if has("spki = ?1 AND ended IS NULL AND id <> ?2", values![spki, own], OF_KEY)? {
        Some(Full::Key)
    } else if !is_alive && has("community = ?1 AND ended IS NULL", values![community], ALIVE)? {
        Some(Full::Community)
    } else if matches!(found, Found::Nothing) && has("community = ?1 AND ended IS NOT NULL", values![community], ENDED)?
    {
        Some(Full::Ended)
    } else {
        None
    })
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
    use super::super::Spent;
    use super::*;
    use crate::auth::Scopes;
    use crate::tests::fixture::House;
    use medlock_node::provider::{WebAlgorithm, sha256};
    use medlock_store::all;

    fn client(number: i64) -> Client {
        Client {
            id: format!("id-{number}"),
            name: "app".into(),
            proof: Proof::Community(Member {
                community: "c".into(),
                uri: format!("https://app.example/{number}"),
                chain: vec![vec![1], vec![2]],
            }),
            redirects: vec!["https://app.example/callback".into()],
            scopes: Scopes::read("system/Patient.rs").expect("scopes"),
            algorithm: WebAlgorithm::Rs256,
            introspects: false,
        }
    }

    /// Statements, each with a number of its own.
    struct Statements<'r> {
        records: &'r Records,
        made: u64,
    }

    impl Statements<'_> {
        fn number(&mut self) -> ([u8; 32], i64) {
            self.made += 1;
            (sha256(&self.made.to_be_bytes()), 100)
        }

        /// By a key of its own.
        fn register(&mut self, client: Client) -> Registered {
            let spki = sha256(client.id.as_bytes());
            self.register_by(client, spki)
        }

        fn register_by(&mut self, client: Client, spki: [u8; 32]) -> Registered {
            let number = self.number();
            self.records.register((client, spki), number, 1).expect("asked")
        }

        fn end(&mut self, client: Client) -> Registered {
            let number = self.number();
            self.records.unregister(client.proof, number).expect("asked")
        }
    }

    fn new(number: i64) -> Registered {
        Registered::New(format!("id-{number}"))
    }

    fn changed(number: i64) -> Registered {
        Registered::Changed(format!("id-{number}"))
    }

    /// As many registrations of the community, which have ended or have not.
    fn fill(records: &Records, count: i64, ended: Option<i64>) {
        let fill = "INSERT INTO client (id, name, proof, redirects, scopes, token_algorithm, introspects, made, ended, community, uri) \
                    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
                    SELECT ?2 || i, 'app', 3, '', '', 'RS256', 0, 0, ?3, 'c', ?2 || i FROM n";
        let name = if ended.is_some() { "ended" } else { "alive" };
        let filled = records.database().write("fill", move |sql| sql.execute(fill, values![count, name, ended]));
        assert_eq!(filled.expect("filled"), u64::try_from(count).expect("a count"));
    }

    /// Shows REQ-SMART-127: a community has so many registrations that are alive, who begins again is the same, and what has ended takes
    /// no place; what is registered is changed all the same, and another community has its own.
    #[tokio::test]
    async fn a_community_has_so_many_registrations() {
        for house in House::both() {
            let records = house.clinical.records();
            let mut statements = Statements { records, made: 0 };
            fill(records, ALIVE - 1, None);
            assert_eq!(statements.register(client(0)), new(0));
            assert_eq!(records.client("id-0").expect("read"), Some(client(0)));
            assert_eq!(statements.register(client(1)), Registered::Full(Full::Community));
            assert_eq!(statements.register(client(0)), changed(0));
            for number in [1, 0, 1] {
                let (own, other) = (client(1 - number), client(number));
                assert_eq!(statements.end(own.clone()), changed(1 - number));
                assert_eq!(statements.end(own.clone()), Registered::Unknown);
                assert_eq!(statements.register(other), new(number));
                assert_eq!(statements.register(own), Registered::Full(Full::Community));
            }
            let elsewhere = Proof::Community(Member { community: "d".into(), uri: "u".into(), chain: Vec::new() });
            assert_eq!(statements.register(Client { proof: elsewhere, ..client(2) }), new(2));
        }
    }

    /// Shows REQ-SMART-240: by one key so many registrations are alive, in whatever way they come to be by it.
    #[tokio::test]
    async fn one_key_has_so_many_registrations() {
        for house in House::both() {
            let mut statements = Statements { records: house.clinical.records(), made: 0 };
            let (key, other) = ([1; 32], [2; 32]);
            for number in 0..OF_KEY {
                assert_eq!(statements.register_by(client(number), key), new(number));
                assert_eq!(statements.register_by(client(number), key), changed(number), "it counts once");
            }
            let full = Registered::Full(Full::Key);
            assert_eq!(statements.register_by(client(8), key), full, "a new one");
            assert_eq!(statements.register_by(client(8), other), new(8));
            assert_eq!(statements.register_by(client(8), key), full, "one of another key");
            assert_eq!(statements.end(client(8)), changed(8));
            assert_eq!(statements.register_by(client(8), key), full, "one that has ended");
            assert_eq!(statements.register_by(client(0), other), changed(0));
            assert_eq!(statements.register_by(client(8), key), new(8), "one has another key now");
        }
    }

    /// Shows REQ-SMART-241: of what has ended little is kept, whatever is shown afterwards; who was removed does not come back, and where
    /// there are too many to be remembered, nobody comes who was not there.
    #[tokio::test]
    async fn what_has_ended_is_remembered_and_small() {
        for house in House::both() {
            let records = house.clinical.records();
            let mut statements = Statements { records, made: 0 };
            for number in 0..3 {
                assert_eq!(statements.register(client(number)), new(number));
            }
            assert_eq!(records.remove_client("id-0").expect("removed"), ["id-0"]);
            assert_eq!(statements.end(client(1)), changed(1));
            let late = Spent { number: [9; 32], until: 100, chain: Some(vec![vec![3]]) };
            assert!(records.spend_assertion("id-0", late).expect("asked"));
            let read = records.database().read("read", |sql| {
                let question =
                    "SELECT name, uri, redirects, scopes, chain FROM client WHERE ended IS NOT NULL ORDER BY id";
                all(sql, "client", question, &[], |row| {
                    let texts =
                        ["name", "uri", "redirects", "scopes"].map(|column| row.text(column).map(str::to_owned));
                    let [name, uri, redirects, scopes] = texts;
                    Ok(([name?, uri?, redirects?, scopes?], row.optional_text("chain")?.map(str::to_owned)))
                })
            });
            let kept = |number: i64| {
                let texts = ["app", &format!("https://app.example/{number}"), "", ""].map(str::to_owned);
                (texts, None)
            };
            assert_eq!(read.expect("read"), [kept(0), kept(1)]);
            assert_eq!(statements.register(client(0)), Registered::Removed);

            fill(records, ENDED - 2, Some(1));
            assert_eq!(statements.register(client(3)), Registered::Full(Full::Ended));
            assert_eq!(statements.register(client(2)), changed(2));
            assert_eq!(statements.register(client(1)), new(1), "it was there");
            assert_eq!(records.client("id-1").expect("read"), Some(client(1)));
            assert_eq!(statements.register(client(0)), Registered::Removed);
            assert_eq!(statements.register(client(3)), new(3), "one fewer has ended");
        }
    }
}
