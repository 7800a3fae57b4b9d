//! Parameters of Content-Type and Content-Disposition. RFC 2045 §5.1, RFC 2231

use crate::Part;

impl Part {
    /// A parameter of Content-Type, decoded. RFC 2231, RFC 2047
    pub fn param(&self, name: &str) -> Option<String> {
        let param = self.params.iter().find(|p| p.name.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(crate::decode_header(&param.value))
    }

    /// The file name of an attachment, decoded: of the disposition, or else of the type.
    pub fn filename(&self) -> Option<String> {
        self.param("name")
    }
}
