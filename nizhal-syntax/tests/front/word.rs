//! The words of attributes, as darling reads them.

use crate::{mistakes, tokens};
use nizhal_syntax::{Errors, ast, symbol};

/// What is said of `#[nizhal::table(…)]`.
fn table(words: &str) -> Vec<String> {
    let errors = Errors::new();
    let _ = ast::parse_table(tokens(words), tokens("struct T { id: String }"), &errors);
    mistakes(errors)
}

/// What is said of the attributes of a field.
fn field(attrs: &str) -> Vec<String> {
    let errors = Errors::new();
    let _ = ast::parse_table(tokens(""), tokens(&format!("struct T {{ {attrs} id: String }}")), &errors);
    mistakes(errors)
}

fn variant(attrs: &str) -> Vec<String> {
    let errors = Errors::new();
    let _ = ast::parse_text_enum(tokens(""), tokens(&format!("enum E {{ {attrs} A }}")), &errors);
    mistakes(errors)
}

fn mutator(words: &str) -> Vec<String> {
    let errors = Errors::new();
    let _ = ast::parse_mutator(tokens(words), tokens("async fn f() {}"), &errors);
    mistakes(errors)
}

fn job(words: &str) -> Vec<String> {
    let errors = Errors::new();
    let _ = ast::parse_job(tokens(words), tokens("async fn f() {}"), &errors);
    mistakes(errors)
}

/// The words of `symbol` are those that a field of the reader takes: one that none takes would be called unknown.
#[test]
fn every_word_that_is_told_is_read() {
    let on = |words: &[&str], read: &dyn Fn(&str) -> Vec<String>| {
        for word in words {
            let unknown = read(word).into_iter().find(|mistake| mistake.contains("has no word"));
            assert_eq!(unknown, None, "{word}");
        }
    };
    on(symbol::TABLE_WORDS, &table);
    on(symbol::FIELD_WORDS, &|word| field(&format!("#[nizhal({word})]")));
    on(symbol::VARIANT_WORDS, &|word| variant(&format!("#[nizhal({word})]")));
    on(symbol::MUTATOR_WORDS, &mutator);
    on(symbol::JOB_WORDS, &job);
}

#[test]
fn a_word_counts_once_over_all_attributes_of_a_place() {
    assert_eq!(field("#[nizhal(unique)] #[nizhal(unique)]"), ["`unique` is written twice"]);
    assert_eq!(field("#[nizhal(unique)] #[doc = \"x\"] #[nizhal(private)]"), [""; 0]);
    assert_eq!(variant("#[nizhal(rename = \"a\")] #[nizhal(rename = \"b\")]"), ["`rename` is written twice"]);
    let thrice = ["`name` is written twice", "`name` is written twice"];
    assert_eq!(table("name = \"a\", name = \"b\", merge = \"lww\", name = \"c\""), thrice);
}

#[test]
fn a_mistake_in_one_word_hides_none_in_another() {
    let said = field("#[nizhal(uniqe, default = , 3, private = 1, rename)] #[nizhal]");
    let wanted = [
        "`#[nizhal(…)]` on a field has no word `uniqe`",
        "expected an expression",
        "expected identifier",
        "`private` takes no value",
        "`rename` needs a text",
        "this attribute says nothing",
    ];
    assert_eq!(said, wanted);
}

/// darling takes paths, keywords and any bracket; we take words and parentheses.
#[test]
fn only_words_are_words() {
    for (words, wanted) in [
        ("privileged[Inbox]", "expected `,`"),
        ("privileged { Inbox }", "expected `,`"),
        ("::server", "expected identifier"),
        ("nizhal::server", "`#[mutator]` has no word `nizhal::server`"),
        ("r#server", "`#[mutator]` has no word `r#server`"),
        ("type", "`#[mutator]` has no word `type`"),
        ("\"server\"", "expected identifier"),
        ("server name = \"x\"", "expected `,`"),
    ] {
        assert_eq!(mutator(words), [wanted], "{words}");
    }
}
