//! What the compiler says: `pass/` and `fail/` hold the uses, `tests/ui.rs` compiles them.
