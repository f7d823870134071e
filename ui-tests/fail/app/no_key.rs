//! No primary key. The rules, the mutator and the lists find the app as if it were mended.
use nizhal::prelude::*;

#[nizhal::claims]
pub struct Claims {
    pub user_id: String,
    pub owner_id: String,
}

#[nizhal::table(server_only)]
pub struct ShopMember {
    #[nizhal(primary_key)]
    pub shop_id: String,
    #[nizhal(primary_key)]
    pub user_id: String,
}

#[nizhal::table(name = "reminders")]
pub struct Reminder {
    pub id: String,
    pub shop_id: String,
    #[nizhal(default = 1)]
    pub count: i64,
    #[nizhal(rename = "ref")]
    pub reference: Option<String>,
    pub note: Option<String>,
}

sync_rules! {
    pub rules for Claims;

    rule my_shops(shop_id) {
        shop_id in ShopMember.shop_id where ShopMember.user_id == actor.user_id;
        Reminder where Reminder.shop_id == shop_id;
    }
}

#[nizhal::args]
pub struct Remind {
    pub id: String,
}

#[mutator]
pub async fn remind(ctx: &mut Ctx<Claims>, args: Remind) -> Result<Applied> {
    if let Some(reminder) = Reminder::find_by_id(&*args.id).one(ctx.db()).await? {
        let mut reminder = reminder.into_active_model();
        reminder.count = Set(5);
        reminder.update(ctx.db()).await?;
    }
    Reminder::delete_many().filter(ReminderColumn::ShopId.eq("closed")).exec(ctx.db()).await?;
    ReminderActive { id: Set(args.id.clone()), shop_id: Set(ctx.actor().user_id.clone()), ..Default::default() }
        .insert(ctx.db())
        .await?;
    Ok(Applied::id(args.id))
}

fn main() {
    let _ = (tables![Reminder, ShopMember], mutators![remind], rules());
}
