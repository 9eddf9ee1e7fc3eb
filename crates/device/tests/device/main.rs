//! Devices in virtual time, over a link that loses, doubles and reorders.

mod judged;
mod link;
mod platform;
mod reboot;
mod site;
mod strangers;
mod world;
