//! The buckets that a pull gives, of those that the actor holds: without those on demand that the device does not ask for, and one
//! priority after the other of those that it has yet to get.
//!
//! Decision: book/src/decisions/pulling.md#a-pull-fills-one-priority-after-the-other

use super::cursor::Lane;
use nizhal_core::{
    Bucket, Rule,
    wire::{PullRequest, Wire},
};
use std::collections::BTreeSet;

/// What a pull leaves out for now, or until the device asks for it.
#[derive(Debug)]
pub(super) struct Narrowing<'a> {
    rules: &'a [Rule],
    /// The names of the buckets on demand that the device asks for; a client that cannot ask gets all.
    subscribed: Option<BTreeSet<&'a str>>,
}

/// The buckets that a device has yet to get.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gained {
    /// Those that it gets now.
    pub(super) now: Vec<Bucket>,
    /// Those that come later.
    pub(super) later: Vec<Bucket>,
}

impl<'a> Narrowing<'a> {
    pub(super) fn new(rules: &'a [Rule], wire: Wire, request: &'a PullRequest) -> Self {
        let asks = wire == Wire::Two && rules.iter().any(|rule| rule.on_demand.is_some());
        let named = request.buckets.as_ref().filter(|_| asks);
        Self { rules, subscribed: named.map(|names| names.iter().map(String::as_str).collect()) }
    }

    /// Whether the device may get other buckets than all that the actor holds. It depends on the rules and on the client, and on nothing
    /// that the database says.
    pub(super) fn may_leave_out(&self) -> bool {
        let mut priorities = self.rules.iter().map(|rule| rule.priority);
        let first = priorities.next();
        self.subscribed.is_some() || priorities.any(|priority| Some(priority) != first)
    }

    /// Of an actor's buckets, those that the device is to have in the end.
    pub(super) fn wanted(&self, mut scope: BTreeSet<Bucket>) -> BTreeSet<Bucket> {
        if let Some(subscribed) = &self.subscribed {
            scope.retain(|bucket| {
                let is_on_demand = self.rule(bucket).is_some_and(|rule| rule.on_demand.is_some());
                !is_on_demand || subscribed.contains(bucket.qualified().as_str())
            });
        }
        scope
    }

    /// Those to begin with, of buckets that the device lacks: all of the lowest number. Where the snapshot of the pull before is not at its
    /// end, a bucket of a higher number than all that the device has waits for it, since the device shows none of it before.
    pub(super) fn next(&self, lacking: BTreeSet<Bucket>, held: &[Lane], is_partial: bool) -> Gained {
        let Some(first) = lacking.iter().map(|bucket| self.priority(bucket)).min() else { return Gained::default() };
        let last_held = held.iter().flat_map(|lane| &lane.buckets).map(|bucket| self.priority(bucket)).max();
        let must_wait = is_partial && last_held.is_some_and(|last| first > last);
        let (now, later): (Vec<_>, Vec<_>) =
            lacking.into_iter().partition(|bucket| !must_wait && self.priority(bucket) == first);
        Gained { now, later }
    }

    fn rule(&self, bucket: &Bucket) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == bucket.rule)
    }

    fn priority(&self, bucket: &Bucket) -> u8 {
        self.rule(bucket).map_or(u8::MAX, |rule| rule.priority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nizhal_core::OnDemand;

    fn rules() -> Vec<Rule> {
        let rule = |name, priority, ttl_s: Option<u64>| Rule {
            name,
            priority,
            on_demand: ttl_s.map(|ttl_s| OnDemand { ttl_s }),
            ..Rule::default()
        };
        vec![rule("late", 9, None), rule("soon", 1, None), rule("asked", 1, Some(60))]
    }

    fn buckets(names: &[&str]) -> BTreeSet<Bucket> {
        let bucket = |name: &&str| {
            let (rule, value) = name.split_once(':').unwrap();
            Bucket::new(rule, vec![value.to_owned()])
        };
        names.iter().map(bucket).collect()
    }

    fn request(names: &[&str]) -> PullRequest {
        let buckets = Some(names.iter().map(|&name| name.to_owned()).collect());
        PullRequest { buckets, ..PullRequest::default() }
    }

    #[test]
    fn inv02_only_a_client_that_can_ask_is_left_without_what_it_did_not_ask_for() {
        let (rules, request, silent) = (rules(), request(&["asked:b", "asked:z", "soon:y"]), PullRequest::default());
        let all = buckets(&["late:a", "soon:a", "asked:a", "asked:b"]);
        let wanted = |wire, request| Narrowing::new(&rules, wire, request).wanted(all.clone());
        assert_eq!(wanted(Wire::Two, &request), buckets(&["late:a", "soon:a", "asked:b"]));
        assert_eq!(wanted(Wire::Two, &silent), all);
        assert_eq!(wanted(Wire::One, &request), all);
    }

    #[test]
    fn the_lowest_number_comes_first_and_the_next_when_that_is_there() {
        let (rules, request) = (rules(), PullRequest::default());
        let narrowing = Narrowing::new(&rules, Wire::Two, &request);
        assert!(narrowing.may_leave_out());
        let held = |names| [Lane::fresh(buckets(names).into_iter().collect(), 7)];
        let next = |lacking, held: &[Lane], is_partial| {
            let gained = narrowing.next(buckets(lacking), held, is_partial);
            let later: BTreeSet<String> = gained.later.into_iter().map(|bucket| bucket.rule).collect();
            (gained.now.into_iter().collect::<BTreeSet<_>>(), later.into_iter().collect::<Vec<_>>())
        };
        let all = &["late:a", "late:b", "soon:a", "asked:a"];
        assert_eq!(next(all, &[], false), (buckets(&["soon:a", "asked:a"]), vec!["late".to_owned()]));
        assert_eq!(next(&["late:a"], &held(&["soon:a"]), true), (buckets(&[]), vec!["late".to_owned()]));
        assert_eq!(next(&["late:a"], &held(&["soon:a"]), false), (buckets(&["late:a"]), vec![]));
        // Gained while a later one is under way: it need not wait.
        assert_eq!(
            next(&["soon:b", "late:b"], &held(&["late:a"]), true),
            (buckets(&["soon:b"]), vec!["late".to_owned()])
        );
        assert_eq!(next(&["late:b"], &held(&["soon:a", "late:a"]), true), (buckets(&["late:b"]), vec![]));
    }

    #[test]
    fn rules_that_say_nothing_leave_nothing_out() {
        let (rules, request) = (vec![Rule { name: "a", ..Rule::default() }, Rule::default()], request(&[]));
        assert!(!Narrowing::new(&rules, Wire::Two, &request).may_leave_out());
    }
}
