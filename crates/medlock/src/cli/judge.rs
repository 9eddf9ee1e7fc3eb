//! `medlock verify` and `medlock decide`: ask the judge by hand.

use super::SettingArg;
use clap::{Args, ValueEnum as _};
use medlock_trust::{Operation, Time};
use std::path::PathBuf;
use std::str::FromStr;

/// What every question to the judge has.
#[derive(Debug, Args)]
pub(crate) struct Question {
    /// The peer's chain as PEM, its own certificate first.
    #[arg(long, value_name = "LEAF_FIRST.pem")]
    pub(crate) chain: PathBuf,
    /// The time of the question.
    #[arg(long, value_name = "RFC3339", value_parser = time)]
    pub(crate) at: Time,
    /// What the peer asks: read, report, inform, sustain, treat, halt, configure, renew or store.
    #[arg(long, value_name = "OPERATION", value_parser = operation)]
    pub(crate) operation: Operation,
    /// A name the peer's certificate must carry: dns:NAME, ip:ADDRESS or uri:URI.
    #[arg(long, value_name = "FORM:NAME")]
    pub(crate) name: Option<NameArg>,
    /// Where the judge stands; it sets how old a status may be.
    #[arg(long, default_value = "hospital")]
    pub(crate) setting: SettingArg,
    /// Suppose that a bond lets this peer command; without it, treat, inform, halt and configure are denied.
    #[arg(long)]
    pub(crate) bonded: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `medlock verify`.
///
/// The anchors vouch for every role, and a certificate that names no role is taken to hold every role. Exit code 0 for
/// allow, 1 for deny.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The authorities one believes in, as PEM.
    #[arg(long, value_name = "A.pem")]
    pub(crate) anchors: PathBuf,
    /// `fresh`: nothing is known against anybody, as of now; `none`: no status was ever seen; or a signed status list.
    #[arg(long, value_name = "fresh|none|FILE")]
    pub(crate) status: StatusArg,
    #[command(flatten)]
    pub(crate) question: Question,
}

/// `medlock decide`.
///
/// Exit code 0 for allow, 1 for deny.
#[derive(Debug, Args)]
pub(crate) struct DecideArgs {
    /// The trust list or site list that says who may vouch for what. Can be given several times.
    #[arg(long = "list", value_name = "LIST.cose", required = true)]
    pub(crate) lists: Vec<PathBuf>,
    /// The certificate whose key signed the list (a site's root), as PEM. Can be given several times.
    #[arg(long = "root", value_name = "ROOT.pem", required = true)]
    pub(crate) roots: Vec<PathBuf>,
    /// The signed status list; without one, no status was ever seen.
    #[arg(long, value_name = "STATUS.cose")]
    pub(crate) status: Option<PathBuf>,
    /// The signed policy; without one, the default policy.
    #[arg(long, value_name = "POLICY.cose")]
    pub(crate) policy: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) question: Question,
}

/// What is known of the status of devices and credentials.
#[derive(Clone, Debug)]
pub(crate) enum StatusArg {
    /// Nothing is known against anybody, as of now.
    Fresh,
    /// No status was ever seen.
    None,
    /// A signed status list.
    File(PathBuf),
}

impl FromStr for StatusArg {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "fresh" => Self::Fresh,
            "none" => Self::None,
            file => Self::File(file.into()),
        })
    }
}

/// A name with its form.
#[derive(Clone, Debug)]
pub(crate) enum NameArg {
    /// A host name.
    Dns(String),
    /// An IP address.
    Ip(std::net::IpAddr),
    /// A URI.
    Uri(String),
}

impl FromStr for NameArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("dns", name)) if !name.is_empty() => Ok(Self::Dns(name.into())),
            Some(("uri", name)) if !name.is_empty() => Ok(Self::Uri(name.into())),
            Some(("ip", name)) => name.parse().map(Self::Ip).map_err(|error| format!("ip:{name}: {error}")),
            _ => Err("a name is written dns:NAME, ip:ADDRESS or uri:URI".into()),
        }
    }
}

fn operation(text: &str) -> Result<Operation, String> {
    Operation::from_name(text).ok_or_else(|| {
        let names: Vec<_> = Operation::ALL.iter().map(|operation| operation.name()).collect();
        format!("there is no operation {text:?}; it is one of {}", names.join(", "))
    })
}

fn time(text: &str) -> Result<Time, String> {
    let timestamp: jiff::Timestamp = text
        .parse()
        .map_err(|error| format!("{text:?} is no time in RFC 3339, such as 2027-01-31T08:00:00Z: {error}"))?;
    Ok(Time::from_unix(timestamp.as_second()))
}

impl SettingArg {
    /// The name as it stands on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}
