//! Where mail for other systems goes.

use super::direct::Direct;
use super::relay::Relays;
use super::targets::literal;

/// Where mail for other systems goes: to the relay that its domain has, else straight to the
/// servers of the domain, if that is wanted. Clones share all.
#[derive(Clone, Default)]
pub struct Routes {
    pub(super) relays: Relays,
    pub(super) direct: Option<Direct>,
}

impl Routes {
    /// Relays, and who reaches the domains without one.
    #[must_use]
    pub fn new(relays: Relays, direct: Option<Direct>) -> Self {
        Self { relays, direct }
    }

    /// Who reaches the domains without a relay.
    #[must_use]
    pub fn direct(&self) -> Option<&Direct> {
        self.direct.as_ref()
    }

    /// Whether mail for an address can leave.
    #[must_use]
    pub fn carry(&self, address: &str) -> bool {
        let Some((_, domain)) = address.rsplit_once('@') else { return false };
        let has_name = !domain.starts_with('[') || literal(domain).is_some();
        self.relays.carry(address) || (self.direct.is_some() && !domain.is_empty() && has_name)
    }
}

impl From<Relays> for Routes {
    fn from(relays: Relays) -> Self {
        Self { relays, direct: None }
    }
}
