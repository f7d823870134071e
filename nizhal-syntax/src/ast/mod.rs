//! What was written, with spans and without judgement.

pub mod args;
pub mod attr;
pub mod claims;
pub mod id;
pub mod job;
pub mod main;
pub mod mutator;
pub mod rules;
pub mod table;
pub mod text_enum;
mod word;

pub use args::{Args, parse_args};
pub use claims::{Claims, Users, parse_claims};
pub use id::{Id, parse_id};
pub use job::{Job, parse_job};
pub use main::{Main, parse_main};
pub use mutator::{Mutator, Replay, RuleName, parse_mutator};
pub use rules::{Rule, RuleSet, Stmt, parse_rules};
pub use table::{Default, Field, Merge, Table, parse_table};
pub use text_enum::{TextEnum, parse_text_enum};
