//! What a firmware says of itself, and what it is told when something is not done.

use crate::command::Limits;
use crate::log::Area;
use core::fmt;
use core::ops::Range;
use medlock_proto::coap::Transmission;
use medlock_proto::edhoc::Method;
use medlock_trust::Time;
use medlock_trust::knowledge::Setting;
use medlock_trust::list::Pinned;

/// Which pages of the flash are for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Trust objects, credential, bonds, the floor of time, whose it is: cut into slots.
    pub objects: Range<usize>,
    /// Pages of one slot: the largest object and 80 bytes more must fit. A device needs a slot for each object it holds,
    /// five for its own files, and three more.
    pub slot_pages: usize,
}

/// What a firmware says of itself when the device starts.
#[derive(Debug)]
pub struct Settings<'s> {
    /// Which pages of the flash are for what.
    pub layout: Layout,
    /// The birth credential and the certificates between it and its maker's root, in this order: X.509 or C509.
    pub birth: &'s [&'s [u8]],
    /// Where the device is used.
    pub setting: Setting,
    /// Whose trust list is believed beside the site's.
    pub alliance: Option<Pinned<'s>>,
    /// When the firmware was built: the present is not before.
    pub built: Time,
    /// How the device authenticates when it begins a handshake. It answers any of the four methods.
    pub method: Method,
    /// Where a trust object is put together that comes in blocks: as large as the largest.
    pub staging: &'s mut [u8],
    /// Where credentials of peers are remembered, so that in the next handshake both sides name theirs by a hash instead of
    /// showing it: 25 bytes and the certificates for each peer, the newest ones. None if it is empty. A device that enrols at
    /// a hub whose authority is below the site's root finds that authority's certificate here.
    pub peers: &'s mut [u8],
    /// Where a body of a call is kept that is too long for one message, sent or received in blocks (RFC 7959); one at a
    /// time. As large as the largest. If it is empty, there are no blocks.
    pub body: &'s mut [u8],
    /// How messages are repeated.
    pub transmission: Transmission,
    /// For a device that delivers therapy: the pages of its journal, which the maker formatted
    /// ([`Reception::format`](crate::command::Reception::format)), and its limits.
    pub therapy: Option<(Area, Limits)>,
}

impl<'s> Settings<'s> {
    /// A device at home that signs in handshakes; its firmware was built in 1970.
    pub const fn new(layout: Layout, birth: &'s [&'s [u8]], staging: &'s mut [u8]) -> Self {
        Self {
            layout,
            birth,
            setting: Setting::Home,
            alliance: None,
            built: Time::from_unix(0),
            method: Method::SignSign,
            staging,
            peers: &mut [],
            body: &mut [],
            transmission: Transmission::DEFAULT,
            therapy: None,
        }
    }
}

/// A physical act at this device: a person held its button. Only the driver of the button makes one.
#[derive(Debug)]
pub struct PhysicalAct(());

impl PhysicalAct {
    /// The driver of the button is the only one to call this, once for each act.
    #[must_use]
    pub const fn danger_button_was_held() -> Self {
        Self(())
    }

    /// Uses it up.
    pub(crate) const fn used(self) {
        let Self(()) = self;
    }
}

/// What came over the wire and was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams that are no CoAP, or belong to nothing.
    pub noise: u32,
    /// Messages whose protection was wrong, or that came a second time.
    pub forged: u32,
    /// Handshakes that came to nothing, and such that were not begun because there were too many.
    pub handshakes: u32,
    /// Messages for which there was no room.
    pub crowded: u32,
}

/// Why a device does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The layout does not fit the flash.
    Layout,
    /// The key store failed.
    Keys,
    /// The journal cannot be read, or was never formatted: a device without it must not carry out commands.
    Journal,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Layout => "the layout does not fit the flash",
            Self::Keys => "the key store failed",
            Self::Journal => "the journal cannot be read, or was never formatted: no command is carried out without it",
        })
    }
}

impl core::error::Error for StartError {}

/// Why a call was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// No room: too many sessions or exchanges under way.
    Full,
    /// The session ended, or the request is no longer waited for.
    Closed,
    /// More bytes than an exchange holds.
    TooLong,
    /// This device has no credential to show.
    NoCredential,
    /// The peer is no hub of the own site: it gives no credentials, and gets no code.
    NotAHub,
    /// The key store failed.
    KeyStore,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many sessions or exchanges are under way: try again when one has ended",
            Self::Closed => "the session ended, or the request is no longer waited for",
            Self::TooLong => "it is more than an exchange holds",
            Self::NoCredential => "this device is not enrolled yet: it has no credential to show",
            Self::NotAHub => "the peer is no hub: it gives no credentials",
            Self::KeyStore => "the key store failed",
        })
    }
}

impl core::error::Error for CallError {}
