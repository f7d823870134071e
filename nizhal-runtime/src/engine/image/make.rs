//! Making images, one at a time and beside the requests; and forgetting those that are of no use.

use super::{
    demand::{Demand, Images},
    keep::{ImageReader, ImageStore, ImageStoreError},
    offer::{SEAL_ACTOR, STALE_PART},
};
use crate::{
    engine::{
        cursor::{Cursor, Lane},
        page,
        state::Engine,
    },
    store::{
        Clock, Generations, ImageHeader, ImageMeta, ImageWriter, KeptImage, LineTaker, PackedImage, Position,
        PullReader, StoreError, WantedImage, incarnation, remove_abandoned,
    },
};
use nizhal_core::{Bucket, Principal, Rule};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How long the snapshot may stay open between two statements, while lines are written.
const HOLD_S: u64 = 60;
/// How long a file stays after a newer one: longer than a URL is good, and a download that began with it takes.
const LINGER: Duration = Duration::from_secs(60 * 60);

/// Why an image was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The database failed, or a temporary file.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The object store failed.
    #[error(transparent)]
    Files(#[from] ImageStoreError),
}

/// What came of making an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Making {
    /// It is made.
    Made,
    /// Another server made one meanwhile.
    Overtaken,
    /// The one that is there is new enough.
    NewEnough,
    /// There are too few rows for one.
    TooFewRows,
    /// There cannot be one: no such rule, a table that devices cannot keep, a row that cannot be told.
    Impossible,
}

/// The answer to whoever asks for the file of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageFileAnswer {
    /// It is there.
    Url(String),
    /// It is being made; to be asked again.
    InTheMaking,
    /// There cannot be one.
    Impossible,
    /// This server makes none.
    Off,
}

/// Enough was read.
enum Stop {
    Enough,
    Failed(StoreError),
}

/// Counts rows until there are enough.
struct Counter {
    left: i64,
}

impl LineTaker for Counter {
    type Error = Stop;

    async fn take(&mut self, _: Vec<u8>, rows: usize) -> Result<(), Stop> {
        self.left -= i64::try_from(rows).unwrap_or(i64::MAX);
        if self.left < 0 { Err(Stop::Enough) } else { Ok(()) }
    }
}

/// Writes rows into a file.
struct Filler<'a> {
    writer: &'a mut ImageWriter,
}

impl LineTaker for Filler<'_> {
    type Error = StoreError;

    async fn take(&mut self, mut line: Vec<u8>, _: usize) -> Result<(), StoreError> {
        page::end_line(&mut line);
        self.writer.add(&line).await
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Engine {
    /// The same, with images of buckets that have so many rows at least.
    #[must_use]
    pub fn with_images(mut self, store: Arc<dyn ImageStore>, min_rows: u32) -> Self {
        self.images = Some(Images::new(&self.schema, store, min_rows));
        self
    }

    /// Waits for a bucket that is to get an image.
    pub(crate) async fn next_demand(&self) -> (Bucket, Demand) {
        match &self.images {
            Some(own) => own.next().await,
            None => std::future::pending().await,
        }
    }

    /// Makes an image of this bucket, if one is wanted.
    ///
    /// # Errors
    /// When the database fails, or the store of the files.
    pub async fn make_image(&self, bucket: &Bucket, demand: Demand) -> Result<Making, ImageError> {
        let rule = self.schema.rules().iter().find(|rule| rule.name == bucket.rule);
        let (Some(own), Some(rule)) = (&self.images, rule.filter(|rule| rule.params.len() == bucket.params.len()))
        else {
            return Ok(Making::Impossible);
        };
        self.store.check_triggers().await?;
        let mut reader = self.store.reader().await?;
        reader.hold(HOLD_S).await?;
        let header = reader.image_header().await?;
        self.same_rules(&header.rules)?;
        let (clock, generations) = (reader.clock().clone(), self.generations_of(&header.generations));
        let Some(wanted) = own.wanted(bucket, &generations) else { return Ok(Making::Impossible) };
        let kept =
            reader.images(std::slice::from_ref(&wanted), &header.epoch, header.collected..=clock.horizon).await?;
        let before = kept.first();
        let lost = reader.buckets_that_lost_rows(before.map(|image| (&image.bucket, image.version))).await?;
        if let Some(image) = before.filter(|image| !lost.contains(&image.bucket))
            && (demand == Demand::File || !self.is_stale(&mut reader, image).await?)
        {
            reader.close().await?;
            return Ok(Making::NewEnough);
        }
        let than = before.map_or(0, |image| image.version);
        let least = if demand == Demand::File { 0 } else { own.min_rows };
        let meta = meta(bucket, &wanted, &header, &clock, &generations);
        let packed = self.write_image(&mut reader, rule, bucket, (&meta, least)).await?;
        reader.close().await?;
        match packed {
            Ok(packed) => self.keep_image(own, (wanted, meta), &packed, than).await,
            Err(making) => Ok(making),
        }
    }

    /// Whether more came after an image than it is worth.
    async fn is_stale(&self, reader: &mut PullReader<'_>, image: &KeptImage) -> Result<bool, StoreError> {
        let mut counter = Counter { left: image.rows / STALE_PART };
        match reader.scan_bucket(&image.bucket, image.version, &page::heads(&self.tables), &mut counter).await {
            Ok(_) => Ok(false),
            Err(Stop::Enough) => Ok(true),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// Writes the rows that are in the bucket up to the horizon into a file.
    async fn write_image(
        &self,
        reader: &mut PullReader<'_>,
        rule: &Rule,
        bucket: &Bucket,
        (meta, least): (&ImageMeta, i64),
    ) -> Result<Result<PackedImage, Making>, StoreError> {
        let mut writer = ImageWriter::create(rule).await?;
        let mut filler = Filler { writer: &mut writer };
        let unreadable = reader.scan_bucket(bucket, 0, &page::heads(&self.tables), &mut filler).await?;
        if let Some(row) = unreadable.first() {
            tracing::warn!(bucket = bucket.qualified(), ?row, "a row cannot be told, so its bucket gets no image");
            if let Some(own) = &self.images {
                own.note_impossible(bucket, self.environment.now());
            }
            return Ok(Err(Making::Impossible));
        }
        if writer.row_count() < least {
            return Ok(Err(Making::TooFewRows));
        }
        writer.finish(meta).await.map(Ok)
    }

    async fn keep_image(
        &self,
        own: &Images,
        (wanted, meta): (WantedImage, ImageMeta),
        packed: &PackedImage,
        than: i64,
    ) -> Result<Making, ImageError> {
        let id = self.environment.new_id().simple().to_string();
        // The file first: no row may name one that is not there.
        let image = KeptImage {
            path: own.store.put(&id, packed.path()).await?,
            bucket: wanted.bucket,
            version: meta.version,
            epoch: meta.epoch,
            tag: wanted.tag,
            shape: wanted.shape,
            size: packed.size,
            sha256: packed.sha256.clone(),
            rows: packed.rows,
            made_ms: self.environment.now().timestamp_millis(),
        };
        if self.store.keep_image(&image, than).await? {
            tracing::info!(
                bucket = image.bucket.qualified(),
                rows = image.rows,
                bytes = image.size,
                "an image is made"
            );
            return Ok(Making::Made);
        }
        own.store.delete(&image.path).await?;
        Ok(Making::Overtaken)
    }

    /// Where the file of a bucket's image is, for an actor who holds the bucket; one is made where there is none.
    ///
    /// # Errors
    /// When the database fails, or the store of the files.
    pub async fn image_file(&self, principal: &Principal, bucket: &Bucket) -> Result<ImageFileAnswer, ImageError> {
        let Some(own) = &self.images else { return Ok(ImageFileAnswer::Off) };
        let mut reader = self.store.reader().await?;
        let header = reader.image_header().await?;
        self.same_rules(&header.rules)?;
        let wanted = own.wanted(bucket, &self.generations_of(&header.generations));
        let Some(wanted) = wanted.filter(|_| !own.was_impossible(bucket, self.environment.now())) else {
            return Ok(ImageFileAnswer::Impossible);
        };
        let versions = header.collected..=reader.clock().horizon;
        let kept = reader.usable_images(std::slice::from_ref(&wanted), &header.epoch, versions).await?;
        reader.close().await?;
        let Some(KeptImage { path, sha256, .. }) = kept.into_iter().next() else {
            own.demand([bucket], Demand::File);
            return Ok(ImageFileAnswer::InTheMaking);
        };
        let reader = ImageReader { path: &path, sha256: &sha256, actor: principal.key(), secret: &header.secret };
        Ok(ImageFileAnswer::Url(own.store.url(reader, self.environment.now()).await?))
    }

    /// Forgets images that no pull goes on from any more, and files that no image has: how many. Removes what servers that were killed
    /// left on this machine.
    ///
    /// # Errors
    /// When the database fails, or the store of the files.
    pub async fn forget_images(&self) -> Result<u64, ImageError> {
        let Some(own) = &self.images else { return Ok(0) };
        let mut reader = self.store.reader().await?;
        let header = reader.image_header().await?;
        reader.close().await?;
        let removing = tokio::task::spawn_blocking(remove_abandoned);
        if let Ok(Err(error)) = removing.await {
            tracing::warn!(%error, "the system's temporary files cannot be listed");
        }
        let generations = self.generations_of(&header.generations);
        let before_ms =
            self.environment.now().timestamp_millis() - i64::try_from(LINGER.as_millis()).unwrap_or_default();
        let (mut newest, mut named, mut forgotten) = (None::<Bucket>, BTreeSet::new(), 0);
        let mut newer_ms = i64::MAX;
        for image in self.store.kept_images().await? {
            let wanted = own.wanted(&image.bucket, &generations);
            let is_of_now = image.epoch == header.epoch
                && image.version >= header.collected
                && wanted.is_some_and(|wanted| wanted.tag == image.tag && wanted.shape == image.shape);
            let is_newest = newest.as_ref() != Some(&image.bucket);
            // One that was replaced may still be on its way to a device.
            let is_of_use = match (is_of_now, is_newest) {
                (true, true) => own.store.is_there(&image.path).await?,
                (true, false) => newer_ms >= before_ms,
                (false, _) => image.made_ms >= before_ms,
            };
            if is_of_use {
                if is_of_now {
                    (newest, newer_ms) = (Some(image.bucket), image.made_ms);
                }
                named.insert(image.path);
                continue;
            }
            self.store.forget_image(&image.path).await?;
            own.store.delete(&image.path).await?;
            forgotten += 1;
        }
        for path in own.store.list(before_ms).await? {
            if !named.contains(&path) {
                own.store.delete(&path).await?;
            }
        }
        Ok(forgotten)
    }
}

fn meta(
    bucket: &Bucket,
    wanted: &WantedImage,
    header: &ImageHeader,
    clock: &Clock,
    generations: &Generations,
) -> ImageMeta {
    let lane = Lane { position: Position::after(clock.horizon), floor: clock.horizon, buckets: vec![bucket.clone()] };
    let seal = Cursor {
        epoch: header.epoch.clone(),
        rules: generations
            .tags
            .iter()
            .filter(|(rule, _)| **rule == bucket.rule)
            .map(|(a, b)| (a.clone(), b.clone()))
            .collect(),
        incarnation: incarnation::name(&clock.incarnation),
        wal_lsn: clock.wal_lsn,
        is_partial: false,
        lanes: vec![lane],
    };
    ImageMeta {
        bucket: bucket.clone(),
        version: clock.horizon,
        epoch: header.epoch.clone(),
        tag: wanted.tag.clone(),
        shape: wanted.shape.clone(),
        seal: seal.encode(&header.secret, SEAL_ACTOR).0,
    }
}
