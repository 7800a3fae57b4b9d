//! What the checks need from outside: Debian packages; mail clients from the registries of Python
//! and Node.js, and two cargo tools, kept below target/.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Result;
use crate::run;

/// A program that a test starts, and the Debian package that brings it.
const PROGRAMS: &[(&str, &str)] = &[
    ("mbsync", "isync"),
    ("neomutt", "neomutt"),
    ("offlineimap", "offlineimap3"),
    ("imapfilter", "imapfilter"),
    ("curl", "curl"),
    ("fetchmail", "fetchmail"),
    ("interimap", "interimap"),
    ("mutt", "mutt"),
    ("swaks", "swaks"),
    ("msmtp", "msmtp"),
    ("openssl", "openssl"),
    ("node", "nodejs"),
    ("pip3", "python3-pip"),
    ("python3", "python3"),
    ("npm", "npm"),
    ("postfix", "postfix"),
    ("git", "git"),
    ("tar", "tar"),
    ("sha512sum", "coreutils"),
    ("cc", "gcc"),
    ("strace", "strace"),
    ("initdb", "postgresql-15"),
    ("pebble", "pebble"),
];

/// Clients that tests use as libraries.
const PYTHON_CLIENTS: &[&str] = &["dkimpy[arc,ed25519]==1.1.8", "imapclient==4.1.0"];
const NODE_CLIENTS: &[&str] = &["imapflow@2.10.2"];

/// Where Debian keeps programs that are not on PATH.
const PROGRAMS_ELSEWHERE: &[&str] = &["/usr/lib/postgresql/15/bin", "/usr/sbin"];

/// Debian makes and starts a cluster of its own when it installs the server, unless this says no.
/// Tests start theirs themselves.
const CREATE_CLUSTER: &str = "/etc/postgresql-common/createcluster.conf";

/// Installs the Debian packages that are missing, when we may.
///
/// # Errors
/// When a program is missing and cannot be installed; says which packages to install.
pub fn packages() -> Result<()> {
    let missing = missing_packages();
    if missing.is_empty() {
        println!("packages: all present");
        return Ok(());
    }
    println!("packages: installing {}", missing.join(" "));
    if let Err(error) = install(&missing) {
        eprintln!("packages: {error}");
    }
    let still = missing_packages();
    if still.is_empty() {
        return Ok(());
    }
    let remedy = format!("apt-get install --no-install-recommends {}", still.join(" "));
    Err(format!("programs that the tests start are missing; as root: {remedy}").into())
}

/// Installs the clients that come from the registries of languages, of fixed versions, from
/// whatever registries pip and npm are set up for. Returns their folder.
///
/// # Errors
/// When one cannot be installed.
pub fn clients() -> Result<PathBuf> {
    let folder = run::target().join("clients");
    let wanted = format!("{} {}", PYTHON_CLIENTS.join(" "), NODE_CLIENTS.join(" "));
    let done = folder.join("done");
    if std::fs::read_to_string(&done).is_ok_and(|found| found == wanted) {
        return Ok(folder);
    }
    println!("clients: installing {wanted}");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(folder.join("node"))?;
    let mut pip = run::command(
        "python3 -m pip install --quiet --no-input --disable-pip-version-check --target",
    );
    run::run(pip.arg(folder.join("python")).args(PYTHON_CLIENTS))?;
    let mut npm = run::command("npm install --silent --ignore-scripts --no-audit --no-fund");
    run::run(npm.arg("--prefix").arg(folder.join("node")).args(NODE_CLIENTS))?;
    // Written last: a folder without it is half-made.
    std::fs::write(done, wanted)?;
    Ok(folder)
}

fn missing_packages() -> Vec<&'static str> {
    PROGRAMS
        .iter()
        .filter(|(program, _)| !is_on_path(program))
        .map(|(_, package)| *package)
        .collect()
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let elsewhere = PROGRAMS_ELSEWHERE.iter().map(PathBuf::from);
    std::env::split_paths(&path).chain(elsewhere).any(|folder| folder.join(program).is_file())
}

/// Tells Debian not to make a cluster, where nobody has said anything about it.
fn refuse_clusters(root: bool) -> Result<()> {
    if std::path::Path::new(CREATE_CLUSTER).exists() {
        return Ok(());
    }
    let script = format!(
        "mkdir -p \"$(dirname {CREATE_CLUSTER})\" && \
         printf 'create_main_cluster = false\\nstart_conf = manual\\n' >{CREATE_CLUSTER}"
    );
    let mut command = run::command(if root { "sh -c" } else { "sudo -n sh -c" });
    run::run(command.arg(script))
}

/// What Debian's Postfix is to be for this machine: nothing. Tests start one of their own, with
/// folders and ports of its own.
const NO_MAIL_SERVER: &str = "postfix postfix/main_mailer_type select No configuration";

fn refuse_mail_server(root: bool) -> Result<()> {
    let mut command = run::command(if root { "sh -c" } else { "sudo -n sh -c" });
    run::run(command.arg(format!("echo '{NO_MAIL_SERVER}' | debconf-set-selections")))
}

fn install(packages: &[&str]) -> Result<()> {
    let root = run::output(&mut run::command("id -u"))?.trim() == "0";
    let apt = |arguments: &str| {
        let prefix = if root { "apt-get" } else { "sudo -n apt-get" };
        let mut command = run::command(&format!("{prefix} -q {arguments}"));
        command.env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        command
    };
    if packages.iter().any(|package| package.starts_with("postgresql")) {
        refuse_clusters(root)?;
    }
    if packages.contains(&"postfix") {
        refuse_mail_server(root)?;
    }
    run::run(&mut apt("update"))?;
    let line = format!("install -y --no-install-recommends {}", packages.join(" "));
    run::run(&mut apt(&line))
}

/// A cargo tool of a fixed version, installed below target/ when it is missing.
///
/// # Errors
/// When it cannot be installed.
pub fn cargo_tool(name: &str, version: &str) -> Result<PathBuf> {
    let folder = run::target().join("tools");
    let program = folder.join("bin").join(name);
    if reports_version(&program, version) {
        return Ok(program);
    }
    println!("{name} {version} is installed to {}", folder.display());
    let mut install = run::command("cargo install --quiet --locked");
    install.args([name, "--version", version, "--root"]).arg(&folder);
    // Its own target folder is reused by a second tool, which shares half of the crates.
    install.env("CARGO_TARGET_DIR", folder.join("build"));
    run::run(&mut install)?;
    Ok(program)
}

fn reports_version(program: &PathBuf, version: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().ends_with(version))
}
