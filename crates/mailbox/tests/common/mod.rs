//! What tests of operations share: an account, and operations on it.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use mailbox::{Account, Actor, Context, Decision, Operation, Outcome, Refusal, apply, decide};

pub fn ask(account: &Account, operation: &Operation) -> Result<Decision, Refusal> {
    decide(account, &Actor::Owner, operation, &Context { now: 1_700_000_000 })
}

pub fn submit(account: &mut Account, operation: &Operation) -> Outcome {
    let decision = ask(account, operation).unwrap();
    if let Some(entry) = decision.entry {
        *account = apply(account, &entry).unwrap();
    }
    decision.outcome
}

pub fn new_account() -> Account {
    let mut account = Account::empty();
    submit(&mut account, &Operation::CreateAccount);
    account
}
