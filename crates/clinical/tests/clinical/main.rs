//! The clinical face as its callers see it: requests in, answers out, on both databases.

mod backend;
mod consent;
mod contract;
mod device;
mod dpop;
mod examples;
mod fixture;
mod key_sets;
mod launch;
mod naming;
mod negative;
mod oracle;
mod parameters;
mod passkey;
mod people;
mod rest;
mod search;
mod smart;
