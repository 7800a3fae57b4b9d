//! Who is asked for names: the resolver of the configuration, which is made once.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use dns::{Resolver, Settings};
use tracing::warn;

use crate::config::DnsPlace;
use crate::failure::Failure;

/// The resolver that everyone here asks. Nobody is asked yet.
///
/// # Errors
/// When the trust anchor cannot be read.
pub fn resolver(place: &DnsPlace) -> Result<Resolver, Failure> {
    let read = |file: &std::path::PathBuf| {
        fs::read(file).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
    };
    let trust_anchor = place.trust_anchor.as_ref().map(read).transpose()?;
    let settings = Settings {
        servers: place.servers.clone(),
        trust_anchor,
        validation: place.validation,
        ..Settings::default()
    };
    let usage = |error| Failure::usage(format!("[dns]: {error}"));
    match Resolver::new(&settings) {
        Ok(resolver) => Ok(resolver),
        Err(error) if settings.servers.is_empty() && settings.trust_anchor.is_none() => {
            // Whoever only stores mail needs no names, and one on the machine itself is usual.
            warn!(%error, "a name server on this machine is asked");
            let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
            Resolver::new(&Settings { servers: vec![here], ..settings }).map_err(usage)
        }
        Err(error) => Err(usage(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trust_anchor_that_cannot_be_used_is_told_with_its_file_or_section() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("root.key");
        let place = |trust_anchor| DnsPlace {
            servers: vec!["127.0.0.1:53".parse().unwrap()],
            trust_anchor,
            ..DnsPlace::default()
        };
        assert!(resolver(&place(None)).is_ok());
        let told = resolver(&place(Some(file.clone()))).err().unwrap().to_string();
        assert!(told.contains("root.key"), "{told}");
        fs::write(&file, "hello").unwrap();
        let told = resolver(&place(Some(file))).err().unwrap().to_string();
        assert!(told.contains("[dns]"), "{told}");
    }
}
