//! An actor's buckets: for each rule, every combination of its parameters' values.

use super::Bucket;
use crate::schema::Schema;
use nizhal_core::{MemberFilter, ParamSource, Principal, Rule};
use std::collections::BTreeSet;

/// The buckets of an actor, given what membership tables say: `(rule, parameter, value)` by index.
pub(crate) fn buckets(schema: &Schema, principal: &Principal, members: &[(usize, usize, String)]) -> BTreeSet<Bucket> {
    let mut all = BTreeSet::new();
    for (rule_at, rule) in schema.rules().iter().enumerate() {
        let values: Vec<Vec<String>> =
            (0..rule.params.len()).map(|param_at| values(rule, rule_at, param_at, principal, members)).collect();
        let mut combinations = vec![Vec::new()];
        for choices in &values {
            combinations = combinations
                .iter()
                .flat_map(|head| {
                    choices.iter().map(move |choice| [head.as_slice(), std::slice::from_ref(choice)].concat())
                })
                .collect();
        }
        all.extend(combinations.into_iter().map(|params| Bucket::new(rule.name, params)));
    }
    all
}

/// The keys of the actor's membership queries: what a change of a membership row that concerns the actor is pinged under.
pub(super) fn memberships(schema: &Schema, principal: &Principal) -> Vec<Bucket> {
    let mut keys = Vec::new();
    for rule in schema.rules() {
        for (at, param) in rule.params.iter().enumerate() {
            let ParamSource::Member { filters, .. } = &param.source else { continue };
            let claims = filters.iter().filter_map(|filter| match filter {
                MemberFilter::Claim { claim, .. } => Some(claim.get(principal).map(|value| value.to_string())),
                MemberFilter::Const(_) => None,
            });
            // Where a claim is absent no membership can ever be the actor's.
            let Some(claims) = claims.collect::<Option<Vec<String>>>() else { continue };
            keys.push(Bucket::membership(rule.name, at, claims));
        }
    }
    keys
}

fn values(
    rule: &Rule,
    rule_at: usize,
    param_at: usize,
    principal: &Principal,
    members: &[(usize, usize, String)],
) -> Vec<String> {
    match &rule.params[param_at].source {
        ParamSource::Claim(claim) => claim.get(principal).map(|value| value.to_string()).into_iter().collect(),
        ParamSource::Member { .. } => {
            let own = members.iter().filter(|(rule, param, _)| (*rule, *param) == (rule_at, param_at));
            own.map(|(_, _, value)| value.clone()).collect()
        }
    }
}
