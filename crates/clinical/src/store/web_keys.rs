//! The public halves of the keys with which the hubs of a store sign for browsers and receivers: each hub shows those of all.

use super::Records;
use medlock_node::provider::WebAlgorithm;
use medlock_store::{Error, all, values};
use medlock_trust::{CredentialId, DeviceName};

/// A public key (`SubjectPublicKeyInfo`, DER), and what it signs with.
pub(crate) type PublicKey = (Vec<u8>, WebAlgorithm);

/// A key that some hub has said that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotedKey {
    pub(crate) key: PublicKey,
    /// Which hub has it, with its credential of then, if it had one.
    pub(crate) hub: Option<(DeviceName, CredentialId)>,
    /// When it had it last, in seconds since 1970.
    pub(crate) seen: i64,
    /// Whether an administrator has said that nobody is to believe it.
    pub(crate) dropped: bool,
}

impl Records {
    /// A hub has these keys at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn keep_web_keys(
        &self,
        keys: Vec<PublicKey>,
        hub: Option<(DeviceName, CredentialId)>,
        now: i64,
    ) -> Result<(), Error> {
        self.database().write("note which keys a hub has", move |sql| {
            // One that was dropped stays so.
            const UPSERT: &str = "INSERT INTO web_key (spki, algorithm, seen, hub, credential) VALUES (?1, ?2, ?3, ?4, ?5) \
                                  ON CONFLICT (spki) DO UPDATE SET seen = ?3, hub = ?4, credential = ?5";
            let (name, credential) = (hub.map(|hub| hub.0.to_string()), hub.map(|hub| *hub.1.as_bytes()));
            let mut all = keys.iter();
            all.try_for_each(|(spki, algorithm)| {
                let own = values![spki.as_slice(), algorithm.name(), now, name.as_deref(), credential];
                sql.execute(UPSERT, own).map(drop)
            })
        })
    }

    /// The keys that some hub has had since then, and those that were dropped. One for nothing that signs here is passed over.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn web_keys(&self, since: i64) -> Result<Vec<NotedKey>, Error> {
        const QUESTION: &str = "SELECT spki, algorithm, seen, hub, credential, dropped FROM web_key \
                                WHERE seen >= ?1 OR dropped = 1 ORDER BY spki";
        let noted = self.database().read("ask which keys the hubs have", |sql| {
            all(sql, "web_key", QUESTION, values![since], |row| {
                let Some(algorithm) = WebAlgorithm::named(row.text("algorithm")?) else {
                    tracing::warn!("a key of a hub is for nothing that signs here, and is not shown");
                    return Ok(None);
                };
                let name = row.optional_text("hub")?.and_then(DeviceName::new);
                let credential = row.optional_bytes("credential")?.map(CredentialId::from_bytes);
                Ok(Some(NotedKey {
                    key: (row.blob("spki")?.to_vec(), algorithm),
                    hub: name.zip(credential),
                    seen: row.number("seen")?,
                    dropped: row.flag("dropped")?,
                }))
            })
        })?;
        Ok(noted.into_iter().flatten().collect())
    }

    /// Nobody shows this key any more, whoever has it.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn drop_web_key(&self, spki: &[u8]) -> Result<(), Error> {
        let spki = spki.to_vec();
        self.database().write_single("drop a key of a hub", move |sql| {
            sql.execute("UPDATE web_key SET dropped = 1 WHERE spki = ?1", values![spki.as_slice()]).map(drop)
        })
    }
}
