//! Each round trip to Postgres of a push that takes a space back fails once, or loses its connection before or after it took effect: the
//! space is as it was or as it is to be, and the push that comes again makes it so.

use super::{
    app,
    plain::{Act, Deed, outcome},
    world::{World, told},
};
use crate::statement_fault::at_each_round_trip;
use nizhal_tests::{COMMIT_FAULT, Database, Kind, StatementFault, StatementProxy};

const FAULTS: [StatementFault; 3] =
    [StatementFault::Error("53100"), StatementFault::EndsBefore, StatementFault::EndsAfter];

#[tokio::test]
async fn inv37_inv39_after_any_fault_of_a_rewind_the_space_is_that_of_the_plain_loop() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    db.execute(COMMIT_FAULT).await;
    let proxy = StatementProxy::start(database.url()).await;
    let mut world = World::of(Database::at(&proxy.before(database.url())), app::schema()).await;
    world.db = db;
    let act = |after: i64, device, deed| Act { millis: 1_796_000_000_000 + after, device, number: 1, deed };
    let before = [
        act(3, 0, Deed::Restock { item: "x", quantity: 1 }),
        act(5, 1, Deed::Buy { item: "x", quantity: 1 }),
        act(7, 2, Deed::Take { slot: "p", holder: "a" }),
        act(9, 3, Deed::Cancel { item: "x" }),
    ];
    // It buys before the other, whom it leaves nothing.
    let late = act(4, 4, Deed::Buy { item: "x", quantity: 1 });
    let all = [&before[..], std::slice::from_ref(&late)].concat();
    assert_ne!(outcome(&before).applied["m1.001"], outcome(&all).applied["m1.001"]);
    at_each_round_trip(&FAULTS, 30, async |fault, number, after| {
        let (shop, context) = (format!("s{number}-{after}"), format!("{fault:?} at round trip {after}"));
        world.open(&shop, &["ann"]).await;
        world.arrive(&shop, &before).await;
        proxy.arm(after, fault);
        let reply = world.push("ann", &[late.sent(&shop)]).await;
        let is_over = proxy.disarm();
        let found = world.outcome(&shop).await;
        let is_done = found == outcome(&all);
        match told(&reply)[..] {
            ["applied"] => assert!(is_done, "{context}: {found:?}"),
            // What it would have been told may be so.
            [] => {
                let is_lost = is_done && fault == StatementFault::EndsAfter;
                assert!(is_lost || found == outcome(&before), "{context}: {found:?}");
            }
            _ => panic!("{context}: {reply:?}"),
        }
        world.arrive(&shop, std::slice::from_ref(&late)).await;
        assert_eq!(world.outcome(&shop).await, outcome(&all), "after {context}");
        is_over
    })
    .await;
}
