//! The index of the audit log by bucket, and the end of entries that are old.
//!
//! On Postgres a push writes its entry alone, and not an entry of the index for each of its buckets. The index is brought up to date before
//! somebody looks for a bucket, and from time to time, so that little is left to do then. The control row says up to which version that
//! was done; it is never beyond the horizon, so no entry comes below it later.

use super::{Store, StoreError, audit, database::Backend, ddl::BUCKET_KEY, progress::Steps, sql::Dialect, write_set};

/// How many entries are indexed, and how many are deleted, in one transaction, so that no writer waits long.
const BATCH: usize = 5_000;

/// An entry of the index: the bucket, and the entry's version and number.
type Place = (String, i64, i64);

impl Store {
    /// Indexes the entries of mutations up to the horizon, on Postgres.
    ///
    /// # Errors
    /// When the database fails; what is indexed stays so.
    pub async fn index_audit(&self) -> Result<(), StoreError> {
        if !matches!(self.backend, Backend::Postgres(_)) {
            return Ok(());
        }
        let horizon = self.horizon().await?.horizon;
        while self.index_some_audit(horizon).await? {}
        Ok(())
    }

    /// Whether there may be more.
    async fn index_some_audit(&self, horizon: i64) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let write = self.on(&tx);
        // Whoever does the same meanwhile waits here, and goes on where this one ended.
        let indexed = write.one("select audit_indexed from _nizhal_control where id = 1 for update", []).await?;
        let indexed: i64 = indexed.ok_or_else(StoreError::no_control)?.try_get("", "audit_indexed")?;
        // A version is indexed as a whole, so a batch ends with the version that its last entry is of.
        let sql = "select version, n, write_set from _nizhal_audit where version > $1 and write_set <> '' and version <= (select max(version) \
            from (select version from _nizhal_audit where version > $1 and version <= $2 and write_set <> '' order by version, n limit $3) \
            batch) order by version, n";
        let rows = write.all(sql, [indexed.into(), horizon.into(), (BATCH as i64).into()]).await?;
        let has_more = rows.len() >= BATCH;
        let until = match rows.last() {
            Some(last) if has_more => last.try_get("", "version")?,
            _ => horizon,
        };
        let mut places: Vec<Place> = Vec::with_capacity(rows.len());
        for row in rows {
            let (version, n): (i64, i64) = (row.try_get("", "version")?, row.try_get("", "n")?);
            let buckets = buckets(&row.try_get::<String>("", "write_set")?)?;
            places.extend(buckets.into_iter().map(|bucket| (bucket, version, n)));
        }
        if until > indexed {
            let (buckets, versions, numbers) = columns(places);
            let sql = format!(
                "insert into _nizhal_audit_buckets (bucket, version, n) select p.bucket, p.version, p.n from \
                 unnest($1::text[], $2::int8[], $3::int8[]) as p(bucket, version, n) where not exists (select 1 from _nizhal_audit_buckets b \
                  where {})",
                is_place("b")
            );
            write.run(&sql, [buckets.into(), versions.into(), numbers.into()]).await?;
            write.run("update _nizhal_control set audit_indexed = $1 where id = 1", [until.into()]).await?;
        }
        self.commit(tx).await?;
        Ok(has_more)
    }

    /// Deletes entries older than this many days, a batch at a time. Gives their number.
    ///
    /// # Errors
    /// When the database fails; what is deleted stays so.
    pub async fn collect_audit(&self, days: u32) -> Result<u64, StoreError> {
        let (mut all, mut steps) = (0, Steps::of("forgetting audit entries"));
        loop {
            let count = self.collect_some_audit(days).await?;
            all += count;
            steps.reach(all);
            if count == 0 {
                return Ok(all);
            }
        }
    }

    /// Of the lowest versions those that are old: versions and moments rise together, so an index of the moments would tell nothing more.
    /// Relies on the primary key, and on the index by bucket.
    async fn collect_some_audit(&self, days: u32) -> Result<u64, StoreError> {
        let moment = match self.dialect() {
            Dialect::Postgres => format!("now() - make_interval(days => {days})"),
            Dialect::Sqlite => format!("strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-{days} days')"),
        };
        let old = |columns: &str| {
            format!(
                "select {columns} from (select * from _nizhal_audit order by version, n limit {BATCH}) as lowest where at < {moment}"
            )
        };
        let tx = self.begin().await?;
        let write = self.on(&tx);
        let count = match self.dialect() {
            Dialect::Postgres => {
                let sql = format!(
                    "delete from _nizhal_audit where (version, n) in ({}) returning version, n, buckets, write_set",
                    old("version, n")
                );
                let gone = write.all(&sql, []).await?;
                let mut places: Vec<Place> = Vec::with_capacity(gone.len());
                for row in &gone {
                    let (version, n): (i64, i64) = (row.try_get("", "version")?, row.try_get("", "n")?);
                    let buckets = match row.try_get::<Option<String>>("", "write_set")? {
                        Some(write_set) => buckets(&write_set)?,
                        None => serde_json::from_str(&row.try_get::<String>("", "buckets")?).unwrap_or_default(),
                    };
                    places.extend(buckets.into_iter().map(|bucket| (bucket, version, n)));
                }
                let (buckets, versions, numbers) = columns(places);
                let sql = format!(
                    "delete from _nizhal_audit_buckets b using unnest($1::text[], $2::int8[], $3::int8[]) as p(bucket, version, n) where {}",
                    is_place("b")
                );
                write.run(&sql, [buckets.into(), versions.into(), numbers.into()]).await?;
                gone.len() as u64
            }
            Dialect::Sqlite => {
                let indexed = format!(
                    "delete from _nizhal_audit_buckets where ({BUCKET_KEY}, bucket, version, n) in (select substr(name.value, \
                     1, 500), name.value, old.version, old.n from ({}) as old, json_each(old.buckets) as name)",
                    old("version, n, buckets")
                );
                write.run(&indexed, []).await?;
                write
                    .run(&format!("delete from _nizhal_audit where (version, n) in ({})", old("version, n")), [])
                    .await?
            }
        };
        write.finish().await?;
        self.commit(tx).await?;
        Ok(count)
    }
}

/// The buckets of an entry's write set.
fn buckets(write_set: &str) -> Result<Vec<String>, StoreError> {
    Ok(audit::buckets(&write_set::parse_lines(write_set)?))
}

/// As arrays of the database.
fn columns(places: Vec<Place>) -> (Vec<String>, Vec<i64>, Vec<i64>) {
    let (mut buckets, mut versions, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for (bucket, version, n) in places {
        buckets.push(bucket);
        versions.push(version);
        numbers.push(n);
    }
    (buckets, versions, numbers)
}

/// Whether the row `of` of the index is the place `p`, by the index's own expression.
fn is_place(of: &str) -> String {
    format!(
        "substr({of}.bucket, 1, 500) = substr(p.bucket, 1, 500) and {of}.bucket = p.bucket and {of}.version = p.version and {of}.n = p.n"
    )
}
