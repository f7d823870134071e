//! A shape as an app declares it: the constants that the macros would write, and mutators that run what they are told.

use super::{
    break_in,
    shape::{self, Actor, Claim, Shape, Source, Type, Value, Width},
};
use nizhal::{
    Applied, BlobRef, ColumnDesc, ColumnIndex, Error, Merge, MutatorDesc, MutatorEntry, ReplayEntry, Rules, SqlType,
    TableDesc, Uuid, prelude::ConnectionTrait,
};
use nizhal_core::{
    Called, ClaimOf, Condition, ConstFilter, ConstValue, CtxParts, MemberFilter, ParamDesc, ParamSource, Rule,
    RuleTable,
};
use serde_json::value::RawValue;

#[nizhal::claims]
pub(super) struct Claims {
    pub(super) user_id: String,
    pub(super) owner_id: String,
    pub(super) number: i64,
    pub(super) id: Uuid,
    pub(super) region: String,
    pub(super) shop_id: Option<String>,
}

impl Claims {
    pub(super) fn of(actor: &Actor) -> Self {
        Self {
            user_id: actor.user.to_owned(),
            owner_id: actor.owner.to_owned(),
            number: actor.number,
            id: Uuid::from_u128(actor.id),
            region: actor.region.to_owned(),
            shop_id: actor.shop.map(str::to_owned),
        }
    }
}

/// A mutator like any other.
pub(super) const WRITE: &str = "write";
/// One that may write everywhere.
pub(super) const ADMIN: &str = "admin";

pub(super) struct Declared {
    pub(super) tables: Vec<&'static TableDesc>,
    pub(super) rules: Vec<Rule>,
    pub(super) mutators: Vec<MutatorEntry>,
}

/// Descriptions are constants in an app; here they are leaked, a few kilobytes a case.
pub(super) fn declare(shape: &Shape) -> Declared {
    let (tables, rules) = match &shape.written {
        Some(text) => (shape.tables.iter().map(|table| break_in::desc(table.name)).collect(), break_in::rules_of(text)),
        None => {
            let tables: Vec<&'static TableDesc> = shape.tables.iter().map(|table| table_desc(shape, table)).collect();
            let rules = shape.rules.iter().map(|rule| rule_of(shape, &tables, rule)).collect();
            (tables, rules)
        }
    };
    let all: &'static [&'static str] = Vec::leak(tables.iter().map(|table| table.name).collect());
    let entry = |name, privileged| MutatorEntry {
        desc: MutatorDesc { name, privileged, server: false, replay: None, doc: "" },
        schema: |_| unreachable!("nobody asks for the contract"),
        replay: ReplayEntry::NONE,
        call: |parts, args| Box::pin(run(parts, args)),
    };
    Declared { tables, rules, mutators: vec![entry(WRITE, &[]), entry(ADMIN, all)] }
}

fn sql_type(ty: Type, width: Width) -> SqlType {
    match (ty, width) {
        (Type::Text, _) => SqlType::Text,
        (Type::Int, Width::Two) => SqlType::Int2,
        (Type::Int, Width::Four) => SqlType::Int4,
        (Type::Int, Width::Eight) | (Type::Long, _) => SqlType::Int8,
        (Type::Uuid, _) => SqlType::Uuid,
        (Type::Bool, _) => SqlType::Bool,
        (Type::Blob, _) => SqlType::Json,
    }
}

fn table_desc(shape: &Shape, table: &shape::Table) -> &'static TableDesc {
    let column = |column: &shape::Column| ColumnDesc {
        sql: sql_type(column.ty, shape.width),
        nullable: column.nullable,
        private: column.private,
        ..match column.ty {
            Type::Blob => ColumnDesc::of::<BlobRef>(column.name),
            _ => ColumnDesc::of::<String>(column.name),
        }
    };
    Box::leak(Box::new(TableDesc {
        name: table.name,
        columns: Vec::leak(table.columns.iter().map(column).collect()),
        key: Vec::leak(table.key.iter().copied().map(ColumnIndex::new).collect()),
        merge: Merge::Lww,
        server_only: false,
        doc: "",
    }))
}

fn rule_of(shape: &Shape, tables: &[&'static TableDesc], rule: &shape::Rule) -> Rule {
    let source = |source: &Source| match source {
        Source::Claim(claim) => ParamSource::Claim(claim_of(*claim)),
        Source::Member { table, column, condition } => ParamSource::Member {
            table: tables[*table],
            column: ColumnIndex::new(*column),
            filters: condition
                .claims()
                .into_iter()
                .map(|(column, claim)| MemberFilter::Claim { column: ColumnIndex::new(column), claim: claim_of(claim) })
                .chain(constants(condition).into_iter().map(MemberFilter::Const))
                .collect(),
        },
    };
    let params = rule.params.iter().zip(["first", "second"]);
    Rule {
        name: rule.name,
        public: rule.public,
        params: params
            .map(|(param, name)| ParamDesc {
                name,
                sql: sql_type(param.ty, shape.width),
                source: source(&param.source),
            })
            .collect(),
        tables: rule
            .tables
            .iter()
            .map(|synced| RuleTable {
                table: tables[synced.table],
                scope: synced.scope.iter().copied().map(ColumnIndex::new).collect(),
                filters: constants(&synced.condition),
            })
            .collect(),
        ..Rule::default()
    }
}

/// What further must hold; a shape's own rules bind outside of every `||`.
fn constants(condition: &shape::Condition) -> Vec<Condition> {
    match condition {
        shape::Condition::Is(filter) => vec![filter_of(filter)],
        shape::Condition::Bound { .. } => Vec::new(),
        shape::Condition::All(parts) => parts.iter().flat_map(constants).collect(),
        shape::Condition::Any(parts) => vec![Condition::Any(parts.iter().flat_map(constants).collect())],
    }
}

fn filter_of(filter: &shape::Filter) -> Condition {
    let value = match filter.value {
        Value::Bool(value) => ConstValue::Bool(value),
        Value::Int(value) => ConstValue::Int(value),
        Value::Text(value) => ConstValue::Text(value),
        Value::Null | Value::Uuid(_) | Value::Blob(_) => unreachable!("rules compare with no such constant"),
    };
    Condition::Column(ConstFilter { column: ColumnIndex::new(filter.column), negated: filter.negated, value })
}

/// Claims are taken out by functions that only the typed builder makes.
fn claim_of(claim: Claim) -> ClaimOf {
    let rules = Rules::<Claims>::new().rule("", "", |rule| match claim {
        Claim::User => drop(rule.claim("", |claims: &Claims| &claims.user_id)),
        Claim::Owner => drop(rule.claim("", |claims: &Claims| &claims.owner_id)),
        Claim::Number => drop(rule.claim("", |claims: &Claims| &claims.number)),
        Claim::Id => drop(rule.claim("", |claims: &Claims| &claims.id)),
        Claim::Region => drop(rule.claim("", |claims: &Claims| &claims.region)),
        Claim::Shop => drop(rule.claim_if_any("", |claims: &Claims| &claims.shop_id)),
    });
    match &rules.into_inner()[0].params[0].source {
        ParamSource::Claim(claim) => claim.clone(),
        ParamSource::Member { .. } => unreachable!("a claim was asked for"),
    }
}

#[nizhal::args]
struct Args {
    statements: Vec<String>,
    rejects: bool,
}

async fn run(parts: CtxParts, args: &RawValue) -> Called {
    let Ok(args) = serde_json::from_str::<Args>(args.get()) else {
        return (parts, Err(Error::InvalidArgs("statements are wanted".to_owned())));
    };
    for statement in &args.statements {
        if let Err(error) = parts.tx.execute_unprepared(statement).await {
            return (parts, Err(error.into()));
        }
    }
    let ending = if args.rejects { Err(Error::rejected("as told")) } else { Ok(Applied::done()) };
    (parts, ending)
}
