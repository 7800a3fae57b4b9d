//! What a group changes, as it stands in the log.

use store::{BlobId, BlobKey, CommitNo};

use super::format::{GROUP_HEADER_BYTES, new_payload};
use crate::pack::{Location, PackId, PackRow, PackState};

/// One change of the index. Applied in order they need no conditions and no look at the state
/// before, except that a blob which is recorded already stays where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    Put {
        key: &'a [u8],
        value: &'a [u8],
    },
    Delete {
        key: &'a [u8],
    },
    /// A blob was stored.
    Record {
        key: BlobKey,
        location: Location,
        named_at: CommitNo,
    },
    /// A commit named a blob.
    Name {
        key: BlobKey,
        at: CommitNo,
    },
    /// A blob was deleted.
    Forget {
        key: BlobKey,
    },
    /// A blob was copied to another pack.
    Move {
        key: BlobKey,
        from: Location,
        to: Location,
    },
    SetPack(PackRow),
    RemovePack(PackId),
}

/// Collects the changes of a group.
#[derive(Clone)]
pub(crate) struct Payload(Vec<u8>);

impl Default for Payload {
    fn default() -> Self {
        Self(new_payload())
    }
}

impl Payload {
    /// Length of what was collected so far.
    pub(crate) fn length(&self) -> usize {
        self.0.len()
    }

    /// The payload, with room for the header in front.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The changes so far.
    pub(crate) fn changes(&self) -> Changes<'_> {
        Changes(self.0.get(GROUP_HEADER_BYTES..).unwrap_or_default())
    }

    pub(crate) fn push(&mut self, change: &Change<'_>) {
        match change {
            Change::Put { key, value } => {
                self.0.push(PUT);
                self.bytes(key);
                self.bytes(value);
            }
            Change::Delete { key } => {
                self.0.push(DELETE);
                self.bytes(key);
            }
            Change::Record { key, location, named_at } => {
                self.0.push(RECORD);
                self.blob(key);
                self.location(location);
                self.number(named_at.0);
            }
            Change::Name { key, at } => {
                self.0.push(NAME);
                self.blob(key);
                self.number(at.0);
            }
            Change::Forget { key } => {
                self.0.push(FORGET);
                self.blob(key);
            }
            Change::Move { key, from, to } => {
                self.0.push(MOVE);
                self.blob(key);
                self.location(from);
                self.location(to);
            }
            Change::SetPack(row) => {
                self.0.push(SET_PACK);
                let sealed = u64::from(row.state == PackState::Sealed);
                [row.id, row.end, row.live, sealed].iter().for_each(|number| self.number(*number));
            }
            Change::RemovePack(id) => {
                self.0.push(REMOVE_PACK);
                self.number(*id);
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        // The contract's limits are far below.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn blob(&mut self, key: &BlobKey) {
        self.bytes(&key.scope);
        self.0.extend_from_slice(key.id.as_bytes());
    }

    fn location(&mut self, location: &Location) {
        let Location { pack, offset, length, size } = *location;
        [pack, offset, length, size].iter().for_each(|number| self.number(*number));
    }
}

/// The changes of a payload, one after the other; `Err` ends them when they cannot be read, which
/// after a sum that holds means that another version wrote them.
pub(crate) struct Changes<'a>(pub(crate) &'a [u8]);

/// A payload is not made of changes that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl<'a> Iterator for Changes<'a> {
    type Item = Result<Change<'a>, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&tag, rest) = self.0.split_first()?;
        self.0 = rest;
        let change = self.change(tag).ok_or(Unreadable);
        if change.is_err() {
            self.0 = &[];
        }
        Some(change)
    }
}

impl<'a> Changes<'a> {
    fn change(&mut self, tag: u8) -> Option<Change<'a>> {
        Some(match tag {
            PUT => Change::Put { key: self.bytes()?, value: self.bytes()? },
            DELETE => Change::Delete { key: self.bytes()? },
            RECORD => Change::Record {
                key: self.blob()?,
                location: self.location()?,
                named_at: CommitNo(self.number()?),
            },
            NAME => Change::Name { key: self.blob()?, at: CommitNo(self.number()?) },
            FORGET => Change::Forget { key: self.blob()? },
            MOVE => {
                Change::Move { key: self.blob()?, from: self.location()?, to: self.location()? }
            }
            SET_PACK => {
                let (id, end, live) = (self.number()?, self.number()?, self.number()?);
                let state = if self.number()? == 0 { PackState::Active } else { PackState::Sealed };
                Change::SetPack(PackRow { id, end, live, state })
            }
            REMOVE_PACK => Change::RemovePack(self.number()?),
            _ => return None,
        })
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(u32::from_le_bytes(self.take()?)).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn blob(&mut self) -> Option<BlobKey> {
        let scope = self.bytes()?;
        Some(BlobKey::new(scope, BlobId::from(self.take::<32>()?)))
    }

    fn location(&mut self) -> Option<Location> {
        let (pack, offset) = (self.number()?, self.number()?);
        Some(Location { pack, offset, length: self.number()?, size: self.number()? })
    }
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const RECORD: u8 = 3;
const NAME: u8 = 4;
const FORGET: u8 = 5;
const MOVE: u8 = 6;
const SET_PACK: u8 = 7;
const REMOVE_PACK: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_change_reads_back() {
        let key = BlobKey::new(b"scope", BlobId::of(b"x"));
        let location = Location { pack: 3, offset: 64, length: 200, size: 150 };
        let to = Location { pack: 4, ..location };
        let row = PackRow { id: 3, end: 300, live: 200, state: PackState::Sealed };
        let changes = [
            Change::Put { key: b"k", value: b"" },
            Change::Delete { key: b"k" },
            Change::Record { key: key.clone(), location, named_at: CommitNo(5) },
            Change::Name { key: key.clone(), at: CommitNo(6) },
            Change::Forget { key: key.clone() },
            Change::Move { key, from: location, to },
            Change::SetPack(row),
            Change::SetPack(PackRow { state: PackState::Active, ..row }),
            Change::RemovePack(3),
        ];
        let mut payload = Payload::default();
        changes.iter().for_each(|change| payload.push(change));
        let found: Vec<_> = payload.changes().map(Result::unwrap).collect();
        assert_eq!(found, changes);
    }

    #[test]
    fn cut_payload_is_unreadable_and_not_shorter() {
        let mut payload = Payload::default();
        payload.push(&Change::Put { key: b"key", value: b"value" });
        let bytes = payload.changes().0.to_vec();
        for length in 1..bytes.len() {
            let found: Vec<_> = Changes(&bytes[..length]).collect();
            assert_eq!(found, [Err(Unreadable)], "{length} bytes");
        }
        assert_eq!(Changes(&[99]).next(), Some(Err(Unreadable)));
    }
}
