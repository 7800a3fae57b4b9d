//! An S3 server for tests in other languages: `s3-for-tests FOLDER [PORT]`.
//!
//! Prints what a client needs, a line each, then serves until its standard input ends. It keeps
//! objects in files of the folder without syncing them, and is no store for anybody's mail.

use std::error::Error;
use std::io::{Read, Write};
use std::path::PathBuf;

use testkit::s3::Bucket;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: s3-for-tests FOLDER [PORT]")?);
    let port = match arguments.next() {
        Some(port) => port.to_string_lossy().parse()?,
        None => 0,
    };
    let bucket = Bucket::in_folder(&folder, port)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "endpoint={}", bucket.endpoint())?;
    writeln!(out, "bucket={}", bucket.name)?;
    writeln!(out, "region={}", bucket.region)?;
    writeln!(out, "access_key_id={}", bucket.access_key_id)?;
    writeln!(out, "secret_access_key={}", bucket.secret_access_key)?;
    out.flush()?;
    std::io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}
