//! Whom a community vouches for.

use super::config::CommunityConfig;
use super::revocation::Lists;
use crate::Error;
use crate::auth::clients::Member;
use crate::auth::scope::Scopes;
use crate::jose::{Algorithm, Key};
use crate::kind::Kind;
use medlock_node::identity::certificates_from_pem;
use medlock_node::provider::{AwsLc, WebAlgorithm, WebKey, sha256};
use medlock_trust::Time;
use medlock_trust::path::{self, Anchor, AuthorityKind, Budget};
use medlock_trust::x509::{Certificate, GeneralName, SubjectPublicKeyInfo};
use std::path::Path;
use std::sync::Mutex;
use zeroize::Zeroizing;

/// How its software signs (section 7.1.2 of the guide).
pub(super) const ALGORITHMS: [Algorithm; 4] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::Rs384, Algorithm::Es384];

/// A community whose software registers by itself.
#[derive(Debug)]
pub(crate) struct Community {
    pub(super) name: String,
    pub(super) scopes: Scopes,
    /// Its authorities (DER).
    anchors: Vec<Vec<u8>>,
    /// What they have revoked.
    lists: Lists,
    /// The hub's own certificate and what is above it (DER), and its key.
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) key: WebKey,
    /// What the hub says of itself, and when that was signed.
    pub(super) signed: Mutex<Option<(i64, String)>>,
}

/// All communities, the first of which is meant where none is named.
#[derive(Debug, Default)]
pub(crate) struct Communities(Vec<Community>);

/// Somebody for whom a community vouches now.
pub(in crate::auth) struct Vouched {
    pub(in crate::auth) key: Key,
    /// SHA-256 of it, as its certificate has it (`SubjectPublicKeyInfo`).
    pub(super) spki: [u8; 32],
    /// The addresses that its certificate names.
    names: Vec<String>,
}

impl Vouched {
    /// Whether the certificate names this address, letter by letter.
    pub(in crate::auth) fn is(&self, name: &str) -> bool {
        self.names.iter().any(|one| one == name)
    }
}

impl Communities {
    /// Reads the files of all. `base` is the address of the records. Blocks.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub(crate) fn open(configs: &[CommunityConfig], base: &str, now: Time) -> Result<Self, Error> {
        let all = configs.iter().map(|config| Community::open(config, base, now)).collect::<Result<Vec<_>, _>>()?;
        let same = |one: &Community| all.iter().filter(|other| other.name == one.name).count() > 1;
        match all.iter().find(|one| same(one)) {
            Some(one) => Err(Error::Setting { setting: "udap.name", what: format!("{:?} stands twice", one.name) }),
            None => Ok(Self(all)),
        }
    }

    pub(in crate::auth) fn named(&self, name: &str) -> Option<&Community> {
        self.0.iter().find(|community| community.name == name)
    }

    /// The one that is meant where none is named.
    pub(super) fn first(&self) -> Option<&Community> {
        self.0.first()
    }

    /// What of these scopes the site gives to software of its community now, which may be less than when it registered.
    pub(crate) fn left(&self, member: &Member, scopes: &Scopes) -> Scopes {
        let kinds: Vec<Kind> = Kind::all().collect();
        self.named(&member.community).map(|community| scopes.within(&community.scopes, &kinds)).unwrap_or_default()
    }

    /// Whether its community vouches for software now, by the chain that it showed last. Blocks where a list has changed.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn vouch(&self, member: &Member, now: Time) -> Result<(), String> {
        let community = self.named(&member.community).ok_or("its community is not believed here any more")?;
        let vouched = community.vouches(&member.chain, now)?;
        if vouched.is(&member.uri) { Ok(()) } else { Err("its certificate names another".to_owned()) }
    }

    /// The first that vouches for a chain.
    ///
    /// # Errors
    /// Why the last of them does not.
    pub(super) fn vouching(&self, chain: &[Vec<u8>], now: Time) -> Result<(&Community, Vouched), String> {
        let mut why = "no community is known here".to_owned();
        for community in &self.0 {
            match community.vouches(chain, now) {
                Ok(vouched) => return Ok((community, vouched)),
                Err(not) => why = not,
            }
        }
        Err(why)
    }
}

impl Community {
    fn open(config: &CommunityConfig, base: &str, now: Time) -> Result<Self, Error> {
        let scopes = config.check()?;
        let wrong =
            |setting, path: &Path, what: &str| Error::Setting { setting, what: format!("{}: {what}", path.display()) };
        let read = |setting, path: &Path| {
            std::fs::read(path).map(Zeroizing::new).map_err(|error| wrong(setting, path, &error.to_string()))
        };
        let certificates = |setting, path: &Path| {
            let found = certificates_from_pem(&read(setting, path)?).map_err(|why| wrong(setting, path, &why))?;
            if found.is_empty() { Err(wrong(setting, path, "there is no certificate in it")) } else { Ok(found) }
        };
        let anchors = certificates("udap.anchors", &config.anchors)?;
        if let Some(place) = anchors.iter().position(|anchor| as_anchor(anchor).is_none()) {
            let text = format!("certificate {} is no authority's", place + 1);
            return Err(wrong("udap.anchors", &config.anchors, &text));
        }
        let chain = certificates("udap.certificate", &config.certificate)?;
        let key = WebKey::from_pem(&read("udap.key_file", &config.key_file)?);
        let key = key.map_err(|error| wrong("udap.key_file", &config.key_file, &error.to_string()))?;
        if key.algorithm() != WebAlgorithm::Rs256 {
            return Err(wrong("udap.key_file", &config.key_file, "the guide wants an RSA key (RS256)"));
        }
        let name = config.name.clone();
        let lists = Lists::new(&config.revocation_lists);
        if let Some((path, why)) = lists.unreadable() {
            return Err(wrong("udap.revocation_lists", path, &why));
        }
        let community = Self { name, scopes, anchors, lists, chain, key, signed: Mutex::default() };
        // Whoever reads it has to believe it; that it has expired by now is for them to see, and devices go on.
        match community.path(&community.chain, None) {
            Ok(own) if !own.is(base) => Err(wrong(
                "udap.certificate",
                &config.certificate,
                &format!("it does not name {base} (subjectAltName, URI)"),
            )),
            Ok(own) if Key::from_spki(community.key.spki()).as_ref() != Some(&own.key) => {
                Err(wrong("udap.certificate", &config.certificate, "it is not that of the key in key_file"))
            }
            Ok(_) => {
                if let Err(why) = community.vouches(&community.chain, now) {
                    tracing::warn!(community = community.name, why, "the community will not believe the hub");
                }
                Ok(community)
            }
            Err(why) => Err(wrong("udap.certificate", &config.certificate, &why)),
        }
    }

    /// Whom a chain is about, its own certificate first, if it leads to an authority of the community and all of it is valid now.
    ///
    /// # Errors
    /// Why it does not count.
    pub(in crate::auth) fn vouches(&self, chain: &[Vec<u8>], now: Time) -> Result<Vouched, String> {
        self.path(chain, Some(now))
    }

    fn path(&self, chain: &[Vec<u8>], now: Option<Time>) -> Result<Vouched, String> {
        let anchors: Vec<Anchor<'_>> = self
            .anchors
            .iter()
            .filter_map(|der| as_anchor(der))
            .filter(|(certificate, _)| {
                let validity = certificate.validity();
                now.is_none_or(|now| (validity.not_before..=validity.not_after).contains(&now))
            })
            .map(|(_, anchor)| anchor)
            .collect();
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let path =
            path::validate(&chain, &anchors, &mut Budget::default(), &AwsLc).map_err(|error| error.to_string())?;
        if let Some(now) = now {
            path.check_validity(now).map_err(|error| error.to_string())?;
            // Each is on the list of the one above it, the last on the anchor's.
            let above = path.certificates().skip(1).map(|issuer| issuer.spki()).chain([path.anchor().spki]);
            for (certificate, issuer) in path.certificates().zip(above) {
                let issuer = SubjectPublicKeyInfo::from_der(issuer).map_err(|error| format!("{error:?}"))?;
                let key = issuer.public_key().ok_or("the issuer's key is of a kind that is not used here")?;
                self.lists.check(&certificate, key, now)?;
            }
        }
        let leaf = path.leaf();
        if !leaf.key_may_sign() {
            return Err("the certificate's key is not for signatures (keyUsage)".to_owned());
        }
        let key = Key::from_spki(leaf.spki()).ok_or("the certificate's key is of a kind that is not used here")?;
        let names = leaf.extensions().subject_alt_names().filter_map(|name| match name {
            GeneralName::Uri(name) => Some(name.to_owned()),
            _ => None,
        });
        Ok(Vouched { key, spki: sha256(leaf.spki()), names: names.collect() })
    }
}

fn as_anchor(der: &[u8]) -> Option<(Certificate<'_>, Anchor<'_>)> {
    let certificate = Certificate::from_der(der).ok()?;
    let anchor = Anchor::for_everything(&certificate, AuthorityKind::Site, &AwsLc)?;
    Some((certificate, anchor))
}
