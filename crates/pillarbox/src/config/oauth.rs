//! `[oauth]`: a provider whose tokens are taken for logins.

use std::path::{Path, PathBuf};

use super::reader::Table;

/// A provider, and what its tokens must say.
#[derive(Clone, Debug, PartialEq)]
pub struct OAuth {
    /// Its `iss`.
    pub issuer: String,
    /// One of the `aud` of its tokens.
    pub audience: Option<String>,
    /// One of their scopes.
    pub scope: Option<String>,
    /// The claim that is the name of an account.
    pub account_claim: String,
    /// Domains whose local parts are names of accounts, too.
    pub domains: Vec<String>,
    /// Names of hosts that clients connect to; any if there are none.
    pub hosts: Vec<String>,
    /// How a token is verified.
    pub check: TokenCheck,
    /// The authorities that may sign the provider's certificate.
    pub ca: Option<PathBuf>,
}

/// How a token is verified.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenCheck {
    /// By keys, at this URL or found through the issuer.
    Keys(Option<String>),
    /// By asking.
    Introspection {
        /// Where.
        url: String,
        /// As whom.
        client_id: String,
        /// The file that holds the client's secret.
        secret_file: PathBuf,
    },
}

/// Reads the section, if it is there.
pub fn oauth(root: &Table<'_>, folder: &Path) -> Option<OAuth> {
    let table = root.table("oauth")?;
    table.only(&[
        "issuer",
        "audience",
        "scope",
        "account_claim",
        "domains",
        "hosts",
        "jwks_url",
        "introspection_url",
        "client_id",
        "client_secret_file",
        "ca",
    ]);
    let issuer = url(&table, table.text("issuer"), "issuer");
    let optional = |key| table.optional_text(key).map(|(_, text)| text);
    let (audience, scope) = (optional("audience"), optional("scope"));
    let check = check(&table, folder);
    // The scope will do where the provider knows who asks.
    let is_asked = table.has("introspection_url") && scope.is_some();
    if !(table.has("audience") || is_asked) {
        let remedy = "add what the provider writes into aud of tokens for this server, \
                      or every token of the provider would do";
        table.missing("oauth.audience is missing", remedy);
    }
    let texts = |key| table.texts(key).into_iter().map(|(_, text)| text).collect();
    Some(OAuth {
        issuer: issuer?,
        audience,
        scope,
        account_claim: optional("account_claim").unwrap_or_else(|| "email".to_owned()),
        domains: texts("domains"),
        hosts: texts("hosts"),
        check: check?,
        ca: optional("ca").map(|file| folder.join(file)),
    })
}

fn check(table: &Table<'_>, folder: &Path) -> Option<TokenCheck> {
    if !table.has("introspection_url") {
        for key in ["client_id", "client_secret_file"] {
            if let Some(line) = table.line_of(key) {
                let problem = format!("{key} is for introspection");
                table.mistake(line, problem, "add introspection_url, or remove it");
            }
        }
        let place = url(table, table.optional_text("jwks_url"), "jwks_url");
        return Some(TokenCheck::Keys(place));
    }
    if let Some(line) = table.line_of("jwks_url") {
        let problem = "jwks_url and introspection_url are two ways to verify a token".to_owned();
        table.mistake(line, problem, "choose one of them");
    }
    let place = url(table, table.text("introspection_url"), "introspection_url");
    let client_id = table.text("client_id").map(|(_, id)| id);
    let secret_file = table.text("client_secret_file").map(|(_, file)| folder.join(file));
    Some(TokenCheck::Introspection {
        url: place?,
        client_id: client_id?,
        secret_file: secret_file?,
    })
}

/// Keys and secrets travel by TLS, or not beyond this machine.
fn url(table: &Table<'_>, text: Option<(usize, String)>, key: &str) -> Option<String> {
    let (line, text) = text?;
    let is_loopback = LOOPBACKS.iter().any(|host| {
        let rest = text.strip_prefix("http://").and_then(|rest| rest.strip_prefix(host));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    });
    let host = text.strip_prefix("https://").unwrap_or_default();
    if is_loopback || (!host.is_empty() && !host.starts_with(['/', ':'])) {
        return Some(text);
    }
    table.mistake(line, format!("{key} = {text:?} is not https"), "write https:// and a host");
    None
}

const LOOPBACKS: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

#[cfg(test)]
mod tests {
    use super::super::{Config, Mistake};
    use super::*;

    fn parse(oauth: &str) -> Result<Option<OAuth>, Vec<Mistake>> {
        let text = format!(
            "data = 'd'\nhostname = 'h'\n[[listen]]\nprotocol = 'imap'\n\
             address = '127.0.0.1:1143'\ntls = 'starttls'\n{oauth}"
        );
        Config::parse(&text, Path::new("/etc/pillarbox")).map(|config| config.oauth)
    }

    fn mistakes(oauth: &str) -> Vec<String> {
        parse(&format!("[oauth]\n{oauth}")).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_provider_with_keys_needs_an_issuer_and_an_audience() {
        assert_eq!(parse("").unwrap(), None);
        let read = parse("[oauth]\nissuer = 'https://login.example'\naudience = 'imap'").unwrap();
        let read = read.unwrap();
        assert_eq!((read.check, read.account_claim.as_str()), (TokenCheck::Keys(None), "email"));
        let read = parse(
            "[oauth]\nissuer = 'http://127.0.0.1:8080/realm'\naudience = 'imap'\nscope = 'mail'\n\
             account_claim = 'sub'\ndomains = ['a.example']\nhosts = ['imap.a.example']\n\
             jwks_url = 'http://[::1]:9/k'\nca = 'ca.pem'",
        );
        let read = read.unwrap().unwrap();
        assert_eq!(read.check, TokenCheck::Keys(Some("http://[::1]:9/k".to_owned())));
        assert_eq!(read.ca.as_deref(), Some(Path::new("/etc/pillarbox/ca.pem")));
        assert_eq!((read.domains.len(), read.hosts.len()), (1, 1));
        let told = mistakes("isuer = 'x'");
        assert!(told[0].contains("did you mean issuer?"), "{told:?}");
        assert!(told.iter().any(|line| line.starts_with("oauth.issuer is missing")), "{told:?}");
        assert!(told.iter().any(|line| line.starts_with("oauth.audience is missing")), "{told:?}");
    }

    #[test]
    fn a_provider_that_is_asked_needs_a_client() {
        let asked = "issuer = 'https://login.example'\nintrospection_url = 'https://i.example/i'\n";
        let client = "client_id = 'mail'\nclient_secret_file = 'secret'\n";
        let read = parse(&format!("[oauth]\n{asked}{client}scope = 'mail'")).unwrap().unwrap();
        let TokenCheck::Introspection { secret_file, .. } = read.check else { panic!("not asked") };
        assert_eq!(secret_file, Path::new("/etc/pillarbox/secret"));
        let told = mistakes(&format!("{asked}audience = 'imap'"));
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(mistakes(&format!("{asked}{client}")).len(), 1);
        let both = mistakes(&format!("{asked}{client}scope = 'x'\njwks_url = 'https://k.example'"));
        assert!(both[0].contains("choose one of them"), "{both:?}");
        let keys = "issuer = 'https://login.example'\naudience = 'imap'\n";
        assert_eq!(mistakes(&format!("{keys}{client}")).len(), 2);
    }

    #[test]
    fn what_is_secret_does_not_travel_in_the_clear() {
        for bad in [
            "http://login.example",
            "http://127.0.0.1.evil.example",
            "http://localhost@evil.example",
            "https://",
            "https:///x",
            "login.example",
            "ftp://login.example",
        ] {
            let told = mistakes(&format!("issuer = '{bad}'\naudience = 'imap'"));
            assert!(told[0].contains("is not https"), "{bad}: {told:?}");
        }
    }
}
