//! `nizhal check`: the macros' own front end over source files, in milliseconds and with every mistake at once.
//!
//! It sees what one item says, and of all files together who writes the tables that give rules their buckets, and what is replayed where.
//! What takes the types of other items (an unknown column, a mismatch) is rustc's to say.

use nizhal_syntax::{
    Errors, ast, check,
    model::{self, Mutator, RuleSet, Table},
};
use proc_macro2::TokenStream;
use quote::ToTokens;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use syn::{
    Attribute, Item, Macro, Meta,
    visit::{self, Visit},
};

/// Checks the files and prints each mistake as `file:line:column: text`; true when there is none.
///
/// # Errors
/// When a path cannot be read.
pub(crate) fn run(paths: &[PathBuf], out: &mut impl io::Write) -> io::Result<bool> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    let mut judged = Vec::new();
    for file in &files {
        let mut found = Found::default();
        match syn::parse_file(&fs::read_to_string(file)?) {
            Ok(syntax) => found.visit_file(&syntax),
            Err(error) => found.mistakes.push(error),
        }
        judged.push((file, found));
    }
    let rules: Vec<RuleSet> = judged.iter_mut().flat_map(|(_, found)| found.rules.drain(..)).collect();
    let tables: Vec<Table> = judged.iter_mut().flat_map(|(_, found)| found.tables.drain(..)).collect();
    let (mut items, mut mistakes) = (0, 0);
    for (file, mut found) in judged {
        found.judge_together(&rules, &tables);
        items += found.items;
        for error in found.mistakes.iter().flatten() {
            mistakes += 1;
            let start = error.span().start();
            let text = error.to_string().replace("\n\n", "\n    ");
            writeln!(out, "{}:{}:{}: {text}", file.display(), start.line, start.column + 1)?;
        }
    }
    writeln!(out, "{} files, {items} items of Nizhal's, {mistakes} mistakes", files.len())?;
    Ok(mistakes == 0)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let with_name = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if !fs::metadata(path).map_err(with_name)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() || entry.extension().is_some_and(|extension| extension == "rs") {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

/// What a file holds of ours.
#[derive(Default)]
struct Found {
    items: usize,
    mistakes: Vec<syn::Error>,
    rules: Vec<RuleSet>,
    tables: Vec<Table>,
    mutators: Vec<Mutator>,
}

impl Found {
    /// One item through the front end.
    fn judge<Ast, Model>(
        &mut self,
        parse: impl FnOnce(&Errors) -> Option<Ast>,
        lower: impl FnOnce(Ast, &Errors) -> Model,
        check: impl FnOnce(&Model, &Errors),
    ) {
        self.judged(parse, lower, check);
    }

    /// The same, for one that is judged again beside others.
    fn judged<Ast, Model>(
        &mut self,
        parse: impl FnOnce(&Errors) -> Option<Ast>,
        lower: impl FnOnce(Ast, &Errors) -> Model,
        check: impl FnOnce(&Model, &Errors),
    ) -> Option<Model> {
        let errors = Errors::new();
        let model = parse(&errors).map(|ast| lower(ast, &errors));
        if let Some(model) = &model {
            check(model, &errors);
        }
        self.items += 1;
        self.mistakes.extend(errors.finish().err());
        model
    }

    /// The mutators, by the rules and the tables of all files.
    fn judge_together(&mut self, rules: &[RuleSet], tables: &[Table]) {
        let errors = Errors::new();
        check::check_member_writes(rules, &self.mutators, &errors);
        check::check_replays(rules, tables, &self.mutators, &errors);
        self.mistakes.extend(errors.finish().err());
    }

    fn item(&mut self, attribute: &Attribute, item: TokenStream) {
        let words = match &attribute.meta {
            Meta::List(list) => list.tokens.clone(),
            _ => TokenStream::new(),
        };
        match noun(attribute).as_deref() {
            Some("table") => {
                let table = self.judged(
                    |errors| ast::parse_table(words, item, errors),
                    |ast, _| model::lower_table(ast),
                    check::check_table,
                );
                self.tables.extend(table);
            }
            Some("mutator") => {
                let mutator = self.judged(
                    |errors| ast::parse_mutator(words, item, errors),
                    model::lower_mutator,
                    check::check_mutator,
                );
                self.mutators.extend(mutator);
            }
            Some("job") => self.judge(|errors| ast::parse_job(words, item, errors), model::lower_job, check::check_job),
            Some("claims") => {
                self.judge(|errors| ast::parse_claims(words, item, errors), model::lower_claims, check::check_claims);
            }
            Some("args") => self.judge(
                |errors| ast::parse_args(words, item, errors),
                |ast, _| model::lower_args(ast),
                check::check_args,
            ),
            Some("id") => self.judge(|errors| ast::parse_id(words, item, errors), model::lower_id, check::check_id),
            Some("text_enum") => self.judge(
                |errors| ast::parse_text_enum(words, item, errors),
                |ast, _| model::lower_text_enum(ast),
                check::check_text_enum,
            ),
            Some("main") => {
                self.judge(|errors| ast::parse_main(words, item, errors), |main, _| main, check::check_main);
            }
            _ => {}
        }
    }
}

/// The last segment of `#[nizhal::noun]` or `#[mutator]`; other crates' paths are theirs.
fn noun(attribute: &Attribute) -> Option<String> {
    let path = attribute.path();
    let last = path.segments.last()?.ident.to_string();
    let ours = match path.segments.len() {
        1 => last == "mutator",
        _ => path.segments[0].ident == "nizhal",
    };
    ours.then_some(last)
}

/// The attributes of an item that may be ours; the macros say of each other kind what it should have been.
fn attributes(item: &mut Item) -> Option<&mut Vec<Attribute>> {
    match item {
        Item::Enum(item) => Some(&mut item.attrs),
        Item::Fn(item) => Some(&mut item.attrs),
        Item::Impl(item) => Some(&mut item.attrs),
        Item::Mod(item) => Some(&mut item.attrs),
        Item::Struct(item) => Some(&mut item.attrs),
        Item::Trait(item) => Some(&mut item.attrs),
        Item::Type(item) => Some(&mut item.attrs),
        Item::Union(item) => Some(&mut item.attrs),
        _ => None,
    }
}

impl<'ast> Visit<'ast> for Found {
    fn visit_item(&mut self, item: &'ast Item) {
        let mut bare = item.clone();
        if let Some(attributes) = attributes(&mut bare)
            && let Some(at) = attributes.iter().position(|attribute| noun(attribute).is_some())
        {
            let attribute = attributes.remove(at);
            self.item(&attribute, bare.to_token_stream());
        }
        visit::visit_item(self, item);
    }

    fn visit_macro(&mut self, macro_call: &'ast Macro) {
        if macro_call.path.segments.last().is_some_and(|last| last.ident == "sync_rules") {
            let tokens = macro_call.tokens.clone();
            let rules = self.judged(|errors| ast::parse_rules(tokens, errors), model::lower_rules, check::check_rules);
            self.rules.extend(rules);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nizhal_syntax::Code;

    fn output(source: &str) -> (bool, String) {
        let dir = std::env::temp_dir().join(format!("nizhal-check-{}-{:p}", std::process::id(), source));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("a.rs"), source).unwrap();
        let mut out = Vec::new();
        let clean = run(std::slice::from_ref(&dir), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap().replace(&format!("{}/", dir.display()), "");
        fs::remove_dir_all(&dir).unwrap();
        (clean, text)
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let source = "mod inner {\n    #[nizhal::table]\n    pub struct Loose { pub name: String }\n}\nnizhal::sync_rules! {\n    \
                      pub rules for Claims;\n    rule mine(owner) {\n        owner = actor.owner_id;\n        Customer;\n    }\n}\n";
        let (clean, text) = output(source);
        assert!(!clean);
        assert!(text.contains("a.rs:3:"), "{text}");
        assert!(text.contains("a.rs:9:9: "), "{text}");
        assert!(text.ends_with("1 files, 2 items of Nizhal's, 2 mistakes\n"), "{text}");
    }

    #[test]
    fn a_sound_file_passes() {
        let source = "#[nizhal::table]\npub struct Customer { #[nizhal(primary_key)] pub id: String }\n";
        let (clean, text) = output(source);
        assert!(clean, "{text}");
    }

    #[test]
    fn what_is_replayed_where_is_judged_over_all_items() {
        let rules = "nizhal::sync_rules! { pub rules for Claims; \
            rule my_shops(shop) { shop in Member.shop where Member.user == actor.user_id; Stock where Stock.shop == shop; } \
            #[name = \"stores\"] rule all_stores(shop) { shop in Member.shop where Member.user == actor.user_id; Stock where Stock.shop == shop; } \
            rule both(shop, owner) { shop in Member.shop where Member.user == actor.user_id; owner = actor.owner_id; \
            Stock where Stock.shop == shop && Stock.owner == owner; } }\n\
            #[nizhal::table] struct Remark { #[nizhal(primary_key)] id: String }\n";
        let said = |bucket: &str, body: &str| {
            let mutator = format!("async fn act(ctx: &mut Ctx<Claims>, args: Act) -> Result<Applied> {{ {body} }}");
            output(&format!("{rules}#[mutator(replay({bucket} = args.shop))] {mutator}")).1
        };
        for bucket in ["my_shops", "r#my_shops", "\"stores\"", "\"myShops\""] {
            assert!(said(bucket, "").contains(" 0 mistakes"), "{bucket}: {}", said(bucket, ""));
        }
        for (bucket, body, wanted) in [
            ("my_shop", "", "[NZ245] there is no rule `my_shop`\n    help: write `my_shops`"),
            (
                "all_stores",
                "",
                "[NZ245] rule `all_stores` is called \"stores\" on the wire\n    help: write `replay(\"stores\" = …)`",
            ),
            ("both", "", "[NZ245] rule `both` has 2 parameters"),
            (
                "my_shops",
                "RemarkActive {}.insert(ctx.db())",
                "[NZ246] `act` is replayed and writes `Remark`, which is not",
            ),
        ] {
            let text = said(bucket, body);
            let text = text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
            let wanted = wanted.lines().map(str::trim).collect::<Vec<_>>().join("\n");
            assert!(text.contains(&wanted) && text.contains(" 1 mistakes"), "{wanted}: {text}");
        }
    }

    /// Where an example of the catalogue stands: it is an item, a rule, or lines of one.
    fn placed(example: &str) -> String {
        let starts = |words: &[&str]| words.iter().any(|word| example.starts_with(word));
        if starts(&["sync_rules!", "#[nizhal::", "#[mutator"]) {
            return example.to_owned();
        }
        if starts(&["#[", "rule ", "public rule "]) {
            return format!("sync_rules! {{ pub app_rules for Claims; {example} }}");
        }
        let member = "shop_id in ShopMember.shop_id where ShopMember.user_id == actor.user_id;";
        format!("sync_rules! {{ pub app_rules for Claims; rule my_shops(shop_id) {{ {member} {example} }} }}")
    }

    /// The codes of what is said of an example.
    fn codes(example: &str) -> Vec<String> {
        let file = syn::parse_file(&placed(example)).unwrap_or_else(|error| panic!("{error}:\n{example}"));
        let mut found = Found::default();
        found.visit_file(&file);
        let rules: Vec<RuleSet> = found.rules.drain(..).collect();
        let tables: Vec<Table> = found.tables.drain(..).collect();
        found.judge_together(&rules, &tables);
        assert_eq!(found.items, file.items.len(), "not all of it is judged:\n{example}");
        let said = |error: syn::Error| error.to_string();
        let code = |text: String| text.split_once(']').map_or(text.clone(), |(code, _)| code.replace('[', ""));
        found.mistakes.into_iter().flatten().map(said).map(code).collect()
    }

    #[test]
    fn every_code_has_an_example_that_it_is_said_of_and_one_that_passes() {
        for code in Code::all() {
            let example = code.example();
            assert_eq!(codes(&example.wrong), [code.to_string()], "{code}, wrong:\n{}", example.wrong);
            assert_eq!(codes(&example.right), [""; 0], "{code}, right:\n{}", example.right);
        }
    }
}
