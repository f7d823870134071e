//! Conditions as the generator has them, written apart from the model's.

use super::random::Random;
use std::fmt;

/// A condition, printed with the parentheses it needs and some it does not.
#[derive(Clone)]
pub(crate) enum Condition {
    Is(Comparison),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    /// In parentheses that change nothing.
    Wrapped(Box<Condition>),
    /// Anything at all; only spoilt sets have it.
    Raw(String),
}

#[derive(Clone)]
pub(crate) struct Comparison {
    pub(crate) table: String,
    pub(crate) column: String,
    pub(crate) op: &'static str,
    /// A parameter, `actor.claim` or a constant, as written.
    pub(crate) value: String,
    /// Whether it scopes rows or binds a membership.
    pub(crate) binds: bool,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(Comparison { table, column, op, value, .. }) => write!(f, "{table}.{column} {op} {value}"),
            Self::Wrapped(inner) => write!(f, "({inner})"),
            Self::Raw(text) => f.write_str(text),
            Self::And(parts) => join(f, parts, " && ", |part| matches!(part, Self::Or(_))),
            Self::Or(parts) => join(f, parts, " || ", |_| false),
        }
    }
}

fn join(f: &mut fmt::Formatter<'_>, parts: &[Condition], word: &str, wrap: impl Fn(&Condition) -> bool) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(word)?;
        }
        if wrap(part) { write!(f, "({part})")? } else { write!(f, "{part}")? }
    }
    Ok(())
}

impl Condition {
    /// The comparisons in it.
    pub(crate) fn comparisons(&mut self) -> Vec<&mut Comparison> {
        match self {
            Self::Is(comparison) => vec![comparison],
            Self::And(parts) | Self::Or(parts) => parts.iter_mut().flat_map(Self::comparisons).collect(),
            Self::Wrapped(inner) => inner.comparisons(),
            Self::Raw(_) => Vec::new(),
        }
    }
}

/// What the column `c1`, `c2`… is compared with: each has one type, a text, a whole number or a flag.
pub(crate) fn constants_of(column: usize) -> &'static [&'static str] {
    match column % 3 {
        0 => &["true", "false"],
        1 => &["\"open\"", "\"\"", "\"x' or 1=1 --\"", "words::SHUT"],
        _ => &["1", "-3", "2"],
    }
}

/// Draws conditions on one table; each takes columns that no other has, so that none contradicts or repeats another.
pub(crate) struct Draw<'a> {
    pub(crate) random: &'a mut Random,
    pub(crate) table: String,
    next: usize,
}

impl<'a> Draw<'a> {
    pub(crate) fn new(random: &'a mut Random, table: &str) -> Self {
        Self { random, table: table.to_owned(), next: 0 }
    }

    /// One comparison with a constant, or several that mean something together.
    pub(crate) fn constants(&mut self, depth: usize) -> Condition {
        match if depth == 0 { 0 } else { self.random.below(5) } {
            0 | 1 => {
                let column = self.column();
                self.constant(column)
            }
            2 => self.one_of(),
            3 => {
                let parts = self.some(depth - 1);
                Condition::And(parts)
            }
            _ => {
                let parts = self.some(depth - 1);
                Condition::Or(parts)
            }
        }
    }

    fn some(&mut self, depth: usize) -> Vec<Condition> {
        let count = 2 + self.random.below(2);
        (0..count).map(|_| self.constants(depth)).collect()
    }

    fn column(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    fn constant(&mut self, column: usize) -> Condition {
        let op = if self.random.one_in(3) { "!=" } else { "==" };
        let value = (*self.random.pick(constants_of(column))).to_owned();
        let column = format!("c{column}");
        self.wrapped(Condition::Is(Comparison { table: self.table.clone(), column, op, value, binds: false }))
    }

    /// `c == 1 || c == 2`; of flags one is always true.
    fn one_of(&mut self) -> Condition {
        let column = self.column();
        let constants = constants_of(column);
        if constants.len() < 3 {
            return self.constant(column);
        }
        let is = |value: &&str| {
            let (table, value) = (self.table.clone(), (*value).to_owned());
            Condition::Is(Comparison { table, column: format!("c{column}"), op: "==", value, binds: false })
        };
        Condition::Or(constants.iter().map(is).collect())
    }

    /// Comparisons that bind, with constants around them, in any of the shapes that bind every row.
    pub(crate) fn bound(&mut self, binds: &[(String, String)]) -> Condition {
        let all = |random: &mut Random, table: &str, binds: &[(String, String)], extra: Option<Condition>| {
            let is = |(column, value): &(String, String)| {
                let (table, column, value) = (table.to_owned(), column.clone(), value.clone());
                Condition::Is(Comparison { table, column, op: "==", value, binds: true })
            };
            let mut parts: Vec<Condition> = binds.iter().map(is).chain(extra).collect();
            random.shuffle(&mut parts);
            if parts.len() == 1 { parts.remove(0) } else { Condition::And(parts) }
        };
        const MOST: usize = 32;
        let outside = self.random.below(binds.len() + 1);
        let table = self.table.clone();
        let mut condition = match self.random.below(4) {
            0 => all(self.random, &table, binds, None),
            1 => {
                let extra = self.constants(2);
                all(self.random, &table, binds, Some(extra))
            }
            _ => {
                // Some bound outside, the others in every branch alike.
                let (outer, inner) = binds.split_at(outside);
                let count = 2 + self.random.below(2);
                let branches = (0..count).map(|_| {
                    let extra = self.constants(1);
                    all(self.random, &table, inner, Some(extra))
                });
                let branches = Condition::Or(branches.collect());
                if outer.is_empty() { branches } else { all(self.random, &table, outer, Some(branches)) }
            }
        };
        if condition.comparisons().len() > MOST {
            condition = all(self.random, &table, binds, None);
        }
        self.wrapped(condition)
    }

    fn wrapped(&mut self, condition: Condition) -> Condition {
        if self.random.one_in(4) { Condition::Wrapped(Box::new(condition)) } else { condition }
    }
}
