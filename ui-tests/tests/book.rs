//! What the book says that the compiler says is what it says.
//!
//! A line `<!-- said: rules/no_bucket -->` stands before each picture, and names the blessed file that the picture shows.
//! `NIZHAL_BLESS=1 cargo test -p nizhal-ui-tests --test book` pastes them anew.

use std::{fs, path::Path};

const MARK: &str = "<!-- said: ";

/// The page with each picture as the blessed files have it, and how many it has.
fn painted(page: &str, root: &Path) -> (String, usize) {
    let mut parts = page.split(MARK);
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut pictures = 0;
    for part in parts {
        let (name, rest) = part.split_once(" -->\n\n```text\n").expect("a name, then a picture");
        let (_, rest) = rest.split_once("\n```").expect("the picture's end");
        let file = root.join(format!("fail/{name}.stderr"));
        let said = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        out.push_str(&format!("{MARK}{name} -->\n\n```text\n{}\n```{rest}", said.trim_end()));
        pictures += 1;
    }
    (out, pictures)
}

#[test]
fn pictures_are_what_the_compiler_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (page, wanted) in [("table", 2), ("mutator", 1), ("rules", 5)] {
        let path = root.join(format!("../book/src/{page}.md"));
        let text = fs::read_to_string(&path).expect("a page");
        let (painted, pictures) = painted(&text, root);
        assert!(pictures >= wanted, "{page} has {pictures} pictures");
        assert_eq!(text.matches("```text\nerror").count(), pictures, "{page}: a picture without `{MARK}… -->`");
        if std::env::var_os("NIZHAL_BLESS").is_some() {
            fs::write(&path, painted).expect("written");
        } else {
            assert!(text == painted, "{page}.md shows what the compiler says no more; NIZHAL_BLESS=1 pastes it anew");
        }
    }
}
