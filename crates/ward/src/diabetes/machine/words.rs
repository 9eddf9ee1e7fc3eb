//! What passes between a machine and whoever plays the world around it: hands on one side, eyes on the other. One JSON
//! object a line; none of it is a protocol between devices.

use crate::diabetes::pump;
use crate::diabetes::units::{Insulin, Rate};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// What the world does to a machine. Each is answered by [`Said::Done`] or [`Said::NotDone`], in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Do {
    /// Lets time pass at once.
    Pass {
        /// So many milliseconds.
        millis: u64,
    },
    /// Sets its clock.
    SetTime {
        /// Seconds since 1970 that have passed for certain.
        earliest: i64,
        /// And at most these.
        latest: i64,
    },
    /// Tells it its site: the key of the root, in hexadecimal.
    PinSite {
        /// The key's identifier.
        root: String,
    },
    /// Lets it fetch what a hub signed and it does not have. [`Said::Fetched`] or [`Said::NotFetched`] follows.
    Fetch {
        /// Where the hub takes CoAP.
        hub: SocketAddr,
    },
    /// Lets it go to a hub for an operational credential: the first one by its birth credential, a renewed one by the one it
    /// has, expired or not. [`Said::Enrolled`] or [`Said::NotEnrolled`] follows.
    Enrol {
        /// Where the hub takes CoAP.
        hub: SocketAddr,
    },
    /// Lets it report to a hub what it measured and delivered. [`Said::Reported`] or [`Said::NotReported`] follows.
    Report {
        /// Where the hub takes CoAP.
        hub: SocketAddr,
    },
    /// Brings it a trust object.
    Bring {
        /// The object in base64.
        object: String,
    },
    /// Bonds it with a controller or a sensor, by a button on both.
    Bond {
        /// The other device, in hexadecimal.
        device: String,
        /// The patient, in hexadecimal.
        patient: String,
        /// What the other may do.
        operations: Vec<String>,
    },
    /// A controller learns which pump it commands, under the bond with this epoch.
    Pump {
        /// The pump, in hexadecimal.
        device: String,
        /// The epoch of the bond at the pump.
        epoch: u64,
    },
    /// Lets it call another machine.
    Connect {
        /// Where.
        to: SocketAddr,
    },
    /// Lets it bring a trust object to every machine it has a session with.
    Carry {
        /// The object in base64.
        object: String,
    },
    /// Lets it ask every machine it has a session with how it is.
    AskState,
    /// A sensor measures.
    Measure {
        /// What is in the patient's plasma.
        plasma_mg_dl: f64,
        /// The minute of the replay.
        minute: u64,
    },
    /// A controller applies its rule to the readings it has, and commands what follows.
    Advise,
    /// A controller commands.
    Command {
        /// What.
        command: Command,
        /// Sealed, told, and not sent.
        hold: bool,
    },
    /// A controller asks what came of its last bolus.
    AskReceipt,
    /// Somebody holds the pump's button: the next command of its controller is attended.
    HoldButton,
    /// Somebody stops the pump by hand, or lets it go on.
    StopByHand {
        /// Whether it is to stand still.
        stopped: bool,
    },
    /// A pump says how it is: the note of the answer is a [`PumpState`].
    Look,
}

/// What a controller is told to command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// A bolus.
    Bolus {
        /// How much.
        amount: Insulin,
    },
    /// A temporary basal.
    Temporary {
        /// At which rate.
        rate: Rate,
        /// For how long.
        minutes: u16,
    },
    /// No delivery for a time.
    Suspend {
        /// For how long.
        minutes: u16,
    },
}

/// What is seen of a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "kebab-case")]
pub enum Said {
    /// It is on.
    Listening {
        /// Where it takes datagrams.
        address: SocketAddr,
        /// Which device it is at its site, in hexadecimal; empty before enrolment.
        device: String,
        /// That it is not for therapy.
        notice: String,
    },
    /// What was to be done is done.
    Done {
        /// What there is to say about it.
        note: String,
    },
    /// It is not.
    NotDone {
        /// Why.
        why: String,
    },
    /// It has a session.
    Connected {
        /// With which device, in hexadecimal.
        device: String,
    },
    /// It has none.
    NotConnected {
        /// Why.
        why: String,
    },
    /// A session ended.
    Closed {
        /// With which device.
        device: String,
        /// Why.
        why: String,
        /// If a judgement ended it: its stable code.
        code: Option<String>,
    },
    /// It has all that the hub signed.
    Fetched {
        /// How many objects were new.
        objects: usize,
    },
    /// It has not.
    NotFetched {
        /// Why.
        why: String,
    },
    /// It has a credential of its site.
    Enrolled {
        /// Which device it is there, in hexadecimal.
        device: String,
    },
    /// The hub has in its records what it measured and delivered.
    Reported {
        /// How many readings and deliveries.
        records: usize,
    },
    /// The hub will never take one of them: it is given up.
    RecordRefused {
        /// The stable code.
        why: String,
    },
    /// The hub has not taken all: the rest is kept.
    NotReported {
        /// What the hub says, or what happened.
        why: String,
    },
    /// The hub was not reached, or lets it wait: it asks again.
    Waits {
        /// What the hub says, or what happened.
        why: String,
    },
    /// It gets none.
    NotEnrolled {
        /// What the hub says, or what is wrong with its answer.
        why: String,
    },
    /// A peer asked for something and may not.
    Denied {
        /// Which device.
        device: String,
        /// What.
        operation: String,
        /// The stable code.
        code: String,
    },
    /// What a controller asked of its pump, or what a sensor carried, was not answered, or was refused.
    Unanswered {
        /// Why.
        why: String,
    },
    /// It took news of the trust.
    News {
        /// Which kind of object.
        kind: String,
    },
    /// A controller has a reading.
    Reading {
        /// Of which sensor.
        device: String,
        /// The value; none if it was low, high, or no number.
        mg_dl: Option<f64>,
        /// `inform` or `report`.
        operation: String,
        /// The mark beside it, if there is one.
        mark: Option<String>,
    },
    /// What the controller's rule says.
    Advice {
        /// In words.
        text: String,
        /// Whether anything is commanded.
        treats: bool,
    },
    /// A controller sealed a command.
    Sealed {
        /// Its number under the bond.
        counter: u64,
        /// The message in base64.
        message: String,
        /// Whether it was sent.
        sent: bool,
    },
    /// A controller did not seal a command.
    NotSealed {
        /// Why.
        why: String,
    },
    /// A controller has a receipt.
    Receipt {
        /// Of which command.
        counter: u64,
        /// `refused`, `started`, `done`, `uncertain`.
        outcome: String,
        /// Why it was refused: a stable code.
        why: Option<String>,
        /// How much was delivered, or at most.
        amount: Insulin,
        /// The mark beside it, if there is one.
        mark: Option<String>,
    },
    /// A pump began to carry out a command.
    Began {
        /// Its number under the bond.
        counter: u64,
        /// Which.
        action: String,
        /// The mark beside it, if there is one.
        mark: Option<String>,
        /// Whether people are alerted.
        alert: bool,
    },
    /// Something happened in a pump.
    Pump {
        /// What.
        event: pump::Event,
    },
    /// After power was lost, a command is uncertain.
    Uncertain {
        /// Its number under the bond.
        counter: u64,
        /// At most so much was delivered; it counts as if it were all.
        at_most: Insulin,
    },
}

/// How a pump is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PumpState {
    /// What it does.
    pub basal: pump::Basal,
    /// Ordered and delivered amount of a bolus under way.
    pub bolus: Option<(Insulin, Insulin)>,
    /// Milliseconds since it was switched on.
    pub now_millis: u64,
    /// Until when a controller holds a lease.
    pub lease_until_millis: u64,
}
