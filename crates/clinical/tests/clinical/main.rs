//! The clinical face as its callers see it: requests in, answers out, on both databases.

mod audit;
mod backend;
mod contract;
mod device;
mod examples;
mod fixture;
mod intake;
mod negative;
mod oracle;
mod parameters;
mod people;
mod provenance;
mod rest;
mod search;
mod smart;
