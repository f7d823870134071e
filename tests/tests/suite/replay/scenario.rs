//! What users of Synchrotron rely on, one by one: mutations in the order of their arrival, and the rows that are to come of them.

use super::{
    unusual::{schema, sent},
    world::{World, told},
};
use crate::fixture::both;
use nizhal_tests::{Database, Kind};
use serde_json::Value;

/// What a device does, so many milliseconds after the first.
enum Deed {
    /// Makes the row of this number, which weighs as much.
    Put(i64),
    Run(&'static str),
}

use Deed::{Put, Run};

/// One promise.
struct Scenario {
    name: &'static str,
    /// In the order of their arrival, each from a device of its own.
    deeds: Vec<(usize, Deed)>,
    /// Number, weight and label of each row.
    rows: Vec<(i64, i64, Option<&'static str>)>,
    refused: Vec<usize>,
}

fn scenarios() -> Vec<Scenario> {
    let scenario = |name, deeds, rows, refused| Scenario { name, deeds, rows, refused };
    vec![
        scenario(
            "two give a row a title, and the later clock wins",
            vec![(1, Put(1)), (20, Run("update parcels set weight = 50")), (10, Run("update parcels set weight = 40"))],
            vec![(1, 50, None)],
            vec![],
        ),
        scenario(
            "two write different columns of a row, and both are there",
            vec![(1, Put(1)), (20, Run("update parcels set weight = 50")), (10, Run("update parcels set label = 'l'"))],
            vec![(1, 50, Some("l"))],
            vec![],
        ),
        scenario(
            "a late insert does not bring a deleted row back",
            vec![(1, Put(1)), (20, Run("delete from parcels where number = 2")), (10, Put(2))],
            vec![(1, 1, None)],
            vec![],
        ),
        scenario(
            "a row that was refused because it was there is made when it was not",
            vec![(1, Put(1)), (30, Put(1)), (20, Run("delete from parcels"))],
            vec![(1, 1, None)],
            vec![],
        ),
        scenario(
            "two make a row of one key, and the earlier one has it",
            vec![(20, Put(1)), (25, Run("update parcels set weight = weight + 1")), (10, Put(1))],
            vec![(1, 2, None)],
            vec![20],
        ),
        scenario(
            "several late ones of different devices each take their place",
            vec![
                (1, Put(1)),
                (50, Run("update parcels set weight = weight * 2")),
                (10, Run("update parcels set weight = weight + 5")),
                (30, Run("update parcels set weight = weight + 7")),
                (20, Run("update parcels set weight = weight * 3")),
            ],
            vec![(1, 50, None)],
            vec![],
        ),
        scenario(
            "several writes of a row in one mutation are taken back as one",
            vec![
                (1, Put(1)),
                (
                    20,
                    Run("update parcels set weight = weight + 1; update parcels set weight = weight * 10, label = 'l'"),
                ),
                (30, Run("update parcels set weight = 0; delete from parcels where weight = 0")),
                (10, Run("update parcels set weight = weight + 1")),
                (25, Run("delete from parcels where weight <> 30")),
                (40, Put(2)),
                (35, Put(1)),
            ],
            vec![(1, 1, None), (2, 2, None)],
            vec![],
        ),
        scenario(
            "what was NULL is NULL again, and what was not is not",
            vec![
                (1, Put(1)),
                (5, Run("update parcels set label = 'l'")),
                (20, Run("update parcels set label = null")),
                (10, Run("update parcels set weight = 70 where label = 'l'")),
                (3, Run("update parcels set weight = 30 where label is null")),
            ],
            vec![(1, 70, None)],
            vec![],
        ),
        scenario(
            "a rule that does nothing where something is taken is not overridden",
            vec![
                (1, Put(1)),
                (20, Run("update parcels set weight = 20, label = 'b' where label is null")),
                (10, Run("update parcels set weight = 10, label = 'a' where label is null")),
            ],
            vec![(1, 10, Some("a"))],
            vec![],
        ),
        scenario(
            "one that changes nothing stops nobody",
            vec![
                (1, Put(1)),
                (20, Run("update parcels set weight = 0 where number = 7")),
                (10, Run("update parcels set weight = 0 where number = 8")),
                (15, Run("update parcels set weight = weight + 1")),
                (30, Run("update parcels set weight = weight * 2")),
                (12, Run("delete from parcels where number = 9")),
            ],
            vec![(1, 4, None)],
            vec![],
        ),
        scenario(
            "one that fails does not stop those behind it",
            vec![
                (1, Put(1)),
                (20, Run("update parcels set weight = null")),
                (30, Run("update parcels set weight = weight + 1")),
                (10, Run("update parcels set weight = weight * 10")),
            ],
            vec![(1, 11, None)],
            vec![20],
        ),
    ]
}

both![inv37_what_users_of_synchrotron_rely_on];

async fn inv37_what_users_of_synchrotron_rely_on(kind: Kind) {
    let mut world = World::of(Database::new(kind).await, schema()).await;
    for (at, scenario) in scenarios().into_iter().enumerate() {
        let Scenario { name, deeds, rows, refused } = scenario;
        let shop = format!("s{at}");
        world.open(&shop, &["ann"]).await;
        for (after, deed) in deeds {
            let one = match deed {
                Put(number) => {
                    let mut put = sent(&shop, after, "");
                    put["args"]["number"] = Value::from(number);
                    put
                }
                Run(sql) => sent(&shop, after, &in_shop(sql)),
            };
            let answers = told(&world.push("ann", &[one]).await).len();
            assert_eq!(answers, 1, "{name}: {after}");
        }
        let sql = format!(
            "select cast(number as text), cast(weight as text), label from parcels where shop = '{shop}' order by number"
        );
        let found = world.db.rows(&sql).await;
        let wanted: Vec<Vec<Option<String>>> = rows
            .into_iter()
            .map(|(number, weight, label)| {
                vec![Some(number.to_string()), Some(weight.to_string()), label.map(str::to_owned)]
            })
            .collect();
        assert_eq!(found, wanted, "{name}");
        let sql = format!(
            "select replace(client_mutation_id, '{shop}:', '') from _nizhal_mutations \
             where client_mutation_id like '{shop}:%' and status <> 'applied' order by 1"
        );
        let wanted: Vec<_> = refused.iter().map(|after| vec![Some(after.to_string())]).collect();
        assert_eq!(world.db.rows(&sql).await, wanted, "{name}");
        let free = sent(&shop, 900, &in_shop("delete from parcels"));
        assert_eq!(told(&world.push("ann", &[free]).await), ["applied"], "{name}");
    }
}

/// The same of the rows of a shop alone.
fn in_shop(sql: &str) -> String {
    let each = sql.split("; ").map(|sql| {
        let and = if sql.contains(" where ") { "and" } else { "where" };
        format!("{sql} {and} shop = '{{shop}}'")
    });
    each.collect::<Vec<_>>().join("; ")
}
