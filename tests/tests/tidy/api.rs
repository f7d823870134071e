//! The public names of the facade with their signatures, compared with a snapshot: a change of what apps rely on shows in its diff.
//!
//! The facade lists its names one by one. Each is looked up in the sources of the crate that it comes from, by `mod` and `pub use` as
//! the compiler does, and printed without bodies, documentation and private parts.

use quote::ToTokens;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use syn::{Attribute, Fields, ImplItem, Item, ItemMod, ItemUse, Type, UseTree, Visibility};

use crate::files;

/// A module's source file, and the folder of the modules below it.
#[derive(Clone)]
struct Module {
    items: Vec<Item>,
    folder: PathBuf,
}

/// A name that the facade gives: where it is seen, and the path of its definition, from the crate on.
struct Public {
    seen: String,
    path: Vec<String>,
}

fn parse(path: &Path) -> Vec<Item> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())).items
}

fn is_hidden(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| attr.path().is_ident("doc") && attr.to_token_stream().to_string().contains("hidden"))
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// The paths that a `use` brings, each with the name that it is brought under.
fn brought(tree: &UseTree, before: &[String], found: &mut Vec<(String, Vec<String>)>) {
    let with = |name: String| before.iter().cloned().chain([name]).collect::<Vec<_>>();
    match tree {
        UseTree::Path(path) => brought(&path.tree, &with(path.ident.to_string()), found),
        UseTree::Name(name) => found.push((name.ident.to_string(), with(name.ident.to_string()))),
        UseTree::Rename(name) => found.push((name.rename.to_string(), with(name.ident.to_string()))),
        UseTree::Glob(_) => found.push(("*".to_owned(), before.to_vec())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| brought(tree, before, found)),
    }
}

/// The names that the facade gives, in the modules that it writes itself too; hidden ones are no promise.
fn public(items: &[Item], at: &str, found: &mut Vec<Public>) {
    for item in items {
        match item {
            Item::Use(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
                let mut paths = Vec::new();
                brought(&item.tree, &[], &mut paths);
                found.extend(paths.into_iter().map(|(name, path)| Public { seen: format!("{at}::{name}"), path }));
            }
            Item::Mod(ItemMod { vis, attrs, ident, content: Some((_, items)), .. })
                if is_public(vis) && !is_hidden(attrs) =>
            {
                public(items, &format!("{at}::{ident}"), found);
            }
            _ => {}
        }
    }
}

impl Module {
    /// The root of the crate of this name.
    fn of_crate(name: &str) -> Option<Self> {
        let folder = files::root().join(name.replace('_', "-")).join("src");
        let root = folder.join("lib.rs");
        root.is_file().then(|| Self { items: parse(&root), folder })
    }

    fn child(&self, name: &str) -> Option<Self> {
        let declared = self.items.iter().find_map(|item| match item {
            Item::Mod(item) if item.ident == name => Some(item),
            _ => None,
        })?;
        let folder = self.folder.join(name);
        if let Some((_, items)) = &declared.content {
            return Some(Self { items: items.clone(), folder });
        }
        let beside = self.folder.join(format!("{name}.rs"));
        let within = folder.join("mod.rs");
        Some(Self { items: parse(if beside.is_file() { &beside } else { &within }), folder })
    }

    /// The definitions of a name, and the folder of the module that has them: a macro and a trait may share one.
    fn find(&self, root: &Self, path: &[String], depth: usize) -> Vec<(Item, PathBuf)> {
        assert!(depth < 12, "{} leads nowhere", path.join("::"));
        let Some((name, rest)) = path.split_first() else { return Vec::new() };
        match name.as_str() {
            "crate" => return root.find(root, rest, depth + 1),
            "self" => return self.find(root, rest, depth + 1),
            _ => {}
        }
        if !rest.is_empty() {
            return match (self.child(name), Self::of_crate(name)) {
                (Some(module), _) => module.find(root, rest, depth + 1),
                (None, Some(other)) => other.find(&other, rest, depth + 1),
                (None, None) => Vec::new(),
            };
        }
        let own: Vec<_> = self
            .items
            .iter()
            .filter(|item| defines(item, name))
            .map(|item| (item.clone(), self.folder.clone()))
            .collect();
        if !own.is_empty() {
            return own;
        }
        let mut found = Vec::new();
        for item in &self.items {
            let Item::Use(ItemUse { tree, .. }) = item else { continue };
            let mut paths = Vec::new();
            brought(tree, &[], &mut paths);
            for (brought, mut path) in paths {
                if brought == "*" && name != "*" {
                    path.push(name.clone());
                } else if brought != *name {
                    continue;
                }
                if path != [name.clone()] {
                    found.extend(self.find(root, &path, depth + 1));
                }
            }
        }
        found
    }
}

/// Whether this item defines the name, where others may use it.
fn defines(item: &Item, name: &str) -> bool {
    match item {
        Item::Const(item) => item.ident == name && is_public(&item.vis),
        Item::Enum(item) => item.ident == name && is_public(&item.vis),
        Item::Fn(item) => item.sig.ident == name && is_public(&item.vis),
        Item::Struct(item) => item.ident == name && is_public(&item.vis),
        Item::Trait(item) => item.ident == name && is_public(&item.vis),
        Item::Type(item) => item.ident == name && is_public(&item.vis),
        _ => false,
    }
}

/// The attributes that an app can rely on.
fn keep_attributes(attrs: &mut Vec<Attribute>) {
    attrs.retain(|attr| ["derive", "non_exhaustive", "must_use"].iter().any(|name| attr.path().is_ident(name)));
}

fn keep_fields(fields: &mut Fields) {
    if let Fields::Named(named) = fields {
        named.named = std::mem::take(&mut named.named).into_iter().filter(|field| is_public(&field.vis)).collect();
    }
    fields.iter_mut().for_each(|field| keep_attributes(&mut field.attrs));
}

fn empty() -> syn::Block {
    syn::parse_quote!({})
}

/// Without bodies, documentation and private fields.
fn signature(mut item: Item) -> Item {
    match &mut item {
        Item::Const(item) => {
            keep_attributes(&mut item.attrs);
            *item.expr = syn::parse_quote!(_);
        }
        Item::Enum(item) => {
            keep_attributes(&mut item.attrs);
            for variant in &mut item.variants {
                keep_attributes(&mut variant.attrs);
                variant.fields.iter_mut().for_each(|field| keep_attributes(&mut field.attrs));
            }
        }
        Item::Fn(item) => {
            keep_attributes(&mut item.attrs);
            *item.block = empty();
        }
        Item::Struct(item) => {
            keep_attributes(&mut item.attrs);
            keep_fields(&mut item.fields);
        }
        Item::Trait(item) => {
            keep_attributes(&mut item.attrs);
            for inner in &mut item.items {
                match inner {
                    syn::TraitItem::Fn(inner) => {
                        keep_attributes(&mut inner.attrs);
                        inner.default = inner.default.as_ref().map(|_| empty());
                    }
                    syn::TraitItem::Const(inner) => keep_attributes(&mut inner.attrs),
                    syn::TraitItem::Type(inner) => keep_attributes(&mut inner.attrs),
                    _ => {}
                }
            }
        }
        Item::Type(item) => keep_attributes(&mut item.attrs),
        _ => {}
    }
    item
}

/// The `impl` blocks of a type in those of these sources that are below this folder: their public functions, and the traits' names.
fn impls(sources: &[(String, String)], folder: &Path, name: &str) -> Vec<Item> {
    let mut found = Vec::new();
    let root = files::root();
    for (path, text) in sources {
        let path = root.join(path);
        let is_near = path.starts_with(folder) || path.with_extension("") == folder;
        if !is_near || !text.contains(name) {
            continue;
        }
        for item in syn::parse_file(text).map(|file| file.items).unwrap_or_default() {
            let Item::Impl(mut item) = item else { continue };
            let is_of = matches!(&*item.self_ty, Type::Path(of) if of.path.segments.last().is_some_and(|last| last.ident == name));
            if !is_of
                || item
                    .attrs
                    .iter()
                    .any(|attr| attr.path().is_ident("cfg") && attr.to_token_stream().to_string().contains("test"))
            {
                continue;
            }
            item.attrs.clear();
            let of_trait = item.trait_.is_some();
            item.items.retain_mut(|inner| match inner {
                ImplItem::Fn(inner) if !of_trait && is_public(&inner.vis) && !is_hidden(&inner.attrs) => {
                    keep_attributes(&mut inner.attrs);
                    inner.block = empty();
                    true
                }
                ImplItem::Const(inner) if !of_trait && is_public(&inner.vis) && !is_hidden(&inner.attrs) => {
                    keep_attributes(&mut inner.attrs);
                    inner.expr = syn::parse_quote!(_);
                    true
                }
                _ => false,
            });
            if of_trait || !item.items.is_empty() {
                found.push(Item::Impl(item));
            }
        }
    }
    found
}

/// The whole snapshot.
fn snapshot() -> String {
    let mut names = Vec::new();
    public(&parse(&files::root().join("src/lib.rs")), "nizhal", &mut names);
    let (mut sections, sources) = (BTreeMap::new(), files::read(&[".rs"]));
    for Public { seen, path } in names {
        let [from, rest @ ..] = path.as_slice() else { continue };
        // What sea-orm has is sea-orm's, and a procedural macro is its name.
        if seen.starts_with("nizhal::prelude") || from == "nizhal_macros" {
            sections.insert(seen, String::new());
            continue;
        }
        let Some(root) = Module::of_crate(from) else { continue };
        let found = root.find(&root, rest, 0);
        if found.is_empty() {
            sections.insert(seen, "// A macro, made by one, or of another crate.\n".to_owned());
            continue;
        }
        let mut items = Vec::new();
        for (item, folder) in found {
            let is_type = matches!(item, Item::Struct(_) | Item::Enum(_));
            items.push(signature(item));
            if is_type {
                items.extend(impls(&sources, &folder, path.last().map_or("", String::as_str)));
            }
        }
        let file = syn::File { shebang: None, frontmatter: None, attrs: Vec::new(), items };
        sections.insert(seen, prettyplease::unparse(&file));
    }
    sections.iter().map(|(seen, text)| format!("// {seen}\n{text}\n")).collect()
}

#[test]
fn the_public_names_are_those_of_the_snapshot() {
    let now = snapshot();
    let path = files::root().join("tests/api.txt");
    if std::env::var_os("NIZHAL_BLESS").is_some() {
        fs::write(&path, &now).unwrap();
        return;
    }
    let before = fs::read_to_string(&path).unwrap_or_default();
    let changed = now.lines().zip(before.lines()).find(|(now, before)| now != before);
    assert!(
        now == before,
        "what apps rely on changed, first at {changed:?}: say so in CHANGELOG.md, and run `NIZHAL_BLESS=1 cargo test --workspace --test tidy`"
    );
}
