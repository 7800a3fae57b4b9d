//! Zones, their keys, and which one a question belongs to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hickory_server::dnssec::NxProofKind;
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::proto::dnssec::crypto::EcdsaSigningKey;
use hickory_server::proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS};
use hickory_server::proto::dnssec::{
    Algorithm, DigestType, DnsSecResult, DnssecSigner, Nsec3HashAlgorithm, SigningKey,
};
use hickory_server::proto::rr::rdata::{NS, SOA};
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordSet, RecordType, RrKey};
use hickory_server::proto::serialize::txt::Parser;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneHandler, ZoneType};

/// A zone of the name server.
#[derive(Clone, Debug)]
pub struct Zone {
    origin: Name,
    records: BTreeMap<RrKey, RecordSet>,
    signing: Option<NxProofKind>,
}

impl Zone {
    /// Reads records in the form of RFC 1035 §5; what every zone needs is added where it is
    /// missing: a TTL, SOA and NS.
    ///
    /// # Panics
    /// When that is not a zone.
    #[must_use]
    pub fn parse(origin: &str, text: &str) -> Self {
        let origin = name(origin);
        let text = format!("$TTL {TTL}\n{text}\n");
        let (_, records) = Parser::new(text, None, Some(origin.clone()))
            .parse()
            .unwrap_or_else(|error| panic!("{origin}: {error}"));
        let mut zone = Self { origin, records, signing: None };
        zone.complete();
        zone
    }

    /// The same zone, signed; what is absent is denied by NSEC.
    #[must_use]
    pub fn signed(mut self) -> Self {
        self.signing = Some(NxProofKind::Nsec);
        self
    }

    /// The same zone, signed; what is absent is denied by NSEC3 with so many iterations.
    #[must_use]
    pub fn signed_with_nsec3(mut self, iterations: u16) -> Self {
        self.signing = Some(NxProofKind::Nsec3 {
            algorithm: Nsec3HashAlgorithm::SHA1,
            salt: Arc::from([]),
            iterations,
            opt_out: false,
        });
        self
    }

    fn complete(&mut self) {
        let server = name("ns.invalid");
        if !self.has(RecordType::SOA) {
            let contact = name("hostmaster.invalid");
            let soa = SOA::new(server.clone(), contact, 1, 3_600, 600, 86_400, TTL);
            self.add(self.origin.clone(), RData::SOA(soa));
        }
        if !self.has(RecordType::NS) {
            self.add(self.origin.clone(), RData::NS(NS(server)));
        }
    }

    fn has(&self, kind: RecordType) -> bool {
        self.records.contains_key(&RrKey::new(LowerName::new(&self.origin), kind))
    }

    fn add(&mut self, owner: Name, data: RData) {
        let record = Record::from_rdata(owner.clone(), TTL, data);
        let kind = record.record_type();
        self.records
            .entry(RrKey::new(LowerName::new(&owner), kind))
            .or_insert_with(|| RecordSet::with_ttl(owner, kind, TTL))
            .insert(record, 1);
    }
}

/// A key of a zone.
struct Key {
    pkcs8: Vec<u8>,
    dnskey: DNSKEY,
}

impl Key {
    fn generate() -> DnsSecResult<Self> {
        let pkcs8 = EcdsaSigningKey::generate_pkcs8(ALGORITHM)?;
        let public = EcdsaSigningKey::from_pkcs8(&pkcs8, ALGORITHM)?.to_public_key()?;
        let pkcs8 = pkcs8.secret_pkcs8_der().to_vec();
        Ok(Self { pkcs8, dnskey: DNSKEY::from_key(&public) })
    }

    fn signer(&self, origin: &Name) -> DnsSecResult<DnssecSigner> {
        let key = EcdsaSigningKey::from_pkcs8(&self.pkcs8.as_slice().into(), ALGORITHM)?;
        let (dnskey, origin) = (self.dnskey.clone(), origin.clone());
        Ok(DnssecSigner::new(dnskey, Box::new(key), origin, SIGNED_FOR))
    }

    fn ds(&self, origin: &Name) -> DnsSecResult<DS> {
        let digest = self.dnskey.to_digest(origin, DigestType::SHA256)?.as_ref().to_vec();
        Ok(DS::new(self.dnskey.calculate_key_tag()?, ALGORITHM, DigestType::SHA256, digest))
    }
}

/// All zones, and the root above them.
pub struct Served {
    zones: BTreeMap<Name, Zone>,
    keys: BTreeMap<Name, Key>,
    catalogs: BTreeMap<Name, Arc<Catalog>>,
}

impl Served {
    pub fn new(zones: &[Zone]) -> Self {
        let root = Zone::parse(".", "").signed();
        let zones = std::iter::once(&root).chain(zones);
        let zones = zones.map(|zone| (zone.origin.clone(), zone.clone())).collect();
        let mut served = Self { zones, keys: BTreeMap::new(), catalogs: BTreeMap::new() };
        served.load();
        served
    }

    pub fn replace(&mut self, zone: Zone) {
        self.zones.insert(zone.origin.clone(), zone);
        self.load();
    }

    pub fn trust_anchor(&self) -> String {
        self.keys
            .get(&Name::root())
            .map_or_else(String::new, |key| format!(". {TTL} IN DNSKEY {}\n", key.dnskey))
    }

    /// What answers a question: the zone of the name, and of the place of a delegation the one
    /// above if the delegation itself is meant, RFC 4035 §3.1.4.1.
    pub fn catalog(&self, asked: &Name, kind: RecordType) -> Arc<Catalog> {
        let mut at = asked.clone();
        if kind == RecordType::DS && !at.is_root() {
            at = at.base_name();
        }
        loop {
            if let Some(catalog) = self.catalogs.get(&at) {
                return catalog.clone();
            }
            if at.is_root() {
                return Arc::default();
            }
            at = at.base_name();
        }
    }

    fn load(&mut self) {
        self.try_load().unwrap_or_else(|error| panic!("the zones cannot be served: {error}"));
    }

    fn try_load(&mut self) -> Result<(), String> {
        for (origin, zone) in &self.zones {
            if zone.signing.is_some() && !self.keys.contains_key(origin) {
                let key = Key::generate().map_err(|error| error.to_string())?;
                self.keys.insert(origin.clone(), key);
            }
        }
        for origin in self.zones.keys() {
            let handler = self.handler(origin).map_err(|error| error.to_string())?;
            let mut catalog = Catalog::new();
            catalog.upsert(LowerName::new(origin), vec![handler]);
            self.catalogs.insert(origin.clone(), Arc::new(catalog));
        }
        Ok(())
    }

    fn handler(&self, origin: &Name) -> Result<Arc<dyn ZoneHandler>, Box<dyn std::error::Error>> {
        let mut zone = self.zones.get(origin).ok_or("no such zone")?.clone();
        for (child, delegated) in &self.zones {
            if self.parent(child).as_ref() != Some(origin) {
                continue;
            }
            zone.add(child.clone(), RData::NS(NS(name("ns.invalid"))));
            if let (Some(_), Some(key)) = (&delegated.signing, self.keys.get(child)) {
                zone.add(child.clone(), RData::DNSSEC(DNSSECRData::DS(key.ds(child)?)));
            }
        }
        let mut handler = InMemoryZoneHandler::<TokioRuntimeProvider>::new(
            origin.clone(),
            zone.records,
            ZoneType::Primary,
            AxfrPolicy::Deny,
            zone.signing.clone(),
        )?;
        if let (Some(_), Some(key)) = (zone.signing, self.keys.get(origin)) {
            handler.add_zone_signing_key_mut(key.signer(origin)?)?;
            handler.secure_zone_mut()?;
        }
        Ok(Arc::new(handler))
    }

    /// The nearest zone above.
    fn parent(&self, origin: &Name) -> Option<Name> {
        let mut above = origin.clone();
        while !above.is_root() {
            above = above.base_name();
            if self.zones.contains_key(&above) {
                return Some(above);
            }
        }
        None
    }
}

/// A whole name in small letters.
pub fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text)
        .unwrap_or_else(|error| panic!("{text:?} is not a name: {error}"))
        .to_lowercase();
    name.set_fqdn(true);
    name
}

const ALGORITHM: Algorithm = Algorithm::ECDSAP256SHA256;

/// Seconds that records may be kept, unless they say otherwise.
const TTL: u32 = 300;

/// Longer than any test runs.
const SIGNED_FOR: Duration = Duration::from_hours(24);
