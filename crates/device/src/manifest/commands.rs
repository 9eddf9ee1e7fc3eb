//! The commands of a manifest for one image.

use super::envelope::{MAX_TEXT, read_digest, unsupported};
use super::{Refused, Target};
use medlock_trust::cbor::{ErrorKind, Reader};

/// Which sequence is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Shared,
    PayloadFetch,
    Install,
    Validate,
    Invoke,
}

/// The most items of a sequence: a command has two.
const MAX_ITEMS: u64 = 32;
const MAX_PARAMETERS: u64 = 8;

const VENDOR: i64 = 1;
const CLASS: i64 = 2;
const IMAGE_MATCH: i64 = 3;
const SET_COMPONENT_INDEX: i64 = 12;
const OVERRIDE_PARAMETERS: i64 = 20;
const FETCH: i64 = 21;
const INVOKE: i64 = 23;
const DEVICE: i64 = 24;

/// The parameters so far, and what was checked.
#[derive(Default)]
pub(super) struct State<'a> {
    vendor: Option<[u8; 16]>,
    class: Option<[u8; 16]>,
    device: Option<[u8; 16]>,
    digest: Option<[u8; 32]>,
    size: Option<u64>,
    uri: Option<&'a str>,
    vendor_matched: bool,
    class_matched: bool,
    image_matched_when_validating: bool,
}

impl<'a> State<'a> {
    /// Carries out a sequence, as far as that can be done before there is an image.
    pub(super) fn run(&mut self, stage: Stage, sequence: &'a [u8], target: &Target<'_>) -> Result<(), Refused> {
        let mut reader = Reader::new(sequence);
        let error = reader.error(ErrorKind::OutOfRange);
        let items = reader.array(MAX_ITEMS)?;
        if items == 0 || items & 1 != 0 {
            return Err(error.into());
        }
        for _ in 0..(items >> 1) {
            let command = reader.int()?;
            match (stage, command) {
                (_, OVERRIDE_PARAMETERS) => self.set_parameters(stage, &mut reader)?,
                (_, SET_COMPONENT_INDEX) => {
                    if reader.uint()? != 0 {
                        return Err(Refused::Component);
                    }
                }
                (Stage::Shared, VENDOR) => {
                    reporting(&mut reader)?;
                    self.vendor_matched = matched(self.vendor, Some(target.vendor))?;
                }
                (Stage::Shared, CLASS) => {
                    reporting(&mut reader)?;
                    self.class_matched = matched(self.class, Some(target.class))?;
                }
                (Stage::Shared, DEVICE) => {
                    reporting(&mut reader)?;
                    matched(self.device, target.device)?;
                }
                (Stage::PayloadFetch | Stage::Install, FETCH | IMAGE_MATCH) | (Stage::Invoke, INVOKE) => {
                    reporting(&mut reader)?;
                }
                (Stage::Validate, IMAGE_MATCH) => {
                    reporting(&mut reader)?;
                    self.image_matched_when_validating = true;
                }
                _ => return Err(Refused::Command(command)),
            }
        }
        Ok(reader.finish()?)
    }

    fn set_parameters(&mut self, stage: Stage, reader: &mut Reader<'a>) -> Result<(), Refused> {
        let mut least = 0;
        for _ in 0..reader.map(MAX_PARAMETERS)? {
            let error = reader.error(ErrorKind::NotAscending);
            let parameter = reader.uint()?;
            if parameter < least {
                return Err(error.into());
            }
            least = parameter.saturating_add(1);
            match (stage, parameter) {
                (Stage::Shared, 1) => set_once(&mut self.vendor, *reader.fixed()?)?,
                (Stage::Shared, 2) => set_once(&mut self.class, *reader.fixed()?)?,
                (Stage::Shared, 3) => {
                    let mut inner = Reader::new(reader.bytes()?);
                    set_once(&mut self.digest, *read_digest(&mut inner)?)?;
                    inner.finish()?;
                }
                (Stage::Shared, 14) => set_once(&mut self.size, reader.uint()?)?,
                (Stage::Shared, 24) => set_once(&mut self.device, *reader.fixed()?)?,
                (Stage::Shared | Stage::PayloadFetch | Stage::Install, 21) => {
                    set_once(&mut self.uri, reader.text(MAX_TEXT)?)?;
                }
                _ => return Err(unsupported(parameter)),
            }
        }
        Ok(())
    }

    /// The digest and size of the image, if maker and class were checked.
    pub(super) fn required(&self) -> Result<([u8; 32], u64), Refused> {
        match (self.digest, self.size) {
            (Some(digest), Some(size)) if self.vendor_matched && self.class_matched => Ok((digest, size)),
            (Some(_) | None, Some(_) | None) => Err(Refused::Incomplete),
        }
    }

    pub(super) const fn validates(&self) -> bool {
        self.image_matched_when_validating
    }

    pub(super) const fn uri(&self) -> Option<&'a str> {
        self.uri
    }
}

/// What a condition reports afterwards (`SUIT_Rep_Policy`): nobody here is told.
fn reporting(reader: &mut Reader<'_>) -> Result<(), Refused> {
    let error = reader.error(ErrorKind::OutOfRange);
    if reader.uint()? < 16 { Ok(()) } else { Err(error.into()) }
}

/// A value that is set a second time would mean another image or addressee than was checked.
fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), Refused> {
    if slot.is_some() {
        return Err(Refused::Incomplete);
    }
    *slot = Some(value);
    Ok(())
}

fn matched(parameter: Option<[u8; 16]>, own: Option<[u8; 16]>) -> Result<bool, Refused> {
    match parameter {
        None => Err(Refused::Incomplete),
        Some(_) if parameter == own => Ok(true),
        Some(_) => Err(Refused::Addressee),
    }
}
