//! Stamps of hybrid logical clocks, by random input: section 5 of the wire protocol, invariants 20 and 32.

use nizhal_core::{Hlc, HlcClock, NodeId};
use proptest::{prelude::*, test_runner::RngSeed};

/// The moments whose years have four digits.
fn stamp() -> impl Strategy<Value = Hlc> {
    let millis = prop_oneof![-62_167_219_200_000..=253_402_300_799_999_i64, 0..2_000_000_i64];
    let node = prop_oneof![any::<u128>(), 0..3_u128];
    (millis, any::<u16>(), node).prop_map(|(millis, counter, node)| Hlc { millis, counter, node: NodeId(node) })
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: u32::try_from(nizhal_seeds::count(500)).unwrap_or(u32::MAX),
        rng_seed: RngSeed::Fixed(nizhal_seeds::first()),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn inv20_a_stamp_is_read_back(stamp in stamp()) {
        let text = stamp.to_string();
        prop_assert_eq!(text.len(), 62);
        prop_assert_eq!(text.parse::<Hlc>(), Ok(stamp));
    }

    #[test]
    fn inv20_texts_order_as_stamps_do(a in stamp(), b in stamp()) {
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }

    #[test]
    fn inv32_what_is_read_is_written_the_same(text in prop_oneof![
        "\\PC{0,70}",
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z-[0-9a-fA-F+]{4}-[0-9a-fA-F-]{32}",
        "[0-9é]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\\.[0-9]{3}Z.[0-9a-f]{4}.[0-9a-f]{32}",
    ]) {
        if let Ok(stamp) = text.parse::<Hlc>() {
            prop_assert_eq!(stamp.to_string(), text);
        }
    }

    #[test]
    fn inv20_no_stamp_carries_a_clock_away(
        received in prop::collection::vec((prop_oneof![any::<i64>(), 0..200_000_i64], any::<u16>(), 0..200_000_i64), 1..40),
    ) {
        let mut clock = HlcClock::new(NodeId(1));
        let mut last = None;
        let mut latest = 0;
        for (millis, counter, now) in received {
            latest = latest.max(now);
            let (stamp, clamped) = clock.receive(Hlc { millis, counter, node: NodeId(2) }, now);
            prop_assert_eq!(clamped, millis > now + HlcClock::MAX_AHEAD_MS);
            // A few thousand ticks may push the clock a millisecond further, never more.
            prop_assert!(stamp.millis <= latest + HlcClock::MAX_AHEAD_MS + 1, "{:?} at {}", stamp, now);
            prop_assert_eq!(stamp.node, NodeId(2));
            let ticked = clock.tick(now);
            prop_assert!(last.is_none_or(|last| ticked > last), "{:?} after {:?}", ticked, last);
            prop_assert!(ticked.millis <= latest + HlcClock::MAX_AHEAD_MS + 1);
            last = Some(ticked);
        }
    }
}
