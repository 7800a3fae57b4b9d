//! GENURLAUTH, URLFETCH, RESETKEY. RFC 4467 §9, RFC 5524 §5

use super::fetch::body_data;
use super::structure::{Form, structure};
use super::writer::Writer;
use crate::types::{ResetKey, UrlContent, UrlData, UrlFetch, UrlForm, UrlRump};

/// `genurlauth = "GENURLAUTH" 1*(SP url-rump SP mechanism)`
pub fn generate(out: &mut Writer<'_>, rumps: &[UrlRump]) {
    out.text("GENURLAUTH");
    for rump in rumps {
        out.space();
        out.astring(&rump.url);
        out.space();
        out.text(&rump.mechanism);
    }
}

/// `resetkey = "RESETKEY" [SP mailbox *(SP mechanism)]`
pub fn reset(out: &mut Writer<'_>, reset: &ResetKey) {
    out.text("RESETKEY");
    let Some(mailbox) = &reset.mailbox else { return };
    out.space();
    out.mailbox(mailbox);
    for mechanism in &reset.mechanisms {
        out.space();
        out.text(mechanism);
    }
}

/// `urlfetch = "URLFETCH" 1*(SP url-fetch-arg)`
pub fn fetch(out: &mut Writer<'_>, urls: &[UrlFetch]) {
    out.text("URLFETCH");
    for UrlFetch { url, params } in urls {
        out.space();
        if !params.structure && params.content.is_none() {
            out.astring(url);
            continue;
        }
        out.text("(");
        out.astring(url);
        if params.structure {
            out.text(" BODYPARTSTRUCTURE");
        }
        if let Some(form) = params.content {
            out.space();
            out.text(form_name(form));
        }
        out.text(")");
    }
}

fn form_name(form: UrlForm) -> &'static str {
    match form {
        UrlForm::Body => "BODY",
        UrlForm::Binary => "BINARY",
    }
}

/// `genurlauth-data = "*" SP "GENURLAUTH" 1*(SP url-full)`
pub fn generated(out: &mut Writer<'_>, urls: &[Vec<u8>]) {
    out.text("GENURLAUTH");
    for url in urls {
        out.space();
        out.string(url);
    }
}

/// `urlfetch-data = "*" SP "URLFETCH" 1*(SP url-full (SP nstring / url-metadata))`
pub fn fetched(out: &mut Writer<'_>, all: &[UrlData]) {
    out.text("URLFETCH");
    for UrlData { url, content } in all {
        out.space();
        out.string(url);
        match content {
            UrlContent::Plain(data) => {
                out.space();
                body_data(out, data, "{");
            }
            UrlContent::Metadata { structure: body, content, has_nul } => {
                if let Some(body) = body {
                    out.text(" (BODYPARTSTRUCTURE ");
                    structure(out, body, Form::Plain);
                    out.text(")");
                }
                if let Some((form, data)) = content {
                    out.text(" (");
                    out.text(form_name(*form));
                    out.space();
                    // A literal8 only where it has to be. RFC 5524 §5
                    body_data(out, data, if *has_nul { "~{" } else { "{" });
                    out.text(")");
                }
            }
        }
    }
}
