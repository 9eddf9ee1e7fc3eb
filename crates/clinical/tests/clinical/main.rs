//! The clinical face as its callers see it: requests in, answers out, on both databases.

mod audit;
mod backend;
mod consent;
mod contract;
mod device;
mod dpop;
mod examples;
mod fixture;
mod intake;
mod key_sets;
mod launch;
mod naming;
mod negative;
mod oracle;
mod parameters;
mod passkey;
mod people;
mod provenance;
mod reports;
mod rest;
mod search;
mod smart;
mod subscription;
mod udap;
mod upstream;
mod validators;
