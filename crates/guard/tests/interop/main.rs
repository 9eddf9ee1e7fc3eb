//! Unmodified DICOM software on both ends of a pair of guards, and those who must not get through.

mod collector;
mod peers;
mod refusals;
mod world;
