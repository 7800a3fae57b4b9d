//! Who a message is really from: SPF, DKIM, DMARC and ARC; and signatures of our own.
//!
//! - [`Verifier`] looks at what comes in: whether the client may send for the domains of its
//!   envelope (`spf`), whose signatures hold (`dkim`), what earlier servers sealed (`arc`), and
//!   whether any of that stands for the author that people are shown (`author`, `dmarc`).
//!   `decision` is the pure function of all this, and `results` writes it into the header.
//! - [`Signer`] signs what goes out, with [`keys`], and seals what was found about what goes on
//!   (`seal`).
//!
//! The canonical forms, the grammar of SPF and the use of public keys are mail-auth's. What is a
//! signature, which question is asked, how many, and what follows is decided here: every tag is
//! read once, and every list has an end.

mod apart;
mod arc;
mod author;
mod decision;
mod dkim;
mod dmarc;
mod domain;
mod domain_key;
pub mod keys;
mod message;
mod names;
mod resolver;
mod results;
mod seal;
mod sign;
mod signature;
mod spf;
mod spf_terms;
mod tags;
mod verify;

#[cfg(test)]
mod tests;

pub use arc::{Arc, ArcResult, ArcSet};
pub use decision::{Decision, Enforcement, Settings, SpfFail};
pub use dkim::{Dkim, DkimResult};
pub use dmarc::{Dmarc, DmarcResult, Policy};
pub use keys::{Key, KeyError};
pub use names::{Failure, Family, Lookup, Source};
pub use results::{Results, strip_results};
pub use sign::{Signer, SignerError, SigningKey};
pub use spf::{Spf, SpfResult, may_send};
pub use verify::{Incoming, Report, VERIFY_TIME_MAX, Verifier};
