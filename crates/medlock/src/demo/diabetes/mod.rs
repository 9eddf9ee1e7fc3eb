//! The diabetes ward: a sensor, a controller and a pump of three makers, a bad network between them, and what happens
//! when trust, time or power goes. Demonstration machines, not for therapy.

mod bedside;
mod carrier;
mod link;
mod site;
mod story;

pub(crate) use site::Kind;
pub(crate) use story::tell;
