//! The accept loop: admission, TLS where it is implicit, and one task a connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};

use crate::{Gate, Guard, Listener, Peer, Refused, ShutdownToken, Stream, TlsServer};

/// What a protocol does with a connection.
pub trait Service: Send + Sync + 'static {
    /// The words that a connection over the limit gets, where no TLS is in the way.
    fn refusal(&self, why: Refused) -> &'static [u8];

    /// Serves one connection to its end, and ends it soon after the guard notices a shutdown.
    fn serve(&self, stream: Stream, peer: Peer, guard: Guard) -> impl Future<Output = ()> + Send;
}

/// How bytes arrive at a listener.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// In cleartext; the service may offer STARTTLS.
    Clear,
    /// TLS from the first byte.
    ImplicitTls(TlsServer),
}

/// Accepts connections until the shutdown begins.
pub async fn serve<S: Service>(
    listener: Listener,
    arrival: Arrival,
    gate: Arc<Gate>,
    mut token: ShutdownToken,
    service: Arc<S>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = token.begun() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(connection) => connection,
            Err(error) => {
                // Out of file descriptors, most likely: trying again at once would only spin.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match gate.admit(peer) {
            Ok(permit) => {
                let (arrival, service) = (arrival.clone(), Arc::clone(&service));
                let guard = token.clone();
                tokio::spawn(async move {
                    let _permit = permit;
                    if let Some(stream) = arrive(stream, arrival, peer).await {
                        service.serve(stream, peer, guard).await;
                    }
                });
            }
            Err(why) => refuse(stream, &arrival, service.refusal(why), peer, why),
        }
    }
}

async fn arrive(stream: Stream, arrival: Arrival, peer: Peer) -> Option<Stream> {
    let Arrival::ImplicitTls(server) = arrival else { return Some(stream) };
    let handshake = stream.start_tls(Vec::new(), &server, HANDSHAKE_PATIENCE);
    match Box::pin(handshake).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            log_handshake(&error, peer);
            None
        }
    }
}

/// Scanners and clients that reject a certificate are daily life: not worth more than a debug line.
fn log_handshake(error: &io::Error, peer: Peer) {
    debug!(%error, %peer, "TLS handshake failed");
}

fn refuse(mut stream: Stream, arrival: &Arrival, words: &'static [u8], peer: Peer, why: Refused) {
    warn!(%peer, ?why, "connection refused");
    if matches!(arrival, Arrival::ImplicitTls(_)) {
        return;
    }
    tokio::spawn(async move {
        // Whoever does not read these words in a moment is not waiting for them.
        let _ = stream.write_all(words, REFUSAL_PATIENCE).await;
        stream.close().await;
    });
}

/// The longest that a TLS handshake may take, well within the time before login.
pub const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(30);

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const REFUSAL_PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Address, Limits, Shutdown, listener::Access};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// Says one line, waits for the peer or the shutdown, and says goodbye.
    struct Greeter;

    impl Service for Greeter {
        fn refusal(&self, _: Refused) -> &'static [u8] {
            b"full\n"
        }

        async fn serve(&self, mut stream: Stream, _: Peer, mut guard: Guard) {
            let patience = Duration::from_secs(1);
            stream.write_all(b"hello\n", patience).await.unwrap();
            let mut input = Vec::new();
            tokio::select! {
                () = guard.begun() => {}
                _ = stream.read_into(&mut input, 10) => {}
            }
            stream.write_all(b"bye\n", patience).await.unwrap();
            stream.close().await;
        }
    }

    #[tokio::test]
    async fn connections_are_served_refused_over_the_limit_and_told_of_the_end() {
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), Access::Owner).unwrap();
        let Address::Tcp(address) = listener.address().unwrap() else { panic!("not TCP") };
        let gate = Gate::new(Limits { connections_max: 1, per_network_max: 1 });
        let shutdown = Shutdown::default();
        let serving = serve(listener, Arrival::Clear, gate, shutdown.token(), Arc::new(Greeter));
        let serving = tokio::spawn(serving);

        let mut first = TcpStream::connect(address).await.unwrap();
        let mut line = [0; 6];
        first.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"hello\n");
        let mut second = TcpStream::connect(address).await.unwrap();
        second.shutdown().await.unwrap();
        let mut refused = Vec::new();
        second.read_to_end(&mut refused).await.unwrap();
        assert_eq!(refused, b"full\n");

        shutdown.begin();
        serving.await.unwrap();
        let mut rest = [0; 4];
        first.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"bye\n");
        drop(first);
        assert!(shutdown.drained(Duration::from_secs(5)).await);
    }
}
