//! The `nizhal` command: what can be done to an app without running it.

mod check;
mod explain;
mod r#gen;

use clap::{Parser, Subcommand};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Parser)]
#[command(name = "nizhal", version, about = "Tools for Nizhal apps")]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Checks tables, mutators, claims and sync rules in Rust files, without compiling them.
    Check {
        /// Files, or folders that are searched for `.rs` files.
        #[arg(default_value = "src")]
        paths: Vec<PathBuf>,
    },
    /// Explains a message's code, `NZ041`, with an example; without a code, lists all.
    Explain {
        /// The code: `NZ041`, or `41`.
        code: Option<String>,
    },
    /// Writes typed clients from an app's contract.
    Gen {
        #[command(subcommand)]
        language: Language,
    },
}

#[derive(Subcommand)]
enum Language {
    /// TypeScript for `@nizhal/db-collection`: rows, mutator arguments, client and collections.
    Ts {
        /// A contract's file, a server such as `http://localhost:4000`, or `-` for standard input.
        #[arg(long)]
        from: String,
        /// Where to write; standard output when left out.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Writes nothing: fails when `--out` is not what would be written.
        #[arg(long, requires = "out")]
        check: bool,
    },
}

fn main() -> ExitCode {
    let done = match Command::parse().verb {
        Verb::Check { paths } => check::run(&paths, &mut std::io::stdout().lock()).map_err(|error| error.to_string()),
        Verb::Explain { code } => explain::run(code.as_deref(), &mut std::io::stdout().lock()).map(|()| true),
        Verb::Gen { language: Language::Ts { from, out, check } } => gen_ts(&from, out.as_deref(), check),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn gen_ts(from: &str, out: Option<&Path>, check: bool) -> Result<bool, String> {
    let text = r#gen::typescript(&r#gen::read(from).map_err(|error| error.to_string())?);
    let Some(out) = out else {
        return std::io::stdout().write_all(text.as_bytes()).map(|()| true).map_err(|error| error.to_string());
    };
    let shown = out.display();
    if check {
        let fresh = std::fs::read_to_string(out).is_ok_and(|found| found == text);
        if !fresh {
            eprintln!("{shown} is not what the contract says: run `nizhal gen ts --from {from} --out {shown}`");
        }
        return Ok(fresh);
    }
    std::fs::write(out, text).map(|()| true).map_err(|error| format!("cannot write {shown}: {error}"))
}
