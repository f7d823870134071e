//! Judges an app's `main`.

use crate::ast::Main;
use crate::{Code, Errors};

const HELP: &str = "write `async fn main() -> nizhal::Result<()>`";

/// Reports what is wrong with a `main`.
pub fn check_main(main: &Main, errors: &Errors) {
    let sig = &main.item.sig;
    if sig.asyncness.is_none() {
        errors.push(Code::MainNotAsync, sig.fn_token, "this `main` must be async", HELP);
    }
    if let Some(input) = sig.inputs.first() {
        errors.push(Code::MainArguments, input, "`main` takes no arguments", HELP);
    }
}
