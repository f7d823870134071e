//! A row has the same bytes whichever database serves it: every column type, against one golden text.

use nizhal::prelude::*;
use nizhal_tests::{Address, Database, Device, Kind, token};

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

/// One column of each type, and one of each that may be NULL.
#[nizhal::table(name = "everything")]
struct Everything {
    #[nizhal(primary_key)]
    owner: String,
    #[nizhal(primary_key)]
    place: i32,
    flag: bool,
    small: i16,
    large: i64,
    single: f32,
    double: f64,
    money: Decimal,
    uuid: Uuid,
    moment: DateTimeUtc,
    day: Date,
    hour: Time,
    json: Json,
    bytes: Vec<u8>,
    no_flag: Option<bool>,
    no_text: Option<String>,
    no_large: Option<i64>,
    no_double: Option<f64>,
    no_money: Option<Decimal>,
    no_uuid: Option<Uuid>,
    no_moment: Option<DateTimeUtc>,
    no_day: Option<Date>,
    no_hour: Option<Time>,
    no_json: Option<Json>,
    no_bytes: Option<Vec<u8>>,
    #[nizhal(private)]
    secret: Option<String>,
}

sync_rules! {
    rules for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Everything where Everything.owner == owner;
    }
}

#[nizhal::args]
struct Fill {}

/// Writes one row of ordinary values and one of extremes.
#[mutator]
async fn fill(ctx: &mut Ctx<Claims>, _args: Fill) -> Result<Applied> {
    let moment = |text: &str| text.parse::<DateTimeUtc>().map_err(nizhal::Error::internal);
    let ordinary = EverythingActive {
        owner: Set("ann".to_owned()),
        place: Set(1),
        flag: Set(true),
        small: Set(-7),
        large: Set(42),
        single: Set(1.5),
        double: Set(0.1),
        money: Set("12.50".parse().map_err(nizhal::Error::internal)?),
        uuid: Set(Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)),
        moment: Set(moment("2026-01-02T03:04:05.120Z")?),
        day: Set("2026-02-28".parse().map_err(nizhal::Error::internal)?),
        hour: Set("23:59:58.5".parse().map_err(nizhal::Error::internal)?),
        json: Set(Json(serde_json::json!({"b": [1, "x", null, 1.5, 1e30, -0.0], "aa": {"nested": true}}))),
        bytes: Set(vec![0, 255, 254, 1]),
        secret: Set(Some("never sent".to_owned())),
        ..Default::default()
    };
    let extreme = EverythingActive {
        place: Set(i32::MIN),
        flag: Set(false),
        small: Set(i16::MIN),
        large: Set(i64::MIN),
        single: Set(-0.1),
        double: Set(1e300),
        money: Set("-1234567890123456789012345678".parse().map_err(nizhal::Error::internal)?),
        uuid: Set(Uuid::max()),
        moment: Set(moment("1969-12-31T23:59:59.999999Z")?),
        day: Set("0001-01-01".parse().map_err(nizhal::Error::internal)?),
        hour: Set("00:00:00".parse().map_err(nizhal::Error::internal)?),
        json: Set(Json(serde_json::json!("\u{1}\"\\é😀\u{2028}</script>"))),
        bytes: Set(Vec::new()),
        no_text: Set(Some("\u{1}\u{7f}\"\\/\n\té😀".to_owned())),
        no_large: Set(Some(i64::MAX)),
        ..ordinary.clone()
    };
    ordinary.insert(ctx.db()).await?;
    extreme.insert(ctx.db()).await?;
    Ok(Applied::done())
}

/// `updated_at` is taken out; all else is to the letter.
const GOLDEN: [&str; 2] = [
    concat!(
        r#"{"owner":"ann","place":-2147483648,"flag":false,"small":-32768,"large":"-9223372036854775808","single":-0.1,"#,
        r#""double":1e+300,"money":"-1234567890123456789012345678","uuid":"ffffffff-ffff-ffff-ffff-ffffffffffff","#,
        r#""moment":"1969-12-31T23:59:59.999999Z","day":"0001-01-01","hour":"00:00:00","#,
        r#""json":"\u0001\"\\é😀"#,
        "\u{2028}",
        r#"</script>","bytes":"","no_flag":null,"no_text":"\u0001"#,
        "\u{7f}",
        r#"\"\\/\n\té😀","no_large":"9223372036854775807","no_double":null,"no_money":null,"no_uuid":null,"#,
        r#""no_moment":null,"no_day":null,"no_hour":null,"no_json":null,"no_bytes":null,"updated_at":"…","deleted_at":null}"#,
    ),
    concat!(
        r#"{"owner":"ann","place":1,"flag":true,"small":-7,"large":"42","single":1.5,"double":0.1,"money":"12.50","#,
        r#""uuid":"01234567-89ab-cdef-0123-456789abcdef","moment":"2026-01-02T03:04:05.120000Z","day":"2026-02-28","#,
        r#""hour":"23:59:58.500000","json":{"aa":{"nested":true},"b":[1,"x",null,1.5,1e30,0.0]},"bytes":"AP/+AQ==","no_flag":null,"#,
        r#""no_text":null,"no_large":null,"no_double":null,"no_money":null,"no_uuid":null,"no_moment":null,"#,
        r#""no_day":null,"no_hour":null,"no_json":null,"no_bytes":null,"updated_at":"…","deleted_at":null}"#,
    ),
];

async fn rows_have_the_golden_bytes(kind: Kind) {
    let database = Database::new(kind).await;
    let app = Nizhal::app("everything").tables(tables![Everything]).mutators(mutators![fill]).rules(rules());
    let server = app.database_url(database.url()).auth_secret(token::SECRET).server().await.expect("it starts");
    let routes = server.routes();
    let http = actix_web::HttpServer::new(move || actix_web::App::new().configure(routes.clone()));
    let http = http.workers(1).disable_signals().bind(("127.0.0.1", 0)).expect("a free port");
    let address = Address::fixed(format!("http://{}", http.addrs()[0]));
    let running = http.run();
    let handle = running.handle();
    actix_web::rt::spawn(running);

    let token = token::signed(&token::claims("ann", None));
    let mut device = Device::new(&address, "d", &token).key("everything", &["owner", "place"]).bucket_column("owner");
    device.mutate("fill", &serde_json::json!({})).await.expect(200);
    let text = device.ask(None).await.expect(200).text;
    let page = device.page(None).await;
    let updated = |row: &serde_json::Value| row["updated_at"].as_str().expect("a moment").to_owned();
    let redacted = page.changed.iter().fold(text, |text, (_, _, row)| text.replace(&updated(row), "…"));
    let wanted = format!(r#""rows":[{}]"#, GOLDEN.join(","));
    assert!(redacted.contains(&wanted), "expected {wanted}\n     got {redacted}");

    if kind == Kind::Postgres {
        streamed_rows_have_them_too(&database, &address).await;
    }

    // A composite key is the JSON array of its parts as text.
    database.connect().await.execute("delete from everything where place = 1").await;
    assert_eq!(device.page(None).await.tombstoned, [("everything".to_owned(), r#"["ann","1"]"#.to_owned())]);
    assert_eq!(device.ids("everything"), [r#"["ann","-2147483648"]"#]);

    handle.stop(true).await;
    server.shutdown().await;
}

/// A stream's first thousand rows come as a page's do, and what follows in another way.
async fn streamed_rows_have_them_too(database: &Database, address: &Address) {
    let mut db = database.connect().await;
    let copy = |places: &str, of: &str| {
        format!(
            "insert into everything select (jsonb_populate_record(e, jsonb_build_object('owner', 'bob', 'place', {places}))).* \
             from everything e, generate_series(100, 1300) i where owner = 'ann' and {of}"
        )
    };
    db.execute(&copy("i", "place = 1")).await;
    db.execute(&copy("e.place", "i = 100")).await;
    let bob = Device::new(address, "b", &token::signed(&token::claims("bob", None))).wire_two();
    let asked = bob.pull_request(None).header("accept", "application/x-ndjson").send().await.expect("an answer");
    let text = asked.text().await.expect("all lines");
    let (mut rows, mut redacted) = (0, text.clone());
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        for row in line["rows"].as_array().into_iter().flatten() {
            rows += 1;
            redacted = match row["place"].as_i64() {
                Some(1 | -2_147_483_648) => redacted.replace(row["updated_at"].as_str().expect("a moment"), "…"),
                _ => redacted,
            };
        }
    }
    assert_eq!(rows, 1_203, "each once");
    for golden in GOLDEN {
        let wanted = golden.replace("\"ann\"", "\"bob\"");
        assert!(redacted.contains(&wanted), "expected {wanted}");
    }
}

#[actix_web::test]
async fn postgres() {
    rows_have_the_golden_bytes(Kind::Postgres).await;
}

#[actix_web::test]
async fn sqlite() {
    rows_have_the_golden_bytes(Kind::Sqlite).await;
}

/// Another encoding cannot keep what devices send, or gives bytes that are no text: either would be a 500 for ever.
#[actix_web::test]
async fn inv40_a_database_of_another_encoding_is_refused_at_the_start() {
    let database = Database::new(Kind::Postgres).await;
    let mut admin = database.connect().await;
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let (server, name) = database.url().rsplit_once('/').expect("a URL");
        let name = format!("{}_{}", name.split('?').next().expect("a name"), encoding.to_lowercase());
        let made =
            format!("create database {name} encoding '{encoding}' lc_collate 'C' lc_ctype 'C' template template0");
        admin.execute(&made).await;
        let app = Nizhal::app("everything").tables(tables![Everything]).mutators(mutators![fill]).rules(rules());
        let app = app.database_url(format!("{server}/{name}").as_str()).auth_secret(token::SECRET);
        let refused = app.server().await.map(drop).expect_err("it cannot keep every text");
        let told = std::error::Error::source(&refused).map(ToString::to_string).unwrap_or_default();
        assert!(told.contains(encoding) && told.contains("encoding 'UTF8'"), "{refused}: {told}");
        admin.execute(&format!("drop database {name} with (force)")).await;
    }
}
