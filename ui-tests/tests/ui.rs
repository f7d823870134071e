//! What the compiler says about right and wrong uses of the macros.

#[test]
fn right_uses_compile() {
    trybuild::TestCases::new().pass("pass/*.rs");
}

#[test]
fn mistakes_are_explained_where_they_are() {
    trybuild::TestCases::new().compile_fail("fail/*/*.rs");
}
