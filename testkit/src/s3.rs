//! A bucket for tests: of the store that the environment names, else of s3s-fs in this process.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// A bucket, and what a client needs to use it.
pub struct Bucket {
    /// Where the store listens: on loopback, without TLS.
    pub address: SocketAddr,
    /// The bucket's name.
    pub name: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Name of the access key.
    pub access_key_id: String,
    /// Its secret, which protects nothing.
    pub secret_access_key: String,
    server: Option<Server>,
}

/// s3s-fs in this process. Dropping it ends it.
pub struct Server {
    address: SocketAddr,
    folder: Folder,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

enum Folder {
    Own(TempDir),
    Given(PathBuf),
}

impl Bucket {
    /// The bucket that `PILLARBOX_S3_ENDPOINT` and its fellows name (`cargo xtask garage` sets
    /// them); else a new one in this process.
    ///
    /// # Errors
    /// When the environment names half of one, or no server can be started.
    pub fn open() -> io::Result<Self> {
        let Ok(endpoint) = std::env::var("PILLARBOX_S3_ENDPOINT") else {
            return Self::in_process();
        };
        let value = |name: &str| std::env::var(name).map_err(io::Error::other);
        let address = endpoint.strip_prefix("http://").unwrap_or(&endpoint);
        Ok(Self {
            address: address.parse().map_err(io::Error::other)?,
            name: value("PILLARBOX_S3_BUCKET")?,
            region: value("PILLARBOX_S3_REGION")?,
            access_key_id: value("PILLARBOX_S3_ACCESS_KEY_ID")?,
            secret_access_key: value("PILLARBOX_S3_SECRET_ACCESS_KEY")?,
            server: None,
        })
    }

    /// A new bucket of a server in this process.
    ///
    /// # Errors
    /// When no server can be started.
    pub fn in_process() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        Ok(Self::of(Server::start(Folder::Own(folder), 0)?))
    }

    /// A bucket of a server in this process that keeps its objects in `folder` and listens on
    /// `port`; 0 takes any.
    ///
    /// # Errors
    /// When no server can be started.
    pub fn in_folder(folder: &Path, port: u16) -> io::Result<Self> {
        Ok(Self::of(Server::start(Folder::Given(folder.to_owned()), port)?))
    }

    fn of(server: Server) -> Self {
        Self {
            address: server.address,
            name: BUCKET.to_owned(),
            region: "us-east-1".to_owned(),
            access_key_id: ACCESS_KEY_ID.to_owned(),
            secret_access_key: SECRET.to_owned(),
            server: Some(server),
        }
    }

    /// `http://HOST:PORT`
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where a server in this process keeps what it has; `None` for another store.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.server.as_ref().map(|server| server.folder.path())
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({} at {})", self.name, self.address)
    }
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Given(folder) => folder,
        }
    }
}

impl Server {
    fn start(folder: Folder, port: u16) -> io::Result<Self> {
        std::fs::create_dir_all(folder.path().join(BUCKET))?;
        let files = FileSystem::new(folder.path()).map_err(|error| {
            io::Error::other(format!("{} is no folder for s3s-fs: {error:?}", BUCKET))
        })?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET));
        let service = service.build();
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("s3-for-tests")
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let served = runtime.block_on(serve(listener, service, stopped));
            if let Err(error) = served {
                eprintln!("s3-for-tests: {error}");
            }
            runtime.shutdown_background();
        });
        Ok(Self { address, folder, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has told of its own trouble.
            let _ = thread.join();
        }
    }
}

/// Until `stopped` is dropped.
async fn serve(
    listener: TcpListener,
    service: S3Service,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let accept = async {
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let service = service.clone();
            tokio::spawn(async move {
                let builder = Builder::new(TokioExecutor::new());
                // A client that goes away is not this server's failure.
                let _ = builder.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    };
    tokio::select! {
        failed = accept => failed,
        _ = stopped => Ok(()),
    }
}

const BUCKET: &str = "mail";
const ACCESS_KEY_ID: &str = "AKTESTKEY";
const SECRET: &str = "a secret of the tests";
