//! The file of an image while it is made: rows as they come, then tables in the order of their keys, then all of it compressed.
//!
//! A device inserts the rows in the order in which the file has them, and its own tables grow at their end only if that is the order of
//! the keys. So the rows are put aside first.

use super::error::StoreError;
use flate2::{Compression, write::GzEncoder};
use nizhal_core::{
    BlobHash, Bucket, Rule, create_private,
    image::{CREATE_META, CREATE_UNREAD, FORMAT},
    local::{
        LocalTable,
        cell::{self, ReadRows, Rows},
        names,
    },
    sql::{literal, quote},
    wire::Batch,
};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, SqlxSqliteConnector, Statement, TransactionTrait, Value,
};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// How many values one statement carries, so that SQLite's limit of parameters is far.
const MAX_VALUES: usize = 1_000;

/// What a file says of itself.
#[derive(Clone, Debug)]
pub struct ImageMeta {
    /// The bucket.
    pub bucket: Bucket,
    /// The version up to which it has the bucket's rows.
    pub version: i64,
    /// The epoch that the version belongs to.
    pub epoch: String,
    /// The rule's tag.
    pub tag: String,
    /// The shape of its tables.
    pub shape: String,
    /// The same, sealed.
    pub seal: String,
}

/// An image's file, ready to be kept. It is deleted when this is dropped.
#[derive(Debug)]
pub struct PackedImage {
    file: ScratchFile,
    /// How many bytes it has.
    pub size: i64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// How many rows are in it.
    pub rows: i64,
}

impl PackedImage {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file.0
    }
}

/// How the names of these files begin.
const SCRATCH: &str = "nizhal-image-";

/// How old a file is that nobody works on: no image takes so long to make.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes files that a server was making when it was killed, by the time that the system gave them. What cannot be removed, such as
/// another user's, is left.
///
/// # Errors
/// When the folder of the system's temporary files cannot be read.
pub(crate) fn remove_abandoned() -> io::Result<()> {
    let Some(before) = SystemTime::now().checked_sub(ABANDONED) else { return Ok(()) };
    for entry in std::fs::read_dir(std::env::temp_dir())?.flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(SCRATCH.as_bytes());
        let written = entry.metadata().and_then(|meta| meta.modified());
        if is_ours && written.is_ok_and(|at| at < before) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// A file that goes when it is done with.
#[derive(Debug)]
struct ScratchFile(PathBuf);

impl ScratchFile {
    fn create(path: PathBuf) -> io::Result<Self> {
        create_private(&path)?;
        Ok(Self(path))
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "a temporary file of an image cannot be deleted");
        }
    }
}

/// A file in the making.
pub struct ImageWriter {
    tables: Vec<LocalTable>,
    pool: SqlitePool,
    tx: DatabaseTransaction,
    rows: i64,
    path: PathBuf,
    // Dropped after the connection to it.
    _scratch: ScratchFile,
}

impl ImageWriter {
    /// Begins a file of this rule's rows, among the system's temporary files.
    ///
    /// # Errors
    /// When files cannot be made there.
    pub async fn create(rule: &Rule) -> Result<Self, StoreError> {
        let path = std::env::temp_dir().join(format!("{SCRATCH}{}", uuid::Uuid::new_v4().simple()));
        let scratch = ScratchFile::create(path.with_extension("rows")).map_err(unwritable)?;
        let options = SqliteConnectOptions::new()
            .filename(&scratch.0)
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off);
        let one = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = one.connect_with(options).await?;
        let tx = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone()).begin().await?;
        let tables: Vec<_> = rule.tables.iter().map(|synced| LocalTable::new(synced.table)).collect();
        for table in &tables {
            // Without a key, so that rows are only appended; without types, so that values stay as they are bound.
            tx.execute_unprepared(&format!("create table {} ({})", table.name(), names(table.carried()))).await?;
        }
        tx.execute_unprepared(CREATE_UNREAD).await?;
        Ok(Self { tables, pool, tx, rows: 0, path, _scratch: scratch })
    }

    /// Adds a line of rows.
    ///
    /// # Errors
    /// When it is no line, or cannot be written.
    pub async fn add(&mut self, line: &[u8]) -> Result<(), StoreError> {
        let batch: Batch<'_> = serde_json::from_slice(line).map_err(|error| malformed(&error))?;
        let Some(table) = self.tables.iter().find(|table| table.desc.name == batch.table) else { return Ok(()) };
        let ReadRows { groups, unreadable } = cell::rows(table, batch.rows).map_err(|error| malformed(&error))?;
        for rows in groups {
            self.rows += insert(&self.tx, table, rows).await?;
        }
        if !unreadable.is_empty() {
            self.add_unread(table, batch.rows).await?;
        }
        Ok(())
    }

    /// Keeps the rows as they are of which a cell cannot be read, for a device to leave out by name.
    async fn add_unread(&self, table: &LocalTable, rows: &RawValue) -> Result<(), StoreError> {
        let rows: Vec<&RawValue> = serde_json::from_str(rows.get()).map_err(|error| malformed(&error))?;
        for row in rows {
            let alone = RawValue::from_string(format!("[{}]", row.get())).map_err(|error| malformed(&error))?;
            if !cell::rows(table, &alone).map_err(|error| malformed(&error))?.unreadable.is_empty() {
                let sql = "insert into _nizhal_unread (tbl, rows) values ($1, $2)";
                run(&self.tx, sql, [table.desc.name.into(), alone.get().into()]).await?;
            }
        }
        Ok(())
    }

    /// How many rows there are until now.
    pub fn row_count(&self) -> i64 {
        self.rows
    }

    /// Ends the file and packs it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn finish(self, meta: &ImageMeta) -> Result<PackedImage, StoreError> {
        let Self { tables, pool, tx, rows, path, _scratch } = self;
        tx.commit().await?;
        let plain = ScratchFile::create(path.with_extension("db")).map_err(unwritable)?;
        let db = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone());
        db.execute_unprepared(&format!("attach database {} as image", literal(&plain.0.to_string_lossy()))).await?;
        db.execute_unprepared("pragma image.journal_mode = off; pragma image.synchronous = off").await?;
        for table in &tables {
            let to = format!("image.{}", table.name());
            db.execute_unprepared(&table.create_as(&to)).await?;
            let (all, keys) = (names(table.carried()), names(table.keys()));
            let fill = format!("insert into {to} ({all}) select {all} from main.{} order by {keys}", table.name());
            db.execute_unprepared(&fill).await?;
        }
        for create in [CREATE_META, CREATE_UNREAD] {
            db.execute_unprepared(&create.replacen("create table ", "create table image.", 1)).await?;
        }
        db.execute_unprepared("insert into image._nizhal_unread select * from main._nizhal_unread").await?;
        let ImageMeta { bucket, version, epoch, tag, shape, seal } = meta.clone();
        let sql = "insert into image._nizhal_image (format, bucket, version, epoch, tag, shape, seal, rows) \
            values ($1, $2, $3, $4, $5, $6, $7, $8)";
        let values: [Value; 8] = [
            FORMAT.into(),
            bucket.qualified().into(),
            version.into(),
            epoch.into(),
            tag.into(),
            shape.into(),
            seal.into(),
            rows.into(),
        ];
        run(&db, sql, values).await?;
        pool.close().await;
        let packed = ScratchFile::create(path.with_extension("gz")).map_err(unwritable)?;
        let packing = tokio::task::spawn_blocking(move || {
            let (size, sha256) = pack(&plain.0, &packed.0)?;
            Ok::<_, io::Error>(PackedImage { file: packed, size, sha256, rows })
        });
        packing.await.map_err(io::Error::other).and_then(|packed| packed).map_err(unwritable)
    }
}

async fn insert(tx: &DatabaseTransaction, table: &LocalTable, rows: Rows) -> Result<i64, StoreError> {
    let width = rows.columns.len();
    let columns = names(rows.columns.iter().map(|&at| &table.columns[at]));
    let row = format!("({})", vec!["?"; width].join(","));
    let at_once = (MAX_VALUES / width).max(1);
    let (mut left, mut values) = (rows.values.len() / width, rows.values.into_iter());
    let count = i64::try_from(left).unwrap_or(i64::MAX);
    let head = format!("insert into {} ({columns}) values ", quote(table.desc.name));
    let whole = head.clone() + &vec![row.as_str(); at_once].join(",");
    while left >= at_once {
        run(tx, &whole, values.by_ref().take(at_once * width)).await?;
        left -= at_once;
    }
    while left > 0 {
        run(tx, &(head.clone() + &row), values.by_ref().take(width)).await?;
        left -= 1;
    }
    Ok(count)
}

async fn run(db: &impl ConnectionTrait, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<(), StoreError> {
    db.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)).await?;
    Ok(())
}

/// Compresses a file; the length of what came of it, and its SHA-256.
fn pack(plain: &Path, packed: &Path) -> io::Result<(i64, String)> {
    let mut reader = File::open(plain)?;
    let out = Hashed { inner: BufWriter::new(File::create(packed)?), sha256: Sha256::new(), size: 0 };
    let mut encoder = GzEncoder::new(out, Compression::default());
    let mut piece = vec![0; 64 * 1024];
    loop {
        match reader.read(&mut piece)? {
            0 => break,
            length => encoder.write_all(&piece[..length])?,
        }
    }
    let mut out = encoder.finish()?;
    out.flush()?;
    let sha256 = BlobHash::new(out.sha256.finalize().into()).to_string();
    Ok((out.size, sha256))
}

/// A writer that counts and hashes what passes.
struct Hashed<W> {
    inner: W,
    sha256: Sha256,
    size: i64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.sha256.update(&bytes[..length]);
        self.size += i64::try_from(length).unwrap_or_default();
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn unwritable(error: io::Error) -> StoreError {
    sqlx::Error::Io(error).into()
}

fn malformed(error: &dyn std::error::Error) -> StoreError {
    sqlx::Error::Decode(error.to_string().into()).into()
}
