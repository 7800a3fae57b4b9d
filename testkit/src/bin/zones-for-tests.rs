//! A name server for tests in other languages: `zones-for-tests PORT [signed:]ORIGIN=FILE ...`.
//!
//! Serves the zones in the files on loopback, at a port of UDP and TCP; 0 takes any. Prints its
//! address and the key of its root, a line each, then serves until its standard input ends. A line
//! of the input that reads like an argument puts a zone in the place of the one with its name, and
//! is answered with `ok`.

use std::error::Error;
use std::io::{BufRead, Write};

use testkit::dns::{NameServer, Zone};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().ok_or("usage: zones-for-tests PORT [signed:]ORIGIN=FILE ...")?;
    let zones = arguments.map(|argument| zone(&argument)).collect::<Result<Vec<_>, _>>()?;
    let server = NameServer::start_at(&zones, port.parse()?);
    let mut out = std::io::stdout().lock();
    writeln!(out, "address={}", server.address())?;
    writeln!(out, "trust_anchor={}", server.trust_anchor().trim_end())?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        server.replace(zone(&line?)?);
        writeln!(out, "ok")?;
        out.flush()?;
    }
    Ok(())
}

fn zone(argument: &str) -> Result<Zone, Box<dyn Error>> {
    let (signed, rest) = match argument.strip_prefix("signed:") {
        Some(rest) => (true, rest),
        None => (false, argument),
    };
    let (origin, file) = rest.split_once('=').ok_or("a zone is told as ORIGIN=FILE")?;
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let zone = Zone::parse(origin, &text);
    Ok(if signed { zone.signed() } else { zone })
}
