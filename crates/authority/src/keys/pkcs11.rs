//! Keys in a PKCS#11 token (PKCS #11 v3.0; RFC 7512 names such objects): made there, used there, never outside.

use crate::signer::{KeyLabel, SignerError};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use medlock_node::provider::{self, SigningAlgorithm};
use medlock_node::{asn1, files};
use medlock_trust::crypto::{KeyAlgorithm, PublicKey};
use medlock_trust::der::{Reader, tag};
use medlock_trust::x509::SubjectPublicKeyInfo;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// `namedCurve` of P-256, P-384 and Ed25519 (RFC 5480 section 2.1.1.1, RFC 8410 section 3), as `CKA_EC_PARAMS` has it.
const P256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x06, 5, 0x2b, 0x81, 4, 0, 0x22];
const ED25519: &[u8] = &[0x06, 3, 0x2b, 0x65, 0x70];

/// Where keys are that are not in files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The token's PKCS#11 library: `/usr/lib/softhsm/libsofthsm2.so`, or that of the device's maker.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The file with the PIN of the token's user. Readable by the signer's user alone.
    pub pin_file: PathBuf,
}

/// The keys of one authority in a token. Used by the signer process only: the library runs in it.
pub(crate) struct Token {
    config: TokenConfig,
    /// What the names of the keys in the token begin with: tokens have keys of several authorities.
    authority: String,
    state: Mutex<State>,
}

struct State {
    open: Option<Open>,
    refused: RefusedPin,
}

/// The PIN that the token did not take, over restarts: it is not tried again, because a token locks itself after a few.
struct RefusedPin {
    /// Salt, and the SHA-256 of salt, token and PIN.
    file: PathBuf,
    /// The same, where it could not be written.
    unwritten: Option<Vec<u8>>,
}

impl RefusedPin {
    fn within(folder: &Path) -> Self {
        Self { file: folder.join("pin.refused"), unwritten: None }
    }

    fn is(&self, token: &str, pin: &str) -> bool {
        let read = files::read(&self.file).unwrap_or_else(|error| {
            tracing::warn!(%error, "whether the PIN was refused before is not known");
            None
        });
        let noted = read.or_else(|| self.unwritten.clone());
        let halves = noted.as_deref().and_then(|bytes| bytes.split_at_checked(SALT));
        halves.is_some_and(|(salt, hash)| hash == salted(salt, token, pin))
    }

    fn set(&mut self, token: &str, pin: &str) {
        let salt: [u8; SALT] = provider::random();
        let noted = [&salt[..], &salted(&salt, token, pin)].concat();
        if let Err(error) = files::replace(&self.file, &noted) {
            tracing::error!(%error, "a wrong PIN is tried again by the next signer, and the token locks itself after a few");
            self.unwritten = Some(noted);
        }
    }

    fn clear(&mut self) {
        self.unwritten = None;
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(file = %self.file.display(), %error, "what says that a PIN was refused stays");
            }
            _ => {}
        }
    }
}

/// Bytes of salt.
const SALT: usize = 16;

fn salted(salt: &[u8], token: &str, pin: &str) -> [u8; 32] {
    provider::sha256(&Zeroizing::new([salt, token.as_bytes(), &[0], pin.as_bytes()].concat()))
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("config", &self.config)
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

/// How old a session may be for that its token has no such key is believed.
const BELIEVED: Duration = Duration::from_secs(2);

/// A session somebody is logged in to. Handles of keys are good as long as it is.
struct Open {
    session: Session,
    /// Dropped behind the session: the library ends with it.
    library: Pkcs11,
    slot: Slot,
    since: Instant,
    keys: BTreeMap<KeyLabel, Held>,
}

impl Drop for Open {
    fn drop(&mut self) {
        // A library that has seen its token go often sees it again only when it starts anew.
        if let Err(error) = self.library.clone().finalize() {
            tracing::debug!(%error, "the PKCS#11 library did not end well");
        }
    }
}

#[derive(Clone, Debug)]
struct Held {
    private: ObjectHandle,
    spki: Vec<u8>,
    algorithm: SigningAlgorithm,
}

impl Token {
    /// The keys of this authority in this token, which need not be there yet: each use opens it if it is not open. That a PIN was
    /// refused is kept in `folder`.
    #[must_use]
    pub(crate) fn new(config: TokenConfig, authority: &str, folder: &Path) -> Self {
        let state = State { open: None, refused: RefusedPin::within(folder) };
        Self { config, authority: authority.to_owned(), state: Mutex::new(state) }
    }

    /// The public half (`SubjectPublicKeyInfo`, DER) of a key that is there.
    ///
    /// # Errors
    /// [`SignerError::Token`].
    pub(crate) fn public_key(&self, key: KeyLabel) -> Result<Option<Vec<u8>>, SignerError> {
        self.with(|open| Ok(open.find(&self.name(key), key)?.map(|held| held.spki)))
    }

    /// Makes the key in the token if it is not there, so that it never leaves it, and gives its public half.
    ///
    /// # Errors
    /// [`SignerError::Token`], also when the token makes no such keys.
    pub(crate) fn generate(&self, key: KeyLabel, algorithm: SigningAlgorithm) -> Result<Vec<u8>, SignerError> {
        let name = self.name(key);
        self.with(|open| match open.find(&name, key)? {
            Some(held) => Ok(held.spki),
            None => open.generate(&name, algorithm).and_then(|()| match open.find(&name, key)? {
                Some(held) => Ok(held.spki),
                None => Err(Failure::Unusable("the key it made is not there".to_owned())),
            }),
        })
    }

    /// Signs, as X.509 writes signatures or as COSE does; `None` if there is no such key.
    ///
    /// # Errors
    /// [`SignerError::Token`].
    pub(crate) fn sign(&self, key: KeyLabel, message: &[u8], as_cose: bool) -> Result<Option<Vec<u8>>, SignerError> {
        self.with(|open| {
            let Some(held) = open.find(&self.name(key), key)? else { return Ok(None) };
            let plain = open.sign(&held, message)?;
            let ecdsa = matches!(held.algorithm, SigningAlgorithm::P256 | SigningAlgorithm::P384);
            Ok(Some(if ecdsa && !as_cose { in_der(&plain) } else { plain }))
        })
    }

    /// What the key is called in the token (`CKA_LABEL`).
    fn name(&self, key: KeyLabel) -> String {
        format!("medlock {} {key}", self.authority)
    }

    /// Does something with the open token. A session that ended meanwhile is opened anew, once.
    fn with<T>(&self, mut act: impl FnMut(&mut Open) -> Result<T, Failure>) -> Result<T, SignerError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = state.open.is_none();
        let outcome = self.attempt(&mut state, &mut act);
        let outcome = match outcome {
            Err(Failure::Gone(_)) if !fresh => self.attempt(&mut state, &mut act),
            outcome => outcome,
        };
        outcome.map_err(|failure| {
            let TokenConfig { module, token, .. } = &self.config;
            SignerError::Token { module: module.clone(), token: token.clone(), why: failure.to_string() }
        })
    }

    fn attempt<T>(
        &self,
        state: &mut State,
        act: &mut impl FnMut(&mut Open) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let open = match &mut state.open {
            Some(open) => open,
            place => {
                let pin = pin(&self.config.pin_file)?;
                if state.refused.is(&self.config.token, &pin) {
                    return Err(Failure::Unusable(self.wrong_pin(&state.refused)));
                }
                match Open::new(&self.config, &AuthPin::new(pin.as_str().into())) {
                    Ok(open) => {
                        state.refused.clear();
                        place.insert(open)
                    }
                    Err(Failure::Pin) => {
                        state.refused.set(&self.config.token, &pin);
                        return Err(Failure::Unusable(self.wrong_pin(&state.refused)));
                    }
                    Err(failure) => return Err(failure),
                }
            }
        };
        let outcome = act(open);
        if matches!(outcome, Err(Failure::Gone(_))) {
            state.open = None;
        }
        outcome
    }

    fn wrong_pin(&self, refused: &RefusedPin) -> String {
        format!(
            "it does not take the PIN in {}; write the right one there: this one is not tried again, so that the token is not locked (if \
             it is the token's by now, remove {})",
            self.config.pin_file.display(),
            refused.file.display()
        )
    }
}

/// Why the token did not do it.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// What it said; it is opened anew at the next use.
    #[error("{0}")]
    Gone(String),
    /// It does not have what is asked for; asking again changes nothing.
    #[error("{0}")]
    Unusable(String),
    /// It does not take the PIN.
    #[error("it does not take the PIN")]
    Pin,
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid, _) => Self::Pin,
            error => Self::Gone(error.to_string()),
        }
    }
}

impl Open {
    fn new(config: &TokenConfig, pin: &AuthPin) -> Result<Self, Failure> {
        let library = Pkcs11::new(&config.module)?;
        match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another token of the same library is open.
            Ok(()) | Err(TokenError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(error.into()),
        }
        let opened = Self::log_in(&library, config, pin);
        match opened {
            Ok((session, slot)) => Ok(Self { session, library, slot, since: Instant::now(), keys: BTreeMap::new() }),
            Err(failure) => {
                let _ = library.finalize();
                Err(failure)
            }
        }
    }

    fn log_in(library: &Pkcs11, config: &TokenConfig, pin: &AuthPin) -> Result<(Session, Slot), Failure> {
        let mut seen = Vec::new();
        for slot in library.get_slots_with_initialized_token()? {
            let info = library.get_token_info(slot)?;
            let label = info.label().to_owned();
            if label == config.token {
                if info.user_pin_final_try() {
                    return Err(Failure::Unusable(
                        "one more wrong PIN locks it, and that one is not tried here: log in once by the token's own tool".to_owned(),
                    ));
                }
                let session = library.open_rw_session(slot)?;
                match session.login(UserType::User, Some(pin)) {
                    Ok(()) | Err(TokenError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => return Ok((session, slot)),
                    Err(error) => return Err(error.into()),
                }
            }
            seen.push(label);
        }
        let there = if seen.is_empty() { "no token".to_owned() } else { format!("only {}", seen.join(", ")) };
        Err(Failure::Gone(format!("the library sees {there}")))
    }

    /// The key of this name, remembered.
    fn find(&mut self, name: &str, key: KeyLabel) -> Result<Option<Held>, Failure> {
        if let Some(held) = self.keys.get(&key) {
            return Ok(Some(held.clone()));
        }
        let of = |class| [Attribute::Class(class), Attribute::Token(true), Attribute::Label(name.as_bytes().to_vec())];
        let private = self.session.find_objects(&of(ObjectClass::PRIVATE_KEY))?;
        let public = self.session.find_objects(&of(ObjectClass::PUBLIC_KEY))?;
        let (private, public) = match (private.as_slice(), public.as_slice()) {
            // A session may outlive its token, and then sees nothing in it.
            ([], []) if self.since.elapsed() > BELIEVED => {
                return Err(Failure::Gone(format!("it shows no key {name:?} any more")));
            }
            ([], []) => return Ok(None),
            ([private], [public]) => (*private, *public),
            _ => {
                let why = format!("it has {} private and {} public keys called {name:?}", private.len(), public.len());
                return Err(Failure::Unusable(why));
            }
        };
        let (mut point, mut curve) = (Vec::new(), Vec::new());
        for attribute in self.session.get_attributes(public, &[AttributeType::EcPoint, AttributeType::EcParams])? {
            match attribute {
                Attribute::EcPoint(bytes) => point = bytes,
                Attribute::EcParams(bytes) => curve = bytes,
                _ => {}
            }
        }
        let unusable = || Failure::Unusable(format!("the key {name:?} is on no curve that is used here"));
        let algorithm = algorithm_of(&curve).ok_or_else(unusable)?;
        // An OCTET STRING that holds the point (section 2.3.3); some tokens leave the string out.
        let mut reader = Reader::new(&point);
        let inside = reader.expect(tag::OCTET_STRING).ok().filter(|_| reader.finish().is_ok());
        let bits = inside.unwrap_or(&point);
        let spki = asn1::spki(PublicKey { algorithm: algorithm.key(), bits }).ok_or_else(unusable)?;
        let read = SubjectPublicKeyInfo::from_der(&spki).ok().and_then(|spki| spki.public_key());
        if read.is_none_or(|read| read.algorithm != algorithm.key()) {
            return Err(unusable());
        }
        let held = Held { private, spki, algorithm };
        self.keys.insert(key, held.clone());
        Ok(Some(held))
    }

    fn generate(&mut self, name: &str, algorithm: SigningAlgorithm) -> Result<(), Failure> {
        let (curve, mechanism, kind) = match algorithm {
            SigningAlgorithm::P256 => (P256, Mechanism::EccKeyPairGen, MechanismType::ECC_KEY_PAIR_GEN),
            SigningAlgorithm::P384 => (P384, Mechanism::EccKeyPairGen, MechanismType::ECC_KEY_PAIR_GEN),
            SigningAlgorithm::Ed25519 => {
                (ED25519, Mechanism::EccEdwardsKeyPairGen, MechanismType::ECC_EDWARDS_KEY_PAIR_GEN)
            }
            SigningAlgorithm::MlDsa44 | SigningAlgorithm::MlDsa65 => {
                return Err(Failure::Unusable(format!(
                    "keys of {algorithm} are not made in tokens: choose p256 or p384, or keep this authority's keys in files"
                )));
            }
        };
        match self.library.get_mechanism_info(self.slot, kind) {
            Ok(_) => {}
            Err(TokenError::Pkcs11(RvError::MechanismInvalid, _)) => {
                let why = format!("it makes no keys of {algorithm}: choose another algorithm or token");
                return Err(Failure::Unusable(why));
            }
            Err(error) => return Err(error.into()),
        }
        let id = provider::random::<16>().to_vec();
        let label = Attribute::Label(name.as_bytes().to_vec());
        let key_type =
            Attribute::KeyType(if kind == MechanismType::ECC_KEY_PAIR_GEN { KeyType::EC } else { KeyType::EC_EDWARDS });
        let public = [
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(curve.to_vec()),
            key_type.clone(),
            label.clone(),
            Attribute::Id(id.clone()),
        ];
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            key_type,
            label,
            Attribute::Id(id),
        ];
        self.session.generate_key_pair(&mechanism, &public, &private)?;
        Ok(())
    }

    /// The signature: `r‖s`, or Ed25519's.
    fn sign(&self, held: &Held, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let sign = |mechanism: &Mechanism<'_>, data: &[u8]| Ok(self.session.sign(mechanism, held.private, data)?);
        match held.algorithm.key() {
            // The token signs the digest: not every one hashes, and none need take a CRL of a megabyte.
            KeyAlgorithm::P256 => sign(&Mechanism::Ecdsa, &provider::sha256(message)),
            KeyAlgorithm::P384 => sign(&Mechanism::Ecdsa, &provider::sha384(message)),
            KeyAlgorithm::Ed25519 => sign(&Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)), message),
            KeyAlgorithm::Rsa | KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 => {
                Err(Failure::Unusable(format!("it does not sign with {}", held.algorithm)))
            }
        }
    }
}

fn algorithm_of(curve: &[u8]) -> Option<SigningAlgorithm> {
    // Tokens also name Ed25519 by its name, as PKCS #11 v3.0 section 2.3.5 has it.
    const NAMED: &[u8] = b"\x13\x0cedwards25519";
    match curve {
        P256 => Some(SigningAlgorithm::P256),
        P384 => Some(SigningAlgorithm::P384),
        ED25519 | NAMED => Some(SigningAlgorithm::Ed25519),
        _ => None,
    }
}

/// `ECDSA-Sig-Value` (RFC 3279 section 2.2.3) of `r‖s`.
fn in_der(plain: &[u8]) -> Vec<u8> {
    let (r, s) = plain.split_at(plain.len() / 2);
    asn1::sequence(&[&asn1::unsigned(r), &asn1::unsigned(s)])
}

fn pin(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let read = std::fs::read_to_string(file).map(Zeroizing::new);
    let text = read.map_err(|error| Failure::Unusable(format!("the PIN file {}: {error}", file.display())))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}
