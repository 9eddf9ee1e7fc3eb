//! x
use crate::{Failure, Outcome};
/// a
#[derive(Debug, clap::Args)]
pub(crate) struct DicomArgs {}
pub(crate) fn dicom(_: &DicomArgs) -> Result<Outcome, Failure> {
    Ok(Outcome::Done)
}
