//! An app with a text and a map that merge, served in this process.

use actix_web::dev::ServerHandle;
use nizhal::prelude::*;
use nizhal_tests::{Address, Database, Device, Kind, token};

#[nizhal::claims]
pub(super) struct Claims {
    user_id: String,
    owner_id: String,
}

/// A note that many write.
#[nizhal::table(name = "notes", merge = "field")]
pub(super) struct Note {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    /// What it says.
    body: CrdtText,
    tags: Option<CrdtMap>,
    /// What the TypeScript system left.
    #[nizhal(crdt_root = "echo:text")]
    echo: Option<CrdtText>,
}

/// A sheet with a key of several types, in a bucket of several.
#[nizhal::table(name = "sheets")]
pub(super) struct Sheet {
    #[nizhal(primary_key)]
    day: Date,
    #[nizhal(primary_key)]
    id: Uuid,
    room: Uuid,
    shelf: i64,
    title: Option<String>,
    text: CrdtText,
}

/// Where somebody's sheets are.
#[nizhal::table(name = "seats")]
struct Seat {
    #[nizhal(primary_key)]
    user_id: String,
    room: Uuid,
    shelf: i64,
}

sync_rules! {
    rules for Claims;

    rule sheets(room, shelf) {
        room in Seat.room where Seat.user_id == actor.user_id;
        shelf in Seat.shelf where Seat.user_id == actor.user_id;
        Sheet where Sheet.room == room && Sheet.shelf == shelf;
    }

    rule mine(owner) {
        owner = actor.owner_id;
        Note where Note.owner == owner;
    }
}

#[nizhal::args]
struct AddNote {
    client_id: String,
    text: Option<String>,
    body: Option<CrdtUpdate>,
}

/// Adds a note with a first text, or with the document that a device made.
#[mutator]
async fn add_note(ctx: &mut Ctx<Claims>, args: AddNote) -> Result<Applied> {
    let body = match &args.body {
        Some(update) => CrdtText::from_update(update)?,
        None => CrdtText::from_text(args.text.as_deref().unwrap_or_default()),
    };
    let owner = ctx.actor().owner_id.clone();
    let note =
        NoteActive { id: Set(args.client_id), owner: Set(owner), body: Set(body), tags: Set(None), echo: Set(None) };
    note.insert(ctx.db()).await?;
    Ok(Applied::done())
}

#[nizhal::args]
struct Edit {
    id: String,
    update: CrdtUpdate,
}

/// Merges into the body; a body of more than 100,000 bytes is refused.
#[mutator]
async fn edit_body(ctx: &mut Ctx<Claims>, args: Edit) -> Result<Applied> {
    let body = ctx.merge(Note::COLS.body, args.id, &args.update).await?;
    if body.text()?.len() > 100_000 {
        return Err(reject!("a note has at most 100,000 bytes"));
    }
    Ok(Applied::done())
}

/// Merges into what the TypeScript system left.
#[mutator]
async fn edit_echo(ctx: &mut Ctx<Claims>, args: Edit) -> Result<Applied> {
    ctx.merge(Note::COLS.echo, args.id, &args.update).await?;
    Ok(Applied::done())
}

/// Merges into the tags.
#[mutator]
async fn edit_tags(ctx: &mut Ctx<Claims>, args: Edit) -> Result<Applied> {
    ctx.merge(Note::COLS.tags, args.id, &args.update).await?;
    Ok(Applied::done())
}

#[nizhal::args]
struct Rewrite {
    id: String,
    text: String,
}

/// Puts another document in the body's place.
#[mutator]
async fn rewrite_body(ctx: &mut Ctx<Claims>, args: Rewrite) -> Result<Applied> {
    let Some(note) = Note::find_by_id(args.id).one(ctx.db()).await? else { return Err(reject!("no such note")) };
    let mut note = note.into_active_model();
    note.body = Set(CrdtText::from_text(&args.text));
    note.update(ctx.db()).await?;
    Ok(Applied::done())
}

/// Puts another document in the echo's place, by a name that the column does not keep.
#[mutator]
async fn rewrite_echo(ctx: &mut Ctx<Claims>, args: Rewrite) -> Result<Applied> {
    let Some(note) = Note::find_by_id(args.id).one(ctx.db()).await? else { return Err(reject!("no such note")) };
    let mut note = note.into_active_model();
    note.echo = Set(Some(match args.text.as_str() {
        "right" => CrdtText::from_text_in("echo:text", "right"),
        text => CrdtText::from_text(text),
    }));
    note.update(ctx.db()).await?;
    Ok(Applied::done())
}

#[nizhal::args]
struct AddMany {
    ids: Vec<String>,
    /// The name under which each echo is kept.
    root: String,
}

/// Adds notes with an echo, by one statement that goes by no active model.
#[mutator]
async fn add_many(ctx: &mut Ctx<Claims>, args: AddMany) -> Result<Applied> {
    let owner = &ctx.actor().owner_id;
    let notes = args.ids.into_iter().map(|id| NoteActive {
        id: Set(id),
        owner: Set(owner.clone()),
        body: Set(CrdtText::new()),
        tags: Set(None),
        echo: Set(Some(CrdtText::from_text_in(&args.root, "echo"))),
    });
    Note::insert_many(notes).exec(ctx.db()).await?;
    Ok(Applied::done())
}

#[nizhal::args]
struct Execute {
    sql: Vec<String>,
}

/// Runs SQL that knows nothing of documents.
#[mutator]
async fn execute(ctx: &mut Ctx<Claims>, args: Execute) -> Result<Applied> {
    for sql in &args.sql {
        ctx.db().execute_unprepared(sql).await?;
    }
    Ok(Applied::done())
}

/// The app on a fresh database.
pub(super) struct App {
    pub(super) server: nizhal::Server,
    address: Address,
    http: ServerHandle,
    // Dropped, and so removed, when all is stopped.
    _database: Database,
}

impl App {
    pub(super) async fn start(kind: Kind) -> Self {
        let database = Database::new(kind).await;
        let app = Nizhal::app("notes").tables(tables![Note, Sheet, Seat]).rules(rules());
        let named = mutators![add_note, edit_body, edit_echo, edit_tags, rewrite_body, rewrite_echo];
        let app = app.mutators(named.into_iter().chain(mutators![add_many, execute]).collect());
        let server = app.database_url(database.url()).auth_secret(token::SECRET).server().await.expect("it starts");
        let routes = server.routes();
        let http = actix_web::HttpServer::new(move || actix_web::App::new().configure(routes.clone()));
        let http = http.workers(2).disable_signals().bind(("127.0.0.1", 0)).expect("a free port");
        let address = Address::fixed(format!("http://{}", http.addrs()[0]));
        let running = http.run();
        let handle = running.handle();
        actix_web::rt::spawn(running);
        Self { server, address, http: handle, _database: database }
    }

    /// A device of this user; all of them share one owner's notes.
    pub(super) fn device(&self, user: &str) -> Device {
        let token = token::signed(&token::claims(user, None));
        Device::new(&self.address, user, &token).bucket_column("owner")
    }

    pub(super) async fn get(&self, path: &str) -> serde_json::Value {
        let reply = nizhal_tests::Reply::of(
            nizhal_tests::http().get(self.address.at(path)).bearer_auth(token::signed(&token::claims("ann", None))),
        );
        reply.await.expect(200).json()
    }

    pub(super) async fn stop(self) {
        self.http.stop(true).await;
        self.server.shutdown().await;
    }
}

impl Note {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The body as the server reads it.
    pub(super) fn text(&self) -> String {
        self.body.text().expect("the state is whole")
    }

    /// What the TypeScript system left, as the server reads it.
    pub(super) fn echo(&self) -> String {
        self.echo.as_ref().map(|echo| echo.text().expect("the state is whole")).unwrap_or_default()
    }

    /// The tags as the server reads them.
    pub(super) fn tags(&self) -> serde_json::Value {
        self.tags.as_ref().expect("there are tags").to_json().expect("the state is whole")
    }
}
