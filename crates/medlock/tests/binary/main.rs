//! The binary as its users see it: real processes, real sockets, real files.

mod authorities;
mod cli;
mod clinical;
mod conformance;
mod container;
mod demo;
mod faults;
mod log;
mod process;
mod provision;
mod restores;
mod running;
mod small_devices;
mod smart_app;
mod starts;
mod stores;
mod trust_list;
mod zero_touch;
