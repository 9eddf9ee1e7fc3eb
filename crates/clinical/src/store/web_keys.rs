//! The public halves of the keys with which the hubs of a store sign for browsers and receivers: each hub shows those of all.

use super::Records;
use medlock_node::provider::WebAlgorithm;
use medlock_store::{Error, all, values};

/// A public key (`SubjectPublicKeyInfo`, DER), and what it signs with.
pub(crate) type PublicKey = (Vec<u8>, WebAlgorithm);

impl Records {
    /// A hub has these keys at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn keep_web_keys(&self, keys: Vec<PublicKey>, now: i64) -> Result<(), Error> {
        self.database().write("note which keys a hub has", move |sql| {
            const UPSERT: &str = "INSERT INTO web_key (spki, algorithm, seen) VALUES (?1, ?2, ?3) \
                                  ON CONFLICT (spki) DO UPDATE SET seen = ?3";
            let mut all = keys.iter();
            all.try_for_each(|(spki, algorithm)| {
                sql.execute(UPSERT, values![spki.as_slice(), algorithm.name(), now]).map(drop)
            })
        })
    }

    /// The keys that some hub has had since then.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn web_keys(&self, since: i64) -> Result<Vec<PublicKey>, Error> {
        const QUESTION: &str = "SELECT spki, algorithm FROM web_key WHERE seen >= ?1 ORDER BY spki";
        self.database().read("ask which keys the hubs have", |sql| {
            all(sql, "web_key", QUESTION, values![since], |row| {
                let algorithm = row.text("algorithm")?;
                let algorithm = WebAlgorithm::named(algorithm).ok_or_else(|| row.damaged("algorithm"))?;
                Ok((row.blob("spki")?.to_vec(), algorithm))
            })
        })
    }
}
