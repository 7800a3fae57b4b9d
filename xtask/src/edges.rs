//! Which crate may import which, checked against what cargo resolves.
//!
//! The table below is the architecture: a crate imports only crates of lower layers, and the pure
//! crates reach no socket, file, clock or source of randomness, not even through a third party.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Result;
use crate::run;

/// Checks the repository's own dependencies.
///
/// # Errors
/// Lists every edge that the table does not allow.
pub fn check() -> Result<()> {
    let metadata = run::output(&mut run::command("cargo metadata --format-version 1 --locked"))?;
    let graph = Graph::read(&serde_json::from_str(&metadata)?);
    let faults = graph.faults();
    for fault in &faults {
        eprintln!("edges: {fault}");
    }
    if !faults.is_empty() {
        return Err(format!("{} edges are not allowed (xtask/src/edges.rs)", faults.len()).into());
    }
    println!("edges: {} crates keep to the table", graph.own.len());
    Ok(())
}

/// One of our crates: what it may import of ours, and whether it must stay pure.
struct Rule {
    name: &'static str,
    nature: Nature,
    imports: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// Reaches none of `IMPURE`, directly or through others.
    Pure,
    /// May wait, log, and touch the machine.
    Worldly,
}

use Nature::{Pure, Worldly};

#[rustfmt::skip]
const RULES: &[Rule] = &[
    // L0: formats
    Rule { name: "mail-types",   nature: Pure,    imports: &[] },
    Rule { name: "mime",         nature: Pure,    imports: &["mail-types"] },
    Rule { name: "imap-proto",   nature: Pure,    imports: &["mail-types"] },
    // L1: the model
    Rule { name: "mailbox",      nature: Pure,    imports: &["mail-types"] },
    Rule { name: "mail-queue",   nature: Pure,    imports: &["mail-types"] },
    Rule { name: "imap-session", nature: Pure,    imports: &["mail-types", "mime", "imap-proto", "mailbox"] },
    Rule { name: "smtp-session", nature: Pure,    imports: &["mail-types"] },
    // L2: contracts and engines; they know no mail, only bytes
    Rule { name: "store",        nature: Worldly, imports: &[] },
    Rule { name: "store-local",  nature: Worldly, imports: &["store"] },
    Rule { name: "store-postgres", nature: Worldly, imports: &["store"] },
    Rule { name: "blob-s3",      nature: Worldly, imports: &["store"] },
    // L3: the one core
    Rule { name: "mail-service", nature: Worldly, imports: &["mail-types", "mime", "mailbox", "mail-queue", "store"] },
    // L4: the shells
    Rule { name: "net",          nature: Worldly, imports: &[] },
    Rule { name: "dns",          nature: Worldly, imports: &[] },
    Rule { name: "sender-auth",  nature: Worldly, imports: &["mail-types", "mime", "dns"] },
    Rule { name: "acme",         nature: Worldly, imports: &["net"] },
    Rule { name: "http-server",  nature: Worldly, imports: &["net"] },
    Rule { name: "imap-server",  nature: Worldly,
           imports: &["mail-types", "mime", "imap-proto", "mailbox", "imap-session", "mail-service", "net"] },
    Rule { name: "oauth",        nature: Worldly, imports: &["mail-types", "mail-service"] },
    Rule { name: "smtp",         nature: Worldly,
           imports: &["mail-types", "mime", "imap-proto", "mail-queue", "smtp-session", "mail-service", "net",
                      "dns", "sender-auth"] },
    // The binary: the only place where engines and shells meet
    Rule { name: "pillarbox",    nature: Worldly,
           imports: &["mail-types", "mime", "imap-proto", "mailbox", "mail-queue", "imap-session", "store", "store-local",
                      "store-postgres", "blob-s3", "mail-service", "net", "imap-server", "oauth", "smtp",
                      "dns", "sender-auth", "acme", "http-server"] },
    // For tests; only ever a dev-dependency of the others
    Rule { name: "testkit",      nature: Worldly,
           imports: &["mail-types", "mime", "imap-proto", "mailbox", "mail-queue", "imap-session", "store", "store-local",
                      "store-postgres", "blob-s3", "mail-service", "net", "imap-server", "oauth", "smtp",
                      "dns", "sender-auth", "acme", "http-server"] },
    // The crash tester: a program of its own that opens what a crash left
    Rule { name: "sim",          nature: Worldly, imports: &["mail-types", "mailbox", "store", "store-local", "mail-service"] },
    Rule { name: "xtask",        nature: Worldly, imports: &[] },
];

/// What a pure crate may not reach: runtimes, sockets, engines, TLS, randomness, logging.
const IMPURE: &[&str] = &[
    "async-std",
    "aws-lc-rs",
    "aws-lc-sys",
    "getrandom",
    "hyper",
    "libsqlite3-sys",
    "log",
    "mio",
    "rand",
    "rand_core",
    "reqwest",
    "rusqlite",
    "rustls",
    "smol",
    "socket2",
    "tempfile",
    "tokio",
    "tokio-rustls",
    "tracing",
    "tracing-core",
];

/// Normal dependencies by package id; build and test dependencies are left out.
struct Graph {
    names: BTreeMap<String, String>,
    normal: BTreeMap<String, Vec<String>>,
    own: BTreeSet<String>,
}

impl Graph {
    fn read(metadata: &Value) -> Self {
        let mut graph =
            Self { names: BTreeMap::new(), normal: BTreeMap::new(), own: BTreeSet::new() };
        for package in list(metadata, "packages") {
            graph.names.insert(text(package, "id"), text(package, "name"));
        }
        for member in list(metadata, "workspace_members") {
            graph.own.insert(member.as_str().unwrap_or_default().to_owned());
        }
        for node in list(&metadata["resolve"], "nodes") {
            let normal = list(node, "deps")
                .iter()
                .filter(|dep| list(dep, "dep_kinds").iter().any(|kind| kind["kind"].is_null()))
                .map(|dep| text(dep, "pkg"))
                .collect();
            graph.normal.insert(text(node, "id"), normal);
        }
        graph
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for id in &self.own {
            let name = self.name(id);
            let Some(rule) = RULES.iter().find(|rule| rule.name == name) else {
                faults.push(format!("{name} is not in the table: give it a layer"));
                continue;
            };
            for import in self.imports(id).iter().filter(|import| self.own.contains(*import)) {
                let import = self.name(import);
                if !rule.imports.contains(&import) {
                    faults.push(format!("{name} may not import {import}"));
                }
            }
            if rule.nature == Pure {
                faults.extend(self.impurities(id));
            }
        }
        faults
    }

    /// Every impure crate below `id`, each with the path by which it is reached.
    fn impurities(&self, id: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![vec![id]];
        while let Some(path) = open.pop() {
            let Some(last) = path.last() else { continue };
            for import in self.imports(last).iter().filter(|import| seen.insert(import.as_str())) {
                let mut longer = path.clone();
                longer.push(import);
                if IMPURE.contains(&self.name(import)) {
                    let names: Vec<&str> = longer.iter().map(|id| self.name(id)).collect();
                    faults.push(format!("a pure crate reaches the world: {}", names.join(" -> ")));
                } else {
                    open.push(longer);
                }
            }
        }
        faults
    }

    fn name(&self, id: &str) -> &str {
        self.names.get(id).map_or("?", String::as_str)
    }

    fn imports(&self, id: &str) -> &[String] {
        self.normal.get(id).map_or(&[], Vec::as_slice)
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A metadata document in which every name is its own id and `edges` are (from, to, kind).
    fn metadata(own: &[&str], edges: &[(&str, &str, Option<&str>)]) -> Value {
        let mut names: BTreeSet<&str> = own.iter().copied().collect();
        names.extend(edges.iter().flat_map(|edge| [edge.0, edge.1]));
        let nodes: Vec<Value> = names
            .iter()
            .map(|name| {
                let deps: Vec<Value> = edges
                    .iter()
                    .filter(|edge| edge.0 == *name)
                    .map(|edge| json!({"pkg": edge.1, "dep_kinds": [{"kind": edge.2}]}))
                    .collect();
                json!({"id": name, "deps": deps})
            })
            .collect();
        let packages: Vec<Value> =
            names.iter().map(|name| json!({"id": name, "name": name})).collect();
        json!({"packages": packages, "workspace_members": own, "resolve": {"nodes": nodes}})
    }

    fn faults(own: &[&str], edges: &[(&str, &str, Option<&str>)]) -> Vec<String> {
        Graph::read(&metadata(own, edges)).faults()
    }

    #[test]
    fn an_edge_of_the_table_is_allowed() {
        assert!(faults(&["mime", "mail-types"], &[("mime", "mail-types", None)]).is_empty());
    }

    #[test]
    fn an_upward_edge_is_refused() {
        let found = faults(&["mime", "mail-types"], &[("mail-types", "mime", None)]);
        assert_eq!(found, ["mail-types may not import mime"]);
    }

    #[test]
    fn a_test_dependency_is_not_an_edge() {
        assert!(faults(&["mime", "testkit"], &[("mime", "testkit", Some("dev"))]).is_empty());
    }

    #[test]
    fn a_pure_crate_may_not_reach_a_runtime_through_another_crate() {
        let edges = [("mime", "helpful", None), ("helpful", "tokio", None)];
        let found = faults(&["mime"], &edges);
        assert_eq!(found, ["a pure crate reaches the world: mime -> helpful -> tokio"]);
    }

    #[test]
    fn a_worldly_crate_may_use_a_runtime() {
        assert!(faults(&["net"], &[("net", "tokio", None)]).is_empty());
    }

    #[test]
    fn a_crate_without_a_layer_is_refused() {
        assert_eq!(faults(&["stray"], &[]), ["stray is not in the table: give it a layer"]);
    }

    #[test]
    fn the_table_has_no_circle() {
        // Each crate imports only crates that stand above it in the table, testkit apart.
        for (index, rule) in RULES.iter().enumerate() {
            for import in rule.imports {
                let at = RULES.iter().position(|other| other.name == *import);
                assert!(at.is_some_and(|at| at < index), "{} -> {import}", rule.name);
            }
        }
    }
}
