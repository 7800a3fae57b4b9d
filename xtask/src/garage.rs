//! A real object store of three machines for tests: Garage, started on loopback.
//!
//! Garage is AGPL. It is built from crates.io below target/ and run beside the tests as a program
//! of its own; nothing of it is linked into ours or shipped with it. Building takes some fifteen
//! minutes of one core, once, so it is no part of the default run.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Result;
use crate::run;

/// Builds Garage when it is missing, starts three nodes, and runs the tests of object stores on
/// them: with all three, then with one of them killed.
///
/// # Errors
/// When Garage cannot be built or started, or a test fails.
pub fn run() -> Result<()> {
    let program = install()?;
    let mut cluster = Cluster::start(&program)?;
    let bucket = cluster.make_bucket()?;
    println!("garage: three nodes, bucket {BUCKET} at {}", bucket.endpoint);
    run::run(&mut bucket.tests("cargo test --locked --package blob-s3 --test s3"))?;
    // Two of three are a majority: what one node has confirmed is there without another one.
    if let Some(mut node) = cluster.nodes.pop() {
        node.kill();
        println!("garage: one of three nodes is killed");
    }
    let contract = "cargo test --locked --package blob-s3 --test s3 the_heap_keeps_the_contract";
    run::run(&mut bucket.tests(contract))
}

fn install() -> Result<PathBuf> {
    let folder = run::target().join("tools");
    let program = folder.join("bin").join("garage");
    let version = Command::new(&program).arg("--version").output();
    let wanted = format!("v{VERSION} ");
    if version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&wanted)) {
        return Ok(program);
    }
    println!("garage {VERSION} is installed to {}", folder.display());
    // One job and the lowest priority: it is long, and somebody may be working here.
    let mut install = run::command("nice -n 19 cargo install --quiet --locked --jobs 1 garage");
    install.args(["--version", VERSION, "--root"]).arg(&folder);
    install.env("CARGO_TARGET_DIR", folder.join("build"));
    run::run(&mut install)?;
    Ok(program)
}

/// Three nodes on loopback. Dropping it kills them and removes what they stored.
struct Cluster {
    folder: PathBuf,
    nodes: Vec<Node>,
}

struct Node {
    program: PathBuf,
    config: PathBuf,
    s3_port: u16,
    child: Child,
}

/// What a client needs to know.
struct Bucket {
    endpoint: String,
    access_key_id: String,
    secret_access_key: String,
}

impl Cluster {
    fn start(program: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("pillarbox-garage-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let mut cluster = Self { folder, nodes: Vec::new() };
        let secret = random_hex()?;
        for number in 1..=NODES {
            let folder = cluster.folder.join(format!("node-{number}"));
            cluster.nodes.push(Node::start(program, &folder, &secret)?);
        }
        cluster.join()?;
        Ok(cluster)
    }

    /// Makes one cluster of the nodes: each in a zone of its own, everything stored three times.
    fn join(&self) -> Result<()> {
        let Some((first, others)) = self.nodes.split_first() else { return Ok(()) };
        let until = Instant::now() + START_TIMEOUT;
        for (zone, node) in self.nodes.iter().enumerate() {
            node.until(until, "status")?;
            let id = node.ask("node id --quiet")?;
            let id = id.trim();
            if !std::ptr::eq(node, first) {
                first.ask(&format!("node connect {id}"))?;
            }
            let short = id.split('@').next().unwrap_or(id);
            first.ask(&format!("layout assign {short} --zone z{zone} --capacity 1GB"))?;
        }
        first.ask("layout apply --version 1")?;
        for node in others.iter().chain([first]) {
            node.until(until, "health --quiet")?;
        }
        Ok(())
    }

    fn make_bucket(&self) -> Result<Bucket> {
        let node = self.nodes.first().ok_or("no node")?;
        node.ask(&format!("bucket create {BUCKET}"))?;
        let mut create = node.command("json-api CreateKey");
        let key: Value = serde_json::from_str(&quiet(create.arg(r#"{"name":"tests"}"#))?)?;
        let text = |name: &str| {
            let value = key.get(name).and_then(Value::as_str);
            value.map(str::to_owned).ok_or_else(|| format!("garage gave the key no {name}"))
        };
        let access_key_id = text("accessKeyId")?;
        node.ask(&format!("bucket allow {BUCKET} --read --write --key {access_key_id}"))?;
        Ok(Bucket {
            endpoint: format!("http://127.0.0.1:{}", node.s3_port),
            secret_access_key: text("secretAccessKey")?,
            access_key_id,
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.iter_mut().for_each(Node::kill);
        // What stays in a folder for temporary files is no failure of a test.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Node {
    fn start(program: &Path, folder: &Path, secret: &str) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (rpc_port, s3_port) = free_ports()?;
        let path = folder.display();
        let text = format!(
            "metadata_dir = \"{path}/meta\"\n\
             data_dir = \"{path}/data\"\n\
             db_engine = \"lmdb\"\n\
             replication_factor = 3\n\
             rpc_bind_addr = \"127.0.0.1:{rpc_port}\"\n\
             rpc_public_addr = \"127.0.0.1:{rpc_port}\"\n\
             rpc_secret = \"{secret}\"\n\
             [s3_api]\n\
             s3_region = \"{REGION}\"\n\
             api_bind_addr = \"127.0.0.1:{s3_port}\"\n\
             root_domain = \".s3.localhost\"\n"
        );
        let config = folder.join("garage.toml");
        fs::write(&config, text)?;
        let log = File::create(folder.join("log"))?;
        let child = Command::new(program)
            .arg("-c")
            .arg(&config)
            .arg("server")
            .env("RUST_LOG", "garage=warn")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { program: program.to_owned(), config, s3_port, child })
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&self.config).args(line.split(' '));
        command
    }

    /// What garage's own command line prints.
    fn ask(&self, line: &str) -> Result<String> {
        quiet(&mut self.command(line))
    }

    /// Asks until the answer is good.
    fn until(&self, until: Instant, line: &str) -> Result<()> {
        loop {
            match self.ask(line) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn kill(&mut self) {
        // One that has ended by itself cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bucket {
    /// A command whose tests use this bucket.
    fn tests(&self, line: &str) -> Command {
        let mut command = run::command(line);
        command
            .env("PILLARBOX_S3_ENDPOINT", &self.endpoint)
            .env("PILLARBOX_S3_BUCKET", BUCKET)
            .env("PILLARBOX_S3_REGION", REGION)
            .env("PILLARBOX_S3_ACCESS_KEY_ID", &self.access_key_id)
            .env("PILLARBOX_S3_SECRET_ACCESS_KEY", &self.secret_access_key);
        command
    }
}

/// Two ports that nobody listens on. Another program could take one before its node does, which
/// then says so.
fn free_ports() -> Result<(u16, u16)> {
    let one = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let two = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((one.local_addr()?.port(), two.local_addr()?.port()))
}

/// The secret that the nodes know each other by.
fn random_hex() -> Result<String> {
    use std::io::Read;
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Runs a command; what it printed is its answer, or the reason of its failure.
fn quiet(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("garage: {}: {}", output.status, complaint.trim()).into())
}

const VERSION: &str = "2.5.0";
const NODES: u8 = 3;
const BUCKET: &str = "mail";
const REGION: &str = "garage";

/// A node answers after a second; a machine with other work may need longer.
const START_TIMEOUT: Duration = Duration::from_secs(60);
