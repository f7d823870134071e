//! Images: files with the rows of a bucket, laid under the pending mutations in the transaction of the pull that names them.
//!
//! A file is attached before the transaction begins, since its tables are read like those of the store itself, and its rows go from one
//! database into the other without becoming values of this program.
//!
//! Decision: book/src/decisions/device.md#an-image-is-attached-and-copied

use super::{SqliteStore, StoreError, beside, ddl, ddl::names, error::is_duplicate, pull::IMAGE, tx::Tx};
use nizhal_core::image::{FORMAT, shape};
use nizhal_core::local::{LocalColumn, LocalTable, cell};
use nizhal_core::sql::{literal, quote};
use nizhal_core::wire::ImageRef;
use nizhal_core::{Date, DateTimeUtc, SqlType, Time, Uuid};
use sea_orm::{DbErr, QueryResult, Value};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use std::path::{Path, PathBuf};
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// The file of an image, unpacked and checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalImage {
    /// The bucket, as `rule:value`.
    pub bucket: String,
    /// The version up to which it has the bucket's rows.
    pub version: i64,
    /// Where it is.
    pub path: PathBuf,
}

/// An image that came with the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// What it says of itself, for the server to check.
    pub seal: String,
    /// The image.
    pub image: LocalImage,
}

/// What a file says of itself.
struct Meta {
    bucket: String,
    version: i64,
    shape: String,
    seal: String,
}

/// The files beside a store, and the seeds that it was given.
#[derive(Debug)]
pub(super) struct ImageFiles {
    /// What the names of files begin with.
    prefix: PathBuf,
    seeds: Vec<PathBuf>,
    /// How far the downloads of one file came.
    reached: Mutex<Reached>,
    /// Whether the store is in memory: nobody opens it again, and what it leaves behind is left for good.
    is_temporary: bool,
    /// Whether files may be there that nobody waits for once a snapshot is complete.
    unclean: AtomicBool,
}

/// How far the downloads of a file came.
#[derive(Debug, Default)]
struct Reached {
    sha256: String,
    /// The most bytes of it that were here.
    bytes: u64,
    /// How many downloads in a row brought no more.
    misses: u32,
}

impl Drop for ImageFiles {
    fn drop(&mut self) {
        if self.is_temporary && *self.unclean.get_mut() {
            self.clean(&[]);
        }
    }
}

impl ImageFiles {
    /// Those beside the store at this path; of one in memory, those that have a name of their own among the system's temporary files.
    pub(super) fn beside(path: Option<&Path>) -> Self {
        let prefix = match path {
            Some(path) => beside(path, ".image-"),
            None => std::env::temp_dir().join(format!("nizhal-{}.image-", Uuid::now_v7().simple())),
        };
        let (seeds, reached, unclean) = Default::default();
        Self { prefix, seeds, reached, is_temporary: path.is_none(), unclean }
    }

    fn path(&self, name: &str) -> PathBuf {
        beside(&self.prefix, name)
    }

    /// Deletes all files but these. One that stays is deleted another time.
    fn clean(&self, kept: &[LocalImage]) {
        let (Some(folder), Some(prefix)) = (self.prefix.parent(), self.prefix.file_name()) else { return };
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_ours = entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes());
            if is_ours
                && kept.iter().all(|image| image.path != path)
                && let Err(error) = std::fs::remove_file(&path)
            {
                tracing::warn!(%error, path = %path.display(), "a file of an image cannot be deleted");
            }
        }
    }
}

/// Images that are attached, the oldest first.
pub(super) struct Attached(Vec<LocalImage>);

impl Attached {
    /// Whether all images that a page names are among them.
    pub(super) fn have(&self, named: &[ImageRef]) -> bool {
        have(&self.0, named)
    }

    fn names(&self) -> impl Iterator<Item = String> {
        (0..self.0.len()).map(|at| format!("_nizhal_image_{at}"))
    }
}

/// Whether all images that a page names are among these.
pub(super) fn have(images: &[LocalImage], named: &[ImageRef]) -> bool {
    let is_there =
        |named: &ImageRef| images.iter().any(|image| image.bucket == named.bucket && image.version == named.version);
    named.iter().all(is_there)
}

impl SqliteStore {
    /// The same, with files that came with the app: images of buckets, as a server gave them out.
    #[must_use]
    pub fn with_seeds(mut self, seeds: Vec<PathBuf>) -> Self {
        self.image_files.seeds = seeds;
        self
    }

    /// Where the file of an image goes, and where it is while it comes.
    pub(crate) fn image_paths(&self, sha256: &str) -> (PathBuf, PathBuf) {
        self.image_files.unclean.store(true, Relaxed);
        (self.image_files.path(sha256), self.image_files.path(&format!("{sha256}.part")))
    }

    /// Notes how many bytes of a file are here after a download that failed; how many such downloads in a row brought no more.
    pub(crate) fn note_image_part(&self, sha256: &str, bytes: u64) -> u32 {
        let mut reached = self.image_files.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if reached.sha256 != sha256 {
            *reached = Reached { sha256: sha256.to_owned(), ..Reached::default() };
        }
        let is_further = bytes > reached.bytes;
        reached.bytes = reached.bytes.max(bytes);
        reached.misses = if is_further { 0 } else { reached.misses + 1 };
        reached.misses
    }

    /// Whether a file is the image that a server named, in tables like this store's.
    pub(crate) async fn is_image(&self, path: &Path, named: &ImageRef) -> bool {
        match read_meta(path).await {
            Ok(meta) => meta.bucket == named.bucket && meta.version == named.version && self.fits(&meta),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "a file is no image");
                false
            }
        }
    }

    /// Whether the tables of a rule are here as an image of that shape has them.
    pub(crate) fn has_shape(&self, bucket: &str, wanted: &str) -> bool {
        let rule = bucket.split(':').next().unwrap_or_default();
        let rule = self.schema.rules().iter().find(|known| known.name == rule);
        rule.and_then(|rule| shape(&rule.tables)).is_some_and(|own| own == wanted)
    }

    fn fits(&self, meta: &Meta) -> bool {
        self.has_shape(&meta.bucket, &meta.shape)
    }

    /// The seeds that this store can lay, unpacked. A file that is none is passed over: the server sends the rows.
    pub(super) async fn seeds(&self) -> Vec<Seed> {
        let mut seeds = Vec::new();
        for (at, packed) in self.image_files.seeds.iter().enumerate() {
            let path = self.image_files.path(&format!("seed-{at}"));
            self.image_files.unclean.store(true, Relaxed);
            let (from, to) = (packed.clone(), path.clone());
            let unpacked = tokio::task::spawn_blocking(move || crate::image::unpack(&from, &to, None)).await;
            let unpacked = unpacked.map_err(std::io::Error::other).and_then(|done| done);
            let read = match unpacked {
                Ok(_) => read_meta(&path).await,
                Err(error) => Err(error.into()),
            };
            match read {
                Ok(meta) if self.fits(&meta) => {
                    let image = LocalImage { bucket: meta.bucket, version: meta.version, path };
                    seeds.push(Seed { seal: meta.seal, image });
                }
                Ok(_) => tracing::warn!(path = %packed.display(), "a seed is of other tables than this app's"),
                Err(error) => tracing::warn!(%error, path = %packed.display(), "a seed cannot be read"),
            }
        }
        seeds
    }

    /// Deletes what is left once a snapshot is complete: images that were laid, seeds that the server passed over, and files
    /// that were of no use.
    pub(super) async fn clean_after_pull(&self) {
        if self.image_files.unclean.swap(false, Relaxed) {
            self.clean_images().await;
        }
    }

    /// Deletes files that no answer waits for any more.
    pub(super) async fn clean_images(&self) {
        // What cannot be asked is asked another time.
        if let Ok(staged) = self.staged_images().await {
            self.image_files.clean(&staged);
        }
    }

    /// The images of pages that wait for the end of their snapshot.
    async fn staged_images(&self) -> Result<Vec<LocalImage>, StoreError> {
        let sql = "select body from _nizhal_stage where kind = $1 order by n";
        let found: Vec<Vec<u8>> = sqlx::query_scalar(sql).bind(IMAGE).fetch_all(&self.writer).await?;
        found.iter().map(|body| serde_json::from_slice(body).map_err(|_| broken_stage())).collect()
    }

    /// Attaches images, and those of earlier pages, for the next transaction; none where a file is gone.
    pub(super) async fn attach(&self, images: Vec<LocalImage>) -> Result<Option<Attached>, StoreError> {
        let mut all = self.staged_images().await?;
        all.extend(images);
        // Also those of before a restart.
        self.image_files.unclean.fetch_or(!all.is_empty(), Relaxed);
        if !all.iter().all(|image| image.path.exists()) {
            return Ok(None);
        }
        // Of a row that moved meanwhile the later bucket's copy counts.
        all.sort_by_key(|image| image.version);
        let attached = Attached(all);
        for (image, name) in attached.0.iter().zip(attached.names()) {
            if let Err(error) = self.attach_one(image, &name).await {
                self.detach(&attached).await;
                return Err(error);
            }
        }
        Ok(Some(attached))
    }

    async fn attach_one(&self, image: &LocalImage, name: &str) -> Result<(), StoreError> {
        self.failpoints.fail()?;
        let sql = format!("attach database {} as {name}", literal(&uri(&image.path)));
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&self.writer).await?;
        Ok(())
    }

    /// Detaches them. A connection that was closed meanwhile has none.
    pub(super) async fn detach(&self, attached: &Attached) {
        for name in attached.names() {
            let sql = format!("detach database {name}");
            if let Err(error) = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&self.writer).await {
                // The next connection has none attached.
                self.guard.suspect();
                tracing::debug!(%error, "an image is not attached any more");
            }
        }
    }
}

impl Tx<'_> {
    /// Lays the rows of images.
    pub(super) async fn lay_images(&self, attached: &Attached) -> Result<(), StoreError> {
        for name in attached.names() {
            let sql = format!("select name from {name}.sqlite_schema where type = 'table'");
            let mut there = Vec::new();
            for row in self.all(&sql, []).await? {
                there.push(row.try_get::<String>("", "name")?);
            }
            for table in
                self.store.schema().tables().iter().filter(|table| there.iter().any(|own| own == table.desc.name))
            {
                self.lay_table(table, &name).await?;
            }
            self.lay_unread(&name).await?;
        }
        Ok(())
    }

    async fn lay_table(&self, table: &LocalTable, image: &str) -> Result<(), StoreError> {
        let from = format!("{image}.{}", table.name());
        if self.one(&format!("select 1 from {from} limit 1"), []).await?.is_none() {
            return Ok(());
        }
        self.store.guard.changed_tables().insert(table.desc.name.to_owned());
        let is_empty = self.one(&format!("select 1 from {} limit 1", table.name()), []).await?.is_none();
        if is_empty {
            self.fill(table, image, &from).await?
        } else {
            self.merge(table, &from).await?
        }
        self.leave_out_unfit(table, &from).await
    }

    /// Copies all rows into an empty table. Without triggers, which do nothing now and would be asked at every row; and where the two
    /// tables are alike, SQLite copies pages' content as it is.
    async fn fill(&self, table: &LocalTable, image: &str, from: &str) -> Result<(), StoreError> {
        for (name, _) in ddl::triggers(table) {
            self.run(&format!("drop trigger {name}"), []).await?;
        }
        self.drop_uniques(table).await?;
        let alike = format!(
            "select 1 from main.sqlite_schema a join {image}.sqlite_schema b on b.name = a.name and b.sql = a.sql \
             where a.type = 'table' and a.name = $1"
        );
        let is_alike = self.one(&alike, [table.desc.name.into()]).await?.is_some();
        let (all, to) = (names(table.written()), table.name());
        let sql = match is_alike && table.columns.iter().all(|column| !column.generated) {
            true => format!("insert into main.{to} select * from {from}"),
            false => format!("insert into main.{to} ({all}) select {all} from {from}"),
        };
        self.run(&sql, []).await?;
        for (_, create) in ddl::triggers(table) {
            self.run(&create, []).await?;
        }
        Ok(())
    }

    /// Copies rows over those that are there.
    async fn merge(&self, table: &LocalTable, from: &str) -> Result<(), StoreError> {
        let shown: Vec<&LocalColumn> = table.carried().collect();
        let all = names(shown.iter().copied());
        let is_key = |column: &&&LocalColumn| table.keys().any(|key| key.name == column.name);
        let others = shown.iter().filter(|column| !is_key(column)).map(|column| quote(column.name));
        let others: Vec<String> = others.map(|name| format!("{name} = excluded.{name}")).collect();
        let change = if others.is_empty() { "nothing".to_owned() } else { format!("update set {}", others.join(", ")) };
        let sql = format!(
            "insert into main.{} ({all}) select {all} from {from} where true on conflict ({}) do {change}",
            table.name(),
            names(table.keys())
        );
        match self.run(&sql, []).await {
            Err(StoreError::Db(error)) if is_duplicate(&error) => {
                self.drop_uniques(table).await?;
                self.run(&sql, []).await.map(drop)
            }
            done => done.map(drop),
        }
    }

    /// Leaves rows out whose JSON the app's own types cannot read: of those the server cannot know.
    async fn leave_out_unfit(&self, table: &LocalTable, from: &str) -> Result<(), StoreError> {
        let (keys, mut unfit) = (names(table.keys()), Vec::new());
        for column in &table.columns {
            let Some(check) = column.check else { continue };
            let name = quote(column.name);
            let sql = format!("select {keys}, {name} as _nizhal_json from {from} where {name} is not null");
            for row in self.all(&sql, []).await? {
                let Err(reason) = check(&row.try_get::<String>("", "_nizhal_json")?) else { continue };
                let key = table.keys().map(|key| key_value(key, &row)).collect::<Result<Vec<_>, _>>()?;
                unfit.push(cell::UnreadableRow { key: Some(key), column: column.name, reason });
            }
        }
        self.leave_out(table, unfit).await
    }

    /// Reads the rows as a pull brings them that the server's tables could not hold.
    async fn lay_unread(&self, image: &str) -> Result<(), StoreError> {
        for row in self.all(&format!("select tbl, rows from {image}._nizhal_unread"), []).await? {
            let (name, rows): (String, String) = (row.try_get("", "tbl")?, row.try_get("", "rows")?);
            let Some(table) = self.store.schema().table(&name) else { continue };
            let rows = RawValue::from_string(rows).map_err(|error| StoreError::Malformed(error.to_string()))?;
            self.lay_rows(table, cell::rows(table, &rows)?).await?;
        }
        Ok(())
    }
}

/// A file to be read alone. A bare path would be opened as the store itself is, and one in memory would find no file.
fn uri(path: &Path) -> String {
    let path = path.to_string_lossy();
    let path = if cfg!(windows) { format!("/{}", path.replace('\\', "/")) } else { path.into_owned() };
    let path = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{path}?mode=ro&cache=private&immutable=1")
}

/// The value of a key's column, as it is bound.
fn key_value(key: &LocalColumn, row: &QueryResult) -> Result<Value, DbErr> {
    Ok(match key.sql {
        SqlType::Bool => row.try_get::<bool>("", key.name)?.into(),
        SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => row.try_get::<i64>("", key.name)?.into(),
        SqlType::Float4 | SqlType::Float8 => row.try_get::<f64>("", key.name)?.into(),
        SqlType::Uuid => row.try_get::<Uuid>("", key.name)?.into(),
        SqlType::Bytes => row.try_get::<Vec<u8>>("", key.name)?.into(),
        SqlType::Timestamptz => row.try_get::<DateTimeUtc>("", key.name)?.into(),
        SqlType::Date => row.try_get::<Date>("", key.name)?.into(),
        SqlType::Time => row.try_get::<Time>("", key.name)?.into(),
        SqlType::Numeric | SqlType::Text | SqlType::Json | SqlType::Array(_) => {
            row.try_get::<String>("", key.name)?.into()
        }
    })
}

async fn read_meta(path: &Path) -> Result<Meta, StoreError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(true);
    let mut file = options.connect().await?;
    let read = read_from(&mut file).await;
    // It was only read.
    let _ = file.close().await;
    read
}

async fn read_from(file: &mut SqliteConnection) -> Result<Meta, StoreError> {
    let format: i64 = sqlx::query_scalar("select format from _nizhal_image").fetch_one(&mut *file).await?;
    if format != FORMAT {
        return Err(StoreError::Malformed(format!("an image of format {format}, and this app knows {FORMAT}")));
    }
    let sql = "select bucket, version, shape, seal from _nizhal_image";
    let (bucket, version, shape, seal) = sqlx::query_as(sql).fetch_one(file).await?;
    Ok(Meta { bucket, version, shape, seal })
}

fn broken_stage() -> StoreError {
    StoreError::Broken("a page that waits names an image that is none".to_owned())
}

#[test]
fn a_store_in_memory_leaves_no_file_behind() {
    let files = ImageFiles::beside(None);
    let path = files.path("seed-0");
    std::fs::write(&path, "rows").unwrap();
    files.unclean.store(true, Relaxed);
    drop(files);
    assert!(!path.exists());
}
