//! The buckets that a job carries: where it may write.

use nizhal_core::Bucket;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Buckets by rule: every combination of these values of its parameters. Kept so, the text of an actor's does not grow with the product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Carried(Vec<(String, Vec<BTreeSet<String>>)>);

impl Carried {
    /// These buckets and no other.
    pub(crate) fn only(buckets: impl IntoIterator<Item = Bucket>) -> Self {
        let alone =
            |bucket: Bucket| (bucket.rule, bucket.params.into_iter().map(|value| BTreeSet::from([value])).collect());
        Self(buckets.into_iter().map(alone).collect())
    }

    /// Those of these values of their rules' parameters; a rule of which one has none, or that has no parameters, gives none.
    pub(crate) fn of<'a>(rules: impl Iterator<Item = (&'a str, &'a Vec<BTreeSet<String>>)>) -> Self {
        let named = rules.filter(|(_, values)| !values.is_empty() && values.iter().all(|values| !values.is_empty()));
        Self(named.map(|(rule, values)| (rule.to_owned(), values.clone())).collect())
    }

    /// Whether it is one of them.
    pub(crate) fn hold(&self, bucket: &Bucket) -> bool {
        self.0.iter().any(|(rule, values)| {
            *rule == bucket.rule
                && values.len() == bucket.params.len()
                && values.iter().zip(&bucket.params).all(|(values, param)| values.contains(param))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv18_what_is_carried_is_what_was_named() {
        let bucket = |shop: &str, desk: &str| Bucket::new("desks", vec![shop.to_owned(), desk.to_owned()]);
        let carried = Carried::only([bucket("s1", "d1"), bucket("s2", "d2")]);
        let text = serde_json::to_string(&carried).unwrap();
        let read: Carried = serde_json::from_str(&text).unwrap();
        assert_eq!(read, carried);
        assert!(read.hold(&bucket("s1", "d1")) && read.hold(&bucket("s2", "d2")));
        assert!(!read.hold(&bucket("s1", "d2")) && !read.hold(&Bucket::new("shops", vec!["s1".to_owned()])));
        assert!(!read.hold(&Bucket::new("desks", Vec::new())));
    }
}
