//! `medlock clinical …`: which software may ask for tokens, who signs in, how apps are opened, which Device a device is, and
//! whose a delivery was.

use super::HubArgs;
use crate::admin::ask_clinical;
use crate::output::{self, Table, say};
use crate::{Failure, Outcome};
use clap::{Subcommand, ValueEnum};
use medlock_clinical::auth::{
    AccountView, Asked, ClientSort, ClientView, Context, DeliveryView, OpenResource, SubscriptionView, Told, WebKeyView,
};
use std::path::PathBuf;

/// `medlock clinical …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ClinicalCommand {
    /// Register, list, show and remove software that asks for tokens.
    #[command(subcommand)]
    Client(ClientCommand),
    /// Verify the audit of who read and wrote what, and show what of it is about a patient.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// List who is told of what by Subscriptions.
    #[command(subcommand)]
    Subscription(SubscriptionCommand),
    /// Make, list and remove accounts of people who sign in, and give them setup codes.
    #[command(subcommand)]
    User(UserCommand),
    /// Open an app with a patient and a place, as other software of the hospital does; prints what the app asks with, once,
    /// within five minutes.
    Launch {
        /// The app's identifier.
        client: String,
        /// Whose data is meant: `Patient/ID`.
        #[arg(long, value_name = "RESOURCE")]
        patient: Option<String>,
        /// The name of the account of who opens it; anybody's if absent.
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// What is open beside it: `ImagingStudy/ID`. Can be given several times.
        #[arg(long = "open", value_name = "RESOURCE")]
        open: Vec<String>,
        /// Whose data it is stands beside the app already.
        #[arg(long)]
        no_banner: bool,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Say which Device resource a device of the register is, and take it back.
    #[command(subcommand)]
    Device(DeviceCommand),
    /// List what pumps delivered and no patient could be named for, and say whose it was.
    #[command(subcommand)]
    Delivery(DeliveryCommand),
    /// List the keys with which hubs sign ID tokens and notices, and drop one that is in wrong hands.
    #[command(subcommand)]
    Key(KeyCommand),
}

/// `medlock clinical client …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Register software. A secret is shown this once.
    Add {
        /// Its name, as people are shown it.
        name: String,
        /// How it proves that it is itself: not at all (it runs in a browser or on a phone), by a secret, by keys.
        #[arg(long, value_enum, default_value_t = Sort::Public)]
        sort: Sort,
        /// Where codes may be sent: https, or http on the same machine. Can be given several times.
        #[arg(long = "redirect", value_name = "URL")]
        redirects: Vec<String>,
        /// What it may ask.
        #[arg(
            long,
            value_name = "SCOPES",
            default_value = "openid fhirUser launch/patient offline_access patient/*.rs"
        )]
        scope: String,
        /// The file with its public keys (a JSON Web Key Set), for --sort keys.
        #[arg(long, value_name = "FILE")]
        keys: Option<PathBuf>,
        /// Where its public keys are found, for --sort keys: an https address at one of the hosts of [clinical.outbound].
        #[arg(long, value_name = "URL", conflicts_with = "keys")]
        keys_url: Option<String>,
        /// How its ID tokens are signed.
        #[arg(long, value_name = "RS256|ES256")]
        id_token: Option<String>,
        /// It is a resource server: it may ask what any token is.
        #[arg(long)]
        introspects: bool,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// List all.
    List {
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Show one.
    Show {
        /// Its identifier.
        client: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Remove one: all that was granted to it ends at once, and what registered by itself does not come back.
    Remove {
        /// Its identifier, or the address as which it registered by itself.
        client: String,
        #[command(flatten)]
        hub: HubArgs,
    },
}

/// `medlock clinical audit …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Walk through the whole audit: each entry has to follow from those before it. Exit code 1 if one does not.
    Verify {
        /// A state that this command told before, as ENTRIES:HASH. Keep it somewhere else: without one nobody sees that the
        /// newest entries were removed.
        #[arg(long, value_name = "ENTRIES:HASH")]
        known: Option<String>,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Show who read and wrote what of a patient, newest first, whatever the patient's consents hide from others: AuditEvents, one a
    /// line. That it was shown is one more.
    Show {
        /// Whose: `Patient/ID`.
        #[arg(value_name = "RESOURCE")]
        patient: String,
        /// Those behind the page that ended so.
        #[arg(long, value_name = "PAGE", allow_hyphen_values = true)]
        after: Option<String>,
        #[command(flatten)]
        hub: HubArgs,
    },
}

/// `medlock clinical subscription …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SubscriptionCommand {
    /// List all that are not deleted: who wrote them, what they tell of and where, and what was wrong last.
    List {
        #[command(flatten)]
        hub: HubArgs,
    },
}

/// `medlock clinical user …`.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account for a person who has a resource here; prints a code to sign in with, once, for a day.
    Add {
        /// The name with which one signs in.
        name: String,
        /// The person's resource: `Patient/ID` or `Practitioner/ID`.
        #[arg(long, value_name = "RESOURCE")]
        person: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// List all.
    List {
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Give an account another code; the one before is void.
    Code {
        /// The account's name.
        name: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Remove all passkeys of an account, unlink it from the OpenID provider, and end its sessions and what it granted to apps, as when a
    /// phone is lost.
    LostPasskeys {
        /// The account's name.
        name: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// End what an account granted to apps: they ask its person again. The account stays.
    EndApps {
        /// The account's name.
        name: String,
        /// This app alone, by its identifier.
        #[arg(long, value_name = "CLIENT")]
        client: Option<String>,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Say who an account is at the OpenID provider of [clinical.sign_in]; who it was there before, is it no more.
    Link {
        /// The account's name.
        name: String,
        /// Who it is there, as the provider says it (`sub`): the page that refuses somebody shows it.
        #[arg(long)]
        subject: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Say that an account is nobody at the OpenID provider; what was begun by it there, ends at once.
    Unlink {
        /// The account's name.
        name: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Remove an account: all that was granted by it ends at once.
    Remove {
        /// The account's name.
        name: String,
        #[command(flatten)]
        hub: HubArgs,
    },
}

/// `medlock clinical device …`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// This Device is that device: what it measures is of the Device's patient.
    Bind {
        /// The device's name in the register.
        name: String,
        /// The resource: `Device/ID`.
        #[arg(value_name = "RESOURCE")]
        device: String,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// No Device is it any more; its tokens end at once.
    Release {
        /// The device's name in the register.
        name: String,
        #[command(flatten)]
        hub: HubArgs,
    },
}

/// `medlock clinical delivery …`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeliveryCommand {
    /// List those that wait, oldest first, a thousand at a time.
    List {
        /// Those of this device alone, by its name in the register.
        #[arg(long, value_name = "NAME")]
        device: Option<String>,
        /// Those behind this number.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        after: i64,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// These deliveries were this patient's: they go into the records. All of them, or none.
    Assign {
        /// Whose they were: `Patient/ID`.
        #[arg(value_name = "RESOURCE")]
        patient: String,
        /// Their numbers, as the list has them.
        #[arg(required = true, value_name = "NUMBER")]
        numbers: Vec<i64>,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// These deliveries were nobody's, for instance of a pump that was tried out: they wait no more. All of them, or none.
    Dismiss {
        /// Their numbers, as the list has them.
        #[arg(required = true, value_name = "NUMBER")]
        numbers: Vec<i64>,
        /// Why, for the audit.
        #[arg(long, value_name = "TEXT")]
        why: String,
        #[command(flatten)]
        hub: HubArgs,
    },
}

/// `medlock clinical key …`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List those that hubs of this store have had in the last week, and those that were dropped.
    List {
        #[command(flatten)]
        hub: HubArgs,
    },
    /// No hub shows this key any more, and nobody is to believe it. It does not come back.
    Drop {
        /// Its name (`kid`), as the list has it.
        #[arg(value_name = "KID", allow_hyphen_values = true)]
        key: String,
        #[command(flatten)]
        hub: HubArgs,
    },
}

/// How software proves that it is itself.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Sort {
    /// It cannot: it runs in a browser or on a phone.
    Public,
    /// With a secret that it is given.
    Secret,
    /// With keys of its own.
    Keys,
}

/// Does what was asked.
///
/// # Errors
/// When the hub cannot be reached or refuses.
pub(crate) fn run(command: ClinicalCommand) -> Result<Outcome, Failure> {
    let (hub, asked) = match command {
        ClinicalCommand::Client(command) => client(command)?,
        ClinicalCommand::User(command) => user(command),
        ClinicalCommand::Audit(AuditCommand::Verify { known, hub }) => {
            let known = known.map(|text| known_state(&text)).transpose()?;
            (hub, Asked::VerifyAudit { known })
        }
        ClinicalCommand::Audit(AuditCommand::Show { patient, after, hub }) => {
            (hub, Asked::ShowAudit { patient, after })
        }
        ClinicalCommand::Subscription(SubscriptionCommand::List { hub }) => (hub, Asked::Subscriptions),
        ClinicalCommand::Device(command) => device(command),
        ClinicalCommand::Key(KeyCommand::List { hub }) => (hub, Asked::WebKeys),
        ClinicalCommand::Key(KeyCommand::Drop { key, hub }) => (hub, Asked::DropWebKey { key }),
        ClinicalCommand::Delivery(DeliveryCommand::List { device, after, hub }) => {
            (hub, Asked::WaitingDeliveries { device, after })
        }
        ClinicalCommand::Delivery(DeliveryCommand::Dismiss { numbers, why, hub }) => {
            (hub, Asked::DismissDeliveries { numbers, why })
        }
        ClinicalCommand::Delivery(DeliveryCommand::Assign { patient, numbers, hub }) => {
            (hub, Asked::AssignDeliveries { numbers, patient })
        }
        ClinicalCommand::Launch { client, patient, user, open, no_banner, hub } => {
            let fhir_context = open.into_iter().map(|reference| OpenResource { reference, role: None }).collect();
            let need_patient_banner = no_banner.then_some(false);
            let context = Context { fhir_context, need_patient_banner, intent: None };
            (hub, Asked::Launch { client, patient, account: user, context })
        }
    };
    let told = ask_clinical(&hub.dir, &asked)?;
    let outcome = match &told {
        Told::Audit { broken: Some(_), .. } => Outcome::Refused,
        _ => Outcome::Done,
    };
    if hub.json {
        output::json(&told)?;
    } else {
        print(told);
    }
    Ok(outcome)
}

/// A state of the audit as it was told.
fn known_state(text: &str) -> Result<(u64, String), Failure> {
    let parts = text.split_once(':').and_then(|(entries, hash)| Some((entries.parse().ok()?, hash.to_owned())));
    parts.ok_or_else(|| format!("{text:?} is not ENTRIES:HASH, as `medlock clinical audit verify` tells it").into())
}

fn client(command: ClientCommand) -> Result<(HubArgs, Asked), Failure> {
    Ok(match command {
        ClientCommand::Add { name, sort, redirects, scope, keys, keys_url, id_token, introspects, hub } => {
            let read =
                |file: PathBuf| std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()));
            let keys = keys.map(read).transpose()?;
            let sort = match sort {
                Sort::Public => ClientSort::Public,
                Sort::Secret => ClientSort::Secret,
                Sort::Keys => ClientSort::Keys,
            };
            (hub, Asked::AddClient { name, sort, redirects, scopes: scope, keys, keys_url, id_token, introspects })
        }
        ClientCommand::List { hub } => (hub, Asked::Clients),
        ClientCommand::Show { client, hub } => (hub, Asked::Client { id: client }),
        ClientCommand::Remove { client, hub } => (hub, Asked::RemoveClient { id: client }),
    })
}

fn user(command: UserCommand) -> (HubArgs, Asked) {
    match command {
        UserCommand::Add { name, person, hub } => (hub, Asked::AddAccount { name, person }),
        UserCommand::List { hub } => (hub, Asked::Accounts),
        UserCommand::Code { name, hub } => (hub, Asked::Code { name }),
        UserCommand::LostPasskeys { name, hub } => (hub, Asked::RemovePasskeys { name }),
        UserCommand::EndApps { name, client, hub } => (hub, Asked::EndApps { name, client }),
        UserCommand::Link { name, subject, hub } => (hub, Asked::LinkAccount { name, subject }),
        UserCommand::Unlink { name, hub } => (hub, Asked::UnlinkAccount { name }),
        UserCommand::Remove { name, hub } => (hub, Asked::RemoveAccount { name }),
    }
}

fn device(command: DeviceCommand) -> (HubArgs, Asked) {
    match command {
        DeviceCommand::Bind { name, device, hub } => (hub, Asked::BindDevice { name, device }),
        DeviceCommand::Release { name, hub } => (hub, Asked::ReleaseDevice { name }),
    }
}

fn print(told: Told) {
    match told {
        Told::Done { text } => say!("{text}"),
        Told::Client { client, secret } => {
            say!("client          {}", client.id);
            if let Some(secret) = secret {
                say!("secret          {secret}   (shown this once)");
            }
            say!("name            {}", client.name);
            say!("authentication  {}", client.authentication);
            say!("scopes          {}", client.scopes);
            if let Some(keys_url) = client.keys_url {
                say!("keys            {keys_url}");
            }
            if let Some(uri) = client.registered_as {
                say!("registered as   {uri}");
            }
            for redirect in client.redirects {
                say!("redirect        {redirect}");
            }
        }
        Told::Clients { clients } => {
            let mut table = Table::new(&["client", "name", "authentication", "scopes"]);
            for ClientView { id, name, authentication, scopes, .. } in clients {
                table.row([id, name, authentication, scopes]);
            }
            table
                .print("No software is registered. Register one with: medlock clinical client add NAME --redirect URL");
        }
        Told::Audit { entries, hash, broken: None } => {
            say!("The audit has {entries} entries, and each follows from those before it.");
            say!("known state: {entries}:{hash}");
        }
        Told::Audit { broken: Some(broken), .. } => say!("The audit is broken: {broken}."),
        Told::Events { events, next } => {
            events.iter().for_each(|event| say!("{event}"));
            if let Some(next) = next {
                eprintln!("More behind these: the same with --after={next}");
            }
        }
        Told::Subscriptions { subscriptions, more } => {
            let mut table = Table::new(&["subscription", "software", "account", "status", "criteria", "where"]);
            for SubscriptionView { id, software, account, status, criteria, endpoint, error } in subscriptions {
                let status = error.map_or(status.clone(), |error| format!("{status}: {error}"));
                let name = |name: Option<String>| name.unwrap_or_else(|| "-".to_owned());
                let place = endpoint.unwrap_or_else(|| "web socket".to_owned());
                table.row([id, name(software), name(account), status, criteria, place]);
            }
            table.print("Nobody is told of anything: there are no Subscriptions.");
            if more {
                say!("There are more that nobody is told by: these are the newest of them.");
            }
        }
        Told::Launch { launch, iss } => {
            say!("launch  {launch}   (once, within five minutes)");
            say!("iss     {iss}");
        }
        Told::Account { account, code } => {
            say!("name  {}", account.name);
            say!("code  {code}   (signs in once, within a day)");
            say!("for   {}", account.person);
        }
        Told::Accounts { accounts } => {
            let mut table = Table::new(&["name", "person", "signs in as", "passkeys"]);
            for AccountView { name, person, signs_in_as, passkeys, person_deleted } in accounts {
                let person = if person_deleted { format!("{person} (deleted: signs in no more)") } else { person };
                let signs_in_as = signs_in_as.unwrap_or_else(|| "-".to_owned());
                let passkeys = passkeys.map_or_else(|| "-".to_owned(), |number| number.to_string());
                table.row([name, person, signs_in_as, passkeys]);
            }
            table.print("No accounts. Make one with: medlock clinical user add NAME --person Patient/ID");
        }
        Told::WebKeys { keys } => {
            let mut table = Table::new(&["key", "algorithm", "hub", "seen", "state"]);
            for WebKeyView { key, algorithm, hub, seen, state } in keys {
                table.row([key, algorithm, hub, seen, state]);
            }
            table.print("No hub of this store has keys for ID tokens and notices.");
        }
        Told::Deliveries { deliveries, more } => {
            let last = deliveries.last().map(|last| last.number).filter(|_| more);
            let mut table = Table::new(&["number", "pump", "delivered", "when"]);
            for DeliveryView { number, device, when, what } in deliveries {
                table.row([number.to_string(), device, what, when]);
            }
            table.print("No delivery waits: each is in the records of whose it was.");
            if let Some(last) = last {
                say!("There are more: --after {last}");
            }
        }
    }
}
