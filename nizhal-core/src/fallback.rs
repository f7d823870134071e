//! What the macros fall back to when their input is in error, so that one mistake does not cause many.

use crate::Actor;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Claims and arguments that nobody can have.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Nothing {}

impl Actor for Nothing {
    fn user_id(&self) -> &str {
        match *self {}
    }
    fn owner_id(&self) -> &str {
        match *self {}
    }
}

impl crate::Args for Nothing {}

impl JsonSchema for Nothing {
    fn schema_name() -> Cow<'static, str> {
        "Nothing".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        false.into()
    }
}

/// Implements `Mutator` for one whose signature was not understood; its compile error stands beside it.
#[doc(hidden)]
#[macro_export]
macro_rules! __broken_mutator {
    ($vis:vis $mutator:ident) => {
        #[doc(hidden)]
        #[allow(non_camel_case_types, dead_code)]
        $vis struct $mutator {}
        impl $crate::Mutator for $mutator {
            type Actor = $crate::fallback::Nothing;
            type Args = $crate::fallback::Nothing;
            const DESC: $crate::MutatorDesc = $crate::MutatorDesc::NONE;
            fn run(_: &mut $crate::Ctx<Self::Actor>, args: Self::Args) -> $crate::__private::Running<'_> {
                match args {}
            }
        }
    };
}

/// Implements `Job` for one whose signature was not understood; its compile error stands beside it.
#[doc(hidden)]
#[macro_export]
macro_rules! __broken_job {
    ($job:ident) => {
        impl $crate::Job for $job {
            type Args = $crate::fallback::Nothing;
            const DESC: $crate::JobDesc = $crate::JobDesc::NONE;
            fn run(_: &mut $crate::JobCtx, args: Self::Args) -> $crate::__private::Working<'_> {
                match args {}
            }
        }
    };
}
