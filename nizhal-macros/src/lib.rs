//! Nizhal's macros: a checked model to thin descriptions.
//!
//! `nizhal_syntax` reads and judges what was written; here it becomes constants and shims of a few lines. Set
//! `NIZHAL_DEBUG_MACRO` to an item's name while compiling to see what it expands to.

mod debug;
mod expand;
mod pretty;
mod stages;

use proc_macro::TokenStream;

/// Makes a struct a table: a sea-orm entity with typed column handles and a description.
///
/// ```ignore
/// #[nizhal::table(name = "customers", merge = "field")]
/// pub struct Customer {
///     #[nizhal(primary_key)] pub id: String,
///     #[nizhal(unique)] pub client_id: Option<String>,
///     #[nizhal(default = now)] pub created_at: DateTimeUtc,
/// }
/// ```
///
/// On the struct: `name = "…"` (the struct's name in snake_case), `merge = "lww"` or `"field"`, `server_only`. On a
/// field: `primary_key`, `unique`, `private`, `default = …` (`now`, a text, a whole number, `true`), `rename = "…"`,
/// `generated = "price * quantity"`.
///
/// Beside `Customer` stand `CustomerEntity`, `CustomerColumn`, `CustomerKey`, `CustomerActive` and `CustomerColumns`.
#[proc_macro_attribute]
pub fn table(attr: TokenStream, item: TokenStream) -> TokenStream {
    debug::show(expand::expand_table(attr.into(), item.into())).into()
}

/// Makes a struct around a text, a UUID or a number an id: a key, a bucket column, a claim and an argument of a type of its own.
///
/// ```ignore
/// #[nizhal::id]
/// pub struct CustomerId(String);
/// ```
///
/// Ids of two tables do not mix, in Rust or in rules.
#[proc_macro_attribute]
pub fn id(attr: TokenStream, item: TokenStream) -> TokenStream {
    debug::show(expand::expand_id(attr.into(), item.into())).into()
}

/// Makes an enum a column type that is kept as text: each variant's name in snake case, or what `rename` says.
///
/// ```ignore
/// #[nizhal::text_enum]
/// pub enum Status { Open, #[nizhal(rename = "done")] Closed }
/// ```
///
/// The database refuses other texts, and a text that is none of them is an error that names it.
#[proc_macro_attribute]
pub fn text_enum(attr: TokenStream, item: TokenStream) -> TokenStream {
    debug::show(expand::expand_text_enum(attr.into(), item.into())).into()
}

/// Makes a function a mutator: one operation of the app, run in one transaction.
///
/// ```ignore
/// #[mutator]
/// pub async fn record_payment(ctx: &mut Ctx<Claims>, args: RecordPayment) -> Result<Applied> { /* sea-orm */ }
/// ```
///
/// `name = "…"` renames it on the wire (the function's name in camelCase); `privileged(Inbox)` lets it write rows of
/// those tables beyond the actor's buckets; `server` keeps it from devices, which leave it to the server.
#[proc_macro_attribute]
pub fn mutator(attr: TokenStream, item: TokenStream) -> TokenStream {
    debug::show(expand::expand_mutator(attr.into(), item.into())).into()
}

/// Makes a function a job: work for the server to do later, in a transaction of its own, until it is done.
///
/// ```ignore
/// #[nizhal::job(name = "sms-reminder")]
/// pub async fn sms_reminder(ctx: &mut JobCtx, args: SmsReminder) -> Result<()> { /* sea-orm */ }
/// ```
///
/// `name = "…"` names it in the table of jobs (the function's name in camelCase); `attempts = 3` says how often it is tried
/// (8 times). The function becomes a value that is handed to `ctx.jobs().enqueue(sms_reminder, …)`.
#[proc_macro_attribute]
pub fn job(attr: TokenStream, item: TokenStream) -> TokenStream {
    debug::show(expand::expand_job(attr.into(), item.into())).into()
}

/// Makes a struct the app's claims: what a token says of its bearer.
///
/// ```ignore
/// #[nizhal::claims]
/// pub struct Claims { pub user_id: String, pub owner_id: String, pub shop_id: Option<String> }
/// ```
#[proc_macro_attribute]
pub fn claims(attr: TokenStream, item: TokenStream) -> TokenStream {
    debug::show(expand::expand_claims(attr.into(), item.into())).into()
}

/// Makes a struct or an enum the arguments of a mutator or a job: read from camelCase JSON, described by JSON Schema.
///
/// ```ignore
/// #[nizhal::args]
/// pub struct RecordPayment { pub customer_id: String, pub amount: Positive }
/// ```
#[proc_macro_attribute]
pub fn args(attr: TokenStream, item: TokenStream) -> TokenStream {
    debug::show(expand::expand_args(attr.into(), item.into())).into()
}

/// Declares who may see what, as a function that gives the rules.
///
/// ```ignore
/// sync_rules! {
///     pub ledger_rules for Claims;
///
///     /// Everything a member of a shop may see.
///     rule my_shops(shop_id) {
///         shop_id in ShopMember.shop_id where ShopMember.user_id == actor.user_id;
///
///         Customer    where Customer.shop_id == shop_id;
///         LedgerEntry where LedgerEntry.shop_id == shop_id && LedgerEntry.hidden == false;
///     }
/// }
/// ```
///
/// A parameter is a claim (`owner = actor.owner_id;`) or the values of a membership table that are the actor's own.
/// Every table line compares a column with every parameter. `#[name = "…"]` renames a rule on the wire.
#[proc_macro]
pub fn sync_rules(tokens: TokenStream) -> TokenStream {
    debug::show(expand::expand_rules(tokens.into())).into()
}

/// Runs an async `main` on the server's runtime.
///
/// ```ignore
/// #[nizhal::main]
/// async fn main() -> nizhal::Result<()> { Nizhal::app("ledger").run().await }
/// ```
#[proc_macro_attribute]
pub fn main(attr: TokenStream, item: TokenStream) -> TokenStream {
    debug::show(expand::expand_main(attr.into(), item.into())).into()
}
