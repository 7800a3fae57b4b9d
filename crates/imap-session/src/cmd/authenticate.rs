//! AUTHENTICATE: carries the messages of a SASL mechanism. RFC 9051 §6.2.2, RFC 4959

use imap_proto::types::{Authenticate, Code, Continuation, Response};

use super::login;
use crate::capability::has_mechanism;
use crate::reply::{Flow, Reply, Run, wait};
use crate::{Answer, ClientResponse, Need, SaslStep, errors};

pub(crate) fn begin(arguments: Authenticate, run: &mut Run<'_>) -> Flow {
    let Authenticate { mechanism, initial } = arguments;
    login::check_privacy(run)?;
    // A mechanism that is not announced is not tried. RFC 9051 §6.2.2
    if !has_mechanism(&run.state.config, &mechanism) {
        return Err(Reply::no("No such mechanism").with(Code::Cannot));
    }
    step(SaslStep::Start { mechanism, initial })
}

fn step(step: SaslStep) -> Flow {
    wait(Need::Sasl(step), |answer, run| match answer {
        Answer::Challenge(challenge) => ask(challenge, Last::No, run),
        // IMAP has no room for data beside the OK: they are a challenge with an empty response.
        // RFC 4422 §3.6
        Answer::Authenticated { data: Some(data) } => ask(data, Last::Yes, run),
        Answer::Authenticated { data: None } => login::succeed(run),
        Answer::AuthenticationRefused(why) => login::fail(why, run),
        other => Err(errors::unexpected(&other)),
    })
}

/// Whether a challenge is the last, told after success.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Yes,
    No,
}

/// Sends a challenge and goes on with the client's response.
fn ask(challenge: Vec<u8>, last: Last, run: &mut Run<'_>) -> Flow {
    run.write(&Response::Continuation(Continuation::Challenge(challenge)));
    wait(Need::ClientResponse, move |answer, run| match answer {
        Answer::ClientResponse(ClientResponse::Data(data)) => match last {
            Last::No => step(SaslStep::Response(data)),
            Last::Yes if data.expose().is_empty() => login::succeed(run),
            Last::Yes => Err(Reply::bad("The last response has to be empty")),
        },
        Answer::ClientResponse(ClientResponse::Cancelled) => {
            Err(Reply::bad("Authentication cancelled"))
        }
        Answer::ClientResponse(ClientResponse::Malformed) => {
            Err(Reply::bad("The response is not base64"))
        }
        other => Err(errors::unexpected(&other)),
    })
}
