//! The one core: the verbs that every protocol shell calls.
//!
//! A [`Service`] stands on a [`store::Store`] and knows accounts, passwords and delivery. An
//! [`AccountHandle`] is one account: its state, its messages, and the way to change it. Rules of
//! mail are not decided here but in [`mailbox::decide`]; what is here makes its decisions durable,
//! one after the other, and lets everyone know.
//!
//! A change is on stable storage before anybody is told of it.

mod accounts;
pub mod auth;
mod check;

pub mod clock;
pub mod codec;
mod commit;
mod contents;
mod copy;
mod delivery;
mod destinations;
mod error;
mod greylist;
mod handle;
pub mod keys;
pub mod limits;
mod loader;
mod log;
mod login;
mod open;
pub mod queue;
mod registry;
mod relocate;
mod repair;
mod rows;
mod scrub;
mod sent;
mod sequencer;
mod service;
mod sharing;
mod staging;
pub mod story;
mod sweep;

mod thread;
mod urlauth;

pub use accounts::app_passwords::AppPasswordSummary;
pub use accounts::hidden::HiddenChange;
pub use accounts::{AccountSummary, ImportOutcome};
pub use auth::name::AccountName;
pub use auth::sasl::Mechanism;
pub use auth::token::{TokenError, TokenFault, TokenHolder, TokenVerifier, Verifying};
pub use auth::{AuthError, Channel};

pub use check::{FINDINGS_MAX, Finding, Report, check};
pub use clock::{Clock, Random, SystemClock, SystemRandom, World};
pub use contents::MailboxPin;
pub use delivery::{DeliverError, Placed, Route, Verdict};
pub use destinations::{Alias, AliasError, Destinations, Kept};
pub use error::{AppPasswordFault, NameFault, PasswordFault, ServiceError};
pub use greylist::{GreylistTerms, Greylisting, LIFETIME_DAYS_MAX, Visit, WINDOW_HOURS_MAX};
pub use handle::{AccountHandle, MessageReader, NewMail};
pub use limits::{PasswordCost, QueueConfig, SaveSent, ServiceConfig, Sharing};
pub use login::{SaslProgress, SaslSession};
pub use relocate::{Moved, Shards, move_to_service, move_to_shard};
pub use repair::{Repaired, repair_after_loss};
pub use rows::MessageRow;
pub use scrub::{Scrub, ScrubReport, ScrubStep};
pub use sent::Kept as SentKept;
pub use service::Service;
pub use staging::{Staged, Staging};
pub use sweep::SweepReport;
pub use urlauth::{AuthorizedUrl, Rump, UrlAccess, UrlMessage};
