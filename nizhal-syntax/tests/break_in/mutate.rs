//! Ways to make a sound set leak, one thing at a time.

use crate::source::condition::{Comparison, Condition};
use crate::source::generate::{Param, Rule, Set, Source, Table};
use crate::source::random::Random;

type Spoil = fn(&mut Random, &mut Set) -> bool;

/// Each way by its name; it answers false where the set has nothing that it could spoil.
pub(crate) const KINDS: &[(&str, Spoil)] = &[
    ("no predicate", no_predicate),
    ("predicate of one parameter missing", predicate_missing),
    ("predicate missing in one branch", predicate_missing_in_a_branch),
    ("a branch without predicate beside it", |random, set| beside(random, set, "C.x == 1")),
    ("a branch that is always true beside it", |random, set| {
        let always = *random.pick(&["true", "1 == 1", "\"a\" == \"a\"", "C.x == C.x", "!false", "\"1 = 1\"", "C.y"]);
        beside(random, set, always)
    }),
    ("!= scope", |random, set| change(random, set, |_, comparison| comparison.op = "!=")),
    ("range in place of scope", |random, set| {
        change(random, set, |random, comparison| comparison.op = *random.pick(&[">=", "<=", "<", ">"]))
    }),
    ("scope inverted", |random, set| in_line(random, set, |_, condition| Condition::Raw(format!("!({condition})")))),
    ("scope by another table's column", |random, set| {
        change(random, set, |_, comparison| comparison.table = "Elsewhere".to_owned())
    }),
    ("two columns for one parameter", |random, set| {
        let Some((header, table)) = a_line(random, set) else { return false };
        let scope = raw(&format!("{}.elsewhere_of == {}", table.path, random.pick(header)));
        // In each branch of the condition or beside it, first or second.
        let condition = table.condition.take().expect("a scoped line has a condition");
        let mut both = match condition {
            Condition::Or(branches) if random.one_in(2) => {
                let both = |branch| Condition::And(vec![branch, scope.clone()]);
                table.condition = Some(Condition::Or(branches.into_iter().map(both).collect()));
                return true;
            }
            condition => vec![condition, scope],
        };
        random.shuffle(&mut both);
        table.condition = Some(Condition::And(both));
        true
    }),
    ("scope by a constant", |random, set| {
        change(random, set, |random, comparison| {
            comparison.value = (*random.pick(&["\"s1\"", "1", "true", "words::SHUT", "Status::Open"])).to_owned()
        })
    }),
    ("scope by its own column", |random, set| {
        change(random, set, |_, comparison| comparison.value = format!("{}.{}", comparison.table, comparison.column))
    }),
    ("scope by an unknown name", |random, set| change(random, set, |_, comparison| comparison.value.push('x'))),
    ("scope by another column in one branch", other_column_in_a_branch),
    ("joined by another operator", |random, set| {
        let op = *random.pick(&["|", "^", "&", "+", ","]);
        in_line(random, set, |_, condition| Condition::Raw(format!("{condition} {op} C.x == 1")))
    }),
    ("anything Rust", |random, set| {
        let raw = *random.pick(&[
            "sql(\"shop = ?\")",
            "C.shop.eq(shop)",
            "{ true }",
            "if true { true } else { false }",
            "(|| true)()",
            "matches!(C.shop, _)",
            "C.shop as bool",
            "&C.shop == &shop",
            "C.shop == shop.id",
            "C.0 == shop",
            "..",
            "\"shop = shop\"",
            "C::shop == shop",
            "loop {}",
        ]);
        in_line(random, set, |_, _| Condition::Raw(raw.to_owned()))
    }),
    ("unbound parameter", |random, set| {
        parameters(set, |rule| {
            let at = random.below(rule.params.len());
            rule.params.remove(at);
        })
    }),
    ("parameter bound to no actor", |random, set| {
        let value =
            *random.pick(&["\"s1\"", "1", "shop", "actor", "Claims.shop", "actor()", "actor.a.b", "\"a\" || actor.b"]);
        parameters(set, |rule| rule.params[0].source = Source::Claim(value.to_owned()))
    }),
    ("parameter bound again", |_, set| {
        parameters(set, |rule| {
            let name = rule.header[0].clone();
            rule.params.push(Param { name, source: Source::Claim("actor.region".to_owned()) });
        })
    }),
    ("parameter shadowed in the header", |random, set| {
        parameters(set, |rule| {
            let name = rule.header[0].clone();
            let again = if random.one_in(2) { name } else { format!("r#{}", name.trim_start_matches("r#")) };
            rule.header.push(again);
        })
    }),
    ("a parameter called actor", |_, set| {
        parameters(set, |rule| {
            rule.header.push("actor".to_owned());
            let source = Source::Member { column: "Member.shop".to_owned(), condition: None };
            rule.params.push(Param { name: "actor".to_owned(), source });
        })
    }),
    ("parameter of another rule", |_, set| {
        parameters(set, |rule| {
            let gone = rule.header.remove(0);
            rule.params.retain(|param| param.name != gone);
        })
    }),
    ("membership of anyone", |_, set| membership(set, |condition| *condition = None)),
    ("membership by constants alone", |_, set| {
        membership(set, |condition| *condition = condition.take().and_then(|one| one.without(&|one| one.binds)))
    }),
    ("membership of anyone in one branch", |_, set| {
        membership(set, |condition| {
            *condition = condition.take().map(|one| Condition::Or(vec![one, raw("Member.x == 1")]))
        })
    }),
    ("membership of all but the actor", |_, set| {
        membership(set, |condition| {
            let comparisons = condition.as_mut().map(Condition::comparisons);
            comparisons.into_iter().flatten().filter(|one| one.binds).for_each(|one| one.op = "!=");
        })
    }),
    ("membership through another table", |_, set| {
        membership(set, |condition| {
            let comparisons = condition.as_mut().map(Condition::comparisons);
            comparisons
                .into_iter()
                .flatten()
                .filter(|one| one.binds)
                .for_each(|one| one.table = "Elsewhere".to_owned());
        })
    }),
    ("membership by its own parameter", |_, set| {
        membership(set, |condition| {
            *condition = condition.take().and_then(|one| one.without(&|one| one.binds));
            let other = raw("Member.shop == shop");
            *condition = Some(Condition::And(condition.take().into_iter().chain([other]).collect()));
        })
    }),
    ("unscoped and not public", |_, set| {
        let rule = set.rules.iter_mut().find(|rule| rule.public);
        rule.map(|rule| rule.public = false).is_some()
    }),
    ("public in other words", |random, set| {
        let word = *random.pick(&["pub ", "Public ", "#[public] ", "open "]);
        let rule = set.rules.iter_mut().find(|rule| rule.public);
        let Some(rule) = rule else { return false };
        rule.public = false;
        rule.attributes.push_str(word);
        true
    }),
    ("public with a parameter", |_, set| parameters(set, |rule| rule.public = true)),
    ("public with another's condition", |_, set| {
        let rule = set.rules.iter_mut().find(|rule| rule.public);
        let Some(rule) = rule else { return false };
        let condition = Some(raw("Elsewhere.shop == shop"));
        rule.tables.push(Table { path: "Elsewhere".to_owned(), columns: None, condition });
        true
    }),
    ("a line without predicate", |_, set| {
        parameters(set, |rule| rule.tables.push(Table { path: "Extra".to_owned(), columns: None, condition: None }))
    }),
    ("a broken line", |random, set| {
        let line = *random.pick(&[
            "Extra where;",
            "Extra",
            "= 3;",
            "Extra where Extra.a == ;",
            "where Extra.a == 1;",
            "Extra {;",
        ]);
        let line = if line.contains('{') { "Extra { 1 };" } else { line };
        parameters(set, |rule| rule.extra = line.to_owned())
    }),
    ("other columns in another rule", |_, set| {
        let Some(table) = set.rules.iter().flat_map(|rule| &rule.tables).find(|table| table.columns.is_some()) else {
            return false;
        };
        let mut columns = table.columns.clone().unwrap_or_default();
        columns.push("margin".to_owned());
        let table = Table { path: table.path.clone(), columns: Some(columns), condition: None };
        let (name, attributes, extra) = ("wide".to_owned(), String::new(), String::new());
        let (header, params, tables) = (Vec::new(), Vec::new(), vec![table]);
        set.rules.push(Rule { attributes, public: true, name, header, params, tables, extra });
        true
    }),
    ("all columns in another rule", |_, set| {
        let Some(table) = set.rules.iter().flat_map(|rule| &rule.tables).find(|table| table.columns.is_some()) else {
            return false;
        };
        let table = Table { path: table.path.clone(), columns: None, condition: None };
        let (name, attributes, extra) = ("wide".to_owned(), String::new(), String::new());
        let (header, params, tables) = (Vec::new(), Vec::new(), vec![table]);
        set.rules.insert(0, Rule { attributes, public: true, name, header, params, tables, extra });
        true
    }),
    ("one rule's name for two", |_, set| {
        let Some(first) = set.rules.first() else { return false };
        let (name, attributes, extra) = (first.name.clone(), String::new(), String::new());
        let table = Table { path: "Extra".to_owned(), columns: None, condition: None };
        let (header, params, tables) = (Vec::new(), Vec::new(), vec![table]);
        set.rules.push(Rule { attributes, public: true, name, header, params, tables, extra });
        true
    }),
];

/// Spoils the set in one way, and tells which.
pub(crate) fn mutate(random: &mut Random, set: &mut Set) -> &'static str {
    loop {
        let (name, mutate) = random.pick(KINDS);
        if mutate(random, set) {
            return name;
        }
    }
}

impl Condition {
    /// Without the binding comparisons that `gone` names; `None` when nothing is left.
    fn without(self, gone: &dyn Fn(&Comparison) -> bool) -> Option<Self> {
        let rest = |parts: Vec<Self>| parts.into_iter().filter_map(|part| part.without(gone)).collect::<Vec<_>>();
        match self {
            Self::Is(comparison) => (!gone(&comparison)).then_some(Self::Is(comparison)),
            Self::And(parts) => Some(rest(parts)).filter(|parts| !parts.is_empty()).map(Self::And),
            Self::Or(parts) => Some(rest(parts)).filter(|parts| !parts.is_empty()).map(Self::Or),
            Self::Wrapped(inner) => inner.without(gone).map(|inner| Self::Wrapped(Box::new(inner))),
            raw => Some(raw),
        }
    }

    /// The branches of the first `||` whose branches bind, if there is one.
    fn binding_branches(&mut self) -> Option<&mut Vec<Condition>> {
        match self {
            Self::Or(parts) => {
                let binds = |part: &mut Condition| part.comparisons().iter().any(|comparison| comparison.binds);
                if parts.iter_mut().all(binds) { Some(parts) } else { None }
            }
            Self::And(parts) => parts.iter_mut().find_map(Self::binding_branches),
            Self::Wrapped(inner) => inner.binding_branches(),
            _ => None,
        }
    }
}

fn raw(text: &str) -> Condition {
    Condition::Raw(text.to_owned())
}

/// A table line that binds, at random.
fn a_line<'a>(random: &mut Random, set: &'a mut Set) -> Option<(&'a [String], &'a mut Table)> {
    let scoped = set.rules.iter_mut().filter(|rule| !rule.header.is_empty());
    let mut lines: Vec<(&[String], &mut Table)> =
        scoped.flat_map(|rule| rule.tables.iter_mut().map(|table| (&rule.header[..], table))).collect();
    if lines.is_empty() { None } else { Some(lines.swap_remove(random.below(lines.len()))) }
}

fn in_line(random: &mut Random, set: &mut Set, mutate: impl FnOnce(&mut Random, Condition) -> Condition) -> bool {
    let Some((_, table)) = a_line(random, set) else { return false };
    let condition = table.condition.take().expect("a scoped line has a condition");
    table.condition = Some(mutate(random, condition));
    true
}

fn no_predicate(random: &mut Random, set: &mut Set) -> bool {
    let Some((_, table)) = a_line(random, set) else { return false };
    table.condition = table.condition.take().and_then(|condition| condition.without(&|one| one.binds));
    true
}

fn predicate_missing(random: &mut Random, set: &mut Set) -> bool {
    let Some((header, table)) = a_line(random, set) else { return false };
    let gone = random.pick(header);
    table.condition =
        table.condition.take().and_then(|condition| condition.without(&|one| one.binds && one.value == *gone));
    true
}

fn predicate_missing_in_a_branch(random: &mut Random, set: &mut Set) -> bool {
    let Some((_, table)) = a_line(random, set) else { return false };
    let Some(branches) = table.condition.as_mut().and_then(Condition::binding_branches) else { return false };
    let at = random.below(branches.len());
    let Some(rest) = branches[at].clone().without(&|one| one.binds) else { return false };
    branches[at] = rest;
    true
}

fn other_column_in_a_branch(random: &mut Random, set: &mut Set) -> bool {
    let Some((_, table)) = a_line(random, set) else { return false };
    let Some(branches) = table.condition.as_mut().and_then(Condition::binding_branches) else { return false };
    let at = random.below(branches.len());
    branches[at].comparisons().into_iter().filter(|one| one.binds).for_each(|one| one.column.push_str("_too"));
    true
}

fn beside(random: &mut Random, set: &mut Set, branch: &str) -> bool {
    let branch = branch.to_owned();
    in_line(random, set, |random, condition| {
        let table = condition.clone().comparisons().first().map_or_else(String::new, |one| one.table.clone());
        let mut sides = vec![condition, Condition::Raw(branch.replace("C.", &format!("{table}.")))];
        random.shuffle(&mut sides);
        Condition::Or(sides)
    })
}

/// Changes one comparison that binds a table line.
fn change(random: &mut Random, set: &mut Set, change: impl FnOnce(&mut Random, &mut Comparison)) -> bool {
    let Some((_, table)) = a_line(random, set) else { return false };
    let mut binding: Vec<&mut Comparison> =
        table.condition.iter_mut().flat_map(Condition::comparisons).filter(|one| one.binds).collect();
    let at = random.below(binding.len());
    change(random, binding[at]);
    true
}

fn parameters(set: &mut Set, mutate: impl FnOnce(&mut Rule)) -> bool {
    let rule = set.rules.iter_mut().find(|rule| !rule.header.is_empty());
    rule.map(mutate).is_some()
}

fn membership(set: &mut Set, mutate: impl FnOnce(&mut Option<Condition>)) -> bool {
    let params = set.rules.iter_mut().flat_map(|rule| &mut rule.params);
    let mut conditions = params.filter_map(|param| match &mut param.source {
        Source::Member { condition, .. } => Some(condition),
        Source::Claim(_) => None,
    });
    conditions.next().map(mutate).is_some()
}
