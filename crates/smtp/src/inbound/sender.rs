//! Who checks whether a message is from whom it says.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use sender_auth::{
    Decision, Dkim, DkimResult, Dmarc, DmarcResult, Incoming, Report, Results, SpfResult, Verifier,
};

/// A message whose sender is to be checked.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Where the client is.
    pub client: IpAddr,
    /// What it called itself.
    pub client_name: &'a str,
    /// MAIL FROM, empty for `<>`.
    pub sender: &'a str,
    /// The message, exactly as it came.
    pub message: &'a [u8],
    /// Seconds since 1970.
    pub now: i64,
}

/// What came of the checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderResult {
    /// What shall become of the message.
    pub decision: Decision,
    /// Why, in a few words.
    pub reason: String,
    /// What was found, for stories and seals.
    pub results: Results,
    /// Domains of its authors that nothing speaks for.
    pub unproved: Vec<String>,
    /// Whether it has no author who can be told, and so nobody who could be proved.
    pub lacks_author: bool,
    /// Whether a question was not answered that could have proved them.
    pub is_open: bool,
    /// The fields that tell the results, whole lines.
    pub fields: Vec<u8>,
    /// Whether MAIL FROM is proved to be of those who may use it: SPF passed for its own domain,
    /// and not only for EHLO. RFC 7208 §2.6.3
    pub is_sender_proved: bool,
}

/// Checks senders.
pub trait SenderChecks: Send + Sync + 'static {
    /// Checks one message.
    fn check<'a>(&'a self, claim: Claim<'a>) -> Checking<'a>;
}

/// A check that is on its way.
pub type Checking<'a> = Pin<Box<dyn Future<Output = SenderResult> + Send + 'a>>;

impl SenderChecks for Verifier {
    fn check<'a>(&'a self, claim: Claim<'a>) -> Checking<'a> {
        Box::pin(async move {
            let incoming = Incoming {
                ip: claim.client,
                helo: claim.client_name,
                mail_from: (!claim.sender.is_empty()).then_some(claim.sender),
                message: claim.message,
                now: claim.now,
            };
            let report = self.verify(&incoming).await;
            // Without a MAIL FROM it is the result of EHLO.
            let is_sender_proved =
                incoming.mail_from.is_some() && report.spf.result == SpfResult::Pass;
            SenderResult {
                unproved: unproved(&report),
                lacks_author: report.lacks_author,
                is_open: is_open(&report),
                decision: report.decision,
                reason: report.reason,
                results: report.results,
                fields: report.fields,
                is_sender_proved,
            }
        })
    }
}

/// A domain without a policy (DMARC) is proved by a signature of its own.
fn unproved(report: &Report) -> Vec<String> {
    let has_signed = |domain: &String| {
        let of_it = |it: &&Dkim| it.domain.as_ref() == Some(domain);
        report.dkim.iter().filter(of_it).any(|it| it.result == DkimResult::Pass)
    };
    let is_proved = |it: &&Dmarc| match it.result {
        DmarcResult::Pass => true,
        DmarcResult::None => has_signed(&it.domain),
        _ => false,
    };
    report.dmarc.iter().filter(|it| !is_proved(it)).map(|it| it.domain.clone()).collect()
}

fn is_open(report: &Report) -> bool {
    report.dmarc.iter().any(|it| it.result == DmarcResult::TempError)
        || report.dkim.iter().any(|it| it.result == DkimResult::TempError)
}

impl fmt::Debug for dyn SenderChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SenderChecks")
    }
}
