//! The server that is measured, in a process of its own: notes of shops, heard by their members.

use nizhal::prelude::*;

#[nizhal::claims]
pub(crate) struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "notes")]
pub(crate) struct Note {
    #[nizhal(primary_key)]
    id: String,
    shop_id: String,
    text: String,
}

#[nizhal::table(name = "members", server_only)]
pub(crate) struct Member {
    #[nizhal(primary_key)]
    shop_id: String,
    #[nizhal(primary_key)]
    user_id: String,
}

sync_rules! {
    rules for Claims;

    rule my_shops(shop_id) {
        shop_id in Member.shop_id where Member.user_id == actor.user_id;
        Note where Note.shop_id == shop_id;
    }
}

#[nizhal::args]
pub(crate) struct AddNote {
    client_id: String,
    text: String,
}

#[mutator]
async fn add_note(ctx: &mut Ctx<Claims>, args: AddNote) -> Result<Applied> {
    let shop_id = Set("s1".to_owned());
    let note = NoteActive { id: Set(args.client_id), shop_id, text: Set(args.text) };
    NoteEntity::insert(note).exec_without_returning(ctx.db()).await?;
    Ok(Applied::done())
}

/// Runs the verb of this process's arguments, as an app's own binary does.
pub(crate) fn run() {
    let app = Nizhal::app("sockets").tables(tables![Note, Member]).mutators(mutators![add_note]).rules(rules());
    actix_web::rt::System::new().block_on(app.run()).expect("it runs");
}
