//! Generations of the rules: whether a cursor knew a rule through all that became of it.
//!
//! The hash of a rule tells what it shows, and not that it showed something else for a while, or was not there: what was written then
//! left no trace for it. So each provisioning that changes a rule begins a generation, and a cursor names each rule by its hash and the
//! generation that it is of (its *tag*). A rule of another tag is filled again. One that was absent since leaves the rows that it
//! showed before in doubt, since nobody wrote down their deletes; a device that holds its buckets starts again.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Stands between a rule's hash and its generation.
const OF: char = '.';

/// The generations of all rules, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generations {
    /// The hash of the rule and the generation in which it came to be what it is; of the first, the hash alone.
    pub tags: BTreeMap<String, String>,
    /// The generation from which on the rule has always been there, where that is not the first.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    since: BTreeMap<String, i64>,
}

impl Generations {
    /// The first generation, of these hashes.
    pub fn first(hashes: BTreeMap<String, String>) -> Self {
        Self { tags: hashes, since: BTreeMap::new() }
    }

    /// Reads what the control row keeps; the first generation of `hashes` where it keeps nothing yet.
    pub(crate) fn read(text: &str, hashes: &BTreeMap<String, String>) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self::first(hashes.clone()))
    }

    /// What follows when the rules are of these hashes now, in the generation `number` where that is another one. `stayed` tells whether
    /// a rule was provisioned under the same buckets until now.
    pub(crate) fn next(&self, hashes: &BTreeMap<String, String>, number: i64, stayed: &dyn Fn(&str) -> bool) -> Self {
        let mut next = Self::default();
        for (name, hash) in hashes {
            let has_stayed = stayed(name);
            let kept = self.tags.get(name).filter(|tag| has_stayed && hash_of(tag) == hash);
            next.tags.insert(name.clone(), kept.cloned().unwrap_or_else(|| format!("{hash}{OF}{number}")));
            let since = if has_stayed { self.since.get(name).copied() } else { Some(number) };
            next.since.extend(since.map(|since| (name.clone(), since)));
        }
        next
    }

    /// Whether the rule was absent at some time since a cursor had this tag of it.
    pub fn was_absent(&self, rule: &str, then: Option<&String>) -> bool {
        let then = then.map_or(0, |tag| number_of(tag));
        self.since.get(rule).is_some_and(|since| *since > then)
    }
}

fn hash_of(tag: &str) -> &str {
    tag.split(OF).next().unwrap_or_default()
}

fn number_of(tag: &str) -> i64 {
    tag.split_once(OF).and_then(|(_, number)| number.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(rules: &[(&str, &str)]) -> BTreeMap<String, String> {
        rules.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())).collect()
    }

    #[test]
    fn inv01_a_rule_that_was_away_is_another_one() {
        let first = Generations::read("", &hashes(&[("a", "x"), ("b", "y")]));
        let second = first.next(&hashes(&[("a", "z")]), 1, &|_| true);
        let third = second.next(&hashes(&[("a", "x"), ("b", "y")]), 2, &|rule| rule == "a");
        assert_eq!(third.tags, hashes(&[("a", "x.2"), ("b", "y.2")]));
        for then in [Some("y"), Some("y.1"), None] {
            assert!(third.was_absent("b", then.map(str::to_owned).as_ref()));
        }
        assert!(!third.was_absent("b", Some(&"y.2".to_owned())));
        assert!(!third.was_absent("a", Some(&"x".to_owned())));
        assert_eq!(third.next(&hashes(&[("a", "x"), ("b", "y")]), 3, &|_| true), third);
        let text = serde_json::to_string(&third).unwrap();
        assert_eq!(Generations::read(&text, &BTreeMap::new()), third);
    }
}
