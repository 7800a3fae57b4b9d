//! SCRAM with and without channel binding, and LOGIN, against a real server under TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

mod common;

use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::{Live, PASSWORD, USER, settings};
use net::{CertificateFiles, Peer, Stream, Tls};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A connection under TLS of this version, after its greeting.
struct Client {
    stream: TlsStream<DuplexStream>,
    greeting: String,
    _folder: tempfile::TempDir,
    _live: Arc<Live>,
}

impl Client {
    async fn connect(version: &'static SupportedProtocolVersion) -> Self {
        Self::certified(version, None).await
    }

    /// With a certificate for these addresses, which the server's authority has signed.
    async fn certified(
        version: &'static SupportedProtocolVersion,
        addresses: Option<&[&str]>,
    ) -> Self {
        Self::of(&Arc::new(Live::new(settings()).await), version, addresses).await
    }

    async fn of(
        live: &Arc<Live>,
        version: &'static SupportedProtocolVersion,
        addresses: Option<&[&str]>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut files = CertificateFiles::self_signed(folder.path(), "localhost").unwrap();
        let authority = Authority::new();
        let client_ca = folder.path().join("clients.pem");
        std::fs::write(&client_ca, &authority.pem).unwrap();
        files.client_ca = Some(client_ca);
        let tls = Tls::new(&files).unwrap().server_that_asks("imap").unwrap();
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (server, guard) = (Arc::clone(&live.server), live.shutdown.token());
        tokio::spawn(async move {
            let patience = std::time::Duration::from_secs(20);
            let stream = Stream::memory(theirs);
            let stream = stream.start_tls(Vec::new(), &tls, patience).await.unwrap();
            let peer = Peer::Ip("192.0.2.1".parse().unwrap());
            net::Service::serve(&*server, stream, peer, guard).await;
        });
        let mut roots = RootCertStore::empty();
        let pem = std::fs::read(&files.certificate).unwrap();
        roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        let config = match addresses {
            None => config.with_no_client_auth(),
            Some(addresses) => {
                let (certificate, key) = authority.sign(addresses);
                config.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, ours).await.unwrap();
        let (greeting, _live) = (String::new(), Arc::clone(live));
        let mut client = Self { stream, greeting, _folder: folder, _live };
        client.greeting = client.line().await;
        client
    }

    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(self.stream.read_u8().await.unwrap());
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    async fn say(&mut self, text: &str) -> String {
        self.stream.write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
        self.line().await
    }

    fn exporter(&self) -> Vec<u8> {
        let (_, tls) = self.stream.get_ref();
        let label = b"EXPORTER-Channel-Binding";
        tls.export_keying_material([0_u8; 32], label, Some(&[])).unwrap().to_vec()
    }

    /// A whole exchange; what the server says at its end.
    async fn scram(&mut self, kind: Kind, plus: &str, gs2: &str, bound: &[u8]) -> String {
        let bare = format!("n={USER},r=clientnonce");
        let first = BASE64.encode(format!("{gs2}{bare}"));
        let name = kind.name();
        let said = self.say(&format!("s AUTHENTICATE {name}{plus} {first}")).await;
        let Some(challenge) = said.strip_prefix("+ ") else { return said };
        let challenge = String::from_utf8(BASE64.decode(challenge).unwrap()).unwrap();
        let last = kind.client_final(&bare, &challenge, &[gs2.as_bytes(), bound].concat());
        let said = self.say(&BASE64.encode(last)).await;
        match said.strip_prefix("+ ") {
            Some(proof) => {
                assert!(BASE64.decode(proof).unwrap().starts_with(b"v="));
                self.say("").await
            }
            None => said,
        }
    }
}

/// Who vouches for clients.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, addresses: &[&str]) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        let address = |text: &&str| SanType::Rfc822Name((*text).try_into().unwrap());
        params.subject_alt_names = addresses.iter().map(address).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Sha1,
    Sha256,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
        }
    }

    fn sign(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), text).as_ref().to_vec()
    }

    /// RFC 5802 §3, from the client's side.
    fn client_final(self, bare: &str, challenge: &str, binding: &[u8]) -> String {
        let fields: Vec<&str> = challenge.split(',').collect();
        let field = |at: usize| fields.get(at).map_or("", |field| &field[2..]);
        let salt = BASE64.decode(field(1)).unwrap();
        let rounds = NonZeroU32::new(field(2).parse().unwrap()).unwrap();
        let (algorithm, hash, length) = match self {
            Self::Sha1 => (pbkdf2::PBKDF2_HMAC_SHA1, &digest::SHA1_FOR_LEGACY_USE_ONLY, 20),
            Self::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, &digest::SHA256, 32),
        };
        let mut salted = vec![0; length];
        pbkdf2::derive(algorithm, rounds, &salt, PASSWORD.as_bytes(), &mut salted);
        let key = self.sign(&salted, b"Client Key");
        let without_proof = format!("c={},r={}", BASE64.encode(binding), field(0));
        let message = format!("{bare},{challenge},{without_proof}");
        let signature = self.sign(digest::digest(hash, &key).as_ref(), message.as_bytes());
        let proof: Vec<u8> = key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        format!("{without_proof},p={}", BASE64.encode(proof))
    }
}

#[tokio::test]
async fn under_tls_1_3_a_login_is_bound_to_its_connection() {
    for kind in [Kind::Sha256, Kind::Sha1] {
        let mut client = Client::connect(&rustls::version::TLS13).await;
        let offer = format!("AUTH={}-PLUS ", kind.name());
        assert!(client.greeting.contains(&offer), "{}", client.greeting);
        // What another connection is bound to does not fit.
        let said = client.scram(kind, "-PLUS", "p=tls-exporter,,", &[1; 32]).await;
        assert!(said.starts_with("s NO [AUTHENTICATIONFAILED]"), "{said}");
        // "y" where the server can bind: somebody changed the list. RFC 5802 §6
        let said = client.scram(kind, "", "y,,", &[]).await;
        assert!(said.starts_with("s NO [AUTHENTICATIONFAILED]"), "{said}");
        let said = client.scram(kind, "-PLUS", "p=tls-unique,,", &[1; 32]).await;
        assert!(said.starts_with("s NO [AUTHENTICATIONFAILED]"), "{said}");
        let exporter = client.exporter();
        let said = client.scram(kind, "-PLUS", "p=tls-exporter,,", &exporter).await;
        assert!(said.starts_with("s OK"), "{said}");
    }
}

#[tokio::test]
async fn a_client_that_cannot_bind_logs_in_without_and_the_mechanisms_stay_apart() {
    for kind in [Kind::Sha256, Kind::Sha1] {
        let mut client = Client::connect(&rustls::version::TLS13).await;
        let exporter = client.exporter();
        for (plus, gs2) in [("-PLUS", "n,,"), ("-PLUS", "y,,"), ("", "p=tls-exporter,,")] {
            let said = client.scram(kind, plus, gs2, &exporter).await;
            assert!(said.starts_with("s BAD"), "{plus} {gs2}: {said}");
        }
        assert!(client.scram(kind, "", "n,,", &[]).await.starts_with("s OK"));
    }
}

#[tokio::test]
async fn under_tls_1_2_nothing_is_bound_and_nothing_of_it_is_offered() {
    for kind in [Kind::Sha256, Kind::Sha1] {
        let mut client = Client::connect(&rustls::version::TLS12).await;
        assert!(!client.greeting.contains("-PLUS"), "{}", client.greeting);
        let exporter = client.exporter();
        let said = client.scram(kind, "-PLUS", "p=tls-exporter,,", &exporter).await;
        assert!(said.starts_with("s NO [CANNOT]"), "{said}");
        // Here the client is right that the server cannot.
        assert!(client.scram(kind, "", "y,,", &[]).await.starts_with("s OK"));
    }
}

#[tokio::test]
async fn a_client_with_a_certificate_needs_no_password() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut client = Client::certified(version, Some(&[USER])).await;
        assert!(client.greeting.contains(" AUTH=EXTERNAL "), "{}", client.greeting);
        let other = BASE64.encode("somebody@pillarbox.example");
        let said = client.say(&format!("a AUTHENTICATE EXTERNAL {other}")).await;
        assert!(said.starts_with("a NO [AUTHORIZATIONFAILED]"), "{said}");
        assert_eq!(client.say("b AUTHENTICATE EXTERNAL").await, "+");
        assert!(client.say("").await.starts_with("b OK"));
        // The certificate stays when the login ends. RFC 8437 §4.2
        assert!(client.say("c UNAUTHENTICATE").await.starts_with("c OK"));
        let same = BASE64.encode(USER);
        let said = client.say(&format!("d AUTHENTICATE EXTERNAL {same}")).await;
        assert!(said.starts_with("d OK"), "{said}");
    }
}

#[tokio::test]
async fn a_certificate_of_nobody_here_opens_nothing_and_none_offers_nothing() {
    let mut client = Client::certified(&rustls::version::TLS13, Some(&["x@other.example"])).await;
    let said = client.say("a AUTHENTICATE EXTERNAL =").await;
    assert!(said.starts_with("a NO [AUTHENTICATIONFAILED]"), "{said}");
    let mut client = Client::connect(&rustls::version::TLS13).await;
    assert!(!client.greeting.contains("EXTERNAL"), "{}", client.greeting);
    let said = client.say("a AUTHENTICATE EXTERNAL =").await;
    assert!(said.starts_with("a NO [CANNOT]"), "{said}");
}

#[tokio::test]
async fn login_asks_for_the_name_and_then_for_the_password() {
    let mut client = Client::connect(&rustls::version::TLS13).await;
    assert!(client.greeting.contains("AUTH=PLAIN AUTH=LOGIN "), "{}", client.greeting);
    for (tag, password, end) in [("a", "wrong", "a NO"), ("b", PASSWORD, "b OK")] {
        let asked = client.say(&format!("{tag} AUTHENTICATE LOGIN")).await;
        assert_eq!(asked, format!("+ {}", BASE64.encode("Username:")));
        let asked = client.say(&BASE64.encode(USER)).await;
        assert_eq!(asked, format!("+ {}", BASE64.encode("Password:")));
        let said = client.say(&BASE64.encode(password)).await;
        assert!(said.starts_with(end), "{said}");
    }
}

/// What a server that takes tokens says to this message of OAUTHBEARER; `^` is the separator.
async fn bearer(client: &mut common::Client, message: &str) -> String {
    let message = BASE64.encode(message.replace('^', "\u{1}"));
    client.send(format!("a AUTHENTICATE OAUTHBEARER {message}\r\n")).await;
    let told = client.line().await;
    let Some(challenge) = told.strip_prefix("+ ") else { return told };
    let challenge = String::from_utf8(BASE64.decode(challenge).unwrap()).unwrap();
    client.send("AQ==\r\n").await;
    format!("{challenge} {}", client.line().await)
}

#[tokio::test]
async fn a_token_opens_its_own_account_and_no_other() {
    use testkit::pure::{TOKEN, TOKEN_REFUSAL};
    let live = Live::nodes_with_tokens(1, settings()).await.remove(0);
    let refused = format!("{TOKEN_REFUSAL} a NO [AUTHENTICATIONFAILED]");
    let other = format!("{TOKEN_REFUSAL} a NO [AUTHORIZATIONFAILED]");
    for (message, expected) in [
        (format!("n,,^auth=Bearer {TOKEN}^^"), "a OK"),
        (format!("y,a=User@example.com,^host=server.example.com^auth=bearer {TOKEN}^^"), "a OK"),
        (format!("n,,^host=mx.example.com^auth=Bearer {TOKEN}^^"), "Request a NO [AUTHENTICA"),
        ("n,,^auth=Bearer x^^".to_owned(), refused.as_str()),
        ("n,,^auth=Basic x^^".to_owned(), "Request a NO [AUTHENTICATIONFAILED]"),
        ("n,,^^".to_owned(), &refused),
        (format!("n,a={USER},^auth=Bearer {TOKEN}^^"), &other),
        (format!("n,a=nobody@example.com,^auth=Bearer {TOKEN}^^"), &other),
        ("n,,^auth=Bearer away^^".to_owned(), "a NO [UNAVAILABLE]"),
        ("^".to_owned(), "a NO [AUTHENTICATIONFAILED]"),
        (format!("n,user=user@example.com,^auth=Bearer {TOKEN}^^"), "a BAD"),
        (format!("n,,^auth=Bearer {TOKEN}^"), "a BAD"),
        (format!("p=tls-exporter,,^auth=Bearer {TOKEN}^^"), "a BAD"),
        ("n,,^auth=Bearer ".to_owned() + &"x".repeat(12_000) + "^^", "a BAD"),
        ("n,,^auth=Bearer ".to_owned() + &"x".repeat(11_000) + "^^", &refused),
    ] {
        let mut client = live.connect();
        client.line().await;
        let told = bearer(&mut client, &message).await;
        assert!(told.starts_with(expected), "{message}: {told}");
    }
}

#[tokio::test]
async fn without_tls_a_token_is_taken_from_this_machine_only() {
    let live = Live::nodes_with_tokens(1, settings()).await.remove(0);
    let mut near = live.connect();
    assert!(near.line().await.contains(" AUTH=OAUTHBEARER AUTH=XOAUTH2 "));
    let mut far = live.connect_from(Peer::Ip("192.0.2.1".parse().unwrap()));
    assert!(!far.line().await.contains("AUTH="));
    let token = format!("n,,^auth=Bearer {}^^", testkit::pure::TOKEN);
    assert!(bearer(&mut far, &token).await.starts_with("a NO [PRIVACYREQUIRED]"));
    // Without a provider there is nothing to try.
    let without = Live::new(settings()).await;
    let mut none = without.connect();
    assert!(!none.line().await.contains("OAUTH"));
    assert!(bearer(&mut none, &token).await.starts_with("a NO [CANNOT]"));
}

#[tokio::test]
async fn a_refused_token_counts_once_even_if_the_client_does_not_hear_it_out() {
    let mut live = Live::nodes_with_tokens(1, settings()).await.remove(0);
    let throttle = Arc::new(net::LoginThrottle::default());
    let server = imap_server::ImapServer::new(live.service.clone(), throttle.clone(), settings());
    live.server = Arc::new(server);
    let live = Arc::new(live);
    let message = BASE64.encode(format!("n,a={USER},\u{1}auth=Bearer x\u{1}\u{1}"));
    let far = Peer::Ip("192.0.2.1".parse().unwrap());
    let verdict = || throttle.check(far, b"", std::time::Instant::now());
    // It counts where it comes from, and one more than these is too many.
    for _ in 0..97 {
        throttle.failed(far, b"", std::time::Instant::now());
    }
    for (hears_it_out, then) in
        [(true, net::Verdict::Try), (false, net::Verdict::Try), (true, net::Verdict::Refuse)]
    {
        let mut client = Client::of(&live, &rustls::version::TLS13, None).await;
        let said = client.say(&format!("a AUTHENTICATE OAUTHBEARER {message}")).await;
        assert!(said.starts_with("+ "), "{said}");
        if hears_it_out {
            let said = client.say("AQ==").await;
            assert!(said.starts_with("a NO "), "{said}");
        }
        assert_eq!(verdict(), then);
    }
    // A client with an old token does not lock its user out.
    let now = std::time::Instant::now();
    let elsewhere = Peer::Ip("198.51.100.1".parse().unwrap());
    assert_eq!(throttle.check(elsewhere, USER.as_bytes(), now), net::Verdict::Try);
}
