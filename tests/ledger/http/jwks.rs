//! Tokens of an identity provider, verified by the keys that it publishes.

use crate::fixture::{customers, two_shops};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm::{self, ES256, EdDSA, RS256};
use nizhal_tests::{
    Address, App, TlsFront, both,
    issuer::{Issuer, Key, set},
    token, verb,
};
use serde_json::{Value, json};

both![
    each_algorithm_verifies,
    the_algorithm_is_the_keys_and_not_the_tokens,
    keys_rotate_without_a_restart,
    inv31_garbage_names_do_not_hammer_the_issuer,
    an_issuer_that_is_away_takes_nothing_from_those_known,
    a_key_may_go_without_a_name_when_it_is_alone,
    tokens_must_be_for_us_and_from_the_issuer,
    an_issuer_behind_an_authority_of_ones_own_is_trusted_when_it_is_named,
];

/// The server, with its keys there and no secret.
fn trust(app: &mut App, place: &str) {
    app.set_up = app.set_up.clone().without("NIZHAL_AUTH_SECRET").env("NIZHAL_JWKS", place);
    app.restart();
}

async fn pull(app: &App, token: &str) -> u16 {
    app.post("/sync/pull", token, "{}").await.status
}

fn ana() -> Value {
    token::claims("ana", Some("s1"))
}

async fn each_algorithm_verifies(mut app: App) {
    let keys = [(RS256, "r"), (ES256, "e"), (EdDSA, "d")].map(|(algorithm, id)| Key::new(algorithm, id));
    let issuer = Issuer::start(&keys.each_ref()).await;
    trust(&mut app, &issuer.url);
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 1).await;
    for key in &keys {
        let reply = app.post("/sync/pull", &key.sign(&ana()), "{}").await.expect(200);
        assert!(reply.text.contains("Name 1"), "{}", reply.text);
        let mut expired = ana();
        expired["exp"] = json!(token::expiry(-5));
        let mut nobody = ana();
        nobody.as_object_mut().expect("claims").remove("userId");
        let good = key.sign(&ana());
        let (head, signature) = good.rsplit_once('.').expect("a signature");
        let (head, _) = head.split_once('.').expect("a header");
        let forged = BASE64_URL_SAFE_NO_PAD.encode(token::claims("cem", Some("s2")).to_string());
        for bad in [key.sign(&expired), key.sign(&nobody), format!("{head}.{forged}.{signature}")] {
            app.post("/sync/pull", &bad, "{}").await.refused(401, "unauthorized");
        }
        assert!(app.stream("", Some(&good)).await.is_ok());
    }
    assert_eq!(issuer.asked(), 1, "the keys are cached");
}

async fn the_algorithm_is_the_keys_and_not_the_tokens(mut app: App) {
    let (rsa, ec, ed) = (Key::new(RS256, "k"), Key::new(ES256, "e"), Key::new(EdDSA, "d"));
    let short = Key::short_rsa("short");
    let mut wrong_use = Key::new(ES256, "enc");
    wrong_use.public["use"] = json!("enc");
    let mut other_alg = Key::new(RS256, "rs512");
    other_alg.public["alg"] = json!("RS512");
    let issuer = Issuer::start(&[&rsa, &ec, &ed, &short, &wrong_use, &other_alg]).await;
    trust(&mut app, &issuer.url);
    two_shops(&app).await;
    assert_eq!(pull(&app, &rsa.sign(&ana())).await, 200);

    let claims = ana();
    let hmac = |algorithm: Algorithm, secret: &[u8], id: &str| {
        let header = jsonwebtoken::Header { kid: Some(id.to_owned()), ..jsonwebtoken::Header::new(algorithm) };
        jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_secret(secret)).expect("signed")
    };
    let part = |key: &Key, name: &str| key.public[name].as_str().expect("a part").to_owned();
    let raw = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64");
    // The public key as an HMAC secret, in every form that a library might keep it.
    let pem = {
        let body = base64::prelude::BASE64_STANDARD.encode(raw(&part(&rsa, "n")));
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    };
    let point = [&[4][..], &raw(&part(&ec, "x")), &raw(&part(&ec, "y"))].concat();
    let secrets = [
        (raw(&part(&rsa, "n")), "k"),
        (part(&rsa, "n").into_bytes(), "k"),
        (pem.into_bytes(), "k"),
        (rsa.public.to_string().into_bytes(), "k"),
        (point, "e"),
        (raw(&part(&ed, "x")), "d"),
        (Vec::new(), "k"),
    ];
    for (secret, id) in secrets {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            assert_eq!(pull(&app, &hmac(algorithm, &secret, id)).await, 401, "{algorithm:?} with the public key {id}");
        }
    }
    for bad in [
        token::unsigned(&claims),
        token::signed(&claims),
        // One key's signature under another's name.
        ec.sign_as(&claims, Some("k")),
        rsa.sign_as(&claims, Some("e")),
        ed.sign_as(&claims, Some("e")),
        Key::new(ES256, "e").sign(&claims),
        short.sign(&claims),
        wrong_use.sign(&claims),
        other_alg.sign(&claims),
    ] {
        app.post("/sync/pull", &bad, "{}").await.refused(401, "unauthorized");
    }
    // A header that says one algorithm over a signature of another.
    let good = ec.sign(&claims);
    let (_, rest) = good.split_once('.').expect("a header");
    for algorithm in ["none", "None", "HS256", "RS256", "EdDSA", "ES384", "PS256"] {
        let head = BASE64_URL_SAFE_NO_PAD.encode(json!({"alg": algorithm, "kid": "e"}).to_string());
        assert_eq!(pull(&app, &format!("{head}.{rest}")).await, 401, "{algorithm}");
    }
    // A token that brings its own key brings nothing.
    let own = Key::new(ES256, "mine");
    let signed = own.sign(&claims);
    let (_, rest) = signed.split_once('.').expect("a header");
    let head = json!({"alg": "ES256", "jwk": own.public, "jku": "http://127.0.0.1:1/keys"});
    let brought = pull(&app, &format!("{}.{rest}", BASE64_URL_SAFE_NO_PAD.encode(head.to_string()))).await;
    // The set was read for several of those above, and is not read again so soon.
    assert!(matches!(brought, 401 | 503), "{brought}");
}

async fn keys_rotate_without_a_restart(mut app: App) {
    let (old, new) = (Key::new(ES256, "2026-10"), Key::new(EdDSA, "2026-11"));
    let issuer = Issuer::start(&[&old]).await;
    trust(&mut app, &issuer.url);
    two_shops(&app).await;
    assert_eq!(pull(&app, &old.sign(&ana())).await, 200);
    issuer.publish(&set(&[&old, &new]));
    assert_eq!(pull(&app, &new.sign(&ana())).await, 200, "a name that is not known yet makes it ask");
    assert_eq!(pull(&app, &old.sign(&ana())).await, 200);
    assert_eq!(issuer.asked(), 2);
    // Withdrawn: the next reading forgets it.
    issuer.publish(&set(&[&new]));
    let third = Key::new(ES256, "2026-12");
    assert_eq!(pull(&app, &third.sign(&ana())).await, 401);
    assert_eq!(pull(&app, &old.sign(&ana())).await, 401);
}

async fn inv31_garbage_names_do_not_hammer_the_issuer(mut app: App) {
    let key = Key::new(EdDSA, "k");
    let issuer = Issuer::start(&[&key]).await;
    trust(&mut app, &issuer.url);
    two_shops(&app).await;
    let garbage: Vec<String> = (0..40).map(|at| key.sign_as(&ana(), Some(&format!("garbage {at}")))).collect();
    for token in &garbage {
        // The set was read for the first of them; of the others nobody can say now.
        assert!(matches!(pull(&app, token).await, 401 | 503));
    }
    assert!((2..=5).contains(&issuer.asked()), "asked {} times", issuer.asked());
    assert_eq!(pull(&app, &key.sign(&ana())).await, 200, "the others do not suffer");
}

async fn an_issuer_that_is_away_takes_nothing_from_those_known(mut app: App) {
    let (key, next) = (Key::new(ES256, "k"), Key::new(ES256, "next"));
    let issuer = Issuer::start(&[&key]).await;
    trust(&mut app, &issuer.url);
    two_shops(&app).await;
    for broken in ["", "<html>", r#"{"keys": []}"#] {
        issuer.publish(broken);
        // Nobody can say now whether it is good.
        app.post("/sync/pull", &next.sign(&ana()), "{}").await.refused(503, "unavailable");
        assert_eq!(pull(&app, &key.sign(&ana())).await, 200);
    }
    // Away from the start: the server starts, and asks when the first token comes.
    issuer.fail(500);
    app.restart();
    app.post("/sync/pull", &key.sign(&ana()), "{}").await.refused(503, "unavailable");
    issuer.publish(&set(&[&key]));
    assert_eq!(pull(&app, &key.sign(&ana())).await, 200);
}

async fn a_key_may_go_without_a_name_when_it_is_alone(mut app: App) {
    let dir = nizhal_tests::TempDir::new("jwks");
    let file = dir.path().join("keys.json");
    let (key, other) = (Key::new(ES256, "k").nameless(), Key::new(ES256, "other"));
    std::fs::write(&file, set(&[&key])).expect("a file");
    trust(&mut app, &file.display().to_string());
    two_shops(&app).await;
    assert_eq!(pull(&app, &key.sign(&ana())).await, 200);
    assert_eq!(pull(&app, &key.sign_as(&ana(), Some("any"))).await, 200);
    assert_eq!(pull(&app, &other.sign_as(&ana(), None)).await, 401);
    // Two of one algorithm: a token must say which.
    std::fs::write(&file, set(&[&key, &other])).expect("a file");
    app.restart();
    assert_eq!(pull(&app, &key.sign(&ana())).await, 401);
    assert_eq!(pull(&app, &other.sign(&ana())).await, 200);
    // A file that cannot be used stops the start, and so does a secret beside it.
    std::fs::write(&file, "{}").expect("a file");
    for set_up in [app.set_up.clone(), app.set_up.clone().env("NIZHAL_AUTH_SECRET", token::SECRET)] {
        let ended = verb(&set_up, &["serve"]);
        assert!(!ended.status.success());
        let text = String::from_utf8_lossy(&ended.stderr);
        assert!(text.contains("error: ") && text.contains("NIZHAL_JWKS"), "{text}");
    }
}

async fn tokens_must_be_for_us_and_from_the_issuer(mut app: App) {
    let key = Key::new(EdDSA, "k");
    let issuer = Issuer::start(&[&key]).await;
    let set_up = app.set_up.clone().env("NIZHAL_JWT_AUDIENCE", "web,phone");
    app.set_up = set_up.env("NIZHAL_JWT_ISSUER", "https://id.example/");
    trust(&mut app, &issuer.url);
    two_shops(&app).await;
    let with = |iss: Value, aud: Value| {
        let mut claims = ana();
        (claims["iss"], claims["aud"]) = (iss, aud);
        claims
    };
    let us = || json!("https://id.example/");
    assert_eq!(pull(&app, &key.sign(&with(us(), json!("web")))).await, 200);
    assert_eq!(pull(&app, &key.sign(&with(us(), json!(["else", "phone"])))).await, 200);
    for claims in [ana(), with(us(), json!("else")), with(json!("https://evil.example/"), json!("web"))] {
        app.post("/sync/pull", &key.sign(&claims), "{}").await.refused(401, "unauthorized");
    }
    // The same holds where tokens are signed with the secret.
    app.set_up = app.set_up.clone().without("NIZHAL_JWKS").env("NIZHAL_AUTH_SECRET", token::SECRET);
    app.restart();
    assert_eq!(pull(&app, &token::signed(&with(us(), json!("web")))).await, 200);
    assert_eq!(pull(&app, &token::signed(&ana())).await, 401);
}

async fn an_issuer_behind_an_authority_of_ones_own_is_trusted_when_it_is_named(mut app: App) {
    let key = Key::new(ES256, "k");
    let issuer = Issuer::start(&[&key]).await;
    let (server, path) = issuer.url.split_at(issuer.url.find("/.well-known").expect("its path"));
    let front = TlsFront::start(&Address::fixed(server)).await;
    trust(&mut app, &format!("{}{path}", front.url()));
    two_shops(&app).await;
    // The web's authorities do not know this one, so nobody can say whether the token is good.
    app.post("/sync/pull", &key.sign(&ana()), "{}").await.refused(503, "unavailable");
    assert_eq!(issuer.asked(), 0);
    app.set_up = app.set_up.clone().env("NIZHAL_JWKS_CA", &front.authority().display().to_string());
    app.restart();
    assert_eq!(pull(&app, &key.sign(&ana())).await, 200);
    assert_eq!(issuer.asked(), 1);
}
