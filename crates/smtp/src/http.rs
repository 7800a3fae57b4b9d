//! What those who ask over HTTP need: filters, policies, and reports.

use reqwest::Response;

/// An error with its causes, in which the real one is.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The body of an answer, unless it is longer than so many octets.
///
/// # Errors
/// When the rest of it does not come.
pub(crate) async fn read_bounded(
    mut response: Response,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > bytes_max {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}
