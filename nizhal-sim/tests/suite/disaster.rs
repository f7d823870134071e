//! Seeds.

use crate::app::Shops;

#[test]
fn inv01_inv02_inv03_inv04_inv12_inv13_inv22_disasters() {
    let begun = std::time::Instant::now();
    let report = nizhal_sim::check(Shops);
    println!("{report:#?} in {:?}", begun.elapsed());
}
