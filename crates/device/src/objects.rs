//! Trust objects: lists, status lists, tickets, the policy and bonds, kept in flash and judged where they lie.

pub use medlock_proto::objects::{Held, Kind};
