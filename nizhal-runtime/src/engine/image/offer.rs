//! The images that a pull goes on from, and the lanes that begin behind them.
//!
//! A device that has laid an image of version `v` is where a device is that read the bucket up to `v`. So the pull gives the bucket a lane
//! that begins behind `v`, and the lane brings what came since.
//!
//! No pull goes on from an image after a row left its bucket or was deleted there: the file has that row and the lane its tombstone, and an
//! actor who holds the bucket only since then may know of neither.
//!
//! Decision: book/src/decisions/pulling.md#an-image-takes-the-place-of-a-buckets-rows

use super::{
    demand::{Demand, Images},
    keep::ImageReader,
};
use crate::{
    engine::{
        cursor::{Cursor, Decoded, Lane},
        incarnation::is_of_lost_incarnation,
        start::MAX_LANES,
        state::Engine,
    },
    store::{Clock, Generations, KeptImage, Position, PullHeader, PullReader, StoreError, WantedImage},
};
use nizhal_core::{
    Bucket, Principal,
    wire::{ImageFile, ImageRef, PullRequest, Wire},
};
use std::collections::BTreeSet;

/// What the seals of images are made for, in the place of an actor: no actor's key is this.
pub(super) const SEAL_ACTOR: &str = "image";
/// An image is made anew when what came after it is more than one part in so many of its rows.
pub(super) const STALE_PART: i64 = 5;

/// The images that a pull may go on from.
pub(in crate::engine) struct Offers {
    /// The buckets that they were looked up for.
    buckets: BTreeSet<Bucket>,
    /// Those with the most rows first.
    images: Vec<Offer>,
}

struct Offer {
    bucket: Bucket,
    version: i64,
    rows: i64,
    file: Option<ImageFile>,
}

/// What a pull made of its offers.
#[derive(Debug, Default)]
pub(in crate::engine) struct Placed {
    /// The images that the answer names.
    pub(in crate::engine) images: Vec<ImageRef>,
    /// The buckets of those, with the rows of their images.
    rows: Vec<(Bucket, i64)>,
    /// The buckets that are read from the beginning.
    lacking: Vec<Bucket>,
}

impl Engine {
    /// Whether this pull takes images.
    pub(in crate::engine) fn takes_images(&self, wire: Wire, request: &PullRequest) -> bool {
        wire == Wire::Two && request.images && self.images.is_some()
    }

    /// Looks for images of these buckets: the client's own, and those that are kept.
    pub(in crate::engine) async fn offers(
        &self,
        reader: &mut PullReader<'_>,
        (principal, request): (&Principal, &PullRequest),
        (header, generations, clock): (&PullHeader, &Generations, &Clock),
        buckets: BTreeSet<Bucket>,
    ) -> Result<Offers, StoreError> {
        let mut images: Vec<Offer> = Vec::new();
        let Some(own) = &self.images else { return Ok(Offers { buckets, images }) };
        for seal in &request.seeds {
            let Some(Decoded::Whole(seed)) = Cursor::decode(seal, &header.secret, SEAL_ACTOR) else { continue };
            let [Lane { position, buckets: of, .. }] = &seed.lanes[..] else { continue };
            let ([bucket], version) = (&of[..], position.done()) else { continue };
            let is_of_now = seed.epoch == header.epoch
                && seed.rules.get(&bucket.rule).is_some_and(|tag| generations.tags.get(&bucket.rule) == Some(tag))
                && (header.collected..=clock.horizon).contains(&version);
            let is_new = buckets.contains(bucket) && images.iter().all(|other| other.bucket != *bucket);
            if is_of_now && is_new && !is_of_lost_incarnation(reader, Some(&seed), clock).await? {
                images.push(Offer { bucket: bucket.clone(), version, rows: i64::MAX, file: None });
            }
        }
        let lost = reader.buckets_that_lost_rows(images.iter().map(|seed| (&seed.bucket, seed.version))).await?;
        images.retain(|seed| !lost.contains(&seed.bucket));
        let wanted = |bucket: &Bucket| own.wanted(bucket, generations);
        let seeded = |bucket: &&Bucket| images.iter().all(|seed| seed.bucket != **bucket);
        let wanted: Vec<WantedImage> = buckets.iter().filter(seeded).filter_map(wanted).collect();
        if !wanted.is_empty() {
            let versions = header.collected..=clock.horizon;
            for image in reader.usable_images(&wanted, &header.epoch, versions).await? {
                images.extend(self.offer(own, (principal, &header.secret), image).await);
            }
        }
        images.sort_by_key(|image| std::cmp::Reverse(image.rows));
        Ok(Offers { buckets, images })
    }

    /// What is said of a kept image; nothing where its URL cannot be made now.
    async fn offer(&self, own: &Images, (principal, secret): (&Principal, &str), image: KeptImage) -> Option<Offer> {
        let KeptImage { path, bucket, version, size, sha256, rows, .. } = image;
        let reader = ImageReader { path: &path, sha256: &sha256, actor: principal.key(), secret };
        match own.store.url(reader, self.environment.now()).await {
            Ok(url) => {
                let size = u64::try_from(size).ok()?;
                let shape = own.shapes.get(&bucket.rule)?.clone();
                Some(Offer { bucket, version, rows, file: Some(ImageFile { url, size, sha256, rows, shape }) })
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    path,
                    "an image has no URL: its rows are sent"
                );
                None
            }
        }
    }

    /// Remembers the buckets that should have had an image, or a newer one, now that so many rows were sent.
    pub(in crate::engine) fn demand_images(&self, placed: &Placed, rows: usize, has_more: bool) {
        let Some(own) = &self.images else { return };
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let used: i64 = placed.rows.iter().map(|(_, rows)| *rows).fold(0, i64::saturating_add);
        if has_more || rows >= own.min_rows {
            own.demand(&placed.lacking, Demand::Sync);
        }
        if has_more || rows > used / STALE_PART {
            own.demand(placed.rows.iter().map(|(bucket, _)| bucket), Demand::Sync);
        }
    }
}

/// The buckets of lanes that begin at the beginning.
pub(in crate::engine) fn fresh_buckets(lanes: &[Lane]) -> BTreeSet<Bucket> {
    lanes.iter().filter(|lane| lane.position == Position::default()).flat_map(|lane| &lane.buckets).cloned().collect()
}

impl Placed {
    /// How many rows the images have.
    pub(in crate::engine) fn row_count(&self) -> u64 {
        self.rows.iter().map(|(_, rows)| u64::try_from(*rows).unwrap_or_default()).sum()
    }
}

impl Offers {
    /// Whether they were looked up for these buckets.
    pub(in crate::engine) fn are_for(&self, buckets: &BTreeSet<Bucket>) -> bool {
        self.buckets == *buckets
    }

    /// Has the lanes begin behind the images, as many as there may be lanes.
    ///
    /// A lane of buckets whose rows the client has already, as after a change of their rule, needs the tombstones from where the client
    /// was; an image that is newer would pass over them.
    pub(in crate::engine) fn place(&self, lanes: &mut Vec<Lane>) -> Placed {
        let mut placed = Placed::default();
        for offer in &self.images {
            if lanes.len() >= MAX_LANES {
                break;
            }
            let begins = |lane: &&mut Lane| {
                lane.position == Position::default()
                    && lane.floor >= offer.version
                    && lane.buckets.contains(&offer.bucket)
            };
            let Some(lane) = lanes.iter_mut().find(begins) else { continue };
            lane.buckets.retain(|bucket| *bucket != offer.bucket);
            let position = Position::after(offer.version);
            lanes.push(Lane { position, floor: offer.version, buckets: vec![offer.bucket.clone()] });
            let Offer { bucket, version, rows, file } = offer;
            placed.images.push(ImageRef { bucket: bucket.qualified(), version: *version, file: file.clone() });
            placed.rows.push((bucket.clone(), *rows));
        }
        if !placed.images.is_empty() {
            lanes.retain(|lane| !lane.buckets.is_empty());
        }
        placed.lacking = fresh_buckets(lanes).into_iter().collect();
        placed
    }
}
