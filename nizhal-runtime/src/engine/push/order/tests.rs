//! What bars a mutation within a batch, without a database.

use super::*;
use crate::{engine::push::reply::replayed_verdict, store::StoredResult};
use serde_json::json;

fn mutation(id: &str, client: Option<&str>, on: &[&str]) -> Mutation {
    let body = json!({"name": "n", "clientMutationId": id, "clientID": client, "mutationID": 1, "dependsOn": on});
    serde_json::from_str(&body.to_string()).unwrap()
}

fn stored_result(status: &str) -> StoredResult {
    let (client_ref, server_id) = (Some("c".to_owned()), Some("s".to_owned()));
    StoredResult {
        status: status.to_owned(),
        reason: Some("why".to_owned()),
        client_ref,
        server_id,
        version: 0,
        lost: None,
        late: false,
    }
}

#[test]
fn inv15_a_gap_stops_its_client_and_its_dependants() {
    let mut blockers = Blockers::default();
    let gap = Verdict::Barred(PushError::OutOfOrder { got: 5, last: 3 });
    blockers.add(&mutation("m5", Some("phone"), &[]), &gap, Some(3));
    let bars = |mutation: &Mutation| blockers.bars(Wire::Two, mutation);
    assert!(matches!(bars(&mutation("m4", Some("phone"), &[])), Some((PushError::Waits(on), Some(3))) if on == "m5"));
    assert!(matches!(bars(&mutation("x", Some("tablet"), &["m5"])), Some((PushError::Waits(_), None))));
    assert!(bars(&mutation("x", Some("tablet"), &["m1"])).is_none());
    assert!(bars(&mutation("x", None, &[])).is_none());
    assert!(blockers.bars(Wire::One, &mutation("m4", Some("phone"), &[])).is_none());
}

#[test]
fn inv12_a_replay_gets_the_answer_of_then() {
    assert!(
        matches!(replayed_verdict(Wire::Two, Some(stored_result("applied")), None), Verdict::Duplicate(ids) if ids.server_id.is_some())
    );
    let failure = |status| match replayed_verdict(Wire::Two, Some(stored_result(status)), Some(1)) {
        Verdict::Refused(failure) => failure.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(failure("rejected"), "why");
    assert_eq!(failure("cancelled"), "it depends on `why`, which was refused");
    assert_eq!(failure("unknown_mutator"), "no mutator is named `why`");
    assert!(failure("forbidden").contains("buckets"));
}

#[test]
fn inv13_a_number_of_anothers_is_no_duplicate() {
    assert!(matches!(replayed_verdict(Wire::One, None, Some(1)), Verdict::Barred(PushError::NumberUsed(1))));
    assert!(matches!(replayed_verdict(Wire::Two, None, Some(1)), Verdict::Refused(PushError::NumberUsed(1))));
}
