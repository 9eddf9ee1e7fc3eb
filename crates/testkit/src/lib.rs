//! For the tests of the other crates: a site with its authorities and signed objects, ports, and children that go with
//! the test. Not published, and no dependency of anything that ships.

mod certificate;
pub mod peers;
mod postgres;
mod process;
mod site;
mod softhsm;

pub use certificate::{CertificateBuilder, Extension};
pub use postgres::{Disk, PostgresServer};
pub use process::{Child, free_port};
pub use site::{Site, Status};
pub use softhsm::SoftHsm;
