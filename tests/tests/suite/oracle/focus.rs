//! Half of the cases look closely: at one device, one rule and a few rows, where rows move between the device's buckets and
//! memberships come and go while it pulls in small pages. Faults in paging hide there, and blind chance finds them seldom.

use super::{
    plain::{Change, Clash, Only},
    script::{Fate, Maker, Pull, Step},
    shape::{Bound, Condition, STAMP, Source, Value},
};

/// What a close case looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Focus {
    pub(super) device: usize,
    rule: usize,
    /// The place of the table in the rule.
    synced: usize,
}

impl Maker<'_> {
    pub(super) fn focus(&mut self) -> Option<Focus> {
        let gives = |rule: &usize| {
            let params = &self.shape.rules[*rule].params;
            params.iter().any(|param| matches!(param.source, Source::Member { .. }))
        };
        let rules: Vec<usize> = (0..self.shape.rules.len()).filter(gives).collect();
        if rules.is_empty() || self.random.one_in(2) {
            return None;
        }
        let rule = *self.random.pick(&rules);
        let synced = self.random.below(self.shape.rules[rule].tables.len());
        Some(Focus { device: self.random.below(self.devices.len()), rule, synced })
    }

    /// Buckets that the device holds, and rows in them.
    pub(super) fn close_beginning(&mut self, focus: Focus) -> Step {
        let mut changes = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            changes.extend(self.grant(focus));
        }
        for _ in 0..3 + self.random.below(4) {
            changes.push(self.fitting(focus, Clash::Nothing));
        }
        Step::Outside { changes, together: !self.watched && self.random.one_in(2) }
    }

    pub(super) fn close_step(&mut self, focus: Focus) -> Step {
        match self.random.below(20) {
            0..=7 => {
                let fate =
                    *self.random.pick(&[Fate::Taken, Fate::Taken, Fate::Taken, Fate::Taken, Fate::Lost, Fate::Twice]);
                let limit = *self.random.pick(&[1, 1, 1, 2, 3, 1000]);
                Step::Pull(Pull { device: focus.device, says: focus.device, limit, lines: false, fate })
            }
            8..=10 => {
                let mut changes = self.grant(focus);
                if self.watched {
                    changes.truncate(1);
                }
                Step::Ours(changes)
            }
            11 | 12 => Step::Ours(vec![self.revoke(focus)]),
            13..=16 => Step::Outside { changes: self.close_changes(focus), together: !self.watched },
            17 | 18 => Step::Ours(self.close_changes(focus)),
            _ => self.any_step(),
        }
    }

    fn close_changes(&mut self, focus: Focus) -> Vec<Change> {
        let count = if self.watched { 1 } else { *self.random.pick(&[1, 1, 2]) };
        (0..count).map(|_| self.close_change(focus)).collect()
    }

    fn close_change(&mut self, focus: Focus) -> Change {
        let synced = &self.shape.rules[focus.rule].tables[focus.synced];
        let table = synced.table;
        let stamp = self.shape.tables[table].column(STAMP).expect("every table has one");
        match self.random.below(10) {
            0..=2 => self.fitting(focus, Clash::Updates),
            // A move.
            3..=5 => {
                let at = *self.random.pick(&synced.scope);
                let value = self.value(&self.shape.tables[table].columns[at], None);
                let set = vec![(at, value), (stamp, Value::Int(self.stamp()))];
                Change::Update { table, set, only: self.near(focus) }
            }
            // The same row again, or all in one version.
            6 | 7 => {
                let only = if self.random.one_in(3) { Only::All } else { self.near(focus) };
                Change::Update { table, set: vec![(stamp, Value::Int(self.stamp()))], only }
            }
            8 => Change::Delete { table, only: self.near(focus) },
            _ => Change::Bury { table, only: self.near(focus), dead: !self.random.one_in(3), stamp: self.stamp() },
        }
    }

    /// One of a few rows: by the first part of its key, so that where it moved to does not matter.
    fn near(&mut self, focus: Focus) -> Only {
        let table = self.shape.rules[focus.rule].tables[focus.synced].table;
        let at = if table < self.shape.data { 0 } else { self.shape.tables[table].key[0] };
        Only::Where(at, self.shape.tables[table].columns[at].values[self.random.below(3)])
    }

    /// A row that the rule shows, one of a few.
    fn fitting(&mut self, focus: Focus, clash: Clash) -> Change {
        let synced = &self.shape.rules[focus.rule].tables[focus.synced];
        let mut row = self.row(synced.table);
        self.meet(focus, synced.table, &synced.condition, &mut row);
        if synced.table < self.shape.data {
            row[0] = self.shape.tables[synced.table].columns[0].values[self.random.below(3)];
        }
        Change::Insert { table: synced.table, row, clash }
    }

    /// A membership row for each parameter.
    fn grant(&mut self, focus: Focus) -> Vec<Change> {
        let mut changes = Vec::new();
        for param in &self.shape.rules[focus.rule].params {
            let Source::Member { table, condition, .. } = &param.source else { continue };
            let mut row = self.row(*table);
            self.meet(focus, *table, condition, &mut row);
            changes.push(Change::Insert { table: *table, row, clash: Clash::Updates });
        }
        changes
    }

    /// Takes some of the device's memberships away, or all.
    fn revoke(&mut self, focus: Focus) -> Change {
        let actor = &self.shape.actors[self.devices[focus.device].0];
        let members = self.shape.rules[focus.rule].params.iter().filter_map(|param| match &param.source {
            Source::Member { table, column, condition } => Some((*table, *column, condition.claims()[0])),
            Source::Claim(_) => None,
        });
        let members: Vec<_> = members.collect();
        let (table, column, (at, claim)) = *self.random.pick(&members);
        let only = if self.random.one_in(4) {
            Only::Where(at, actor.claim(claim))
        } else {
            Only::Where(column, self.value(&self.shape.tables[table].columns[column], None))
        };
        Change::Delete { table, only }
    }

    /// A row of random values.
    fn row(&mut self, table: usize) -> Vec<Value> {
        self.shape.tables[table].columns.iter().map(|column| self.value(column, None)).collect()
    }

    /// Makes a row meet a condition as far as values can, one branch of each `||`.
    fn meet(&mut self, focus: Focus, table: usize, condition: &Condition, row: &mut [Value]) {
        match condition {
            Condition::Is(filter) => {
                let mut values = self.shape.tables[table].columns[filter.column].values.clone();
                values.retain(|value| *value != Value::Null && (*value == filter.value) != filter.negated);
                row[filter.column] = *self.random.pick(&values);
            }
            Condition::Bound { column, to } => {
                let claim = match to {
                    Bound::Claim(claim) => Some(*claim),
                    // A row in another's bucket now and then.
                    Bound::Param(at) => match &self.shape.rules[focus.rule].params[*at].source {
                        Source::Claim(claim) if !self.random.one_in(4) => Some(*claim),
                        _ => None,
                    },
                };
                let actor = &self.shape.actors[self.devices[focus.device].0];
                // What the token does not say nobody can meet.
                if let Some(value) = claim.map(|claim| actor.claim(claim)).filter(|value| *value != Value::Null) {
                    row[*column] = value;
                }
            }
            Condition::All(parts) => parts.iter().for_each(|part| self.meet(focus, table, part, row)),
            Condition::Any(parts) => {
                let part = self.random.pick(parts);
                self.meet(focus, table, part, row);
            }
        }
    }
}
