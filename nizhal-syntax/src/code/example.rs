//! An example of each message: what is wrong, and the same put right.
//!
//! They stand in `examples.txt`, under their codes, as a patch has them: `-` before what is wrong, `+` before what is right.

use super::Code;

const EXAMPLES: &str = include_str!("examples.txt");

/// What a message is about, as code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// What the message is said of.
    pub wrong: String,
    /// The same put right.
    pub right: String,
}

impl Code {
    /// The example of the catalogue.
    pub fn example(self) -> Example {
        let code = self.to_string();
        let own = EXAMPLES.lines().skip_while(|line| *line != code).skip(1).take_while(|line| !line.is_empty());
        let lines = |sign: &str| own.clone().filter_map(|line| line.strip_prefix(sign)).collect::<Vec<_>>().join("\n");
        Example { wrong: lines("- "), right: lines("+ ") }
    }
}
