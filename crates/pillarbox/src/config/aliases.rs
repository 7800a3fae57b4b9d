//! `[aliases]`: what becomes of strangers' mail for addresses here that stand for others.

use smtp::Forwarding;

use super::reader::Table;

/// Reads the section.
pub fn forwarding(root: &Table<'_>) -> Forwarding {
    let Some(table) = root.table("aliases") else { return Forwarding::default() };
    table.only(&["forward_strangers"]);
    match table.truth("forward_strangers") {
        Some(false) => Forwarding::Refused,
        Some(true) | None => Forwarding::Allowed,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    use super::*;

    fn read(section: &str) -> Result<Forwarding, String> {
        let listen = "[[listen]]\nprotocol='imap'\naddress='127.0.0.1:143'\ntls='none'\n";
        let text = format!("data='d'\nhostname='h'\n{listen}{section}");
        let config = Config::parse(&text, Path::new("/etc/p"));
        config.map(|it| it.forwarding).map_err(|mistakes| mistakes[0].to_string())
    }

    #[test]
    fn mail_of_strangers_is_forwarded_unless_the_operator_does_not_want_it() {
        assert_eq!(read(""), Ok(Forwarding::Allowed));
        assert_eq!(read("[aliases]\n"), Ok(Forwarding::Allowed));
        assert_eq!(read("[aliases]\nforward_strangers = true\n"), Ok(Forwarding::Allowed));
        assert_eq!(read("[aliases]\nforward_strangers = false\n"), Ok(Forwarding::Refused));
        assert!(read("[aliases]\nforward_strangers = 'no'\n").unwrap_err().contains("line 8"));
        let told = read("[aliases]\nforward_stranger = true\n").unwrap_err();
        assert!(told.contains("did you mean forward_strangers?"), "{told}");
    }
}
