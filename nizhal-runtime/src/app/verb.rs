//! The verbs of an app's binary, and `.run()`, which reads and runs one.

use super::{
    Nizhal, StartError,
    build::{connect, provision},
    contract::FileVerb,
    log::observe,
    print::print_line,
};
use crate::contract::Contract;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    time::Duration,
};

#[derive(Debug, Parser)]
#[command(name = "app")]
struct CliArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// Where the contract is committed.
const CONTRACT_FILE: &str = "nizhal.contract.json";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve until stopped; this is the default.
    Serve,
    /// Bring the database to the app's schema.
    Migrate {
        /// What the app was called when it provisioned the database last.
        #[arg(long, value_name = "APP")]
        renamed_from: Option<String>,
        /// Go back to this build's sync rules, which another build replaced: its servers stop.
        #[arg(long)]
        back: bool,
    },
    /// Print the SQL that `migrate` would run.
    Plan,
    /// Copy the database: a SQLite file while servers go on; on Postgres, print what to run.
    Backup {
        /// The file to make.
        file: Option<PathBuf>,
    },
    /// Print the contract as OpenAPI 3.1.
    Contract {
        /// Compare with a committed contract instead: additive changes pass, changes that clients could not survive fail.
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = CONTRACT_FILE, conflicts_with = "write")]
        check: Option<PathBuf>,
        /// Write it to a file, to be committed.
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = CONTRACT_FILE)]
        write: Option<PathBuf>,
    },
    /// The database's epoch: which history its cursors belong to.
    Epoch {
        #[command(subcommand)]
        what: EpochVerb,
    },
    /// Make the engine's parts anew around the app's rows, which stay. Every device starts again.
    Reset {
        /// Say that you mean it.
        #[arg(long)]
        yes: bool,
    },
    /// Drop every table of the app, with all that is in them; `migrate` makes them anew, empty. Asks first.
    DropTables {
        /// Say that you mean it by the app's name, where nobody can be asked.
        #[arg(long, value_name = "APP")]
        confirm: Option<String>,
    },
    /// Run jobs from elsewhere than a server, such as cron.
    Jobs {
        #[command(subcommand)]
        verb: JobsVerb,
    },
    /// Print a signed token, for development.
    Token {
        /// The claims, as name=value: userId=u1 ownerId=o1.
        #[arg(value_name = "NAME=VALUE")]
        claims: Vec<String>,
        /// How long the token is good, in hours.
        #[arg(long, default_value_t = 24, value_name = "HOURS")]
        ttl_hours: u32,
    },
}

#[derive(Debug, Subcommand)]
enum EpochVerb {
    /// Give the database a new epoch: every device drops what it holds and pulls again, and replays its outbox.
    New,
}

#[derive(Debug, Subcommand)]
enum JobsVerb {
    /// Run every job that is due now, and exit.
    RunOnce,
}

impl Nizhal {
    /// Runs the verb on the command line: `serve` (default), `migrate`, `plan`, `backup`, `contract`, `jobs run-once`, `epoch new`,
    /// `reset`, `drop-tables` or `token`.
    ///
    /// What goes wrong is printed to stderr as one sentence and ends the process with status 1, so that `main` shows
    /// no `Debug` text; [`try_run`](Self::try_run) returns it instead.
    ///
    /// # Errors
    /// None: it is a `Result` so that it can end `main`.
    pub async fn run(self) -> nizhal_core::Result<()> {
        observe();
        if let Err(error) = Box::pin(self.try_run(std::env::args_os())).await {
            let _ = writeln!(io::stderr(), "error: {}", error.sentence());
            std::process::exit(1);
        }
        Ok(())
    }

    /// The same with another command line (its first word is the program), and errors to look at.
    ///
    /// # Errors
    /// [`StartError`] when the verb did not do its work. A command line that does not read ends the process, as a
    /// request for help does.
    pub async fn try_run(mut self, args: impl IntoIterator<Item = OsString>) -> Result<(), StartError> {
        let command = CliArgs::command().about(format!("{}, a Nizhal sync server", self.name));
        let args = CliArgs::from_arg_matches(&command.get_matches_from(args)).unwrap_or_else(|error| error.exit());
        let settings = self.resolve_settings()?;
        match args.verb.unwrap_or(Verb::Serve) {
            Verb::Serve => Box::pin(self.serve(settings)).await,
            Verb::Migrate { renamed_from, back } => {
                let (gate, schema) = (self.gate()?, self.schema()?);
                let contract = Contract::new(&self.name, &self.contract_version, &schema);
                let store = connect(&self.name, &settings, schema).await?.with_renamed(renamed_from);
                let store = store.going_forward(!back);
                let statements = provision(&store, &contract, &gate, &settings).await?;
                store.close().await;
                print_line(&match statements {
                    0 => "nothing to do: the database has the app's schema".to_owned(),
                    _ => format!("{statements} statements ran: the database has the app's schema"),
                });
                Ok(())
            }
            Verb::Plan => {
                let store = self.store(&settings).await?;
                let plan = store.plan().await.map_err(StartError::Provision)?;
                store.close().await;
                if plan.is_empty() {
                    // Not on stdout: what is printed there is SQL to be run.
                    let _ = writeln!(io::stderr(), "nothing to do: the database has the app's schema");
                }
                for statement in plan {
                    print_line(&format!("{};\n", statement.trim().trim_end_matches(';')));
                }
                Ok(())
            }
            Verb::Backup { file } => Box::pin(self.backup(settings, file)).await,
            Verb::Contract { check, write } => {
                let check = check.as_deref().map(|file| (FileVerb::Check, file));
                self.contract(check.or(write.as_deref().map(|file| (FileVerb::Write, file))))
            }
            Verb::Epoch { what: EpochVerb::New } => {
                let store = self.store(&settings).await?;
                let epoch = store.new_epoch().await.map_err(StartError::Provision)?;
                store.close().await;
                print_line(&format!("the epoch is {epoch} now: every device starts again at its next pull"));
                Ok(())
            }
            Verb::Reset { yes: false } => Err(StartError::NotConfirmed),
            Verb::Reset { yes: true } => {
                let store = self.store(&settings).await?;
                store.reset().await.map_err(StartError::Provision)?;
                store.close().await;
                print_line("the engine's parts were made anew: every device starts again at its next pull");
                Ok(())
            }
            Verb::DropTables { confirm } => {
                let schema = self.schema()?;
                let tables: Vec<String> = schema.tables().iter().map(|table| format!("`{}`", table.name)).collect();
                let tables = tables.join(", ");
                let confirmed =
                    confirm.or_else(|| read_app_name(&self.name, &tables, &settings.database_url.to_string()));
                if confirmed.as_deref() != Some(&*self.name) {
                    return Err(StartError::DropNotConfirmed { tables, app: self.name.clone() });
                }
                let store = connect(&self.name, &settings, schema).await?;
                store.drop_tables().await.map_err(StartError::Provision)?;
                store.close().await;
                print_line(&format!("{tables} were dropped, and the engine's parts with them"));
                Ok(())
            }
            Verb::Jobs { verb: JobsVerb::RunOnce } => Box::pin(self.run_jobs_once(settings)).await,
            Verb::Token { claims, ttl_hours } => {
                let ttl = Duration::from_secs(u64::from(ttl_hours) * 3600);
                print_line(&self.token(&settings, &claims, ttl)?);
                Ok(())
            }
        }
    }
}

/// Reads the app's name at the terminal; nothing where there is none.
fn read_app_name(app: &str, tables: &str, database: &str) -> Option<String> {
    if !io::stdin().is_terminal() {
        return None;
    }
    let _ =
        write!(io::stderr(), "This drops {tables} of {database}, with all that is in them.\nWrite `{app}` to go on: ");
    let mut line = String::new();
    io::stdin().read_line(&mut line).ok()?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<CliArgs, clap::Error> {
        CliArgs::try_parse_from([&["ledger"], words].concat())
    }

    #[test]
    fn verbs() {
        CliArgs::command().debug_assert();
        assert!(parse(&[]).unwrap().verb.is_none());
        assert!(matches!(parse(&["serve"]).unwrap().verb, Some(Verb::Serve)));
        assert!(matches!(parse(&["jobs", "run-once"]).unwrap().verb, Some(Verb::Jobs { .. })));
        assert!(parse(&["jobs"]).is_err());
        let token = parse(&["token", "userId=u1", "ownerId=o1", "--ttl-hours", "1"]).unwrap().verb;
        assert!(matches!(token, Some(Verb::Token { claims, ttl_hours: 1 }) if claims.len() == 2));
        assert!(matches!(parse(&["epoch", "new"]).unwrap().verb, Some(Verb::Epoch { what: EpochVerb::New })));
        assert!(parse(&["epoch"]).is_err());
        assert!(matches!(parse(&["reset"]).unwrap().verb, Some(Verb::Reset { yes: false })));
        let drop = parse(&["drop-tables", "--confirm", "ledger"]).unwrap().verb;
        assert!(matches!(drop, Some(Verb::DropTables { confirm: Some(app) }) if app == "ledger"));
        assert!(matches!(parse(&["drop-tables"]).unwrap().verb, Some(Verb::DropTables { confirm: None })));
        assert!(matches!(parse(&["backup", "x.db"]).unwrap().verb, Some(Verb::Backup { file: Some(_) })));
        assert!(parse(&["fly"]).is_err());
    }
}
