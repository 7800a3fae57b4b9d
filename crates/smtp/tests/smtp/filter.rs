//! A content filter for tests: it answers as it is told, and may break off wherever it likes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use smtp::Filter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What it does with a request.
#[derive(Clone, Debug)]
pub enum Manner {
    /// It answers all of this and closes.
    Answers(Vec<u8>),
    /// It answers this much and says nothing more.
    Stops(Vec<u8>),
    /// It closes when it has read so many octets.
    Dies(usize),
}

pub struct FakeFilter {
    url: String,
    manner: Arc<Mutex<Manner>>,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl FakeFilter {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/checkv2", listener.local_addr().unwrap());
        let (manner, requests) = (Arc::new(Mutex::new(manner)), Arc::default());
        let fake = Self { url, manner: Arc::clone(&manner), requests: Arc::clone(&requests) };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let manner = manner.lock().unwrap().clone();
                let limit = if let Manner::Dies(limit) = manner { limit } else { usize::MAX };
                let request = read_request(&mut stream, limit).await;
                requests.lock().unwrap().push(request);
                match manner {
                    Manner::Dies(_) => {}
                    Manner::Answers(answer) => drop(stream.write_all(&answer).await),
                    Manner::Stops(answer) => {
                        drop(stream.write_all(&answer).await);
                        tokio::spawn(async move {
                            let _open = stream;
                            std::future::pending::<()>().await;
                        });
                    }
                }
            }
        });
        fake
    }

    pub fn manner(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub fn client(&self, timeout: Duration) -> Filter {
        Filter::new(&self.url, timeout).unwrap()
    }

    /// Headers and body of all requests so far.
    pub fn requests(&self) -> Vec<(String, Vec<u8>)> {
        let requests = std::mem::take(&mut *self.requests.lock().unwrap());
        let split = |request: Vec<u8>| {
            let end = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            (String::from_utf8(request[..end].to_vec()).unwrap(), request[end..].to_vec())
        };
        requests.into_iter().map(split).collect()
    }
}

/// A whole request, or as much of it as `limit` lets through.
async fn read_request(stream: &mut tokio::net::TcpStream, limit: usize) -> Vec<u8> {
    let mut request = Vec::new();
    while request.len() < limit && !is_whole(&request) {
        let room = (limit - request.len()).min(65_536);
        let mut piece = vec![0; room];
        match stream.read(&mut piece).await {
            Ok(count) if count > 0 => request.extend_from_slice(&piece[..count]),
            _ => break,
        }
    }
    request
}

fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let headers = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length: "));
    request.len() >= end + 4 + length.map_or(0, |length| length.trim().parse().unwrap())
}

/// A whole answer with this body.
pub fn answer(body: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}
