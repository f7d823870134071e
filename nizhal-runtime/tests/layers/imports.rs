//! The imports of a crate's files, as their text says them: every path that begins with `crate`, `super` or a child's name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// A module's path; the root's is empty.
type Module = Vec<String>;

/// An import, from file to file: a name that a room hands on is followed to where it is defined.
pub(super) struct Import {
    pub(super) from: Module,
    pub(super) to: Module,
    /// File and line.
    pub(super) place: String,
}

/// The code of a folder, without comments and unit tests.
pub(super) struct Sources {
    files: BTreeMap<Module, (String, String)>,
}

impl Sources {
    /// Reads a folder of the repository.
    pub(super) fn read(folder: &str) -> Self {
        let mut files = BTreeMap::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        read(root, &root.join(folder), &mut Vec::new(), &mut files);
        assert!(files.len() > 5, "{folder} is elsewhere");
        Self { files }
    }

    /// All that is named: each line and each path of a `use` tree, with its module, and its file and line.
    pub(super) fn names(&self) -> Vec<(&Module, String, String)> {
        let mut names = Vec::new();
        for (module, (file, code)) in &self.files {
            let lines = (1..).zip(code.lines().map(str::to_owned));
            let paths = paths(code).into_iter().map(|(start, path)| (line(code, start), path));
            names.extend(lines.chain(paths).map(|(at, name)| (module, format!("{file}:{at}"), name)));
        }
        names
    }

    /// The imports of every file but the root.
    pub(super) fn imports(&self) -> Vec<Import> {
        let mut imports = Vec::new();
        for (from, (name, code)) in self.files.iter().filter(|(module, _)| !module.is_empty()) {
            for (start, path) in paths(code) {
                let place = format!("{name}:{}", line(code, start));
                let to = self.absolute(from, &path).map(|path| self.file_of(&path, 0));
                let to = to.filter(|to| !to.is_empty() && to != from);
                imports.extend(to.map(|to| Import { from: from.clone(), to, place }));
            }
        }
        imports
    }

    /// The imports in circles and between them: what is left when files that import nothing, or that nothing imports, go.
    pub(super) fn circle(&self) -> Vec<String> {
        let mut imports = self.imports();
        loop {
            let count = imports.len();
            let ends = imports.iter().map(|import| (import.from.clone(), import.to.clone()));
            let (from, to): (BTreeSet<_>, BTreeSet<_>) = ends.unzip();
            imports.retain(|import| from.contains(&import.to) && to.contains(&import.from));
            if imports.len() == count {
                return imports.iter().map(|i| format!("{} imports {}", i.place, i.to.join("::"))).collect();
            }
        }
    }

    /// A path from the crate's root; none for another crate's.
    fn absolute(&self, from: &Module, path: &str) -> Option<Module> {
        let mut module = from.clone();
        let mut words = path.split("::").filter(|word| !word.is_empty()).peekable();
        match *words.peek()? {
            "crate" => module.clear(),
            "super" | "self" => {}
            child => self.files.contains_key(&[&module[..], &[child.to_owned()]].concat()).then_some(())?,
        }
        for word in words {
            match word {
                "crate" | "self" => {}
                "super" => drop(module.pop()),
                word => module.push(word.to_owned()),
            }
        }
        Some(module)
    }

    /// The file that defines what is at this path.
    fn file_of(&self, path: &[String], depth: usize) -> Module {
        let is_file = |length: &usize| self.files.contains_key(&path[..*length]);
        let length = (0..=path.len()).rev().find(is_file).unwrap_or_default();
        let module = path[..length].to_vec();
        let Some(name) = path.get(length).filter(|_| depth < 5) else { return module };
        let handed_on =
            paths(&self.files[&module].1).into_iter().find(|(_, path)| path.ends_with(&format!("::{name}")));
        match handed_on.and_then(|(_, path)| self.absolute(&module, &path)) {
            Some(path) if !path.starts_with(&module) || path.len() > module.len() + 1 => self.file_of(&path, depth + 1),
            _ => module,
        }
    }
}

/// The number of the line that this place is in.
fn line(code: &str, start: usize) -> usize {
    code[..start].matches('\n').count() + 1
}

fn read(root: &Path, folder: &Path, module: &mut Module, files: &mut BTreeMap<Module, (String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if ["tests", "testing", "clock_model"].contains(&name.as_str()) {
            continue;
        }
        module.push(name.clone());
        if path.is_dir() {
            read(root, &path, module, files);
        } else {
            let whole = fs::read_to_string(&path).unwrap();
            let code = whole.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let code: String =
                code.lines().map(|line| format!("{}\n", line.split("//").next().unwrap_or(""))).collect();
            let of = if ["mod", "lib"].contains(&name.as_str()) { &module[..module.len() - 1] } else { &module[..] };
            files.insert(of.to_vec(), (path.strip_prefix(root).unwrap().display().to_string(), code));
        }
        module.pop();
    }
}

/// The paths of all `use` trees and of all that is named from `crate` or `super` on, with where they begin.
fn paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (start, _) in ["use ", "crate::", "super::"].iter().flat_map(|word| code.match_indices(word)) {
        let start = if code[start..].starts_with("use ") { start + 4 } else { start };
        if !code[..start].ends_with("(in ") {
            tree(code, start, "", &mut found);
        }
    }
    // A tree that begins with `super` is found twice.
    found.sort();
    found.dedup();
    found
}

/// The paths of the tree that begins here; gives its end.
fn tree(code: &str, start: usize, before: &str, found: &mut Vec<(usize, String)>) -> usize {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut end = start + code[start..].find(|c| !is_path(c)).unwrap_or(0);
    let path = format!("{before}{}", &code[start..end]);
    if !code[end..].starts_with('{') {
        found.push((start, path));
        return end;
    }
    end += 1;
    while !code[end..].starts_with('}') {
        let skip = code[end..].chars().next().map_or(1, char::len_utf8);
        end = if code[end..].starts_with(is_path) { tree(code, end, &path, found) } else { end + skip };
    }
    end + 1
}
