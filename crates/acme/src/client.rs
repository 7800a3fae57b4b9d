//! Speaks with the authority: the account, the order, the proofs, the certificate. RFC 8555 §7

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use instant_acme::{
    Account, AccountBuilder, AccountCredentials, AuthorizationHandle, AuthorizationStatus,
    CertificateIdentifier, ChallengeHandle, ChallengeType, Error, Identifier, NewAccount, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use net::{Facts, Tls};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::Der;
use tracing::{info, warn};

use crate::hook::{Action, HOOK_TIME_MAX, HookError};
use crate::tokens::Presented;
use crate::{Advice, Authority, Challenge, Hook, Issued, OrderError, Settings, Tokens};

/// Orders certificates from the authority of the settings.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    tls: Tls,
    tokens: Tokens,
}

impl Authority for Client {
    async fn order(
        &self,
        names: &[String],
        replaced: Option<&Facts>,
    ) -> Result<Issued, OrderError> {
        let order = self.issue(names, replaced);
        let time_max = ORDER_TIME_MAX + 2 * self.hooks_time(names);
        match tokio::time::timeout(time_max, order).await {
            Ok(done) => done,
            Err(_) => Err(OrderError::new("the authority took too long")),
        }
    }

    async fn advice(&self, certificate: &Facts) -> Result<Option<Advice>, OrderError> {
        let Some(id) = identifier(certificate) else { return Ok(None) };
        let asking = async {
            let account = self.account().await?;
            match account.renewal_info(&id).await {
                Ok((info, again)) => Ok(Some(Advice {
                    start: info.suggested_window.start.unix_timestamp(),
                    end: info.suggested_window.end.unix_timestamp(),
                    ask_again_secs: i64::try_from(again.as_secs()).unwrap_or(i64::MAX),
                })),
                Err(Error::Unsupported(_)) => Ok(None),
                Err(error) => Err(OrderError::new(error)),
            }
        };
        match tokio::time::timeout(ADVICE_TIME_MAX, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(OrderError::new("the authority took too long")),
        }
    }
}

impl Client {
    /// A client that proves names by what `tls` and `tokens` answer.
    pub fn new(settings: Settings, tls: Tls, tokens: Tokens) -> Self {
        Self { settings, tls, tokens }
    }

    async fn issue(
        &self,
        names: &[String],
        replaced: Option<&Facts>,
    ) -> Result<Issued, OrderError> {
        let account = self.account().await?;
        let identifiers: Vec<_> = names.iter().cloned().map(Identifier::Dns).collect();
        let order = new_order(&account, &identifiers, replaced).await;
        let mut order = order.map_err(|error| self.looked_at(error))?;
        let mut proofs = Vec::new();
        let time_max = ORDER_TIME_MAX / 2 + self.hooks_time(names);
        let proving = tokio::time::timeout(time_max, self.prove(&mut order, &mut proofs)).await;
        let proved = proving.unwrap_or_else(|_| Err(OrderError::new("the proof took too long")));
        // Whether or not it went well, what was made for it goes.
        for proof in proofs {
            proof.end().await;
        }
        proved?;
        let (request, key) = request(names).map_err(OrderError::new)?;
        order.finalize_csr(&request).await.map_err(OrderError::new)?;
        let chain = order.poll_certificate(&POLLS).await.map_err(OrderError::new)?;
        Ok(Issued { chain, key: key.serialize_pem() })
    }

    /// How long programs may take to set records, one after the other; and again to remove them.
    fn hooks_time(&self, names: &[String]) -> Duration {
        match self.settings.challenge {
            Challenge::Dns01(_) => HOOK_TIME_MAX * u32::try_from(names.len()).unwrap_or(u32::MAX),
            Challenge::Http01 | Challenge::TlsAlpn01 => Duration::ZERO,
        }
    }

    /// Proves what is not proved yet, all names at once, and waits for the verdict.
    async fn prove(&self, order: &mut Order, proofs: &mut Vec<Proof>) -> Result<(), OrderError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(OrderError::new)?;
            // An authority remembers what was proved not long ago. RFC 8555 §7.4
            if authorization.status != AuthorizationStatus::Valid {
                self.answer(&mut authorization, proofs).await?;
            }
        }
        match order.poll_ready(&POLLS).await {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(status) => Err(refusal(order, format!("the order is {status:?}")).await),
            Err(error) => Err(refusal(order, error.to_string()).await),
        }
    }

    /// Answers the challenge of one name, and says so to the authority. RFC 8555 §7.5.1
    async fn answer<'a>(
        &self,
        authorization: &'a mut AuthorizationHandle<'a>,
        proofs: &mut Vec<Proof>,
    ) -> Result<(), OrderError> {
        let name = authorization.identifier().to_string();
        let kind = match &self.settings.challenge {
            Challenge::Http01 => ChallengeType::Http01,
            Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Challenge::Dns01(_) => ChallengeType::Dns01,
        };
        let Some(mut challenge) = authorization.challenge(kind) else {
            let reason = format!("the authority does not offer this challenge for {name}");
            return Err(OrderError { refused: vec![name], ..OrderError::new(reason) });
        };
        self.present(&name, &challenge, proofs).await.map_err(|reason| OrderError {
            refused: vec![name.clone()],
            ..OrderError::new(format!("{name}: {reason}"))
        })?;
        challenge.set_ready().await.map_err(OrderError::new)
    }

    async fn present(
        &self,
        name: &str,
        asked: &ChallengeHandle<'_>,
        proofs: &mut Vec<Proof>,
    ) -> Result<(), String> {
        let authorization = asked.key_authorization();
        match &self.settings.challenge {
            Challenge::Http01 => {
                let presented = self.tokens.present(&asked.token, authorization.as_str());
                proofs.push(Proof::Token(presented));
                Ok(())
            }
            Challenge::TlsAlpn01 => {
                let digest = authorization.digest();
                let digest = digest.as_ref().try_into().map_err(|_| "no SHA-256".to_owned())?;
                let proof = self.tls.prove(name, digest).map_err(|error| error.to_string())?;
                proofs.push(Proof::Certificate(proof));
                Ok(())
            }
            Challenge::Dns01(hook) => {
                let value = authorization.dns_value();
                record(hook, name, value, proofs).await.map_err(|error| error.to_string())
            }
        }
    }

    /// The account of before, or a new one. RFC 8555 §7.3
    async fn account(&self) -> Result<Account, OrderError> {
        let file = self.account_file();
        match fs::read(&file) {
            Ok(kept) => {
                let credentials: AccountCredentials = serde_json::from_slice(&kept)
                    .map_err(|error| OrderError::new(format!("{}: {error}", file.display())))?;
                let account = self.builder()?.from_credentials(credentials).await;
                account.map_err(OrderError::new)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.new_account().await,
            Err(error) => Err(OrderError::new(format!("{}: {error}", file.display()))),
        }
    }

    async fn new_account(&self) -> Result<Account, OrderError> {
        let contact: Vec<_> = self.settings.contact.iter().map(String::as_str).collect();
        let asked = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let directory = self.settings.directory.clone();
        let (account, credentials) =
            self.builder()?.create(&asked, directory, None).await.map_err(OrderError::new)?;
        let kept = serde_json::to_vec(&credentials).map_err(OrderError::new)?;
        let file = self.account_file();
        net::write_private(&file, &kept)
            .map_err(|error| OrderError::new(format!("{}: {error}", file.display())))?;
        info!(directory = self.settings.directory, "an account was made at the authority");
        Ok(account)
    }

    /// An authority that has forgotten the account gets a new one at the next attempt; the key of
    /// the old one is kept aside.
    fn looked_at(&self, error: Error) -> OrderError {
        let file = self.account_file();
        if let Error::Api(problem) = &error
            && problem.r#type.as_deref() == Some(NO_SUCH_ACCOUNT)
        {
            match fs::rename(&file, file.with_extension("forgotten")) {
                Ok(()) => warn!("the authority does not know the account any more"),
                Err(error) => warn!(%error, file = %file.display(), "the old account stays"),
            }
        }
        OrderError::new(error)
    }

    fn builder(&self) -> Result<AccountBuilder, OrderError> {
        builder(&self.settings)
    }

    /// One for each directory: who tries another authority does not lose the account here.
    fn account_file(&self) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let directory = self.settings.directory.trim_start_matches("https://");
        let name: String = directory.chars().take(ACCOUNT_NAME_CHARS_MAX).map(plain).collect();
        self.settings.folder.join(format!("account-{name}.json"))
    }
}

fn builder(settings: &Settings) -> Result<AccountBuilder, OrderError> {
    match &settings.ca {
        None => Account::builder().map_err(OrderError::new),
        Some(file) => Account::builder_with_root(file)
            .map_err(|error| OrderError::new(format!("{}: {error}", file.display()))),
    }
}

/// Looks whether the files that the settings name can be used, without asking the authority.
///
/// # Errors
/// With the one that cannot.
pub fn check(settings: &Settings) -> Result<(), OrderError> {
    builder(settings)?;
    let Challenge::Dns01(hook) = &settings.challenge else { return Ok(()) };
    let program = fs::metadata(&hook.program);
    let may_run = |found: fs::Metadata| found.is_file() && found.permissions().mode() & 0o111 != 0;
    match program.map(may_run) {
        Ok(true) => Ok(()),
        Ok(false) => {
            let reason = format!("{}: not a program that may be run", hook.program.display());
            Err(OrderError::new(reason))
        }
        Err(error) => Err(OrderError::new(format!("{}: {error}", hook.program.display()))),
    }
}

/// Sets a record. It is noted before that is tried: a program that fails or takes too long may have
/// set it all the same, and is called to remove it.
async fn record(
    hook: &Hook,
    name: &str,
    value: String,
    proofs: &mut Vec<Proof>,
) -> Result<(), HookError> {
    let (hook, name) = (hook.clone(), name.to_owned());
    proofs.push(Proof::Record { hook: hook.clone(), name: name.clone(), value: value.clone() });
    hook.call(Action::Present, &name, &value).await
}

/// What was made to prove a name. All but a record goes when it is dropped.
enum Proof {
    Token(Presented),
    Certificate(net::Proof),
    Record { hook: Hook, name: String, value: String },
}

impl Proof {
    async fn end(self) {
        match self {
            Self::Token(presented) => drop(presented),
            Self::Certificate(proof) => drop(proof),
            Self::Record { hook, name, value } => {
                if let Err(error) = hook.call(Action::Cleanup, &name, &value).await {
                    warn!(%error, name, "the record of a challenge stays");
                }
            }
        }
    }
}

/// Orders in place of the certificate of before, if the authority can tell which that is. RFC 9773
/// §5
async fn new_order(
    account: &Account,
    identifiers: &[Identifier],
    replaced: Option<&Facts>,
) -> Result<Order, Error> {
    if let Some(id) = replaced.and_then(identifier) {
        match account.new_order(&NewOrder::new(identifiers).replaces(id)).await {
            Ok(order) => return Ok(order),
            Err(Error::Unsupported(_)) => {}
            // It may have been replaced by an order that failed later.
            Err(error) => info!(%error, "ordered anew instead of in place of the certificate"),
        }
    }
    account.new_order(&NewOrder::new(identifiers)).await
}

/// How an authority calls a certificate: by the key that signed it and its number. RFC 9773 §4.1
fn identifier(certificate: &Facts) -> Option<CertificateIdentifier<'static>> {
    let authority_key = Der::from_slice(certificate.authority_key.as_deref()?);
    let serial = Der::from_slice(&certificate.serial);
    Some(CertificateIdentifier::new(authority_key, serial).into_owned())
}

/// Which names were refused, and why.
async fn refusal(order: &mut Order, reason: String) -> OrderError {
    let mut error = OrderError::new(reason);
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        verdict(&mut authorization).await;
        if authorization.status != AuthorizationStatus::Invalid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let problems = authorization.challenges.iter().filter_map(|it| it.error.as_ref());
        let details: Vec<_> = problems.map(ToString::to_string).collect();
        let told = OrderError::new(format!("{}; {name}: {}", error.reason, details.join(", ")));
        error.reason = told.reason;
        error.refused.push(name);
    }
    error
}

/// Waits until the authority has decided on a name: one bad name ends the order, and the others
/// are still looked at.
async fn verdict(authorization: &mut AuthorizationHandle<'_>) {
    for _ in 0..VERDICT_LOOKS_MAX {
        let state = authorization.refresh().await;
        if !state.is_ok_and(|state| state.status == AuthorizationStatus::Pending) {
            return;
        }
        tokio::time::sleep(VERDICT_LOOK_INTERVAL).await;
    }
}

/// A request for a certificate, and a new key. RFC 8555 §7.4
fn request(names: &[String]) -> Result<(Vec<u8>, KeyPair), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate()?;
    let request = params.serialize_request(&key)?;
    Ok((request.der().to_vec(), key))
}

/// RFC 8555 §6.7
const NO_SUCH_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// The longest that one order may take.
const ORDER_TIME_MAX: Duration = Duration::from_secs(20 * 60);

const ADVICE_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a verdict and a certificate are waited for, each.
const POLLS: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(300));

const VERDICT_LOOKS_MAX: u32 = 10;
const VERDICT_LOOK_INTERVAL: Duration = Duration::from_secs(1);

const ACCOUNT_NAME_CHARS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(challenge: Challenge, ca: Option<PathBuf>) -> Settings {
        Settings {
            directory: "https://acme.example/dir".into(),
            contact: Vec::new(),
            names: Vec::new(),
            challenge,
            ca,
            folder: "/data/acme".into(),
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named_before_anything_is_ordered() {
        let folder = tempfile::tempdir().unwrap();
        let files = net::CertificateFiles::self_signed(folder.path(), "a.example").unwrap();
        let ca = Some(files.certificate);
        let hook = |program: &str| {
            Challenge::Dns01(Hook { program: program.into(), arguments: Vec::new() })
        };
        assert_eq!(check(&settings(Challenge::Http01, ca.clone())), Ok(()));
        assert_eq!(check(&settings(hook("/bin/sh"), ca.clone())), Ok(()));
        let told = |settings: &Settings| check(settings).unwrap_err().reason;
        assert!(told(&settings(hook("/none"), ca.clone())).starts_with("/none: "));
        assert!(told(&settings(hook("/etc"), ca)).starts_with("/etc: not a program"));
        assert!(told(&settings(Challenge::Http01, Some("/no.pem".into()))).contains("/no.pem"));
    }

    #[tokio::test]
    async fn a_program_that_fails_to_set_a_record_is_called_to_remove_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("told");
        let script = format!("echo \"$1 $2 $3\" >>'{}'; [ $1 = cleanup ]", file.display());
        let arguments = ["-c".to_owned(), script, "hook".to_owned()].to_vec();
        let hook = Hook { program: "/bin/sh".into(), arguments };
        let mut proofs = Vec::new();
        assert!(record(&hook, "a.example", "v".to_owned(), &mut proofs).await.is_err());
        for proof in proofs {
            proof.end().await;
        }
        let told = fs::read_to_string(&file).unwrap();
        let name = "_acme-challenge.a.example.";
        assert_eq!(told, format!("present {name} v\ncleanup {name} v\n"));
    }

    #[test]
    fn each_directory_has_an_account_file_within_the_folder() {
        let file = |directory: &str| {
            let settings = settings(Challenge::Http01, None);
            let settings = Settings { directory: directory.to_owned(), ..settings };
            let folder = tempfile::tempdir().unwrap();
            let files = net::CertificateFiles::self_signed(folder.path(), "a.example").unwrap();
            Client::new(settings, Tls::new(&files).unwrap(), Tokens::default()).account_file()
        };
        let production = file("https://acme.example/dir?x=/../y");
        assert_eq!(production, PathBuf::from("/data/acme/account-acme.example-dir-x--..-y.json"));
        assert_ne!(production, file("https://staging.acme.example/dir"));
    }

    #[test]
    fn a_certificate_is_called_as_in_the_example() {
        // RFC 9773 §4.1
        let facts = Facts {
            not_before: 0,
            not_after: 0,
            names: Vec::new(),
            serial: vec![0x00, 0x87, 0x65, 0x43, 0x21],
            authority_key: Some(vec![
                0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0,
                0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4,
            ]),
            is_self_issued: false,
        };
        let id = identifier(&facts).unwrap().to_string();
        assert_eq!(id, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
        assert_eq!(identifier(&Facts { authority_key: None, ..facts }), None);
    }

    #[test]
    fn a_request_names_the_hosts_and_each_has_a_key_of_its_own() {
        let names = ["a.example".to_owned(), "b.example".to_owned()];
        let (first, key) = request(&names).unwrap();
        let (_, other) = request(&names).unwrap();
        for name in &names {
            assert!(first.windows(name.len()).any(|window| window == name.as_bytes()));
        }
        assert_ne!(key.serialize_der(), other.serialize_der());
    }
}
