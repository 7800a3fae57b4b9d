//! ENABLE. RFC 9051 §6.3.1, RFC 5161

use std::borrow::Cow;

use imap_proto::types::{Capability, Response};

use super::context;
use crate::capability::{Login, is_hidden};
use crate::reply::{Flow, Reply, Run, end};
use crate::state::Enabled;
use crate::{metadata, sync};

pub(crate) fn begin(names: &[Capability], run: &mut Run<'_>) -> Flow {
    let mut done: Vec<Capability> = Vec::new();
    let mut enabled = run.state.enabled;
    for name in names {
        // What is not known, or cannot be enabled, is passed over. RFC 9051 §6.3.1
        let row = ROWS.iter().find(|(row, _)| row.eq_ignore_ascii_case(name));
        let Some((row, switch)) = row else { continue };
        let config = &run.state.config;
        // RFC 5161 §3.1: only what is announced.
        let is_hidden =
            is_hidden(config, Login::After, row) || (*row == "UIDONLY" && !config.uidonly);
        if !is_hidden && !done.iter().any(|d| d == row) {
            switch(&mut enabled);
            done.push(Cow::Borrowed(row));
        }
    }
    let had_condstore = std::mem::replace(&mut run.state.enabled, enabled).condstore;
    run.write(&Response::Enabled(done));
    if enabled.uidonly {
        context::end_numbered(run);
    }
    if enabled.metadata {
        metadata::begin_telling(run);
    }
    if enabled.condstore && !had_condstore {
        sync::tell_highest_modseq(run);
    }
    end(Reply::ok("ENABLE completed"))
}

type Row = (&'static str, fn(&mut Enabled));

const ROWS: &[Row] = &[
    ("CONDSTORE", |enabled| enabled.condstore = true),
    // QRESYNC implies CONDSTORE. RFC 7162 §3.2.3
    ("QRESYNC", |enabled| {
        enabled.qresync = true;
        enabled.condstore = true;
    }),
    ("IMAP4rev2", |enabled| enabled.rev2 = true),
    ("METADATA", |enabled| enabled.metadata = true),
    ("UIDONLY", |enabled| enabled.uidonly = true),
    ("UTF8=ACCEPT", |enabled| enabled.utf8 = true),
];
