//! `medlock trust-list …`: who may vouch for what, and what the members of an alliance do with their list.

use super::HubArgs;
use crate::{Failure, Outcome, trust_list};
use clap::{Args, Subcommand, ValueEnum};
use medlock_node::provider::SigningAlgorithm;
use medlock_trust::status::Reason;
use std::path::PathBuf;

/// `medlock trust-list …`.
#[derive(Debug, Subcommand)]
pub(crate) enum TrustListCommand {
    /// Make the key of a member, or a recovery key: OUT (encrypted PKCS#8) and OUT with `.pub` (PEM) to give to the others.
    MemberKey(MemberKeyArgs),
    /// Write a draft that a person edits (TOML): from nothing, or from the current list.
    Draft(DraftArgs),
    /// Make of a draft the exact bytes to be signed, and say what they change.
    Propose(ProposeArgs),
    /// Sign a proposal (of a list or a suspension) with a member's key, having said what it changes.
    Sign(SignArgs),
    /// Put the signatures of enough members together, and verify the whole.
    Assemble(AssembleArgs),
    /// Add a list, or a suspension, to a folder that any web server serves.
    Publish(PublishArgs),
    /// Say who signed a list or a suspension, and whether it is to be believed. Exit code 0 if so.
    Verify(VerifyListArgs),
    /// Say what a list says otherwise than another. Exit code 1, with the evidence, if they are two lists with one version.
    Diff(DiffArgs),
    /// In an emergency: propose to suspend authorities for at most 14 days, to be signed by fewer members than a list.
    Suspend(SuspendArgs),
    /// Write the draft of the list that confirms a suspension.
    Confirm(ConfirmArgs),
    /// Write the draft of a recovery: for lost members, or a list that must be taken back. The recovery keys sign it.
    Recover(RecoverArgs),
    /// Show a list: a file, or the one a hub holds.
    Show {
        /// The signed list; without one, the hub's site list.
        file: Option<PathBuf>,
        /// Show the hub's trust list (of makers) instead of its site list, and the suspensions in force.
        #[arg(long)]
        alliance: bool,
        /// Write the signed list to this file instead of showing it.
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Give a hub a trust list or a suspension, so that devices of its makers may enrol by their birth credentials.
    Import {
        /// The signed list, or suspension.
        file: PathBuf,
        #[command(flatten)]
        believed: BelievedArgs,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Let a hub catch up with a published folder, one list after the other, and its suspensions. Can be interrupted and repeated.
    Fetch(FetchArgs),
}

/// Whose list is believed that follows none yet.
#[derive(Debug, Args)]
pub(crate) struct BelievedArgs {
    /// At the first time: the key of a member one believes. Can be given several times.
    #[arg(long = "member", value_name = "KEY-ID")]
    pub(crate) members: Vec<String>,
    /// At the first time: how many of them must have signed.
    #[arg(long, default_value_t = 0)]
    pub(crate) threshold: u8,
}

/// The current list.
#[derive(Debug, Args)]
pub(crate) struct CurrentArgs {
    /// The current list, which the new one follows; none for the very first.
    #[arg(long, value_name = "LIST")]
    pub(crate) current: Option<PathBuf>,
    /// A suspension that may be in force: it is said where the new list ends it. Also looked for in `suspensions.cbor` beside the
    /// current list. Can be given several times.
    #[arg(long = "suspension", value_name = "FILE", requires = "current")]
    pub(crate) suspensions: Vec<PathBuf>,
}

/// Where a result goes.
#[derive(Debug, Args)]
pub(crate) struct OutArgs {
    /// Where to write it; a file that is there is replaced.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `medlock trust-list member-key`.
#[derive(Debug, Args)]
pub(crate) struct MemberKeyArgs {
    /// The file of the private key.
    pub(crate) out: PathBuf,
    /// The file with the passphrase; a random one is written there if it does not exist. Keep it elsewhere than the key.
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: PathBuf,
    /// The algorithm.
    #[arg(long, value_enum, default_value_t = AlgorithmArg::P256)]
    pub(crate) algorithm: AlgorithmArg,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What lists are signed with.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum AlgorithmArg {
    /// ECDSA with P-256: what every device verifies.
    P256,
    /// ECDSA with P-384.
    P384,
    /// Ed25519.
    Ed25519,
}

impl From<AlgorithmArg> for SigningAlgorithm {
    fn from(algorithm: AlgorithmArg) -> Self {
        match algorithm {
            AlgorithmArg::P256 => Self::P256,
            AlgorithmArg::P384 => Self::P384,
            AlgorithmArg::Ed25519 => Self::Ed25519,
        }
    }
}

/// `medlock trust-list draft`.
#[derive(Debug, Args)]
pub(crate) struct DraftArgs {
    #[command(flatten)]
    pub(crate) current: CurrentArgs,
    /// Without a current list: the name of the alliance.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Add a member: its name and the file with its public key. Can be given several times.
    #[arg(long = "member", value_name = "NAME=FILE")]
    pub(crate) members: Vec<String>,
    /// Add a recovery key: the name of its holder and the file with the public key. Can be given several times.
    #[arg(long = "recovery", value_name = "NAME=FILE")]
    pub(crate) recovery: Vec<String>,
    /// Add a maker: its name and the file with its root certificate. Can be given several times.
    #[arg(long = "maker", value_name = "NAME=FILE")]
    pub(crate) makers: Vec<String>,
    /// How many members must sign.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) threshold: Option<u8>,
    /// How many members may suspend for 14 days.
    #[arg(long)]
    pub(crate) emergency: Option<u8>,
    /// How many recovery keys must sign a recovery.
    #[arg(long)]
    pub(crate) recovery_threshold: Option<u8>,
    #[command(flatten)]
    pub(crate) out: OutArgs,
}

/// `medlock trust-list propose`.
#[derive(Debug, Args)]
pub(crate) struct ProposeArgs {
    /// The draft.
    pub(crate) draft: PathBuf,
    #[command(flatten)]
    pub(crate) current: CurrentArgs,
    #[command(flatten)]
    pub(crate) out: OutArgs,
}

/// `medlock trust-list sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// The proposal.
    pub(crate) proposal: PathBuf,
    /// The file of the private key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The file with its passphrase.
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: PathBuf,
    #[command(flatten)]
    pub(crate) current: CurrentArgs,
    #[command(flatten)]
    pub(crate) out: OutArgs,
}

/// `medlock trust-list assemble`.
#[derive(Debug, Args)]
pub(crate) struct AssembleArgs {
    /// The proposal.
    pub(crate) proposal: PathBuf,
    /// The files with the signatures.
    #[arg(required = true)]
    pub(crate) signatures: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) current: CurrentArgs,
    #[command(flatten)]
    pub(crate) out: OutArgs,
}

/// `medlock trust-list publish`.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// The signed list, or suspension.
    pub(crate) list: PathBuf,
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `medlock trust-list verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyListArgs {
    /// The signed list, or suspensions.
    pub(crate) file: PathBuf,
    /// A certificate whose key is a member one believes (a site's root), as PEM. Can be given several times.
    #[arg(long = "root", value_name = "ROOT.pem")]
    pub(crate) roots: Vec<PathBuf>,
    /// The key of a member one believes. Can be given several times.
    #[arg(long = "member", value_name = "KEY-ID")]
    pub(crate) members: Vec<String>,
    /// How many of them must have signed.
    #[arg(long, default_value_t = 1)]
    pub(crate) threshold: u8,
    /// Instead of members: the list one holds, which this one is to follow, or whose members signed the suspension.
    #[arg(long, value_name = "LIST", conflicts_with_all = ["roots", "members"])]
    pub(crate) current: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `medlock trust-list diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// A list, signed or proposed.
    pub(crate) from: PathBuf,
    /// Another.
    pub(crate) to: PathBuf,
    /// If they are two lists with one version: write the evidence here, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) evidence: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Why authorities are suspended.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SuspicionArg {
    /// The authority's key may be in wrong hands.
    AuthorityCompromise,
    /// Its devices are recalled.
    Recall,
    /// Anything else.
    Unspecified,
}

impl From<SuspicionArg> for Reason {
    fn from(reason: SuspicionArg) -> Self {
        match reason {
            SuspicionArg::AuthorityCompromise => Self::AUTHORITY_COMPROMISE,
            SuspicionArg::Recall => Self::RECALL,
            SuspicionArg::Unspecified => Self::UNSPECIFIED,
        }
    }
}

/// `medlock trust-list suspend`.
#[derive(Debug, Args)]
pub(crate) struct SuspendArgs {
    /// The current list.
    #[arg(long, value_name = "LIST")]
    pub(crate) current: PathBuf,
    /// The authority, by the identifier of its key or by its name. Can be given several times.
    #[arg(long = "authority", value_name = "KEY-ID|NAME", required = true)]
    pub(crate) authorities: Vec<String>,
    /// Why.
    #[arg(long, value_enum, default_value_t = SuspicionArg::AuthorityCompromise)]
    pub(crate) reason: SuspicionArg,
    /// For how many days, at most 14.
    #[arg(long, default_value_t = 14)]
    pub(crate) days: u32,
    #[command(flatten)]
    pub(crate) out: OutArgs,
}

/// `medlock trust-list confirm`.
#[derive(Debug, Args)]
pub(crate) struct ConfirmArgs {
    /// The suspension.
    pub(crate) suspension: PathBuf,
    /// The current list.
    #[arg(long, value_name = "LIST")]
    pub(crate) current: PathBuf,
    #[command(flatten)]
    pub(crate) out: OutArgs,
}

/// `medlock trust-list recover`.
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// The list that is held by those who must be reached.
    #[arg(long, value_name = "LIST")]
    pub(crate) current: PathBuf,
    #[command(flatten)]
    pub(crate) out: OutArgs,
}

/// `medlock trust-list fetch`.
#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// The published folder: a path, or http://HOST:PORT/PATH.
    pub(crate) source: String,
    /// The most lists to take in this call.
    #[arg(long, default_value_t = 100)]
    pub(crate) most: usize,
    #[command(flatten)]
    pub(crate) believed: BelievedArgs,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

/// Does what was asked.
///
/// # Errors
/// When a file cannot be read or a hub cannot be reached.
pub(crate) fn run(command: TrustListCommand) -> Result<Outcome, Failure> {
    match command {
        TrustListCommand::MemberKey(args) => trust_list::members::member_key(&args),
        TrustListCommand::Draft(args) => trust_list::members::draft(&args),
        TrustListCommand::Propose(args) => trust_list::members::propose(&args),
        TrustListCommand::Sign(args) => trust_list::members::sign(&args),
        TrustListCommand::Assemble(args) => trust_list::members::assemble(&args),
        TrustListCommand::Publish(args) => trust_list::members::publish(&args),
        TrustListCommand::Suspend(args) => trust_list::members::suspend(&args),
        TrustListCommand::Confirm(args) => trust_list::members::confirm(&args),
        TrustListCommand::Recover(args) => trust_list::members::recover(&args),
        TrustListCommand::Verify(args) => trust_list::read::verify(&args),
        TrustListCommand::Diff(args) => trust_list::read::diff(&args),
        TrustListCommand::Show { file, alliance, save, hub } => {
            trust_list::hub::show(file, alliance, save.as_deref(), &hub)
        }
        TrustListCommand::Import { file, believed, hub } => trust_list::hub::import(&file, believed, &hub),
        TrustListCommand::Fetch(args) => trust_list::hub::fetch(&args),
    }
}
