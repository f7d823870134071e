//! The files of the repository, by their paths from its root.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders that builds and package managers fill.
const GENERATED: [&str; 5] = [".git", "target", "node_modules", "dist", "wip"];

/// The repository's root folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

/// Every file and folder below the root as `a/b/c`, generated ones left out.
pub(crate) fn all() -> Vec<String> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let entry = entry.expect("a readable entry");
            if GENERATED.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            let path = entry.path();
            found.push(path.strip_prefix(&root).expect("a path below the root").to_string_lossy().into_owned());
            if entry.file_type().expect("a file type").is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The files whose names end with one of `endings`, each with its text.
pub(crate) fn read(endings: &[&str]) -> Vec<(String, String)> {
    all()
        .into_iter()
        .filter(|path| endings.iter().any(|ending| path.ends_with(ending)) && root().join(path).is_file())
        .map(|path| {
            let text = fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            (path, text)
        })
        .collect()
}
