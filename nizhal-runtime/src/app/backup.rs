//! The verb `backup`: a copy of a SQLite file, or what to run on Postgres.

use super::{Nizhal, StartError, print::print_line};
use crate::settings::Settings;
use nizhal_core::create_private;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// The name of a dump where none is given.
const DUMP: &str = "nizhal.dump";

impl Nizhal {
    /// Copies the database's file while others go on, or says how Postgres' own programs do it.
    pub(super) async fn backup(mut self, settings: Settings, file: Option<PathBuf>) -> Result<(), StartError> {
        let store = self.store(&settings).await?;
        if let Some(schema) = store.schema_name() {
            store.close().await;
            print_line(&commands(&schema, &file.unwrap_or_else(|| DUMP.into())));
            return Ok(());
        }
        let file = file.ok_or(StartError::BackupWithoutFile)?;
        let failed = |cause| StartError::BackupFile { file: file.display().to_string(), cause };
        // For its owner alone: it holds everybody's rows and the secret of the cursors.
        create_private(&file).map_err(failed)?;
        if let Err(cause) = store.copy_to(&file).await {
            let _ = fs::remove_file(&file);
            return Err(StartError::Backup(cause));
        }
        store.close().await;
        File::open(&file).and_then(|file| file.sync_all()).map_err(failed)?;
        print_line(&format!("{} is a copy of the database as it was at one moment", file.display()));
        Ok(())
    }
}

/// What to run on Postgres. All but the dump is a comment, so that a shell that reads it makes a backup and nothing else.
fn commands(schema: &str, file: &Path) -> String {
    let file = word(&file.display().to_string());
    let only = if schema == "public" { String::new() } else { format!(" --schema={}", word(schema)) };
    format!(
        "# A backup, while servers go on; DATABASE_URL leads past poolers, and pg_dump is as new as the server:\n\
         (umask 077 && pg_dump --format=custom{only} --file={file} --dbname=\"$DATABASE_URL\")\n\
         # A restore, once every server is stopped; every device starts again by itself, and sends what it has not had an answer to:\n\
         # pg_restore --clean --if-exists --single-transaction --exit-on-error --dbname=\"$DATABASE_URL\" {file}"
    )
}

/// A word of a shell.
fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_names_as_they_are() {
        let text = commands("it's $ours", Path::new("a b.dump"));
        let runs: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let wanted = r#"(umask 077 && pg_dump --format=custom --schema='it'\''s $ours' --file='a b.dump' --dbname="$DATABASE_URL")"#;
        assert_eq!(runs, [wanted]);
        assert!(!commands("public", Path::new("x")).contains("--schema"));
    }
}
