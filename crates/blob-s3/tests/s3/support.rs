//! A bucket to test on, random bytes, and the table of faults.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use blob_s3::{Addressing, Limits, S3Config, S3Heap, Secret};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use store::{Heap, HeapKey, StoreError};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// A bucket on a store, and what is needed to use it.
pub struct Bucket {
    pub address: SocketAddr,
    name: String,
    region: String,
    access_key_id: String,
    secret_access_key: String,
    in_process: Option<InProcess>,
}

/// s3s-fs, serving a folder.
struct InProcess {
    folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bucket {
    /// The bucket that the environment names, else one in this process.
    pub fn open() -> Self {
        let Ok(endpoint) = std::env::var("PILLARBOX_S3_ENDPOINT") else {
            return Self::in_process();
        };
        let value = |name: &str| std::env::var(name).unwrap();
        Self {
            address: endpoint.strip_prefix("http://").unwrap().parse().unwrap(),
            name: value("PILLARBOX_S3_BUCKET"),
            region: value("PILLARBOX_S3_REGION"),
            access_key_id: value("PILLARBOX_S3_ACCESS_KEY_ID"),
            secret_access_key: value("PILLARBOX_S3_SECRET_ACCESS_KEY"),
            in_process: None,
        }
    }

    fn in_process() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("mail")).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let service = service.build();
        let thread = std::thread::spawn(move || serve(listener, service, stopped));
        Self {
            address,
            name: "mail".to_owned(),
            region: "us-east-1".to_owned(),
            access_key_id: ACCESS_KEY_ID.to_owned(),
            secret_access_key: SECRET.to_owned(),
            in_process: Some(InProcess { folder, stop: Some(stop), thread: Some(thread) }),
        }
    }

    /// A configuration of a part of the bucket that nobody else uses.
    pub fn config(&self, limits: Limits) -> S3Config {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        S3Config {
            endpoint: format!("http://{}", self.address),
            bucket: self.name.clone(),
            region: self.region.clone(),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: Secret::new(self.secret_access_key.clone()),
            prefix: format!("test/{now}-{count}"),
            addressing: Addressing::Path,
            limits,
        }
    }

    /// Where s3s-fs keeps what it has; `None` for another store.
    pub fn folder(&self) -> Option<PathBuf> {
        self.in_process.as_ref().map(|store| store.folder.path().to_owned())
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Until `stopped` is dropped.
fn serve(listener: TcpListener, service: S3Service, stopped: oneshot::Receiver<()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async move {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let accept = async {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let service = service.clone();
                tokio::spawn(async move {
                    let builder = Builder::new(TokioExecutor::new());
                    // A client that goes away is not this server's failure.
                    let _ = builder.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        };
        tokio::select! {
            () = accept => {}
            _ = stopped => {}
        }
    });
    runtime.shutdown_background();
}

const ACCESS_KEY_ID: &str = "AKTESTKEY";
const SECRET: &str = "a secret of the tests";

/// Times for tests: an attempt is given up soon, but a loaded machine is not a fault.
pub fn limits(attempt_timeout: Duration) -> Limits {
    Limits {
        attempt_timeout,
        write_budget: Duration::from_secs(20),
        read_budget: Duration::from_secs(20),
        backoff_min: Duration::from_millis(5),
        backoff_max: Duration::from_millis(40),
        ..Limits::default()
    }
}

/// A heap on a part of the bucket of its own.
pub fn heap(bucket: &Bucket, limits: Limits) -> S3Heap {
    S3Heap::open(&bucket.config(limits)).unwrap()
}

pub fn key(name: &str) -> HeapKey {
    HeapKey::new(name).unwrap()
}

/// Stores an object.
pub fn put(heap: &dyn Heap, key: &HeapKey, bytes: &[u8]) -> Result<(), StoreError> {
    let mut writer = heap.writer(key)?;
    writer.write(bytes)?;
    writer.finish()
}

/// A small generator of reproducible randomness (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        eprintln!("seed {seed}");
        Self(seed.max(1))
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(count).collect()
    }
}

/// Puts a line into the table of faults, when one is being made, and fails on violations.
pub fn tally(fault: &str, cases: usize, violations: usize) {
    if let Some(table) = std::env::var_os("PILLARBOX_FAULTS") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(table).unwrap();
        file.write_all(format!("{fault}\t{cases}\t{violations}\n").as_bytes()).unwrap();
    }
    assert_eq!(violations, 0, "{fault}: {violations} of {cases} cases broke a promise");
}
