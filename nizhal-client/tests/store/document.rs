//! JSON and enums as the server may send them: a cell that the app's own types cannot read is its row's trouble alone.

use crate::app::{Claims, Device, Member, new_id};
use crate::run;
use nizhal::prelude::*;
use nizhal_client::store::{Location, OtherUser, PullAnswer, Store as _};
use serde_json::json;

#[nizhal::args]
#[derive(Clone, PartialEq)]
struct Size {
    wide: u8,
}

#[nizhal::text_enum]
enum State {
    Open,
    Done,
}

#[nizhal::table(name = "papers")]
struct Paper {
    #[nizhal(primary_key)]
    id: String,
    shop: String,
    text: Json,
    size: Option<Json<Size>>,
    state: State,
}

sync_rules! {
    rules for Claims;

    rule shops(shop) {
        shop in Member.shop where Member.user_id == actor.user_id;
        Paper where Paper.shop == shop;
    }
}

fn paper(id: &str, text: &str, size: &str, state: &str) -> String {
    format!(
        r#"{{"id":"{id}","shop":"s1","text":{text},"size":{size},"state":"{state}","updated_at":null,"deleted_at":null}}"#
    )
}

#[test]
fn inv40_a_document_that_cannot_be_read_is_its_rows_trouble_alone() {
    run(async {
        let tables = tables![Paper, Member];
        let device = Device::with(&Location::Memory, OtherUser::Refuse, "ana", tables, rules().into_inner()).await;
        let device = device.expect("a store in memory");
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        let (long, open) = ("1".repeat(500), "open");
        let rows = [
            paper("a", r#"{"a":[1.5e300,"\u0000"]}"#, r#"{"wide":255}"#, open),
            paper("big", "1e400", "null", open),
            paper("deep", &deep, "null", open),
            paper("half", r#"["\ud800"]"#, "null", open),
            paper("long", &format!(r#"{{"a":{long}}}"#), "null", open),
            paper("state", "null", "null", "shut"),
            paper("wide", "null", r#"{"wide":256}"#, open),
            paper("z", "null", "null", "done"),
        ];
        let page = json!({"changed": [{"table": "papers", "rows": "ROWS"}], "tombstoned": [], "removed": [], "removedBuckets": [],
            "cursor": "c1", "epoch": "e1", "complete": true});
        let page = page.to_string().replace(r#""ROWS""#, &format!("[{}]", rows.join(",")));
        let asked = device.store.begin_pull().await.expect("a pull begins");
        let answer = PullAnswer { page: page.into_bytes(), ..PullAnswer::default() };
        device.store.store_pull(&asked, answer, &new_id).await.expect("an answer is stored");
        let read =
            Paper::find().order_by_asc(PaperColumn::Id).all(device.store.reads()).await.expect("the others are read");
        assert_eq!(read.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["a", "z"]);
        assert_eq!((read[0].size.as_ref().map(|size| size.wide), read[1].state), (Some(255), State::Done));
        let told = device.store.unreadable().await.expect("they are told");
        let told: Vec<_> = told.iter().map(|row| (row.key.as_str(), row.column.as_str())).collect();
        let wanted = [
            ("big", "text"),
            ("deep", "text"),
            ("half", "text"),
            ("long", "text"),
            ("state", "state"),
            ("wide", "size"),
        ];
        assert_eq!(told, wanted);
    });
}
