//! What a development start prints to try: one phone pushes a payment, the other pulls it.

use nizhal::DevToken;

/// The `curl` lines, ready to paste; `url` is where the server listens.
pub fn session(url: &str, tokens: &[DevToken]) -> String {
    let [kamala, nimal] = tokens else { return String::new() };
    let post = |path: &str, token: &str, body: &str| {
        format!(
            "curl -s {url}{path} \\\n  -H 'authorization: Bearer {token}' \\\n  -H 'content-type: application/json' \\\n  -d '{body}'"
        )
    };
    let push = r#"{"mutations":[{"name":"recordPayment","args":{"clientId":"pay-1","customerId":"customer-1","amount":"250.50"},"clientMutationId":"m-1","clientID":"kamala-phone","mutationID":1}]}"#;
    format!(
        "# {}: record a payment of 250.50. Paste it twice: it applies once.\n{}\n\n# {}: pull everything, the payment too.\n{}\n",
        kamala.label,
        post("/sync/push", &kamala.token, push),
        nimal.label,
        post("/sync/pull", &nimal.token, r#"{"cursor":""}"#),
    )
}
