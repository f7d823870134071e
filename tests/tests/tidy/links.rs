//! Links between documents: the file is there, and so is the heading.

use std::{collections::HashSet, fs, path::Path};

use crate::files;

/// The targets of `[text](target)` in a document, code blocks left out.
fn targets(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        found.extend(line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target));
    }
    found
}

/// The anchors that renderers give to a document's headings: lower case, spaces as hyphens, other signs dropped.
fn anchors(text: &str) -> HashSet<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            heading.chars().filter(|sign| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_')).collect::<String>()
        })
        .map(|heading| heading.replace(' ', "-"))
        .collect()
}

/// What is wrong with a link, if anything is.
fn fault(document: &str, text: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let folder = Path::new(document).parent().expect("a folder");
    let file = if path.is_empty() { Path::new(document).to_owned() } else { folder.join(path) };
    let absolute = files::root().join(file);
    if !absolute.exists() {
        return Some(format!("{document}: no file at the link `{target}`"));
    }
    let anchor = anchor?;
    let linked = if path.is_empty() { text.to_owned() } else { fs::read_to_string(absolute).expect("a linked text") };
    (!anchors(&linked).contains(anchor)).then(|| format!("{document}: no heading at the link `{target}`"))
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut faults = Vec::new();
    let mut links = 0;
    for (document, text) in files::read(&[".md"]) {
        for target in targets(&text) {
            links += 1;
            faults.extend(fault(&document, &text, target));
        }
    }
    assert!(links > 40, "only {links} links were found: the search is broken");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The headings of documents that comments of a source file cite, each as `file.md#heading`.
fn cited(text: &str) -> Vec<&str> {
    let comments = text.lines().filter(|line| line.trim_start().starts_with("//"));
    let words =
        comments.flat_map(str::split_whitespace).map(|word| word.trim_matches(['`', '(', ')', '.', ',', ';', ':']));
    words.filter(|word| word.contains(".md#") && !word.contains("](")).collect()
}

#[test]
fn every_heading_that_a_comment_cites_is_there() {
    let mut faults = Vec::new();
    let mut citations = 0;
    for (file, text) in files::read(&[".rs"]).into_iter().filter(|(file, _)| !file.starts_with("tests/tests/tidy/")) {
        for target in cited(&text) {
            citations += 1;
            // From the root, whichever folder the file is in.
            faults.extend(fault("README.md", "", target).map(|fault| format!("{file}: {fault}")));
        }
    }
    assert!(citations > 10, "only {citations} citations were found: the search is broken");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_dead_link_is_found() {
    let text =
        "# A word\n[one](README.md) [two](gone.md) [three](#a-word) [four](#another)\n```\n[five](gone.md)\n```\n";
    let faults: Vec<_> = targets(text).into_iter().filter_map(|target| fault("CHANGELOG.md", text, target)).collect();
    assert_eq!(
        faults,
        ["CHANGELOG.md: no file at the link `gone.md`", "CHANGELOG.md: no heading at the link `#another`"]
    );
    let source = "//! See `README.md#nowhere`.\nlet not_cited = \"README.md#nowhere\";\n";
    let faults: Vec<_> = cited(source).into_iter().filter_map(|target| fault("README.md", "", target)).collect();
    assert_eq!(faults, ["README.md: no heading at the link `README.md#nowhere`"]);
}
