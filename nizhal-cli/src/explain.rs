//! `nizhal explain`: what a code of the catalogue means, with an example, or all codes.

use nizhal_syntax::Code;
use std::{fmt::Write as _, io};

/// How many codes are named when the one asked for does not exist.
const NEAR: usize = 3;

/// Prints what a code means, or the list of all.
///
/// # Errors
/// What to ask for instead, when there is no such code.
pub(crate) fn run(code: Option<&str>, out: &mut impl io::Write) -> Result<(), String> {
    let text = match code {
        Some(code) => explained(find(code)?),
        None => code_list(),
    };
    out.write_all(text.as_bytes()).map_err(|error| error.to_string())
}

/// The code of `NZ041`, `nz41` or `41`.
fn find(code: &str) -> Result<Code, String> {
    let digits = code.trim().trim_start_matches(['N', 'Z', 'n', 'z']);
    let Ok(number) = digits.parse::<u16>() else {
        return Err(format!(
            "`{code}` is no code: a code is `NZ` and a number, such as NZ041; `nizhal explain` lists all"
        ));
    };
    if let Some(code) = Code::all().find(|code| code.number() == number) {
        return Ok(code);
    }
    let mut near: Vec<Code> = Code::all().collect();
    near.sort_by_key(|code| code.number().abs_diff(number));
    near.truncate(NEAR);
    near.sort();
    let near: Vec<String> = near.iter().map(|code| format!("    {code}  {}", code.title())).collect();
    Err(format!("there is no code {code}; `nizhal explain` lists all. Near it are\n{}", near.join("\n")))
}

fn explained(code: Code) -> String {
    let example = code.example();
    let (wrong, right) = (indented(&example.wrong), indented(&example.right));
    let (title, why) = (code.title(), code.explanation());
    format!("{code}: {title}\n\n{why}\n\nWrong:\n\n{wrong}\nRight:\n\n{right}")
}

fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "    {line}");
        all
    })
}

fn code_list() -> String {
    let mut text = String::new();
    for (part, codes) in Code::PARTS {
        let _ = writeln!(text, "{part}");
        for code in *codes {
            let _ = writeln!(text, "    {code}  {}", code.title());
        }
        text.push('\n');
    }
    text.push_str("`nizhal explain NZ041` says why one of them is a mistake, and what to write.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained_text(code: Option<&str>) -> Result<String, String> {
        let mut out = Vec::new();
        run(code, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_code_is_explained_with_an_example() {
        let text = explained_text(Some("NZ040")).unwrap();
        assert_eq!(
            text,
            "NZ040: a table that is not scoped by every parameter\n\n\
             Rows would reach actors of other buckets. This is the check that the others serve.\n\n\
             Wrong:\n\n    Customer;\n\n\
             Right:\n\n    Customer where Customer.shop_id == shop_id;\n"
        );
        assert_eq!((explained_text(Some("nz40")), explained_text(Some("40"))), (Ok(text.clone()), Ok(text)));
    }

    #[test]
    fn an_unknown_code_is_told_with_those_near_it() {
        let error = explained_text(Some("NZ029")).unwrap_err();
        assert!(error.starts_with("there is no code NZ029; `nizhal explain` lists all."), "{error}");
        let near: Vec<&str> = error.lines().skip(1).map(|line| &line[4..9]).collect();
        assert_eq!(near, ["NZ027", "NZ028", "NZ030"]);
        assert!(explained_text(Some("E0277")).unwrap_err().contains("a code is `NZ` and a number"));
    }

    #[test]
    fn the_list_has_every_code() {
        let text = explained_text(None).unwrap();
        for code in Code::all() {
            assert!(text.contains(&format!("    {code}  {}\n", code.title())), "{code}");
        }
    }
}
