//! The front end of Nizhal's macros: tokens to a checked model, with every mistake of an item reported together.
//!
//! Stages are types. `ast::parse_*` keeps what was written, with spans; `model::lower_*` resolves names and applies
//! defaults; `check::check_*` judges. Nothing here generates code, so the macros and the CLI share it.

pub mod ast;
pub mod check;
mod code;
mod error;
pub mod model;
pub mod name;
pub mod symbol;

pub use code::{Code, Example};
pub use error::Errors;
