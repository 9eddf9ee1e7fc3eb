//! `medlock signer`: the process that alone has the keys.

use crate::{Failure, Outcome, monitoring};
use clap::Args;
use medlock_authority::keys::TokenConfig;
use medlock_authority::signer::{self, Callers, InProcess};
use sd_notify::NotifyState;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The arguments of `medlock signer`, which the hub starts.
#[derive(Debug, Args)]
pub(crate) struct SignerArgs {
    /// The folder of the keys.
    #[arg(long, required_unless_present = "pkcs11_module")]
    keys: Option<PathBuf>,
    /// The file with their passphrase.
    #[arg(long, requires = "keys")]
    passphrase_file: Option<PathBuf>,
    /// The PKCS#11 library of the token that has the keys, instead of a folder.
    #[arg(long, value_name = "FILE", conflicts_with = "keys", requires_all = ["token", "pin_file"])]
    pkcs11_module: Option<PathBuf>,
    /// The token's label.
    #[arg(long)]
    token: Option<String>,
    /// The file with the PIN of the token's user.
    #[arg(long)]
    pin_file: Option<PathBuf>,
    /// Where it is kept how far the log was signed, for keys in a token; where the socket is if absent.
    #[arg(long, requires = "pkcs11_module", value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// Whose keys of the token: the authority's name.
    #[arg(long, default_value = "site")]
    authority: String,
    /// Where to listen.
    #[arg(long)]
    socket: PathBuf,
    /// Let the group that this program runs as connect too: the hub then runs as another user, of this group.
    #[arg(long)]
    group: bool,
    /// End when standard input ends.
    #[arg(long, hide = true)]
    with_parent: bool,
}

/// Runs the signer until it is ended, or, when the hub has started it, until the hub has ended.
///
/// # Errors
/// When keys or socket cannot be used.
pub(crate) fn run(args: SignerArgs) -> Result<Outcome, Failure> {
    let keys = match (args.pkcs11_module, args.token, args.pin_file, args.keys) {
        (Some(module), Some(token), Some(pin_file), _) => {
            let beside = args.socket.parent().map(Path::to_owned).unwrap_or_default();
            let folder = args.checkpoints.unwrap_or(beside);
            InProcess::in_token(TokenConfig { module, token, pin_file }, &args.authority, &folder)
        }
        (_, _, _, Some(keys)) => match args.passphrase_file {
            Some(file) => InProcess::open_with_passphrase(&keys, &file)?,
            None => InProcess::open(&keys)?,
        },
        _ => return Err("name a folder of keys, or module, token and PIN file".into()),
    };
    let callers = if args.group { Callers::Group } else { Callers::Owner };
    let listener = signer::listen(&args.socket, callers)?;
    if args.with_parent {
        signer::end_with_parent();
    } else {
        monitoring::tell(&[NotifyState::Ready]);
    }
    signer::serve(&listener, &Arc::new(keys))?;
    Ok(Outcome::Done)
}
