//! `[store]`, `[bodies]` and `[[shard]]`: where mail is kept.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::reader::Table;

/// Where mail is kept.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Storage {
    /// In the data folder of this machine.
    #[default]
    Local,
    /// In PostgreSQL, by any number of equal nodes.
    Postgres(Box<PostgresStorage>),
}

/// Databases, and what is the same for all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct PostgresStorage {
    /// The database that also keeps the names of all accounts.
    pub home: Database,
    /// Others, by their names.
    pub shards: Vec<(String, Database)>,
    /// Shards that new accounts go to, in turns; none: home.
    pub new_accounts: Vec<String>,
    /// Connections of this node to each database.
    pub connections: u32,
    /// Whether nodes tell each other of changes by LISTEN and NOTIFY.
    pub listen_notify: bool,
    /// Bodies up to this length are kept in the database.
    pub inline_bytes_max: u32,
    /// Where longer ones go.
    pub bucket: Option<Bucket>,
}

/// One database.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// `postgresql://user@host/database`
    pub url: String,
    /// The file that holds the password.
    pub password_file: Option<PathBuf>,
    /// The authorities that may sign its certificate.
    pub ca: Option<PathBuf>,
}

/// A bucket of an S3-compatible object store.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// `https://host:port`
    pub endpoint: String,
    /// Its name.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The name of the key.
    pub access_key: String,
    /// The file that holds its secret.
    pub secret_file: PathBuf,
    /// What stands before every object's name.
    pub prefix: String,
    /// Whether the bucket's name is part of the host's.
    pub virtual_host: bool,
}

/// Reads the three sections.
pub fn storage(root: &Table<'_>, folder: &Path) -> Storage {
    let store = root.table("store");
    let engine = match &store {
        None => Engine::Local,
        Some(store) => match store.choice("engine", ENGINES) {
            Some((_, engine)) => engine,
            None => return Storage::Local,
        },
    };
    match (engine, store) {
        (Engine::Postgres, Some(store)) => {
            postgres(root, &store, folder).map_or(Storage::Local, |it| Storage::Postgres(it.into()))
        }
        (_, store) => {
            if let Some(store) = store {
                store.only(&["engine"]);
            }
            for section in ["bodies", "shard"] {
                if let Some(line) = root.line_of(section) {
                    let problem = format!("[{section}] needs engine = \"postgres\"");
                    root.mistake(line, problem, "remove it, or write [store] for PostgreSQL");
                }
            }
            Storage::Local
        }
    }
}

fn postgres(root: &Table<'_>, store: &Table<'_>, folder: &Path) -> Option<PostgresStorage> {
    let known = ["engine", "url", "password_file", "ca", "connections", "listen_notify"];
    store.only(&[&known[..], &["new_accounts"]].concat());
    let home = database(store, folder);
    let (shards, names) = shards(root, folder);
    let mut new_accounts = Vec::new();
    for (line, name) in store.texts("new_accounts") {
        if names.contains(&name) || name == HOME {
            new_accounts.push(name);
        } else {
            let problem = format!("new_accounts names {name:?}, and there is no such shard");
            store.mistake(line, problem, "add a [[shard]] with this name, or remove it");
        }
    }
    let bodies = root.table("bodies");
    if let Some(bodies) = &bodies {
        bodies.only(&["inline_bytes_max", "s3"]);
    }
    let inline = bodies.as_ref().and_then(|it| it.number("inline_bytes_max", 0..=INLINE_MAX));
    let s3 = bodies.as_ref().and_then(|bodies| bodies.table("s3"));
    let bucket = s3.as_ref().map(|s3| bucket(s3, folder));
    Some(PostgresStorage {
        home: home?,
        shards,
        new_accounts,
        connections: store.number("connections", CONNECTIONS_MIN..=1000).unwrap_or(CONNECTIONS),
        listen_notify: store.truth("listen_notify").unwrap_or(true),
        inline_bytes_max: inline.unwrap_or(INLINE),
        bucket: bucket.flatten(),
    })
}

fn shards(root: &Table<'_>, folder: &Path) -> (Vec<(String, Database)>, HashSet<String>) {
    let (mut shards, mut names) = (Vec::new(), HashSet::new());
    for table in root.tables("shard") {
        table.only(&["name", "url", "password_file", "ca"]);
        let name = table.text("name");
        let database = database(&table, folder);
        let Some((line, name)) = name else { continue };
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if !name.chars().all(is_word) || name == HOME {
            let problem = format!("{name:?} cannot be the name of a shard");
            table.mistake(line, problem, "use letters, digits and -, and not \"home\"");
        } else if !names.insert(name.clone()) {
            table.mistake(line, format!("{name:?} is used twice"), "choose another name");
        }
        if let Some(database) = database {
            shards.push((name, database));
        }
    }
    (shards, names)
}

fn database(table: &Table<'_>, folder: &Path) -> Option<Database> {
    let url = table.text("url");
    let path = |key| table.optional_text(key).map(|(_, path)| folder.join(path));
    let (password_file, ca) = (path("password_file"), path("ca"));
    let (line, url) = url?;
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        // The text is not repeated: there may be a password in it.
        let problem = "url is not the address of a PostgreSQL database".to_owned();
        table.mistake(line, problem, "write postgresql://user@host:5432/database");
        return None;
    }
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    let user = authority.split(['/', '?']).next().unwrap_or_default().rsplit_once('@');
    if user.is_some_and(|(user, _)| user.contains(':')) {
        let problem = "url holds a password, which this file should not".to_owned();
        table.mistake(line, problem, "put it into a file of its own and name that: password_file");
    }
    Some(Database { url, password_file, ca })
}

fn bucket(s3: &Table<'_>, folder: &Path) -> Option<Bucket> {
    let known = ["endpoint", "bucket", "region", "access_key", "secret_file", "prefix"];
    s3.only(&[&known[..], &["virtual_host"]].concat());
    let text = |key| s3.text(key).map(|(_, text)| text);
    let (endpoint, bucket, access_key) = (text("endpoint"), text("bucket"), text("access_key"));
    let secret_file = text("secret_file").map(|path| folder.join(path));
    let optional = |key| s3.optional_text(key).map(|(_, text)| text);
    Some(Bucket {
        region: optional("region").unwrap_or_else(|| "us-east-1".to_owned()),
        prefix: optional("prefix").unwrap_or_default(),
        virtual_host: s3.truth("virtual_host").unwrap_or(false),
        endpoint: endpoint?,
        bucket: bucket?,
        access_key: access_key?,
        secret_file: secret_file?,
    })
}

#[derive(Clone, Copy)]
enum Engine {
    Local,
    Postgres,
}

const ENGINES: &[(&str, Engine)] = &[("local", Engine::Local), ("postgres", Engine::Postgres)];

/// What the database that `[store]` names is called where shards are named.
pub const HOME: &str = "home";

/// Fewest connections that an engine works with.
const CONNECTIONS_MIN: u32 = 7;
const CONNECTIONS: u32 = 32;

/// Most mail without attachments is shorter.
const INLINE: u32 = 16 * 1024;
/// Longer bodies make the rows of a database slow.
const INLINE_MAX: u32 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const LISTEN: &str = "data='d'\nhostname='h'\n[[listen]]\nprotocol='imap'\n\
                          address='127.0.0.1:1143'\ntls='none'\n";

    fn parse(text: &str) -> Result<Storage, Vec<String>> {
        let parsed = Config::parse(&format!("{LISTEN}{text}"), Path::new("/etc/pillarbox"));
        let told = |mistakes: Vec<_>| mistakes.iter().map(ToString::to_string).collect();
        parsed.map(|config| config.storage).map_err(told)
    }

    #[test]
    fn mail_is_kept_in_the_data_folder_unless_something_else_is_said() {
        assert_eq!(parse(""), Ok(Storage::Local));
        assert_eq!(parse("[store]\nengine='local'\n"), Ok(Storage::Local));
    }

    #[test]
    fn databases_shards_and_a_bucket_are_read() {
        let text = "[store]\nengine='postgres'\nurl='postgresql://mail@db/mail'\n\
                    password_file='pw'\nca='/etc/ca.pem'\nconnections=20\nlisten_notify=false\n\
                    new_accounts=['one']\n\
                    [[shard]]\nname='one'\nurl='postgresql://mail@db1/mail'\n\
                    [bodies]\ninline_bytes_max=1000\n\
                    [bodies.s3]\nendpoint='https://s3.example'\nbucket='mail'\n\
                    access_key='k'\nsecret_file='secret'\nprefix='v1'\n";
        let Ok(Storage::Postgres(storage)) = parse(text) else { panic!("{:?}", parse(text)) };
        assert_eq!(storage.home.password_file, Some("/etc/pillarbox/pw".into()));
        assert_eq!(storage.home.ca, Some("/etc/ca.pem".into()));
        assert_eq!(storage.shards[0].1.url, "postgresql://mail@db1/mail");
        assert_eq!((storage.connections, storage.listen_notify), (20, false));
        assert_eq!(storage.inline_bytes_max, 1000);
        assert_eq!(storage.new_accounts, ["one"]);
        let bucket = storage.bucket.unwrap();
        assert_eq!(bucket.secret_file, Path::new("/etc/pillarbox/secret"));
        assert_eq!((bucket.region.as_str(), bucket.prefix.as_str()), ("us-east-1", "v1"));
    }

    #[test]
    fn every_mistake_about_storage_is_told_with_line_and_remedy() {
        let text = "[store]\nengine='postgres'\nurl='postgresql://mail:pw@db/mail'\n\
                    connections=2\nlisten_notify='no'\nnew_accounts=['two']\n\
                    [[shard]]\nname='home'\nurl='mysql://db'\n\
                    [bodies]\n[bodies.s3]\nendpoint='https://s3.example'\n";
        let told = parse(text).unwrap_err();
        let expected = [
            "line 9: url holds a password, which this file should not; put it into a file of its own and name that: password_file",
            "line 10: connections = 2 is out of range; choose a number from 7 to 1000",
            "line 11: store.listen_notify must be true or false; it is of type string",
            "line 12: new_accounts names \"two\", and there is no such shard; add a [[shard]] with this name, or remove it",
            "line 14: \"home\" cannot be the name of a shard; use letters, digits and -, and not \"home\"",
            "line 15: url is not the address of a PostgreSQL database; write postgresql://user@host:5432/database",
            "bodies.s3.bucket is missing; add bucket = \"…\"",
            "bodies.s3.access_key is missing; add access_key = \"…\"",
            "bodies.s3.secret_file is missing; add secret_file = \"…\"",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn an_unknown_engine_and_sections_of_another_engine_are_mistakes() {
        let told = parse("[store]\nengine='sqlite'\n").unwrap_err();
        assert_eq!(
            told,
            ["line 8: engine = \"sqlite\" is not known; choose one of local, postgres"]
        );
        let told = parse("[bodies]\ninline_bytes_max=3\n").unwrap_err();
        assert!(told[0].starts_with("line 7: [bodies] needs engine"), "{told:?}");
    }

    #[test]
    fn a_database_without_an_address_is_a_mistake() {
        let told = parse("[store]\nengine='postgres'\n").unwrap_err();
        assert_eq!(told, ["store.url is missing; add url = \"…\""]);
    }
}
