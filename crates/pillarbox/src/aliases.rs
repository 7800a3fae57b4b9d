//! `pillarbox alias`: addresses that stand for others.

use mail_service::{Alias, Service};
use serde::{Deserialize, Serialize};

use crate::accounts::{Backend, failed};
use crate::cli::AliasCommand;
use crate::control::{Reply, Request};
use crate::engine::Missing;
use crate::failure::Failure;
use crate::say;

/// An alias as it is told.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// The address.
    pub address: String,
    /// For whom it stands.
    pub targets: Vec<String>,
}

/// What can be asked about aliases.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum AliasRequest {
    /// Let an address stand for these, and for nobody else.
    Set { address: String, targets: Vec<String> },
    /// The aliases after this address, in order.
    List { after: Option<String> },
    /// Remove one.
    Remove { address: String },
}

/// Carries out an alias command.
///
/// # Errors
/// When it was not done.
pub async fn run(command: AliasCommand) -> Result<(), Failure> {
    let (request, data) = match command {
        AliasCommand::Add { address, to, data } => {
            (AliasRequest::Set { address, targets: to }, data)
        }
        AliasCommand::Remove { address, data } => (AliasRequest::Remove { address }, data),
        AliasCommand::List(data) => (AliasRequest::List { after: None }, data),
    };
    let mut backend = Backend::open(data, Missing::Refuse).await?;
    let mut next = Some(request);
    while let Some(request) = next.take() {
        match backend.call(Request::Alias { request }).await? {
            Reply::Done => {}
            Reply::Aliases { aliases } => {
                for alias in &aliases {
                    say::line(format_args!("{}: {}", alias.address, alias.targets.join(" ")));
                }
                next = aliases
                    .into_iter()
                    .next_back()
                    .map(|last| AliasRequest::List { after: Some(last.address) });
            }
            other => return Err(failed(other)),
        }
    }
    backend.close().await
}

/// Does what a request asks.
pub async fn carry_out(service: &Service, request: AliasRequest) -> Reply {
    let done = match request {
        AliasRequest::Set { address, targets } => service.set_alias(&address, &targets).await,
        AliasRequest::Remove { address } => service.remove_alias(&address).await,
        AliasRequest::List { after } => match service.list_aliases().await {
            Ok(all) => return Reply::Aliases { aliases: page(all, after.as_deref()) },
            Err(error) => Err(error.into()),
        },
    };
    match done {
        Ok(()) => Reply::Done,
        Err(error) => Reply::Failed { reason: error.to_string() },
    }
}

fn page(all: Vec<Alias>, after: Option<&str>) -> Vec<Told> {
    let after = after.unwrap_or_default();
    let later = all.into_iter().filter(|alias| alias.address.as_str() > after);
    let told = |Alias { address, targets }| Told { address, targets };
    later.take(ALIASES_PER_REPLY).map(told).collect()
}

/// So that a reply fits a line of the control socket, however long the lists are.
const ALIASES_PER_REPLY: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let alias = |number| Alias { address: format!("a{number:02}@b"), targets: Vec::new() };
        let all: Vec<_> = (0..25).map(alias).collect();
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let found = page(all.clone(), after.as_deref());
            let Some(last) = found.last() else { break };
            after = Some(last.address.clone());
            seen.extend(found.into_iter().map(|told| told.address));
        }
        let expected: Vec<_> = all.into_iter().map(|alias| alias.address).collect();
        assert_eq!(seen, expected);
    }
}
