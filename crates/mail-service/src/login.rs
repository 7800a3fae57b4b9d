//! Logging in: by name and password, and by SASL.

use std::sync::Arc;

use mail_types::{AccountId, Secret};
use store::View;
use tracing::info;

use crate::auth::app_password;
use crate::auth::name::AccountName;
use crate::auth::oauth::TokenRequest;
use crate::auth::password::{prepare_password, verify_password};
use crate::auth::sasl::{Exchange, Mechanism, Step};
use crate::auth::scram::{Hash, NONCE_BYTES, ScramKeys};
use crate::auth::token::{TokenError, TokenFault};
use crate::auth::{AuthError, Channel};
use crate::codec::CorruptRecord;
use crate::codec::credential::Credential;
use crate::error::ServiceError;
use crate::handle::AccountHandle;
use crate::keys::{AccountKey, AccountKeys, directory};
use crate::service::{Service, Shared, blocking};

impl Service {
    /// Opens the account of this name if the password is its own or one of its application
    /// passwords. A login with one of these, or with the same password as the last good one, costs
    /// two small reads; any other costs one argon2 computation, whether the name exists or not.
    ///
    /// Counting failures and slowing down who causes them is the caller's part: it knows the
    /// client's address.
    ///
    /// # Errors
    /// `Denied`, never saying why; `Busy` if too many logins wait; `Failed`.
    pub async fn authenticate(
        &self,
        name: &str,
        password: &Secret,
    ) -> Result<AccountHandle, AuthError> {
        let shared = &self.shared;
        let found = shared.find_credential(name).await?;
        // A password that cannot be one still costs a computation.
        let prepared = prepare_password(password).unwrap_or_else(|_| Secret::new([0]));
        if let Some(found) = &found
            && shared.credentials.contains(found.account, &found.stored, &prepared)
        {
            let hidden = found.credential.hidden.clone();
            return Ok(self.account(found.account).await?.with_hidden(hidden));
        }
        // Whether it is looked for depends on what the client sent alone, and looking takes the
        // same time for a name that does not exist. Only finding it saves the argon2 below.
        if let Some(digest) = app_password::digest(&prepared) {
            let known = found.as_ref().map(|found| found.credential.app_passwords.as_slice());
            let used = app_password::find(known.unwrap_or_default(), digest);
            if let (Some(found), Some(used)) = (&found, used) {
                info!(account = %found.account, label = used.label, "application password");
                let hidden = [&found.credential.hidden[..], &used.hidden].concat();
                return Ok(self.account(found.account).await?.with_hidden(hidden));
            }
        }
        let hash = found.as_ref().map_or(&*shared.dummy_hash, |found| &found.credential.hash);
        let fits = shared.verify(prepared.clone(), hash.into()).await?;
        match found {
            Some(found) if fits => {
                shared.credentials.insert(found.account, &found.stored, &prepared);
                Ok(self.account(found.account).await?.with_hidden(found.credential.hidden))
            }
            _ => Err(AuthError::Denied),
        }
    }

    /// Begins a SASL exchange on a connection that has this.
    ///
    /// # Errors
    /// `Failed` if there is no randomness for a nonce.
    pub fn sasl(&self, mechanism: Mechanism, channel: Channel) -> Result<SaslSession, AuthError> {
        let mut nonce = [0; NONCE_BYTES];
        if !self.shared.world.random.fill(&mut nonce) {
            return Err(AuthError::Failed(ServiceError::NoRandomness));
        }
        let exchange = Exchange::new(mechanism, channel.exporter, nonce);
        let certified = channel.certified;
        Ok(SaslSession { service: self.clone(), exchange, mechanism, certified, looked_up: None })
    }

    /// Opens the account that a certificate is made out for: the first of its names that means one,
    /// or the one that the client wants to act as. RFC 4422 §A
    async fn certified(
        &self,
        names: &[String],
        authzid: Option<&str>,
    ) -> Result<AccountHandle, AuthError> {
        let shared = &self.shared;
        let wanted = match authzid {
            None => None,
            // Nobody is told whether there is such an account.
            Some(id) => {
                let found = shared.find_credential(id).await?;
                Some(found.ok_or(AuthError::NotAuthorized)?.account)
            }
        };
        for name in names.iter().take(CERTIFIED_NAMES_MAX) {
            if let Some(found) = shared.find_exactly(name).await?
                && wanted.is_none_or(|wanted| wanted == found.account)
            {
                let hidden = found.credential.hidden;
                return Ok(self.account(found.account).await?.with_hidden(hidden));
            }
        }
        Err(if wanted.is_some() { AuthError::NotAuthorized } else { AuthError::Denied })
    }

    /// Opens the account of whoever holds this token, or says what is wrong with it.
    async fn token_login(&self, request: TokenRequest) -> Result<AccountHandle, TokenEnd> {
        let shared = &self.shared;
        let tokens = shared.config.tokens.as_ref().ok_or(AuthError::Malformed)?;
        let refused = |why| TokenEnd::Refused { why, error: AuthError::Denied };
        // RFC 7628 §3.2: what the server knows from elsewhere has to agree.
        if request.host.is_some_and(|host| !tokens.is_host(&host)) {
            return Err(refused(TokenFault::Request));
        }
        let token = request.token.map_err(refused)?;
        let holder = tokens.verify(&token).await.map_err(|error| match error {
            TokenError::Refused(why) => refused(why),
            TokenError::Unavailable => TokenEnd::Failed(AuthError::Unavailable),
        })?;
        let mut found = None;
        for name in holder.names.iter().take(TOKEN_NAMES_MAX) {
            found = shared.find_exactly(name).await?;
            if found.is_some() {
                break;
            }
        }
        let found = found.ok_or(refused(TokenFault::Token))?;
        // Nobody may act as somebody else, and nobody is told whether there is one. RFC 4422 §3.4.1
        if let Some(user) = request.user {
            let wanted = shared.find_credential(&user).await?;
            if wanted.is_none_or(|wanted| wanted.account != found.account) {
                let (why, error) = (TokenFault::Token, AuthError::NotAuthorized);
                return Err(TokenEnd::Refused { why, error });
            }
        }
        let account = self.account(found.account).await?;
        Ok(account.with_hidden(found.credential.hidden))
    }

    /// Opens an account without asking who wants it.
    ///
    /// # Errors
    /// `NoSuchAccount`, errors of the store.
    pub async fn account(&self, id: AccountId) -> Result<AccountHandle, ServiceError> {
        let open = self.shared.registry.open(&self.shared, id).await?;
        Ok(AccountHandle::new(&self.shared, open))
    }
}

/// A SASL exchange with the service behind it. Responses and challenges are not in base64.
pub struct SaslSession {
    service: Service,
    exchange: Exchange,
    mechanism: Mechanism,
    certified: Vec<String>,
    /// The account whose keys were looked up, if the name has one, and what is hidden from it.
    looked_up: Option<(AccountId, Vec<String>)>,
}

/// What has to happen next in an exchange.
pub enum SaslProgress {
    /// Send this (it may be empty) and give the response to [`SaslSession::respond`].
    Challenge(Vec<u8>),
    /// The client is who it says.
    Done {
        /// Its account.
        account: AccountHandle,
        /// Additional data that belong to success. Where the protocol has no place for them there,
        /// they are sent as a challenge and answered by an empty response. RFC 4422 §3.6
        data: Option<Vec<u8>>,
    },
}

impl SaslSession {
    /// The first step, with the initial response if the client sent one.
    ///
    /// # Errors
    /// The exchange is over, see [`AuthError`].
    pub async fn begin(&mut self, initial: Option<&[u8]>) -> Result<SaslProgress, AuthError> {
        let step = self.exchange.begin(initial)?;
        self.drive(step).await
    }

    /// The next step.
    ///
    /// # Errors
    /// The exchange is over, see [`AuthError`].
    pub async fn respond(&mut self, response: &[u8]) -> Result<SaslProgress, AuthError> {
        let step = self.exchange.respond(response)?;
        self.drive(step).await
    }

    /// Whether the login has failed although there is one more challenge to answer: a client that
    /// leaves without an answer has failed all the same.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.exchange.is_refused()
    }

    async fn drive(&mut self, mut step: Step) -> Result<SaslProgress, AuthError> {
        loop {
            step = match step {
                Step::Challenge(challenge) => return Ok(SaslProgress::Challenge(challenge)),
                Step::Verify { authcid, password } => {
                    let account = self.service.authenticate(&authcid, &password).await?;
                    return Ok(SaslProgress::Done { account, data: None });
                }
                Step::Certified { authzid } => {
                    let names = &self.certified;
                    let account = self.service.certified(names, authzid.as_deref()).await?;
                    return Ok(SaslProgress::Done { account, data: None });
                }
                Step::Token(request) => match self.service.token_login(request).await {
                    Ok(account) => return Ok(SaslProgress::Done { account, data: None }),
                    Err(TokenEnd::Failed(error)) => return Err(error),
                    Err(TokenEnd::Refused { why, error }) => {
                        let tokens = self.service.config().tokens.as_ref();
                        let tokens = tokens.ok_or(AuthError::Malformed)?;
                        self.exchange.refuse(tokens.refusal(self.mechanism, why), error)
                    }
                },
                Step::LookUp { authcid, hash } => {
                    let keys = self.look_up(&authcid, hash).await?;
                    self.exchange.keys(keys)?
                }
                Step::Proven { proof, .. } => {
                    let (id, hidden) = self.looked_up.take().ok_or(AuthError::Denied)?;
                    let account = self.service.account(id).await?.with_hidden(hidden);
                    return Ok(SaslProgress::Done { account, data: Some(proof) });
                }
            };
        }
    }

    async fn look_up(&mut self, authcid: &str, hash: Hash) -> Result<ScramKeys, AuthError> {
        let shared = &self.service.shared;
        if let Some(found) = shared.find_credential(authcid).await? {
            let keys = match hash {
                Hash::Sha256 => Some(found.credential.scram),
                Hash::Sha1 => found.credential.scram_sha1,
            };
            // Without keys of this hash it goes as with a name that does not exist.
            if let Some(keys) = keys {
                self.looked_up = Some((found.account, found.credential.hidden));
                return Ok(keys);
            }
        }
        // Spellings of one name must get one salt, as they would if it existed.
        let name = AccountName::new(authcid);
        let name = name.as_ref().map_or(authcid, AccountName::as_str);
        let iterations = shared.config.passwords.scram_iterations;
        Ok(ScramKeys::invented(hash, &shared.secret, name, iterations))
    }
}

/// Why a login with a token does not succeed.
enum TokenEnd {
    /// It could not be found out.
    Failed(AuthError),
    /// The client is to be told why, and then that the login failed.
    Refused { why: TokenFault, error: AuthError },
}

impl From<AuthError> for TokenEnd {
    fn from(error: AuthError) -> Self {
        Self::Failed(error)
    }
}

impl From<ServiceError> for TokenEnd {
    fn from(error: ServiceError) -> Self {
        Self::Failed(error.into())
    }
}

/// A credential and where it was found.
pub(crate) struct Found {
    pub(crate) account: AccountId,
    /// The row as it stands in the store.
    pub(crate) stored: Vec<u8>,
    pub(crate) credential: Credential,
}

impl Shared {
    /// The credential of the account that a client means by this name.
    pub(crate) async fn find_credential(
        self: &Arc<Self>,
        name: &str,
    ) -> Result<Option<Found>, ServiceError> {
        let Ok(name) = AccountName::new(name) else { return Ok(None) };
        let domains = self.config.domains.clone();
        self.read(move |view| {
            let Some(account) = resolve(view, &name, &domains)? else { return Ok(None) };
            load_credential(view, account)
        })
        .await
    }

    /// The credential of the account of exactly this name, in any letter case. The other spellings
    /// that a person may use do not count: a provider or an authority that names people, and takes
    /// these for different ones, would name our accounts by accident.
    async fn find_exactly(self: &Arc<Self>, text: &str) -> Result<Option<Found>, ServiceError> {
        let Ok(name) = AccountName::new(text) else { return Ok(None) };
        if name.as_str() != text.to_lowercase() {
            return Ok(None);
        }
        self.read(move |view| {
            let Some(account) = look_up(view, &name)? else { return Ok(None) };
            load_credential(view, account)
        })
        .await
    }

    /// Runs one argon2 computation when its turn has come.
    async fn verify(&self, password: Secret, hash: Box<str>) -> Result<bool, AuthError> {
        let _place = self.waiting.try_acquire().map_err(|_| AuthError::Busy)?;
        let turn = Arc::clone(&self.hashing).acquire_owned().await;
        let turn = turn.map_err(|_| AuthError::Failed(ServiceError::Closed))?;
        let fits = blocking(move || {
            // Held until the computation ends, though its caller may have gone away.
            let _turn = turn;
            Ok(verify_password(&password, &hash))
        });
        Ok(fits.await?)
    }
}

/// The account that a name means: the one of exactly this name, or else, for an address in one of
/// our domains, the one of its local part.
pub(crate) fn resolve(
    view: &dyn View,
    name: &AccountName,
    domains: &[String],
) -> Result<Option<AccountId>, ServiceError> {
    for name in [Some(name.clone()), name.local_part(domains)].into_iter().flatten() {
        if let Some(account) = look_up(view, &name)? {
            return Ok(Some(account));
        }
    }
    Ok(None)
}

/// The account of exactly this name.
fn look_up(view: &dyn View, name: &AccountName) -> Result<Option<AccountId>, ServiceError> {
    let key = directory(name);
    let Some(value) = view.get(&key)? else { return Ok(None) };
    let id = value.as_slice().try_into().map(u64::from_be_bytes);
    let id = id.map_err(|_| CorruptRecord::new(&key, "it is no account id"))?;
    Ok(Some(AccountId(id)))
}

pub(crate) fn load_credential(
    view: &dyn View,
    account: AccountId,
) -> Result<Option<Found>, ServiceError> {
    let key = AccountKeys::new(account).key(&AccountKey::Credential);
    let Some(stored) = view.get(&key)? else { return Ok(None) };
    let credential = Credential::decode(&key, &stored)?;
    Ok(Some(Found { account, stored, credential }))
}

/// Names in a certificate that are looked up.
const CERTIFIED_NAMES_MAX: usize = 16;

/// Names of a token's holder that are looked up.
const TOKEN_NAMES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::World;
    use crate::limits::{PasswordCost, ServiceConfig};

    #[tokio::test]
    async fn a_second_login_needs_no_argon2() {
        let passwords = PasswordCost {
            memory_kib: 8,
            iterations: 1,
            scram_iterations: 4096,
            concurrent_max: 1,
            ..PasswordCost::default()
        };
        let config = ServiceConfig { passwords, ..ServiceConfig::default() };
        let store = Arc::new(store::mem::Mem::new());
        let service = Service::open(store, config, World::system()).await.unwrap();
        let id = service.create_account("dock", Secret::new("one")).await.unwrap();
        service.authenticate("dock", &Secret::new("one")).await.unwrap();
        // Nobody can compute a hash while this is held.
        let held = service.shared.hashing.acquire().await.unwrap();
        let again = service.authenticate("dock", &Secret::new("one")).await.unwrap();
        assert_eq!(again.id(), id);
        let wrong = Secret::new("two");
        let mut wrong = Box::pin(service.authenticate("dock", &wrong));
        tokio::select! {
            biased;
            _ = &mut wrong => panic!("it was told without a computation"),
            () = async { for _ in 0..100 { tokio::task::yield_now().await } } => {}
        }
        drop(held);
        assert_eq!(wrong.await.err(), Some(AuthError::Denied));
    }

    #[tokio::test]
    async fn what_looks_like_an_application_password_and_is_none_costs_argon2_all_the_same() {
        let passwords = PasswordCost { memory_kib: 8, iterations: 1, ..PasswordCost::default() };
        let config = ServiceConfig { passwords, ..ServiceConfig::default() };
        let store = Arc::new(store::mem::Mem::new());
        let service = Service::open(store, config, World::system()).await.unwrap();
        service.create_account("dock", Secret::new("one")).await.unwrap();
        let phone = service.add_app_password("dock", "phone", &[]).await.unwrap();
        // Nobody can compute a hash while these are held.
        let permits = service.shared.hashing.available_permits();
        let all = u32::try_from(permits).unwrap();
        let held = service.shared.hashing.acquire_many(all).await.unwrap();
        service.authenticate("dock", &phone).await.unwrap();
        let other = app_password::draw(&crate::clock::SystemRandom).unwrap();
        for name in ["dock", "nobody"] {
            let mut wrong = Box::pin(service.authenticate(name, &other));
            tokio::select! {
                biased;
                _ = &mut wrong => panic!("{name} was told without a computation"),
                () = async { for _ in 0..100 { tokio::task::yield_now().await } } => {}
            }
        }
        drop(held);
        let denied = service.authenticate("nobody", &phone).await;
        assert_eq!(denied.err(), Some(AuthError::Denied));
    }

    #[tokio::test]
    async fn logins_that_would_wait_too_long_are_told_to_come_back() {
        let store = Arc::new(store::mem::Mem::new());
        let passwords = PasswordCost { memory_kib: 8, iterations: 1, ..PasswordCost::default() };
        let config = ServiceConfig { passwords, ..ServiceConfig::default() };
        let service = Service::open(store, config, World::system()).await.unwrap();
        let waiting = u32::try_from(crate::limits::WAITING_LOGINS_MAX).unwrap();
        let _full = service.shared.waiting.acquire_many(waiting).await.unwrap();
        let busy = service.authenticate("dock", &Secret::new("one")).await;
        assert_eq!(busy.err(), Some(AuthError::Busy));
    }
}
