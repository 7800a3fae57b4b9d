//! Records as people and name servers read them: a table, and a zone file in the form of RFC 1035
//! §5 that BIND and most providers take.

use std::fmt::Write;

use sender_auth::keys::split;

use super::{Data, Need, Record, Site};

/// One record as a line of a zone file, its name in full.
pub fn line(record: &Record) -> String {
    format!("{}. {} {}", record.name, kind(&record.data), value(&record.data))
}

/// All records as a zone file, one part for each domain.
pub fn zone(records: &[Record]) -> String {
    let mut out = String::new();
    let mut domains: Vec<&str> = Vec::new();
    for record in records {
        if !domains.contains(&record.domain.as_str()) {
            domains.push(&record.domain);
        }
    }
    for domain in domains {
        let _ = writeln!(out, "$ORIGIN {domain}.\n$TTL {TTL_SECS}");
        for need in [Need::Must, Need::Better] {
            let _ = writeln!(out, "; {}", heading(need));
            let of = |record: &&Record| record.domain == domain && record.need == need;
            for record in records.iter().filter(of) {
                let name = relative(&record.name, domain);
                // A name that is not below the origin belongs into the zone of its own domain.
                let remark = if name.ends_with('.') { "; in its own zone: " } else { "" };
                let (kind, value) = (kind(&record.data), value(&record.data));
                let _ = writeln!(out, "{remark}{name:<24} IN {kind:<5} {value}");
            }
        }
    }
    out
}

/// All records as a table with what each is good for; a text that has to be cut into strings is
/// shown whole and cut, because providers want the one or the other.
pub fn table(site: &Site, records: &[Record]) -> String {
    let mut out = String::new();
    for need in [Need::Must, Need::Better] {
        let _ = writeln!(out, "{}", heading(need));
        for record in records.iter().filter(|record| record.need == need) {
            out.push_str(&entry(record));
        }
        out.push('\n');
    }
    let _ = writeln!(out, "At the provider of the addresses, not in the zone:\n");
    for address in &site.addresses {
        let _ = writeln!(out, "  PTR   {address}\n        {}", site.hostname);
    }
    out
}

/// One record of the table.
pub fn entry(record: &Record) -> String {
    let (kind, name, purpose) = (kind(&record.data), &record.name, record.purpose);
    let mut out = format!("\n  {kind:<5} {name}   ({purpose})\n");
    match &record.data {
        Data::Txt(text) => {
            let _ = writeln!(out, "        {text}");
            let cut = split(text);
            if cut.len() > 1 {
                let _ = writeln!(out, "      the same, cut into strings:");
            }
            for string in cut.iter().filter(|_| cut.len() > 1) {
                let _ = writeln!(out, "        {}", quoted(string));
            }
        }
        data => {
            let _ = writeln!(out, "        {}", value(data));
        }
    }
    out
}

fn heading(need: Need) -> &'static str {
    match need {
        Need::Must => "Records that must be there:",
        Need::Better => "Records that make it better:",
    }
}

fn kind(data: &Data) -> &'static str {
    match data {
        Data::Address(address) if address.is_ipv4() => "A",
        Data::Address(_) => "AAAA",
        Data::Mx { .. } => "MX",
        Data::Txt(_) => "TXT",
        Data::Cname(_) => "CNAME",
        Data::Srv { .. } => "SRV",
        Data::Tlsa { .. } => "TLSA",
        Data::Caa { .. } => "CAA",
    }
}

fn value(data: &Data) -> String {
    match data {
        Data::Address(address) => address.to_string(),
        Data::Mx { preference, exchange } => format!("{preference} {exchange}."),
        Data::Txt(text) => {
            let quoted: Vec<_> = split(text).iter().map(|string| quoted(string)).collect();
            quoted.join(" ")
        }
        Data::Cname(name) => format!("{name}."),
        Data::Srv { priority, weight, port, target } => {
            format!("{priority} {weight} {port} {target}.")
        }
        Data::Tlsa { usage, selector, matching, data } => {
            let hex = data.iter().fold(String::new(), |mut hex, octet| {
                let _ = write!(hex, "{octet:02x}");
                hex
            });
            format!("{usage} {selector} {matching} {hex}")
        }
        Data::Caa { issuer } => format!("0 issue {}", quoted(issuer)),
    }
}

/// RFC 1035 §5.1
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn relative(name: &str, origin: &str) -> String {
    if name == origin {
        return "@".to_owned();
    }
    match name.strip_suffix(origin).and_then(|head| head.strip_suffix('.')) {
        Some(head) => head.to_owned(),
        None => format!("{name}."),
    }
}

/// An hour: short enough to mend a mistake on the same day.
const TTL_SECS: u32 = 3600;

#[cfg(test)]
mod tests {
    use super::super::tests::site;
    use super::super::wanted;
    use super::*;

    #[test]
    fn the_zone_file_has_every_record_once_below_its_origin() {
        let site = site();
        let records = wanted(&site);
        let zone = zone(&records);
        for part in [
            "$ORIGIN example.org.\n",
            "mail                     IN A     192.0.2.25\n",
            "mail                     IN AAAA  2001:db8::25\n",
            "@                        IN MX    10 mail.example.org.\n",
            "@                        IN TXT   \"v=spf1 mx -all\"\n",
            "_25._tcp.mail            IN TLSA  3 1 1 abababab",
            "mail                     IN CAA   0 issue \"letsencrypt.org\"\n",
            "_imaps._tcp              IN SRV   0 1 993 mail.example.org.\n",
            "mta-sts                  IN CNAME mail.example.org.\n",
        ] {
            assert_eq!(zone.matches(part).count(), 1, "{part:?} in {zone}");
        }
        assert_eq!(zone.matches(" IN ").count(), records.len());
    }

    #[test]
    fn a_long_key_is_cut_into_strings_that_join_to_the_same_text() {
        let text = format!("v=DKIM1; k=rsa; p={}", "A".repeat(392));
        let cut = split(&text);
        assert_eq!(cut.iter().map(String::len).collect::<Vec<_>>(), [255, 155]);
        assert_eq!(cut.concat(), text);
        let table = table(&site(), &wanted(&site()));
        assert!(table.contains(&format!("        {text}\n")), "{table}");
        assert!(table.contains(&format!("        \"{}\"\n", cut[0])), "{table}");
    }

    #[test]
    fn quotes_and_backslashes_in_a_text_stay_inside_it() {
        let text = Data::Txt("a\"b\\c".into());
        assert_eq!(value(&text), "\"a\\\"b\\\\c\"");
    }

    #[test]
    fn a_server_in_another_zone_is_not_mixed_into_this_one() {
        let mut other = site();
        other.domains = vec!["example.net".into()];
        let zone = zone(&wanted(&other));
        assert!(zone.contains("; in its own zone: mail.example.org.        IN A"), "{zone}");
        // Ends alike, but is no part of it.
        assert_eq!(relative("myexample.net", "example.net"), "myexample.net.");
    }

    #[test]
    fn what_must_be_there_stands_apart_from_what_is_better() {
        let table = table(&site(), &wanted(&site()));
        let must = table.find("must be there").unwrap();
        let better = table.find("make it better").unwrap();
        let ptr = table.find("  PTR   192.0.2.25\n        mail.example.org").unwrap();
        assert!(must < table.find("_dmarc").unwrap());
        assert!(table.find("_dmarc").unwrap() < better);
        assert!(better < table.find("_imaps").unwrap());
        assert!(table.find("_imaps").unwrap() < ptr);
    }
}
