//! What an administrator asks about software and people: JSON on the hub's admin socket.
//!
//! ```text
//! POST /v1/clinical   {"verb":"add-account","name":"anna","person":"Patient/…"}
//! 200                 {"answer":"account", …}
//! 4xx, 5xx            {"error":"there is no Patient/…"}
//! ```

use super::clients::{Account, Client, Proof};
use super::launch::{Context, Opened, Opening};
use super::naming::ORIGIN;
use super::redirect::is_redirect;
use super::scope::Scopes;
use super::secret::Secret;
use super::web_keys::WebKeyView;
use crate::Clinical;
use crate::access::Caller;
use crate::audit::{self, Head, UNAUDITED};
use crate::intake::{Listed, NotAssigned};
use crate::jose::KeySet;
use crate::kind::{Id, Kind};
use crate::store::ListedAccount;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use http::StatusCode;
use medlock_node::provider::{self, WebAlgorithm, sha256};
use medlock_trust::DeviceName;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

/// How long a setup code is good, in seconds.
const SETUP: i64 = 24 * 3_600;
/// Characters of a name, at most.
const LONGEST_NAME: usize = 100;
/// Addresses of one client, at most.
pub(super) const MOST_ADDRESSES: usize = 16;
/// Characters of why deliveries were nobody's, at most.
const WHY: usize = 500;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Asked {
    /// Register software. Answer: [`Told::Client`]; a secret is shown this once.
    AddClient {
        /// Its name, as people are shown it.
        name: String,
        /// How it proves that it is itself.
        sort: ClientSort,
        /// Where codes may be sent.
        #[serde(default)]
        redirects: Vec<String>,
        /// What it may ask.
        scopes: String,
        /// Its public keys (RFC 7517), for `keys`.
        #[serde(default)]
        keys: Option<String>,
        /// Where its public keys are, for `keys`.
        #[serde(default)]
        keys_url: Option<String>,
        /// How its ID tokens are signed: `RS256` if absent.
        #[serde(default)]
        id_token: Option<String>,
        /// Whether it may ask what the tokens of others are.
        #[serde(default)]
        introspects: bool,
    },
    /// All software. Answer: [`Told::Clients`].
    Clients,
    /// One. Answer: [`Told::Client`].
    Client {
        /// Its identifier.
        id: String,
    },
    /// Remove one, and end all that was granted to it. Answer: [`Told::Done`].
    RemoveClient {
        /// Its identifier, or the address as which it registered by itself.
        id: String,
    },
    /// Make an account for a person who has a resource here. Answer: [`Told::Account`] with a setup code.
    AddAccount {
        /// The name with which one signs in.
        name: String,
        /// The resource: `Patient/ID` or `Practitioner/ID`.
        person: String,
    },
    /// All accounts. Answer: [`Told::Accounts`].
    Accounts,
    /// A new setup code for an account; the one before is void. Answer: [`Told::Account`].
    Code {
        /// The account's name.
        name: String,
    },
    /// Verify the audit, also against a state that is known from before. Answer: [`Told::Audit`].
    VerifyAudit {
        /// How many entries it had then, and the hash of the last, in hexadecimal.
        #[serde(default)]
        known: Option<(u64, String)>,
    },
    /// Who read and wrote what of a patient, newest first, whatever consents hide from others. Answer: [`Told::Events`].
    ShowAudit {
        /// Whose: `Patient/ID`.
        patient: String,
        /// Those behind this page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// All Subscriptions. Answer: [`Told::Subscriptions`].
    Subscriptions,
    /// Remove all passkeys of an account, and end its sessions and what it has granted: they are lost. Answer: [`Told::Done`].
    RemovePasskeys {
        /// Its name.
        name: String,
    },
    /// End what an account has granted to apps. Answer: [`Told::Done`].
    EndApps {
        /// Its name.
        name: String,
        /// The app's identifier; all apps if absent.
        #[serde(default)]
        client: Option<String>,
    },
    /// Remove an account, and end all that it has granted. Answer: [`Told::Done`].
    RemoveAccount {
        /// Its name.
        name: String,
    },
    /// Open an app with a patient and a place. Answer: [`Told::Launch`].
    Launch {
        /// The app's identifier.
        client: String,
        /// Whose data is meant: `Patient/ID`.
        #[serde(default)]
        patient: Option<String>,
        /// The name of the account of who opens it; anybody's if absent.
        #[serde(default)]
        account: Option<String>,
        /// What else its token tells.
        #[serde(default)]
        context: Context,
    },
    /// Say which Device a device of the register is. Answer: [`Told::Done`].
    BindDevice {
        /// The device's name in the register.
        name: String,
        /// The resource: `Device/ID`.
        device: String,
    },
    /// Say who an account is at the OpenID provider. Answer: [`Told::Done`].
    LinkAccount {
        /// The account's name.
        name: String,
        /// What the provider's claim says of the person.
        subject: String,
    },
    /// Say that an account is nobody at the OpenID provider, and end the sessions that were begun there. Answer: [`Told::Done`].
    UnlinkAccount {
        /// The account's name.
        name: String,
    },
    /// Say that no Device is this device of the register, and end its tokens. Answer: [`Told::Done`].
    ReleaseDevice {
        /// The device's name in the register.
        name: String,
    },
    /// Deliveries for which no patient could be named. Answer: [`Told::Deliveries`].
    WaitingDeliveries {
        /// Those of this device of the register alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
        /// Those behind this number.
        #[serde(default)]
        after: i64,
    },
    /// Say that they were nobody's: all of them, or none. Answer: [`Told::Done`].
    DismissDeliveries {
        /// Their numbers.
        numbers: Vec<i64>,
        /// Why.
        why: String,
    },
    /// The keys with which hubs sign ID tokens and notices. Answer: [`Told::WebKeys`].
    WebKeys,
    /// Nobody is to believe this key any more: no hub shows it. Answer: [`Told::Done`].
    DropWebKey {
        /// Its name (`kid`).
        key: String,
    },
    /// Say whose they were: all of them, or none. Answer: [`Told::Done`].
    AssignDeliveries {
        /// Their numbers.
        numbers: Vec<i64>,
        /// Whose: `Patient/ID`.
        patient: String,
    },
}

/// How software proves that it is itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientSort {
    /// It cannot: it runs in a browser or on a phone.
    Public,
    /// With a secret that it is given.
    Secret,
    /// With keys of its own.
    Keys,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Told {
    /// It is done.
    Done {
        /// What.
        text: String,
    },
    /// One piece of software.
    Client {
        /// It.
        client: ClientView,
        /// Its secret, at its registration alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<String>,
    },
    /// Software.
    Clients {
        /// By name.
        clients: Vec<ClientView>,
    },
    /// Keys of hubs.
    WebKeys {
        /// By hub, then name.
        keys: Vec<WebKeyView>,
    },
    /// How an app is opened.
    Launch {
        /// What it asks with: good once, for five minutes.
        launch: String,
        /// The address of the records.
        iss: String,
    },
    /// One account.
    Account {
        /// It.
        account: AccountView,
        /// Its setup code.
        code: String,
    },
    /// The audit.
    Audit {
        /// How many entries it has.
        entries: u64,
        /// The hash of the last and of all before it, in hexadecimal.
        hash: String,
        /// What is wrong, if anything is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        broken: Option<String>,
    },
    /// What of the audit is about a patient.
    Events {
        /// AuditEvents, newest first.
        events: Vec<serde_json::Value>,
        /// Where the next page begins, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    },
    /// Subscriptions.
    Subscriptions {
        /// First those that are told, then the others; newest first, a thousand at most.
        subscriptions: Vec<SubscriptionView>,
        /// Whether there are more.
        #[serde(default)]
        more: bool,
    },
    /// Accounts.
    Accounts {
        /// By name.
        accounts: Vec<AccountView>,
    },
    /// Deliveries that wait.
    Deliveries {
        /// Oldest first; a thousand at most.
        deliveries: Vec<DeliveryView>,
        /// Whether there are more behind the last one.
        #[serde(default)]
        more: bool,
    },
}

/// Registered software, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientView {
    /// Its identifier.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How it proves that it is itself.
    pub authentication: String,
    /// Where codes may be sent.
    pub redirects: Vec<String>,
    /// What it may ask.
    pub scopes: String,
    /// Where its keys are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_url: Option<String>,
    /// The address that its certificate names, where it has registered by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_as: Option<String>,
    /// Whether it may ask what the tokens of others are.
    pub introspects: bool,
}

/// An account, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// The name with which one signs in.
    pub name: String,
    /// The person's resource.
    pub person: String,
    /// Who it is at the OpenID provider, if it is somebody there; in lists of accounts alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signs_in_as: Option<String>,
    /// How many passkeys it has; in lists of accounts alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passkeys: Option<u32>,
    /// Whether the person's resource was deleted: then nobody signs in with it; in lists of accounts alone.
    #[serde(default)]
    pub person_deleted: bool,
}

/// A Subscription, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionView {
    /// Its identifier.
    pub id: String,
    /// The name of the software that wrote it, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// The account with which a person wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Its status: `active`, `error` or `off`.
    pub status: String,
    /// What is told.
    pub criteria: String,
    /// Where; over a web socket nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What was wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A delivery for which no patient could be named, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryView {
    /// Its number.
    pub number: i64,
    /// The pump, by its name in the register.
    pub device: String,
    /// Within which it was delivered.
    pub when: String,
    /// How, and how much.
    pub what: String,
}

/// Why it is not done.
#[derive(Debug)]
pub(super) struct Refused(pub(super) StatusCode, pub(super) String);

impl Refused {
    pub(super) fn wrong(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }

    pub(super) fn absent(what: impl std::fmt::Display) -> Self {
        Self(StatusCode::NOT_FOUND, format!("there is no {what}"))
    }

    pub(super) fn unaudited() -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, UNAUDITED.to_owned())
    }
}

/// The identifier of a Patient that is named `Patient/ID`.
pub(super) fn patient_named(text: &str) -> Result<Id, String> {
    let id = text.strip_prefix("Patient/").and_then(Id::read);
    id.ok_or_else(|| format!("{text:?} is not Patient/ID"))
}

impl From<medlock_store::Error> for Refused {
    fn from(error: medlock_store::Error) -> Self {
        match error {
            medlock_store::Error::Taken { .. } => Self(StatusCode::CONFLICT, error.to_string()),
            _ => Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        }
    }
}

impl From<NotAssigned> for Refused {
    fn from(why: NotAssigned) -> Self {
        match why {
            NotAssigned::Absent(number) => Self::absent(format!("delivery {number} that waits")),
            NotAssigned::Damaged(number) => {
                Self(StatusCode::INTERNAL_SERVER_ERROR, format!("the delivery {number} cannot be read"))
            }
            NotAssigned::Refused(why) => Self(why.status, why.issues.first_text().to_owned()),
            NotAssigned::Changed => Self(StatusCode::CONFLICT, "somebody else changes it: try again".to_owned()),
            NotAssigned::Store(error) => error.into(),
        }
    }
}

/// `POST /v1/clinical`
pub(crate) async fn administer(State(clinical): State<Arc<Clinical>>, Json(asked): Json<Asked>) -> Response {
    let done = tokio::task::spawn_blocking(move || {
        let text = format!("{asked:?}");
        let done = clinical.administer(asked);
        tracing::info!(asked = text, done = done.is_ok(), "an administrator asked");
        done
    });
    match done.await {
        Ok(Ok(told)) => Json(told).into_response(),
        Ok(Err(Refused(status, text))) => (status, Json(json!({ "error": text }))).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": "it was not finished" }))).into_response(),
    }
}

impl Clinical {
    fn verify_audit(&self, known: Option<(u64, String)>) -> Result<Told, Refused> {
        let head = |(entries, hash): (u64, String)| -> Result<Head, Refused> {
            let hash = HEXLOWER_PERMISSIVE.decode(hash.as_bytes()).ok().and_then(|hash| hash.try_into().ok());
            let text = "the hash of a known state is 64 hexadecimal digits";
            Ok(Head { entries, hash: hash.ok_or_else(|| Refused::wrong(text))? })
        };
        let verified = audit::verify(self.records(), known.map(head).transpose()?)?;
        Ok(Told::Audit {
            entries: verified.head.entries,
            hash: HEXLOWER.encode(&verified.head.hash),
            broken: verified.broken.map(|broken| broken.to_string()),
        })
    }

    fn administer(&self, asked: Asked) -> Result<Told, Refused> {
        let now = self.clock().now().unix();
        let records = self.records();
        match asked {
            Asked::AddClient { .. } => self.add_client(asked, now),
            Asked::Clients => Ok(Told::Clients { clients: records.clients()?.iter().map(ClientView::of).collect() }),
            Asked::Client { id } => {
                let client = records.client(&id)?.ok_or_else(|| Refused::absent(format!("client {id:?}")))?;
                Ok(Told::Client { client: ClientView::of(&client), secret: None })
            }
            Asked::VerifyAudit { known } => self.verify_audit(known),
            Asked::ShowAudit { patient, after } => self.show_audit(&patient, after.as_deref()),
            Asked::Subscriptions => self.list_subscriptions(),
            Asked::RemoveClient { id } => {
                let removed = records.remove_client(&id)?;
                if removed.is_empty() {
                    return Err(Refused::absent(format!("client {id:?}")));
                }
                self.forget_ended(now);
                let text = format!("{} is removed, and all that was granted to it has ended", removed.join(", "));
                Ok(Told::Done { text })
            }
            Asked::AddAccount { name, person } => {
                if !is_name(&name) {
                    return Err(Refused::wrong("a name has 1 to 100 characters, none of which is invisible"));
                }
                let person = reference(&person).ok_or_else(|| {
                    Refused::wrong(format!(
                        "{person:?} is not Patient/ID or Practitioner/ID, with an ID that this hub gave"
                    ))
                })?;
                let subject = HEXLOWER.encode(&provider::random::<16>());
                let account = records.add_account((&name, &subject), person, now)?;
                let account = account.ok_or_else(|| Refused::absent(format!("{}/{}", person.0, person.1)))?;
                self.code(&account, now)
            }
            Asked::Accounts => {
                let (accounts, mut linked) = (records.accounts()?, records.linked()?);
                let mut view = |ListedAccount { account, passkeys, gone }: &ListedAccount| AccountView {
                    signs_in_as: linked.remove(&account.number),
                    passkeys: Some(*passkeys),
                    person_deleted: *gone,
                    ..AccountView::of(account)
                };
                Ok(Told::Accounts { accounts: accounts.iter().map(&mut view).collect() })
            }
            Asked::Code { name } => {
                let account =
                    records.account_named(&name)?.ok_or_else(|| Refused::absent(format!("account {name:?}")))?;
                self.code(&account, now)
            }
            Asked::RemovePasskeys { name } => {
                let account =
                    records.account_named(&name)?.ok_or_else(|| Refused::absent(format!("account {name:?}")))?;
                let (removed, linked) = records.remove_passkeys(account.number)?;
                self.forget_ended(now);
                let mut text = format!(
                    "{removed} passkeys of {name} are removed, and its sessions and all that it granted to apps have ended"
                );
                if linked {
                    text.push_str("; it is nobody at the provider any more: link it again when the person's sessions there have ended");
                }
                Ok(Told::Done { text })
            }
            Asked::EndApps { name, client } => {
                let account =
                    records.account_named(&name)?.ok_or_else(|| Refused::absent(format!("account {name:?}")))?;
                if let Some(id) = &client
                    && records.client(id)?.is_none()
                {
                    return Err(Refused::absent(format!("client {id:?}")));
                }
                let to = client.clone().unwrap_or_else(|| "all apps".to_owned());
                records.end_apps(account.number, client)?;
                self.forget_ended(now);
                Ok(Told::Done { text: format!("what {name} granted to {to} has ended") })
            }
            Asked::RemoveAccount { name } => {
                let account =
                    records.account_named(&name)?.ok_or_else(|| Refused::absent(format!("account {name:?}")))?;
                records.remove_account(account.number)?;
                self.forget_ended(now);
                Ok(Told::Done { text: format!("{name} is removed, and all that was granted by it has ended") })
            }
            Asked::LinkAccount { name, subject } => self.link_account(&name, &subject, now),
            Asked::UnlinkAccount { name } => self.unlink_account(&name),
            Asked::Launch { client, patient, account, context } => {
                let asked = (&Caller::administrator(), ORIGIN.to_owned());
                let Opened { launch, iss } =
                    self.open_app(Opening { client, patient, account, context }, asked, now)?;
                Ok(Told::Launch { launch, iss })
            }
            Asked::BindDevice { name, device } => self.bind_device(&name, &device, now),
            Asked::ReleaseDevice { name } => self.release_device(&name, now),
            Asked::WaitingDeliveries { device, after } => {
                let view = |Listed { number, device, when, what }| DeliveryView { number, device, when, what };
                let device = device.map(|name| {
                    DeviceName::new(&name).ok_or_else(|| Refused::wrong(format!("{name:?} is no name of a device")))
                });
                let (deliveries, more) = self.waiting(device.transpose()?, after)?;
                Ok(Told::Deliveries { deliveries: deliveries.into_iter().map(view).collect(), more })
            }
            Asked::WebKeys => self.list_web_keys(),
            Asked::DropWebKey { key } => self.drop_web_key(&key),
            Asked::DismissDeliveries { numbers, why } => {
                if why.trim().is_empty() || why.chars().count() > WHY {
                    return Err(Refused::wrong(format!("say why they were nobody's, in {WHY} characters at most")));
                }
                self.dismiss(&numbers, &why)?;
                Ok(Told::Done { text: format!("{} deliveries were nobody's, and wait no more", numbers.len()) })
            }
            Asked::AssignDeliveries { numbers, patient } => {
                self.assign(&numbers, patient_named(&patient).map_err(Refused::wrong)?)?;
                Ok(Told::Done { text: format!("{} deliveries are {patient}'s now", numbers.len()) })
            }
        }
    }

    fn add_client(&self, asked: Asked, now: i64) -> Result<Told, Refused> {
        let Asked::AddClient { name, sort, redirects, scopes, keys, keys_url, id_token, introspects } = asked else {
            return Err(Refused::wrong("this registers no client"));
        };
        if !is_name(&name) {
            return Err(Refused::wrong("a name has 1 to 100 characters, none of which is invisible"));
        }
        if let Some(wrong) = redirects.iter().find(|address| !is_redirect(address)) {
            let text =
                "is no https address without a fragment, nor http of this machine (http://127.0.0.1, http://localhost)";
            return Err(Refused::wrong(format!("{wrong:?} {text}")));
        }
        if redirects.len() > MOST_ADDRESSES {
            return Err(Refused::wrong(format!("a client has at most {MOST_ADDRESSES} addresses")));
        }
        let scopes = Scopes::read(&scopes).map_err(|error| Refused::wrong(error.to_string()))?;
        // What it never could get, it is not registered for.
        if redirects.is_empty() && !introspects && !scopes.of_people().is_nothing() {
            let text = "what a person agrees to is sent to an address of the client: give one (--redirect), or ask for system/… alone";
            return Err(Refused::wrong(text));
        }
        if sort != ClientSort::Keys && !scopes.of_software().is_nothing() {
            let text = "a client gets system/… and medlock/launch by keys of its own alone: register it with them (--sort keys)";
            return Err(Refused::wrong(text));
        }
        let algorithm = id_token.as_deref().unwrap_or("RS256");
        let algorithm = WebAlgorithm::named(algorithm)
            .ok_or_else(|| Refused::wrong(format!("{algorithm:?} is neither RS256 nor ES256")))?;
        let secret = Secret::new();
        let proof = match (sort, keys, keys_url) {
            (ClientSort::Public, None, None) => Proof::None,
            (ClientSort::Secret, None, None) => Proof::Secret(secret.hash),
            (ClientSort::Keys, Some(inline), None) => {
                let set = KeySet::from_json(inline.as_bytes()).map_err(|error| Refused::wrong(error.to_string()))?;
                if set.is_empty() {
                    return Err(Refused::wrong("the set has no key that is used here"));
                }
                Proof::Keys { inline: Some(inline), url: None }
            }
            (ClientSort::Keys, None, Some(url)) => {
                let allowed = self.key_sets().outbound().allows(&url);
                allowed.map_err(|error| Refused::wrong(format!("{url:?}: {error}")))?;
                Proof::Keys { inline: None, url: Some(url) }
            }
            (ClientSort::Keys, ..) => {
                return Err(Refused::wrong("a client with keys has either its set of keys or their address"));
            }
            _ => return Err(Refused::wrong("only a client of the sort keys has keys")),
        };
        let id = HEXLOWER.encode(&provider::random::<16>());
        let client = Client { id, name, proof, redirects, scopes, algorithm, introspects };
        self.records().add_client(client.clone(), now)?;
        let secret = matches!(client.proof, Proof::Secret(_)).then_some(secret.text);
        Ok(Told::Client { client: ClientView::of(&client), secret })
    }

    /// Twelve characters: 60 bits.
    fn code(&self, account: &Account, now: i64) -> Result<Told, Refused> {
        if self.records().account(account.number)?.is_none() {
            let Account { name, kind, id, .. } = account;
            let text = format!("{kind}/{id}, who {name} is, was deleted: nobody signs in with this account; remove it");
            return Err(Refused(StatusCode::CONFLICT, text));
        }
        let mut code = BASE32_NOPAD.encode(&provider::random::<8>());
        code.truncate(12);
        let until = now.saturating_add(SETUP);
        self.records().keep_setup_code(account.number, sha256(code.as_bytes()), until)?;
        let groups: Vec<&str> = [0..4, 4..8, 8..12].into_iter().filter_map(|range| code.get(range)).collect();
        Ok(Told::Account { account: AccountView::of(account), code: groups.join("-") })
    }
}

impl ClientView {
    fn of(client: &Client) -> Self {
        let keys_url = match &client.proof {
            Proof::Keys { url, .. } => url.clone(),
            Proof::None | Proof::Secret(_) | Proof::Community(_) => None,
        };
        let registered_as = match &client.proof {
            Proof::Community(member) => Some(member.uri.clone()),
            Proof::None | Proof::Secret(_) | Proof::Keys { .. } => None,
        };
        Self {
            id: client.id.clone(),
            name: client.name.clone(),
            authentication: client.proof.name().to_owned(),
            redirects: client.redirects.clone(),
            scopes: client.scopes.to_string(),
            keys_url,
            registered_as,
            introspects: client.introspects,
        }
    }
}

impl AccountView {
    fn of(account: &Account) -> Self {
        let (name, person) = (account.name.clone(), format!("{}/{}", account.kind, account.id));
        Self { name, person, signs_in_as: None, passkeys: None, person_deleted: false }
    }
}

pub(super) fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.chars().count()) && name.trim() == name && !name.chars().any(char::is_control)
}

fn reference(text: &str) -> Option<(Kind, Id)> {
    let (kind, id) = text.split_once('/')?;
    let kind = Kind::named(kind).filter(|kind| matches!(*kind, Kind::PATIENT | Kind::PRACTITIONER))?;
    Some((kind, Id::read(id)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_have_a_name_and_a_resource() {
        assert!(reference("Patient/x").is_none() && reference("Device/00000000000000000000000000").is_none());
        assert!(is_name("Anna Muster") && !is_name("") && !is_name(" a") && !is_name("a\nb"));
    }
}
