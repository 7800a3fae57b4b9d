//! Ending without losing anything: every connection is told, and the end waits for them.

use std::time::Duration;

use tokio::sync::watch;

/// Begins the shutdown of a program, and waits for its connections to end.
#[derive(Debug)]
pub struct Shutdown {
    begun: watch::Sender<bool>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { begun: watch::Sender::new(false) }
    }
}

impl Shutdown {
    /// A token for a listener or any other task that must notice the shutdown.
    pub fn token(&self) -> ShutdownToken {
        ShutdownToken { begun: self.begun.subscribe() }
    }

    /// Tells every holder of a token. Listeners stop; connections say goodbye after the command
    /// they are in.
    pub fn begin(&self) {
        self.begun.send_replace(true);
    }

    /// Waits until every token and guard is gone, at most for `patience`. Returns whether all
    /// ended in time.
    pub async fn drained(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.begun.closed()).await.is_ok()
    }
}

/// Notices the shutdown. Holding one holds the shutdown open.
#[derive(Clone, Debug)]
pub struct ShutdownToken {
    begun: watch::Receiver<bool>,
}

/// What a connection holds: it notices the shutdown, and the end waits until it is dropped.
pub type Guard = ShutdownToken;

impl ShutdownToken {
    /// Whether the shutdown has begun.
    pub fn has_begun(&self) -> bool {
        *self.begun.borrow()
    }

    /// Waits until the shutdown begins. Can be dropped and called again at no loss.
    pub async fn begun(&mut self) {
        // A sender that is gone can no longer begin anything gracefully: the program ends.
        let _ = self.begun.wait_for(|begun| *begun).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_connections_but_not_for_ever() {
        let shutdown = Shutdown::default();
        let mut guard = shutdown.token();
        assert!(!guard.has_begun());
        shutdown.begin();
        guard.begun().await;
        assert!(guard.has_begun());
        assert!(!shutdown.drained(Duration::from_secs(5)).await);
        drop(guard);
        assert!(shutdown.drained(Duration::from_secs(5)).await);
    }
}
