//! Two databases behind one interface: SQLite in one file, and PostgreSQL. No words of any domain: whoever keeps something
//! writes its verbs once, over [`Sql`], and they mean the same on both.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`database`] | [`Database`]: writes that are acknowledged together, reads beside them |
//! | [`value`] | values, rows, and [`Sql`], which a verb is written over |
//! | [`schema`] | the tables, in numbered steps with the same numbers on both |
//! | [`sqlite`], [`postgres`] | how each is opened, checked, copied |
//!
//! A commit waits for the disk, some milliseconds. One writer thread therefore takes all verbs that wait into one
//! transaction and acknowledges them together after its commit. On PostgreSQL the writers of all processes take turns
//! (an advisory lock of the transaction), so a verb never meets another one half done, as on SQLite.

pub mod database;
mod error;
mod moving;
pub mod postgres;
mod readers;
pub mod schema;
pub mod sqlite;
pub mod value;
mod writer;

pub use database::{Database, Engine};
pub use error::{Error, Fault};
pub use readers::LONG_READERS;
pub use schema::{Schema, Step};
pub use value::{Row, Sql, Value, all, first};
