//! What a token says of itself, and whether that makes it one for us. RFC 7519 §4.1, RFC 7662 §2.2

use mail_service::{TokenFault, TokenHolder};
use serde_json::{Map, Value};

use crate::config::OAuthConfig;

/// Where claims come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the token: it has to say all that matters.
    Token,
    /// From the provider, which may leave out what it has checked itself. RFC 7662 §2.2
    Provider,
}

/// Whoever the token was issued to, if it is good at this time, in seconds since 1970.
///
/// # Errors
/// What is wrong with it.
pub fn judge(
    claims: &Map<String, Value>,
    from: Source,
    rules: &OAuthConfig,
    now: i64,
) -> Result<TokenHolder, TokenFault> {
    let may_miss = from == Source::Provider;
    let is_good = match claims.get("iss") {
        Some(issuer) => issuer == rules.issuer.as_str(),
        None => may_miss,
    } && match claims.get("exp") {
        Some(end) => time(end).is_some_and(|end| now < end.saturating_add(LEEWAY_SECS)),
        None => may_miss,
    } && match claims.get("nbf") {
        Some(begin) => time(begin).is_some_and(|begin| begin <= now.saturating_add(LEEWAY_SECS)),
        None => true,
    } && rules
        .audience
        .as_deref()
        .is_none_or(|audience| names(claims.get("aud"), audience));
    if !is_good {
        return Err(TokenFault::Token);
    }
    let holder = holder(claims, rules).ok_or(TokenFault::Token)?;
    match rules.scope.as_deref() {
        Some(scope) if !has_scope(claims, scope) => Err(TokenFault::Scope),
        _ => Ok(holder),
    }
}

fn holder(claims: &Map<String, Value>, rules: &OAuthConfig) -> Option<TokenHolder> {
    let name = claims.get(&rules.account_claim)?.as_str().filter(|name| !name.is_empty())?;
    // An address that anybody could have written into a profile is nobody's name. OpenID Connect
    // Core 1.0 §5.1; some providers write the truth value as a text.
    if rules.account_claim == "email"
        && claims.get("email_verified").is_some_and(|it| it != &Value::Bool(true) && it != "true")
    {
        return None;
    }
    let mut names = vec![name.to_owned()];
    if let Some((local, domain)) = name.rsplit_once('@')
        && !local.is_empty()
        && rules.domains.iter().any(|ours| ours.eq_ignore_ascii_case(domain))
    {
        names.push(local.to_owned());
    }
    Some(TokenHolder { names })
}

/// A NumericDate in whole seconds. RFC 7519 §2
fn time(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().filter(|it| it.abs() < 1e15).map(|it| it as i64))
}

/// A text that is this one, or a list of texts that holds it. RFC 7519 §4.1.3
fn names(value: Option<&Value>, wanted: &str) -> bool {
    match value {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Array(texts)) => texts.iter().any(|text| text == wanted),
        _ => false,
    }
}

/// `scope` is a text of words (RFC 8693 §4.2); some providers write `scp`, and lists.
fn has_scope(claims: &Map<String, Value>, wanted: &str) -> bool {
    let has = |value: &Value| match value {
        Value::String(words) => words.split(' ').any(|word| word == wanted),
        other => names(Some(other), wanted),
    };
    ["scope", "scp"].iter().filter_map(|name| claims.get(*name)).any(has)
}

/// How far the clocks of provider and server may be apart. RFC 7519 §4.1.4: a few minutes at most.
const LEEWAY_SECS: i64 = 60;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Check;

    const NOW: i64 = 1_790_000_000;

    fn rules() -> OAuthConfig {
        OAuthConfig {
            issuer: "https://login.example".to_owned(),
            audience: Some("imap".to_owned()),
            scope: Some("mail".to_owned()),
            account_claim: "email".to_owned(),
            domains: vec!["ours.example".to_owned()],
            hosts: Vec::new(),
            check: Check::Keys { url: None },
            authorities: None,
        }
    }

    fn good() -> Value {
        json!({
            "iss": "https://login.example", "aud": "imap", "exp": NOW + 300, "nbf": NOW,
            "scope": "openid mail", "email": "dock@mail.example", "email_verified": true,
        })
    }

    fn judged(
        claims: &Value,
        from: Source,
        rules: &OAuthConfig,
    ) -> Result<Vec<String>, TokenFault> {
        judge(claims.as_object().unwrap(), from, rules, NOW).map(|holder| holder.names)
    }

    fn changed(changes: &Value) -> Value {
        let mut claims = good();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    fn without(name: &str) -> Value {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }

    #[test]
    fn a_good_token_names_its_holder() {
        let dock = Ok(vec!["dock@mail.example".to_owned()]);
        for change in [
            json!({}),
            json!({"aud": ["other", "imap"]}),
            json!({"exp": NOW - 59, "nbf": NOW + 60}),
            json!({"exp": NOW as f64 + 0.5}),
            json!({"scope": "mail"}),
            json!({"scope": ["mail"]}),
            json!({"scope": "", "scp": ["x", "mail"]}),
            json!({"scp": "mail", "scope": null}),
            json!({"email_verified": "true"}),
        ] {
            assert_eq!(judged(&changed(&change), Source::Token, &rules()), dock, "{change}");
        }
        assert_eq!(judged(&without("nbf"), Source::Token, &rules()), dock);
        assert_eq!(judged(&without("email_verified"), Source::Token, &rules()), dock);
    }

    #[test]
    fn an_address_of_our_domains_means_its_local_part_too_and_no_other_does() {
        let names = |email: &str| {
            judged(&changed(&json!({"email": email})), Source::Token, &rules()).unwrap()
        };
        assert_eq!(names("dock@Ours.example"), ["dock@Ours.example", "dock"]);
        assert_eq!(names("dock@theirs.example"), ["dock@theirs.example"]);
        assert_eq!(names("@ours.example"), ["@ours.example"]);
        assert_eq!(names("dock"), ["dock"]);
        let rules = OAuthConfig { account_claim: "sub".to_owned(), ..rules() };
        // Only an address has to be verified.
        let claims = changed(&json!({"sub": "quay", "email_verified": false}));
        assert_eq!(judged(&claims, Source::Token, &rules), Ok(vec!["quay".to_owned()]));
    }

    #[test]
    fn tokens_that_are_for_others_or_for_another_time_are_refused() {
        for change in [
            json!({"iss": "https://login.example/"}),
            json!({"iss": "HTTPS://login.example"}),
            json!({"iss": ["https://login.example"]}),
            json!({"iss": null}),
            json!({"aud": "IMAP"}),
            json!({"aud": "imap "}),
            json!({"aud": []}),
            json!({"aud": [["imap"]]}),
            json!({"aud": {"imap": true}}),
            json!({"aud": null}),
            json!({"exp": NOW - 60}),
            json!({"exp": 0}),
            json!({"exp": -1}),
            json!({"exp": 1e300}),
            json!({"exp": "9999999999"}),
            json!({"exp": null}),
            json!({"exp": true}),
            json!({"nbf": NOW + 61}),
            json!({"nbf": "0"}),
            json!({"nbf": null}),
            json!({"email": ""}),
            json!({"email": null}),
            json!({"email": ["dock@mail.example"]}),
            json!({"email_verified": false}),
            json!({"email_verified": "false"}),
            json!({"email_verified": null}),
            json!({"email_verified": 1}),
        ] {
            for from in [Source::Token, Source::Provider] {
                let fault = judged(&changed(&change), from, &rules());
                assert_eq!(fault, Err(TokenFault::Token), "{change} {from:?}");
            }
        }
        for name in ["iss", "aud", "exp", "email"] {
            assert_eq!(judged(&without(name), Source::Token, &rules()), Err(TokenFault::Token));
        }
    }

    #[test]
    fn a_provider_may_leave_out_what_it_has_checked() {
        for (name, is_good) in [("iss", true), ("exp", true), ("aud", false), ("email", false)] {
            let judged = judged(&without(name), Source::Provider, &rules());
            assert_eq!(judged.is_ok(), is_good, "{name}");
        }
        let rules = OAuthConfig { audience: None, ..rules() };
        assert!(judged(&without("aud"), Source::Provider, &rules).is_ok());
    }

    #[test]
    fn a_good_token_for_something_else_lacks_the_scope() {
        for change in [
            json!({"scope": "openid"}),
            json!({"scope": "mailx mai"}),
            json!({"scope": "Mail"}),
            json!({"scope": ["openid mail"]}),
            json!({"scope": {"mail": 1}}),
            json!({"scope": null}),
        ] {
            let fault = judged(&changed(&change), Source::Token, &rules());
            assert_eq!(fault, Err(TokenFault::Scope), "{change}");
        }
        // What else is wrong comes first.
        let fault = judged(&changed(&json!({"scope": "", "exp": 1})), Source::Token, &rules());
        assert_eq!(fault, Err(TokenFault::Token));
        let rules = OAuthConfig { scope: None, ..rules() };
        assert!(judged(&without("scope"), Source::Token, &rules).is_ok());
    }
}
