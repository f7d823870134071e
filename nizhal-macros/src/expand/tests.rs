//! Expansions, as committed snapshots.

use super::{
    expand_args, expand_claims, expand_id, expand_job, expand_main, expand_mutator, expand_rules, expand_table,
    expand_text_enum,
};
use crate::pretty::pretty;
use proc_macro2::TokenStream;
use quote::quote;

fn nothing() -> TokenStream {
    TokenStream::new()
}

#[test]
fn table() {
    let item = quote! {
        /// A shop's customer.
        pub struct Customer {
            #[nizhal(primary_key)]
            pub id: String,
            /// For reminders.
            pub phone: Option<String>,
            #[nizhal(default = now)]
            pub created_at: DateTimeUtc,
            #[nizhal(rename = "ref", unique, private)]
            pub reference: Option<String>,
        }
    };
    insta::assert_snapshot!(pretty(&expand_table(quote!(name = "customers", merge = "field"), item)));
}

#[test]
fn server_only_table_with_two_keys() {
    let item = quote! {
        #[derive(Debug, Clone)]
        struct ShopMember { #[nizhal(primary_key)] shop_id: String, #[nizhal(primary_key)] user_id: Uuid }
    };
    insta::assert_snapshot!(pretty(&expand_table(quote!(server_only), item)));
}

#[test]
fn mutator() {
    let item = quote! {
        /// Records a payment.
        #[cfg(feature = "payments")]
        pub async fn record_payment(ctx: &mut Ctx<Claims>, args: RecordPayment) -> Result<Applied> {
            Ok(Applied::done())
        }
    };
    insta::assert_snapshot!(pretty(&expand_mutator(quote!(privileged(Inbox)), item)));
}

#[test]
fn ids_and_enums_of_texts() {
    let id = quote!(
        /// Names a shop.
        pub struct ShopId(Uuid);
    );
    let text_enum = quote!(
        pub enum Status {
            Open,
            #[nizhal(rename = "done")]
            Closed,
        }
    );
    let both = [expand_id(nothing(), id), expand_text_enum(nothing(), text_enum)];
    insta::assert_snapshot!(pretty(&both.into_iter().collect()));
}

fn lines(tokens: &TokenStream) -> usize {
    pretty(tokens).lines().count()
}

/// The lines that a table of `count` columns expands to, each with all that can be said of one, beyond the struct's own.
fn lines_beyond_struct(count: usize) -> usize {
    let columns = (0..count).map(|at| {
        let (field, rename) = (quote::format_ident!("column_{at}"), format!("renamed_{at}"));
        let what = if at % 2 == 0 { quote!(default = "a default") } else { quote!(generated = "'a' || id") };
        quote! {
            /// What this column holds, in a sentence of a common length.
            #[nizhal(rename = #rename, unique, private, #what)]
            pub #field: Option<some_crate::module::SomeType>,
        }
    });
    let plain = (0..count).map(|at| {
        let field = quote::format_ident!("column_{at}");
        quote! {
            /// What this column holds, in a sentence of a common length.
            pub #field: Option<some_crate::module::SomeType>,
        }
    });
    let table =
        expand_table(nothing(), quote!(pub struct Wide { #[nizhal(primary_key)] pub id: String, #(#columns)* }));
    assert!(!table.to_string().contains("compile_error"), "{table}");
    lines(&table) - lines(&quote!(pub struct Wide { pub id: String, #(#plain)* }))
}

#[test]
fn a_column_costs_at_most_6_lines_and_a_mutator_15() {
    let columns = 40;
    let grown = lines_beyond_struct(columns) - lines_beyond_struct(0);
    assert!(grown <= 6 * columns, "{grown} lines for {columns} columns");

    let item = quote! {
        /// Records a payment of a customer, and says so to whoever waits for it.
        #[cfg(feature = "payments")]
        pub(in crate::ledger) async fn record_payment_of_customer(
            ctx: &mut Ctx<crate::claims::Claims>,
            args: crate::ledger::RecordPaymentOfCustomer,
        ) -> Result<Applied> {
            Ok(Applied::done())
        }
    };
    let attr = quote!(name = "recordPayment", server, privileged(crate::inbox::Inbox, crate::inbox::Outbox));
    let mutator = expand_mutator(attr, item.clone());
    assert!(!mutator.to_string().contains("compile_error"), "{mutator}");
    let grown = lines(&mutator) - lines(&item);
    assert!(grown <= 15, "{grown} lines for a mutator");
}

#[test]
fn job() {
    let item = quote! {
        /// Reminds.
        #[cfg(feature = "sms")]
        pub async fn sms_reminder(ctx: &mut JobCtx, SmsReminder { entry_id }: SmsReminder) -> Result<()> {
            Ok(())
        }
    };
    insta::assert_snapshot!(pretty(&expand_job(quote!(name = "sms-reminder", attempts = 3), item)));
}

#[test]
fn rules() {
    let tokens = quote! {
        pub ledger_rules for Claims;

        /// Everything a member of a shop may see.
        rule my_shops(shop_id, owner) {
            owner = actor.owner_id;
            shop_id in ShopMember.shop_id where ShopMember.user_id == actor.user_id && ShopMember.role != "guest";
            Customer where Customer.shop_id == shop_id && Customer.owner == owner && Customer.hidden == false;
        }
    };
    insta::assert_snapshot!(pretty(&expand_rules(tokens)));
}

#[test]
fn rules_with_branches_lists_and_optional_claims() {
    let tokens = quote! {
        app_rules for Claims;

        #[max_buckets = 20]
        #[priority = 1]
        #[on_demand(ttl = "7d")]
        rule mine(shop) {
            shop in M.shop where M.user == actor.user_id? && (M.role == "owner" || M.role == "clerk" && M.level != 0);
            Item { id, shop_id } where Item.shop_id == shop && Item.a == 1 || Item.shop_id == shop && Item.b == 2;
        }
        rule device(shop) { shop = actor.shop_id?; Note where Note.shop == shop; }
        public rule catalog() { Product where Product.listed == true; Country; }
    };
    insta::assert_snapshot!(pretty(&expand_rules(tokens)));
}

/// How long expansions may be: what is longer belongs in the runtime.
#[test]
fn expansions_keep_within_their_budget() {
    let lines = |tokens: TokenStream| pretty(&tokens).lines().count();
    let rules = |body: &str| {
        let body: TokenStream = format!("rules for Claims; rule mine(o) {{ o = actor.o; {body} }}").parse().unwrap();
        lines(expand_rules(body))
    };
    let one = rules("A where A.o == o;");
    let three = rules("A where A.o == o; B where B.o == o && B.x == 1; C where C.o == o && (C.x == 1 || C.y == 2);");
    assert!(three - one <= 2 * 12, "{} lines for two more tables of a rule", three - one);
    let table = |columns: &str| {
        let item = format!("struct T {{ #[nizhal(primary_key)] id: String, {columns} }}").parse().unwrap();
        lines(expand_table(nothing(), item))
    };
    let columns = table("a: String, b: Option<i64>, c: bool,") - table("");
    assert!(columns <= 3 * 6, "{columns} lines for three more columns");
    let mutator = quote!(
        async fn f(ctx: &mut Ctx<Claims>, args: Args) -> Result<Applied> {
            Ok(Applied::done())
        }
    );
    let written = lines(mutator.clone());
    let added = lines(expand_mutator(nothing(), mutator)) - written;
    assert!(added <= 18, "{added} lines for a mutator");
}

#[test]
fn claims_and_args() {
    let claims = quote!(
        pub struct Claims {
            pub user_id: String,
            pub owner_id: String,
        }
    );
    let args = quote!(
        #[derive(Clone)]
        #[serde(rename_all = "snake_case")]
        enum Choice {
            One,
            Two { at: i64 },
        }
    );
    let both = [expand_claims(nothing(), claims), expand_args(nothing(), args)];
    insta::assert_snapshot!(pretty(&both.into_iter().collect()));
}

#[test]
fn main() {
    let item = quote! {
        async fn main() -> nizhal::Result<()> {
            Nizhal::app("ledger").run().await
        }
    };
    insta::assert_snapshot!(pretty(&expand_main(nothing(), item)));
}

#[test]
fn a_mistake_leaves_what_stands_around_it() {
    let mutator = quote!(
        fn f(ctx: &mut Ctx<Claims>, args: Args) -> Result<Applied> {
            Ok(Applied::done())
        }
    );
    let table = quote!(
        struct T {
            id: String,
        }
    );
    let rules = quote!(pub rules for Claims; rule all() {});
    let all = [expand_mutator(nothing(), mutator), expand_table(nothing(), table), expand_rules(rules)];
    insta::assert_snapshot!(pretty(&all.into_iter().collect()));
}
