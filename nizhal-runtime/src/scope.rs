//! An actor's buckets: for each rule, every combination of its parameters' values.

mod carried;
mod named;

pub(crate) use carried::Carried;
pub(crate) use named::readings;

use crate::schema::Schema;
use nizhal_core::{Bucket, ClaimOf, MemberFilter, ParamDesc, ParamSource, Principal, Rule};
use std::collections::BTreeSet;

/// An actor's memberships multiply to more buckets than one may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the actor holds more than {most} buckets{}: give it fewer memberships, or allow more by {}", of(*.rule), by(*.rule))]
pub struct TooManyBuckets {
    /// How many there may be …
    pub most: usize,
    /// … of this rule; of all together when it is none's.
    pub rule: Option<&'static str>,
}

fn of(rule: Option<&'static str>) -> String {
    rule.map(|rule| format!(" of rule {rule}")).unwrap_or_default()
}

fn by(rule: Option<&'static str>) -> &'static str {
    if rule.is_some() { "the rule's #[max_buckets]" } else { "NIZHAL_MAX_BUCKETS" }
}

/// The values that each parameter of each rule has for an actor: what its buckets are made of.
pub(crate) struct Choices<'a> {
    rules: Vec<(&'a Rule, Vec<BTreeSet<String>>)>,
}

impl<'a> Choices<'a> {
    /// Given what membership tables say: `(rule, parameter, value)` by index.
    pub(crate) fn new(schema: &'a Schema, principal: &Principal, members: &[(usize, usize, String)]) -> Self {
        let choices = |(at, rule): (usize, &'a Rule)| {
            let values = (0..rule.params.len()).map(|param| values(rule, at, param, principal, members)).collect();
            (rule, values)
        };
        Self { rules: schema.rules().iter().enumerate().map(choices).collect() }
    }

    /// Whether this bucket is the actor's. Makes no other bucket, however many there are.
    pub(crate) fn hold(&self, bucket: &Bucket) -> bool {
        let found = self.rules.iter().find(|(rule, _)| rule.name == bucket.rule);
        found.is_some_and(|(_, values)| {
            values.len() == bucket.params.len()
                && values.iter().zip(&bucket.params).all(|(values, param)| values.contains(param))
        })
    }

    /// All of them that rules' parameters name, for a job to carry.
    pub(crate) fn carried(&self) -> Carried {
        Carried::of(self.rules.iter().map(|(rule, values)| (rule.name, values)))
    }

    /// Every combination; counted before one is made, so that memory is bounded.
    pub(crate) fn buckets(&self, most: usize) -> Result<BTreeSet<Bucket>, TooManyBuckets> {
        let product = |values: &[BTreeSet<String>]| {
            values.iter().try_fold(1_usize, |product, values| product.checked_mul(values.len()))
        };
        let mut count = Some(0_usize);
        for (rule, values) in &self.rules {
            let of_rule = product(values);
            let bound = rule.max_buckets.and_then(|bound| usize::try_from(bound).ok());
            if let Some(bound) = bound.filter(|&bound| of_rule.is_none_or(|of_rule| of_rule > bound)) {
                return Err(TooManyBuckets { most: bound, rule: Some(rule.name) });
            }
            count = count.zip(of_rule).and_then(|(count, of_rule)| count.checked_add(of_rule));
        }
        if count.is_none_or(|count| count > most) {
            return Err(TooManyBuckets { most, rule: None });
        }
        let mut all = BTreeSet::new();
        for (rule, values) in &self.rules {
            let mut combinations = vec![Vec::new()];
            for choices in values {
                combinations = combinations
                    .iter()
                    .flat_map(|head| {
                        choices.iter().map(move |choice| [head.as_slice(), std::slice::from_ref(choice)].concat())
                    })
                    .collect();
            }
            all.extend(combinations.into_iter().map(|params| Bucket::new(rule.name, params)));
        }
        Ok(all)
    }
}

/// The keys of the actor's membership queries: what a change of a membership row that concerns the actor is pinged under.
pub(crate) fn memberships(schema: &Schema, principal: &Principal) -> Vec<Bucket> {
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

/// Every claim that rules look at, in their order.
pub(crate) fn key(schema: &Schema, principal: &Principal) -> Vec<Option<String>> {
    let value = |claim: &ClaimOf| claim.get(principal).map(|value| value.to_string());
    let of_param = |param: &ParamDesc| match &param.source {
        ParamSource::Claim(claim) => vec![value(claim)],
        ParamSource::Member { filters, .. } => {
            let claims = filters.iter().filter_map(|filter| match filter {
                MemberFilter::Claim { claim, .. } => Some(value(claim)),
                MemberFilter::Const(_) => None,
            });
            claims.collect()
        }
    };
    schema.rules().iter().flat_map(|rule| &rule.params).flat_map(of_param).collect()
}

fn values(
    rule: &Rule,
    rule_at: usize,
    param_at: usize,
    principal: &Principal,
    members: &[(usize, usize, String)],
) -> BTreeSet<String> {
    match &rule.params[param_at].source {
        ParamSource::Claim(claim) => claim.get(principal).map(|value| value.to_string()).into_iter().collect(),
        ParamSource::Member { .. } => {
            let own = members.iter().filter(|(rule, param, _)| (*rule, *param) == (rule_at, param_at));
            own.map(|(_, _, value)| value.clone()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOTES;
    use nizhal_core::{ColumnIndex, RuleTable, SqlType};

    fn schema(params: usize) -> Schema {
        bounded_schema(params, None)
    }

    fn bounded_schema(params: usize, max_buckets: Option<u32>) -> Schema {
        let source = || ParamSource::Member { table: &NOTES, column: ColumnIndex::new(0), filters: Vec::new() };
        let params = (0..params).map(|_| ParamDesc { name: "p", sql: SqlType::Text, source: source() }).collect();
        let tables =
            vec![RuleTable { table: &NOTES, scope: [0, 1].map(ColumnIndex::new).to_vec(), filters: Vec::new() }];
        Schema::new(vec![&NOTES], vec![Rule { name: "r", max_buckets, params, tables, ..Rule::default() }], Vec::new())
            .unwrap()
    }

    fn members(of_each: usize, params: usize) -> Vec<(usize, usize, String)> {
        (0..params).flat_map(|param| (0..of_each).map(move |value| (0, param, value.to_string()))).collect()
    }

    fn principal() -> Principal {
        let clock = crate::testing::clock();
        let claims = crate::testing::Claims { user_id: "u".into(), owner_id: "o".into(), shop_id: "s".into() };
        Principal::new(claims, Some(crate::environment::Environment::now(&clock)))
    }

    #[test]
    fn inv28_buckets_are_counted_before_they_are_made() {
        let (schema, members) = (schema(2), members(100, 2));
        let choices = Choices::new(&schema, &principal(), &members);
        assert_eq!(choices.buckets(10_000).unwrap().len(), 10_000);
        assert_eq!(choices.buckets(9_999), Err(TooManyBuckets { most: 9_999, rule: None }));
        let mut bounded = bounded_schema(2, Some(9_999));
        let choices = Choices::new(&bounded, &principal(), &members);
        assert_eq!(choices.buckets(20_000), Err(TooManyBuckets { most: 9_999, rule: Some("r") }));
        bounded = bounded_schema(2, Some(10_000));
        assert!(Choices::new(&bounded, &principal(), &members).buckets(20_000).is_ok());
    }

    #[test]
    fn inv28_more_than_any_number_is_too_many() {
        let (schema, members) = (schema(64), members(2, 64));
        assert!(Choices::new(&schema, &principal(), &members).buckets(usize::MAX).is_err());
    }

    #[test]
    fn inv18_what_is_held_is_what_the_buckets_are() {
        let (schema, mut members) = (schema(2), members(2, 2));
        members.push((0, 1, "only second".to_owned()));
        let choices = Choices::new(&schema, &principal(), &members);
        let held = choices.buckets(100).unwrap();
        let texts = ["0", "1", "2", "only second"];
        for (first, second) in texts.iter().flat_map(|first| texts.iter().map(move |second| (first, second))) {
            let bucket = Bucket::new("r", vec![(*first).to_owned(), (*second).to_owned()]);
            assert_eq!(choices.hold(&bucket), held.contains(&bucket), "{bucket:?}");
        }
        assert!(!choices.hold(&Bucket::new("other", vec!["0".into(), "0".into()])));
        assert!(!choices.hold(&Bucket::new("r", vec!["0".into()])));
    }
}
