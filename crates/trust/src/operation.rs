//! What a peer asks.

use core::fmt;

/// What a peer asks. Permits are given for one operation each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Operation {
    /// Read my measurements, images or state.
    Read = 0,
    /// Give me measurements that are shown or recorded, marked.
    Report = 1,
    /// Give me measurements that feed *automatic* therapy.
    Inform = 2,
    /// Keep a session and a lease already granted; never starts, extends or raises delivery.
    Sustain = 3,
    /// Start or change therapy.
    Treat = 4,
    /// Suspend or reduce therapy from afar: bounded in time, limited in rate, resumes by itself.
    Halt = 5,
    /// Change settings, pair.
    Configure = 6,
    /// Renew its own credential, fetch trust objects.
    Renew = 7,
    /// Store or move images and records.
    Store = 8,
}

impl Operation {
    /// All operations, in the order of the policy table.
    pub const ALL: [Self; 9] = [
        Self::Read,
        Self::Report,
        Self::Inform,
        Self::Sustain,
        Self::Treat,
        Self::Halt,
        Self::Configure,
        Self::Renew,
        Self::Store,
    ];

    /// The operation's stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Report => "report",
            Self::Inform => "inform",
            Self::Sustain => "sustain",
            Self::Treat => "treat",
            Self::Halt => "halt",
            Self::Configure => "configure",
            Self::Renew => "renew",
            Self::Store => "store",
        }
    }

    /// The operation with this stable name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// Whether a wrong answer may harm a patient at once: such operations need a bond and are judged at the worst
    /// instant (`treat`, `inform`, `halt`, `configure`).
    #[must_use]
    pub const fn is_command(self) -> bool {
        match self {
            Self::Inform | Self::Treat | Self::Halt | Self::Configure => true,
            Self::Read | Self::Report | Self::Sustain | Self::Renew | Self::Store => false,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of operations: bit `n` stands for the operation with number `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Operations(u16);

impl Operations {
    /// No operation.
    pub const NONE: Self = Self(0);
    const KNOWN: u16 = 0x1ff;

    /// The set with these members.
    #[must_use]
    pub const fn of(members: &[Operation]) -> Self {
        let mut bits = 0;
        let mut rest = members;
        while let Some((first, tail)) = rest.split_first() {
            bits |= Self::bit(*first);
            rest = tail;
        }
        Self(bits)
    }

    /// The set with these bits; `None` if a bit stands for no operation.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Option<Self> {
        if bits & !Self::KNOWN == 0 { Some(Self(bits)) } else { None }
    }

    /// The set's bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether `operation` is in the set.
    #[must_use]
    pub const fn contains(self, operation: Operation) -> bool {
        self.0 & Self::bit(operation) != 0
    }

    /// All that is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The members, in order.
    pub fn iter(self) -> impl Iterator<Item = Operation> {
        Operation::ALL.into_iter().filter(move |operation| self.contains(*operation))
    }

    const fn bit(operation: Operation) -> u16 {
        match operation {
            Operation::Read => 1,
            Operation::Report => 1 << 1,
            Operation::Inform => 1 << 2,
            Operation::Sustain => 1 << 3,
            Operation::Treat => 1 << 4,
            Operation::Halt => 1 << 5,
            Operation::Configure => 1 << 6,
            Operation::Renew => 1 << 7,
            Operation::Store => 1 << 8,
        }
    }
}
