//! What the core tells the firmware: datagrams to send, things that happened, and when to call again.

use crate::address::Address;
use crate::command::Act;
use crate::journal::Intent;
use crate::objects::NotTaken;
use crate::platform::Ticks;
use crate::therapy::ReceiptTo;
use core::fmt;
use medlock_trust::{Denied, DeviceId, Permit, Unidentified};

/// The answer of [`Device::poll`](crate::Device::poll).
#[derive(Debug)]
#[must_use]
pub enum Output<'b> {
    /// Send this datagram, then poll again.
    Transmit {
        /// Where to.
        to: Address,
        /// What: it lies in the buffer that was given.
        datagram: &'b [u8],
    },
    /// This happened; poll again.
    Event(Event<'b>),
    /// Nothing more for now. Call [`Device::handle_timeout`](crate::Device::handle_timeout) at this time, or later;
    /// `None`: nothing is waited for.
    Wait(Option<Ticks>),
}

/// A session, as long as it stands. A handle of a session that ended is refused, even if its place was taken by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    pub(crate) slot: u8,
    pub(crate) generation: u16,
}

/// A request this device made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId {
    pub(crate) slot: u8,
    pub(crate) generation: u16,
}

/// A request of a peer that waits for the firmware's answer. It can be answered once.
#[derive(Debug, PartialEq, Eq)]
pub struct Ask {
    pub(crate) slot: u8,
    pub(crate) generation: u16,
}

impl Peer {
    /// The handle as a number, for a language that cannot hold it; never zero.
    #[must_use]
    pub const fn number(self) -> u32 {
        handle_number(self.slot, self.generation)
    }

    /// The handle with this number; `None` for a number that is none. One that was made up names no session that stands,
    /// or one that the firmware has anyway.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        let (slot, generation) = handle_parts(number)?;
        Some(Self { slot, generation })
    }
}

impl CallId {
    /// The handle as a number, for a language that cannot hold it; never zero.
    #[must_use]
    pub const fn number(self) -> u32 {
        handle_number(self.slot, self.generation)
    }

    /// The handle with this number; `None` for a number that is none.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        let (slot, generation) = handle_parts(number)?;
        Some(Self { slot, generation })
    }
}

impl Ask {
    /// The handle as a number, for a language that cannot hold it; never zero.
    #[must_use]
    pub const fn into_number(self) -> u32 {
        handle_number(self.slot, self.generation)
    }

    /// The handle with this number; `None` for a number that is none. An answer to a request that was answered, or never
    /// came, is refused.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        let (slot, generation) = handle_parts(number)?;
        Some(Self { slot, generation })
    }
}

const fn handle_number(slot: u8, generation: u16) -> u32 {
    // The widths leave room: 16 bits, and 9 for a place that is counted from one.
    ((generation as u32) << 9) | (slot as u32).saturating_add(1)
}

fn handle_parts(number: u32) -> Option<(u8, u16)> {
    let slot = u8::try_from((number & 0x1ff).checked_sub(1)?).ok()?;
    Some((slot, u16::try_from(number >> 9).ok()?))
}

/// What happened.
#[derive(Debug)]
pub enum Event<'b> {
    /// A session stands: the peer proved who it is. What it may do is asked for each operation.
    Connected {
        /// The session.
        peer: Peer,
        /// Which device it is.
        device: DeviceId,
        /// Who began.
        initiated: bool,
    },
    /// No session came about.
    NotConnected {
        /// With whom.
        to: Address,
        /// Why not.
        why: Failure,
    },
    /// A session ended. Calls that waited on it end too.
    Closed {
        /// The session.
        peer: Peer,
        /// Which device it was.
        device: DeviceId,
        /// Why it ended.
        why: Closing,
    },
    /// A peer asks for something that the firmware answers ([`Device::answer`](crate::Device::answer)), and may.
    Asked {
        /// To be given with the answer.
        ask: Ask,
        /// Who asks.
        peer: Peer,
        /// For what.
        resource: Resource,
        /// The right to do it, once.
        permit: Permit,
        /// What came with the request.
        payload: &'b [u8],
    },
    /// A peer asked for something and may not. It was told so; the event is for the record and for people.
    Denied {
        /// Who asked; `None`: without a session.
        peer: Option<Peer>,
        /// What and why not.
        denied: Denied,
    },
    /// A peer answered a call.
    Answered {
        /// Which call.
        call: CallId,
        /// Who answered.
        peer: Peer,
        /// What it says.
        status: Status,
        /// What came with it.
        payload: &'b [u8],
    },
    /// A peer gave readings, and may: [`Permit::operation`] says whether automatic therapy may rest on them
    /// (`inform`) or whether they are to be shown and recorded only, marked (`report`).
    Readings {
        /// Which call asked for them.
        call: CallId,
        /// Who gave them.
        peer: Peer,
        /// The right to use them, once, and with what mark.
        permit: Permit,
        /// The readings, as [`medlock_proto::reading`] writes them.
        payload: &'b [u8],
    },
    /// Somebody answered a call without a session: what it says is not authentic, and has to prove itself, as trust objects
    /// and sealed receipts do.
    Carried {
        /// Which call.
        call: CallId,
        /// From where it was answered.
        from: Address,
        /// What it says.
        status: Status,
        /// What came with it.
        payload: &'b [u8],
    },
    /// Whoever was asked for the site's list ([`Device::follow_site`](crate::Device::follow_site)) has none that is newer than
    /// the one held.
    Followed {
        /// Which call.
        call: CallId,
    },
    /// A list of the site that was given is not taken; what is held stays in force.
    NotFollowed {
        /// Which call.
        call: CallId,
        /// Why.
        why: NotTaken,
    },
    /// A call ends without an answer.
    Unanswered {
        /// Which call.
        call: CallId,
        /// Why.
        why: Failure,
    },
    /// The device has a credential of its site, and shows it in its next sessions.
    Enrolled {
        /// Who it is at its site.
        device: DeviceId,
    },
    /// What a hub gave was not taken; the credential in use stays in use.
    NotEnrolled {
        /// Why.
        why: NotTaken,
    },
    /// A sealed command is to be carried out now: it is permitted, within all limits, and its intent is in flash. Say
    /// [`Device::started`](crate::Device::started) or [`Device::unable`](crate::Device::unable).
    Command {
        /// What is to be done.
        act: Act,
        /// Where its receipt goes.
        receipt: ReceiptTo,
    },
    /// When the power went this was under way: nobody knows what came of it. It counts as delivered; people should be
    /// told.
    Uncertain(Intent),
    /// The controller that treated has not been heard of: what it began ends, and the programmed therapy goes on.
    LeaseEnded,
    /// A trust object was believed and is held from now on; every session was judged again.
    News(crate::objects::Kind),
}

/// What peers ask one another for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// `/m/objects`: trust objects. The core answers.
    Objects,
    /// `/m/readings`: measurements. The firmware answers.
    Readings,
    /// `/m/state`: what the device does now. The firmware answers.
    State,
    /// `/m/lease`: keep a lease alive. The core answers.
    Lease,
    /// `/m/challenge`: a number to be used once in a sealed command. The core answers.
    Challenge,
    /// `/m/command`: a sealed command. The core answers with the sealed receipt.
    Command,
    /// `/m/receipt`: the receipt of a command once more. The core answers.
    Receipt,
    /// `/.well-known/est/crts`: the authority's certificates, at a hub.
    AuthorityCertificates,
    /// `/.well-known/est/sen`: a first credential, at a hub.
    Enrol,
    /// `/.well-known/est/sren`: a renewed credential, at a hub.
    Renew,
    /// `/m/records`: what this device measured and delivered (`medlock_proto::record`), at a hub that keeps records.
    Records,
}

impl Resource {
    /// All resources.
    pub const ALL: [Self; 11] = [
        Self::Objects,
        Self::Readings,
        Self::State,
        Self::Lease,
        Self::Challenge,
        Self::Command,
        Self::Receipt,
        Self::AuthorityCertificates,
        Self::Enrol,
        Self::Renew,
        Self::Records,
    ];

    /// The segments of its path.
    #[must_use]
    pub const fn path(self) -> &'static [&'static str] {
        match self {
            Self::Objects => &["m", "objects"],
            Self::Readings => &["m", "readings"],
            Self::State => &["m", "state"],
            Self::Lease => &["m", "lease"],
            Self::Challenge => &["m", "challenge"],
            Self::Command => &["m", "command"],
            Self::Receipt => &["m", "receipt"],
            Self::AuthorityCertificates => &[".well-known", "est", "crts"],
            Self::Enrol => &[".well-known", "est", "sen"],
            Self::Renew => &[".well-known", "est", "sren"],
            Self::Records => &["m", "records"],
        }
    }
}

/// What an answer says, before its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It was done, or here it is (CoAP 2.xx).
    Done,
    /// The request was wrong, or may not be made (CoAP 4.xx), by the code's detail.
    Refused(u8),
    /// The peer failed (CoAP 5.xx), by the code's detail.
    Failed(u8),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Refused(detail) => write!(f, "refused (CoAP 4.{detail:02})"),
            Self::Failed(detail) => write!(f, "the peer failed (CoAP 5.{detail:02})"),
        }
    }
}

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Give me what is there.
    Get,
    /// Give me what is there, and again whenever it changes (RFC 7641).
    Observe,
    /// Take this.
    Post,
}

/// Why something did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answered in time.
    TimedOut,
    /// The peer could not prove who it is.
    Unidentified(Unidentified),
    /// The peer broke the handshake off, or sent what cannot be right.
    Handshake,
    /// The session ended.
    Closed,
    /// This device has no credential to show.
    NoCredential,
    /// The key store failed.
    KeyStore,
    /// The answer is longer than the room for it: the buffer of the event, or [`Settings::body`](crate::Settings::body). Of
    /// a handshake: the own credential is longer than an exchange, or its key cannot be used.
    TooLong,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("nobody answered in time"),
            Self::Unidentified(why) => write!(f, "the peer could not prove who it is: {why}"),
            Self::Handshake => f.write_str("the peer broke the handshake off, or refused it"),
            Self::Closed => f.write_str("the session ended"),
            Self::NoCredential => f.write_str("this device is not enrolled yet: it has no credential to show"),
            Self::KeyStore => f.write_str("the key store failed"),
            Self::TooLong => f.write_str("the answer, or the own credential, is longer than the room for it"),
        }
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The firmware ended it.
    Own,
    /// The peer made a new one.
    Replaced,
    /// Its place was needed, and it had been silent for longest.
    Evicted,
    /// The peer no longer knows it.
    Lost,
    /// What is known now leaves the peer nothing.
    Judged(Denied),
    /// Too many forged messages, or its numbers are used up.
    UsedUp,
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("this device ended it"),
            Self::Replaced => f.write_str("the peer made a new one"),
            Self::Evicted => f.write_str("its place was needed for another"),
            Self::Lost => f.write_str("the peer no longer knows it"),
            Self::Judged(denied) => write!(f, "what is known now leaves the peer nothing: {denied}"),
            Self::UsedUp => f.write_str("too many forged messages, or its numbers are used up"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_numbers_and_come_back() {
        for (slot, generation) in [(0, 0), (7, 9), (u8::MAX, u16::MAX)] {
            let peer = Peer { slot, generation };
            assert_ne!(peer.number(), 0);
            assert_eq!(Peer::from_number(peer.number()), Some(peer));
            assert_eq!(CallId::from_number(peer.number()), Some(CallId { slot, generation }));
            assert_eq!(Ask { slot, generation }.into_number(), peer.number());
        }
        for no_handle in [0, 0x1ff, 1 << 9, u32::MAX] {
            assert_eq!((Peer::from_number(no_handle), Ask::from_number(no_handle)), (None, None));
        }
    }
}
