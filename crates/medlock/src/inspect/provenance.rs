//! A Provenance as the hub gives it: whether device, credential, proof and verdict agree. Nothing is asked over a network.
//!
//! Whom one believes is said from outside: the site's root and the log's key. What the file alone says is shown as that.

use super::{Fields, Finding};
use crate::Failure;
use data_encoding::BASE64;
use medlock_clinical::moment;
use medlock_clinical::provenance::EVIDENCE;
use medlock_node::log::note::Note;
use medlock_node::log::{Checkpoint, Proof, VerifierKey};
use medlock_node::provider::AwsLc;
use medlock_trust::log::Hash;
use medlock_trust::path::AuthorityKind;
use medlock_trust::x509::{Certificate, ids};
use medlock_trust::{Anchor, Budget, DeviceName, Identified, Operation, Time, authenticate};
use serde_json::Value;

/// Whom one believes.
#[derive(Debug, Default)]
pub(crate) struct Believed {
    /// The site's root certificate.
    pub(crate) root: Option<Vec<u8>>,
    /// The key of the log.
    pub(crate) log: Option<VerifierKey>,
}

/// What a Provenance says, as it is read.
struct Said<'v> {
    resource: &'v Value,
    evidence: Vec<(&'v str, &'v Value)>,
}

impl<'v> Said<'v> {
    fn read(resource: &'v Value) -> Result<Self, Failure> {
        if resource["resourceType"] != "Provenance" {
            let kind = resource["resourceType"].as_str().unwrap_or("no resource of FHIR");
            return Err(format!("this JSON is {kind}: give a Provenance, as GET /fhir/Provenance/ID answers it").into());
        }
        let extensions = resource["extension"].as_array().into_iter().flatten();
        let own = extensions.clone().find(|extension| extension["url"] == EVIDENCE);
        let own = own.and_then(|own| own["extension"].as_array());
        let own = own.ok_or_else(|| format!("this Provenance has no {EVIDENCE}: it was not made by Medlock"))?;
        let evidence = own.iter().filter_map(|one| Some((one["url"].as_str()?, one))).collect();
        Ok(Self { resource, evidence })
    }

    fn texts(&self, name: &str) -> Vec<&'v str> {
        let named = self.evidence.iter().filter(|(url, _)| *url == name);
        let kinds = ["valueString", "valueCode", "valueBase64Binary"];
        named.filter_map(|(_, one)| kinds.iter().find_map(|kind| one[*kind].as_str())).collect()
    }

    fn text(&self, name: &str) -> Option<&'v str> {
        self.texts(name).first().copied()
    }

    fn bytes(&self, name: &'static str) -> Result<Vec<Vec<u8>>, Failure> {
        let decode = |text: &str| BASE64.decode(text.as_bytes()).map_err(|error| format!("{name}: {error}").into());
        self.texts(name).into_iter().map(decode).collect()
    }

    fn device(&self) -> Option<&'v str> {
        self.resource["agent"][0]["who"]["identifier"]["value"].as_str()
    }

    /// When it was begun.
    fn recorded(&self) -> Option<Time> {
        let span = moment::instant(self.resource["recorded"].as_str()?)?;
        Some(Time::from_unix(span.low.0.div_euclid(1_000)))
    }
}

/// Whether two things agree.
enum Agrees {
    Yes(String),
    No(String),
    /// It cannot be told from what was given.
    Unknown(String),
}

use Agrees::{No, Unknown, Yes};

/// Shows a Provenance, and whether all of it agrees.
///
/// # Errors
/// When it is none, or cannot be read.
pub(super) fn provenance(resource: &Value, believed: &Believed) -> Result<(Finding, bool), Failure> {
    let said = Said::read(resource)?;
    let chain = said.bytes("certificate")?;
    let leaf = chain.first().ok_or("this Provenance has no certificate")?;
    let leaf = Certificate::read(leaf)?;
    let mut fields = Fields::default();
    fields.add("device", said.device().unwrap_or("(not said)"));
    fields.add("credential", said.text("credential").unwrap_or("(not said)"));
    fields.add("certificate", format!("{}, from {} to {}", leaf.subject(), leaf.not_before(), leaf.not_after()));
    fields.add("issuer", leaf.issuer());
    let mark = said.text("mark").map(|mark| format!(", marked {mark}")).unwrap_or_default();
    let (operation, verdict) = (said.text("operation").unwrap_or("?"), said.text("verdict").unwrap_or("?"));
    fields.add("verdict", format!("{verdict} {operation}{mark}"));
    for (name, what) in [("site-list", "site list"), ("status", "status list"), ("policy", "policy")] {
        if let Some(version) = said.text(name) {
            fields.add(what, format!("version {version}"));
        }
    }
    fields.add("recorded", resource["recorded"].as_str().unwrap_or("(not said)"));
    let targets = resource["target"].as_array().map_or(0, Vec::len);
    fields.explain("targets", targets, "versions of resources that the device wrote while nothing of this changed");
    let path = path(&chain, believed);
    let checks = [
        ("credential and certificate", credential(&said, &leaf)),
        ("device and certificate", device(&said, &leaf)),
        ("certificate and issuer", issuer(&path, believed)),
        ("certificate and log", log(&said, &leaf, believed)?),
        ("verdict and certificate", verdict_of(&said, &leaf, path.as_ref().ok())),
        ("verdict and mark", tag(&said)),
    ];
    let mut agree = true;
    for (name, agrees) in checks {
        let (word, why) = match agrees {
            Yes(why) => ("agree", why),
            Unknown(why) => ("not checked", why),
            No(why) => {
                agree = false;
                ("DISAGREE", why)
            }
        };
        fields.explain(name, word, why);
    }
    Ok((Finding { what: "provenance", fields: fields.0 }, agree))
}

fn credential(said: &Said<'_>, leaf: &Certificate<'_>) -> Agrees {
    let own = leaf.credential_id(&AwsLc).to_string();
    if said.text("credential") == Some(own.as_str()) {
        return Yes("it is the identifier of this certificate".to_owned());
    }
    No(format!("the certificate is {own}"))
}

fn device(said: &Said<'_>, leaf: &Certificate<'_>) -> Agrees {
    let name = leaf.subject().only(ids::SERIAL_NUMBER).and_then(DeviceName::from_text);
    match (name, said.device()) {
        (Some(name), Some(device)) if name.as_str() == device => Yes("its name is in the certificate".to_owned()),
        (Some(name), _) => No(format!("the certificate is that of {name}")),
        (None, _) => No("the certificate has no name of a device".to_owned()),
    }
}

/// Who the chain is, by the root or else by its own last certificate.
fn path(chain: &[Vec<u8>], believed: &Believed) -> Result<Identified, Agrees> {
    let anchor = believed.root.as_ref().or(chain.last().filter(|_| chain.len() > 1));
    let anchor = anchor.ok_or_else(|| Unknown("its issuer is not in the file: give --root".to_owned()))?;
    let certificate = Certificate::read(anchor).map_err(|error| No(format!("the issuer cannot be read: {error}")))?;
    let anchor = Anchor::for_everything(&certificate, AuthorityKind::Site, &AwsLc);
    let anchor = anchor.ok_or_else(|| No("the last certificate is no authority's".to_owned()))?;
    let ders: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    authenticate(&ders, &[anchor], &mut Budget::default(), &AwsLc).map_err(|error| No(error.to_string()))
}

fn issuer(path: &Result<Identified, Agrees>, believed: &Believed) -> Agrees {
    match path {
        Ok(_) if believed.root.is_some() => Yes("the chain leads to the root that was given".to_owned()),
        Ok(_) => Unknown("the chain is right up to its last certificate; give --root to believe that".to_owned()),
        Err(Unknown(why)) => Unknown(why.clone()),
        Err(No(why) | Yes(why)) => No(why.clone()),
    }
}

fn log(said: &Said<'_>, leaf: &Certificate<'_>, believed: &Believed) -> Result<Agrees, Failure> {
    let Some(bytes) = said.bytes("log-proof")?.into_iter().next() else {
        return Ok(Unknown(
            "there is no proof: no checkpoint covered the credential yet, or it is another authority's".to_owned(),
        ));
    };
    let proof = match Proof::read(&bytes) {
        Ok(proof) => proof,
        Err(error) => return Ok(No(error.to_string())),
    };
    let entry = Hash::of_entry(&[leaf.tbs()], &AwsLc);
    if let Some(key) = &believed.log {
        return Ok(match proof.verify(entry, key, &[]) {
            Ok(cosigned) => Yes(format!("it is entry {} of {}", proof.index, cosigned.checkpoint.origin)),
            Err(error) => No(error.to_string()),
        });
    }
    let note = Note::read(proof.checkpoint).and_then(|note| Checkpoint::read(note.text()));
    Ok(match note {
        Ok(checkpoint) if checkpoint.head.includes(entry, proof.index, &proof.path, &AwsLc) => Unknown(format!(
            "it is entry {} of {} as the proof has it; give --log-key to believe its signature",
            proof.index, checkpoint.origin
        )),
        Ok(_) => No("the proof does not lead from the certificate to its checkpoint".to_owned()),
        Err(error) => No(error.to_string()),
    })
}

/// Whether the verdict is one that could be, with this credential at that time: what else was known is not in the file.
fn verdict_of(said: &Said<'_>, leaf: &Certificate<'_>, who: Option<&Identified>) -> Agrees {
    let Some(operation) = said.text("operation").and_then(Operation::from_name) else {
        return No("the operation is none".to_owned());
    };
    if said.text("verdict") != Some("allow") {
        return No("nothing is written that was not allowed".to_owned());
    }
    let Some(recorded) = said.recorded() else { return No("it does not say when it was".to_owned()) };
    let (from, to) = who.map_or((leaf.not_before(), leaf.not_after()), Identified::validity);
    let (early, late) = (recorded < from, recorded > to);
    match said.text("mark") {
        None if early || late => return No(format!("it is valid from {from} to {to}, and the verdict has no mark")),
        Some("expired-within-grace" | "expired-beyond-grace") if !late => {
            return No(format!("it is valid to {to}, and the mark says that it had expired"));
        }
        Some("not-yet-valid") if !early => {
            return No(format!("it is valid from {from}, and the mark says that it was not yet"));
        }
        _ => {}
    }
    match who {
        Some(who) if !who.roles().operations().contains(operation) => {
            No(format!("its roles do not let it {operation}"))
        }
        Some(_) => Yes("it was valid, or is marked, and its role is fit".to_owned()),
        None => Yes("it was valid, or is marked; its role is not checked without its issuer".to_owned()),
    }
}

/// The mark also stands as a tag, by which it is searched.
fn tag(said: &Said<'_>) -> Agrees {
    let tags = said.resource["meta"]["tag"].as_array().into_iter().flatten();
    let mark = tags
        .filter(|tag| tag["system"] == medlock_clinical::validate::MARK_SYSTEM)
        .find_map(|tag| tag["code"].as_str());
    if mark == said.text("mark") {
        return Yes(mark.unwrap_or("none").to_owned());
    }
    No(format!("the tag says {}, the verdict {}", mark.unwrap_or("none"), said.text("mark").unwrap_or("none")))
}
