//! Tries a connection as mail makes it, up to the greeting and no further.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::facts::Outbound;

/// Connects to the addresses of a server one after the other until one answers.
pub async fn probe(server: &str, addresses: &[SocketAddr]) -> Outbound {
    let mut reason = "it has no address".to_owned();
    for address in addresses.iter().take(ADDRESSES_MAX) {
        match timeout(PATIENCE, greeting(*address)).await {
            Ok(Ok(said)) => return heard(server, &said),
            Ok(Err(error)) => reason = format!("{address}: {error}"),
            Err(_) => reason = format!("{address}: no answer in {} s", PATIENCE.as_secs()),
        }
    }
    Outbound::Unreached { server: server.to_owned(), reason }
}

/// RFC 5321 §4.2: a greeting begins with its code. A server that refuses to talk now was reached
/// all the same.
fn heard(server: &str, said: &[u8]) -> Outbound {
    let server = server.to_owned();
    if [b"220", b"421", b"554"].iter().any(|code| said.starts_with(*code)) {
        return Outbound::Greeted { server };
    }
    let shown = String::from_utf8_lossy(said.get(..SHOWN_BYTES_MAX).unwrap_or(said));
    Outbound::Odd { server, said: shown.trim_end().to_owned() }
}

async fn greeting(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let mut said = Vec::new();
    let mut piece = [0; GREETING_BYTES_MAX];
    while !said.contains(&b'\n') && said.len() < GREETING_BYTES_MAX {
        let count = stream.read(&mut piece).await?;
        said.extend_from_slice(piece.get(..count).unwrap_or_default());
        if count == 0 {
            break;
        }
    }
    // Whether it hears that we leave does not matter.
    let _ = stream.write_all(b"QUIT\r\n").await;
    Ok(said)
}

/// How long one address may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Addresses that are tried, so that all of it takes less than a minute.
const ADDRESSES_MAX: usize = 4;

/// The first line of a greeting. RFC 5321 §4.5.3.1.5
const GREETING_BYTES_MAX: usize = 512;

/// What is shown of something else.
const SHOWN_BYTES_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn says(words: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(words).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn a_greeting_is_told_from_other_answers_and_from_silence() {
        let greeted = says(b"220 mx ready\r\n").await;
        let ok = Outbound::Greeted { server: "mx".into() };
        assert_eq!(probe("mx", &[greeted]).await, ok);
        let odd = says(b"HTTP/1.1 400 Bad Request\r\n").await;
        let said = "HTTP/1.1 400 Bad Request".into();
        assert_eq!(probe("mx", &[odd]).await, Outbound::Odd { server: "mx".into(), said });
        assert!(matches!(probe("mx", &[]).await, Outbound::Unreached { .. }));
    }

    #[tokio::test]
    async fn the_next_address_is_tried_if_one_refuses() {
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap()
        };
        assert!(matches!(probe("mx", &[closed]).await, Outbound::Unreached { .. }));
        let greeted = says(b"554 go away\r\n").await;
        let ok = Outbound::Greeted { server: "mx".into() };
        assert_eq!(probe("mx", &[closed, greeted]).await, ok);
    }
}
