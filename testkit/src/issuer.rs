//! A provider of OAuth 2.0 tokens on a loopback: it signs whatever a test wants signed, and answers
//! what the test has put where. One thread, one request after the other.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

/// A running provider. It ends with the test.
pub struct Issuer {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    answers: HashMap<String, Answer>,
    asked: Vec<Request>,
}

/// What is answered at a path.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This body.
    Ok(String),
    /// This status line and more, as it is.
    Raw(String),
    /// Nothing: the connection is closed.
    Gone,
}

/// What a client asked.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Method and path.
    pub line: String,
    /// The value of its Authorization.
    pub authorization: String,
    /// Its body.
    pub body: String,
}

impl Issuer {
    /// Starts one that answers nothing as yet.
    ///
    /// # Errors
    /// If there is no port.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let issuer = Self { address: listener.local_addr()?, shared: Arc::default() };
        let shared = Arc::clone(&issuer.shared);
        std::thread::spawn(move || {
            // A client that goes away is no reason to end.
            listener.incoming().flatten().for_each(|stream| drop(serve(&stream, &shared)));
        });
        Ok(issuer)
    }

    /// A URL of it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Puts an answer at a path.
    pub fn put(&self, path: &str, answer: Answer) {
        lock(&self.shared).answers.insert(path.to_owned(), answer);
    }

    /// Has its configuration name a set of these keys.
    pub fn publish(&self, keys: &[&SigningKey]) {
        let (issuer, jwks) = (self.url(""), self.url("/keys"));
        let discovery = format!("{{\"issuer\":\"{issuer}\",\"jwks_uri\":\"{jwks}\"}}");
        self.put("/.well-known/openid-configuration", Answer::Ok(discovery));
        let keys: Vec<String> = keys.iter().map(|key| key.jwk()).collect();
        self.put("/keys", Answer::Ok(format!("{{\"keys\":[{}]}}", keys.join(","))));
    }

    /// What it was asked so far, and forgets it.
    #[must_use]
    pub fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.shared).asked)
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: &TcpStream, shared: &Mutex<Shared>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut request, mut length) = (Request::default(), 0);
    reader.read_line(&mut request.line)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap_or(0);
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                value.trim().clone_into(&mut request.authorization);
            }
            _ => {}
        }
    }
    reader.take(length).read_to_string(&mut request.body)?;
    let path = request.line.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = {
        let mut shared = lock(shared);
        shared.asked.push(request);
        shared.answers.get(&path).cloned()
    };
    let text = match answer {
        Some(Answer::Ok(body)) => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        }
        Some(Answer::Raw(text)) => text,
        Some(Answer::Gone) => return stream.shutdown(Shutdown::Both),
        None => "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".into(),
    };
    stream.write_all(text.as_bytes())
}

/// A key pair that tokens are signed with.
pub struct SigningKey {
    /// Its name in the set.
    pub id: String,
    algorithm: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// A new key for the algorithm of this name: RS256, PS256, ES256 or EdDSA.
    ///
    /// # Panics
    /// For any other, or when there is no randomness: a test cannot go on.
    #[must_use]
    pub fn new(algorithm: &str, id: &str) -> Self {
        let pair = match algorithm {
            "RS256" | "PS256" => RsaKeyPair::generate(KeySize::Rsa2048).map(Pair::Rsa),
            "ES256" => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::P256),
            "EdDSA" => Ed25519KeyPair::generate().map(Pair::Ed25519),
            other => panic!("{other} is no algorithm of this provider"),
        };
        let Ok(pair) = pair else { panic!("no key for {algorithm}") };
        Self { id: id.to_owned(), algorithm: algorithm.to_owned(), pair }
    }

    /// The public key. RFC 7517
    #[must_use]
    pub fn jwk(&self) -> String {
        let id = &self.id;
        let text = |octets: &[u8]| BASE64URL.encode(octets);
        match &self.pair {
            Pair::Rsa(pair) => {
                // RFC 8017 §A.1.1: the DER of 2,048 bits has 9 octets before the modulus, and
                // ends with the exponent 65,537.
                let der = pair.public_key().as_ref();
                let modulus = der.get(9..9 + 256).unwrap_or_default();
                let exponent = der.get(der.len().saturating_sub(3)..).unwrap_or_default();
                let (n, e) = (text(modulus), text(exponent));
                let alg = &self.algorithm;
                format!(r#"{{"kty":"RSA","alg":"{alg}","kid":"{id}","n":"{n}","e":"{e}"}}"#)
            }
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point.split_at_checked(1).unwrap_or_default().1.split_at(32);
                let (x, y) = (text(x), text(y));
                format!(r#"{{"kty":"EC","crv":"P-256","kid":"{id}","x":"{x}","y":"{y}"}}"#)
            }
            Pair::Ed25519(pair) => {
                let x = text(pair.public_key().as_ref());
                format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{id}","x":"{x}"}}"#)
            }
        }
    }

    /// A token with this header and these claims, whatever they say. RFC 7515 §5.1
    #[must_use]
    pub fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims));
        let message = signed.as_bytes();
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding =
                    if header.contains("PS256") { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let signed = pair.sign(padding, &random, message, &mut signature);
                assert!(signed.is_ok(), "the key does not sign");
                signature
            }
            Pair::P256(pair) => match pair.sign(&random, message) {
                Ok(signature) => signature.as_ref().to_vec(),
                Err(_) => panic!("the key does not sign"),
            },
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        };
        format!("{signed}.{}", BASE64URL.encode(signature))
    }
}
