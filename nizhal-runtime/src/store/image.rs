//! The images that are kept: which bucket each is of, up to which version, and where its file is.
//!
//! Decision: book/src/decisions/pulling.md#an-image-takes-the-place-of-a-buckets-rows

use super::{
    database::Store,
    error::StoreError,
    reader::{PullReader, ReaderOn, on_both},
    sql::Dialect,
};
use nizhal_core::Bucket;
use sea_orm::{QueryResult, Statement};
use serde_json::json;
use std::collections::BTreeSet;

/// An image: the rows of a bucket up to a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptImage {
    /// Where its file is in the object store.
    pub path: String,
    /// The bucket.
    pub bucket: Bucket,
    /// The version up to which it has the bucket's rows.
    pub version: i64,
    /// The epoch that the version belongs to.
    pub epoch: String,
    /// The rule's tag when it was made.
    pub tag: String,
    /// The shape of its tables.
    pub shape: String,
    /// How many bytes the file has.
    pub size: i64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// How many rows are in it.
    pub rows: i64,
    /// When it was made, in milliseconds since the Unix epoch.
    pub made_ms: i64,
}

/// What an image must be of for a pull to go on from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedImage {
    /// The bucket.
    pub bucket: Bucket,
    /// The rule's tag now.
    pub tag: String,
    /// The shape of the rule's tables now.
    pub shape: String,
}

/// The facts of the whole database that an image is made under.
#[derive(Clone, Debug)]
pub struct ImageHeader {
    /// The database's epoch.
    pub epoch: String,
    /// What seals it.
    pub secret: String,
    /// The fingerprint of the rules that the database is provisioned for.
    pub rules: String,
    /// The generations of the rules, as JSON.
    pub generations: String,
    /// Tombstones up to here may have been collected.
    pub collected: i64,
}

const COLUMNS: &str =
    "i.path, i.rule, i.bucket, i.version, i.epoch, i.tag, i.shape, i.size, i.sha256, i.rows, i.made_ms";

type Columns = (String, String, String, i64, String, String, String, i64, String, i64, i64);

/// A bucket whose parameters are none is nobody's.
fn named(rule: String, params: &str) -> Option<Bucket> {
    Some(Bucket::new(rule, serde_json::from_str(params).ok()?))
}

fn image((path, rule, bucket, version, epoch, tag, shape, size, sha256, rows, made_ms): Columns) -> Option<KeptImage> {
    let bucket = named(rule, &bucket)?;
    Some(KeptImage { path, bucket, version, epoch, tag, shape, size, sha256, rows, made_ms })
}

impl PullReader<'_> {
    /// The newest image of each of these buckets that a pull may go on from: of this epoch, of a version in these bounds, and of a bucket
    /// that lost no row since.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn usable_images(
        &mut self,
        wanted: &[WantedImage],
        epoch: &str,
        versions: std::ops::RangeInclusive<i64>,
    ) -> Result<Vec<KeptImage>, StoreError> {
        let mut images = self.images(wanted, epoch, versions).await?;
        let lost = self.buckets_that_lost_rows(images.iter().map(|image| (&image.bucket, image.version))).await?;
        images.retain(|image| !lost.contains(&image.bucket));
        Ok(images)
    }

    /// The same, whether rows were lost or not. By `_nizhal_images (rule, bucket, version)`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn images(
        &mut self,
        wanted: &[WantedImage],
        epoch: &str,
        versions: std::ops::RangeInclusive<i64>,
    ) -> Result<Vec<KeptImage>, StoreError> {
        let entry = |wanted: &WantedImage| {
            let WantedImage { bucket, tag, shape } = wanted;
            json!({"rule": bucket.rule, "bucket": bucket.key(), "tag": tag, "shape": shape})
        };
        let list = serde_json::Value::from_iter(wanted.iter().map(entry)).to_string();
        let entries = match self.dialect() {
            Dialect::Postgres => "json_to_recordset($1::json) as w(rule text, bucket text, tag text, shape text)",
            Dialect::Sqlite => {
                "(select value ->> 'rule' as rule, value ->> 'bucket' as bucket, value ->> 'tag' as tag, \
                 value ->> 'shape' as shape from json_each($1)) w"
            }
        };
        let sql = format!(
            "select {COLUMNS} from {entries} join _nizhal_images i on i.rule = w.rule and i.bucket = w.bucket and i.tag = w.tag \
             and i.shape = w.shape where i.epoch = $2 and i.version >= $3 and i.version <= $4 order by i.version desc"
        );
        let sql = sqlx::AssertSqlSafe(sql);
        let (first, last) = versions.into_inner();
        let found: Vec<Columns> =
            on_both!(self, sqlx::query_as(sql).bind(list).bind(epoch).bind(first).bind(last), fetch_all);
        let mut images: Vec<KeptImage> = Vec::new();
        for image in found.into_iter().filter_map(image) {
            if images.iter().all(|newer| newer.bucket != image.bucket) {
                images.push(image);
            }
        }
        Ok(images)
    }

    /// Those of these buckets that a row left, or was deleted in, after this version. By `_nizhal_tombstones (rule, bucket, version)`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn buckets_that_lost_rows(
        &mut self,
        since: impl IntoIterator<Item = (&Bucket, i64)>,
    ) -> Result<BTreeSet<Bucket>, StoreError> {
        let entry = |(bucket, version): (&Bucket, i64)| json!({"rule": bucket.rule, "bucket": bucket.key(), "version": version});
        let list: Vec<serde_json::Value> = since.into_iter().map(entry).collect();
        if list.is_empty() {
            return Ok(BTreeSet::new());
        }
        let entries = match self.dialect() {
            Dialect::Postgres => "json_to_recordset($1::json) as w(rule text, bucket text, version bigint)",
            Dialect::Sqlite => {
                "(select value ->> 'rule' as rule, value ->> 'bucket' as bucket, value ->> 'version' as version from json_each($1)) w"
            }
        };
        let sql = format!(
            "select w.rule, w.bucket from {entries} where exists (select 1 from _nizhal_tombstones t where t.rule = w.rule \
             and t.bucket = w.bucket and t.version > w.version)"
        );
        let (sql, list) = (sqlx::AssertSqlSafe(sql), serde_json::Value::from(list).to_string());
        let found: Vec<(String, String)> = on_both!(self, sqlx::query_as(sql).bind(list), fetch_all);
        Ok(found.into_iter().filter_map(|(rule, bucket)| named(rule, &bucket)).collect())
    }

    /// What an image is made under.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn image_header(&mut self) -> Result<ImageHeader, StoreError> {
        let sql = "select epoch, secret, rules, generations, collected from _nizhal_control where id = 1";
        let found: Option<(String, String, String, String, i64)> = on_both!(self, sqlx::query_as(sql), fetch_optional);
        let (epoch, secret, rules, generations, collected) = found.ok_or_else(StoreError::no_control)?;
        Ok(ImageHeader { epoch, secret, rules, generations, collected })
    }
}

impl Store {
    /// Keeps an image, unless one of the same bucket that is newer than version `than` is kept already, which another server made
    /// meanwhile; whether it is kept.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_image(&self, image: &KeptImage, than: i64) -> Result<bool, StoreError> {
        let sql = "insert into _nizhal_images (path, rule, bucket, version, epoch, tag, shape, size, sha256, rows, made_ms) \
            select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 where not exists (select 1 from _nizhal_images where rule = $2 \
            and bucket = $3 and epoch = $5 and tag = $6 and shape = $7 and version > $12)";
        let KeptImage { path, bucket, version, epoch, tag, shape, size, sha256, rows, made_ms } = image.clone();
        let key = bucket.key();
        let kept = self.run(
            sql,
            [
                path.into(),
                bucket.rule.into(),
                key.into(),
                version.into(),
                epoch.into(),
                tag.into(),
                shape.into(),
                size.into(),
                sha256.into(),
                rows.into(),
                made_ms.into(),
                than.into(),
            ],
        );
        Ok(kept.await? > 0)
    }

    /// All images that are kept, the newest of each bucket first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn kept_images(&self) -> Result<Vec<KeptImage>, StoreError> {
        let sql = format!("select {COLUMNS} from _nizhal_images i order by i.rule, i.bucket, i.version desc");
        let read = |row: &QueryResult| {
            let text = |name: &str| row.try_get::<String>("", name);
            let number = |name: &str| row.try_get::<i64>("", name);
            Ok::<_, StoreError>((
                text("path")?,
                text("rule")?,
                text("bucket")?,
                number("version")?,
                text("epoch")?,
                text("tag")?,
                text("shape")?,
                number("size")?,
                text("sha256")?,
                number("rows")?,
                number("made_ms")?,
            ))
        };
        let found = self.query_all(Statement::from_string(self.connection().get_database_backend(), sql)).await?;
        found.iter().map(|row| Ok(image(read(row)?))).filter_map(Result::transpose).collect()
    }

    /// Forgets an image; its file is the caller's to delete, after this.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_image(&self, path: &str) -> Result<(), StoreError> {
        self.run("delete from _nizhal_images where path = $1", [path.into()]).await.map(drop)
    }
}
