//! A zone in memory that counts what it is asked.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use crate::names::{Failure, Family, Lookup, Source};

/// Records by name and kind. Clones count together.
#[derive(Clone, Default)]
pub(super) struct Zone {
    records: HashMap<(String, String), Vec<String>>,
    names: HashSet<String>,
    silent: HashSet<String>,
    stuck: HashSet<String>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Zone {
    /// Lines of name, kind and value. The kind `SILENT` makes a name that nobody answers for, and
    /// `STUCK` one whose question never comes back.
    pub(super) fn new(lines: &str) -> Self {
        let mut zone = Self::default();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.splitn(3, ' ');
            let (name, kind) = (words.next().unwrap(), words.next().unwrap());
            let value = words.next().unwrap_or_default();
            if kind == "SILENT" {
                zone.silent.insert(name.to_owned());
                continue;
            }
            if kind == "STUCK" {
                zone.stuck.insert(name.to_owned());
                continue;
            }
            let mut rest = Some(name);
            while let Some(name) = rest {
                zone.names.insert(name.to_owned());
                rest = name.split_once('.').map(|(_, parent)| parent);
            }
            let key = (name.to_owned(), kind.to_owned());
            zone.records.entry(key).or_default().push(value.to_owned());
        }
        zone
    }

    /// What was asked, as `KIND name`.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn answer(&self, name: &str, kind: &str) -> Result<Vec<String>, Failure> {
        self.asked.lock().unwrap().push(format!("{kind} {name}"));
        assert_eq!(name, name.to_ascii_lowercase(), "names are asked for in normal form");
        if self.silent.contains(name) {
            return Err(Failure::Temporary);
        }
        if !self.names.contains(name) {
            return Err(Failure::NoSuchName);
        }
        let key = (name.to_owned(), kind.to_owned());
        Ok(self.records.get(&key).cloned().unwrap_or_default())
    }
}

impl Source for Zone {
    fn txt<'a>(&'a self, name: &'a str) -> Lookup<'a, String> {
        Box::pin(async move {
            if self.stuck.contains(name) {
                std::future::pending::<()>().await;
            }
            self.answer(name, "TXT")
        })
    }

    fn addresses<'a>(&'a self, name: &'a str, family: Family) -> Lookup<'a, IpAddr> {
        let kind = if family == Family::Ipv4 { "A" } else { "AAAA" };
        let read = |text: &String| text.parse().unwrap();
        Box::pin(async move { Ok(self.answer(name, kind)?.iter().map(read).collect()) })
    }

    fn exchanges<'a>(&'a self, name: &'a str) -> Lookup<'a, String> {
        Box::pin(async move { self.answer(name, "MX") })
    }

    fn names(&self, address: IpAddr) -> Lookup<'_, String> {
        Box::pin(async move { self.answer(&address.to_string(), "PTR") })
    }
}
