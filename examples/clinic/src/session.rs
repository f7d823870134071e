//! What a development start prints to try: a phone that booked first is heard last, and wins.

use nizhal::DevToken;
use nizhal::prelude::*;

/// The `curl` lines, ready to paste; `url` is where the server listens.
pub fn session(url: &str, tokens: &[DevToken]) -> String {
    let [kamala, nimal] = tokens else { return String::new() };
    let post = |path: &str, token: &str, body: &str| {
        format!(
            "curl -s {url}{path} \\\n  -H 'authorization: Bearer {token}' -H 'x-nizhal-wire: 2' \\\n  \
             -H 'content-type: application/json' -d '{body}'"
        )
    };
    let now = DateTimeUtc::from(std::time::SystemTime::now());
    // The stamp that a phone would have given to what was done so many minutes ago.
    let book = |phone: &str, node: u32, patient: &str, minutes: i64| {
        let stamp = (now - TimeDelta::minutes(minutes)).format("%Y-%m-%dT%H:%M:%S%.3fZ");
        format!(
            r#"{{"mutations":[{{"name":"bookSlot","args":{{"clinicId":"clinic-1","time":"09:00","patient":"{patient}"}},"hlc":"{stamp}-0000-{node:032x}","clientMutationId":"{phone}-1","clientID":"{phone}","mutationID":1}}]}}"#
        )
    };
    format!(
        "# {nimal_label} booked 09:00 a minute ago, and the server hears it now: applied.\n{}\n\n\
         # {kamala_label} booked 09:00 two minutes ago, without a network. It comes later, and takes its place before: applied.\n{}\n\n\
         # {nimal_label} pulls: the slot is Kamala's, and `revised` says why its own booking is none any more.\n{}\n",
        post("/sync/push", &nimal.token, &book("nimal-phone", 2, "Sunil", 1)),
        post("/sync/push", &kamala.token, &book("kamala-phone", 1, "Arul", 2)),
        post("/sync/pull", &nimal.token, r#"{"cursor":"","deviceId":"nimal-phone"}"#),
        kamala_label = kamala.label,
        nimal_label = nimal.label,
    )
}
