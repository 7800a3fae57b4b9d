//! The messages of an APPEND: passed on to the store while they arrive.
//!
//! A literal that cannot be stored is still read to its end, because the client is sending it; the
//! command then fails. Nothing names a staged message before the whole command has been read.

use std::collections::HashMap;

use mail_service::{AccountHandle, ServiceError, Staged, Staging};

/// Literals of the command that is being read.
#[derive(Default)]
pub struct Literals {
    /// Boxed: idle connections have none.
    current: Option<Box<Staging>>,
    staged: HashMap<u32, Staged>,
    failure: Option<ServiceError>,
}

impl Literals {
    /// Begins to take a message.
    pub fn begin(&mut self, account: &AccountHandle) {
        // After a failure the rest of the command is only read over.
        self.current = self.failure.is_none().then(|| Box::new(account.stage()));
    }

    /// Takes octets of it.
    pub async fn push(&mut self, bytes: &[u8]) {
        let Some(staging) = &mut self.current else { return };
        if let Err(error) = staging.push(bytes).await {
            self.current = None;
            self.failure = Some(error);
        }
    }

    /// The message is whole.
    pub async fn end(&mut self, index: u32) {
        let Some(staging) = self.current.take() else { return };
        match staging.finish().await {
            Ok(staged) => drop(self.staged.insert(index, staged)),
            Err(error) => self.failure = Some(error),
        }
    }

    /// The message that this literal of the command was, once.
    ///
    /// # Errors
    /// Why it, or one before it, could not be stored.
    pub fn take(&mut self, index: u32) -> Result<Staged, ServiceError> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        self.staged.remove(&index).ok_or(ServiceError::NoSuchMessage)
    }

    /// Forgets everything: the command is over.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
