//! Insulin and time as typed units: an amount cannot be taken for a rate, nor a volume for an amount.

use core::fmt;

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident($inner:ty), $suffix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{} ", $suffix), self.0)
            }
        }
    };
}

unit! {
    /// An amount of insulin in thousandths of an international unit (mIU).
    MilliUnits(u32), "mIU"
}
unit! {
    /// A rate of insulin in thousandths of an international unit per hour (mIU/h).
    Rate(u32), "mIU/h"
}
unit! {
    /// How much insulin a millilitre holds, in international units: 100 for U-100.
    Concentration(u16), "IU/mL"
}
unit! {
    /// A duration in minutes.
    Minutes(u16), "min"
}
unit! {
    /// A share of what is programmed, in hundredths.
    Percent(u8), "%"
}

impl MilliUnits {
    /// Both together; the largest amount there is instead of an overflow.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of this without `other`; nothing instead of less.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Concentration {
    /// 100 IU/mL, the usual one.
    pub const U100: Self = Self(100);
    /// 200 IU/mL.
    pub const U200: Self = Self(200);
    /// 500 IU/mL.
    pub const U500: Self = Self(500);
}

impl Rate {
    /// What this rate delivers in `minutes`, rounded up.
    #[must_use]
    pub fn over(self, minutes: Minutes) -> MilliUnits {
        let product = u64::from(self.0).saturating_mul(u64::from(minutes.0));
        MilliUnits(u32::try_from(product.div_ceil(60)).unwrap_or(u32::MAX))
    }
}

impl Minutes {
    /// The same in milliseconds.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        u64::from(self.0).saturating_mul(60_000)
    }
}
