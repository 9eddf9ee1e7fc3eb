//! Devices in virtual time, over a link that loses, doubles and reorders.

mod again;
mod attacked;
mod client;
mod command;
mod drivers;
mod enrolment;
mod flash;
mod follow;
mod hardened;
mod judged;
mod link;
mod lists;
mod log;
mod manifest;
mod owner;
mod platform;
mod power;
mod raw;
mod reboot;
mod roots;
mod scene;
mod site;
mod strangers;
mod vouchers;
mod world;
