//! Who may ask for tokens, and by what.

use super::token::{Given, Grants, NewLeave, NewRefresh, NewToken, end, lives, stands};
use super::{Launch, Records, Statement, launch};
use crate::access::{Holder, Sight};
use crate::audit::{self, Note};
use crate::auth::{Client, Member, Proof, Scopes};
use crate::kind::{Id, Kind, Millis, Row};
use data_encoding::BASE64;
use medlock_node::provider::WebAlgorithm;
use medlock_store::{Error, Fault, Row as Found, Sql, all, first, values};
use std::time::Duration;

/// Whose the numbers of proofs are: no client is called so, and each number has its key in it.
const PROOF: &str = "dpop";
/// The same of tickets for web sockets.
const TICKET: &str = "websocket";

/// A code that is to be kept.
#[derive(Clone, Debug)]
pub(crate) struct NewCode {
    /// SHA-256 of it.
    pub(crate) hash: [u8; 32],
    /// The session in which it is asked for.
    pub(crate) session: [u8; 32],
    /// Where it was sent.
    pub(crate) redirect: String,
    /// What its owner will prove (RFC 7636).
    pub(crate) challenge: [u8; 32],
    /// The thumbprint of the key that its tokens have to be bound to (RFC 9449 section 10).
    pub(crate) key: Option<[u8; 32]>,
    /// With which launch it was asked for.
    pub(crate) launch: Option<Launch>,
    /// For the ID token.
    pub(crate) nonce: Option<String>,
    /// When the person signed in, and until when the code is good, in seconds since 1970.
    pub(crate) signed_in: i64,
    pub(crate) until: i64,
}

/// An assertion that is believed, and spent in the verb for which it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spent {
    /// Its number, hashed.
    pub(crate) number: [u8; 32],
    /// Until when the number counts as come, in seconds since 1970.
    pub(crate) until: i64,
    /// Of software of a community: the chain that it showed, if it is another one than before.
    pub(crate) chain: Option<Vec<Vec<u8>>>,
}

impl Spent {
    /// Whether it did not come before; then the chain that was shown with it is kept: one that comes again brings no former chain back.
    fn counts(&self, sql: &mut dyn Sql, client: &str) -> Result<bool, Fault> {
        let is_new = is_new(sql, client, self.number, self.until)?;
        if let Some(chain) = self.chain.as_ref().filter(|_| is_new) {
            let update = "UPDATE client SET chain = ?1 WHERE id = ?2 AND ended IS NULL";
            sql.execute(update, values![text_of(chain), client])?;
        }
        Ok(is_new)
    }
}

/// A code that is kept, with what it stands for.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) leave: i64,
    pub(crate) client: String,
    pub(crate) account: i64,
    pub(crate) patient: Option<Row>,
    pub(crate) scopes: Scopes,
    pub(crate) redirect: String,
    pub(crate) challenge: [u8; 32],
    pub(crate) key: Option<[u8; 32]>,
    pub(crate) context: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) signed_in: i64,
    pub(crate) until: i64,
    pub(crate) used: bool,
    pub(crate) ended: bool,
}

const CLIENT: &str =
    "id, name, proof, secret, keys, keys_url, redirects, scopes, token_algorithm, introspects, community, uri, chain";

fn client_of(row: &Found) -> Result<Client, Fault> {
    let optional = |column| row.optional_text(column).map(|text| text.map(str::to_owned));
    let proof = match row.number::<i64>("proof")? {
        0 => Proof::None,
        1 => Proof::Secret(row.bytes("secret")?),
        2 => Proof::Keys { inline: optional("keys")?, url: optional("keys_url")? },
        3 => Proof::Community(member_of(row)?.ok_or_else(|| row.damaged("community"))?),
        _ => return Err(row.damaged("proof")),
    };
    Ok(Client {
        id: row.text("id")?.to_owned(),
        name: row.text("name")?.to_owned(),
        proof,
        redirects: row.text("redirects")?.split('\n').filter(|one| !one.is_empty()).map(str::to_owned).collect(),
        scopes: Scopes::of_kept(row.text("scopes")?),
        algorithm: WebAlgorithm::named(row.text("token_algorithm")?).ok_or_else(|| row.damaged("token_algorithm"))?,
        introspects: row.flag("introspects")?,
    })
}

/// The community's software of which a row is, if it is one's.
pub(super) fn member_of(row: &Found) -> Result<Option<Member>, Fault> {
    let (Some(community), Some(uri)) = (row.optional_text("community")?, row.optional_text("uri")?) else {
        return Ok(None);
    };
    Ok(Some(Member { community: community.to_owned(), uri: uri.to_owned(), chain: chain_of(row)? }))
}

/// The chain of a row, whose own certificate is first; empty if none is kept.
pub(super) fn chain_of(row: &Found) -> Result<Vec<Vec<u8>>, Fault> {
    let chain = row.optional_text("chain")?.unwrap_or_default().lines().map(|line| BASE64.decode(line.as_bytes()));
    chain.collect::<Result<_, _>>().map_err(|_| row.damaged("chain"))
}

/// A chain as it is kept.
pub(super) fn text_of<C: AsRef<[u8]>>(chain: &[C]) -> String {
    chain.iter().map(|certificate| BASE64.encode(certificate.as_ref())).collect::<Vec<_>>().join("\n")
}

impl Records {
    /// Registers a client.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn add_client(&self, client: Client, now: i64) -> Result<(), Error> {
        self.database().write("register a client", move |sql| insert(sql, &client, now))
    }

    /// The client with this identifier, if it has not been removed.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn client(&self, id: &str) -> Result<Option<Client>, Error> {
        let question = format!("SELECT {CLIENT} FROM client WHERE id = ?1 AND ended IS NULL");
        self.database().read("look for a client", |sql| first(sql, "client", &question, values![id], client_of))
    }

    /// All clients that have not been removed.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn clients(&self) -> Result<Vec<Client>, Error> {
        let question = format!("SELECT {CLIENT} FROM client WHERE ended IS NULL ORDER BY name, id LIMIT 1000");
        self.database().read("list clients", |sql| all(sql, "client", &question, &[], client_of))
    }

    /// Removes a client by its identifier, or those that registered by themselves as this address, also where they have ended: they do
    /// not come back. All that was granted to them ends, and their exports. Answers which; none: there are none.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn remove_client(&self, named: &str) -> Result<Vec<String>, Error> {
        let (named, clock) = (named.to_owned(), self.clock.clone());
        self.database().write_first("remove a client", move |sql| {
            let now = clock.now().unix();
            let removed = "UPDATE client SET ended = ?1, returns = 0 WHERE (id = ?2 OR uri = ?2) AND (ended IS NULL OR returns = 1) \
                           RETURNING id";
            let ids = all(sql, "client", removed, values![now, named.as_str()], |row| Ok(row.text("id")?.to_owned()))?;
            for id in &ids {
                end_client(sql, id, now)?;
            }
            Ok(ids)
        })
    }

    /// Grants something by a code, and notes it; [`Given::Before`]: something was granted with its launch.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn keep_code(&self, leave: NewLeave, code: NewCode, note: Note) -> Result<Given, Error> {
        let clock = self.clock.clone();
        self.database().write("keep a code", move |sql| {
            let at = Millis(clock.unix_millis());
            let session = "SELECT s.account FROM login s WHERE s.hash = ?1 AND s.until > ?2";
            let account =
                first(sql, "login", session, values![code.session, at.0 / 1_000], |row| row.number("account"))?;
            let is_theirs = matches!(leave.holder, Holder::Person { account: own, .. } if account == Some(own));
            if !is_theirs || !stands(sql, &leave.holder)? {
                return Ok(Given::Ended);
            }
            if let Some(launch) = &code.launch
                && !launch::spend(sql, launch.hash, leave.made)?
            {
                return Ok(Given::Before);
            }
            let leave = leave.keep(sql, at.0 / 1_000)?;
            if let Some(launch) = &code.launch {
                let update = "UPDATE leave SET context = ?1 WHERE id = ?2";
                sql.execute(update, values![launch.context.as_str(), leave])?;
            }
            let insert = "INSERT INTO code (hash, leave, redirect, challenge, bound, nonce, signed_in, until) \
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            let (redirect, nonce) = (code.redirect.as_str(), code.nonce.as_deref());
            let own = values![code.hash, leave, redirect, code.challenge, code.key, nonce, code.signed_in, code.until];
            sql.execute(insert, own)?;
            audit::append(sql, at, &[note.clone().granting(leave)])?;
            Ok(Given::Kept)
        })
    }

    /// The code with this hash.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn code(&self, hash: [u8; 32]) -> Result<Option<Code>, Error> {
        let question = "SELECT c.leave, l.client, l.account, l.patient, l.scopes, c.redirect, c.challenge, c.bound, l.context, c.nonce, \
                        c.signed_in, c.until, c.used, l.ended FROM code c JOIN leave l ON l.id = c.leave WHERE c.hash = ?1";
        self.database().read("look for a code", |sql| {
            first(sql, "code", question, values![hash], |row| {
                Ok(Code {
                    leave: row.number("leave")?,
                    client: row.text("client")?.to_owned(),
                    account: row.number("account")?,
                    patient: row.optional_number("patient")?.map(Row),
                    scopes: Scopes::of_kept(row.text("scopes")?),
                    redirect: row.text("redirect")?.to_owned(),
                    challenge: row.bytes("challenge")?,
                    key: row.optional_bytes("bound")?,
                    context: row.optional_text("context")?.map(str::to_owned),
                    nonce: row.optional_text("nonce")?.map(str::to_owned),
                    signed_in: row.number("signed_in")?,
                    until: row.number("until")?,
                    used: row.optional_number::<i64>("used")?.is_some(),
                    ended: row.optional_number::<i64>("ended")?.is_some(),
                })
            })
        })
    }

    /// Gives tokens for a code, which serves no more; with none, it is only spent. If it was used before, all that was granted by it ends.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn redeem(
        &self,
        code: [u8; 32],
        tokens: Option<(NewToken, Option<NewRefresh>)>,
    ) -> Result<Given, Error> {
        let clock = self.clock.clone();
        self.database().write("redeem a code", move |sql| {
            let now = clock.now().unix();
            let question = "SELECT leave FROM code WHERE hash = ?1";
            let leave: Option<i64> = first(sql, "code", question, values![code], |row| row.number("leave"))?;
            let leave = leave.ok_or(Fault::Missing("code"))?;
            if sql.execute("UPDATE code SET used = ?1 WHERE hash = ?2 AND used IS NULL", values![now, code])? == 0 {
                end(sql, Grants::One(leave), now)?;
                return Ok(Given::Before);
            }
            if !lives(sql, leave)? {
                return Ok(Given::Ended);
            }
            if let Some((token, refresh)) = &tokens {
                token.keep(leave, sql)?;
                if let Some(refresh) = refresh {
                    refresh.keep(leave, token.binding, sql)?;
                }
            }
            Ok(Given::Kept)
        })
    }

    /// Gives software a token in its own name for an assertion, which counts once.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn keep_token_once(
        &self,
        (leave, token): (NewLeave, NewToken),
        assertion: Spent,
    ) -> Result<Given, Error> {
        let clock = self.clock.clone();
        self.database().write("keep a token", move |sql| {
            let Holder::Software { client } = &leave.holder else { return Err(Fault::Missing("client")) };
            if !stands(sql, &leave.holder)? {
                return Ok(Given::Ended);
            }
            if !assertion.counts(sql, client)? {
                return Ok(Given::Before);
            }
            let leave = leave.keep(sql, clock.now().unix())?;
            token.keep(leave, sql)?;
            Ok(Given::Kept)
        })
    }

    /// Whether a client's assertion did not come before; now it did.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn spend_assertion(&self, client: &str, assertion: Spent) -> Result<bool, Error> {
        let client = client.to_owned();
        self.database().write("spend an assertion", move |sql| assertion.counts(sql, &client))
    }

    /// Whether a proof of possession with this number did not come before; it counts as come until `until`.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn spend_proof(&self, number: [u8; 32], until: i64) -> Result<bool, Error> {
        self.database().write("spend a proof", move |sql| is_new(sql, PROOF, number, until))
    }

    /// Forgets sessions, codes, setup codes, launches, assertions and proofs that were late at `before`.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn forget_late(&self, before: i64) -> Result<(), Error> {
        self.database().write("forget what is late", move |sql| {
            for table in ["login", "code", "jti", "setup_code", "launch", "export"] {
                sql.execute(&format!("DELETE FROM {table} WHERE until < ?1"), values![before])?;
            }
            Ok(())
        })
    }

    /// Whether a ticket with this SHA-256, good until then, was not spent before; now it is.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn spend_ticket(&self, ticket: [u8; 32], until: i64) -> Result<bool, Error> {
        self.database().write("spend a ticket", move |sql| is_new(sql, TICKET, ticket, until))
    }

    /// The row of a patient or practitioner, for the authorization server.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn row_of(&self, kind: Kind, id: &Id) -> Result<Option<Row>, Error> {
        let mut statement = Statement::seen("r.rid", &Sight::of_register(), kind);
        statement.text(" AND r.id = ").value(id.as_str());
        self.database().read("look for a person", |sql| {
            first(sql, "resource", statement.sql(), statement.values(), |row| Ok(Row(row.number("rid")?)))
        })
    }

    /// The identifier of the patient with this row, for the authorization server.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn id_of(&self, row: Row) -> Result<Option<Id>, Error> {
        self.id_at(Kind::PATIENT, row)
    }

    /// The identifier of the Device with this row, for the administrator.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn device_at(&self, row: Row) -> Result<Option<Id>, Error> {
        self.id_at(Kind::DEVICE, row)
    }

    fn id_at(&self, kind: Kind, row: Row) -> Result<Option<Id>, Error> {
        let mut statement = Statement::seen_by_row("r.id", &Sight::of_register(), kind);
        statement.text(" AND r.rid = ").value(row.0);
        self.database().read("look for a person", |sql| {
            first(sql, "resource", statement.sql(), statement.values(), |row| {
                Id::read(row.text("id")?).ok_or_else(|| row.damaged("id"))
            })
        })
    }

    /// The patient with this row, if they are in sight.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn patient_at(&self, sight: &Sight, row: Row) -> Result<Option<super::Stored>, Error> {
        let mut statement = Statement::seen_by_row(super::read::COLUMNS, sight, Kind::PATIENT);
        statement.text(" AND r.rid = ").value(row.0);
        self.database().read("look for a patient", |sql| {
            first(sql, "resource", statement.sql(), statement.values(), super::Stored::of)
        })
    }

    /// Patients in sight, among whom a person chooses, newest first.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Late`].
    pub(crate) fn some_patients(&self, sight: &Sight, most: u16, limit: Duration) -> Result<Vec<super::Stored>, Error> {
        let mut statement = Statement::seen(super::read::COLUMNS, sight, Kind::PATIENT);
        statement.text(" ORDER BY r.updated DESC, r.rid DESC LIMIT ").value(most);
        self.database().read_within("list patients", limit, |sql| {
            all(sql, "resource", statement.sql(), statement.values(), super::Stored::of)
        })
    }
}

/// Writes a client.
pub(super) fn insert(sql: &mut dyn Sql, client: &Client, now: i64) -> Result<(), Fault> {
    let (proof, secret, keys, url) = match &client.proof {
        Proof::None => (0_i64, None, None, None),
        Proof::Secret(hash) => (1, Some(*hash), None, None),
        Proof::Keys { inline, url } => (2, None, inline.as_deref(), url.as_deref()),
        Proof::Community(_) => (3, None, None, None),
    };
    let member = match &client.proof {
        Proof::Community(member) => Some(member),
        Proof::None | Proof::Secret(_) | Proof::Keys { .. } => None,
    };
    let (community, uri) = (member.map(|member| member.community.as_str()), member.map(|member| member.uri.as_str()));
    let chain = member.map(|member| text_of(&member.chain));
    let insert = format!(
        "INSERT INTO client ({CLIENT}, made) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    );
    let (redirects, scopes) = (client.redirects.join("\n"), client.scopes.to_string());
    let (id, name) = (client.id.as_str(), client.name.as_str());
    let last = (client.algorithm.name(), client.introspects);
    let own =
        values![id, name, proof, secret, keys, url, redirects, scopes, last.0, last.1, community, uri, chain, now];
    sql.execute(&insert, own)?;
    Ok(())
}

/// Ends what there is of a client that is registered no more. Of a community's software, of which there may be very much, its name is
/// kept, and its address, by which it is known again.
pub(super) fn end_client(sql: &mut dyn Sql, id: &str, now: i64) -> Result<(), Fault> {
    end(sql, Grants::Client(id), now)?;
    sql.execute("DELETE FROM export WHERE client = ?1", values![id])?;
    let empty = "UPDATE client SET redirects = '', scopes = '', chain = NULL WHERE id = ?1 AND community IS NOT NULL";
    sql.execute(empty, values![id]).map(drop)
}

pub(super) fn is_new(sql: &mut dyn Sql, client: &str, number: [u8; 32], until: i64) -> Result<bool, Fault> {
    let insert = "INSERT INTO jti (client, hash, until) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    Ok(sql.execute(insert, values![client, number, until])? > 0)
}
