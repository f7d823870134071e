//! What is wrong with a model, one function a rule.

mod args;
mod blob;
mod claims;
mod column;
mod condition;
mod function;
mod generated;
mod id;
mod job;
mod list;
mod main;
mod member_write;
mod membership;
mod mutator;
mod repair;
mod replay;
mod rules;
mod scope;
mod table;
mod text_enum;

pub use args::check_args;
pub use claims::check_claims;
pub use id::check_id;
pub use job::check_job;
pub use main::check_main;
pub use member_write::check_member_writes;
pub use mutator::check_mutator;
pub use repair::repaired_table;
pub use replay::check_replays;
pub use rules::check_rules;
pub use table::check_table;
pub use text_enum::check_text_enum;
