//! The clinic's real server, on both databases: what nurses do offline takes effect in the order in which they did it.

mod device;
mod wire;

const BINARY: &str = env!("CARGO_BIN_EXE_clinic");

/// A clinic with two nurses, two free slots and one dose, and another clinic.
async fn open(app: &nizhal_tests::App) {
    let mut db = app.sql().await;
    db.execute("insert into clinics (id, name, utc_offset_minutes) values ('c1', 'One', 330), ('c2', 'Two', 0)").await;
    db.execute("insert into nurses (clinic_id, user_id) values ('c1', 'kamala'), ('c1', 'nimal'), ('c2', 'eve')").await;
    let rows = "insert into slots (clinic_id, time) values ('c1', '09:00'), ('c1', '09:20'), ('c2', '09:00')";
    let stock = "insert into stock (clinic_id, vaccine, doses) values ('c1', 'measles', 1)";
    match app.database.kind() {
        nizhal_tests::Kind::Postgres => {
            db.execute(&format!("begin; set local nizhal.checkpoint = on; {rows}; {stock}; commit")).await;
        }
        nizhal_tests::Kind::Sqlite => {
            let (on, off) = ("update _nizhal_replay set checkpoint = 1", "update _nizhal_replay set checkpoint = 0");
            db.execute(&format!("begin immediate; {on}; {rows}; {stock}; {off}; commit")).await;
        }
    }
}

/// The token of a nurse.
fn token(user: &str) -> String {
    let name = user[..1].to_uppercase() + &user[1..];
    let expiry = nizhal_tests::token::expiry(3600);
    let claims = serde_json::json!({"userId": user, "ownerId": "service-1", "name": name, "exp": expiry});
    nizhal_tests::token::signed(&claims)
}
