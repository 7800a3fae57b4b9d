//! LOGIN, and what every way of logging in ends with. RFC 9051 §6.2.3

use imap_proto::types::{Code, Login as Arguments};

use crate::capability::{Login, capabilities, login_is_allowed};
use crate::reply::{Flow, Reply, Run, end, wait};
use crate::{Answer, AuthenticationRefused, Need, errors};

pub(crate) fn begin(arguments: Arguments, run: &mut Run<'_>) -> Flow {
    check_privacy(run)?;
    let Arguments { user, password } = arguments;
    wait(Need::Login { user, password }, |answer, run| match answer {
        Answer::Authenticated { .. } => succeed(run),
        Answer::AuthenticationRefused(why) => fail(why, run),
        other => Err(errors::unexpected(&other)),
    })
}

/// Refuses a password that travels in the clear. RFC 9051 §6.2.3, RFC 5530 §3
pub(crate) fn check_privacy(run: &Run<'_>) -> Result<(), Reply> {
    if login_is_allowed(&run.state.config) {
        return Ok(());
    }
    Err(Reply::no("Not without TLS: the password could be read on the way")
        .with(Code::PrivacyRequired))
}

pub(crate) fn succeed(run: &mut Run<'_>) -> Flow {
    run.account()?;
    run.state.login = Login::After;
    run.state.failed_logins = 0;
    let all = capabilities(&run.state.config, Login::After);
    end(Reply::ok("Logged in").with(Code::Capability(all)))
}

pub(crate) fn fail(why: AuthenticationRefused, run: &mut Run<'_>) -> Flow {
    let reply = errors::authentication(why);
    if why == AuthenticationRefused::Unavailable {
        return end(reply);
    }
    run.state.failed_logins = run.state.failed_logins.saturating_add(1);
    if run.state.failed_logins < run.state.config.login_attempts_max {
        return end(reply);
    }
    end(reply.closing("Too many failed logins"))
}
