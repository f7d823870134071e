//! Sync rules as data: what the runtime reads.

mod build;
mod column_list;

use crate::{ColumnIndex, Principal, ScopeColumn, TableDesc, Uuid};
use std::{fmt, sync::Arc};

pub use build::{Conditions, MemberScope, Param, RuleBuilder, Rules, TableScope};
#[doc(hidden)]
pub use column_list::{keyed, narrowed};

/// A bucket parameter's value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScopeValue {
    /// Of a `text` column.
    Text(String),
    /// Of an integer column.
    Int(i64),
    /// Of a `uuid` column.
    Uuid(Uuid),
}

impl fmt::Display for ScopeValue {
    /// The value as text, the same whichever database holds it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Int(number) => number.fmt(f),
            Self::Uuid(id) => id.hyphenated().fmt(f),
        }
    }
}

/// A constant that a rule compares a column with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConstValue {
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(&'static str),
}

impl From<bool> for ConstValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<&'static str> for ConstValue {
    fn from(value: &'static str) -> Self {
        Self::Text(value)
    }
}
macro_rules! const_ints {
    ($($ty:ty),*) => {$(
        impl From<$ty> for ConstValue {
            fn from(value: $ty) -> Self {
                Self::Int(i64::from(value))
            }
        }
    )*};
}
const_ints!(i16, i32, i64);

type Claim = dyn Fn(&Principal) -> Option<ScopeValue> + Send + Sync;

/// Takes one claim out of a principal.
#[derive(Clone)]
pub struct ClaimOf(Arc<Claim>);

impl ClaimOf {
    fn new<A: 'static, C: ScopeColumn>(claim: fn(&A) -> &C) -> Self {
        Self(Arc::new(move |principal| principal.claims::<A>().map(|claims| claim(claims).to_scope())))
    }

    fn optional<A: 'static, C: ScopeColumn>(claim: fn(&A) -> &Option<C>) -> Self {
        Self(Arc::new(move |principal| {
            principal.claims::<A>().and_then(|claims| claim(claims).as_ref()).map(ScopeColumn::to_scope)
        }))
    }

    /// The claim's value; `None` when it is absent, or the principal carries claims of another type.
    pub fn get(&self, principal: &Principal) -> Option<ScopeValue> {
        (self.0)(principal)
    }
}

impl fmt::Debug for ClaimOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimOf")
    }
}

/// `column == constant` or `column != constant`.
#[derive(Clone, Debug)]
pub struct ConstFilter {
    /// The column.
    pub column: ColumnIndex,
    /// True for `!=`. A NULL column satisfies neither.
    pub negated: bool,
    /// The constant.
    pub value: ConstValue,
}

/// Comparisons of one row's columns with constants, joined.
#[derive(Clone, Debug)]
pub enum Condition {
    /// One comparison.
    Column(ConstFilter),
    /// All must hold.
    All(Vec<Condition>),
    /// One must hold.
    Any(Vec<Condition>),
}

impl Condition {
    /// Its comparisons.
    pub fn comparisons(&self) -> Vec<&ConstFilter> {
        match self {
            Self::Column(filter) => vec![filter],
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::comparisons).collect(),
        }
    }

    /// The columns that it compares.
    pub fn columns(&self) -> Vec<ColumnIndex> {
        self.comparisons().into_iter().map(|filter| filter.column).collect()
    }
}

/// One condition of a membership query.
#[derive(Clone, Debug)]
pub enum MemberFilter {
    /// The column equals a claim of the actor; nothing does where the claim is absent.
    Claim {
        /// The column.
        column: ColumnIndex,
        /// The claim.
        claim: ClaimOf,
    },
    /// Columns are compared with constants.
    Const(Condition),
}

/// Where a bucket parameter's values come from.
#[derive(Clone, Debug)]
pub enum ParamSource {
    /// One value, from the token; none where the claim is absent.
    Claim(ClaimOf),
    /// The values of a membership table's rows that belong to the actor.
    Member {
        /// The membership table.
        table: &'static TableDesc,
        /// The column with the values.
        column: ColumnIndex,
        /// All must hold; at least one is a claim.
        filters: Vec<MemberFilter>,
    },
}

/// One bucket parameter.
#[derive(Clone, Debug)]
pub struct ParamDesc {
    /// Its name in the contract.
    pub name: &'static str,
    /// Its SQL type.
    pub sql: crate::SqlType,
    /// Where its values come from.
    pub source: ParamSource,
}

/// One table that a rule syncs.
#[derive(Clone, Debug)]
pub struct RuleTable {
    /// The table; a column that no rule lists is `private` here.
    pub table: &'static TableDesc,
    /// For each parameter of the rule, in order: the column that must equal it.
    pub scope: Vec<ColumnIndex>,
    /// Further conditions; all must hold.
    pub filters: Vec<Condition>,
}

/// The priority of a rule that names none: in the middle.
pub const DEFAULT_PRIORITY: u8 = 128;

/// A rule whose buckets a device gets when its app subscribes to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnDemand {
    /// How long a device keeps a bucket that its app is no longer subscribed to, in seconds.
    pub ttl_s: u64,
}

/// One rule: parameters that name its buckets, and the tables it syncs.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The name on the wire.
    pub name: &'static str,
    /// The doc comment.
    pub doc: &'static str,
    /// Whether its rows are everybody's: it has no parameter, and one bucket.
    pub public: bool,
    /// The most buckets of it that an actor may have, where the app says so.
    pub max_buckets: Option<u32>,
    /// When devices get its buckets, among those that they have yet to get: those of the lowest number first.
    pub priority: u8,
    /// Whether devices get its buckets only when they ask for them.
    pub on_demand: Option<OnDemand>,
    /// The parameters; an actor's buckets are all combinations of their values.
    pub params: Vec<ParamDesc>,
    /// The tables.
    pub tables: Vec<RuleTable>,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            name: "",
            doc: "",
            public: false,
            max_buckets: None,
            priority: DEFAULT_PRIORITY,
            on_demand: None,
            params: Vec::new(),
            tables: Vec::new(),
        }
    }
}
