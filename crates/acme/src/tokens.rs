//! Answers for http-01: what stands at `/.well-known/acme-challenge/TOKEN`. RFC 8555 §8.3

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The answers that are expected at present. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    answers: Arc<RwLock<HashMap<String, String>>>,
}

impl Tokens {
    /// The key authorization of a token, while its authority asks for it.
    pub fn answer(&self, token: &str) -> Option<String> {
        self.answers.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    /// Answers until the guard is dropped.
    pub(crate) fn present(&self, token: &str, authorization: &str) -> Presented {
        let mut answers = self.answers.write().unwrap_or_else(PoisonError::into_inner);
        answers.insert(token.to_owned(), authorization.to_owned());
        Presented { tokens: self.clone(), token: token.to_owned() }
    }
}

/// An answer that is given until this is dropped.
#[derive(Debug)]
pub(crate) struct Presented {
    tokens: Tokens,
    token: String,
}

impl Drop for Presented {
    fn drop(&mut self) {
        let mut answers = self.tokens.answers.write().unwrap_or_else(PoisonError::into_inner);
        answers.remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_while_it_is_expected() {
        let tokens = Tokens::default();
        let presented = tokens.present("abc", "abc.thumb");
        assert_eq!(tokens.clone().answer("abc").as_deref(), Some("abc.thumb"));
        assert_eq!(tokens.answer("ab"), None);
        drop(presented);
        assert_eq!(tokens.answer("abc"), None);
    }
}
