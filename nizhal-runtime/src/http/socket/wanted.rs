//! What a socket asked to hear: some names, or all that its actor holds.

use nizhal_core::Bucket;
use nizhal_core::wire::Wire;
use std::{collections::BTreeSet, sync::Arc};

/// The buckets a socket asked for, by the names of its wire.
///
/// A name of wire 1 stands for every bucket *of this actor* with that value, whichever its rule; another actor's bucket of the
/// same value is another bucket.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    wire: Wire,
    names: Option<BTreeSet<String>>,
}

impl Wanted {
    /// These names; none means all.
    pub(crate) fn of(wire: Wire, names: &[&str]) -> Self {
        let names: BTreeSet<String> = names.iter().map(|&name| name.to_owned()).collect();
        Self { wire, names: (!names.is_empty()).then_some(names) }
    }

    /// The name by which the socket knows a bucket.
    pub(crate) fn name(&self, bucket: &Bucket) -> String {
        bucket.name_in(self.wire)
    }

    /// Those of the actor's buckets that the socket hears.
    pub(crate) fn buckets(&self, scope: &Arc<BTreeSet<Bucket>>) -> Arc<BTreeSet<Bucket>> {
        let Some(names) = &self.names else { return scope.clone() };
        let wanted = scope.iter().filter(|bucket| names.contains(&self.name(bucket)));
        Arc::new(wanted.cloned().collect())
    }

    /// Whether some name stands for nothing that the actor holds.
    pub(crate) fn lacks(&self, buckets: &BTreeSet<Bucket>) -> bool {
        let found: BTreeSet<String> = buckets.iter().map(|bucket| self.name(bucket)).collect();
        self.names.as_ref().is_some_and(|names| !names.is_subset(&found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(rule: &str, value: &str) -> Bucket {
        Bucket::new(rule, vec![value.to_owned()])
    }

    fn scope<const N: usize>(buckets: [Bucket; N]) -> Arc<BTreeSet<Bucket>> {
        Arc::new(buckets.into())
    }

    #[test]
    fn a_bare_name_stands_for_every_rule_of_the_actor() {
        let scope = scope([bucket("shops", "42"), bucket("channels", "42"), bucket("shops", "7")]);
        let wanted = Wanted::of(Wire::One, &["42"]);
        let buckets = wanted.buckets(&scope);
        assert_eq!(*buckets, [bucket("shops", "42"), bucket("channels", "42")].into());
        assert!(!wanted.lacks(&buckets));
    }

    #[test]
    fn a_name_of_wire_two_stands_for_one_bucket() {
        let scope = scope([bucket("shops", "42"), bucket("channels", "42")]);
        let wanted = Wanted::of(Wire::Two, &["shops:42"]);
        let buckets = wanted.buckets(&scope);
        assert_eq!(*buckets, [bucket("shops", "42")].into());
        assert!(!wanted.lacks(&buckets));
        let bare = Wanted::of(Wire::Two, &["42"]);
        assert!(bare.lacks(&bare.buckets(&scope)));
    }

    #[test]
    fn a_name_that_the_actor_lacks_is_noticed() {
        let wanted = Wanted::of(Wire::One, &["42", "8"]);
        assert!(wanted.lacks(&wanted.buckets(&scope([bucket("shops", "42")]))));
    }

    #[test]
    fn no_name_means_all_even_when_there_is_none() {
        let wanted = Wanted::of(Wire::One, &[]);
        assert!(!wanted.lacks(&wanted.buckets(&scope([]))));
        assert_eq!(wanted.buckets(&scope([bucket("shops", "1"), bucket("shops", "2")])).len(), 2);
    }
}
