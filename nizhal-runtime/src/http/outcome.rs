//! The body of a push's response: wire 1's list of what applied, wire 2's result for each mutation.

use super::error::code_and_text;
use crate::engine::{Answer, PushError, PushReply, Verdict};
use nizhal_core::wire::{MutationResult, MutationStatus, Wire};
use serde_json::{Map, Value, json};

/// The body's fields, and the failure that gives the answer its status, if one does.
pub(super) fn outcome(wire: Wire, reply: PushReply) -> (Map<String, Value>, Option<PushError>) {
    let (mut outcome, failure) = match wire {
        Wire::One => one(reply),
        Wire::Two => {
            let results: Vec<MutationResult> = reply.answers.into_iter().map(result).collect();
            (Map::from_iter([("results".to_owned(), json!(results))]), reply.fault)
        }
    };
    if let Some(PushError::BlobMissing(hashes)) = &failure {
        outcome.insert("sha256".to_owned(), json!(hashes));
    }
    (outcome, failure)
}

/// A push's answer in wire 2, where there is no HTTP: its body, and the status when a fault of the server ended it.
pub fn push_body(reply: PushReply) -> (Vec<u8>, Option<u16>) {
    let (mut body, fault) = outcome(Wire::Two, reply);
    let status = fault.map(|failure| {
        let (code, text) = super::error::code_and_text(&failure);
        body.insert("code".to_owned(), code.into());
        body.insert("error".to_owned(), text.into());
        super::error::push_status(&failure)
    });
    (Value::Object(body).to_string().into_bytes(), status)
}

/// What applied, and where the clients' sequences are.
fn one(reply: PushReply) -> (Map<String, Value>, Option<PushError>) {
    let (mut applied, mut sequences, mut failure) = (Vec::new(), Vec::<(String, i64)>::new(), reply.fault);
    for answer in reply.answers {
        // Where a number was another mutation's, the client learns where its sequence stands, and renumbers.
        let shows_sequence = matches!(&answer.verdict, Verdict::Barred(PushError::NumberUsed(_)))
            || !matches!(answer.verdict, Verdict::Barred(_));
        if shows_sequence && let (Some((client, _)), Some(now)) = (answer.sequence, answer.last) {
            match sequences.iter_mut().find(|(id, _)| *id == client) {
                Some((_, last)) => *last = (*last).max(now),
                None => sequences.push((client, now)),
            }
        }
        match answer.verdict {
            Verdict::Applied(_) | Verdict::Duplicate(_) => applied.push(answer.client_mutation_id),
            // Refused under wire 2 and asked for again under wire 1, which has no word for it.
            Verdict::Refused(cancelled @ PushError::Cancelled(_)) => {
                failure = Some(PushError::Rejected(cancelled.to_string()));
            }
            Verdict::Barred(PushError::NumberUsed(_)) => {}
            Verdict::Refused(refused) | Verdict::Barred(refused) => failure = Some(refused),
        }
    }
    let mut outcome = Map::new();
    outcome.insert("applied".to_owned(), applied.into());
    // Where there is a gap, its client must hear where it stands, whatever came before.
    if let Some(PushError::OutOfOrder { last, .. }) = &failure {
        outcome.insert("lastMutationId".to_owned(), json!(last));
    }
    match sequences.as_slice() {
        [] => {}
        [_] if outcome.contains_key("lastMutationId") => {}
        [(_, last)] => {
            outcome.insert("lastMutationId".to_owned(), json!(last));
        }
        _ => {
            outcome.insert(
                "clientSequences".to_owned(),
                Value::Object(sequences.into_iter().map(|(client, last)| (client, json!(last))).collect()),
            );
        }
    }
    (outcome, failure)
}

/// The status and code of an answer.
pub(super) fn status_and_code(answer: &Answer) -> (MutationStatus, Option<&'static str>) {
    let status = match &answer.verdict {
        Verdict::Applied(_) => MutationStatus::Applied,
        Verdict::Duplicate(_) => MutationStatus::Duplicate,
        Verdict::Refused(failure) | Verdict::Barred(failure) => status(failure),
    };
    (status, answer.verdict.failure().map(|failure| code_and_text(failure).0))
}

fn result(answer: Answer) -> MutationResult {
    let failure = answer.verdict.failure().map(code_and_text);
    let (code, error) = failure.map(|(code, text)| (code.to_owned(), text)).unzip();
    let (status, ids) = match answer.verdict {
        Verdict::Applied(ids) => (MutationStatus::Applied, ids),
        Verdict::Duplicate(ids) => (MutationStatus::Duplicate, ids),
        Verdict::Refused(failure) | Verdict::Barred(failure) => (status(&failure), Default::default()),
    };
    MutationResult {
        client_mutation_id: answer.client_mutation_id,
        status,
        code,
        error,
        client_id: ids.client_ref,
        server_id: ids.server_id,
        last_mutation_id: answer.sequence.and(answer.last),
        lost: ids.lost,
        late: answer.late,
    }
}

fn status(failure: &PushError) -> MutationStatus {
    match failure {
        PushError::Forbidden | PushError::ClientIdTaken => MutationStatus::Forbidden,
        PushError::OutOfOrder { .. } | PushError::Waits(_) => MutationStatus::OutOfOrder,
        PushError::Cancelled(_) => MutationStatus::Cancelled,
        _ => MutationStatus::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Ids;
    use nizhal_core::BlobHash;

    fn answer(id: &str, client: &str, number: i64, verdict: Verdict) -> Answer {
        let sequence = Some((client.to_owned(), number));
        Answer { client_mutation_id: id.to_owned(), sequence, last: Some(number), verdict, late: false }
    }

    fn applied(id: &str, client: &str, number: i64) -> Answer {
        answer(id, client, number, Verdict::Applied(Ids::default()))
    }

    fn body_of(wire: Wire, answers: Vec<Answer>) -> (Value, Option<PushError>) {
        let (outcome, failure) = outcome(wire, PushReply { answers, fault: None });
        (Value::Object(outcome), failure)
    }

    #[test]
    fn wire_one_names_several_clients() {
        let (body, failure) = body_of(Wire::One, vec![applied("m1", "a", 1), applied("m2", "b", 2)]);
        assert_eq!(body, json!({"applied": ["m1", "m2"], "clientSequences": {"a": 1, "b": 2}}));
        assert!(failure.is_none());
        assert_eq!(body_of(Wire::One, vec![]).0, json!({"applied": []}));
    }

    #[test]
    fn inv13_wire_one_says_where_a_sequence_stands_and_not_what_was_asked() {
        let used = || Verdict::Barred(PushError::NumberUsed(2));
        let stands = |answer| Answer { last: Some(7), ..answer };
        let (body, failure) = body_of(Wire::One, vec![stands(answer("m2", "a", 2, used()))]);
        assert_eq!(body, json!({"applied": [], "lastMutationId": 7}));
        assert!(failure.is_none());
        let replay = stands(answer("m1", "a", 1, Verdict::Duplicate(Ids::default())));
        assert_eq!(body_of(Wire::One, vec![replay]).0, json!({"applied": ["m1"], "lastMutationId": 7}));
    }

    #[test]
    fn wire_one_says_where_a_gap_is() {
        let gap = || Verdict::Barred(PushError::OutOfOrder { got: 9, last: 4 });
        let (body, _) = body_of(Wire::One, vec![applied("m1", "a", 7), answer("m2", "b", 9, gap())]);
        assert_eq!(body, json!({"applied": ["m1"], "lastMutationId": 4}));
    }

    #[test]
    fn wire_one_has_no_word_for_cancelled() {
        let cancelled = Verdict::Refused(PushError::Cancelled("m0".to_owned()));
        let (body, failure) = body_of(Wire::One, vec![answer("m1", "a", 1, cancelled)]);
        assert_eq!(body, json!({"applied": [], "lastMutationId": 1}));
        assert!(matches!(failure, Some(PushError::Rejected(text)) if text.contains("m0")));
    }

    #[test]
    fn both_wires_name_the_blobs_that_are_missing() {
        let hash: BlobHash = "ab".repeat(32).parse().unwrap();
        let reply =
            || PushReply { answers: vec![applied("m1", "a", 1)], fault: Some(PushError::BlobMissing(vec![hash])) };
        let (body, failure) = outcome(Wire::One, reply());
        assert_eq!(Value::Object(body), json!({"applied": ["m1"], "lastMutationId": 1, "sha256": ["ab".repeat(32)]}));
        assert!(matches!(failure, Some(PushError::BlobMissing(_))));
        let (body, failure) = outcome(Wire::Two, reply());
        assert_eq!(body["sha256"], json!(["ab".repeat(32)]));
        assert_eq!((body["results"].as_array().map(Vec::len), failure.is_some()), (Some(1), true));
    }

    #[test]
    fn wire_two_answers_each() {
        let ids = Ids { client_ref: Some("c".to_owned()), server_id: Some("s".to_owned()), ..Ids::default() };
        let refused = |failure| Verdict::Refused(failure);
        let (body, failure) = body_of(
            Wire::Two,
            vec![
                Answer { late: true, ..answer("m1", "a", 1, Verdict::Duplicate(ids)) },
                answer("m2", "a", 2, refused(PushError::InvalidArgs("no".to_owned()))),
                answer("m3", "a", 3, refused(PushError::Cancelled("m2".to_owned()))),
            ],
        );
        assert!(failure.is_none());
        assert_eq!(
            body,
            json!({"results": [
                {"clientMutationId": "m1", "status": "duplicate", "clientId": "c", "serverId": "s", "lastMutationId": 1, "late": true},
                {"clientMutationId": "m2", "status": "rejected", "code": "invalid_args", "error": "no", "lastMutationId": 2},
                {"clientMutationId": "m3", "status": "cancelled", "code": "cancelled",
                 "error": "it depends on `m2`, which was refused", "lastMutationId": 3},
            ]})
        );
    }
}
