//! What is replaced while it serves, as when its settings were changed.

use std::sync::{Arc, PoisonError, RwLock};

use crate::{Guard, Peer, Refused, Service, Stream};

/// Serves each new connection with what it holds then; open ones go on as they began.
#[derive(Debug)]
pub struct Replaceable<S> {
    current: RwLock<Arc<S>>,
}

impl<S> Replaceable<S> {
    /// Serves with this at first.
    pub fn new(service: S) -> Self {
        Self { current: RwLock::new(Arc::new(service)) }
    }

    /// Serves with this from now on.
    pub fn replace(&self, service: S) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(service);
    }

    /// What serves now.
    pub fn current(&self) -> Arc<S> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: Service> Service for Replaceable<S> {
    fn refusal(&self, why: Refused) -> &'static [u8] {
        self.current().refusal(why)
    }

    async fn serve(&self, stream: Stream, peer: Peer, guard: Guard) {
        let service = self.current();
        service.serve(stream, peer, guard).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Shutdown;

    /// Says its words, and again what it hears.
    struct Echo(&'static str);

    impl Service for Echo {
        fn refusal(&self, _: Refused) -> &'static [u8] {
            self.0.as_bytes()
        }

        async fn serve(&self, mut stream: Stream, _: Peer, _: Guard) {
            let mut heard = Vec::new();
            let _ = stream.write_all(self.0.as_bytes(), PATIENCE).await;
            let _ = stream.read_into(&mut heard, 16).await;
            let _ = stream.write_all(self.0.as_bytes(), PATIENCE).await;
        }
    }

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn new_connections_meet_the_new_service_and_open_ones_keep_the_old() {
        let service = Arc::new(Replaceable::new(Echo("old")));
        let shutdown = Shutdown::default();
        let connect = || {
            let (client, server) = Stream::pair(64);
            let (service, guard) = (Arc::clone(&service), shutdown.token());
            tokio::spawn(async move { service.serve(server, Peer::Local, guard).await });
            client
        };
        let mut open = connect();
        let mut said = Vec::new();
        open.read_into(&mut said, 16).await.unwrap();
        service.replace(Echo("new"));
        assert_eq!(service.refusal(Refused::Full), b"new");
        open.write_all(b"x", PATIENCE).await.unwrap();
        open.read_into(&mut said, 16).await.unwrap();
        assert_eq!(said, b"oldold");
        let mut said = Vec::new();
        connect().read_into(&mut said, 16).await.unwrap();
        assert_eq!(said, b"new");
    }
}
