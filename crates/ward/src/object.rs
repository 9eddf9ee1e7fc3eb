//! Objects: a data set as bytes, and what must be known to send it.

use crate::Error;
use dicom_core::{DataElement, PrimitiveValue, VR, dicom_value};
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, meta::FileMetaTable};
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;
use medlock_node::provider::{random, sha256};
use std::{
    fs,
    path::{Path, PathBuf},
};

const CT_IMAGE_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
const MEDIA_STORAGE_DIRECTORY: &str = "1.2.840.10008.1.3.10";
/// Rows and columns of a generated image: with 16 bits a pixel 524,288 bytes, a usual CT slice.
const SIDE: u16 = 512;

/// A data set as it stands in a file or goes over the wire, never decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// What kind of object.
    pub sop_class: String,
    /// Which object.
    pub sop_instance: String,
    /// How the data set is written.
    pub transfer_syntax: String,
    /// The data set, without preamble and meta information.
    pub data_set: Vec<u8>,
}

/// The files of a directory.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// The objects, ordered by path.
    pub objects: Vec<(PathBuf, Object)>,
    /// The files that are no objects, and why.
    pub others: Vec<(PathBuf, String)>,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Object({} of class {}, {} bytes)", self.sop_instance, self.sop_class, self.data_set.len())
    }
}

impl Object {
    /// The SHA-256 of the data set, in hexadecimal: by it what was stored is compared with what was sent.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(&self.data_set)
    }

    /// Reads a file with preamble and meta information (PS3.10 section 7); the data set is taken as it is.
    ///
    /// # Errors
    /// [`Error::File`], and [`Error::NotDicom`] for anything else than one object in a DICOM file.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        let wrong = |what: &str| Error::NotDicom { path: path.to_owned(), what: what.to_owned() };
        let rest = bytes.get(128..).filter(|rest| rest.starts_with(b"DICM")).ok_or_else(|| wrong("no preamble"))?;
        let meta = FileMetaTable::from_reader(rest).map_err(|error| wrong(&error.to_string()))?;
        // `DICM`, then the group length's own element of 12 bytes, then so many bytes.
        let start = 4 + 12 + meta.information_group_length as usize;
        let data_set = rest.get(start..).ok_or_else(|| wrong("it ends inside its meta information"))?;
        let clean = |uid: &str| uid.trim_end_matches(['\0', ' ']).to_owned();
        let object = Self {
            sop_class: clean(meta.media_storage_sop_class_uid()),
            sop_instance: clean(meta.media_storage_sop_instance_uid()),
            transfer_syntax: clean(meta.transfer_syntax()),
            data_set: data_set.to_vec(),
        };
        let is_uid = |uid: &str| (1..=64).contains(&uid.len()) && uid.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if ![&object.sop_class, &object.sop_instance, &object.transfer_syntax].into_iter().all(|uid| is_uid(uid)) {
            return Err(wrong("an identifier in its meta information is none"));
        }
        if object.sop_class == MEDIA_STORAGE_DIRECTORY {
            return Err(wrong("it is a DICOMDIR, which is not sent"));
        }
        Ok(object)
    }

    /// All files of a directory and those below it.
    ///
    /// # Errors
    /// [`Error::File`] if a directory cannot be read.
    pub fn from_directory(directory: &Path) -> Result<Folder, Error> {
        let (mut objects, mut others) = (Vec::new(), Vec::new());
        let mut open = vec![directory.to_owned()];
        while let Some(directory) = open.pop() {
            let failed = |source| Error::File { path: directory.clone(), source };
            for entry in fs::read_dir(&directory).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let kind = entry.file_type().map_err(failed)?;
                if kind.is_dir() {
                    open.push(entry.path());
                } else if kind.is_file() {
                    match Self::from_file(&entry.path()) {
                        Ok(object) => objects.push((entry.path(), object)),
                        Err(error) => others.push((entry.path(), error.to_string())),
                    }
                }
            }
        }
        objects.sort_by(|left, right| left.0.cmp(&right.0));
        others.sort();
        Ok(Folder { objects, others })
    }

    /// The file with this object: preamble, meta information, data set.
    ///
    /// # Errors
    /// [`Error::Protocol`] if the identifiers cannot be written.
    pub fn to_file(&self) -> Result<Vec<u8>, Error> {
        let wrong = |error: dicom_object::meta::Error| Error::Protocol(error.to_string());
        let meta = dicom_object::meta::FileMetaTableBuilder::new()
            .media_storage_sop_class_uid(&self.sop_class)
            .media_storage_sop_instance_uid(&self.sop_instance)
            .transfer_syntax(&self.transfer_syntax)
            .build()
            .map_err(wrong)?;
        let mut file = vec![0; 128];
        file.extend_from_slice(b"DICM");
        meta.write(&mut file).map_err(wrong)?;
        file.extend_from_slice(&self.data_set);
        Ok(file)
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    sha256(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A series of generated CT images of one patient.
#[derive(Clone, Debug)]
pub struct Series {
    /// The patient's identifier, at most 64 characters.
    pub patient_id: String,
    /// The patient's name, `Family^Given`.
    pub patient_name: String,
    study: String,
    series: String,
}

impl Series {
    /// A new series of this patient.
    #[must_use]
    pub fn new(patient_id: &str, patient_name: &str) -> Self {
        Self {
            patient_id: patient_id.to_owned(),
            patient_name: patient_name.to_owned(),
            study: new_uid(),
            series: new_uid(),
        }
    }

    /// The study's identifier.
    #[must_use]
    pub fn study(&self) -> &str {
        &self.study
    }

    /// The image with this number: 512 × 512 pixels of 16 bits, about 525 kB, a CT Image Storage object (PS3.3 A.3).
    ///
    /// # Errors
    /// [`Error::Protocol`] if the data set cannot be written.
    pub fn image(&self, number: u16) -> Result<Object, Error> {
        let sop_instance = new_uid();
        let mut object = InMemDicomObject::new_empty();
        let texts: [(dicom_core::Tag, VR, &str); 36] = [
            (tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"),
            (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL"),
            (tags::SOP_CLASS_UID, VR::UI, CT_IMAGE_STORAGE),
            (tags::SOP_INSTANCE_UID, VR::UI, &sop_instance),
            (tags::STUDY_DATE, VR::DA, "20260102"),
            (tags::STUDY_TIME, VR::TM, "101500"),
            (tags::ACCESSION_NUMBER, VR::SH, ""),
            (tags::MODALITY, VR::CS, "CT"),
            (tags::MANUFACTURER, VR::LO, "Medlock demonstration"),
            (tags::REFERRING_PHYSICIAN_NAME, VR::PN, ""),
            (tags::PATIENT_NAME, VR::PN, &self.patient_name),
            (tags::PATIENT_ID, VR::LO, &self.patient_id),
            (tags::PATIENT_BIRTH_DATE, VR::DA, ""),
            (tags::PATIENT_SEX, VR::CS, "O"),
            (tags::SLICE_THICKNESS, VR::DS, "1.25"),
            (tags::KVP, VR::DS, "120"),
            (tags::PATIENT_POSITION, VR::CS, "HFS"),
            (tags::STUDY_INSTANCE_UID, VR::UI, &self.study),
            (tags::SERIES_INSTANCE_UID, VR::UI, &self.series),
            (tags::STUDY_ID, VR::SH, "1"),
            (tags::SERIES_NUMBER, VR::IS, "1"),
            (tags::ACQUISITION_NUMBER, VR::IS, "1"),
            (tags::INSTANCE_NUMBER, VR::IS, &number.to_string()),
            (tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("-180\\-180\\{}", f64::from(number) * 1.25)),
            (tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"),
            (tags::FRAME_OF_REFERENCE_UID, VR::UI, &format!("{}.1", &self.study)),
            (tags::POSITION_REFERENCE_INDICATOR, VR::LO, ""),
            (tags::SLICE_LOCATION, VR::DS, &format!("{}", f64::from(number) * 1.25)),
            (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
            (tags::PIXEL_SPACING, VR::DS, "0.703125\\0.703125"),
            (tags::WINDOW_CENTER, VR::DS, "40"),
            (tags::WINDOW_WIDTH, VR::DS, "400"),
            (tags::RESCALE_INTERCEPT, VR::DS, "-1024"),
            (tags::RESCALE_SLOPE, VR::DS, "1"),
            (tags::RESCALE_TYPE, VR::LO, "HU"),
            (tags::STATION_NAME, VR::SH, "CT1"),
        ];
        for (tag, vr, text) in texts {
            object.put_str(tag, vr, text);
        }
        let numbers = [
            (tags::SAMPLES_PER_PIXEL, 1),
            (tags::ROWS, SIDE),
            (tags::COLUMNS, SIDE),
            (tags::BITS_ALLOCATED, 16),
            (tags::BITS_STORED, 12),
            (tags::HIGH_BIT, 11),
            (tags::PIXEL_REPRESENTATION, 0),
        ];
        for (tag, number) in numbers {
            object.put(DataElement::new(tag, VR::US, dicom_value!(U16, [number])));
        }
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(phantom(number).into())));
        let mut data_set = Vec::with_capacity(530_000);
        object
            .write_dataset_with_ts(&mut data_set, &EXPLICIT_VR_LITTLE_ENDIAN.erased())
            .map_err(|error| Error::Protocol(error.to_string()))?;
        Ok(Object {
            sop_class: CT_IMAGE_STORAGE.to_owned(),
            sop_instance,
            transfer_syntax: "1.2.840.10008.1.2.1".to_owned(),
            data_set,
        })
    }
}

/// An identifier made from a random UUID (PS3.5 annex B.2).
fn new_uid() -> String {
    format!("2.25.{}", u128::from_be_bytes(random::<16>()) >> 6)
}

/// A picture: an ellipse of water with an insert of bone that moves from slice to slice, in air.
fn phantom(number: u16) -> Vec<u16> {
    let middle = i32::from(SIDE / 2);
    let insert = (middle + i32::from(number % 100) - 50, middle - 60);
    (0..i32::from(SIDE))
        .flat_map(|row| (0..i32::from(SIDE)).map(move |column| (row, column)))
        .map(|(row, column)| {
            let (x, y) = (column - middle, row - middle);
            let bone = (column - insert.0).pow(2) + (row - insert.1).pow(2) < 400;
            let noise = u16::try_from((row * 31 + column * 17 + i32::from(number) * 13) % 11).unwrap_or(0);
            let water = x * x * 4 + y * y * 9 < 160_000;
            noise
                + if bone {
                    2_000
                } else if water {
                    1_024
                } else {
                    24
                }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-WARD-01.
    #[test]
    fn a_generated_image_is_a_ct_image_of_525_kb() {
        let series = Series::new("P-1", "Nobody^Here");
        let image = series.image(7).unwrap();
        assert!((525_000..527_000).contains(&image.data_set.len()), "{}", image.data_set.len());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ct.dcm");
        fs::write(&path, image.to_file().unwrap()).unwrap();
        let read = dicom_object::open_file(&path).unwrap();
        assert_eq!(read.element(tags::PATIENT_ID).unwrap().to_str().unwrap(), "P-1");
        assert_eq!(read.element(tags::STUDY_INSTANCE_UID).unwrap().to_str().unwrap(), series.study());
        assert_eq!(read.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap().len(), 524_288);
        assert_eq!(Object::from_file(&path).unwrap(), image);
        assert_ne!(series.image(8).unwrap().sop_instance, image.sop_instance);
    }

    #[test]
    fn other_files_are_said_to_be_no_objects() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("text"), "hello").unwrap();
        fs::create_dir(directory.path().join("below")).unwrap();
        let image = Series::new("P-1", "A^B").image(1).unwrap();
        fs::write(directory.path().join("below/image"), image.to_file().unwrap()).unwrap();
        let Folder { objects, others } = Object::from_directory(directory.path()).unwrap();
        assert_eq!((objects.len(), others.len()), (1, 1));
        assert!(others[0].1.contains("no preamble"), "{others:?}");
    }
}
