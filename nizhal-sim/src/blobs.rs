//! Blobs: a few contents that all devices share, what happens to them, and what must hold of them and of the rows that name them.

use crate::act::SimIds;
use crate::net::{BLOB, Load, Message};
use crate::sim::{Check, Sim};
use nizhal_client::environment::Ids as _;
use nizhal_client::session::Event;
use nizhal_client::store::Store as _;
use nizhal_core::sql::quote;
use nizhal_core::{BlobHash, BlobRef, Mime, Random, find_blobs};
use nizhal_runtime::BlobCall;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

/// How many contents there are; so few that several devices have the same.
const CONTENTS: u64 = 5;
/// How long collection keeps a blob that no row names, in days.
pub(crate) const GRACE_DAYS: u32 = 1;

/// The bytes of a content.
fn bytes(content: u64) -> Vec<u8> {
    format!("photo {content} ").repeat(usize::try_from(1 + content * 9).unwrap_or(1)).into_bytes()
}

fn hash(bytes: &[u8]) -> BlobHash {
    BlobHash::new(Sha256::digest(bytes).into())
}

fn mime() -> Mime {
    "image/png".parse().unwrap_or_else(|_| unreachable!("this is a media type"))
}

/// The reference that names a content.
fn reference(content: u64) -> BlobRef {
    let bytes = bytes(content);
    BlobRef::new(hash(&bytes), bytes.len() as u64, mime()).unwrap_or_else(|_| unreachable!("it has bytes"))
}

/// A reference in a mutation's arguments.
pub(crate) fn drawn(random: &mut Random) -> Value {
    json!(reference(random.below(CONTENTS)))
}

impl Sim<'_> {
    /// A person adds the photos that arguments name, but for one in some, which then is somebody else's; false when the power went.
    pub(crate) async fn add_blobs(&mut self, at: usize, args: &Value, draw: u32) -> Result<bool, String> {
        let mut named = BTreeSet::new();
        let _ = find_blobs(&args.to_string(), &mut named);
        for content in (0..CONTENTS).filter(|content| named.contains(&reference(*content).sha256())) {
            if draw.is_multiple_of(7) {
                continue;
            }
            let name = SimIds(self.devices[at].ids()).new_id().to_string();
            let added = self.devices[at].store.add_blob(&name, &bytes(content), &mime()).await;
            if self.power_went(at).await? {
                return Ok(false);
            }
            match added {
                Ok(_) => self.trace.count("blob added"),
                Err(_) if self.devices[at].took_fault() => {
                    self.trace.count("database error on a device");
                    continue;
                }
                Err(error) => return Err(format!("inv22: device {at} does not keep a blob: {error:?}")),
            }
            let memory = self.devices[at].store.memory().await.map_err(|error| format!("inv22: {error:?}"))?;
            self.handle_event(at, Event::Wrote(memory)).await?;
        }
        Ok(true)
    }

    /// The bytes of an upload become others on their way, or fewer.
    pub(crate) fn spoil_upload(&mut self, named: u8) -> bool {
        let is_part = |message: &Message| {
            matches!(&message.load, Load::Request(request) if request.path == BLOB)
                && part_of(message).is_some_and(|part| !part.is_empty())
        };
        let found: Vec<usize> =
            self.network.iter().enumerate().filter(|(_, message)| is_part(message)).map(|(at, _)| at).collect();
        if found.is_empty() {
            return false;
        }
        let message = &mut self.network[found[usize::from(named) % found.len()]];
        let Some(mut part) = part_of(message) else { return false };
        let Load::Request(request) = &mut message.load else { return false };
        if named.is_multiple_of(3) {
            part.truncate(part.len() / 2);
        } else {
            let at = usize::from(named) % part.len();
            part[at] ^= 1;
        }
        let mut call: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        call["body"] = json!(part);
        request.body = call.to_string().into_bytes();
        true
    }

    /// Time passes without anybody noticing, and blobs that no row names are collected; whether some went.
    pub(crate) async fn collect_blobs(&mut self) -> Result<bool, String> {
        let collected = self.server.collect_blobs().await?;
        if collected > 0 {
            // The live store serves a copy of the database that is younger than the grace, and this one is older.
            self.server.forget_backup();
        }
        self.blob_rows().await?;
        Ok(collected > 0)
    }

    /// Whoever asks for a blob's URL gets one if a row that it sees names the blob, and only then.
    pub(crate) async fn probe(&mut self, draw: u32) -> Result<bool, String> {
        let user = usize::try_from(draw).unwrap_or_default() % self.fixture.users.len();
        self.visible_blobs(user, true).await?;
        Ok(true)
    }

    /// Each row of the server names a blob whose bytes are there.
    pub(crate) async fn blob_rows(&mut self) -> Check {
        for table in self.fixture.shown.tables.iter().map(|table| table.desc) {
            for column in table.blob_columns() {
                let (of, name) = (quote(table.name), quote(column.name));
                let sql = format!(
                    "select distinct {of}.{name} || '|' || coalesce(b.path, '') from {of} left join _nizhal_blobs b \
                     on b.sha256 = json_extract({of}.{name}, '$.sha256') where {of}.{name} is not null and {of}.deleted_at is null"
                );
                for line in self.server.texts(&sql).await? {
                    let (blob, path) = line.rsplit_once('|').unwrap_or((&line, ""));
                    let blob: BlobRef = serde_json::from_str(blob).map_err(|error| format!("{blob}: {error}"))?;
                    let found = std::fs::read(self.server.blob_folder().join(path)).unwrap_or_default();
                    if hash(&found) != blob.sha256() {
                        return Err(format!(
                            "inv35: a row of `{}` names {}, whose bytes are lost",
                            table.name,
                            blob.sha256()
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Asks the server for all contents as a user does. What it may not see must look as if it were not there.
    pub(crate) async fn visible_blobs(&mut self, user: usize, in_trouble: bool) -> Check {
        let grown = self.server.version == 1;
        let rows = self.fixture.shown.rows(&mut self.server.external, user, grown, None).await?;
        for content in 0..CONTENTS {
            let blob = reference(content);
            let sha256 = blob.sha256().to_string();
            let sees = rows.values().flatten().any(|value| value.contains(&sha256));
            let url = format!("/nizhal/blob/{sha256}/url");
            let Some((status, body)) = self.server.ask_blobs(self.fixture, user, "GET", &url, &[]).await? else {
                return Ok(());
            };
            match status {
                200 if !sees => {
                    return Err(format!("inv36: user {user} gets a URL of a blob that none of its rows names"));
                }
                404 if sees => {
                    return Err(format!("inv35: user {user} sees a row and gets no URL of its blob {sha256}"));
                }
                200 => {
                    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
                    let url = said["url"].as_str().unwrap_or_default().to_owned();
                    let read = self.server.ask_blobs(self.fixture, user, "GET", &url, &[]).await?;
                    let Some((status, bytes)) = read else { return Ok(()) };
                    if status == 200 && hash(&bytes) != blob.sha256() {
                        return Err(format!("inv35: user {user} gets other bytes for {sha256}"));
                    }
                    if status != 200 && !in_trouble {
                        return Err(format!("inv35: user {user} cannot read {sha256}: {status}"));
                    }
                }
                404 => {}
                _ if in_trouble => {}
                _ => return Err(format!("inv35: a URL of a blob is answered {status}")),
            }
            // Whether a blob is stored is not told to whoever neither sees nor uploaded it.
            let wanted = json!({"mime": "image/png", "sha256": sha256, "size": blob.size()}).to_string();
            let url = "/nizhal/blob/presign-upload";
            let begun = self.server.ask_blobs(self.fixture, user, "POST", url, wanted.as_bytes()).await?;
            let Some((_, body)) = begun else { return Ok(()) };
            let said: Value = serde_json::from_slice(&body).unwrap_or_default();
            if said["done"] == true && !sees && !self.server.uploaded.contains(&(user, sha256.clone())) {
                return Err(format!(
                    "inv36: user {user} learns that {sha256} is stored, which it neither sees nor uploaded"
                ));
            }
        }
        Ok(())
    }

    /// When all is quiet: whoever sees a row that names a blob can have it, and nobody else; and what a device shows of its own it has.
    pub(crate) async fn blobs_at_last(&mut self) -> Check {
        self.blob_rows().await?;
        for user in 0..self.fixture.users.len() {
            self.visible_blobs(user, false).await?;
        }
        Ok(())
    }
}

/// The bytes of a part that is on its way.
fn part_of(message: &Message) -> Option<Vec<u8>> {
    let Load::Request(request) = &message.load else { return None };
    let call: Value = serde_json::from_slice(&request.body).ok()?;
    if call["method"] != "PUT" {
        return None;
    }
    serde_json::from_value(call["body"].clone()).ok()
}

/// What is asked about blobs, out of a request's body.
pub(crate) fn asked(body: &[u8]) -> Option<(String, String, Vec<u8>)> {
    let call: Value = serde_json::from_slice(body).ok()?;
    let text = |name: &str| call[name].as_str().map(str::to_owned);
    Some((text("method")?, text("url")?, serde_json::from_value(call["body"].clone()).ok()?))
}

/// The same as a call of the server's endpoints.
pub(crate) fn call<'a>(method: &'a str, url: &'a str, body: &'a [u8]) -> BlobCall<'a> {
    BlobCall { method, url, body }
}
