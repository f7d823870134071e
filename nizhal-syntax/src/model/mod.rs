//! What was meant: names resolved, defaults applied, conditions understood.

pub mod args;
pub mod claims;
pub mod condition;
pub mod derive;
pub mod function;
pub mod id;
pub mod job;
pub mod mutator;
pub mod rules;
pub mod table;
pub mod terms;
pub mod text_enum;
pub mod ty;

pub use args::{Args, lower_args};
pub use claims::{Claims, lower_claims};
pub use condition::{Branch, Claim, Column, Condition, Filter, Value};
pub use derive::Derives;
pub use function::Function;
pub use id::{Id, lower_id};
pub use job::{Job, lower_job};
pub use mutator::{Mutator, lower_mutator};
pub use rules::{Param, Rule, RuleSet, Source, TableLine, duration_s, lower_rules};
pub use table::{Table, TableColumn, lower_table};
pub use terms::{Tear, Terms};
pub use text_enum::{TextEnum, lower_text_enum};
