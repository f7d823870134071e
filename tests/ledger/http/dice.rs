//! Chance that is the same in every run from one seed.

/// Numbers that look random and are the same in every run from one seed (xorshift).
pub(crate) struct Dice(u64);

impl Dice {
    /// The dice of this run for what bears this name.
    pub(crate) fn of(name: &str) -> Self {
        Self(nizhal_seeds::state(name))
    }

    /// From 0 up to, not with, `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}
