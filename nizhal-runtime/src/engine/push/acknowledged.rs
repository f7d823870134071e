//! The answers that the clients of a request have, by what they send: whatever a client has no answer to, it sends again.

use super::reply::numbered;
use nizhal_core::wire::Mutation;
use std::collections::BTreeMap;

/// By `clientID`, the number before the first that a request brings: up to it the client has its answers.
#[derive(Debug, Default)]
pub(super) struct Acknowledged(BTreeMap<String, i64>);

impl Acknowledged {
    /// The numbers that the mutations of a request acknowledge.
    pub(super) fn of(mutations: &[Mutation]) -> Self {
        let mut acknowledged = BTreeMap::new();
        for mutation in mutations {
            if let (Some(client), Some(number)) = (&mutation.client_id, numbered(mutation)) {
                let before = acknowledged.entry(client.clone()).or_insert(number - 1);
                *before = (number - 1).min(*before);
            }
        }
        Self(acknowledged)
    }

    /// The number up to which the client of a mutation has its answers.
    pub(super) fn by(&self, mutation: &Mutation) -> i64 {
        mutation.client_id.as_ref().and_then(|client| self.0.get(client)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn inv12_what_a_request_begins_behind_is_acknowledged() {
        let numbered = |client: Option<&str>, number: i64| {
            let sent = json!({"name": "n", "clientMutationId": "m", "clientID": client, "mutationID": number});
            serde_json::from_value::<Mutation>(sent)
        };
        let numbered = |client, number| numbered(client, number).unwrap();
        let sent = [numbered(Some("a"), 8), numbered(Some("b"), 1), numbered(Some("a"), 7), numbered(None, 9)];
        let acknowledged = Acknowledged::of(&sent);
        assert_eq!(sent.each_ref().map(|mutation| acknowledged.by(mutation)), [6, 0, 6, 0]);
    }
}
