//! The prediction whether anybody wrote since a device was here, before the database says so.

/// The last horizon of this server, and how its predictions went. A wrong one costs a statement and nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdlePredictor {
    /// How many writes the hub had heard of when the horizon was last read …
    write_count: u64,
    /// … and that horizon.
    horizon: i64,
    /// A two-bit counter, as in a processor's branch prediction: from 2 on the next prediction is believed.
    /// J. E. Smith, "A Study of Branch Prediction Strategies", 1981.
    trust: u8,
}

const MAX_TRUST: u8 = 3;

impl Default for IdlePredictor {
    fn default() -> Self {
        Self { write_count: 0, horizon: 0, trust: 2 }
    }
}

impl IdlePredictor {
    /// The horizon that is likely still the same, for a server that has heard of so many writes.
    pub(super) fn horizon(&self, write_count: u64) -> Option<i64> {
        (write_count == self.write_count).then_some(self.horizon)
    }

    /// Whether what is likely was so of late. Where others write unheard, it was not.
    pub(super) fn is_trusted(&self) -> bool {
        self.trust > MAX_TRUST / 2
    }

    /// Learns whether a prediction was right.
    pub(super) fn judge(&mut self, right: bool) {
        self.trust = if right { (self.trust + 1).min(MAX_TRUST) } else { self.trust.saturating_sub(1) };
    }

    /// The horizon was read after so many writes were heard of.
    pub(super) fn learn(&mut self, write_count: u64, horizon: i64) {
        (self.write_count, self.horizon) = (write_count, horizon);
    }
}

#[cfg(test)]
mod tests {
    use super::IdlePredictor;

    #[test]
    fn a_write_that_was_heard_of_ends_the_guess() {
        let mut predictor = IdlePredictor::default();
        predictor.learn(7, 40);
        assert_eq!((predictor.horizon(7), predictor.horizon(8)), (Some(40), None));
    }

    #[test]
    fn wrong_guesses_end_the_trust_and_right_ones_bring_it_back() {
        let mut predictor = IdlePredictor::default();
        let mut after = |right| {
            predictor.judge(right);
            predictor.is_trusted()
        };
        assert_eq!(
            [true, true, false, false, false, true, true].map(&mut after),
            [true, true, true, false, false, false, true]
        );
        assert_eq!([true, true, true, false, true].map(after), [true; 5], "one that is wrong among many is forgiven");
    }
}
