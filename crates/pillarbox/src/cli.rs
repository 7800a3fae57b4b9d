//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::acl;
use crate::keyring::Kind;
use crate::quota::{self, Limit};
use crate::why;

/// A mail server in one program: people keep their mail on it, it takes mail in and sends mail out.
/// To set one up: pillarbox setup you@example.org. To look at it first: pillarbox try.
#[derive(Debug, Parser)]
#[command(name = "pillarbox", version, propagate_version = true)]
pub struct Cli {
    /// How the log is written, to standard error.
    #[arg(long, value_enum, global = true, default_value_t = LogFormat::Text,
          help_heading = LOGGING)]
    pub log: LogFormat,
    /// What is logged: error, warn, info, debug, or a filter such as `info,imap_server=debug`.
    #[arg(long, global = true, env = "PILLARBOX_LOG", value_name = "FILTER",
          help_heading = LOGGING)]
    pub log_filter: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a server to try out, on this machine only, with two accounts and sample mail.
    Try(Try),
    /// Run the server that a configuration file describes.
    Serve(Serve),
    /// Add, list and remove accounts, whether the server runs or not.
    Account {
        #[command(subcommand)]
        command: AccountCommand,
    },
    /// Show and change what others may do with a mailbox, whether the server runs or not.
    Acl {
        #[command(subcommand)]
        command: AclCommand,
    },
    /// Look after the certificate that an authority issues to the running server.
    Acme {
        #[command(subcommand)]
        command: AcmeCommand,
    },
    /// Look after mail that has yet to leave, whether the server runs or not.
    Queue {
        #[command(subcommand)]
        command: QueueCommand,
    },
    /// Add, list and remove addresses that stand for others, whether the server runs or not.
    Alias {
        #[command(subcommand)]
        command: AliasCommand,
    },
    /// Verify everything that is stored. The server must not be running.
    Check(Data),
    /// Add, list, rotate and remove keys that sign mail, whether the server runs or not.
    Dkim {
        #[command(subcommand)]
        command: DkimCommand,
    },
    /// Print what the domain name system should say.
    Dns {
        #[command(subcommand)]
        command: DnsCommand,
    },
    /// Look whether the server can do its work, and whether the records of its domains are right.
    /// Ends with 0 if all is well, 1 if something could be better, 2 if something fails.
    Doctor(Doctor),
    /// Let the running server read its configuration again: [[relay]], [outbound], [inbound] and
    /// [[dkim]] change at once, as by SIGHUP. A mistake in the file changes nothing.
    Reload(Data),
    /// Put the store right after something happened to it.
    Repair(Repair),
    /// Set up a server on this machine: checks, keys, first account, configuration, systemd unit,
    /// and the records to set. Run again, it changes nothing.
    Setup(Setup),
    /// Tell the story of a message: where it came from, what was found out about it, where it
    /// went, and what the other side said. Whether the server runs or not.
    Why(Why),
}

#[derive(Debug, Args)]
pub struct Why {
    /// Its Message-ID, with brackets or without, or the id of an entry of the queue.
    #[arg(value_name = "MESSAGE-ID", required_unless_present = "to", conflicts_with = "to")]
    pub id: Option<String>,
    /// All mail for this address instead.
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<String>,
    /// How far to look back for it: 30m, 12h, 7d.
    #[arg(long, value_name = "AGO", default_value = "1d", value_parser = why::ago)]
    pub since: i64,
    /// One JSON object a line for each thing that happened.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub data: Data,
}

#[derive(Debug, Args)]
pub struct Repair {
    /// The database has lost changes that clients were told of, as by a failover or a restore:
    /// raise all numbers, so that none is given out twice.
    #[arg(long, required = true)]
    pub after_data_loss: bool,
    #[command(flatten)]
    pub data: Data,
}

#[derive(Debug, Args)]
pub struct Try {
    /// Keep mail and accounts in this folder; without it they are gone at the end.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Port for IMAP with STARTTLS [default: 1143 if it is free].
    #[arg(long, value_name = "PORT")]
    pub imap_port: Option<u16>,
    /// Port for IMAP with TLS from the start [default: 1993 if it is free].
    #[arg(long, value_name = "PORT")]
    pub imaps_port: Option<u16>,
    /// Port for LMTP [default: 1124 if it is free].
    #[arg(long, value_name = "PORT")]
    pub lmtp_port: Option<u16>,
    /// Port for SMTP, where mail from anywhere arrives [default: 1125 if it is free].
    #[arg(long, value_name = "PORT")]
    pub smtp_port: Option<u16>,
    /// Port for submission, where mail is handed in [default: 1587 if it is free].
    #[arg(long, value_name = "PORT")]
    pub submission_port: Option<u16>,
    /// Start without sample mail.
    #[arg(long)]
    pub empty: bool,
    /// Write ports and passwords into this file, as JSON, once the server is ready.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
    /// Check the configuration and stop.
    #[arg(long)]
    pub check: bool,
    /// Write the addresses into this file, as JSON, once the server is ready.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

/// How to look at this machine from outside.
#[derive(Debug, Args)]
pub struct Looking {
    /// An address at which the world reaches this machine, if it is another than the machine's own.
    /// May be given repeatedly.
    #[arg(long, value_name = "IP")]
    pub address: Vec<IpAddr>,
    /// The mail server to try whether mail can leave [default: one of gmail.com].
    #[arg(long, value_name = "HOST[:PORT]")]
    pub probe: Option<String>,
    /// A block list to ask for the addresses, instead of the well-known ones. May be given
    /// repeatedly.
    #[arg(long, value_name = "ZONE")]
    pub block_list: Vec<String>,
    /// Ask no block lists.
    #[arg(long, conflicts_with = "block_list")]
    pub no_block_lists: bool,
}

#[derive(Debug, Args)]
pub struct Setup {
    /// The first account; its domain is the one whose mail will be kept here.
    #[arg(value_name = "YOU@DOMAIN")]
    pub account: String,
    /// The server's name [default: mail.DOMAIN].
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// Put everything below this folder, where the server can be tried out.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub prefix: PathBuf,
    /// The program that the systemd unit starts [default: this one].
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// Let nobody vouch for the certificate, instead of Let's Encrypt: for a try.
    #[arg(long, conflicts_with_all = ["certificate", "key"])]
    pub self_signed: bool,
    /// A certificate that is there already, as PEM with its chain.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// The key of that certificate, as PEM.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// A name server to ask, now and later, instead of those of the system. May be given
    /// repeatedly.
    #[arg(long, value_name = "IP:PORT")]
    pub name_server: Vec<SocketAddr>,
    /// DNSKEY records to trust instead of those of the root.
    #[arg(long, value_name = "FILE")]
    pub trust_anchor: Option<PathBuf>,
    /// Look, and tell what would be written.
    #[arg(long)]
    pub dry_run: bool,
    /// Write without asking.
    #[arg(long)]
    pub yes: bool,
    /// Go on although a check fails.
    #[arg(long)]
    pub despite_failures: bool,
    /// Read the password of the account from the first line of standard input.
    #[arg(long)]
    pub password_stdin: bool,
    #[command(flatten)]
    pub looking: Looking,
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// The configuration file of the server.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
    /// Look again and again until all is well, and tell what has changed.
    #[arg(long)]
    pub watch: bool,
    /// How long to wait between two looks, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub every: u32,
    /// Warnings do not matter, neither to --watch nor to the exit code.
    #[arg(long)]
    pub accept_warnings: bool,
    /// Tell each look as a JSON object on a line of its own.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub looking: Looking,
}

#[derive(Debug, Subcommand)]
pub enum DkimCommand {
    /// List the keys and how each is used.
    List(Configured),
    /// Make a key for a domain and print its record. It signs once the server can see the record.
    Add {
        /// A domain of the server.
        domain: String,
        /// Its algorithm. RSA is verified by everybody.
        #[arg(long, value_enum, default_value_t = Kind::Rsa)]
        kind: Kind,
        /// What to call it [default: one with the day, as rsa26nov2026].
        #[arg(long, value_name = "NAME")]
        selector: Option<String>,
        /// Sign with it at once, whether the record can be seen or not.
        #[arg(long)]
        at_once: bool,
        #[command(flatten)]
        of: Configured,
    },
    /// Make a successor for each key of a domain that signs, and print the records. Each signs once
    /// the server can see its record, and the key of before rests from then on.
    Rotate {
        /// A domain of the server.
        domain: String,
        #[command(flatten)]
        of: Configured,
    },
    /// Remove a key. Its record may go as well, once no mail that it signed is under way.
    Remove {
        /// A domain of the server.
        domain: String,
        /// What the key is called.
        selector: String,
        #[command(flatten)]
        of: Configured,
    },
}

/// The server that a configuration describes.
#[derive(Debug, Args)]
pub struct Configured {
    /// The configuration file of the server.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum DnsCommand {
    /// Print the records that the domains of a configuration need.
    Records(DnsRecords),
}

#[derive(Debug, Args)]
pub struct DnsRecords {
    /// The configuration file of the server.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
    /// How they are written.
    #[arg(long, value_enum, default_value_t = RecordForm::Table)]
    pub form: RecordForm,
    /// An address at which the world reaches this machine, if it is another than the machine's own.
    /// May be given repeatedly.
    #[arg(long, value_name = "IP")]
    pub address: Vec<IpAddr>,
}

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RecordForm {
    /// With what each is good for.
    Table,
    /// As a zone file.
    Zone,
}

/// Where the data are: as a configuration file says, or named directly.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct Data {
    /// The configuration file of the server [default: /etc/pillarbox/pillarbox.toml].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The server's data folder.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Add an account; its password is read from standard input.
    Add(Named),
    /// Add the accounts of a list of `name:password` lines. Names that exist are left as they are.
    Import {
        /// The file; `-` is standard input.
        #[arg(value_name = "FILE", allow_hyphen_values = true)]
        file: PathBuf,
        #[command(flatten)]
        data: Data,
    },
    /// Application passwords: one for each mail program or device, so that each can be taken back
    /// alone. For logins with PLAIN and LOGIN; SCRAM is for the account's own password.
    #[command(subcommand)]
    AppPassword(AppPasswordCommand),
    /// Hide capabilities from the clients of an account, for one that fails with them. The commands
    /// can be used all the same. Prints what is hidden afterwards.
    Capability {
        /// Name of the account.
        name: String,
        /// Announce this capability no longer, and ignore it in ENABLE. May be given repeatedly.
        #[arg(long, value_name = "CAPABILITY")]
        hide: Vec<String>,
        /// Announce this capability again. May be given repeatedly.
        #[arg(long, value_name = "CAPABILITY")]
        show: Vec<String>,
        /// Change nothing.
        #[arg(long, conflicts_with_all = ["hide", "show"])]
        list: bool,
        #[command(flatten)]
        data: Data,
    },
    /// List the names of all accounts.
    List(Data),
    /// Change an account's password; the new one is read from standard input.
    Passwd(Named),
    /// Move an account to another database or to another server's store, with all that clients
    /// know of it. Killed and run again, it goes on.
    Move {
        /// Name of the account.
        name: String,
        /// Where to: the name of a shard, `home`, the data folder of another server (with a `/` in
        /// it), or its configuration file.
        #[arg(long, value_name = "SHARD|FILE")]
        to: String,
        #[command(flatten)]
        data: Data,
    },
    /// Show or set how much an account may hold.
    Quota(QuotaOf),
    /// Remove an account with all its mail.
    Remove {
        /// Name of the account.
        name: String,
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Debug, Subcommand)]
pub enum AppPasswordCommand {
    /// Draw a password and print it. It cannot be shown again.
    Add {
        /// Name of the account.
        name: String,
        /// What to call it: the program or the device that it is for.
        label: String,
        /// Do not announce this capability to whoever logs in with it, besides what is hidden from
        /// the account. May be given repeatedly.
        #[arg(long, value_name = "CAPABILITY")]
        hide: Vec<String>,
        #[command(flatten)]
        data: Data,
    },
    /// List the labels, with the day on which each was made and the capabilities that it hides.
    List {
        /// Name of the account.
        name: String,
        #[command(flatten)]
        data: Data,
    },
    /// Remove one. No later login succeeds with it; sessions that are open stay open.
    Remove {
        /// Name of the account.
        name: String,
        /// What it is called.
        label: String,
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Debug, Subcommand)]
pub enum AclCommand {
    /// Show the list of a mailbox.
    List(ListOf),
    /// Give somebody rights, and show the list.
    Set {
        #[command(flatten)]
        of: ListOf,
        /// A login name, or `anyone`; with a `-` before it the rights are taken away.
        #[arg(allow_hyphen_values = true)]
        identifier: String,
        /// Letters of `lrswipkxtea`; with `+` or `-` before them to be added or removed.
        #[arg(allow_hyphen_values = true, value_parser = acl::rights)]
        rights: String,
    },
    /// Take somebody out of the list, and show it.
    Remove {
        #[command(flatten)]
        of: ListOf,
        /// Who stands in the list.
        #[arg(allow_hyphen_values = true)]
        identifier: String,
    },
}

/// Which list.
#[derive(Debug, Args)]
pub struct ListOf {
    /// Name of the account whose mailbox it is.
    pub account: String,
    /// Name of the mailbox, as `INBOX` or `Lists/Rust`.
    pub mailbox: String,
    #[command(flatten)]
    pub data: Data,
}

#[derive(Debug, Subcommand)]
pub enum AcmeCommand {
    /// Order a certificate now, and wait for it. Open connections go on with the old one.
    Renew(Data),
    /// Show what is held, what is missing, and when the next order is planned.
    Status(Data),
}

#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// List what waits, in the order in which it came.
    List(Data),
    /// Show an entry with its recipients, and what was said of each.
    Show(Queued),
    /// Try an entry now, held or not.
    Retry(Queued),
    /// Throw an entry away. Nobody is told.
    Drop(Queued),
    /// Stop an entry until it is retried.
    Hold(Queued),
}

#[derive(Debug, Args)]
pub struct Queued {
    /// Id of the entry, as the list shows it.
    pub id: String,
    #[command(flatten)]
    pub data: Data,
}

#[derive(Debug, Subcommand)]
pub enum AliasCommand {
    /// Let an address stand for one account or for a list of accounts and addresses; for nobody
    /// else from then on. `@example.org` is whatever nobody else has in that domain.
    Add {
        /// The address.
        address: String,
        /// An account, or an address here or elsewhere. May be given repeatedly; the address itself
        /// means the account of that name.
        #[arg(long, required = true, value_name = "ADDRESS")]
        to: Vec<String>,
        #[command(flatten)]
        data: Data,
    },
    /// List all aliases.
    List(Data),
    /// Remove an alias. Accounts stay.
    Remove {
        /// The address.
        address: String,
        #[command(flatten)]
        data: Data,
    },
}

/// Limits that are not named stay as they are.
#[derive(Debug, Args)]
pub struct QuotaOf {
    /// Name of the account.
    pub name: String,
    /// Space for messages, as 500M or 10G, in units of 1024; `none` for no limit.
    #[arg(long, value_name = "SIZE", value_parser = quota::size)]
    pub storage: Option<Limit>,
    /// Messages in all mailboxes, or `none`.
    #[arg(long, value_name = "N", value_parser = quota::count)]
    pub messages: Option<Limit>,
    /// Mailboxes, or `none`.
    #[arg(long, value_name = "N", value_parser = quota::count)]
    pub mailboxes: Option<Limit>,
    /// Space for annotations of messages, as 10M; `none` for no limit.
    #[arg(long, value_name = "SIZE", value_parser = quota::size)]
    pub annotations: Option<Limit>,
    /// Remove all limits.
    #[arg(long, conflicts_with_all = ["storage", "messages", "mailboxes", "annotations"])]
    pub none: bool,
    #[command(flatten)]
    pub data: Data,
}

#[derive(Debug, Args)]
pub struct Named {
    /// Name of the account.
    pub name: String,
    /// Read the password from standard input: its first line. A password among the arguments could
    /// be seen by every user of the machine.
    #[arg(long, required = true)]
    pub password_stdin: bool,
    #[command(flatten)]
    pub data: Data,
}

/// Where `pillarbox setup` puts the configuration.
pub const CONFIG: &str = "/etc/pillarbox/pillarbox.toml";

/// These options are the same for all commands, and stand at the end of the help of each.
const LOGGING: &str = "Logging";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_documented_calls_are_understood() {
        for line in [
            "pillarbox try",
            "pillarbox try --data d --imap-port 0 --ready-file r",
            "pillarbox serve --config c --check",
            "pillarbox account add dock --password-stdin --config c",
            "pillarbox account import --config c -",
            "pillarbox account list --data d",
            "pillarbox account app-password add dock phone --hide MOVE --hide ID --config c",
            "pillarbox account app-password list dock --data d",
            "pillarbox account app-password remove dock phone --config c",
            "pillarbox account capability dock --hide QRESYNC --hide MOVE --show ID --config c",
            "pillarbox account capability dock --list --config c",
            "pillarbox account passwd dock --password-stdin --config c",
            "pillarbox account remove dock --config c",
            "pillarbox account quota dock --data d",
            "pillarbox account quota dock --storage 10G --messages 100 --mailboxes none --data d",
            "pillarbox account quota dock --annotations 10M --config c",
            "pillarbox account quota dock --none --config c",
            "pillarbox setup you@example.org",
            "pillarbox setup you@example.org --prefix d --self-signed --dry-run --no-block-lists",
            "pillarbox setup you@example.org --certificate c --key k --yes --password-stdin",
            "pillarbox doctor --watch --every 5 --accept-warnings --address 192.0.2.1",
            "pillarbox doctor --json --config c --probe mx.example.net:25 --block-list l.example",
            "pillarbox dkim list",
            "pillarbox dkim add b.example --kind ed25519 --selector e1 --at-once --config c",
            "pillarbox dkim rotate a.example --config c",
            "pillarbox dkim remove a.example rsa26nov2026 --config c",
            "pillarbox dns records --form zone --config c",
            "pillarbox reload --config c",
            "pillarbox acl list dock INBOX --data d",
            "pillarbox acl set dock Lists/Rust lee lrs --data d",
            "pillarbox acl set dock INBOX -lee +w --config c",
            "pillarbox acl remove dock INBOX -lee --config c",
            "pillarbox acme renew --config c",
            "pillarbox acme status --data d",
            "pillarbox account move dock --to one --config c",
            "pillarbox account move dock --to /etc/pillarbox.toml --data d",
            "pillarbox queue list --config c",
            "pillarbox queue show 006b49d20001020304050607 --data d",
            "pillarbox queue retry 006b49d20001020304050607 --config c",
            "pillarbox queue drop 006b49d20001020304050607 --config c",
            "pillarbox queue hold 006b49d20001020304050607 --config c",
            "pillarbox repair --after-data-loss --config c",
            "pillarbox alias add sales@a.example --to dock --to x@b.example --config c",
            "pillarbox alias list --data d",
            "pillarbox alias remove @a.example --config c",
            "pillarbox check --data d --log json",
            "pillarbox why <1@x.example> --config c",
            "pillarbox why 006b49d20001020304050607 --json --data d",
            "pillarbox why --to dock@mail.example --since 7d --config c",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn rights_that_there_are_not_are_refused_before_anything_is_asked() {
        let line = "pillarbox acl set dock INBOX lee lrq --data d";
        assert!(Cli::try_parse_from(line.split(' ')).is_err());
    }

    #[test]
    fn a_password_is_never_taken_from_the_arguments() {
        for line in
            ["pillarbox account add dock --config c", "pillarbox account add dock pw --config c"]
        {
            assert!(Cli::try_parse_from(line.split(' ')).is_err());
        }
    }
}
