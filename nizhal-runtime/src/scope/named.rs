//! Buckets by the names that app code gives them.

use nizhal_core::{Bucket, Rule, bucket::percent_decode};

/// What a name may mean: in each rule with parameters the bucket that is called so, with or without the rule's wire name before it.
/// The one bucket of a public rule is everybody's and so nobody's to name.
pub(crate) fn readings<'a>(rules: &'a [Rule], name: &str) -> Vec<(&'a Rule, Bucket)> {
    let of_rule = |rule: &'a Rule| {
        let qualified = name.strip_prefix(rule.name).and_then(|rest| rest.strip_prefix(':'));
        let values = [qualified, Some(name)].into_iter().flatten().filter_map(|text| params(rule, text));
        values.map(|params| (rule, Bucket::new(rule.name, params))).collect::<Vec<_>>()
    };
    rules.iter().flat_map(of_rule).collect()
}

/// The parameters that [`Bucket::name`] wrote so.
fn params(rule: &Rule, text: &str) -> Option<Vec<String>> {
    match rule.params.len() {
        0 => None,
        1 => Some(vec![text.to_owned()]),
        count => {
            let params: Vec<String> = text.split('/').map(percent_decode).collect();
            (params.len() == count).then_some(params)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rules;

    #[test]
    fn inv02_a_name_is_read_as_it_is_written() {
        let rules = rules();
        let read = |name: &str| readings(&rules, name).into_iter().map(|(_, bucket)| bucket).collect::<Vec<_>>();
        for rule in &rules {
            let params: Vec<String> = (0..rule.params.len()).map(|at| format!("a/b {at}")).collect();
            let bucket = Bucket::new(rule.name, params);
            for name in [bucket.name(), bucket.qualified()] {
                assert_eq!(read(&name).contains(&bucket), !rule.params.is_empty(), "{name}");
            }
        }
        assert!(read("*").iter().all(|bucket| !bucket.params.is_empty()));
    }
}
