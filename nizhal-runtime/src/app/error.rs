//! Why an app does not start: one sentence for whoever started it.

use crate::{
    auth::{IssueError, JwksError},
    blob::BlobStoreError,
    http::{ListenError, VersionError},
    schema::SchemaError,
    settings::{DatabaseUrl, SettingsError},
    store::StoreError,
};
use std::error::Error;

/// Why an app does not start, or a verb did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The app's parts do not fit together.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// No `.rules(...)`.
    #[error("the app has no rules, so nothing says what its tokens carry: add .rules(...)")]
    NoRules,
    /// `.contract_version` or `.min_client_version`.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The database cannot be opened.
    #[error("the database {url} cannot be opened (DATABASE_URL)")]
    Connect {
        /// Its URL.
        url: DatabaseUrl,
        /// Why.
        #[source]
        cause: StoreError,
    },
    /// Provisioning failed.
    #[error("the database cannot be brought to the app's schema")]
    Provision(#[source] StoreError),
    /// Development on a database that somebody else filled.
    #[error(
        "the table `{table}` holds rows and Nizhal was never here, and a development start changes tables and seeds them: run \
         `plan` to see what would change, then `migrate`, then start again"
    )]
    ForeignRows {
        /// A table of the app that has rows.
        table: &'static str,
    },
    /// Production on a database that lacks something.
    #[error("the database lacks {statements} statements of the app's schema: run `migrate` first (`plan` prints them)")]
    NotProvisioned {
        /// How many statements `migrate` would run.
        statements: usize,
    },
    /// A contract that installed clients could not survive.
    #[error(
        "clients of contract {version} could not work with this one:\n{}\nGo on with additive changes alone; or raise \
         .contract_version(...) and set .min_client_version(...) above {version}, so that they are told to update; or set \
         NIZHAL_ALLOW_BREAKING=on when there are none",
        list(breaks)
    )]
    BreakingContract {
        /// The version that they were built against.
        version: String,
        /// What they would trip over.
        breaks: Vec<String>,
    },
    /// `contract --check` or `--write` and the file.
    #[error("the contract file {file} cannot be used: write it with `contract --write` and commit it")]
    ContractFile {
        /// Its path.
        file: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// `reset` without `--yes`.
    #[error(
        "`reset` makes the engine's parts anew and lets every device start again; the app's rows stay: write `reset --yes` if you mean it"
    )]
    NotConfirmed,
    /// `drop-tables` without the app's name.
    #[error(
        "`drop-tables` drops {tables} and loses all that is in them: write `drop-tables --confirm {app}` if you mean it"
    )]
    DropNotConfirmed {
        /// The tables.
        tables: String,
        /// The app.
        app: String,
    },
    /// `backup` of a SQLite file without a file to make.
    #[error("`backup` copies the database into a file that is not there yet: write `backup FILE`")]
    BackupWithoutFile,
    /// The file of a backup cannot be made.
    #[error("the file {file} cannot be made: name one that is not there yet, in a directory that can be written")]
    BackupFile {
        /// Its path.
        file: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The database could not be copied.
    #[error("the database cannot be copied")]
    Backup(#[source] StoreError),
    /// The seed failed.
    #[error("the seed failed")]
    Seed(#[source] nizhal_core::Error),
    /// `jobs run-once` stopped at the database.
    #[error("the jobs could not be run")]
    Jobs(#[source] StoreError),
    /// The listener failed.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// `token` in production.
    #[error(
        "`token` is for development and NIZHAL_ENV is production: let your identity provider sign tokens with \
         NIZHAL_AUTH_SECRET"
    )]
    TokenInProduction,
    /// `NIZHAL_JWKS` names a file that cannot be used.
    #[error(transparent)]
    Jwks(#[from] JwksError),
    /// `token` where an issuer signs.
    #[error("`token` signs with NIZHAL_AUTH_SECRET, and NIZHAL_JWKS says that an issuer signs tokens: ask it for one")]
    TokenOfIssuer,
    /// `token` without a secret.
    #[error(
        "`token` needs the secret of the running server, which made one for itself: set NIZHAL_AUTH_SECRET to the same \
         text for both `serve` and `token`"
    )]
    TokenWithoutSecret,
    /// `NIZHAL_BLOBS` names a store that cannot be used.
    #[error(transparent)]
    Blobs(#[from] BlobStoreError),
    /// Claims that are not the app's.
    #[error("the claims do not fit the app's claims type: {0}")]
    Claims(String),
    /// A token could not be signed.
    #[error("a token cannot be signed")]
    Issue(#[from] IssueError),
}

impl StartError {
    /// The error and its causes in one sentence.
    pub fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let more = error.to_string();
            // Libraries often repeat their causes in their own text.
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = error.source();
        }
        text
    }
}

fn list(breaks: &[String]) -> String {
    breaks.iter().map(|one| format!("  - {one}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::DbErr;

    #[test]
    fn causes_are_told_once() {
        let cause = StoreError::Unavailable(DbErr::Custom("connection refused".to_owned()));
        let error = StartError::Connect { url: "postgres://u:hunter2@db/app".into(), cause };
        assert_eq!(
            error.sentence(),
            "the database postgres://u:…@db/app cannot be opened (DATABASE_URL): the database is unavailable: Custom \
             Error: connection refused"
        );
        assert_eq!(StartError::NoRules.sentence(), StartError::NoRules.to_string());
    }
}
