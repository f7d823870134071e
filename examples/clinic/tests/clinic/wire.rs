//! By the wire: who has a slot, what a refusal says, and that doses never fall below zero, whatever arrives first.

use crate::{open, token};
use nizhal_tests::{App, Device, both};
use serde_json::{Value, json};

both![
    inv37_the_first_booking_has_the_slot_whichever_arrives_first,
    inv37_the_last_dose_is_reserved_once,
    a_slot_is_given_back_by_who_booked_it,
    a_delivery_that_came_before_makes_doses_good,
    inv18_another_clinic_is_out_of_reach,
    only_its_mutators_write_the_clinic,
    the_log_has_what_arrived_and_in_which_order_it_counts,
];

fn phone(app: &App, user: &str) -> Device {
    Device::new(&app.address, &format!("{user}-phone"), &token(user))
        .wire_two()
        .bucket_column("clinic_id")
        .key("slots", &["clinic_id", "time"])
        .key("stock", &["clinic_id", "vaccine"])
}

/// What a nurse did yesterday, at this minute after four in the morning, UTC.
struct Deed<'a> {
    user: &'a str,
    minute: u32,
    number: i64,
    name: &'a str,
    args: Value,
}

/// The day before today, whose times are never ahead of the server's clock.
fn yesterday() -> String {
    let now = nizhal_tests::token::expiry(-24 * 3600);
    let day = nizhal::DateTimeUtc::from_timestamp(now, 0).expect("a time");
    day.format("%Y-%m-%d").to_string()
}

impl Deed<'_> {
    /// Arrives at the server; gives its status and the reason of a refusal.
    async fn arrive(&self, app: &App) -> (String, String) {
        let stamp = format!("{}T04:{:02}:00.000Z-0000-{:032x}", yesterday(), self.minute, 1);
        let mutation = json!({
            "name": self.name, "args": self.args, "hlc": stamp, "mutationID": self.number,
            "clientMutationId": format!("{}-{}", self.user, self.number), "clientID": format!("{}-phone", self.user),
        });
        let body = json!({"mutations": [mutation]}).to_string();
        let request = app.request("POST".parse().expect("a method"), "/sync/push").bearer_auth(token(self.user));
        let request = request.header("content-type", "application/json").header("x-nizhal-wire", "2").body(body);
        let answer = nizhal_tests::Reply::of(request).await.expect(200).json();
        let text = |name: &str| answer["results"][0][name].as_str().unwrap_or_default().to_owned();
        (text("status"), text("error"))
    }
}

fn book<'a>(user: &'a str, minute: u32, number: i64) -> Deed<'a> {
    let args = json!({"clinicId": "c1", "time": "09:00", "patient": format!("{user}'s patient")});
    Deed { user, minute, number, name: "bookSlot", args }
}

fn reserve<'a>(user: &'a str, minute: u32, number: i64) -> Deed<'a> {
    let id = format!("00000000-0000-4000-8000-{:012}", minute);
    let args = json!({"clientId": id, "clinicId": "c1", "vaccine": "measles", "patient": "Sunil"});
    Deed { user, minute, number, name: "reserveDose", args }
}

fn applied() -> (String, String) {
    ("applied".to_owned(), String::new())
}

fn rejected(reason: &str) -> (String, String) {
    ("rejected".to_owned(), reason.to_owned())
}

/// Pulls, and gives what the server says of the device's own mutations: id, status and reason.
async fn revised(device: &mut Device) -> Vec<[String; 3]> {
    let pages = device.pull().await;
    let all = pages.iter().flat_map(|page| page.body["revised"].as_array().cloned().unwrap_or_default());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    all.map(|one| [text(&one["clientMutationId"]), text(&one["status"]), text(&one["error"])]).collect()
}

async fn inv37_the_first_booking_has_the_slot_whichever_arrives_first(app: App) {
    open(&app).await;
    let (mut kamala, mut nimal) = (phone(&app, "kamala"), phone(&app, "nimal"));
    assert_eq!(book("nimal", 35, 1).arrive(&app).await, applied());
    assert_eq!(revised(&mut nimal).await, [[""; 3]; 0]);
    assert_eq!(book("kamala", 32, 1).arrive(&app).await, applied());

    // 04:32 in London is 10:02 in Colombo.
    let reason = "this slot was taken by Kamala at 10:02";
    let told = ["nimal-1", "rejected", reason].map(str::to_owned);
    assert_eq!(revised(&mut nimal).await, [told]);
    assert_eq!(revised(&mut kamala).await, [[""; 3]; 0]);
    for device in [&kamala, &nimal] {
        let (_, slot) = device.rows.iter().find(|(_, row)| row["time"] == "09:00").expect("the slot");
        assert_eq!((&slot["patient"], &slot["nurse"]), (&json!("kamala's patient"), &json!("Kamala")));
    }
    // In the order in which they were made, it is refused at once.
    assert_eq!(book("nimal", 40, 2).arrive(&app).await, rejected(reason));
}

async fn inv37_the_last_dose_is_reserved_once(app: App) {
    open(&app).await;
    let mut nimal = phone(&app, "nimal");
    assert_eq!(reserve("nimal", 35, 1).arrive(&app).await, applied());
    assert_eq!(
        reserve("nimal", 36, 2).arrive(&app).await,
        rejected("no dose of measles is left: Nimal reserved the last one at 10:05")
    );
    assert_eq!(reserve("kamala", 30, 1).arrive(&app).await, applied());
    let reason = "no dose of measles is left: Kamala reserved the last one at 10:00";
    assert_eq!(revised(&mut nimal).await.first(), Some(&["nimal-1", "rejected", reason].map(str::to_owned)));
    let doses = app.sql().await.rows("select doses from stock where clinic_id = 'c1'").await;
    assert_eq!(doses, [[Some("0".to_owned())]]);
    assert_eq!(app.sql().await.count("doses").await, 1);
}

async fn a_slot_is_given_back_by_who_booked_it(app: App) {
    open(&app).await;
    let free = |user, minute, number| {
        let args = json!({"clinicId": "c1", "time": "09:00"});
        Deed { user, minute, number, name: "freeSlot", args }
    };
    assert_eq!(free("nimal", 1, 1).arrive(&app).await, rejected("this slot is free already"));
    assert_eq!(book("kamala", 2, 1).arrive(&app).await, applied());
    assert_eq!(free("nimal", 3, 2).arrive(&app).await, rejected("this slot is Kamala's to give back"));
    assert_eq!(book("nimal", 5, 3).arrive(&app).await, rejected("this slot was taken by Kamala at 9:32"));
    // She gave it back before Nimal asked, and her phone says so only now: his booking is good.
    assert_eq!(free("kamala", 4, 2).arrive(&app).await, applied());
    let mut nimal = phone(&app, "nimal");
    assert_eq!(revised(&mut nimal).await, [["nimal-3", "applied", ""].map(str::to_owned)]);
    let nowhere = json!({"clinicId": "c1", "time": "12:34", "patient": "Sunil"});
    let nowhere = Deed { user: "kamala", minute: 6, number: 3, name: "bookSlot", args: nowhere };
    assert_eq!(nowhere.arrive(&app).await, rejected("the clinic has no slot at 12:34"));
}

async fn a_delivery_that_came_before_makes_doses_good(app: App) {
    open(&app).await;
    let receive = |minute, number, doses: i64| {
        let args = json!({"clinicId": "c1", "vaccine": "measles", "doses": doses});
        Deed { user: "kamala", minute, number, name: "receiveDoses", args }
    };
    for number in 1..=3 {
        reserve("nimal", 30 + u32::try_from(number).expect("small"), number).arrive(&app).await;
    }
    assert_eq!(receive(9, 1, 0).arrive(&app).await, rejected("a delivery has 1 to 10000 doses, not 0"));
    assert_eq!(receive(10, 2, 2).arrive(&app).await, applied());
    let mut nimal = phone(&app, "nimal");
    let good = |id: &str| [id, "applied", ""].map(str::to_owned);
    assert_eq!(revised(&mut nimal).await, [good("nimal-2"), good("nimal-3")]);
    let doses = app.sql().await.rows("select doses from stock where clinic_id = 'c1'").await;
    assert_eq!(doses, [[Some("0".to_owned())]]);
    assert_eq!(reserve("nimal", 32, 4).arrive(&app).await, rejected("a dose with this clientId is reserved already"));
}

async fn inv18_another_clinic_is_out_of_reach(app: App) {
    open(&app).await;
    let (status, _) = Deed { user: "eve", ..book("nimal", 5, 1) }.arrive(&app).await;
    assert_eq!(status, "forbidden");
    let mut eve = phone(&app, "eve");
    eve.pull().await;
    let tables: Vec<&str> = eve.rows.keys().map(|(table, _)| table.as_str()).collect();
    assert_eq!(tables, ["clinics", "slots"], "of her own clinic");
}

async fn only_its_mutators_write_the_clinic(app: App) {
    open(&app).await;
    let mut db = app.sql().await;
    db.try_execute("update stock set doses = 100").await.expect_err("psql does not write a replayed table");
    let doses = db.rows("select doses from stock where clinic_id = 'c1'").await;
    assert_eq!(doses, [[Some("1".to_owned())]]);
}

async fn the_log_has_what_arrived_and_in_which_order_it_counts(mut app: App) {
    app.set_up = app.set_up.clone().env("NIZHAL_ADMIN_PASSWORD", nizhal_tests::token::ADMIN);
    app.restart();
    open(&app).await;
    for deed in [book("nimal", 35, 1), book("kamala", 32, 1)] {
        deed.arrive(&app).await;
    }
    let log = app.get("/nizhal/audit", nizhal_tests::token::ADMIN).await.expect(200).json();
    let entries = log["entries"].as_array().expect("entries");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let shown = |entry: &Value| {
        (text(&entry["kind"]), text(&entry["clientMutationId"]), text(&entry["status"]), text(&entry["place"]))
    };
    let place = |minute, id: &str| format!("{}T04:{minute}:00.000Z-0000-{:032x} {id}", yesterday(), 1);
    let entry = |kind: &str, id: &str, status: &str, minute| {
        (kind.to_owned(), id.to_owned(), status.to_owned(), place(minute, id))
    };
    let mut arrived: Vec<_> = entries.iter().map(shown).collect();
    // The two of one transaction are in no order.
    arrived[1..].sort();
    let wanted = [
        entry("mutation", "nimal-1", "applied", 35),
        entry("mutation", "kamala-1", "applied", 32),
        entry("revised", "nimal-1", "refused", 35),
    ];
    assert_eq!(arrived, wanted);
}
