//! `nizhal check`: the macros' own front end over source files, in milliseconds and with every mistake at once.
//!
//! It sees what one item says. What takes the types of other items (an unknown column, a mismatch) is rustc's to say.

use nizhal_syntax::{Errors, ast, check, model};
use proc_macro2::TokenStream;
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
    let (mut items, mut mistakes) = (0, 0);
    for file in &files {
        let mut found = Found::default();
        match syn::parse_file(&fs::read_to_string(file)?) {
            Ok(syntax) => found.visit_file(&syntax),
            Err(error) => found.mistakes.push(error),
        }
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
}

impl Found {
    fn judge(&mut self, judge: impl FnOnce(&Errors)) {
        let errors = Errors::new();
        judge(&errors);
        self.items += 1;
        self.mistakes.extend(errors.finish().err());
    }

    fn item(&mut self, attribute: &Attribute, item: TokenStream) {
        let arguments = match &attribute.meta {
            Meta::List(list) => list.tokens.clone(),
            _ => TokenStream::new(),
        };
        let Some(noun) = noun(attribute) else { return };
        match noun.as_str() {
            "table" => self.judge(|errors| {
                if let Some(ast) = ast::parse_table(arguments, item, errors) {
                    check::check_table(&model::lower_table(ast), errors);
                }
            }),
            "mutator" => self.judge(|errors| {
                if let Some(ast) = ast::parse_mutator(arguments, item, errors) {
                    check::check_mutator(&model::lower_mutator(ast, errors), errors);
                }
            }),
            "job" => self.judge(|errors| {
                if let Some(ast) = ast::parse_job(arguments, item, errors) {
                    check::check_job(&model::lower_job(ast, errors), errors);
                }
            }),
            "claims" => self.judge(|errors| {
                if let Some(ast) = ast::parse_claims(arguments, item, errors) {
                    check::check_claims(&model::lower_claims(ast, errors), errors);
                }
            }),
            "args" => self.judge(|errors| {
                if let Some(ast) = ast::parse_args(arguments, item, errors) {
                    check::check_args(&model::lower_args(ast), errors);
                }
            }),
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

impl<'ast> Visit<'ast> for Found {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Struct(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if let Some(at) = attributes.iter().position(|attribute| noun(attribute).is_some()) {
            let attribute = attributes[at].clone();
            let mut bare = item.clone();
            match &mut bare {
                Item::Struct(item) => drop(item.attrs.remove(at)),
                Item::Enum(item) => drop(item.attrs.remove(at)),
                Item::Fn(item) => drop(item.attrs.remove(at)),
                _ => {}
            }
            self.item(&attribute, quote::ToTokens::to_token_stream(&bare));
        }
        visit::visit_item(self, item);
    }

    fn visit_macro(&mut self, macro_call: &'ast Macro) {
        if macro_call.path.segments.last().is_some_and(|last| last.ident == "sync_rules") {
            self.judge(|errors| {
                if let Some(ast) = ast::parse_rules(macro_call.tokens.clone(), errors) {
                    check::check_rules(&model::lower_rules(ast, errors), errors);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
