//! Everything an app declared, checked once at start and read by every part of the server.

pub(crate) mod replay;

use nizhal_core::{
    BlobRef, ColumnIndex, Condition, ConstValue, JobEntry, MemberFilter, Merge, MutatorEntry, ParamSource, Rule,
    TableDesc,
};
use schemars::{JsonSchema, SchemaGenerator};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

/// The app's tables, rules, mutators and jobs.
#[derive(Debug)]
pub struct Schema {
    tables: Vec<&'static TableDesc>,
    rules: Vec<Rule>,
    mutators: HashMap<&'static str, MutatorEntry>,
    jobs: HashMap<&'static str, JobEntry>,
}

/// Why the parts of an app do not fit together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaError {
    /// Two tables share a name.
    #[error("table `{0}` is listed twice in .tables(...)")]
    DuplicateTable(&'static str),
    /// Two mutators share a wire name.
    #[error("mutator `{0}` is listed twice in .mutators(...); rename one with #[mutator(name = \"...\")]")]
    DuplicateMutator(&'static str),
    /// Two jobs share a name.
    #[error("job `{0}` is listed twice in .jobs(...); rename one with #[nizhal::job(name = \"...\")]")]
    DuplicateJob(&'static str),
    /// Two rules share a wire name.
    #[error("rule `{0}` is declared twice")]
    DuplicateRule(&'static str),
    /// A rule names a table that the app does not list.
    #[error("rule `{rule}` uses table `{table}`: add it to .tables(...)")]
    UnknownTable {
        /// The rule.
        rule: &'static str,
        /// The table.
        table: &'static str,
    },
    /// A bucket would be named by a column that devices never see, and a bucket's name is what they hear.
    #[error(
        "rule `{rule}` names its buckets by the private column `{column}` of table `{table}`, and devices read the names \
         of their buckets: take `private` away, or use another column"
    )]
    PrivateBucket {
        /// The rule.
        rule: &'static str,
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// A rule without parameters is not declared public, or a public one has some.
    #[error("rule `{0}` must be declared `public` if and only if it has no parameter")]
    Public(&'static str),
    /// Two rules give other columns of one table.
    #[error("two rules list other columns of table `{0}`: a device keeps one row, so write the same list in both")]
    OtherColumns(&'static str),
    /// A column of JSON holds references to blobs, which the database does not find there.
    #[error(
        "column `{column}` of table `{table}` has a BlobRef inside: give each blob a column of its own, or where there are several a \
         row each, in a table that has this row's id"
    )]
    BlobInside {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// A mutator is replayed in a bucket of no rule.
    #[error(
        "mutator `{mutator}` is replayed in a bucket of rule `{rule}`, which the app does not declare or which has not one parameter: \
         name a rule with one, as in #[mutator(replay(my_shops = args.shop_id))]"
    )]
    ReplayRule {
        /// The mutator.
        mutator: &'static str,
        /// The rule.
        rule: &'static str,
    },
    /// A replayed mutator writes who sees what.
    #[error(
        "mutator `{mutator}` is replayed and privileged for `{table}`, which gives a rule its buckets: memberships are judged when a \
         mutation arrives, so write that table in a mutator that is not replayed"
    )]
    ReplayedMembership {
        /// The mutator.
        mutator: &'static str,
        /// The membership table.
        table: &'static str,
    },
    /// A replayed mutator names its bucket by a value of another type than the rule's parameter.
    #[error(
        "mutator `{mutator}` is replayed in a bucket of rule `{rule}` and names it by a value of type {value}, and the parameter is of type \
         {param}: name the column's value"
    )]
    ReplayValue {
        /// The mutator.
        mutator: &'static str,
        /// The rule.
        rule: &'static str,
        /// The type of the value.
        value: &'static str,
        /// The type of the rule's parameter.
        param: &'static str,
    },
    /// A replayed mutator may write a table that it cannot write.
    #[error(
        "mutator `{mutator}` is replayed and privileged for `{table}`, which is not: a replayed mutator writes tables with \
         merge = \"replay\" alone"
    )]
    ReplayedPrivilege {
        /// The mutator.
        mutator: &'static str,
        /// The table.
        table: &'static str,
    },
    /// A replayed table says who sees what.
    #[error(
        "table `{0}` is replayed and gives a rule its buckets: memberships are judged when a mutation arrives, so write another merge policy"
    )]
    ReplayedMembers(&'static str),
    /// A table is in two orders.
    #[error(
        "table `{table}` is replayed in buckets of rule `{one}` and of rule `{other}`, and its rows can be in one order only: replay all of \
         its mutators in one rule"
    )]
    ReplayedTwice {
        /// The table.
        table: &'static str,
        /// A rule.
        one: &'static str,
        /// Another rule.
        other: &'static str,
    },
    /// A replayed table is in no bucket in which mutators are replayed.
    #[error(
        "table `{0}` has merge = \"replay\", and no mutator is replayed in a bucket of a rule that syncs it: write \
         #[mutator(replay(my_shops = args.shop_id))] with that rule, or another merge policy"
    )]
    NeverReplayed(&'static str),
    /// A column of a replayed table merges by itself.
    #[error(
        "column `{column}` of table `{table}` is a document that merges by itself, and the table is replayed: take one of both away"
    )]
    ReplayedDocument {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// A rule compares an enum with a text that it does not have.
    #[error("rule `{rule}` compares `{column}` with \"{text}\", which is none of its texts: write one of {texts:?}")]
    UnknownText {
        /// The rule.
        rule: &'static str,
        /// The column.
        column: &'static str,
        /// What it is compared with.
        text: &'static str,
        /// What it can hold.
        texts: &'static [&'static str],
    },
}

/// A bucket's name is made of these columns: the membership's and the synced row's. What counts is what the app says of them: a
/// rule's own description calls private what the rule does not list.
fn check_names(rule: &Rule, tables: &[&'static TableDesc]) -> Result<(), SchemaError> {
    let members = rule.params.iter().filter_map(|param| match &param.source {
        ParamSource::Member { table, column, .. } => Some((*table, *column)),
        ParamSource::Claim(_) => None,
    });
    let synced = rule.tables.iter().flat_map(|synced| synced.scope.iter().map(|&column| (synced.table, column)));
    for (table, at) in members.chain(synced) {
        let table = tables.iter().find(|own| own.name == table.name).copied().unwrap_or(table);
        let column = &table.columns[at];
        if column.private {
            return Err(SchemaError::PrivateBucket { rule: rule.name, table: table.name, column: column.name });
        }
    }
    Ok(())
}

impl Schema {
    /// Puts the parts together; tables are kept sorted by name.
    ///
    /// # Errors
    /// When names collide or a rule uses a table that is not listed.
    pub fn new(
        mut tables: Vec<&'static TableDesc>,
        rules: Vec<Rule>,
        mutators: Vec<MutatorEntry>,
    ) -> Result<Self, SchemaError> {
        tables.sort_by_key(|table| table.name);
        if let Some(pair) = tables.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(SchemaError::DuplicateTable(pair[0].name));
        }
        tables.iter().try_for_each(|table| check_blobs(table))?;
        for (at, rule) in rules.iter().enumerate() {
            if rules[..at].iter().any(|earlier| earlier.name == rule.name) {
                return Err(SchemaError::DuplicateRule(rule.name));
            }
            let members = rule.params.iter().filter_map(|param| match &param.source {
                ParamSource::Member { table, .. } => Some(table.name),
                ParamSource::Claim(_) => None,
            });
            let synced = rule.tables.iter().map(|synced| synced.table.name);
            if let Some(table) = members.chain(synced).find(|name| tables.iter().all(|table| table.name != *name)) {
                return Err(SchemaError::UnknownTable { rule: rule.name, table });
            }
            check_names(rule, &tables)?;
            if rule.public != rule.params.is_empty() {
                return Err(SchemaError::Public(rule.name));
            }
        }
        for rule in &rules {
            check_texts(rule)?;
        }
        column_list(&mut tables, &rules)?;
        let mut by_name = HashMap::new();
        for entry in mutators {
            if by_name.insert(entry.desc.name, entry).is_some() {
                return Err(SchemaError::DuplicateMutator(entry.desc.name));
            }
        }
        let schema = Self { tables, rules, mutators: by_name, jobs: HashMap::new() };
        schema.check_replay()?;
        Ok(schema)
    }

    /// The same with these jobs.
    ///
    /// # Errors
    /// When names collide.
    pub fn with_jobs(mut self, jobs: Vec<JobEntry>) -> Result<Self, SchemaError> {
        for entry in jobs {
            if self.jobs.insert(entry.desc.name, entry).is_some() {
                return Err(SchemaError::DuplicateJob(entry.desc.name));
            }
        }
        Ok(self)
    }

    /// All tables, sorted by name.
    pub fn tables(&self) -> &[&'static TableDesc] {
        &self.tables
    }

    /// The rules, in the order they were declared.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The mutators, sorted by name.
    pub fn mutators(&self) -> Vec<&MutatorEntry> {
        let mut all: Vec<_> = self.mutators.values().collect();
        all.sort_by_key(|entry| entry.desc.name);
        all
    }

    /// The mutator of this wire name.
    pub fn mutator(&self, name: &str) -> Option<&MutatorEntry> {
        self.mutators.get(name)
    }

    /// The job of this name.
    pub fn job(&self, name: &str) -> Option<&JobEntry> {
        self.jobs.get(name)
    }

    /// The names of all jobs, sorted.
    pub fn job_names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.jobs.keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// The tables that some rule syncs, sorted by name; a table's place here is its *slot* in a pull's order.
    pub fn synced(&self) -> Vec<&'static TableDesc> {
        let synced = |table: &&TableDesc| {
            self.rules.iter().flat_map(|rule| &rule.tables).any(|synced| synced.table.name == table.name)
        };
        self.tables.iter().copied().filter(|table| synced(table)).collect()
    }

    /// Whether this table gives some rule's parameter its values, so that its rows say who sees what.
    pub fn gives_buckets(&self, table: &str) -> bool {
        self.membership_tables().any(|name| name == table)
    }

    /// Whether some rule asks a membership table.
    pub(crate) fn asks_memberships(&self) -> bool {
        self.membership_tables().next().is_some()
    }

    fn membership_tables(&self) -> impl Iterator<Item = &'static str> {
        self.rules.iter().flat_map(|rule| &rule.params).filter_map(|param| match &param.source {
            ParamSource::Member { table, .. } => Some(table.name),
            ParamSource::Claim(_) => None,
        })
    }

    /// Whether a mutation may merge documents, which take long where they are large.
    pub(crate) fn merges_documents(&self) -> bool {
        self.tables.iter().any(|table| nizhal_core::entity::has_documents(table))
    }

    /// Whether some synced table merges column by column, so that mutations' stamps matter.
    pub(crate) fn merges_columns(&self) -> bool {
        self.synced().iter().any(|table| table.merge == Merge::Field)
    }

    /// A text that changes when what any rule shows does.
    pub fn fingerprint(&self) -> String {
        digest(&format!("{:?}", self.fingerprints()))
    }

    /// For each rule, by name, a text that changes when what it shows does: parameters, tables, columns, conditions.
    pub fn fingerprints(&self) -> BTreeMap<String, String> {
        let shown = |rule: &Rule| {
            let params: Vec<_> = rule.params.iter().map(|param| (param.name, param.sql)).collect();
            let mut text = format!("{params:?}\n");
            for synced in &rule.tables {
                let name = |at: &ColumnIndex| synced.table.columns[*at].name;
                let scope: Vec<_> = synced.scope.iter().map(name).collect();
                let columns = synced.table.columns.iter().filter(|column| !column.private);
                let columns: Vec<_> = columns.map(|column| (column.name, column.sql)).collect();
                text.push_str(&format!("{} {scope:?} {:?} {columns:?}\n", synced.table.name, synced.filters));
            }
            digest(&text)
        };
        self.rules.iter().map(|rule| (rule.name.to_owned(), shown(rule))).collect()
    }
}

/// Puts the rules' descriptions in place of the app's: in theirs, the columns that are not listed are private.
fn column_list(tables: &mut [&'static TableDesc], rules: &[Rule]) -> Result<(), SchemaError> {
    let shown = |table: &TableDesc| table.columns.iter().map(|column| !column.private).collect::<Vec<_>>();
    let synced: Vec<_> = rules.iter().flat_map(|rule| &rule.tables).map(|synced| synced.table).collect();
    for table in tables {
        let mut own = synced.iter().filter(|synced| synced.name == table.name);
        let Some(first) = own.next() else { continue };
        if own.any(|other| shown(other) != shown(first)) {
            return Err(SchemaError::OtherColumns(table.name));
        }
        *table = first;
    }
    Ok(())
}

/// Whether every reference to a blob is a column: nobody would find the rows that name it inside of another.
fn check_blobs(table: &TableDesc) -> Result<(), SchemaError> {
    let wanted = BlobRef::json_schema(&mut SchemaGenerator::default()).to_value();
    for column in table.columns.iter().filter(|column| !column.blob) {
        let Some(schema) = column.schema else { continue };
        let mut generator = SchemaGenerator::default();
        schema(&mut generator);
        if generator.definitions().values().any(|definition| *definition == wanted) {
            return Err(SchemaError::BlobInside { table: table.name, column: column.name });
        }
    }
    Ok(())
}

/// Whether each constant that an enum is compared with is one of its texts: a typo would show all rows, or none.
fn check_texts(rule: &Rule) -> Result<(), SchemaError> {
    let lines = rule.tables.iter().flat_map(|synced| synced.filters.iter().map(move |filter| (synced.table, filter)));
    let members = rule.params.iter().filter_map(|param| match &param.source {
        ParamSource::Member { table, filters, .. } => Some((*table, filters)),
        ParamSource::Claim(_) => None,
    });
    let members = members.flat_map(|(table, filters)| {
        filters.iter().filter_map(move |filter| match filter {
            MemberFilter::Const(filter) => Some((table, filter)),
            MemberFilter::Claim { .. } => None,
        })
    });
    let compared = |(table, condition): (&'static TableDesc, &Condition)| {
        condition.comparisons().into_iter().map(move |filter| (table, filter.clone())).collect::<Vec<_>>()
    };
    for (table, filter) in lines.chain(members).flat_map(compared) {
        let column = &table.columns[filter.column];
        if let ConstValue::Text(text) = filter.value
            && !column.texts.is_empty()
            && !column.texts.contains(&text)
        {
            return Err(SchemaError::UnknownText { rule: rule.name, column: column.name, text, texts: column.texts });
        }
    }
    Ok(())
}

/// 64 bits of the text's hash: two sets of rules of one app do not meet.
fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOTES, rules};
    use nizhal_core::{ColumnDesc, Json, ParamDesc, SqlType};

    /// The place of the private column of [`NOTES`].
    const PRIVATE: ColumnIndex = ColumnIndex::new(4);

    #[test]
    fn inv35_no_blob_hides_inside_of_json() {
        #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        struct Page {
            text: String,
            images: Vec<Option<BlobRef>>,
        }
        const fn of(columns: &'static [ColumnDesc]) -> TableDesc {
            TableDesc { columns, ..NOTES }
        }
        static INSIDE: TableDesc = of(&[ColumnDesc::of::<String>("id"), ColumnDesc::of::<Json<Vec<Page>>>("pages")]);
        static PLAIN: TableDesc = of(&[ColumnDesc::of::<String>("id"), ColumnDesc::of::<Option<BlobRef>>("image")]);
        let new = |table| Schema::new(vec![table], Vec::new(), Vec::new()).map(drop);
        assert_eq!(new(&INSIDE), Err(SchemaError::BlobInside { table: "notes", column: "pages" }));
        assert_eq!(new(&PLAIN), Ok(()));
    }

    #[test]
    fn inv02_a_private_column_names_no_bucket() {
        let new = |rules| Schema::new(vec![&NOTES], rules, Vec::new()).map(drop);
        let refused =
            |rule| Err(SchemaError::PrivateBucket { rule, table: "notes", column: NOTES.columns[PRIVATE].name });
        assert!(NOTES.columns[PRIVATE].private);
        assert_eq!(new(rules()), Ok(()));
        let mut synced = rules();
        synced[0].tables[0].scope = vec![PRIVATE];
        assert_eq!(new(synced), refused("myShop"));
        let mut member = rules();
        let source = ParamSource::Member { table: &NOTES, column: PRIVATE, filters: Vec::new() };
        member[1].params = vec![ParamDesc { name: "p", sql: SqlType::Text, source }];
        assert_eq!(new(member), refused("mine"));
    }
}
