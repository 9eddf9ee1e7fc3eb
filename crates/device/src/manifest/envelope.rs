//! The envelope, its signatures, and the members of the manifest.

use super::commands::Stage;
use super::{MAX_CHECKS, Refused, UpdateKeys};
use medlock_trust::cbor::{ErrorKind, Head, Reader};
use medlock_trust::crypto::{Crypto, KeyAlgorithm, PublicKey, Signature, SignatureAlgorithm};

const ENVELOPE_TAG: u64 = 107;
const SIGN1_TAG: u64 = 18;
const SHA_256: i64 = -16;

const AUTHENTICATION: u64 = 2;
const MANIFEST: u64 = 3;
const PAYLOAD_FETCH: u64 = 16;
const INSTALL: u64 = 20;
const TEXT: u64 = 23;

/// The most signatures in an envelope.
const MAX_BLOCKS: u64 = 8;
/// The most segments of a component identifier, and members of a map.
const MAX_MEMBERS: u64 = 16;

/// A read envelope. Nothing in it is believed yet.
pub(super) struct Envelope<'a> {
    /// The encoding of `SUIT_Digest`, which is what is signed.
    digest: &'a [u8],
    /// The authentication blocks: items of a list.
    blocks: &'a [u8],
    count: u64,
    manifest: &'a [u8],
    payload_fetch: Option<&'a [u8]>,
    install: Option<&'a [u8]>,
    text: Option<&'a [u8]>,
}

impl<'a> Envelope<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Refused> {
        let mut reader = Reader::new(bytes);
        reader.tag(ENVELOPE_TAG)?;
        let (mut authentication, mut manifest) = (None, None);
        let (mut payload_fetch, mut install, mut text) = (None, None, None);
        members(&mut reader, |label, reader| {
            let member = match label {
                AUTHENTICATION => &mut authentication,
                MANIFEST => &mut manifest,
                PAYLOAD_FETCH => &mut payload_fetch,
                INSTALL => &mut install,
                TEXT => &mut text,
                _ => return Err(unsupported(label)),
            };
            *member = Some(reader.bytes()?);
            Ok(())
        })?;
        reader.finish()?;
        let mut wrapper = Reader::new(authentication.ok_or(Refused::Incomplete)?);
        let count = wrapper.array(MAX_BLOCKS.saturating_add(1))?;
        let digest = wrapper.bytes()?;
        let start = wrapper.position();
        let count = count.saturating_sub(1);
        for _ in 0..count {
            wrapper.bytes()?;
        }
        let blocks = wrapper.read_since(start);
        wrapper.finish()?;
        let manifest = manifest.ok_or(Refused::Incomplete)?;
        Ok(Self { digest, blocks, count, manifest, payload_fetch, install, text })
    }

    /// The manifest, if the envelope's digest is of it.
    pub(super) fn manifest(&self, crypto: &impl Crypto) -> Result<Manifest<'a>, Refused> {
        let mut reader = Reader::new(self.digest);
        let digest = read_digest(&mut reader)?;
        reader.finish()?;
        check_digest(digest, self.manifest, crypto)?;
        Manifest::read(self.manifest)
    }

    /// Counts the pinned keys that have signed.
    pub(super) fn verify(&self, keys: &UpdateKeys<'_>, crypto: &impl Crypto) -> Result<(), Refused> {
        let mut reader = Reader::new(self.blocks);
        let mut has_signed = [false; MAX_CHECKS];
        let mut checks = 0_usize;
        for _ in 0..self.count {
            let block = Block::read(reader.bytes()?)?;
            for (key, has_signed) in keys.keys.iter().zip(&mut has_signed) {
                let named = block.kid.is_none_or(|kid| kid == key.id.as_bytes());
                if *has_signed || !named || key_algorithm(block.algorithm) != Some(key.key.algorithm) {
                    continue;
                }
                if checks >= MAX_CHECKS {
                    break;
                }
                checks = checks.saturating_add(1);
                if block.is_by(key.key, self.digest, crypto) {
                    *has_signed = true;
                    break;
                }
            }
        }
        let signed = has_signed.iter().fold(0_u8, |count, has_signed| count.saturating_add(u8::from(*has_signed)));
        if signed >= keys.threshold.max(1) { Ok(()) } else { Err(Refused::Signatures(signed)) }
    }
}

/// One signature: a COSE_Sign1 whose payload is outside (RFC 9052 section 4.2).
struct Block<'a> {
    protected: &'a [u8],
    algorithm: i64,
    kid: Option<&'a [u8]>,
    signature: &'a [u8],
}

impl<'a> Block<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Refused> {
        let mut reader = Reader::new(bytes);
        reader.tag(SIGN1_TAG)?;
        reader.array_of(4)?;
        let protected = reader.bytes()?;
        let mut header = Reader::new(protected);
        let (mut algorithm, mut kid) = (None, None);
        members(&mut header, |label, header| {
            match label {
                1 => algorithm = Some(header.int()?),
                4 => kid = Some(header.bytes()?),
                _ => return Err(unsupported(label)),
            }
            Ok(())
        })?;
        header.finish()?;
        members(&mut reader, |label, reader| match (label, kid) {
            (4, None) => {
                kid = Some(reader.bytes()?);
                Ok(())
            }
            _ => Err(unsupported(label)),
        })?;
        if !reader.null()? {
            return Err(reader.error(ErrorKind::WrongType).into());
        }
        let signature = reader.bytes()?;
        reader.finish()?;
        Ok(Self { protected, algorithm: algorithm.ok_or(Refused::Incomplete)?, kid, signature })
    }

    fn is_by(&self, key: PublicKey<'_>, digest: &[u8], crypto: &impl Crypto) -> bool {
        let Some(algorithm) = signature_algorithm(self.algorithm) else {
            return false;
        };
        let (protected, payload) = (Head::bytes(self.protected), Head::bytes(digest));
        let signed: [&[u8]; 6] =
            [b"\x84\x6aSignature1", protected.as_bytes(), self.protected, b"\x40", payload.as_bytes(), digest];
        crypto.verify(algorithm, key, &signed, Signature::Cose(self.signature)).is_ok()
    }
}

/// The algorithms of RFC 9053, RFC 9864 and RFC 9964 that may sign an update.
const fn signature_algorithm(number: i64) -> Option<SignatureAlgorithm> {
    match number {
        -7 | -9 => Some(SignatureAlgorithm::EcdsaSha256),
        -8 | -19 => Some(SignatureAlgorithm::Ed25519),
        -48 => Some(SignatureAlgorithm::MlDsa44),
        _ => None,
    }
}

const fn key_algorithm(number: i64) -> Option<KeyAlgorithm> {
    match number {
        -7 | -9 => Some(KeyAlgorithm::P256),
        -8 | -19 => Some(KeyAlgorithm::Ed25519),
        -48 => Some(KeyAlgorithm::MlDsa44),
        _ => None,
    }
}

/// A command sequence inside the manifest, or the digest of one that was moved out.
enum Member<'a> {
    Inside(&'a [u8]),
    Moved([u8; 32]),
}

/// The members of a manifest.
pub(super) struct Manifest<'a> {
    pub(super) sequence_number: u64,
    common: &'a [u8],
    validate: Option<&'a [u8]>,
    invoke: Option<&'a [u8]>,
    payload_fetch: Option<Member<'a>>,
    install: Option<Member<'a>>,
    text: Option<Member<'a>>,
}

impl<'a> Manifest<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Refused> {
        let mut reader = Reader::new(bytes);
        let (mut version, mut sequence_number, mut common) = (None, None, None);
        let (mut validate, mut invoke, mut payload_fetch, mut install, mut text) = (None, None, None, None, None);
        members(&mut reader, |label, reader| {
            match label {
                1 => version = Some(reader.int()?),
                2 => sequence_number = Some(reader.uint()?),
                3 => common = Some(reader.bytes()?),
                // Where the manifest can be had: of no use to who has it.
                4 => reader.text(MAX_TEXT).map(drop)?,
                7 => validate = Some(reader.bytes()?),
                9 => invoke = Some(reader.bytes()?),
                PAYLOAD_FETCH => payload_fetch = Some(Member::read(reader)?),
                INSTALL => install = Some(Member::read(reader)?),
                TEXT => text = Some(Member::read(reader)?),
                _ => return Err(unsupported(label)),
            }
            Ok(())
        })?;
        reader.finish()?;
        match version {
            Some(1) => {}
            Some(other) => return Err(Refused::Unsupported(other)),
            None => return Err(Refused::Incomplete),
        }
        Ok(Self {
            sequence_number: sequence_number.ok_or(Refused::Incomplete)?,
            common: common.ok_or(Refused::Incomplete)?,
            validate,
            invoke,
            payload_fetch,
            install,
            text,
        })
    }

    /// What all sequences share.
    pub(super) fn common(&self) -> Result<Common<'a>, Refused> {
        let mut reader = Reader::new(self.common);
        let (mut component, mut shared) = (None, None);
        members(&mut reader, |label, reader| {
            match label {
                2 => {
                    if reader.array(MAX_MEMBERS)? != 1 {
                        return Err(Refused::Component);
                    }
                    component = Some(Component(reader.skip()?));
                }
                4 => shared = Some(reader.bytes()?),
                _ => return Err(unsupported(label)),
            }
            Ok(())
        })?;
        reader.finish()?;
        Ok(Common { component: component.ok_or(Refused::Component)?, shared: shared.ok_or(Refused::Incomplete)? })
    }

    /// The sequences behind the shared one, in the order in which they would be carried out.
    pub(super) fn sequences(
        &self,
        envelope: &Envelope<'a>,
        crypto: &impl Crypto,
    ) -> Result<[StageSequence<'a>; 4], Refused> {
        // The text is for people, who may have left it out; what is there is what was signed.
        if envelope.text.is_some() {
            resolve(self.text.as_ref(), envelope.text, crypto)?;
        }
        Ok([
            (Stage::PayloadFetch, resolve(self.payload_fetch.as_ref(), envelope.payload_fetch, crypto)?),
            (Stage::Install, resolve(self.install.as_ref(), envelope.install, crypto)?),
            (Stage::Validate, self.validate),
            (Stage::Invoke, self.invoke),
        ])
    }
}

impl<'a> Member<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Refused> {
        // A byte string is the sequence itself, a list its digest.
        match reader.clone().bytes() {
            Ok(_) => Ok(Self::Inside(reader.bytes()?)),
            Err(_) => Ok(Self::Moved(*read_digest(reader)?)),
        }
    }
}

/// The sequence of a member, wherever it is; one in the envelope that the manifest knows nothing of is refused.
fn resolve<'a>(
    member: Option<&Member<'a>>,
    moved: Option<&'a [u8]>,
    crypto: &impl Crypto,
) -> Result<Option<&'a [u8]>, Refused> {
    match (member, moved) {
        (None, None) => Ok(None),
        (Some(Member::Inside(sequence)), None) => Ok(Some(sequence)),
        (Some(Member::Moved(digest)), Some(sequence)) => {
            check_digest(digest, sequence, crypto)?;
            Ok(Some(sequence))
        }
        (Some(Member::Moved(_)), None) | (None | Some(Member::Inside(_)), Some(_)) => Err(Refused::Incomplete),
    }
}

/// A stage, and its command sequence if the manifest has one.
pub(super) type StageSequence<'a> = (Stage, Option<&'a [u8]>);

/// The longest URI that is read.
pub(super) const MAX_TEXT: usize = 512;

/// `SUIT_Common`.
pub(super) struct Common<'a> {
    pub(super) component: Component<'a>,
    pub(super) shared: &'a [u8],
}

/// The encoding of a component identifier.
pub(super) struct Component<'a>(&'a [u8]);

impl Component<'_> {
    pub(super) fn is(&self, segments: &[&[u8]]) -> bool {
        let mut reader = Reader::new(self.0);
        let count = reader.array(MAX_MEMBERS).ok().and_then(|count| usize::try_from(count).ok());
        count == Some(segments.len()) && segments.iter().all(|segment| reader.bytes() == Ok(*segment))
    }
}

/// Reads `SUIT_Digest` of SHA-256.
pub(super) fn read_digest<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8; 32], Refused> {
    reader.array_of(2)?;
    match reader.int()? {
        SHA_256 => Ok(reader.fixed()?),
        other => Err(Refused::Unsupported(other)),
    }
}

/// Digests are over the byte string, its head included.
fn check_digest(digest: &[u8; 32], content: &[u8], crypto: &impl Crypto) -> Result<(), Refused> {
    let head = Head::bytes(content);
    if crypto.sha256(&[head.as_bytes(), content]) == *digest { Ok(()) } else { Err(Refused::Digest) }
}

/// Reads a map with unsigned labels that strictly ascend.
fn members<'a>(
    reader: &mut Reader<'a>,
    mut each: impl FnMut(u64, &mut Reader<'a>) -> Result<(), Refused>,
) -> Result<(), Refused> {
    let mut least = 0;
    for _ in 0..reader.map(MAX_MEMBERS)? {
        let error = reader.error(ErrorKind::NotAscending);
        let label = reader.uint()?;
        if label < least {
            return Err(error.into());
        }
        least = label.saturating_add(1);
        each(label, reader)?;
    }
    Ok(())
}

pub(super) fn unsupported(label: u64) -> Refused {
    Refused::Unsupported(i64::try_from(label).unwrap_or(i64::MAX))
}
