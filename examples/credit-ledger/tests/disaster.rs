//! The ledger in thousands of disasters: no payment is lost, and none is taken twice.

use credit_ledger::{claims::Claims, mutators, rule::ledger_rules, tables};
use nizhal::{JobEntry, MutatorEntry, Rules, TableDesc};
use nizhal_sim::{App, Effect};

struct Ledger;

impl App for Ledger {
    type Claims = Claims;

    fn tables(&self) -> Vec<&'static TableDesc> {
        tables()
    }
    fn mutators(&self) -> Vec<MutatorEntry> {
        mutators()
    }
    fn jobs(&self) -> Vec<JobEntry> {
        nizhal::jobs![credit_ledger::job::sms_reminder]
    }
    fn rules(&self) -> Rules<Claims> {
        ledger_rules()
    }
    fn users(&self) -> Vec<Claims> {
        let user = |user: &str, shop: &str| Claims {
            user_id: user.to_owned(),
            owner_id: "o1".to_owned(),
            shop_id: Some(shop.to_owned()),
        };
        vec![user("kamala", "s1"), user("nimal", "s1")]
    }
    fn hostile(&self) -> Option<Claims> {
        Some(Claims { user_id: "eve".to_owned(), owner_id: "o2".to_owned(), shop_id: Some("s3".to_owned()) })
    }
    fn seed(&self) -> Vec<String> {
        [
            "insert into shops (id, name, owner_id) values ('s1', 'One', 'o1'), ('s2', 'Two', 'o1'), ('s3', 'Three', 'o2')",
            "insert into shop_members (shop_id, user_id, role) \
             values ('s1', 'kamala', 'owner'), ('s2', 'kamala', 'owner'), ('s1', 'nimal', 'staff'), ('s3', 'eve', 'owner')",
            "insert into customers (id, shop_id, name) values ('c1', 's1', 'Sunil'), ('c2', 's1', 'Arul'), ('c3', 's2', 'Fathima'), ('c4', 's3', 'Eve')",
        ]
        .map(str::to_owned)
        .into()
    }
    fn effect(&self, mutator: &str, args: &serde_json::Value) -> Option<Effect> {
        let sign = match mutator {
            "recordCredit" => ">",
            "recordPayment" => "<",
            _ => return None,
        };
        let (id, customer) = (args["clientId"].as_str()?, args["customerId"].as_str()?);
        // Two mutations may have been given one id; the second is refused.
        let count = format!(
            "select count(*) from ledger_entries where id = '{id}' and customer_id = '{customer}' \
             and cast(amount as real) {sign} 0 and abs(cast(amount as real)) = {}",
            args["amount"].as_str()?
        );
        Some(Effect { count, always: false })
    }
    fn untouched(&self) -> Vec<&'static str> {
        vec!["ledger_entries"]
    }
}

#[test]
fn inv12_inv13_every_payment_is_taken_once() {
    let report = nizhal_sim::check(Ledger);
    assert!(report.counts["write"] > report.seeds, "{report:#?}");
}
