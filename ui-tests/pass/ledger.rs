//! The credit ledger's tables, rule and two of its mutators.
#![deny(warnings, missing_docs)]
#![allow(unreachable_pub)]

use nizhal::prelude::*;

/// A shop's customer.
#[nizhal::table(name = "customers", merge = "field")]
pub struct Customer {
    /// The device proposes it.
    #[nizhal(primary_key)]
    pub id: String,
    /// The shop.
    pub shop_id: String,
    /// What the shop calls them.
    pub name: String,
    /// For reminders.
    pub phone: Option<String>,
    /// Anything.
    pub note: Option<String>,
    /// The device's own id.
    #[nizhal(unique)]
    pub client_id: Option<String>,
    /// When.
    #[nizhal(default = now)]
    pub created_at: DateTimeUtc,
}

/// A credit or a payment.
#[nizhal::table(name = "ledger_entries")]
#[derive(Debug, Eq, PartialEq)]
pub struct LedgerEntry {
    /// The device proposes it.
    #[nizhal(primary_key)]
    pub id: String,
    /// The shop.
    pub shop_id: String,
    /// The customer.
    pub customer_id: String,
    /// Credit above zero, payment below.
    pub amount: Decimal,
    /// Why.
    #[nizhal(rename = "ref")]
    pub reference: Option<String>,
    /// Out of sight.
    #[nizhal(default = false)]
    pub hidden: bool,
    /// How often.
    #[nizhal(default = -1)]
    pub times: i32,
}

/// A shop.
#[nizhal::table(name = "shops", server_only)]
pub struct Shop {
    /// The shop.
    #[nizhal(primary_key)]
    pub id: String,
    /// The money it counts in.
    #[nizhal(default = "LKR")]
    pub currency: String,
    /// Nobody else's business.
    #[nizhal(private)]
    pub pin: Option<String>,
}

/// Who belongs to a shop.
#[nizhal::table(name = "shop_members", server_only)]
pub struct ShopMember {
    /// The shop.
    #[nizhal(primary_key)]
    pub shop_id: String,
    /// The user.
    #[nizhal(primary_key)]
    pub user_id: String,
    /// `owner` or `clerk`.
    pub role: String,
}

/// What a token says.
#[nizhal::claims]
pub struct Claims {
    /// The user.
    pub user_id: String,
    /// The tenant.
    pub owner_id: String,
    /// The shop of this device.
    pub shop_id: Option<String>,
}

/// Arguments of [`add_customer`].
#[nizhal::args]
pub struct AddCustomer {
    /// The row's id.
    pub client_id: String,
    /// The customer's name.
    pub name: NonEmpty,
    /// The customer's phone.
    pub phone: Option<String>,
}

/// Arguments of [`record_payment`].
#[nizhal::args]
#[derive(Clone)]
pub struct RecordPayment {
    /// The row's id.
    pub client_id: String,
    /// The customer.
    pub customer_id: String,
    /// How much.
    pub amount: Positive,
}

/// Adds a customer.
#[mutator]
pub async fn add_customer(ctx: &mut Ctx<Claims>, args: AddCustomer) -> Result<Applied> {
    let Some(shop_id) = ctx.actor().shop_id.clone() else { return Err(reject!("the token names no shop")) };
    let row = CustomerActive {
        id: Set(args.client_id.clone()),
        shop_id: Set(shop_id),
        name: Set(args.name.into_inner()),
        phone: Set(args.phone),
        created_at: Set(ctx.now()),
        ..Default::default()
    };
    row.insert(ctx.db()).await?;
    Ok(Applied::id(args.client_id))
}

/// Records a payment.
#[mutator(name = "pay", privileged(Shop, ShopMember))]
pub async fn record_payment(ctx: &mut Ctx<Claims>, args: RecordPayment) -> Result<Applied> {
    let RecordPayment { customer_id, amount, .. } = args;
    let Some(customer) = Customer::find_by_id(customer_id).one(ctx.db()).await? else {
        return Err(reject!("customer not found in the actor's shop"));
    };
    let count = LedgerEntry::find().filter(LedgerEntryColumn::ShopId.eq(&customer.shop_id)).count(ctx.db()).await?;
    let row = LedgerEntryActive { id: Set(args.client_id), amount: Set(-amount.into_inner()), ..Default::default() };
    row.insert(ctx.db()).await?;
    Ok(Applied::id(count.to_string()))
}

/// What [`sms_reminder`] is told.
#[nizhal::args]
pub struct SmsReminder {
    /// The credit.
    pub entry_id: String,
}

/// Reminds.
#[nizhal::job]
pub async fn sms_reminder(ctx: &mut JobCtx, args: SmsReminder) -> Result<()> {
    let SmsReminder { entry_id } = args;
    let id = ctx.new_id().to_string();
    LedgerEntryActive { id: Set(id), reference: Set(Some(entry_id.clone())), ..Default::default() }
        .insert(ctx.db())
        .await?;
    let tomorrow = ctx.now() + TimeDelta::days(1);
    ctx.jobs().enqueue(sms_reminder, SmsReminder { entry_id })?.at(tomorrow).unique("tomorrow");
    Ok(())
}

sync_rules! {
    pub ledger_rules for Claims;

    /// Everything a member of a shop may see.
    rule my_shops(shop_id) {
        shop_id in ShopMember.shop_id
            where ShopMember.user_id == actor.user_id && ShopMember.role != "guest";

        Customer    where Customer.shop_id == shop_id;
        LedgerEntry where LedgerEntry.shop_id == shop_id && LedgerEntry.hidden == false && LedgerEntry.times != -1;
    }

    #[name = "own"]
    rule owned(owner, customer) {
        customer in ShopMember.role where (ShopMember.user_id == actor.user_id);
        owner = actor.owner_id;
        crate::LedgerEntry where crate::LedgerEntry.shop_id == owner && crate::LedgerEntry.customer_id == customer;
    }
}

#[test]
fn the_ledger_is_described() {
    let tables = tables![Customer, LedgerEntry, crate::Shop, ShopMember];
    assert_eq!(tables.map_names(), ["customers", "ledger_entries", "shops", "shop_members"]);
    assert_eq!(tables[0].doc, "A shop's customer.");
    assert_eq!(tables[0].columns[1].doc, "The shop.");
    assert_eq!(tables[0].merge, nizhal::Merge::Field);
    assert_eq!(tables[1].column("ref").map(|column| column.nullable), Some(true));
    assert_eq!(tables[1].columns[6].default, Some(nizhal::ColumnDefault::Int(-1)));
    assert!(tables[2].columns[2].private && tables[2].server_only);
    assert_eq!(tables[3].key, [0, 1].map(nizhal::ColumnIndex::new));

    let mutators = mutators![add_customer, crate::record_payment];
    assert_eq!(mutators[0].desc.name, "addCustomer");
    assert_eq!(mutators[0].desc.doc, "Adds a customer.");
    assert_eq!(mutators[1].desc.name, "pay");
    assert_eq!(mutators[1].desc.privileged, ["shops", "shop_members"]);

    let jobs = jobs![sms_reminder];
    assert_eq!((jobs[0].desc.name, jobs[0].desc.attempts, jobs[0].desc.doc), ("smsReminder", 8, "Reminds."));

    let rules = ledger_rules().into_inner();
    assert_eq!((rules[0].name, rules[1].name), ("myShops", "own"));
    assert_eq!(rules[0].doc, "Everything a member of a shop may see.");
    assert_eq!(rules[1].params[0].name, "owner");
    assert_eq!(rules[1].tables[0].scope, [1, 2].map(nizhal::ColumnIndex::new));
    assert_eq!(rules[0].tables[1].filters.len(), 2);
}

trait MapNames {
    fn map_names(&self) -> Vec<&'static str>;
}
impl MapNames for Vec<&'static nizhal::TableDesc> {
    fn map_names(&self) -> Vec<&'static str> {
        self.iter().map(|table| table.name).collect()
    }
}
