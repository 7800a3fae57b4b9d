//! Structured logs to standard error.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;
use crate::failure::Failure;

/// Begins logging. `filter` is what the operator asked for; a trial is quieter than a server.
///
/// # Errors
/// When the filter cannot be understood.
pub fn start(format: LogFormat, filter: Option<&str>, default: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter.unwrap_or(default))
        .map_err(|error| Failure::usage(format!("log filter: {error}")))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
