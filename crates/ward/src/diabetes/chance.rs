//! Chance that a seed decides: the same on every run.

/// The splitmix64 generator (Steele, Lea, Flood, OOPSLA 2014). For noise and variety, never for secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1, without 1.
    pub(super) fn fraction(&mut self) -> f64 {
        // 53 bits are what such a number holds.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About a bell curve around 0 with a standard deviation of 1 (Irwin-Hall, twelve draws).
    pub(super) fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.fraction()).sum::<f64>() - 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_are_those_of_the_publication() {
        let mut chance = Chance::new(1_234_567);
        assert_eq!([chance.next(), chance.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn a_bell_is_centred() {
        let mut chance = Chance::new(1);
        let draws: Vec<f64> = (0..10_000).map(|_| chance.bell()).collect();
        let mean = draws.iter().sum::<f64>() / 10_000.0;
        let spread = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / 10_000.0;
        assert!(mean.abs() < 0.05 && (spread - 1.0).abs() < 0.05, "{mean} {spread}");
    }
}
