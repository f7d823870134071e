//! Every way a pull may begin, as a table, without a database.

use super::*;
use crate::testing;
use nizhal_core::wire::PullRequest;

/// A cursor that read these buckets up to version 7, where deletes matter from version 3 on.
fn cursor(buckets: &[&str], fingerprint: &str) -> Cursor {
    let lane =
        Lane { position: Position::after(7), floor: 3, buckets: buckets.iter().map(|name| bucket(name)).collect() };
    let rules = [("myShop".to_owned(), fingerprint.to_owned()), ("mine".to_owned(), "m".to_owned())].into();
    Cursor {
        epoch: "e".to_owned(),
        rules,
        incarnation: "l".to_owned(),
        wal_lsn: 1,
        is_partial: false,
        lanes: vec![lane],
    }
}

/// `rule:value`, or `rule` where there is no value.
fn bucket(name: &str) -> Bucket {
    let (rule, params) = name.split_once(':').map_or((name, vec![]), |(rule, value)| (rule, vec![value.to_owned()]));
    Bucket::new(rule, params)
}

/// Each lane as its buckets, its version and its floor; then what is lost, and whether the client forgets all.
fn shown(start: Result<Start, TooManyBuckets>) -> String {
    let names = |buckets: &[Bucket]| buckets.iter().map(Bucket::qualified).collect::<Vec<_>>().join(" ");
    match start {
        Err(_) => "too many".to_owned(),
        Ok(Start::From { lanes, lost, reset, later }) => {
            let lane = |lane: &Lane| format!("[{} @{}/{}]", names(&lane.buckets), lane.position.version, lane.floor);
            let lanes = lanes.iter().map(lane).collect::<String>();
            let reset = if reset { " reset" } else { "" };
            let later: BTreeSet<String> = later.into_iter().map(|bucket| format!(" +{}", bucket.rule)).collect();
            let later: String = later.into_iter().collect();
            format!("{lanes} -[{}]{reset}{later}", names(&lost))
        }
        Ok(other) => format!("{other:?}"),
    }
}

#[test]
fn a_pull_begins_where_header_clock_and_cursor_say() {
    let held = |buckets: &[&str]| Sent::Ours(cursor(buckets, "s"), false);
    let (shop, user) = ("myShop:s1", "mine:u1");
    let many = || Err::<Vec<&str>, _>(TooManyBuckets { most: 1, rule: None });
    let (here, now) = ("pg@1", "pg@1");
    // Where the database lived, the last version drawn, up to where tombstones were collected; the cursor; the actor's buckets; the start.
    let table = [
        ((here, 9, 0), Sent::Nothing, Ok(vec![shop]), "[myShop:s1 @0/9] -[]"),
        ((here, 9, 0), Sent::Nothing, many(), "too many"),
        ((here, 9, 0), Sent::Unknown, Ok(vec![shop]), "[myShop:s1 @0/9] -[] reset"),
        ((here, 9, 0), Sent::ByOtherKeys, many(), "ReadAgain"),
        (("other@1", 9, 0), Sent::ByOtherKeys, Ok(vec![shop]), "ReadAgain"),
        (("other@1", 9, 0), Sent::Nothing, many(), "Rewound"),
        (("pg@0", 9, 0), Sent::Nothing, Ok(vec![shop]), "NewIncarnation"),
        (("pg@0", 5, 0), held(&[shop]), Ok(vec![shop]), "NewIncarnation"),
        ((here, 5, 0), held(&[shop]), Ok(vec![shop]), "Rewound"),
        ((here, 9, 0), Sent::Ours(cursor(&[shop], "s"), true), Ok(vec![shop]), "Rewound"),
        ((here, 9, 7), held(&[shop]), Ok(vec![shop]), "[myShop:s1 @7/3] -[]"),
        ((here, 9, 8), held(&[shop]), Ok(vec![shop]), "[myShop:s1 @0/9] -[] reset"),
        ((here, 9, 0), held(&[shop]), many(), "too many"),
        ((here, 9, 0), held(&[shop]), Ok(vec![shop, user]), "[myShop:s1 @7/3][mine:u1 @0/9] -[]"),
        ((here, 9, 0), held(&[shop, user]), Ok(vec![shop]), "[myShop:s1 @7/3] -[mine:u1]"),
        (
            (here, 9, 0),
            Sent::Ours(cursor(&[shop, user], "old"), false),
            Ok(vec![shop, user]),
            "[mine:u1 @7/3][myShop:s1 @0/7] -[]",
        ),
        ((here, 9, 0), Sent::Ours(cursor(&["gone:x"], "old"), false), Ok(vec![shop]), "[myShop:s1 @0/9] -[] reset"),
    ];
    let (rules, generations) = (testing::rules(), Generations::first(cursor(&[], "s").rules));
    for ((recorded_incarnation, last, collected), sent, scope, wanted) in table {
        let header =
            PullHeader { recorded_incarnation: recorded_incarnation.to_owned(), collected, ..PullHeader::default() };
        let clock = Clock { last, horizon: last, incarnation: now.to_owned(), wal_lsn: 1 };
        let scope = scope.map(|names| names.into_iter().map(bucket).collect());
        let request = PullRequest::default();
        let narrowing = &Narrowing::new(&rules, Wire::Two, &request);
        let context =
            PullContext { wire: Wire::Two, rules: &rules, generations: &generations, scope: &scope, narrowing };
        let case = format!("{recorded_incarnation} {last} {collected} {sent:?}");
        assert_eq!(shown(decide(&header, &clock, sent, &context)), wanted, "{case}");
    }
}

#[test]
fn inv06_priorities_and_what_is_asked_for_say_which_buckets_begin() {
    let mut rules = testing::rules();
    for rule in &mut rules {
        match rule.name {
            "myShop" => (rule.priority, rule.on_demand) = (200, Some(nizhal_core::OnDemand { ttl_s: 60 })),
            _ => rule.priority = 1,
        }
    }
    let (shop, other, user) = ("myShop:s1", "myShop:s2", "mine:u1");
    let all = [shop, other, user];
    let held = |buckets: &[&str], is_partial| Sent::Ours(Cursor { is_partial, ..cursor(buckets, "s") }, false);
    let table = [
        (Sent::Nothing, Some(vec![]), "[mine:u1 @0/9] -[]"),
        (Sent::Nothing, Some(vec![shop]), "[mine:u1 @0/9] -[] +myShop"),
        (Sent::Unknown, None, "[mine:u1 @0/9] -[] reset +myShop"),
        (held(&[user], true), Some(vec![shop]), "[mine:u1 @7/3] -[] +myShop"),
        (held(&[user], false), Some(vec![shop]), "[mine:u1 @7/3][myShop:s1 @0/9] -[]"),
        (held(&[user], false), None, "[mine:u1 @7/3][myShop:s1 myShop:s2 @0/9] -[]"),
        (held(&[shop, user], false), Some(vec![other]), "[mine:u1 @7/3][myShop:s2 @0/9] -[myShop:s1]"),
        (held(&[shop, user], false), Some(vec![shop]), "[myShop:s1 mine:u1 @7/3] -[]"),
        // A bucket that was asked for while it was another's is nobody's business.
        (held(&[shop, user], false), Some(vec!["myShop:s3"]), "[mine:u1 @7/3] -[myShop:s1]"),
    ];
    let generations = Generations::first(cursor(&[], "s").rules);
    let header = PullHeader { recorded_incarnation: "pg@1".to_owned(), ..PullHeader::default() };
    let clock = Clock { last: 9, horizon: 9, incarnation: "pg@1".to_owned(), wal_lsn: 1 };
    for (sent, subscribed, wanted) in table {
        let scope = Ok(all.iter().map(|name| bucket(name)).collect());
        let buckets = subscribed.map(|names: Vec<&str>| names.into_iter().map(str::to_owned).collect());
        let request = PullRequest { buckets, ..PullRequest::default() };
        let narrowing = &Narrowing::new(&rules, Wire::Two, &request);
        let context =
            PullContext { wire: Wire::Two, rules: &rules, generations: &generations, scope: &scope, narrowing };
        let case = format!("{sent:?} {:?}", request.buckets);
        assert_eq!(shown(decide(&header, &clock, sent, &context)), wanted, "{case}");
    }
}
