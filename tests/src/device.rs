//! A device that speaks wire 1, or wire 2 when told, and knows nothing else: the least that any client does, with checks along the way.

use crate::Address;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// An HTTP answer, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body as it came.
    pub text: String,
}

impl Reply {
    /// Sends a request.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        Self::try_of(request).await.expect("the server answers")
    }

    /// Sends a request to a server that may die under it.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn try_of(request: reqwest::RequestBuilder) -> Result<Self, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Self { status, headers, text: response.text().await? })
    }

    /// This reply, when it has this status.
    ///
    /// # Panics
    /// When it has another.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// This reply, when it is an error of this status and code, with a text and nothing of SQL in it.
    ///
    /// # Panics
    /// When it is anything else.
    pub fn refused(self, status: u16, code: &str) -> Self {
        let body = self.clone().expect(status).json();
        assert_eq!(body["code"], code, "{}", self.text);
        let text = body["error"].as_str().expect("an error has a text");
        assert!(!text.is_empty());
        for leak in ["select ", "insert ", "SQLSTATE", "_nizhal", "sqlx", "DbErr"] {
            assert!(!text.contains(leak), "the error tells of the inside: {text}");
        }
        self
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }
}

/// One page of a pull.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Live rows: table, key as text, row.
    pub changed: Vec<(String, String, Value)>,
    /// Deleted rows: table and key as text.
    pub tombstoned: Vec<(String, String)>,
    /// Rows that left the scope: table and key as text.
    pub removed: Vec<(String, String)>,
    /// Buckets that are lost.
    pub removed_buckets: Vec<String>,
    /// Whether the device drops what it holds.
    pub reset: bool,
    /// Whether another page waits.
    pub has_more: bool,
    /// The whole body.
    pub body: Value,
}

/// One device of one user.
#[derive(Clone, Debug)]
pub struct Device {
    http: reqwest::Client,
    address: Address,
    keys: BTreeMap<String, Vec<String>>,
    bucket_column: String,
    rules: BTreeMap<String, String>,
    next_mutation: i64,
    two: bool,
    /// Its token.
    pub token: String,
    /// Its `deviceId` and `clientID`.
    pub id: String,
    /// Where it is.
    pub cursor: String,
    /// What it holds: table and key as text → row.
    pub rows: BTreeMap<(String, String), Value>,
    /// The highest mutation whose effects the server says are in `rows`.
    pub acknowledged: i64,
}

impl Device {
    /// A device that holds nothing yet.
    pub fn new(address: &Address, id: &str, token: &str) -> Self {
        Self {
            http: crate::http(),
            address: address.clone(),
            keys: BTreeMap::new(),
            bucket_column: "shop_id".to_owned(),
            rules: BTreeMap::new(),
            next_mutation: 1,
            two: false,
            token: token.to_owned(),
            id: id.to_owned(),
            cursor: String::new(),
            rows: BTreeMap::new(),
            acknowledged: 0,
        }
    }

    /// Says which columns are a table's key where it is not `id`.
    #[must_use]
    pub fn key(mut self, table: &str, columns: &[&str]) -> Self {
        self.keys.insert(table.to_owned(), columns.iter().map(|&column| column.to_owned()).collect());
        self
    }

    /// Says which column names a row's bucket where it is not `shop_id`.
    #[must_use]
    pub fn bucket_column(mut self, column: &str) -> Self {
        column.clone_into(&mut self.bucket_column);
        self
    }

    /// Says which rule a table is in, where buckets of several rules have equal values; for wire 2.
    #[must_use]
    pub fn rule(mut self, table: &str, rule: &str) -> Self {
        self.rules.insert(table.to_owned(), rule.to_owned());
        self
    }

    /// Makes it speak wire 2.
    #[must_use]
    pub fn wire_two(mut self) -> Self {
        self.two = true;
        self
    }

    /// A request to the server, on this device's wire and with its token.
    fn request(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let request = self.http.post(self.address.at(path)).bearer_auth(&self.token).body(body.to_string());
        let request = request.header("content-type", "application/json");
        if self.two { request.header("x-nizhal-wire", "2") } else { request }
    }

    /// A pull from where the device is.
    pub fn pull_request(&self, limit: Option<i64>) -> reqwest::RequestBuilder {
        let mut body = json!({"cursor": self.cursor, "deviceId": self.id});
        if let Some(limit) = limit {
            body["limit"] = json!(limit);
        }
        self.request("/sync/pull", &body)
    }

    /// Sends a pull from where the device is, and takes nothing of the answer.
    pub async fn ask(&self, limit: Option<i64>) -> Reply {
        Reply::of(self.pull_request(limit)).await
    }

    /// Pulls and applies one page of at most `limit` rows.
    pub async fn page(&mut self, limit: Option<i64>) -> Page {
        let reply = self.ask(limit).await.expect(200);
        let page = self.apply(&reply.json());
        let cap = usize::try_from(limit.unwrap_or(1000).clamp(1, 10_000)).expect("a limit fits");
        assert!(page.changed.len() <= cap, "{} rows in a page of {cap}", page.changed.len());
        page
    }

    /// Pulls until nothing more waits.
    pub async fn pull(&mut self) -> Vec<Page> {
        self.pull_by(None).await
    }

    /// Pulls in pages of at most `limit` rows until nothing more waits.
    ///
    /// # Panics
    /// When the pull does not move on.
    pub async fn pull_by(&mut self, limit: impl Into<Option<i64>>) -> Vec<Page> {
        let limit = limit.into();
        let mut pages = Vec::new();
        loop {
            let before = self.cursor.clone();
            let page = self.page(limit).await;
            let has_more = page.has_more;
            pages.push(page);
            if !has_more {
                return pages;
            }
            assert_ne!(before, self.cursor, "hasMore, but the cursor stands still");
            assert!(pages.len() < 10_000, "the pull does not end");
        }
    }

    /// Takes a page's body into what the device holds, in one step, as the wire protocol tells a client to.
    ///
    /// # Panics
    /// When the page is not what the wire protocol says.
    pub fn apply(&mut self, body: &Value) -> Page {
        let page = self.read(body);
        if page.reset {
            self.rows.clear();
            // A restored server remembers fewer mutations.
            self.acknowledged = 0;
        }
        let bucket_column = &self.bucket_column;
        // Wire 2 names the rule too; the tests' tables are in one rule each.
        let (two, rules) = (self.two, &self.rules);
        let is_lost = |table: &String, value: &str| {
            page.removed_buckets.iter().any(|name| match name.split_once(':').filter(|_| two) {
                Some((rule, lost)) => lost == value && rules.get(table).is_none_or(|of| of == rule),
                None => name == value,
            })
        };
        self.rows.retain(|(table, _), row| !is_lost(table, &text_of(&row[bucket_column.as_str()])));
        for gone in page.tombstoned.iter().chain(&page.removed) {
            self.rows.remove(gone);
        }
        for (table, key, row) in &page.changed {
            self.rows.insert((table.clone(), key.clone()), row.clone());
        }
        body["cursor"].as_str().expect("a page has a cursor").clone_into(&mut self.cursor);
        assert!(self.cursor.len() <= 8192, "the cursor is longer than 8 KiB");
        if let Some(acknowledged) = body.get("lastMutationId") {
            let acknowledged = acknowledged.as_i64().expect("lastMutationId is a number");
            assert!(acknowledged >= self.acknowledged, "lastMutationId went back");
            self.acknowledged = acknowledged;
        }
        page
    }

    fn read(&self, body: &Value) -> Page {
        const FIELDS: [&str; 9] = [
            "changed",
            "tombstoned",
            "removed",
            "removedBuckets",
            "cursor",
            "epoch",
            "cursorReset",
            "hasMore",
            "lastMutationId",
        ];
        for field in body.as_object().expect("a page is an object").keys() {
            let known = FIELDS.contains(&field.as_str())
                || (self.two
                    && matches!(field.as_str(), "complete" | "unreadable" | "laterRules" | "revised" | "total"));
            assert!(known, "this wire knows no {field}");
        }
        if self.two {
            let (complete, has_more) = (body["complete"] == true, body["hasMore"] == true);
            let later = body["laterRules"].as_array().is_some_and(|rules| !rules.is_empty());
            assert!(if complete { has_more == later } else { has_more }, "complete, or there is more: {body}");
            assert!(!has_more || body.get("lastMutationId").is_none(), "the last page alone acknowledges: {body}");
        }
        uuid::Uuid::parse_str(body["epoch"].as_str().expect("a page has an epoch")).expect("the epoch is a UUID");
        let gone = |field: &str| -> Vec<(String, String)> {
            let list = body[field].as_array().unwrap_or_else(|| panic!("{field} is a list"));
            list.iter().map(|gone| (text_of(&gone["table"]), text_of(&gone["id"]))).collect()
        };
        let mut page = Page {
            tombstoned: gone("tombstoned"),
            removed: gone("removed"),
            reset: body["cursorReset"] == true,
            has_more: body["hasMore"] == true,
            body: body.clone(),
            ..Page::default()
        };
        let buckets = body["removedBuckets"].as_array().expect("removedBuckets is a list");
        page.removed_buckets = buckets.iter().map(text_of).collect();
        let mut seen: BTreeSet<(String, String)> = page.tombstoned.iter().chain(&page.removed).cloned().collect();
        for batch in body["changed"].as_array().expect("changed is a list") {
            let table = text_of(&batch["table"]);
            for row in batch["rows"].as_array().expect("rows is a list") {
                let key = self.key_of(&table, row);
                assert!(seen.insert((table.clone(), key.clone())), "{table} {key} is twice in one page: {body}");
                assert!(row.get("updated_at").is_some_and(Value::is_string), "no updated_at: {row}");
                assert_eq!(row.get("deleted_at"), Some(&Value::Null), "a live row was deleted: {row}");
                let inner = row.as_object().expect("a row is an object").keys().find(|name| name.starts_with('_'));
                assert_eq!(inner, None, "an engine column reached the device");
                page.changed.push((table.clone(), key, row.clone()));
            }
        }
        page
    }

    /// A row's key as tombstones write it.
    fn key_of(&self, table: &str, row: &Value) -> String {
        match self.keys.get(table).map(Vec::as_slice) {
            None => text_of(&row["id"]),
            Some([one]) => text_of(&row[one.as_str()]),
            // Each part as text, like a single key.
            Some(many) => {
                json!(many.iter().map(|column| text_of(&row[column.as_str()])).collect::<Vec<_>>()).to_string()
            }
        }
    }

    /// A mutation with this device's next number.
    pub fn mutation(&mut self, name: &str, args: &Value) -> Value {
        let number = self.next_mutation;
        self.next_mutation += 1;
        json!({
            "name": name, "args": args, "clientMutationId": format!("{}-{number}", self.id),
            "clientID": self.id, "mutationID": number,
        })
    }

    /// Pushes one new mutation.
    pub async fn mutate(&mut self, name: &str, args: &Value) -> Reply {
        let mutation = self.mutation(name, args);
        self.push(&[mutation]).await
    }

    /// Pushes these.
    pub async fn push(&self, mutations: &[Value]) -> Reply {
        Reply::of(self.push_request(mutations)).await
    }

    /// A push that may find a server that dies under it.
    pub fn push_request(&self, mutations: &[Value]) -> reqwest::RequestBuilder {
        self.request("/sync/push", &json!({"mutations": mutations}))
    }

    /// The row it holds under this key.
    pub fn row(&self, table: &str, key: &str) -> Option<&Value> {
        self.rows.get(&(table.to_owned(), key.to_owned()))
    }

    /// The keys it holds of a table.
    pub fn ids(&self, table: &str) -> Vec<&str> {
        self.rows.keys().filter(|(of, _)| of == table).map(|(_, key)| key.as_str()).collect()
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
