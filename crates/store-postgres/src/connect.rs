//! Connections: where to, with TLS or without, and what every session is set to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Connect, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt;
use store::StoreError;
use store::limits::VIEW_LIFETIME;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, Connection, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Settings;
use crate::body::INLINE_BYTES_MAX;
use crate::settings::CONNECTIONS_MIN;

/// Makes connections to one database.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

/// What a session is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Commits.
    Write,
    /// Views, and statements that stand alone.
    Read,
}

impl Connector {
    /// # Errors
    /// `Unsupported` with what is wrong about the settings.
    pub(crate) fn new(settings: &Settings) -> Result<Self, StoreError> {
        if settings.connections_max < CONNECTIONS_MIN {
            return Err(unsupported(format_args!("fewer than {CONNECTIONS_MIN} connections")));
        }
        if settings.inline_bytes_max > INLINE_BYTES_MAX {
            return Err(unsupported(format_args!(
                "bodies of more than {INLINE_BYTES_MAX} bytes in rows"
            )));
        }
        let mut config: Config = settings.url.parse().map_err(|error: tokio_postgres::Error| {
            unsupported(format_args!("database URL: {}", crate::error::reason(&error)))
        })?;
        if let Some(password) = &settings.password {
            config.password(password.as_bytes());
        }
        config.application_name("pillarbox").connect_timeout(CONNECT_TIMEOUT);
        config.keepalives(true).keepalives_idle(KEEPALIVE_IDLE);
        config.keepalives_interval(KEEPALIVE_IDLE).keepalives_retries(3);
        config.tcp_user_timeout(TCP_USER_TIMEOUT);
        let is_wanted = settings.ca_file.is_some() || !is_on_this_machine(&config);
        let tls = match is_wanted || config.get_ssl_mode() == SslMode::Require {
            true => Some(tls(settings)?),
            false => None,
        };
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        Ok(Self { config, tls })
    }

    /// A connection with its session set up, and the task that drives it.
    pub(crate) async fn open(
        &self,
        purpose: Use,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        let (client, task) = self.start(&self.config).await?;
        set_up(&client, purpose).await?;
        Ok((client, task))
    }

    /// A connection whose notifications go to `heard`.
    pub(crate) async fn listen(
        &self,
        heard: impl Fn(&str) + Send + 'static,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                Ok((client, tokio::spawn(drive_listening(connection, heard))))
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                Ok((client, tokio::spawn(drive_listening(connection, heard))))
            }
        }
    }

    async fn start(
        &self,
        config: &Config,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        match &self.tls {
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                Ok((client, tokio::spawn(drive(connection))))
            }
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                Ok((client, tokio::spawn(drive(connection))))
            }
        }
    }

    /// A pool of reading sessions.
    ///
    /// # Errors
    /// `Unsupported`: it cannot be made.
    pub(crate) fn pool(&self, size: usize, patience: Duration) -> Result<Pool, StoreError> {
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(self.config.clone(), self.clone(), config);
        let set_up = Hook::async_fn(|client, _| {
            set_up(client, Use::Read).map(|done| done.map_err(HookError::Backend)).boxed()
        });
        Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(patience))
            .create_timeout(Some(patience))
            .recycle_timeout(Some(patience))
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .post_create(set_up)
            .build()
            .map_err(unsupported)
    }
}

impl Connect for Connector {
    fn connect(
        &self,
        config: &Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let config = config.clone();
        async move { self.start(&config).await }.boxed()
    }
}

async fn drive<T>(connection: Connection<Socket, T>)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    if let Err(error) = connection.await {
        tracing::debug!(error = crate::error::reason(&error), "a database connection ended");
    }
}

async fn drive_listening<T>(mut connection: Connection<Socket, T>, heard: impl Fn(&str))
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    use tokio_postgres::AsyncMessage;

    while let Some(Ok(message)) =
        futures_util::future::poll_fn(|context| connection.poll_message(context)).await
    {
        if let AsyncMessage::Notification(notification) = message {
            heard(notification.payload());
        }
    }
}

/// What a session is set to. A database that lacks one of these planner settings does without.
async fn set_up(client: &Client, purpose: Use) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(&format!(
            "SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}",
            STATEMENT_TIMEOUT.as_millis(),
            (VIEW_LIFETIME + VIEW_SLACK).as_millis(),
        ))
        .await?;
    let own = match purpose {
        Use::Write => WRITE_SESSION,
        Use::Read => READ_SESSION,
    };
    if let Err(error) = client.batch_execute(own).await {
        if crate::error::is_lost(&error) {
            return Err(error);
        }
        tracing::debug!(error = crate::error::reason(&error), "planner settings are not known");
    }
    if purpose == Use::Write {
        client.batch_execute("SET default_transaction_isolation = 'serializable'").await?;
        // Somebody may have traded durability for speed for the whole server: not for mail.
        let durable = "SELECT set_config('synchronous_commit', 'on', false)
            WHERE current_setting('synchronous_commit') = 'off'";
        if let Err(error) = client.batch_execute(durable).await
            && crate::error::is_lost(&error)
        {
            return Err(error);
        }
    }
    Ok(())
}

/// Rows are always found by their keys: so predicate locks stay on a few pages, and commits of
/// different accounts do not look like conflicts. Generic plans save planning at each commit.
const WRITE_SESSION: &str = "SET enable_seqscan = off; SET enable_hashjoin = off;
    SET enable_mergejoin = off; SET enable_bitmapscan = off; SET jit = off;
    SET plan_cache_mode = force_generic_plan";

const READ_SESSION: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off;
    SET jit = off; SET plan_cache_mode = force_generic_plan";

fn is_on_this_machine(config: &Config) -> bool {
    let is_local = |host: &Host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
        Host::Unix(_) => true,
    };
    config.get_hosts().iter().all(is_local)
        && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

fn tls(settings: &Settings) -> Result<MakeRustlsConnect, StoreError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unsupported(&error))?;
    let config = match &settings.ca_file {
        None => builder
            .with_platform_verifier()
            .map_err(|error| unsupported(&error))?
            .with_no_client_auth(),
        Some(file) => {
            let wrong = |error: &dyn std::fmt::Display| {
                unsupported(format_args!("{}: {error}", file.display()))
            };
            let mut roots = rustls::RootCertStore::empty();
            let certificates = CertificateDer::pem_file_iter(file).map_err(|e| wrong(&e))?;
            for certificate in certificates {
                roots
                    .add(certificate.map_err(|error| wrong(&error))?)
                    .map_err(|error| wrong(&error))?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

pub(crate) fn unsupported(found: impl std::fmt::Display) -> StoreError {
    StoreError::Unsupported { found: found.to_string().into() }
}

/// A server that is up answers sooner; a node that starts must not hang on one that is not.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A cable that was cut is noticed this soon by sessions that only wait.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// And this soon by those that have sent something.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);

/// No statement works that long; one that does is stuck. Enforced by the server.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// How much longer than a view may live the server waits before it ends the session.
const VIEW_SLACK: Duration = Duration::from_secs(15);
