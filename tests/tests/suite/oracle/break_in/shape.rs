//! What a generated rule set means, read from what the generator built, not from its text and not from the model.

use super::{super::shape, desc};
use crate::oracle::{
    shape::{Actor, Bound, Claim, Column, Filter, Param, Rule, STAMP, Shape, Synced, Type, USERS, Value, Width},
    source::{
        condition::{Comparison, Condition, constants_of},
        generate::{self, Set},
        random::Random,
    },
};
use nizhal::SqlType;

/// The values of buckets; `7` and `a` are claims too, `ann` is a user.
const PLACES: [&str; 4] = ["7", "a", "b/c'\"", "ann"];

/// What the path of a constant is worth.
pub(super) const PATHS: &[(&str, &str)] = &[("words::SHUT", "shut")];

pub(super) fn shape_of(set: &Set, random: &mut Random) -> Shape {
    let mut names: Vec<String> =
        set.rules.iter().flat_map(|rule| &rule.tables).map(|table| last(&table.path)).collect();
    names.sort();
    names.dedup();
    let mut tables: Vec<shape::Table> = names.iter().map(|name| table_of(set, name)).collect();
    let data = tables.len();
    tables.push(table_of(set, "member"));
    let actor = |random: &mut Random, user| Actor {
        user,
        owner: random.pick::<&str>(&PLACES[..2]),
        number: 0,
        id: 0,
        region: random.pick::<&str>(&PLACES[1..3]),
        shop: *random.pick(&[None, Some(PLACES[0]), Some(PLACES[1])]),
    };
    let actors = USERS[..2 + random.below(2)].iter().map(|user| actor(random, *user)).collect();
    let mut shape =
        Shape { written: Some(set.to_string()), width: Width::Eight, tables, data, rules: Vec::new(), actors };
    shape.rules = set.rules.iter().map(|rule| rule_of(&shape, rule)).collect();
    shape
}

/// A path's table by its SQL name.
fn last(path: &str) -> String {
    path.rsplit("::").next().unwrap_or_default().to_lowercase()
}

fn plain(name: &str) -> &str {
    name.trim_start_matches("r#")
}

fn table_of(set: &Set, name: &str) -> shape::Table {
    let desc = desc(name);
    let mut lines = set.rules.iter().flat_map(|rule| &rule.tables).filter(|table| last(&table.path) == name);
    let list = lines.find_map(|table| table.columns.clone());
    let is_listed = |name: &str| list.as_ref().is_none_or(|list| list.iter().any(|listed| plain(listed) == name));
    let column = |column: &nizhal::ColumnDesc| {
        let ty = match column.sql {
            SqlType::Text => Type::Text,
            SqlType::Bool => Type::Bool,
            _ => Type::Int,
        };
        let mut values = values_of(column.name);
        if column.nullable {
            values.push(Value::Null);
        }
        let private = !is_listed(column.name);
        Column { name: column.name, ty, nullable: column.nullable, private, values }
    };
    let columns: Vec<Column> = desc.columns.iter().map(column).collect();
    let compared: Vec<Comparison> =
        set.rules.iter().flat_map(comparisons).filter(|one| last(&one.table) == name).collect();
    let of = |binds: bool| {
        let is_compared =
            |at: &usize| compared.iter().any(|one| one.binds == binds && plain(&one.column) == columns[*at].name);
        (0..columns.len()).filter(is_compared).collect::<Vec<_>>()
    };
    let (mut places, judged) = (of(true), of(false));
    if name == "member" {
        places = ["shop", "type", "tenant"]
            .iter()
            .filter_map(|name| desc.columns.iter().position(|one| one.name == *name))
            .collect();
    } else if places.is_empty() {
        // Nothing moves in a public table.
        places.push(desc.columns.iter().position(|one| one.name == "name").expect("a name"));
    }
    shape::Table { name: desc.name, columns, key: desc.key.iter().map(|column| column.get()).collect(), places, judged }
}

fn comparisons(rule: &generate::Rule) -> Vec<Comparison> {
    let lines = rule.tables.iter().map(|table| &table.condition);
    let members = rule.params.iter().filter_map(|param| match &param.source {
        generate::Source::Member { condition, .. } => Some(condition),
        generate::Source::Claim(_) => None,
    });
    let all = lines.chain(members).flatten();
    all.flat_map(|condition| condition.clone().comparisons().into_iter().map(|one| one.clone()).collect::<Vec<_>>())
        .collect()
}

/// What a column may hold: what rules compare it with, and something else.
fn values_of(column: &str) -> Vec<Value> {
    let texts = |texts: &'static [&'static str]| texts.iter().map(|text| Value::Text(text)).collect();
    match (column, column.strip_prefix('c').and_then(|number| number.parse::<usize>().ok())) {
        (_, Some(number)) => {
            let constants = constants_of(number);
            let mut values: Vec<Value> = constants.iter().map(|constant| value_of(constant)).collect();
            match values[0] {
                Value::Text(_) => values.push(Value::Text("else")),
                Value::Int(_) => values.push(Value::Int(4)),
                _ => {}
            }
            values
        }
        ("id", _) => texts(&["i1", "i2", "i3", "i4", "7"]),
        ("user_id", _) => texts(&USERS),
        (STAMP, _) => vec![Value::Int(0)],
        _ => texts(&PLACES),
    }
}

/// A constant as the generator writes it.
fn value_of(constant: &'static str) -> Value {
    if let Some((_, text)) = PATHS.iter().find(|(path, _)| *path == constant) {
        return Value::Text(text);
    }
    match (constant, constant.strip_prefix('"').and_then(|text| text.strip_suffix('"'))) {
        (_, Some(text)) => Value::Text(text),
        ("true" | "false", _) => Value::Bool(constant == "true"),
        _ => Value::Int(constant.parse().expect("a number")),
    }
}

fn rule_of(shape: &Shape, rule: &generate::Rule) -> Rule {
    let table_at = |path: &str| {
        let name = last(path);
        shape.tables.iter().position(|table| table.name == name).expect("a table of the shape")
    };
    let at = |table: usize, column: &str| shape.tables[table].column(plain(column)).expect("a column of the table");
    let param = |name: &String| {
        let param = rule.params.iter().find(|param| param.name == *name).expect("bound");
        let source = match &param.source {
            generate::Source::Claim(claim) => shape::Source::Claim(claim_of(claim).expect("a claim")),
            generate::Source::Member { column, condition } => {
                let (path, column) = column.split_once('.').expect("Table.column");
                let table = table_at(path);
                let column = at(table, column);
                let condition = condition_of(shape, table, condition.as_ref(), &[]);
                shape::Source::Member { table, column, condition }
            }
        };
        Param { ty: Type::Text, source }
    };
    let synced = |line: &generate::Table| {
        let table = table_at(&line.path);
        Synced {
            table,
            // The generator scopes by columns that bear the parameters' names.
            scope: rule.header.iter().map(|param| at(table, &format!("{}_of", plain(param)))).collect(),
            condition: condition_of(shape, table, line.condition.as_ref(), &rule.header),
        }
    };
    Rule {
        // As the wire names it; a few bytes a case.
        name: Box::leak(rule.name.replace('_', "").into_boxed_str()),
        public: rule.public,
        params: rule.header.iter().map(param).collect(),
        tables: rule.tables.iter().map(synced).collect(),
    }
}

fn claim_of(text: &str) -> Option<Claim> {
    Some(match text.trim_matches(['(', ')']) {
        "actor.user_id" => Claim::User,
        "actor.owner_id" => Claim::Owner,
        "actor.region" => Claim::Region,
        "actor.shop_id?" => Claim::Shop,
        _ => return None,
    })
}

fn condition_of(shape: &Shape, table: usize, of: Option<&Condition>, header: &[String]) -> shape::Condition {
    let parts = |parts: &[Condition]| parts.iter().map(|part| condition_of(shape, table, Some(part), header)).collect();
    let Some(condition) = of else { return shape::Condition::All(Vec::new()) };
    match condition {
        Condition::Wrapped(inner) => condition_of(shape, table, Some(inner), header),
        Condition::And(all) => shape::Condition::All(parts(all)),
        Condition::Or(any) => shape::Condition::Any(parts(any)),
        Condition::Raw(text) => panic!("{text} in a sound set"),
        Condition::Is(Comparison { column, op, value, .. }) => {
            let column = shape.tables[table].column(plain(column)).expect("a column of the table");
            let param = header.iter().position(|param| param == value).map(Bound::Param);
            if let Some(to) = param.or(claim_of(value).map(Bound::Claim)) {
                assert_eq!(*op, "==", "a sound set binds by equality");
                return shape::Condition::Bound { column, to };
            }
            let name = shape.tables[table].columns[column].name;
            let number = name.strip_prefix('c').and_then(|number| number.parse().ok()).expect("a column of constants");
            let constant = constants_of(number).iter().find(|constant| *constant == value);
            let value = value_of(constant.unwrap_or_else(|| panic!("{value} is no constant of {name}")));
            shape::Condition::Is(Filter { column, negated: *op == "!=", value })
        }
    }
}
