//! `medlock verify` and `medlock decide`: the judge by hand, on files.

use crate::cli::{DecideArgs, NameArg, Question, SettingArg, StatusArg, VerifyArgs};
use crate::output::say;
use crate::{Failure, Outcome, output};
use medlock_node::provider::AwsLc;
use medlock_trust::bond::PatientContext;
use medlock_trust::cose::{ContentType, Place, Sign1};
use medlock_trust::crypto::PublicKey;
use medlock_trust::list::{List, Pinned};
use medlock_trust::path::{self, AuthorityKind, VerifiedPath};
use medlock_trust::policy::Setting;
use medlock_trust::status::StatusList;
use medlock_trust::x509::{Certificate, ServerName, ids};
use medlock_trust::{
    Anchor, Bond, Budget, DeviceName, Identified, Interval, KeyId, Knowledge, Operations, Policy, Roles, Verdict,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;
use std::path::Path;

/// What is printed.
#[derive(Debug, Serialize)]
struct Answer {
    path: PathAnswer,
    verdict: &'static str,
    /// The stable code of the denial, or of the mark; none for a plain permission.
    code: Option<String>,
    obligations: Vec<&'static str>,
}

/// What the standard says (RFC 5280 section 6), dates and name included.
#[derive(Debug, Serialize)]
struct PathAnswer {
    valid: bool,
    reason: Option<String>,
}

/// `medlock verify`.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn verify(args: &VerifyArgs) -> Result<Outcome, Failure> {
    let anchors_der = certificates(&args.anchors)?;
    let anchor_certificates = parsed(&anchors_der, &args.anchors)?;
    let anchors: Vec<Anchor<'_>> = anchor_certificates
        .iter()
        .filter_map(|certificate| Anchor::for_everything(certificate, AuthorityKind::Site, &AwsLc))
        .collect();
    let pinned: Vec<KeyId> = anchors.iter().map(|anchor| anchor.key_id).collect();
    let status_bytes = match &args.status {
        StatusArg::File(file) => Some(read(file)?),
        StatusArg::Fresh | StatusArg::None => None,
    };
    let question = &args.question;
    let chain = certificates(&question.chain)?;
    judged(question, &chain, &anchors, |path| {
        let status: Vec<StatusList<'_>> = match (&args.status, &status_bytes) {
            (StatusArg::Fresh, _) => vec![StatusList::danger_nothing_known(path.anchor().key_id, question.at)],
            (StatusArg::File(file), Some(bytes)) => vec![status_by_path(bytes, path, file)?],
            (StatusArg::None | StatusArg::File(_), _) => Vec::new(),
        };
        let knowledge = Knowledge {
            pinned: &pinned,
            status: &status,
            ..Knowledge::nothing(Interval::exactly(question.at), question.setting())
        };
        let leaf = path.leaf();
        let roles = leaf.extensions().role().map_or(Roles::EVERY, |role| role.roles);
        let peer = Identified::danger_assume(path, name_of(leaf), roles, &AwsLc)?;
        Ok(question.ask(&peer, &knowledge, &Policy::default()))
    })
}

/// `medlock decide`.
///
/// # Errors
/// When a file cannot be read, or a list, status or policy is not signed by whom it should be.
pub(crate) fn decide(args: &DecideArgs) -> Result<Outcome, Failure> {
    let roots = root_keys(&args.roots)?;
    let lists_bytes = args.lists.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
    let lists = lists_bytes
        .iter()
        .zip(&args.lists)
        .map(|(bytes, file)| believed(bytes, &roots).map_err(|error| format!("{}: {error}", file.display()).into()))
        .collect::<Result<Vec<List<'_>>, Failure>>()?;
    let status_bytes = args.status.as_deref().map(read).transpose()?;
    let status = match &status_bytes {
        Some(bytes) => vec![by_any(&lists, |list| StatusList::verify(bytes, list, &AwsLc).map_err(Into::into))?],
        None => Vec::new(),
    };
    let policy = match &args.policy {
        Some(file) => {
            let bytes = read(file)?;
            by_any(&lists, |list| Policy::from_signed(&bytes, list, &AwsLc).map_err(Into::into))?
        }
        None => Policy::default(),
    };
    let question = &args.question;
    let chain = certificates(&question.chain)?;
    let anchors: Vec<Anchor<'_>> =
        lists.iter().flat_map(List::authorities).filter_map(|authority| authority.anchor()).collect();
    judged(question, &chain, &anchors, |path| {
        let knowledge = Knowledge {
            lists: &lists,
            status: &status,
            ..Knowledge::nothing(Interval::exactly(question.at), question.setting())
        };
        let peer = Identified::from_path(path, &AwsLc)?;
        Ok(question.ask(&peer, &knowledge, &policy))
    })
}

impl Question {
    fn setting(&self) -> Setting {
        match self.setting {
            SettingArg::Home => Setting::Home,
            SettingArg::Hospital => Setting::Hospital,
        }
    }

    fn ask(&self, peer: &Identified, knowledge: &Knowledge<'_>, policy: &Policy) -> Verdict {
        let bond = self.bonded.then_some(Bond {
            controller: peer.device(),
            patient: PatientContext([0; 16]),
            operations: Operations::of(&medlock_trust::Operation::ALL),
            epoch: 0,
        });
        medlock_trust::decide(peer, self.operation, knowledge, policy, bond.as_ref())
    }

    /// What the standard says of the path at this time and for this name.
    fn path_answer(&self, path: &VerifiedPath<'_>) -> PathAnswer {
        if let Err(error) = path.check_validity(self.at) {
            return PathAnswer { valid: false, reason: Some(error.code().to_owned()) };
        }
        PathAnswer { valid: true, reason: None }
    }

    fn names(&self, leaf: &Certificate<'_>) -> bool {
        match &self.name {
            None => true,
            Some(NameArg::Dns(name)) => leaf.matches_name(&ServerName::Dns(name)),
            Some(NameArg::Ip(address)) => leaf.matches_name(&ServerName::Ip(*address)),
            Some(NameArg::Uri(name)) => leaf.matches_name(&ServerName::Uri(name)),
        }
    }
}

/// Validates the path, asks `judge`, and prints what both say.
fn judged<'c>(
    question: &Question,
    chain: &'c [CertificateDer<'static>],
    anchors: &[Anchor<'c>],
    judge: impl FnOnce(&VerifiedPath<'c>) -> Result<Verdict, Failure>,
) -> Result<Outcome, Failure> {
    let ders: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
    let refused = |reason: &str| Answer {
        path: PathAnswer { valid: false, reason: Some(reason.to_owned()) },
        verdict: "deny",
        code: Some(reason.to_owned()),
        obligations: Vec::new(),
    };
    let (answer, words) = match path::validate(&ders, anchors, &mut Budget::default(), &AwsLc) {
        Err(error) => (refused(error.code()), error.to_string()),
        Ok(path) if !question.names(path.leaf()) => {
            (refused("name-mismatch"), "the certificate does not carry the name that was asked for".to_owned())
        }
        Ok(path) => {
            let standard = question.path_answer(&path);
            match judge(&path)? {
                Verdict::Allow(permit) => {
                    let owed = permit.obligations();
                    let obligations = [(owed.alert, "alert"), (owed.mark.is_some(), "mark")]
                        .into_iter()
                        .filter_map(|(is, name)| is.then_some(name));
                    let code = owed.mark.map(|mark| mark.as_str().to_owned());
                    let words = owed
                        .mark
                        .map_or_else(|| "allowed".to_owned(), |mark| format!("allowed and marked; {}", mark.remedy()));
                    (Answer { path: standard, verdict: "allow", code, obligations: obligations.collect() }, words)
                }
                Verdict::Deny(denied) => {
                    let code = Some(denied.code.as_str().to_owned());
                    (Answer { path: standard, verdict: "deny", code, obligations: Vec::new() }, denied.to_string())
                }
            }
        }
    };
    print(question, &answer, &words)?;
    Ok(if answer.verdict == "allow" { Outcome::Done } else { Outcome::Refused })
}

fn print(question: &Question, answer: &Answer, words: &str) -> Result<(), Failure> {
    if question.json {
        output::json(answer)?;
        return Ok(());
    }
    let path = match &answer.path.reason {
        None => "valid".to_owned(),
        Some(reason) => format!("not valid: {reason}"),
    };
    say!("path     {path}");
    say!("verdict  {} {} ({})", answer.verdict, question.operation, question.setting.name());
    if let Some(code) = &answer.code {
        say!("code     {code}");
    }
    say!("         {words}");
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| format!("{} cannot be read: {error}", file.display()).into())
}

/// The certificates of a PEM file, or the one certificate of a DER file.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let bytes = read(file)?;
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes.into()]);
    }
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{}: the PEM is damaged: {error}", file.display()))?;
    if found.is_empty() {
        return Err(format!("{} has no certificate", file.display()).into());
    }
    Ok(found)
}

fn parsed<'c>(ders: &'c [CertificateDer<'_>], file: &Path) -> Result<Vec<Certificate<'c>>, Failure> {
    ders.iter()
        .map(|der| Certificate::from_der(der).map_err(|error| format!("{}: {error}", file.display()).into()))
        .collect()
}

/// The keys of these certificates.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn root_keys(files: &[std::path::PathBuf]) -> Result<Vec<KeyId>, Failure> {
    let mut keys = Vec::new();
    for file in files {
        for certificate in parsed(&certificates(file)?, file)? {
            keys.push(certificate.key_id(&AwsLc));
        }
    }
    Ok(keys)
}

/// A list signed by one of the roots.
fn believed<'b>(bytes: &'b [u8], roots: &[KeyId]) -> Result<List<'b>, Failure> {
    let pinned = Pinned::Members { keys: roots, threshold: 1 };
    Ok(List::verify_pinned(bytes, &pinned, Interval::UNKNOWN, &AwsLc)?)
}

/// What the first list that can, says; the last complaint if none can.
fn by_any<'l, 'b, T>(
    lists: &'l [List<'b>],
    try_one: impl Fn(&'l List<'b>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut complaint: Failure = "no list was given".into();
    for list in lists {
        match try_one(list) {
            Ok(value) => return Ok(value),
            Err(error) => complaint = error,
        }
    }
    Err(complaint)
}

/// A status list signed by the anchor of the path, or by an authority of the path that may sign revocation lists.
fn status_by_path<'b>(bytes: &'b [u8], path: &VerifiedPath<'_>, file: &Path) -> Result<StatusList<'b>, Failure> {
    let signed = Sign1::read(bytes).map_err(|error| format!("{}: {error}", file.display()))?;
    let is_by = |key: PublicKey<'_>| signed.verify(Place::Header(ContentType::STATUS), key, &AwsLc).is_ok();
    let by_one_of_them =
        is_by(path.anchor().key) || path.certificates().skip(1).any(|issuer| issuer.public_key().is_some_and(is_by));
    if !by_one_of_them {
        return Err(format!("{}: not signed by an authority of this path", file.display()).into());
    }
    Ok(StatusList::danger_open(bytes)?)
}

/// A name to judge by: the device name, else the common name, else the credential's identifier.
fn name_of(leaf: &Certificate<'_>) -> DeviceName {
    let subject = leaf.subject();
    [ids::SERIAL_NUMBER, ids::COMMON_NAME]
        .into_iter()
        .filter_map(|kind| subject.only(kind))
        .find_map(DeviceName::from_text)
        .or_else(|| DeviceName::new(&leaf.credential_id(&AwsLc).to_string()))
        .expect("32 hexadecimal digits are a device name")
}

#[cfg(test)]
mod tests {
    use medlock_trust::decide::Code;

    /// Shows REQ-CLI-09.
    #[test]
    fn every_code_of_a_verdict_is_documented_with_its_remedy() {
        let documented = include_str!("../../../docs/codes.md");
        for code in Code::ALL {
            let row = documented.lines().find(|line| line.starts_with(&format!("| `{code}` |")));
            assert!(row.is_some_and(|row| row.contains(code.remedy())), "{code}");
        }
    }
}
