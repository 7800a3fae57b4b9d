//! Reads the tags of texts that are lists of tags. RFC 6376 §3.2

/// The value of a tag, without the white space that may stand anywhere in a key.
///
///     tag-list = tag-spec *( ";" tag-spec ) [ ";" ]
///     tag-spec = [FWS] tag-name [FWS] "=" [FWS] tag-value [FWS]
pub fn tag(text: &str, name: &str) -> Option<String> {
    text.split(';').find_map(|spec| {
        let (found, value) = spec.split_once('=')?;
        (found.trim() == name).then(|| value.split_whitespace().collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_whatever_white_space_is_around_them() {
        let text = "v=DKIM1; k=rsa;\tp = AB CD\r\n EF==;";
        assert_eq!(tag(text, "p").as_deref(), Some("ABCDEF=="));
        assert_eq!(tag(text, "v").as_deref(), Some("DKIM1"));
        assert_eq!(tag(text, "n"), None);
        assert_eq!(tag("", "p"), None);
    }
}
