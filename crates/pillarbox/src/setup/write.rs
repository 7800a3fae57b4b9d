//! Writes what a plan says, all of it or nothing.

use std::fs::File;
use std::io;
use std::path::Path;

use mail_types::Secret;
use net::CertificateFiles;

use super::place::Placing;
use super::plan::{Plan, Source, aliases};
use super::template;
use crate::engine::{self, Place};
use crate::failure::Failure;
use crate::keyring::{self, Keyring};

/// What a step is called before it is done, so that a test can stop it.
pub type Before<'s> = &'s mut (dyn FnMut(&str) -> io::Result<()> + Send);

/// Writes everything that is not there yet; what was written, a line each.
///
/// # Errors
/// When something cannot be written. Nothing is left behind then.
pub async fn write(
    plan: &Plan,
    keys: &Keyring,
    password: Secret,
    before: Before<'_>,
) -> Result<Vec<String>, Failure> {
    let mut placing = Placing::new(before);
    let written = write_all(plan, keys, password, &mut placing).await?;
    placing.keep();
    Ok(written)
}

async fn write_all(
    plan: &Plan,
    keys: &Keyring,
    password: Secret,
    placing: &mut Placing<'_>,
) -> Result<Vec<String>, Failure> {
    let paths = &plan.paths;
    let mut told = Told::default();
    let above = paths.data.parent().unwrap_or(Path::new("/"));
    on(above, placing.folder(above, FOLDER_MODE))?;
    let _lock = lock(above)?;
    if is_used(&paths.data) {
        write_keys(keys, &paths.data, placing)?;
        told.kept_data(&paths.data);
    } else {
        let prepared = above.join(PREPARED);
        on(&prepared, placing.stage(&prepared))?;
        write_keys(keys, &prepared, placing)?;
        on(&prepared, placing.step("make a certificate"))?;
        if plan.certificate == Source::SelfSigned {
            let folder = prepared.join(template::SELF_SIGNED_FOLDER);
            let made = CertificateFiles::self_signed(&folder, &plan.hostname);
            made.map_err(|error| Failure::failed(error.to_string()))?;
        }
        on(&prepared, placing.step("make the account"))?;
        make_account(plan, &prepared, password).await?;
        on(&paths.data, placing.adopt(&prepared, &paths.data))?;
        told.wrote(&paths.data);
    }
    for (file, text) in
        [(&paths.unit, template::unit(plan)), (&paths.config, template::config(plan))]
    {
        if file.exists() {
            told.kept(file);
            continue;
        }
        let folder = file.parent().unwrap_or(Path::new("/"));
        on(folder, placing.folder(folder, FOLDER_MODE))?;
        on(file, placing.file(file, text.as_bytes(), FILE_MODE))?;
        told.wrote(file);
    }
    on(&paths.config, placing.step("end"))?;
    Ok(told.0)
}

/// What was done, as it is told.
#[derive(Default)]
struct Told(Vec<String>);

impl Told {
    fn wrote(&mut self, path: &Path) {
        self.0.push(format!("wrote {}", path.display()));
    }

    fn kept_data(&mut self, path: &Path) {
        self.0.push(format!("kept  {}, which was there, with its accounts", path.display()));
    }

    fn kept(&mut self, path: &Path) {
        self.0.push(format!("kept  {}, which was there", path.display()));
    }
}

/// Whether there is something in a folder that must stay.
pub fn is_used(data: &Path) -> bool {
    std::fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some())
}

/// Two set-ups at a time would clear each other's work away. The lock goes with its file.
fn lock(folder: &Path) -> Result<File, Failure> {
    let file = File::open(folder);
    let file = file.map_err(|error| Failure::failed(format!("{}: {error}", folder.display())))?;
    file.try_lock().map_err(|_| Failure::failed("another set-up is at work on this machine"))?;
    Ok(file)
}

fn write_keys(keys: &Keyring, data: &Path, placing: &mut Placing<'_>) -> Result<(), Failure> {
    let folder = data.join(keyring::FOLDER);
    let file = folder.join(keyring::FILE);
    if file.exists() {
        return Ok(());
    }
    on(&folder, placing.folder(&folder, PRIVATE_FOLDER_MODE))?;
    on(&file, placing.file(&file, &keyring::text(keys)?, PRIVATE_FILE_MODE))
}

/// The first account, and the addresses that every domain has.
async fn make_account(plan: &Plan, data: &Path, password: Secret) -> Result<(), Failure> {
    let place = Place {
        hostname: plan.hostname.clone(),
        domains: vec![plan.domain.clone()],
        ..Place::local(data.to_owned(), plan.password_cost)
    };
    let service = engine::open(&place).await?.service;
    let made = async {
        let account = service.create_account(&plan.account, password).await;
        account.map_err(|error| Failure::failed(format!("{}: {error}", plan.account)))?;
        for alias in aliases(&plan.account, &plan.domain) {
            let set = service.set_alias(&alias, std::slice::from_ref(&plan.account)).await;
            set.map_err(|error| Failure::failed(format!("{alias}: {error}")))?;
        }
        Ok(())
    };
    let made = made.await;
    let closed = service.close().await;
    made?;
    closed.map_err(|error| Failure::failed(error.to_string()))
}

fn on<T>(path: &Path, done: io::Result<T>) -> Result<T, Failure> {
    done.map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

/// Where the data folder is prepared, beside its place: a name is changed at once only within one
/// file system.
const PREPARED: &str = ".pillarbox-setup";

/// Nothing in the configuration or the unit is secret.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// Keys are.
const PRIVATE_FILE_MODE: u32 = 0o600;
const PRIVATE_FOLDER_MODE: u32 = 0o700;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::keys;
    use super::super::plan::Paths;
    use super::super::plan::tests::plan;
    use super::*;
    use crate::config::Config;

    const NOW: i64 = 1_795_651_200;

    /// Every file and folder below one, with what is in it.
    fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                all.extend(tree(&path));
                all.push((path.display().to_string(), Vec::new()));
            } else {
                all.push((path.display().to_string(), fs::read(&path).unwrap()));
            }
        }
        all.sort();
        all
    }

    /// Below a folder, so that nobody else has to vouch for it.
    fn plan_below(folder: &Path) -> Plan {
        Plan { paths: Paths::below(folder), certificate: Source::SelfSigned, ..plan() }
    }

    fn password() -> Secret {
        Secret::new("swordfish")
    }

    #[tokio::test]
    async fn whichever_step_fails_a_set_up_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan_below(folder.path());
        let keys = keys::kept_or_new(&plan, NOW).unwrap();
        let mut failed_at = Vec::new();
        loop {
            let (mut step, fails_at) = (0, failed_at.len());
            let mut name = String::new();
            let mut before = |what: &str| {
                step += 1;
                name = what.to_owned();
                if step > fails_at { Err(io::Error::other("the disk is full")) } else { Ok(()) }
            };
            let Err(failure) = write(&plan, &keys, password(), &mut before).await else { break };
            assert!(failure.to_string().contains("the disk is full"), "{failure}");
            failed_at.push(name);
            assert_eq!(tree(folder.path()), [], "failed at {failed_at:?}");
        }
        for step in ["make the account", "make a certificate", "put a folder in its place", "end"] {
            assert!(failed_at.iter().any(|at| at == step), "{step} in {failed_at:?}");
        }
        assert!(plan.paths.config.exists());
    }

    #[tokio::test]
    async fn what_is_there_is_kept_and_what_is_missing_is_added() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan_below(folder.path());
        let first = keys::kept_or_new(&plan, NOW).unwrap();
        let told = write(&plan, &first, password(), &mut |_| Ok(())).await.unwrap();
        assert_eq!(told.iter().filter(|line| line.starts_with("wrote ")).count(), 3, "{told:?}");
        // As if the machine had stopped before the last file.
        fs::remove_file(&plan.paths.config).unwrap();
        let before = tree(&plan.paths.data);
        let again = keys::kept_or_new(&plan, NOW + 1_000_000).unwrap();
        let told = write(&plan, &again, password(), &mut |_| Ok(())).await.unwrap();
        assert_eq!(told.iter().filter(|line| line.starts_with("kept ")).count(), 2, "{told:?}");
        assert_eq!(tree(&plan.paths.data), before);
        let text = fs::read_to_string(&plan.paths.config).unwrap();
        assert!(text.contains("domains = [\"example.org\"]"), "{text}");
    }

    #[tokio::test]
    async fn keys_are_for_the_server_alone_and_the_rest_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan_below(folder.path());
        let keys = keys::kept_or_new(&plan, NOW).unwrap();
        write(&plan, &keys, password(), &mut |_| Ok(())).await.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&plan.paths.data), 0o700);
        assert_eq!(mode(&plan.paths.data.join(keyring::FOLDER).join(keyring::FILE)), 0o600);
        assert_eq!(mode(&plan.paths.config) & 0o444, 0o444);
        let text = fs::read_to_string(&plan.paths.config).unwrap();
        let config = Config::parse(&text, plan.paths.config.parent().unwrap()).unwrap();
        let files = config.certificate.unwrap();
        assert_eq!(mode(&files.key), 0o600);
        assert!(net::Tls::new(&files).is_ok());
    }

    #[tokio::test]
    async fn the_first_account_can_log_in_and_gets_what_is_for_the_postmaster() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan_below(folder.path());
        let keys = keys::kept_or_new(&plan, NOW).unwrap();
        write(&plan, &keys, password(), &mut |_| Ok(())).await.unwrap();
        let place = Place::local(plan.paths.data.clone(), plan.password_cost);
        let service = engine::open(&place).await.unwrap().service;
        let accounts = service.list_accounts().await.unwrap();
        assert_eq!(accounts.len(), 1);
        assert_eq!(accounts[0].name.as_str(), "you@example.org");
        let aliases = service.list_aliases().await.unwrap();
        let aliases: Vec<_> = aliases.iter().map(|alias| alias.address.as_str()).collect();
        assert_eq!(aliases, ["abuse@example.org", "postmaster@example.org"]);
        service.close().await.unwrap();
    }

    #[tokio::test]
    async fn two_set_ups_at_a_time_do_not_disturb_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan_below(folder.path());
        let above = plan.paths.data.parent().unwrap();
        fs::create_dir_all(above).unwrap();
        let lock = lock(above).unwrap();
        let keys = keys::kept_or_new(&plan, NOW).unwrap();
        let refused = write(&plan, &keys, password(), &mut |_| Ok(())).await.unwrap_err();
        assert!(refused.to_string().contains("another set-up"), "{refused}");
        drop(lock);
        assert!(write(&plan, &keys, password(), &mut |_| Ok(())).await.is_ok());
    }
}
