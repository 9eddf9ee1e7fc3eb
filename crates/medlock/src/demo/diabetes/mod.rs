//! The diabetes ward.

mod link;
mod site;
