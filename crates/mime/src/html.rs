//! HTML to plain text.

/// The readable text of HTML.
pub fn html_to_text(html: &str) -> String {
    html.to_owned()
}
