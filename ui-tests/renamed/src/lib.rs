//! Every macro, where the dependency has another name: one `extern crate` line gives it the name that expansions use.
#![cfg(test)]

extern crate other as nizhal;

mod app {
    use other::prelude::*;

    #[other::id]
    pub(super) struct ShopId(String);
    #[other::text_enum]
    pub(super) enum Status {
        Open,
    }
    #[other::table]
    pub(super) struct Ticket {
        #[nizhal(primary_key)]
        id: String,
        shop: ShopId,
        #[nizhal(default = "open")]
        status: Status,
    }
    #[other::claims]
    pub(super) struct Claims {
        user_id: String,
        owner_id: String,
        shop: ShopId,
    }
    #[other::args]
    pub(super) struct Open {
        client_id: String,
    }
    #[mutator]
    pub(super) async fn open(ctx: &mut Ctx<Claims>, args: Open) -> Result<Applied> {
        let shop = ctx.actor().shop.clone();
        ctx.jobs().enqueue(tell, Open { client_id: args.client_id.clone() })?;
        TicketActive { id: Set(args.client_id), shop: Set(shop), status: Set(Status::Open) }.insert(ctx.db()).await?;
        Ok(Applied::done())
    }
    #[other::job]
    pub(super) async fn tell(_ctx: &mut JobCtx, _args: Open) -> Result<()> {
        Ok(())
    }
    sync_rules! {
        pub(super) rules for Claims;
        rule mine(shop) {
            shop = actor.shop;
            Ticket where Ticket.shop == shop && Ticket.status == "open";
        }
    }
}

#[test]
fn every_macro_finds_its_crate() {
    assert_eq!(other::tables![app::Ticket][0].columns.len(), 3);
    assert_eq!(other::mutators![app::open][0].desc.name, "open");
    assert_eq!(other::jobs![app::tell][0].desc.name, "tell");
    assert_eq!(app::rules().into_inner()[0].tables.len(), 1);
}
