//! LANGUAGE. RFC 5255 §3.2

use imap_proto::types::Response;

use super::namespace;
use crate::Language;
use crate::capability::Login;
use crate::reply::{Flow, Reply, Run, end};

pub(crate) fn begin(ranges: &[String], run: &mut Run<'_>) -> Flow {
    if ranges.is_empty() {
        let tags = Language::ALL.map(|(_, tag)| tag.to_owned()).into();
        run.write(&Response::Language(tags));
        return end(Reply::ok("The supported languages are listed"));
    }
    let Some(language) = chosen(ranges, run.state.config.language) else {
        return Err(Reply::no("This language is not supported"));
    };
    run.write(&Response::Language(vec![language.tag().to_owned()]));
    // "The change takes effect immediately after the LANGUAGE response"
    run.state.enabled.language = language;
    if run.state.login == Login::After {
        // RFC 5255 §3.4
        let reply = namespace::reply(run);
        let mut all = reply.personal.iter().chain(&reply.other_users).chain(&reply.shared);
        if all.any(|entry| entry.translation.is_some()) {
            run.write(&Response::Namespace(reply));
        }
    }
    end(Reply::ok("Now speaking English"))
}

/// "The first supported language specified". The range `*` says no more than that any other is
/// better than none. RFC 5255 §3.2, RFC 4647 §3.4
fn chosen(ranges: &[String], preferred: Language) -> Option<Language> {
    let found = ranges.iter().find_map(|range| match range {
        range if range.eq_ignore_ascii_case("default") => Some(preferred),
        range => Language::looked_up(range),
    });
    found.or_else(|| ranges.iter().any(|range| range == "*").then_some(preferred))
}
