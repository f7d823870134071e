//! The device's file as another process reads it: what is on the disk, whatever the store believes.

use crate::app::Device;
use nizhal_client::MutateError;
use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use std::path::Path;

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).read_only(true).connect().await.expect("the file is opened")
}

async fn texts(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let read = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await;
    read.unwrap_or_else(|error| panic!("`{sql}`: {error}"))
}

/// All rows of all tables, as texts.
pub(crate) async fn dump(path: &Path) -> Vec<String> {
    let mut file = connect(path).await;
    let tables = "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' order by name";
    let mut all = Vec::new();
    for table in texts(&mut file, tables).await {
        let columns = format!("select 'quote(\"' || name || '\")' from pragma_table_xinfo('{table}')");
        let columns = texts(&mut file, &columns).await.join(" || ',' || ");
        all.extend(texts(&mut file, &format!("select '{table}: ' || {columns} from \"{table}\" order by 1")).await);
    }
    file.close().await.expect("it is closed");
    all
}

/// The ids of mutations that wait.
pub(crate) async fn outbox(path: &Path) -> Vec<String> {
    let mut file = connect(path).await;
    let ids = waiting(&mut file).await;
    file.close().await.expect("it is closed");
    ids
}

async fn waiting(file: &mut SqliteConnection) -> Vec<String> {
    texts(file, "select id from _nizhal_outbox order by seq").await
}

/// Four writes and a refusal, each of which must be on the disk when it was acknowledged, and the store must tell the same.
pub(crate) async fn works_on(device: &Device, path: &Path, what: &str) {
    let mut file = connect(path).await;
    let mut acknowledged = waiting(&mut file).await;
    for (number, item) in ["v", "w", "w", "x", "y"].into_iter().enumerate() {
        let (id, item) = (format!("later-{number}"), format!("later-{item}"));
        match device.try_mutate_as(&id, "put", json!({"id": item, "name": "L"})).await {
            Ok(_) => acknowledged.push(id),
            Err(MutateError::Rejected(_)) if number == 2 => {}
            Err(error) => panic!("{what}: write {number}: {error:?}"),
        }
        assert_eq!(waiting(&mut file).await, acknowledged, "{what}: after write {number}");
    }
    let told: Vec<String> = device.outbox().await.into_iter().map(|mutation| mutation.client_mutation_id).collect();
    assert!(acknowledged.ends_with(&told), "{what}: {told:?} wait");
    file.close().await.expect("it is closed");
}
