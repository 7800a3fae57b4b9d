//! A process that is killed while it writes: everything that it was told is durable is there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use store::{BlobId, Commit, Store, Write};
use store_local::{Local, Options};

#[test]
fn killed_process_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for lines in [40, 3, 150] {
        acknowledged.extend(write_until_killed(folder.path(), acknowledged.len(), lines));
        let store = Local::open(folder.path(), Options::default()).unwrap();
        let view = store.view().unwrap();
        for number in &acknowledged {
            let row = view.get(number.as_bytes()).unwrap();
            assert!(row.is_some(), "row {number} is lost");
            store.verify_blob(b"a", &BlobId::of(&body(number))).unwrap();
        }
    }
}

/// Starts a writer and kills it once it has acknowledged some; the rest was on its way.
fn write_until_killed(folder: &Path, first: usize, lines: usize) -> Vec<String> {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(writer.stdout.take().unwrap());
    let mut numbers = output.lines().map_while(|line| {
        let line = line.unwrap();
        Some(line.split_once("acknowledged ").map(|(_, number)| number.to_owned()))
    });
    let mut found: Vec<_> = numbers.by_ref().flatten().take(lines).collect();
    writer.kill().unwrap();
    found.extend(numbers.flatten());
    writer.wait().unwrap();
    assert!(found.len() >= lines, "the writer ended by itself");
    found
}

#[test]
#[ignore = "the process that the test above kills"]
fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let first: usize = std::env::var(FIRST).unwrap().parse().unwrap();
    let store = Local::open(Path::new(&folder), Options::default()).unwrap();
    let output = Mutex::new(std::io::stdout());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, output) = (&store, &output);
            scope.spawn(move || {
                for step in 0..10_000 {
                    let number = format!("{first}-{thread}-{step}");
                    let lease = store.put_blob(b"a", &body(&number)).unwrap();
                    let write = Write::put(number.as_bytes(), b"row");
                    store.commit_wait(Commit::new().write(write).naming(lease)).unwrap();
                    let mut output = output.lock().unwrap();
                    writeln!(output, "acknowledged {number}").unwrap();
                    output.flush().unwrap();
                }
            });
        }
    });
}

/// Some thousand bytes that are different for each number.
fn body(number: &str) -> Vec<u8> {
    number.repeat(300 + number.len() * 50).into_bytes()
}

const FOLDER: &str = "STORE_TEST_FOLDER";
const FIRST: &str = "STORE_TEST_FIRST";
