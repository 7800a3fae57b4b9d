//! Tokens of a provider on a loopback: good ones, hundreds of bad ones, and a provider that fails.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

use std::sync::Arc;
use std::time::Duration;

use mail_service::{
    Clock, Mechanism, SystemClock, TokenError, TokenFault, TokenHolder, TokenVerifier,
};
use mail_types::Secret;
use oauth::{Check, OAuthConfig, OAuthError, OAuthVerifier};
use serde_json::{Value, json};
use testkit::issuer::{Answer, Issuer, SigningKey};

fn config(issuer: &Issuer, check: Check) -> OAuthConfig {
    OAuthConfig {
        issuer: issuer.url(""),
        audience: Some("imap".to_owned()),
        scope: None,
        account_claim: "email".to_owned(),
        domains: Vec::new(),
        hosts: Vec::new(),
        check,
        authorities: None,
    }
}

fn verifier(config: OAuthConfig) -> OAuthVerifier {
    OAuthVerifier::new(config, Arc::new(SystemClock)).unwrap()
}

fn by_keys(issuer: &Issuer) -> OAuthVerifier {
    verifier(config(issuer, Check::Keys { url: None }))
}

fn claims(issuer: &Issuer) -> Value {
    let now = SystemClock.now_secs();
    json!({"iss": issuer.url(""), "aud": "imap", "exp": now + 600, "email": "dock@mail.example"})
}

fn header(algorithm: &str, key: &str) -> String {
    json!({"alg": algorithm, "kid": key, "typ": "JWT"}).to_string()
}

async fn verify(verifier: &OAuthVerifier, token: &str) -> Result<TokenHolder, TokenError> {
    verifier.verify(&Secret::new(token)).await
}

fn dock() -> Result<TokenHolder, TokenError> {
    Ok(TokenHolder { names: vec!["dock@mail.example".to_owned()] })
}

const REFUSED: Result<TokenHolder, TokenError> = Err(TokenError::Refused(TokenFault::Token));

const UNAVAILABLE: Result<TokenHolder, TokenError> = Err(TokenError::Unavailable);

const ALGORITHMS: [&str; 4] = ["RS256", "PS256", "ES256", "EdDSA"];

/// A key for each algorithm, named like it.
fn keys() -> Vec<SigningKey> {
    ALGORITHMS.iter().map(|name| SigningKey::new(name, name)).collect()
}

/// Lets time pass for the verifier, and not for its sockets.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn tokens_of_every_algorithm_are_verified_with_keys_that_are_fetched_once() {
    let issuer = Issuer::start().unwrap();
    let keys = keys();
    issuer.publish(&keys.iter().collect::<Vec<_>>());
    let verifier = by_keys(&issuer);
    let claims = claims(&issuer).to_string();
    for _ in 0..3 {
        for (key, algorithm) in keys.iter().zip(ALGORITHMS) {
            let token = key.sign(&header(algorithm, algorithm), &claims);
            assert_eq!(verify(&verifier, &token).await, dock(), "{algorithm}");
        }
    }
    let asked: Vec<String> = issuer.asked().into_iter().map(|it| it.line).collect();
    let expected = ["GET /.well-known/openid-configuration HTTP/1.1\r\n", "GET /keys HTTP/1.1\r\n"];
    assert_eq!(asked, expected);
}

/// Claims that make a token one for others, for another time, or for nobody.
fn bad_claims(issuer: &Issuer) -> Vec<Value> {
    let now = SystemClock.now_secs();
    let mut all = Vec::new();
    for name in ["iss", "aud", "exp", "email"] {
        let mut claims = claims(issuer);
        claims.as_object_mut().unwrap().remove(name);
        all.push(claims);
    }
    for change in [
        json!({"iss": "https://evil.example"}),
        json!({"iss": issuer.url("/")}),
        json!({"aud": "smtp"}),
        json!({"aud": ["smtp", ["imap"]]}),
        json!({"exp": now - 61}),
        json!({"exp": now.to_string()}),
        json!({"exp": -now}),
        json!({"exp": {}}),
        json!({"nbf": now + 3600}),
        json!({"nbf": [now]}),
        json!({"email": ""}),
        json!({"email": 7}),
        json!({"email_verified": false}),
    ] {
        let mut claims = claims(issuer);
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        all.push(claims);
    }
    all
}

/// Headers that a token with a good signature must not have.
fn bad_headers(algorithm: &str) -> Vec<String> {
    let mut all = Vec::new();
    for other in ["none", "None", "NONE", "", "HS256", "HS512", "RS1", "RS512", "ES384", "ES256K"] {
        all.push(json!({"alg": other, "kid": algorithm}).to_string());
    }
    // An algorithm of another key, or another one of the same.
    for other in ALGORITHMS.iter().filter(|other| **other != algorithm) {
        all.push(header(other, algorithm));
        all.push(header(algorithm, other));
        all.push(header(other, other));
    }
    for extra in [
        json!({"crit": ["exp"]}),
        json!({"crit": []}),
        json!({"typ": "logout+jwt"}),
        json!({"typ": null}),
        json!({"kid": null}),
        json!({"kid": "unknown"}),
        json!({"kid": ""}),
        json!({"kid": [algorithm]}),
        json!({"alg": null}),
        json!({"alg": algorithm.to_lowercase() + " "}),
    ] {
        let mut header = json!({"alg": algorithm, "kid": algorithm});
        for (name, value) in extra.as_object().unwrap() {
            header[name] = value.clone();
        }
        all.push(header.to_string());
    }
    all.push(json!({"kid": algorithm}).to_string());
    all.extend(["", "[]", "null", "{", "\"RS256\"", "{}"].map(str::to_owned));
    all
}

/// The same claims for a key that the provider does not have, and pieces of a good token.
fn forged(key: &SigningKey, algorithm: &str, claims: &str) -> Vec<String> {
    let stranger = SigningKey::new(algorithm, algorithm);
    let mut all = vec![stranger.sign(&header(algorithm, algorithm), claims)];
    // The forger's key travels in the header. RFC 7515 §4.1.3; CVE-2018-0114
    let jwk: Value = serde_json::from_str(&stranger.jwk()).unwrap();
    let with_key = json!({"alg": algorithm, "kid": algorithm, "jwk": jwk, "jku": "http://x/"});
    all.push(stranger.sign(&with_key.to_string(), claims));
    let good = key.sign(&header(algorithm, algorithm), claims);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, body) = signed.split_once('.').unwrap();
    all.extend([
        format!("{signed}."),
        signed.to_owned(),
        format!("{good}."),
        format!("{good}.x"),
        format!(".{good}"),
        format!("{good}="),
        format!("{good} "),
        format!("{head}..{signature}"),
        format!(".{body}.{signature}"),
        format!("{head}.{body}=.{signature}"),
        format!("{head}.{body}.{body}.{signature}"),
        format!("{head}.{body}.{}", "A".repeat(signature.len())),
        format!("{head}.{body}.{signature}{signature}"),
        good.replace('.', ","),
        good.to_uppercase(),
    ]);
    let step = good.len() / 20;
    all.extend((0..20).map(|n| good[..n * step].to_owned()));
    all
}

#[tokio::test]
async fn hundreds_of_bad_tokens_are_refused() {
    let issuer = Issuer::start().unwrap();
    let keys = keys();
    issuer.publish(&keys.iter().collect::<Vec<_>>());
    let verifier = by_keys(&issuer);
    let good = claims(&issuer).to_string();
    let mut bad: Vec<String> =
        ["", ".", "..", "...", "a.b.c", "swordfish", "\u{ff}"].map(str::to_owned).to_vec();
    for (key, algorithm) in keys.iter().zip(ALGORITHMS) {
        for claims in bad_claims(&issuer) {
            bad.push(key.sign(&header(algorithm, algorithm), &claims.to_string()));
        }
        for claims in ["", "[]", "null", "{", "\"dock\"", &good[..good.len() - 1]] {
            bad.push(key.sign(&header(algorithm, algorithm), claims));
        }
        bad.extend(bad_headers(algorithm).iter().map(|header| key.sign(header, &good)));
        bad.extend(forged(key, algorithm, &good));
    }
    assert!(bad.len() > 300, "{}", bad.len());
    for token in &bad {
        assert_eq!(verify(&verifier, token).await, REFUSED, "{token}");
    }
    // The table is of bad ones: what they are made from is good.
    let token = keys[0].sign(&header("RS256", "RS256"), &good);
    assert_eq!(verify(&verifier, &token).await, dock());
    // Strangers who name unknown keys cannot make us ask again and again.
    assert!(issuer.asked().len() <= 4);
}

#[tokio::test]
async fn a_token_without_a_key_name_needs_the_only_key_of_its_kind() {
    let issuer = Issuer::start().unwrap();
    let (one, other) = (SigningKey::new("ES256", "a"), SigningKey::new("ES256", "b"));
    issuer.publish(&[&one]);
    let token = one.sign(r#"{"alg":"ES256"}"#, &claims(&issuer).to_string());
    assert_eq!(verify(&by_keys(&issuer), &token).await, dock());
    issuer.publish(&[&one, &other]);
    assert_eq!(verify(&by_keys(&issuer), &token).await, REFUSED);
}

#[tokio::test]
async fn a_new_key_of_the_provider_is_found_and_not_looked_for_all_the_time() {
    let issuer = Issuer::start().unwrap();
    let (old, new) = (SigningKey::new("EdDSA", "old"), SigningKey::new("EdDSA", "new"));
    issuer.publish(&[&old]);
    let verifier = by_keys(&issuer);
    let claims = claims(&issuer).to_string();
    let old_token = old.sign(&header("EdDSA", "old"), &claims);
    let new_token = new.sign(&header("EdDSA", "new"), &claims);
    assert_eq!(verify(&verifier, &old_token).await, dock());
    issuer.publish(&[&new]);
    let _ = issuer.asked();
    // It was fetched a moment ago.
    assert_eq!(verify(&verifier, &new_token).await, REFUSED);
    assert_eq!(issuer.asked().len(), 0);
    pass(Duration::from_secs(31)).await;
    assert_eq!(verify(&verifier, &new_token).await, dock());
    // A key that the provider has taken back is good no more once the new set is here.
    assert_eq!(verify(&verifier, &old_token).await, REFUSED);
    assert_eq!(issuer.asked().len(), 2);
    pass(Duration::from_secs(31)).await;
    for _ in 0..5 {
        assert_eq!(verify(&verifier, &old_token).await, REFUSED);
    }
    assert_eq!(issuer.asked().len(), 2);
    pass(Duration::from_secs(3601)).await;
    assert_eq!(verify(&verifier, &new_token).await, dock());
    assert_eq!(issuer.asked().len(), 2);
}

#[tokio::test]
async fn a_provider_that_is_away_makes_no_token_bad() {
    let issuer = Issuer::start().unwrap();
    let key = SigningKey::new("EdDSA", "key");
    issuer.publish(&[&key]);
    let verifier = by_keys(&issuer);
    let claims = claims(&issuer).to_string();
    let token = key.sign(&header("EdDSA", "key"), &claims);
    assert_eq!(verify(&verifier, &token).await, dock());
    issuer.put("/keys", Answer::Gone);
    pass(Duration::from_secs(3601)).await;
    // Old keys are better than none, for a day.
    assert_eq!(verify(&verifier, &token).await, dock());
    // Whether a key that is not among them is good is not known.
    let other = SigningKey::new("EdDSA", "other").sign(&header("EdDSA", "other"), &claims);
    assert_eq!(verify(&verifier, &other).await, UNAVAILABLE);
    pass(Duration::from_secs(24 * 3600)).await;
    assert_eq!(verify(&verifier, &token).await, UNAVAILABLE);
    issuer.publish(&[&key]);
    assert_eq!(verify(&verifier, &token).await, UNAVAILABLE);
    pass(Duration::from_secs(31)).await;
    assert_eq!(verify(&verifier, &token).await, dock());
    assert_eq!(verify(&verifier, &other).await, REFUSED);
}

#[tokio::test]
async fn answers_that_are_no_keys_of_this_provider_are_not_taken() {
    let key = SigningKey::new("EdDSA", "key");
    let raw = |status: &str, more: &str| {
        Answer::Raw(format!("HTTP/1.1 {status}\r\nConnection: close\r\n{more}\r\n"))
    };
    let discovery = "/.well-known/openid-configuration";
    let long = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(300_000));
    for (path, answer) in [
        (discovery, Answer::Gone),
        (discovery, raw("500 Oops", "Content-Length: 0\r\n")),
        (discovery, raw("302 Found", "Location: /real\r\nContent-Length: 0\r\n")),
        (discovery, Answer::Ok("no JSON".to_owned())),
        (discovery, Answer::Ok(r#"{"issuer":"https://evil.example","jwks_uri":"/k"}"#.to_owned())),
        (discovery, Answer::Ok("{}".to_owned())),
        ("/keys", Answer::Ok("[]".to_owned())),
        ("/keys", Answer::Ok(long)),
        ("/keys", raw("404 Not Found", "Content-Length: 0\r\n")),
        ("/keys", Answer::Raw("SSH-2.0-x\r\n".to_owned())),
    ] {
        let issuer = Issuer::start().unwrap();
        issuer.publish(&[&key]);
        let token = key.sign(&header("EdDSA", "key"), &claims(&issuer).to_string());
        issuer.put(path, answer.clone());
        assert_eq!(verify(&by_keys(&issuer), &token).await, UNAVAILABLE, "{path} {answer:?}");
        // Keys by cleartext from elsewhere are not asked for.
        let url = issuer.url("");
        let far = format!(r#"{{"issuer":"{url}","jwks_uri":"http://keys.example/"}}"#);
        issuer.put(discovery, Answer::Ok(far));
        assert_eq!(verify(&by_keys(&issuer), &token).await, UNAVAILABLE);
    }
}

#[tokio::test]
async fn keys_at_a_given_place_need_no_discovery() {
    let issuer = Issuer::start().unwrap();
    let key = SigningKey::new("RS256", "key");
    issuer.publish(&[&key]);
    issuer.put("/.well-known/openid-configuration", Answer::Gone);
    let verifier = verifier(config(&issuer, Check::Keys { url: Some(issuer.url("/keys")) }));
    let token = key.sign(&header("RS256", "key"), &claims(&issuer).to_string());
    assert_eq!(verify(&verifier, &token).await, dock());
    assert_eq!(issuer.asked().len(), 1);
}

#[tokio::test]
async fn the_provider_is_asked_about_each_token_by_introspection() {
    let issuer = Issuer::start().unwrap();
    let check = Check::Introspection {
        url: issuer.url("/introspect"),
        client_id: "pillar:box".to_owned(),
        client_secret: Secret::new("s&cret"),
    };
    let verifier = verifier(config(&issuer, check));
    let answer = |change: Value| {
        let mut claims = claims(&issuer);
        claims["active"] = true.into();
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        issuer.put("/introspect", Answer::Ok(claims.to_string()));
    };
    answer(json!({}));
    assert_eq!(verify(&verifier, "opaque+/=").await, dock());
    let asked = issuer.asked();
    assert_eq!(asked[0].line, "POST /introspect HTTP/1.1\r\n");
    assert_eq!(asked[0].body, "token=opaque%2B%2F%3D&token_type_hint=access_token");
    // RFC 6749 §2.3.1: both are encoded as in a form before they are put together.
    assert_eq!(asked[0].authorization, "Basic cGlsbGFyJTNBYm94OnMlMjZjcmV0");
    for change in [
        json!({"active": false}),
        json!({"active": "true"}),
        json!({"active": 1}),
        json!({"active": null}),
        json!({"exp": 1}),
        json!({"iss": "https://evil.example"}),
        json!({"aud": "smtp"}),
        json!({"email": null}),
    ] {
        answer(change.clone());
        assert_eq!(verify(&verifier, "opaque").await, REFUSED, "{change}");
    }
    issuer.put("/introspect", Answer::Ok(r#"{"active":false}"#.to_owned()));
    assert_eq!(verify(&verifier, "opaque").await, REFUSED);
    for away in [
        Answer::Gone,
        Answer::Ok("[]".to_owned()),
        Answer::Raw("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".to_owned()),
    ] {
        issuer.put("/introspect", away.clone());
        assert_eq!(verify(&verifier, "opaque").await, UNAVAILABLE, "{away:?}");
    }
}

#[tokio::test]
async fn a_refused_client_is_told_what_it_needs() {
    let issuer = Issuer::start().unwrap();
    let scope = Some("example_scope".to_owned());
    let config = OAuthConfig { scope, ..config(&issuer, Check::Keys { url: None }) };
    let told = |verifier: &OAuthVerifier, mechanism, why| -> Value {
        serde_json::from_slice(&verifier.refusal(mechanism, why)).unwrap()
    };
    let refuses = verifier(config.clone());
    let expected = json!({
        "status": "invalid_token", "scope": "example_scope",
        "openid-configuration": issuer.url("/.well-known/openid-configuration"),
    });
    assert_eq!(told(&refuses, Mechanism::OAuthBearer, TokenFault::Token), expected);
    let scope = told(&refuses, Mechanism::OAuthBearer, TokenFault::Scope);
    assert_eq!(scope["status"], "insufficient_scope");
    let expected = json!({"status": "400", "schemes": "bearer", "scope": "example_scope"});
    assert_eq!(told(&refuses, Mechanism::XOAuth2, TokenFault::Request), expected);
    let hosts = vec!["imap.mail.example".to_owned()];
    let check = Check::Keys { url: Some(issuer.url("/keys")) };
    let elsewhere = verifier(OAuthConfig { scope: None, check, hosts, ..config });
    let expected = json!({"status": "invalid_request"});
    assert_eq!(told(&elsewhere, Mechanism::OAuthBearer, TokenFault::Request), expected);
    assert!(elsewhere.is_host("IMAP.mail.example") && !elsewhere.is_host("mail.example"));
    assert!(refuses.is_host("anything"));
}

#[tokio::test]
async fn a_configuration_that_would_take_tokens_for_others_is_refused() {
    let issuer = Issuer::start().unwrap();
    let refused = |config: OAuthConfig| OAuthVerifier::new(config, Arc::new(SystemClock)).err();
    let good = config(&issuer, Check::Keys { url: None });
    let open = OAuthConfig { audience: None, ..good.clone() };
    assert_eq!(refused(open.clone()), Some(OAuthError::AudienceMissing));
    let check = Check::Introspection {
        url: issuer.url("/"),
        client_id: "a".to_owned(),
        client_secret: Secret::new("swordfish"),
    };
    let asks = OAuthConfig { check, ..open };
    assert_eq!(refused(asks.clone()), Some(OAuthError::AudienceAndScopeMissing));
    let scoped = OAuthConfig { scope: Some("mail".to_owned()), ..asks };
    let shown = format!("{:?}", OAuthVerifier::new(scoped.clone(), Arc::new(SystemClock)));
    assert!(shown.contains("Ok(") && !shown.contains("fish"), "{shown}");
    let far = OAuthConfig { issuer: "http://login.example".to_owned(), ..good.clone() };
    assert!(matches!(refused(far), Some(OAuthError::Url(_))));
    let broken =
        OAuthConfig { authorities: Some(b"-----BEGIN CERTIFICATE-----\nx".to_vec()), ..good };
    assert!(matches!(refused(broken), Some(OAuthError::Tls(_))));
}
