//! Writing XML, and reading as much of it as a request of a mail program needs.
//!
//! What is read comes from anybody. It is read once from front to back; there are no entities but
//! the five of the language, no document type and so no external or growing ones; nesting and
//! number of elements are bounded. XML 1.0 §2, §4.6

/// A text as it stands in content and in quoted attributes. Characters that XML cannot hold are
/// left out. XML 1.0 §2.2, §2.4
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c if (c.is_control() && !matches!(c, '\t' | '\n'))
                || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

/// An element that holds nothing but text: its local name, and the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The name without its prefix.
    pub name: String,
    /// The text, without white space around it.
    pub text: String,
}

/// The elements of a document that hold nothing but text, in order.
///
/// `None` when it is not well-formed, as far as that is looked at, or does what no mail program
/// does: a document type, an entity of its own, too much nesting.
pub fn leaves(document: &str) -> Option<Vec<Leaf>> {
    let mut reader = Reader { rest: document.trim_start_matches('\u{feff}'), ..Reader::default() };
    while !reader.rest.is_empty() {
        reader.step()?;
    }
    // One root, which was closed.
    (reader.open.is_empty() && reader.element_count > 0).then_some(reader.leaves)
}

#[derive(Default)]
struct Reader<'d> {
    rest: &'d str,
    /// The names of the elements that are open.
    open: Vec<&'d str>,
    /// The text since the last tag; `None` behind an end tag, where no leaf can be.
    text: Option<String>,
    leaves: Vec<Leaf>,
    element_count: usize,
}

impl<'d> Reader<'d> {
    /// Reads one piece: a tag, a text, or what is passed over.
    fn step(&mut self) -> Option<()> {
        if let Some(rest) = self.rest.strip_prefix("<!--") {
            self.rest = rest.split_once("-->")?.1;
        } else if let Some(rest) = self.rest.strip_prefix("<![CDATA[") {
            let (text, rest) = rest.split_once("]]>")?;
            self.rest = rest;
            self.take_text(text)?;
        } else if let Some(rest) = self.rest.strip_prefix("<?") {
            self.rest = rest.split_once("?>")?.1;
        } else if self.rest.starts_with("<!") {
            return None;
        } else if let Some(rest) = self.rest.strip_prefix("</") {
            let (name, rest) = rest.split_once('>')?;
            self.rest = rest;
            self.close(name.trim_end())?;
        } else if let Some(rest) = self.rest.strip_prefix('<') {
            let (tag, rest) = tag_end(rest)?;
            self.rest = rest;
            self.start(tag)?;
        } else {
            let end = self.rest.find('<').unwrap_or(self.rest.len());
            let (text, rest) = self.rest.split_at_checked(end)?;
            self.rest = rest;
            self.take_text(&unescaped(text)?)?;
        }
        Some(())
    }

    fn start(&mut self, tag: &'d str) -> Option<()> {
        let (tag, is_empty) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        let name = tag.split(|c: char| c.is_ascii_whitespace()).next().filter(|it| is_name(it))?;
        self.element_count += 1;
        let is_second_root = self.open.is_empty() && self.element_count > 1;
        if is_second_root || self.element_count > ELEMENTS_MAX || self.open.len() >= DEPTH_MAX {
            return None;
        }
        self.open.push(name);
        self.text = Some(String::new());
        if is_empty { self.close(name) } else { Some(()) }
    }

    fn close(&mut self, name: &str) -> Option<()> {
        let open = self.open.pop().filter(|open| *open == name)?;
        if let Some(text) = self.text.take() {
            let name = open.rsplit(':').next().unwrap_or(open).to_owned();
            self.leaves.push(Leaf { name, text: text.trim().to_owned() });
        }
        Some(())
    }

    fn take_text(&mut self, text: &str) -> Option<()> {
        match &mut self.text {
            _ if self.open.is_empty() => text.trim().is_empty().then_some(()),
            Some(before) => {
                before.push_str(text);
                Some(())
            }
            None => Some(()),
        }
    }
}

/// Splits behind the `>` of a tag, which may stand in a value, too. Attributes are not looked at.
fn tag_end(rest: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, octet) in rest.bytes().enumerate() {
        match (quote, octet) {
            (None, b'>') => return Some((rest.get(..at)?, rest.get(at + 1..)?)),
            (None, b'"' | b'\'') => quote = Some(octet),
            (None, b'<') | (Some(_), b'<') => return None,
            (Some(open), _) if open == octet => quote = None,
            _ => {}
        }
    }
    None
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':'))
}

/// Replaces the five entities of the language and numbers of characters. Nothing else exists here.
fn unescaped(text: &str) -> Option<String> {
    let mut pieces = text.split('&');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (entity, rest) = piece.split_once(';')?;
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = entity.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => number.parse(),
                };
                char::from_u32(code.ok()?)?
            }
        });
        out.push_str(rest);
    }
    Some(out)
}

/// A request of a mail program has five.
const ELEMENTS_MAX: usize = 64;

/// A request of a mail program has three.
const DEPTH_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn pairs(document: &str) -> Option<Vec<(String, String)>> {
        Some(leaves(document)?.into_iter().map(|leaf| (leaf.name, leaf.text)).collect())
    }

    fn pair(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    #[test]
    fn leaves_are_found_whatever_stands_around_them() {
        let document = "\u{feff}<?xml version='1.0'?>\n<!-- <x> -->\n<a:A xmlns:a=\"u>v\">\n \
                        <B>\n<C> one &amp; &#x74;wo&#33; </C><D/><a:E k='1'><![CDATA[<&>]]></a:E>\
                        \n</B></a:A>\n";
        let expected = [pair("C", "one & two!"), pair("D", ""), pair("E", "<&>")];
        assert_eq!(pairs(document).unwrap(), expected);
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for bad in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<a>&</a>",
            "<a>&none;</a>",
            "<a",
            "<a>&#xd800;</a>",
            "<a>&#99999999999;</a>",
            "<a x=\"></a>",
            "<1></1>",
            "<a/>text",
            "<a><!-- </a>",
            "<a><![CDATA[x</a>",
            "< a></a>",
        ] {
            assert_eq!(pairs(bad), None, "{bad}");
        }
    }

    #[test]
    fn s023_documents_that_grow_are_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY b 'x'><!ENTITY c '&b;&b;&b;'>]><a>&c;</a>";
        assert_eq!(pairs(bomb), None);
        let external = "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>";
        assert_eq!(pairs(external), None);
        let deep = format!("{}{}", "<a>".repeat(17), "</a>".repeat(17));
        assert_eq!(pairs(&deep), None);
        let many = format!("<a>{}</a>", "<b/>".repeat(64));
        assert_eq!(pairs(&many), None);
        // What would end a section of characters does not leave it when it is written.
        assert_eq!(escaped("]]>\u{0}\u{1b}\"'&<é"), "]]&gt;&quot;&apos;&amp;&lt;é");
    }

    #[test]
    fn s023_a_hundred_thousand_attributes_take_linear_time() {
        let took = |count: usize| {
            let attributes: String =
                (0..count).map(|n| format!(" xmlns:a{n}=\"u{n}\" b{n}='{n}'")).collect();
            let document = format!("<a{attributes}>x</a>");
            let began = Instant::now();
            assert_eq!(pairs(&document).unwrap(), [pair("a", "x")]);
            began.elapsed()
        };
        took(1000);
        // The best of three: the machine may have been busy with something else.
        let best = |count| [took(count), took(count), took(count)].into_iter().min().unwrap();
        let (one, ten) = (best(10_000), best(100_000));
        // Ten times as long, with room for a busy machine; square time would be a hundred times.
        assert!(ten < one * 40 + std::time::Duration::from_millis(50), "{one:?} {ten:?}");
    }
}
