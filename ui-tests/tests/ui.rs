//! What the compiler says about wrong uses of the macros; right uses are test targets of this crate, under `pass/`.
//!
//! Only cases that must fail are left to trybuild, since it would build every dependency once more to link one that passes.

#[test]
fn mistakes_are_explained_where_they_are() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("fail/*/*.rs");
    cases.compile_fail("fail/*/*/*.rs");
}
