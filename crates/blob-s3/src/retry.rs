//! Attempts of one request until it succeeds, is refused for good, or its budget of time is spent.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::limits::Limits;

/// How often and how long something is tried.
#[derive(Debug, Clone)]
pub struct Patience {
    /// All attempts and the pauses between them.
    pub budget: Duration,
    /// One attempt.
    pub attempt_timeout: Duration,
    /// Pauses double from here ...
    pub backoff_min: Duration,
    /// ... to here.
    pub backoff_max: Duration,
    /// How often the answer "there is none" is doubted.
    pub missing_retries: u32,
}

impl Patience {
    /// For a write or a deletion.
    pub fn of_write(limits: &Limits) -> Self {
        Self::new(limits, limits.write_budget, 0)
    }

    /// For a read; a missing object is asked for again `missing_retries` times.
    pub fn of_read(limits: &Limits, missing_retries: u32) -> Self {
        Self::new(limits, limits.read_budget, missing_retries)
    }

    fn new(limits: &Limits, budget: Duration, missing_retries: u32) -> Self {
        Self {
            budget,
            attempt_timeout: limits.attempt_timeout,
            backoff_min: limits.backoff_min,
            backoff_max: limits.backoff_max,
            missing_retries,
        }
    }

    /// Runs attempts, which are told their number from 0, until one says something final. `what`
    /// names the request in the log.
    pub async fn attempts<T, Attempt>(
        &self,
        what: &str,
        mut attempt: impl FnMut(u32) -> Attempt,
    ) -> Result<T, Failure>
    where
        Attempt: Future<Output = Result<T, Failure>>,
    {
        let until = Instant::now() + self.budget;
        let mut number = 0;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = self.attempt_timeout.min(left);
            let failure = match tokio::time::timeout(timeout, attempt(number)).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::Passing(format!("no answer within {timeout:?}")),
            };
            let doubted = failure == Failure::Missing && number < self.missing_retries;
            let pause = self.pause(number);
            if !(failure.is_passing() || doubted) || Instant::now() + pause >= until {
                return Err(failure);
            }
            tracing::debug!(what, number, %failure, "attempt failed, another follows");
            tokio::time::sleep(pause).await;
            number += 1;
        }
    }

    /// Between half and the whole of the doubled pause: many callers that failed together shall
    /// not come back together.
    fn pause(&self, number: u32) -> Duration {
        let doubled = self.backoff_min.saturating_mul(1 << number.min(16));
        let whole = doubled.min(self.backoff_max);
        let share = f64::from(u16::try_from(random() & 0xFFFF).unwrap_or(0)) / 65_536.0;
        whole.mul_f64(0.5 + share / 2.0)
    }
}

/// Some bits that differ from call to call. The keys of a hash map are as random as we need, and
/// the standard library has no other source.
fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience() -> Patience {
        Patience {
            budget: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(5),
            backoff_min: Duration::from_micros(10),
            backoff_max: Duration::from_millis(1),
            missing_retries: 2,
        }
    }

    fn run<T>(
        patience: &Patience,
        answers: Vec<Result<T, Failure>>,
    ) -> (Result<T, Failure>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut answers = answers.into_iter();
        let mut asked = 0;
        let result = runtime.block_on(patience.attempts("test", |_| {
            asked += 1;
            std::future::ready(answers.next().unwrap())
        }));
        (result, asked)
    }

    fn passing() -> Result<u8, Failure> {
        Err(Failure::Passing("503".to_owned()))
    }

    #[test]
    fn what_passes_is_tried_until_it_succeeds() {
        let (result, asked) = run(&patience(), vec![passing(), passing(), Ok(7)]);
        assert_eq!((result, asked), (Ok(7), 3));
    }

    #[test]
    fn a_refusal_is_final() {
        let refused = Failure::Refused("403".to_owned());
        let (result, asked) = run::<u8>(&patience(), vec![Err(refused.clone())]);
        assert_eq!((result, asked), (Err(refused), 1));
    }

    #[test]
    fn missing_is_doubted_a_few_times() {
        let missing = || Err::<u8, _>(Failure::Missing);
        let (result, asked) = run(&patience(), vec![missing(), missing(), missing()]);
        assert_eq!((result, asked), (Err(Failure::Missing), 3));
        let (result, _) = run(&patience(), vec![missing(), Ok(1)]);
        assert_eq!(result, Ok(1));
    }

    #[test]
    fn the_budget_ends_the_attempts() {
        let hasty = Patience { budget: Duration::ZERO, ..patience() };
        let (result, asked) = run(&hasty, vec![passing()]);
        assert!(result.is_err());
        assert_eq!(asked, 1);
    }

    #[test]
    fn an_attempt_without_an_answer_ends_by_itself() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let hasty = Patience { attempt_timeout: Duration::from_millis(5), ..patience() };
        let result = runtime.block_on(hasty.attempts("test", |number| async move {
            if number == 0 {
                std::future::pending::<()>().await;
            }
            Ok::<u32, Failure>(number)
        }));
        assert_eq!(result, Ok(1));
    }

    #[test]
    fn pauses_grow_to_their_maximum_and_vary() {
        let patience = patience();
        for number in 0..40 {
            let pause = patience.pause(number);
            assert!(pause >= patience.backoff_min / 2 && pause <= patience.backoff_max);
        }
        assert!(patience.pause(30) >= patience.backoff_max / 2);
        assert!((0..50).any(|_| patience.pause(30) != patience.pause(30)));
    }
}
