//! The `nizhal` command: what can be done to an app's source without running it.

mod check;

use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

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
}

fn main() -> ExitCode {
    let Verb::Check { paths } = Command::parse().verb;
    match check::run(&paths, &mut std::io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
