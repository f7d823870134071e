//! The model to tokens, one room a noun.

mod args;
mod claims;
mod id;
mod job;
mod main;
mod mutator;
mod rules;
mod table;
#[cfg(test)]
mod tests;
mod text_enum;

pub(crate) use args::expand_args;
pub(crate) use claims::expand_claims;
pub(crate) use id::expand_id;
pub(crate) use job::expand_job;
pub(crate) use main::expand_main;
pub(crate) use mutator::expand_mutator;
pub(crate) use rules::expand_rules;
pub(crate) use table::expand_table;
pub(crate) use text_enum::expand_text_enum;
