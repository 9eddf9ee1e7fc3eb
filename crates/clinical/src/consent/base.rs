//! The base policy.

use serde::{Deserialize, Serialize};

/// Who sees a patient's data, within the scopes of the token, where no Consent says anything (`[clinical] base`).
///
/// R4 has no type at the root of a Consent's provisions: they are exceptions to a policy that stands somewhere else. It
/// stands here. Devices are not named: what they do is therapy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// The patient's own apps: software by which the patient has signed in.
    OwnApps,
    /// The site's own staff, for treatment: people with an account who are no patients.
    Staff,
    /// Software that the site has registered to work in its own name.
    Software,
}

impl Base {
    /// All of them: nobody else gets a token.
    pub const ALL: [Self; 3] = [Self::OwnApps, Self::Staff, Self::Software];
}
