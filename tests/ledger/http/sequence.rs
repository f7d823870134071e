//! Invariants 11, 15 and 16: one client's mutations apply in its order, and a refused one blocks nothing.

use crate::fixture::{add, two_shops};
use nizhal_tests::{App, both};
use serde_json::json;

both![
    inv15_a_gap_is_out_of_order,
    inv13_a_new_mutation_under_a_used_number_is_renumbered,
    inv12_a_replay_says_where_the_sequence_stands,
    inv16_a_rejection_burns_its_number_and_repeats_its_answer,
    inv16_unfit_arguments_burn_their_number,
    inv11_a_pull_says_which_mutations_it_holds,
    a_batch_of_several_clients_answers_for_each,
];

async fn inv15_a_gap_is_out_of_order(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    let early = phone.mutation("addCustomer", &json!({"clientId": "c1", "name": "Sunil"}));
    let late = phone.mutation("addCustomer", &json!({"clientId": "c2", "name": "Arul"}));
    let reply = phone.push(std::slice::from_ref(&late)).await.refused(409, "out_of_order");
    assert_eq!((&reply.json()["lastMutationId"], &reply.json()["applied"]), (&json!(0), &json!([])));
    assert_eq!(db.count("customers").await, 0);
    phone.push(&[early]).await.expect(200);
    phone.mutation("skipped", &json!({}));
    let gap = phone.mutation("addCustomer", &json!({"clientId": "c4", "name": "Ravi"}));
    let reply = phone.push(&[late, gap]).await.refused(409, "out_of_order");
    assert_eq!((&reply.json()["lastMutationId"], &reply.json()["applied"]), (&json!(2), &json!(["phone-2"])));
    assert_eq!(db.count("customers").await, 2);
}

async fn inv13_a_new_mutation_under_a_used_number_is_renumbered(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    add(&mut phone, "c2").await;
    // A copy of the device whose outbox survived and whose counter did not.
    let mut old = phone.mutation("addCustomer", &json!({"clientId": "c3", "name": "Arul"}));
    old["mutationID"] = json!(1);
    let mut behind = phone.mutation("addCustomer", &json!({"clientId": "c4", "name": "Ravi"}));
    behind["mutationID"] = json!(3);
    for _ in 0..2 {
        let reply = phone.push(&[old.clone(), behind.clone()]).await.expect(200);
        assert_eq!(
            reply.json(),
            json!({"applied": [], "lastMutationId": 2}),
            "neither runs before the other is renumbered"
        );
    }
    assert_eq!(db.count("customers").await, 2);
    assert_eq!(db.count("_nizhal_mutations").await, 2, "nothing is stored");
    (old["mutationID"], behind["mutationID"]) = (json!(3), json!(4));
    let reply = phone.push(&[old, behind]).await.expect(200);
    assert_eq!(reply.json()["lastMutationId"], 4);
    assert_eq!(db.count("customers").await, 4);
}

async fn inv12_a_replay_says_where_the_sequence_stands(app: App) {
    two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    let first = phone.mutation("addCustomer", &json!({"clientId": "c1", "name": "Sunil"}));
    let poison = phone.mutation("recordCredit", &json!({"clientId": "e1", "customerId": "nobody", "amount": 5}));
    phone.push(&[first.clone(), poison.clone()]).await.refused(422, "rejected");
    add(&mut phone, "c3").await;
    let replay = phone.push(&[first]).await.expect(200).json();
    assert_eq!(replay, json!({"applied": [phone_id(1)], "lastMutationId": 3}));
    let refused = phone.push(&[poison]).await.refused(422, "rejected").json();
    assert_eq!((&refused["applied"], &refused["lastMutationId"]), (&json!([]), &json!(3)));
}

fn phone_id(number: usize) -> String {
    format!("phone-{number}")
}

async fn inv16_a_rejection_burns_its_number_and_repeats_its_answer(app: App) {
    let mut db = two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    let poison = phone.mutation("recordCredit", &json!({"clientId": "e1", "customerId": "c1", "amount": 5}));
    let first = phone.push(std::slice::from_ref(&poison)).await.refused(422, "rejected");
    // What was wrong then is right now; the first answer stands.
    add(&mut phone, "c1").await;
    for _ in 0..2 {
        let again = phone.push(std::slice::from_ref(&poison)).await.refused(422, "rejected");
        assert_eq!(again.json()["error"], first.json()["error"]);
    }
    assert_eq!(db.count("ledger_entries").await, 0);
    assert_eq!(add(&mut phone, "c2").await.json()["lastMutationId"], 3);
}

async fn inv16_unfit_arguments_burn_their_number(app: App) {
    two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    let unfit = phone.mutation("addCustomer", &json!({"clientId": "c1", "name": ""}));
    let first = phone.push(std::slice::from_ref(&unfit)).await.refused(422, "invalid_args");
    let again = phone.push(&[unfit]).await.refused(422, "invalid_args");
    assert_eq!(again.json()["error"], first.json()["error"]);
    assert_eq!(add(&mut phone, "c1").await.json()["lastMutationId"], 2);
}

async fn inv11_a_pull_says_which_mutations_it_holds(app: App) {
    two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    let mut tablet = app.device("tablet", "ana", "s1");
    phone.pull().await;
    assert_eq!(phone.acknowledged, 0);
    for number in 1..=3 {
        add(&mut phone, &format!("c{number}")).await;
        phone.pull().await;
        assert_eq!(phone.acknowledged, number);
        assert_eq!(phone.ids("customers").len(), usize::try_from(number).expect("small"));
    }
    phone.mutate("deleteCustomer", &json!({"customerId": "nobody"})).await.refused(422, "rejected");
    phone.pull().await;
    assert_eq!(phone.acknowledged, 4, "a refused mutation is over too");
    tablet.pull().await;
    assert_eq!(tablet.acknowledged, 0);
    // In pages: the number may not run ahead of the rows.
    let mut again = app.device("phone", "ana", "s1");
    while again.page(Some(1)).await.has_more {
        if again.acknowledged >= 3 {
            assert_eq!(again.ids("customers").len(), 3, "acknowledged before the rows came");
        }
    }
    assert_eq!(again.acknowledged, 4);
}

async fn a_batch_of_several_clients_answers_for_each(app: App) {
    two_shops(&app).await;
    let (mut one, mut two) = (app.device("one", "ana", "s1"), app.device("two", "ana", "s1"));
    let batch = [
        one.mutation("addCustomer", &json!({"clientId": "c1", "name": "A"})),
        two.mutation("addCustomer", &json!({"clientId": "c2", "name": "B"})),
        one.mutation("addCustomer", &json!({"clientId": "c3", "name": "C"})),
    ];
    let answer = one.push(&batch).await.expect(200).json();
    assert_eq!(answer["applied"], json!(["one-1", "two-1", "one-2"]));
    assert_eq!(answer["clientSequences"], json!({"one": 2, "two": 1}));
}
