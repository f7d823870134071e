//! Random numbers that follow from the mutation, so that a device and the server draw the same.

/// A stream of random numbers that is the same for the same mutation.
///
/// SplitMix64 (Steele, Lea and Flood, 2014), seeded with the FNV-1a hash of the mutation's id. Whoever sends the mutation can
/// know the numbers: they are for shuffling and sampling, not for secrets.
///
/// ```
/// # use nizhal_core::Random;
/// let (mut device, mut server) = (Random::of("m-1"), Random::of("m-1"));
/// assert_eq!(device.next_u64(), server.next_u64());
/// assert_ne!(Random::of("m-2").next_u64(), Random::of("m-1").next_u64());
/// ```
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of the mutation with this `clientMutationId`.
    pub fn of(client_mutation_id: &str) -> Self {
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(client_mutation_id.bytes().fold(0xcbf2_9ce4_8422_2325, hash))
    }

    /// The next number, every one as likely as any other.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number below `limit`, without bias; 0 when `limit` is.
    pub fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 {
            return 0;
        }
        // What is left when the limit does not divide 2^64 would favour small numbers; it is drawn again.
        let unfair = limit.wrapping_neg() % limit;
        loop {
            let number = self.next_u64();
            if number >= unfair {
                return number % limit;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Devices draw these too, so they never change.
    #[test]
    fn the_numbers_of_a_mutation_are_golden() {
        // The reference implementation's, from a seed of 0.
        let mut zero = Random(0);
        assert_eq!([zero.next_u64(), zero.next_u64()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        // FNV-1a's published hash of "a".
        assert_eq!(Random::of("a").0, 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn numbers_below_a_limit_reach_all_of_it_and_nothing_more() {
        let mut random = Random::of("m");
        let mut seen = [false; 6];
        for _ in 0..200 {
            seen[usize::try_from(random.below(6)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 6]);
        assert_eq!((random.below(1), random.below(0)), (0, 0));
    }
}
