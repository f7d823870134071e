//! What a socket asked to hear: some names, or all that its actor holds.

use crate::engine::Bucket;
use std::collections::BTreeSet;

/// The buckets a socket asked for, by their wire 1 names.
///
/// A name stands for every bucket *of this actor* with that value, whichever its rule; another actor's bucket of the
/// same value is another bucket.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    names: Option<BTreeSet<String>>,
}

impl Wanted {
    /// These names; none means all.
    pub(crate) fn of(names: &[&str]) -> Self {
        let names: BTreeSet<String> = names.iter().map(|&name| name.to_owned()).collect();
        Self { names: (!names.is_empty()).then_some(names) }
    }

    /// Those of the actor's buckets that the socket hears.
    pub(crate) fn held(&self, scope: Vec<Bucket>) -> BTreeSet<Bucket> {
        let wanted = |bucket: &Bucket| self.names.as_ref().is_none_or(|names| names.contains(&bucket.name()));
        scope.into_iter().filter(wanted).collect()
    }

    /// Whether some name stands for nothing that the actor holds.
    pub(crate) fn lacks(&self, held: &BTreeSet<Bucket>) -> bool {
        let found: BTreeSet<String> = held.iter().map(Bucket::name).collect();
        self.names.as_ref().is_some_and(|names| !names.is_subset(&found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(rule: &str, value: &str) -> Bucket {
        Bucket::new(rule, vec![value.to_owned()])
    }

    #[test]
    fn a_bare_name_stands_for_every_rule_of_the_actor() {
        let scope = vec![bucket("shops", "42"), bucket("channels", "42"), bucket("shops", "7")];
        let wanted = Wanted::of(&["42"]);
        let held = wanted.held(scope);
        assert_eq!(held, [bucket("shops", "42"), bucket("channels", "42")].into());
        assert!(!wanted.lacks(&held));
    }

    #[test]
    fn a_name_that_the_actor_lacks_is_noticed() {
        let wanted = Wanted::of(&["42", "8"]);
        assert!(wanted.lacks(&wanted.held(vec![bucket("shops", "42")])));
    }

    #[test]
    fn no_name_means_all_even_when_there_is_none() {
        let wanted = Wanted::of(&[]);
        assert!(!wanted.lacks(&wanted.held(vec![])));
        assert_eq!(wanted.held(vec![bucket("shops", "1"), bucket("shops", "2")]).len(), 2);
    }
}
