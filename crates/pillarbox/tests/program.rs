//! The built program, from outside: exit codes, files, and the socket of a running server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{program, text};

/// A folder with a configuration that costs nothing to hash for.
struct Site {
    folder: tempfile::TempDir,
    config: String,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("pillarbox.toml");
        let listen = |protocol: &str, address: &str, tls: &str| {
            format!(
                "[[listen]]\nprotocol = \"{protocol}\"\naddress = \"{address}\"\ntls = \"{tls}\"\n"
            )
        };
        let socket = folder.path().join("lmtp.sock");
        let toml = format!(
            "data = \"data\"\nhostname = \"localhost\"\n{}{}\
             [auth]\nargon2 = {{ memory_kib = 8, iterations = 1, parallelism = 1 }}\n",
            listen("imap", "127.0.0.1:0", "starttls"),
            listen("lmtp", &format!("unix:{}", socket.display()), "none"),
        );
        std::fs::write(&config, toml).unwrap();
        let config = config.to_str().unwrap().to_owned();
        Self { folder, config }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut all = arguments.to_vec();
        all.extend(["--config", &self.config]);
        program(&all, input)
    }

    fn serve(&self) -> Running {
        self.serve_with(&[])
    }

    fn serve_with(&self, more: &[&str]) -> Running {
        let ready = self.folder.path().join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let child = Command::new(env!("CARGO_BIN_EXE_pillarbox"))
            .args(["serve", "--config", &self.config, "--ready-file"])
            .arg(&ready)
            .args(more)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let running = Running { child };
        let begun = Instant::now();
        while !ready.exists() {
            assert!(begun.elapsed() < Duration::from_secs(180), "not ready in time");
            std::thread::sleep(Duration::from_millis(5));
        }
        running
    }

    fn imap(&self) -> u16 {
        let ready = std::fs::read(self.folder.path().join("ready.json")).unwrap();
        let ready: serde_json::Value = serde_json::from_slice(&ready).unwrap();
        let address = ready["listen"][0]["address"].as_str().unwrap();
        address.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// What the server says to a client that logs in and out.
    fn say(&self, name: &str, password: &str, commands: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.imap())).unwrap();
        stream.write_all(format!("a LOGIN {name} {password}\r\n{commands}").as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    }

    /// The tagged reply to a login.
    fn login(&self, name: &str, password: &str) -> String {
        let stream = TcpStream::connect(("127.0.0.1", self.imap())).unwrap();
        let mut lines = BufReader::new(&stream).lines();
        lines.next().unwrap().unwrap();
        (&stream).write_all(format!("a LOGIN {name} {password}\r\n").as_bytes()).unwrap();
        lines.map(Result::unwrap).find(|line| line.starts_with("a ")).unwrap()
    }
}

struct Running {
    child: Child,
}

impl Running {
    /// Ends the server as a supervisor does, and returns its log.
    fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let mut log = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut log).unwrap();
        }
        assert!(status.success(), "{log}");
        log
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_mistake_of_a_configuration_is_told_and_the_exit_code_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("c.toml");
    std::fs::write(
        &config,
        "dta = 'd'\n[[listen]]\nprotocol = 'imap'\naddress = 'x'\ntls = 'none'\n",
    )
    .unwrap();
    let output = program(&["serve", "--check", "--config", config.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    for part in
        ["line 1: unknown key \"dta\"", "line 4: address", "data is missing", "hostname is missing"]
    {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(program(&["serve", "--config", "/nowhere/c.toml"], "").status.code() == Some(2));
}

#[test]
fn check_of_a_good_configuration_changes_nothing() {
    let site = Site::new();
    assert!(site.run(&["serve", "--check"], "").status.success());
    assert!(!site.data().exists());
    let early = site.run(&["account", "list"], "");
    assert_eq!(early.status.code(), Some(2));
    assert!(text(&early.stderr).contains("has the server ever run?"));
}

#[test]
fn accounts_can_be_made_before_the_server_starts_for_the_first_time() {
    let site = Site::new();
    let add = ["account", "add", "home@pillarbox.example", "--password-stdin"];
    let added = site.run(&add, "swordfish\n");
    assert!(added.status.success(), "{}", text(&added.stderr));
    let slip = site.data().join("slip");
    let args = ["account", "add", "x", "--password-stdin", "--data", slip.to_str().unwrap()];
    assert_eq!(program(&args, "swordfish\n").status.code(), Some(2));
    assert!(!slip.exists());
    let server = site.serve();
    assert!(site.login("home@pillarbox.example", "swordfish").starts_with("a OK"));
    server.stop();
}

#[test]
fn limits_are_set_on_a_running_server_and_without_one() {
    let site = Site::new();
    let account = |arguments: &[&str]| site.run(&[&["account"], arguments].concat(), "tide\n");
    assert!(account(&["add", "dock", "--password-stdin"]).status.success());
    let none = "storage     used 0 KiB, limit none\nmessages    used 0, limit none\n\
                mailboxes   used 6, limit none\nannotations used 0 KiB, limit none\n";
    assert_eq!(text(&account(&["quota", "dock"]).stdout), none);
    let set = account(&["quota", "dock", "--storage", "10G", "--mailboxes", "6"]);
    assert!(text(&set.stdout).starts_with("storage     used 0 KiB, limit 10485760 KiB\n"));
    let server = site.serve();
    let said = site.say("dock", "tide", "b GETQUOTA \"\"\r\nc CREATE more\r\nd LOGOUT\r\n");
    assert!(said.contains("* QUOTA \"\" (STORAGE 0 10485760 MAILBOX 6 6)"), "{said}");
    assert!(said.contains("c NO [OVERQUOTA]"), "{said}");
    let more = account(&["quota", "dock", "--mailboxes", "none"]);
    assert!(text(&more.stdout).contains("limit 10485760 KiB\nmessages    used 0, limit none\n"));
    let said = site.say("dock", "tide", "b GETQUOTA \"\"\r\nc CREATE more\r\nd LOGOUT\r\n");
    assert!(said.contains("* QUOTA \"\" (STORAGE 0 10485760)"), "{said}");
    assert!(said.contains("c OK"), "{said}");
    let gone = account(&["quota", "nobody"]);
    assert_eq!(text(&gone.stderr), "pillarbox: no such account\n");
    assert_eq!(account(&["quota", "dock", "--storage", "10"]).status.code(), Some(2));
    assert_eq!(account(&["quota", "dock", "--none", "--messages", "1"]).status.code(), Some(2));
    drop(server.stop());
    assert!(text(&account(&["quota", "dock", "--none"]).stdout).contains("used 7, limit none"));
    assert!(site.run(&["check"], "").status.success());
}

/// Queues a message as a submission would, while no server runs; its id.
fn enqueue(data: &Path) -> String {
    use mail_service::queue::{Envelope, Origin, Recipient, Terms};
    let store = std::sync::Arc::new(
        store_local::Local::open(data, store_local::Options::default()).unwrap(),
    );
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (config, world) =
            (mail_service::ServiceConfig::default(), mail_service::World::system());
        let service = mail_service::Service::open(store, config, world).await.unwrap();
        let mut staging = service.stage_outgoing();
        staging.push(b"Subject: Tide\r\n\r\n").await.unwrap();
        let staged = staging.finish().await.unwrap();
        let terms = Terms::new(Some("dock@mail.example".into()), Origin::Account("dock".into()));
        let recipients = vec![Recipient::new("b@x.example")];
        let envelope = Envelope { terms, recipients, hold_until: None };
        let ids = service.enqueue(&staged, envelope).await.unwrap();
        service.close().await.unwrap();
        ids[0].to_string()
    })
}

#[test]
fn the_queue_is_looked_after_on_a_running_server_and_without_one() {
    let site = Site::new();
    assert!(
        site.run(&["account", "add", "dock", "--password-stdin"], "swordfish\n").status.success()
    );
    let ids = [enqueue(&site.data()), enqueue(&site.data())];
    let done = |arguments: &[&str]| {
        let output = site.run(arguments, "");
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    for is_running in [false, true] {
        let id = ids[usize::from(is_running)].as_str();
        assert!(done(&["queue", "list"]).contains(&format!("{id} waiting 17 bytes, 1 to reach")));
        done(&["queue", "hold", id]);
        // A running server would try what is not held.
        let server = is_running.then(|| site.serve());
        assert!(done(&["queue", "show", id]).starts_with(&format!("{id} held ")));
        assert!(done(&["queue", "show", id]).contains("  <b@x.example> waiting, 0 attempts"));
        let again = site.run(&["queue", "hold", id], "");
        assert_eq!(again.status.code(), Some(1), "it is held");
        done(&["queue", "retry", id]);
        let begun = Instant::now();
        let reason = ": no relay is configured for the domain";
        while is_running && !done(&["queue", "show", id]).contains(reason) {
            assert!(begun.elapsed() < Duration::from_secs(180), "not tried in time");
        }
        assert!(done(&["queue", "show", id]).starts_with(&format!("{id} waiting ")));
        done(&["queue", "drop", id]);
        assert_eq!(site.run(&["queue", "show", id], "").status.code(), Some(1));
        assert!(!done(&["queue", "list"]).contains(id));
        let story = done(&["why", id]);
        for order in ["hold", "retry", "drop"] {
            assert!(story.contains(&format!(" {order} ordered for {id}\n")), "{story}");
        }
        assert_eq!(story.contains(reason), is_running, "{story}");
        let json = done(&["why", id, "--json"]);
        assert!(json.lines().all(|line| line.starts_with("{\"at\":1")), "{json}");
        assert_eq!(site.run(&["why", "<other@x.example>"], "").status.code(), Some(1));
        let found = site.run(&["why", "--to", "b@x.example", "--since", "1h"], "");
        assert_eq!(found.status.success(), is_running, "an attempt was made of it");
        if let Some(server) = server {
            server.stop();
        }
    }
    done(&["check"]);
}

#[test]
fn application_passwords_are_managed_on_a_running_server_and_without_one() {
    let site = Site::new();
    let account = |arguments: &[&str]| site.run(&[&["account"], arguments].concat(), "tide\n");
    let app = |arguments: &[&str]| account(&[&["app-password"], arguments].concat());
    assert!(account(&["add", "dock", "--password-stdin"]).status.success());
    let phone = text(&app(&["add", "dock", "my phone", "--hide", "move"]).stdout);
    let phone = phone.trim_end();
    assert_eq!((phone.len(), phone.matches('-').count()), (34, 6), "{phone}");
    let server = site.serve_with(&["--log", "json", "--log-filter", "trace"]);
    let tv = text(&app(&["add", "dock", "tv"]).stdout);
    let tv = tv.trim_end();
    assert!(site.login("dock", tv).contains(" MOVE "));
    let told = site.login("dock", phone);
    assert!(told.starts_with("a OK") && !told.contains(" MOVE "), "{told}");
    let listed = text(&app(&["list", "dock"]).stdout);
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((lines.len(), lines[0][0], lines[1][0]), (2, "my phone", "tv"), "{listed}");
    assert_eq!((lines[0].len(), lines[0][2], lines[1].len()), (3, "MOVE", 2), "{listed}");
    for (arguments, reason) in [
        (&["add", "dock", "tv"][..], "there is an application password with this label"),
        (&["add", "dock", "pc", "--hide", "CONDSTOR"], "there is no capability \"CONDSTOR\""),
        (&["add", "dock", " "], "not a label: it is empty, too long, or holds what cannot"),
        (&["remove", "dock", "pc"], "there is no application password with this label"),
        (&["list", "nobody"], "no such account"),
    ] {
        let refused = app(arguments);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains(reason), "{}", text(&refused.stderr));
    }
    assert!(app(&["remove", "dock", "my phone"]).status.success());
    assert!(site.login("dock", phone).starts_with("a NO [AUTHENTICATIONFAILED]"));
    assert!(site.login("dock", "tide").starts_with("a OK"));
    let log = server.stop();
    assert!(!log.contains(tv) && !log.contains(phone), "a password in the log");
    assert!(app(&["remove", "dock", "tv"]).status.success());
    assert_eq!(text(&app(&["list", "dock"]).stdout), "");
}

#[test]
fn lists_are_changed_on_a_running_server_and_without_one() {
    let site = Site::new();
    for name in ["dock", "lee"] {
        let add = ["account", "add", name, "--password-stdin"];
        assert!(site.run(&add, "tide\n").status.success());
    }
    let acl = |arguments: &[&str]| {
        let done = site.run(&[&["acl"], arguments].concat(), "");
        assert!(done.status.success(), "{}", text(&done.stderr));
        text(&done.stdout)
    };
    assert_eq!(acl(&["list", "dock", "INBOX"]), "");
    assert_eq!(acl(&["set", "dock", "INBOX", "Lee", "lr"]), "lee lr\n");
    let server = site.serve();
    assert_eq!(acl(&["set", "dock", "INBOX", "lee", "+cd"]), "lee lrkxte\n");
    assert_eq!(acl(&["set", "dock", "INBOX", "-anyone", "a"]), "-anyone a\nlee lrkxte\n");
    assert_eq!(acl(&["set", "dock", "INBOX", "lee", "-kxe"]), "-anyone a\nlee lrt\n");
    let refused = |arguments: &[&str], expected: &str| {
        let done = site.run(&[&["acl"], arguments].concat(), "");
        assert_eq!(text(&done.stderr), format!("pillarbox: {expected}\n"));
    };
    refused(&["list", "nobody", "INBOX"], "no such account");
    refused(&["list", "dock", "nowhere"], "no such mailbox");
    refused(
        &["set", "dock", "INBOX", "a b", "l"],
        "not an identifier: it holds a character that no name may hold",
    );
    let wrong = site.run(&["acl", "set", "dock", "INBOX", "lee", "lrq"], "");
    assert_eq!(wrong.status.code(), Some(2));
    drop(server.stop());
    assert_eq!(acl(&["remove", "dock", "INBOX", "-anyone"]), "lee lrt\n");
    assert_eq!(acl(&["remove", "dock", "INBOX", "lee"]), "");
    assert!(site.run(&["check"], "").status.success());
}

#[test]
fn capabilities_can_be_hidden_from_all_clients() {
    let site = Site::new();
    let config = std::fs::read_to_string(&site.config).unwrap();
    let imap = "[imap]\nhidden_capabilities = [\"idle\", \"CONDSTORE\", \"UNAUTHENTICATE\"]\n";
    std::fs::write(&site.config, format!("{config}{imap}")).unwrap();
    let add = ["account", "add", "dock", "--password-stdin"];
    assert!(site.run(&add, "tide\n").status.success());
    let server = site.serve();
    let said = site.say("dock", "tide", "b UNAUTHENTICATE\r\nc ENABLE CONDSTORE\r\nd LOGOUT\r\n");
    let told: Vec<&str> = said.lines().filter(|line| line.contains("CAPABILITY")).collect();
    assert_eq!(told.len(), 2, "{said}");
    for hidden in [" IDLE", " CONDSTORE", " UNAUTHENTICATE"] {
        assert!(!told.iter().any(|line| line.contains(hidden)), "{hidden} in {said}");
    }
    assert!(said.contains(" QRESYNC") && said.contains("b BAD"), "{said}");
    server.stop();
}

/// What comes of AUTHENTICATE with this message; `^` is the separator.
fn with_token(site: &Site, mechanism: &str, message: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    let message = BASE64.encode(message.replace('^', "\u{1}"));
    let mut stream = TcpStream::connect(("127.0.0.1", site.imap())).unwrap();
    let commands = format!("a AUTHENTICATE {mechanism} {message}\r\n");
    stream.write_all(commands.as_bytes()).unwrap();
    let mut said = String::new();
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(challenge) = line.strip_prefix("+ ") {
            said += &format!("{}\n", text(&BASE64.decode(challenge).unwrap()));
            stream.write_all(b"AQ==\r\n").unwrap();
        } else if line.starts_with("a ") {
            return said + &line;
        }
    }
    said
}

#[test]
fn a_token_of_the_provider_logs_in_to_the_account_that_it_names() {
    let issuer = testkit::issuer::Issuer::start().unwrap();
    let key = testkit::issuer::SigningKey::new("ES256", "key");
    issuer.publish(&[&key]);
    let site = Site::new();
    let config = std::fs::read_to_string(&site.config).unwrap();
    let url = issuer.url("");
    let oauth = format!("[oauth]\nissuer = \"{url}\"\naudience = \"imap\"\nscope = \"mail\"\n");
    std::fs::write(&site.config, format!("{config}{oauth}")).unwrap();
    let add = ["account", "add", "dock@mail.example", "--password-stdin"];
    assert!(site.run(&add, "tide\n").status.success());
    // A local part is no address of a provider.
    assert!(site.run(&["account", "add", "quay", "--password-stdin"], "tide\n").status.success());
    assert!(site.run(&["serve", "--check"], "").status.success());
    let server = site.serve_with(&["--log", "json", "--log-filter", "trace"]);
    let until = std::time::SystemTime::now() + Duration::from_secs(600);
    let until = until.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let token = |email: &str, scope: &str| {
        let claims = format!(
            "{{\"iss\":\"{url}\",\"aud\":\"imap\",\"exp\":{until},\"scope\":\"{scope}\",\
             \"email\":\"{email}\"}}"
        );
        key.sign("{\"alg\":\"ES256\",\"kid\":\"key\"}", &claims)
    };
    let good = token("dock@mail.example", "mail");
    let bearer = |user: &str, token: &str| {
        with_token(&site, "OAUTHBEARER", &format!("n,{user},^auth=Bearer {token}^^"))
    };
    let xoauth2 = |user: &str, token: &str| {
        with_token(&site, "XOAUTH2", &format!("user={user}^auth=Bearer {token}^^"))
    };
    assert!(
        site.say("x", "y", "b LOGOUT\r\n").contains("AUTH=OAUTHBEARER AUTH=XOAUTH2 AUTH=PLAIN")
    );
    assert!(bearer("", &good).starts_with("a OK"));
    assert!(bearer("a=Dock@mail.example", &good).starts_with("a OK"));
    assert!(xoauth2("dock@mail.example", &good).starts_with("a OK"));
    let told = bearer("", "swordfish");
    assert!(told.contains("\"status\":\"invalid_token\""), "{told}");
    assert!(told.contains("openid-configuration\":\"http://127.0.0.1:"), "{told}");
    assert!(told.ends_with("\na NO [AUTHENTICATIONFAILED] Wrong name or password"), "{told}");
    let told = bearer("", &token("dock@mail.example", "calendar"));
    assert!(told.contains("\"status\":\"insufficient_scope\""), "{told}");
    for stranger in ["quay@mail.example", "nobody@mail.example", "dock@mail.example.evil.example"] {
        let told = bearer("", &token(stranger, "mail"));
        assert!(told.contains("a NO [AUTHENTICATIONFAILED]"), "{stranger}: {told}");
    }
    let told = xoauth2("quay", &good);
    assert!(told.contains("\"status\":\"401\"") && told.contains("a NO [AUTHORIZATIONFAILED]"));
    let log = server.stop();
    assert!(!log.contains(&good) && !log.contains("swordfish"), "a token in the log");
}

#[test]
fn a_provider_that_is_away_is_told_apart_from_a_bad_token() {
    let issuer = testkit::issuer::Issuer::start().unwrap();
    let site = Site::new();
    let config = std::fs::read_to_string(&site.config).unwrap();
    let url = issuer.url("");
    let oauth = format!(
        "[oauth]\nissuer = \"{url}\"\nscope = \"mail\"\nintrospection_url = \"{url}/i\"\n\
         client_id = \"mail\"\nclient_secret_file = \"secret\"\n"
    );
    std::fs::write(&site.config, format!("{config}{oauth}")).unwrap();
    let check = site.run(&["serve", "--check"], "");
    assert_eq!(check.status.code(), Some(2));
    assert!(text(&check.stderr).contains("secret: No such file"), "{}", text(&check.stderr));
    std::fs::write(site.folder.path().join("secret"), "canary-secret\n").unwrap();
    let add = ["account", "add", "dock@mail.example", "--password-stdin"];
    assert!(site.run(&add, "tide\n").status.success());
    let server = site.serve_with(&["--log", "json", "--log-filter", "trace"]);
    let login = || with_token(&site, "OAUTHBEARER", "n,,^auth=Bearer canary-token^^");
    assert!(login().starts_with("a NO [UNAVAILABLE]"), "{}", login());
    let answer = |text: &str| issuer.put("/i", testkit::issuer::Answer::Ok(text.to_owned()));
    answer("{\"active\":true,\"scope\":\"mail\",\"email\":\"dock@mail.example\"}");
    assert!(login().starts_with("a OK"), "{}", login());
    answer("{\"active\":false}");
    assert!(login().contains("a NO [AUTHENTICATIONFAILED]"));
    let log = server.stop();
    assert!(log.contains("could not be introspected") && !log.contains("canary"), "{log}");
}

#[test]
fn accounts_are_managed_on_a_running_server_and_without_one() {
    let site = Site::new();
    let server = site.serve();
    let add = |name: &str| site.run(&["account", "add", name, "--password-stdin"], "swordfish\n");
    assert!(add("home@pillarbox.example").status.success());
    let again = add("home@pillarbox.example");
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(text(&again.stderr), "pillarbox: the account exists\n");
    assert!(site.login("home@pillarbox.example", "swordfish").starts_with("a OK"));
    assert!(
        site.run(&["account", "passwd", "home@pillarbox.example", "--password-stdin"], "tide\n")
            .status
            .success()
    );
    assert!(site.login("home@pillarbox.example", "swordfish").starts_with("a NO"));
    assert!(site.login("home@pillarbox.example", "tide").starts_with("a OK"));
    let busy = site.run(&["check"], "");
    assert_eq!(busy.status.code(), Some(1));
    assert!(text(&busy.stderr).contains("a server is running"));
    let control = site.data().join("control.sock");
    assert_eq!(std::fs::metadata(&control).unwrap().permissions().mode() & 0o777, 0o600);
    let log = server.stop();
    assert!(!control.exists());
    assert!(!log.contains("swordfish") && !log.contains("tide"), "{log}");

    let list = "work@pillarbox.example:a:b\nhome@pillarbox.example:x\n";
    let import = site.run(&["account", "import", "-"], list);
    assert_eq!(import.status.code(), Some(1));
    assert_eq!(text(&import.stdout), "1 accounts added, 1 not\n");
    assert!(text(&import.stderr).contains("line 2: home@pillarbox.example: the account exists"));
    let listed = site.run(&["account", "list"], "");
    assert_eq!(text(&listed.stdout), "home@pillarbox.example\nwork@pillarbox.example\n");
    assert!(site.run(&["account", "remove", "home@pillarbox.example"], "").status.success());
    let gone = site.run(&["account", "remove", "home@pillarbox.example"], "");
    assert_eq!(text(&gone.stderr), "pillarbox: no such account\n");
    let checked = site.run(&["check"], "");
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert!(text(&checked.stdout).starts_with("1 accounts, "));

    let server = site.serve();
    assert!(site.login("work@pillarbox.example", "a:b").starts_with("a OK"));
    server.stop();
}

#[test]
fn s054_a_log_of_everything_holds_no_password() {
    let site = Site::new();
    let server = site.serve_with(&["--log", "json", "--log-filter", "trace"]);
    let add = ["account", "add", "home@pillarbox.example", "--password-stdin"];
    assert!(site.run(&add, "canary-one\n").status.success());
    assert!(site.login("home@pillarbox.example", "canary-one").starts_with("a OK"));
    assert!(site.login("home@pillarbox.example", "canary-two").starts_with("a NO"));
    assert!(site.login("\"canary-three", "{5}").starts_with("a BAD"));
    let log = server.stop();
    assert!(log.lines().count() > 5, "{log}");
    assert!(log.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{log}");
    assert!(!log.contains("canary"), "{log}");
}

#[test]
fn a_certificate_is_read_again_at_hangup_and_a_broken_one_is_not_taken() {
    let site = Site::new();
    let mut server = site.serve();
    let mut log = BufReader::new(server.child.stderr.take().unwrap()).lines();
    let pid = server.child.id().to_string();
    let mut hangup = |expected: &str| {
        assert!(Command::new("kill").args(["-s", "HUP", &pid]).status().unwrap().success());
        assert!(log.any(|line| line.unwrap().contains(expected)), "{expected}");
    };
    hangup("certificate read again");
    std::fs::write(site.data().join("tls/self-signed.pem"), "nothing").unwrap();
    hangup("the old certificate stays");
    assert!(site.login("nobody", "x").starts_with("a NO"));
    server.stop();
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let site = Site::new();
    let _server = site.serve();
    let second = site.run(&["serve"], "");
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("is in use by"), "{}", text(&second.stderr));
}

#[test]
fn a_trial_keeps_its_accounts_in_a_named_folder_and_nothing_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready.json");
    let start = |data: Option<&Path>| {
        let _ = std::fs::remove_file(&ready);
        let mut command = Command::new(env!("CARGO_BIN_EXE_pillarbox"));
        command.args(["try", "--imap-port", "0", "--imaps-port", "0", "--lmtp-port", "0"]);
        if let Some(data) = data {
            command.arg("--data").arg(data);
        }
        let child =
            command.arg("--ready-file").arg(&ready).stdout(Stdio::null()).stderr(Stdio::piped());
        let running = Running { child: child.spawn().unwrap() };
        let begun = Instant::now();
        while !ready.exists() {
            assert!(begun.elapsed() < Duration::from_secs(180), "not ready in time");
            std::thread::sleep(Duration::from_millis(5));
        }
        let read: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&ready).unwrap()).unwrap();
        (running, read)
    };
    let data = folder.path().join("data");
    let (running, first) = start(Some(&data));
    assert_eq!(first["accounts"].as_array().unwrap().len(), 2);
    running.stop();
    let (running, second) = start(Some(&data));
    assert_eq!(first["accounts"], second["accounts"]);
    running.stop();
    let checked = program(&["check", "--data", data.to_str().unwrap()], "");
    assert!(checked.status.success(), "{}", text(&checked.stderr));

    let (running, third) = start(None);
    let data = PathBuf::from(third["data"].as_str().unwrap());
    assert!(data.exists());
    running.stop();
    assert!(!data.parent().unwrap().exists());
}
