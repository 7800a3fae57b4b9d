//! What is served over HTTP: settings for mail programs, the policy for transport security of our
//! domains, and answers for the challenges of a certificate's authority.
//!
//! [`answer`] is the whole behaviour, a pure function of the [`Site`] and of what is asked; the
//! [`HttpServer`] only carries it. Nothing here knows an account: a request about any address of a
//! domain of ours gets the same answer, so nobody learns who has a mailbox.

mod ask;
mod autoconfig;
mod autodiscover;
mod mobileconfig;
mod mta_sts;
mod page;
mod server;
mod site;
mod xml;

pub use ask::{Arrival, Ask, Method};
pub use mta_sts::{MAX_AGE_SECS_MAX, Mode, Policy};
pub use page::Page;
pub use server::HttpServer;
pub use site::{Challenge, Endpoint, Security, Site, answer};
