//! An S3-compatible store for tests that run the built program: s3s-fs on a folder. Prints its
//! address and serves until its input ends, so that it does not outlive who started it.
//!
//! `s3-for-tests FOLDER BUCKET KEY SECRET`

#![expect(clippy::unwrap_used, reason = "a test program that cannot start shall stop")]

use std::io::Read;
use std::path::Path;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, bucket, key, secret] = arguments.try_into().unwrap();
    std::fs::create_dir_all(Path::new(&folder).join(bucket)).unwrap();
    let mut service = S3ServiceBuilder::new(FileSystem::new(&folder).unwrap());
    service.set_auth(SimpleAuth::from_single(key, secret));
    let service = service.build();
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let service = service.clone();
            tokio::spawn(async move {
                let builder = Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
}
