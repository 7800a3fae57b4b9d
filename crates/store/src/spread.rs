//! One store over several: a directory says which of them keeps a scope.
//!
//! The home store keeps all keys that belong to no scope, and among them a row for each scope that
//! lives elsewhere. Everything of a scope, rows and blobs, is in one store, so a commit goes to one
//! store as a whole; one that would need two is refused.
//!
//! Where a scope lives is looked up once and remembered. A scope may be moved by another process:
//! whoever copies it makes sure that its witness, a row that it has for as long as it lives
//! somewhere, changes or vanishes at the old place. So a commit that a stale process sends there
//! meets a conflict and its look at the witness finds nothing, and both make it look up the
//! directory again. A scope must not be written without a condition on its witness, except to
//! delete what nobody needs.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    BlobId, BlobInfo, BlobKey, BlobReader, BlobWriter, Commit, CommitNo, Deletion, Done, KeyRange,
    Store, StoreError, View, Visitor, Watch,
};

/// How keys are divided. The contract knows only bytes; the caller knows what they mean.
#[derive(Clone, Copy)]
pub struct Layout {
    /// The scope that a key belongs to, which it begins with; `None` for a key of the home store.
    pub scope_of: fn(&[u8]) -> Option<&[u8]>,
    /// The key of the home store whose value is the name of the shard of a scope.
    pub placement: fn(&[u8]) -> Vec<u8>,
    /// Whether the key is a witness of its scope: a row that it always has.
    pub is_witness: fn(&[u8]) -> bool,
}

/// Where a scope lives: a shard by its name, or at home.
type Place = Option<Arc<str>>;

/// Stores that look like one.
pub struct Spread {
    inner: Arc<Inner>,
}

struct Inner {
    home: Arc<dyn Store>,
    shards: BTreeMap<Arc<str>, Arc<dyn Store>>,
    layout: Layout,
    /// At most [`PLACES_MAX`].
    places: Mutex<HashMap<Vec<u8>, Place>>,
}

impl Spread {
    /// Puts shards beside a home store.
    #[must_use]
    pub fn new(
        home: Arc<dyn Store>,
        shards: impl IntoIterator<Item = (String, Arc<dyn Store>)>,
        layout: Layout,
    ) -> Self {
        let shards = shards.into_iter().map(|(name, store)| (name.into(), store)).collect();
        let inner = Inner { home, shards, layout, places: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }
}

impl Inner {
    fn store(&self, place: &Place) -> Result<&Arc<dyn Store>, StoreError> {
        let Some(name) = place else { return Ok(&self.home) };
        self.shards.get(name).ok_or_else(|| StoreError::Unsupported {
            found: format!("a row names the shard {name:?}, which is not configured").into(),
        })
    }

    fn all(&self) -> impl Iterator<Item = &Arc<dyn Store>> {
        std::iter::once(&self.home).chain(self.shards.values())
    }

    /// Where a scope lives, as far as is known.
    fn place(&self, scope: &[u8]) -> Result<Place, StoreError> {
        if let Some(place) = self.lock().get(scope) {
            return Ok(place.clone());
        }
        self.look_up(scope)
    }

    /// Where a scope lives now.
    fn look_up(&self, scope: &[u8]) -> Result<Place, StoreError> {
        let found = self.home.view()?.get(&(self.layout.placement)(scope))?;
        let name = found.map(|name| String::from_utf8_lossy(&name).into_owned());
        let place: Place = name.filter(|name| !name.is_empty()).map(Into::into);
        let mut places = self.lock();
        if places.len() >= PLACES_MAX {
            // Looking up again costs one small read each.
            places.clear();
        }
        places.insert(scope.to_vec(), place.clone());
        Ok(place)
    }

    fn of_scope(&self, scope: &[u8]) -> Result<Arc<dyn Store>, StoreError> {
        self.store(&self.place(scope)?).cloned()
    }

    fn forget(&self, scope: &[u8]) {
        self.lock().remove(scope);
    }

    /// The one scope of a commit, `None` if it is all at home.
    fn scope_of_commit(&self, commit: &Commit) -> Result<Option<Vec<u8>>, StoreError> {
        let conditions = commit.conditions.iter().map(|condition| condition.key.as_slice());
        let writes = commit.writes.iter().map(|write| write.key());
        let leases = commit.leases.iter().map(|lease| lease.key().scope.as_slice());
        let mut scopes = conditions.chain(writes).chain(leases).map(self.layout.scope_of);
        let first = scopes.next().flatten();
        if scopes.any(|scope| scope != first) {
            let found = "a commit that belongs to two stores".into();
            return Err(StoreError::Unsupported { found });
        }
        Ok(first.map(<[u8]>::to_vec))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Spread {
    fn view(&self) -> Result<Box<dyn View>, StoreError> {
        // Each may cost a connection: only those are opened that something is read from.
        Ok(Box::new(SpreadView { inner: Arc::clone(&self.inner), views: Mutex::default() }))
    }

    /// Looks up the place of a scope that was never heard of, which waits for one small read.
    fn commit(&self, commit: Commit, done: Done) {
        let scope = match self.inner.scope_of_commit(&commit) {
            Ok(scope) => scope,
            Err(error) => return done(Err(error)),
        };
        let Some(scope) = scope else { return self.inner.home.commit(commit, done) };
        match self.inner.of_scope(&scope) {
            Err(error) => done(Err(error)),
            Ok(store) => {
                let inner = Arc::clone(&self.inner);
                let watched: Done = Box::new(move |result| {
                    if matches!(result, Err(StoreError::Conflict { .. })) {
                        inner.forget(&scope);
                    }
                    done(result);
                });
                store.commit(commit, watched);
            }
        }
    }

    fn watch(&self, prefix: &[u8], wake: Box<dyn Fn() + Send + Sync>) -> Watch {
        let store = match (self.inner.layout.scope_of)(prefix) {
            None => Ok(Arc::clone(&self.inner.home)),
            Some(scope) => self.inner.of_scope(scope),
        };
        match store {
            Ok(store) => store.watch(prefix, wake),
            // Hints may be lost; whoever follows looks again by itself.
            Err(_) => Watch::new(Box::new(|| {})),
        }
    }

    fn blob_writer(&self, scope: &[u8]) -> Result<Box<dyn BlobWriter>, StoreError> {
        self.inner.of_scope(scope)?.blob_writer(scope)
    }

    fn open_blob(&self, scope: &[u8], id: &BlobId) -> Result<Box<dyn BlobReader>, StoreError> {
        self.inner.of_scope(scope)?.open_blob(scope, id)
    }

    fn delete_blobs(
        &self,
        scope: &[u8],
        blobs: &[(BlobId, CommitNo)],
    ) -> Result<Vec<Deletion>, StoreError> {
        self.inner.of_scope(scope)?.delete_blobs(scope, blobs)
    }

    fn list_blobs(
        &self,
        after: Option<&BlobKey>,
        visit: &mut dyn FnMut(BlobInfo) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut after = after.cloned();
        loop {
            let mut next: Option<BlobKey> = None;
            for store in self.inner.all() {
                store.list_blobs(after.as_ref(), &mut |blob| {
                    if next.as_ref().is_none_or(|next| blob.key < *next) {
                        next = Some(blob.key);
                    }
                    ControlFlow::Break(())
                })?;
            }
            let Some(BlobKey { scope, .. }) = next else { return Ok(()) };
            let mut is_over = false;
            // What another store has of this scope is not part of it.
            self.inner.of_scope(&scope)?.list_blobs(after.as_ref(), &mut |blob| {
                if blob.key.scope != scope {
                    return ControlFlow::Break(());
                }
                let flow = visit(blob);
                is_over = flow.is_break();
                flow
            })?;
            if is_over {
                return Ok(());
            }
            after = Some(BlobKey::new(&scope, [u8::MAX; 32].into()));
        }
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.inner.all().try_for_each(|store| store.reclaim())
    }

    fn close(&self) -> Result<(), StoreError> {
        // Each is closed, whatever another one says.
        let closed: Vec<_> = self.inner.all().map(|store| store.close()).collect();
        closed.into_iter().collect()
    }
}

/// Views of those of the stores that were asked.
struct SpreadView {
    inner: Arc<Inner>,
    views: Mutex<HashMap<Place, Arc<dyn View>>>,
}

impl SpreadView {
    fn of_place(&self, place: &Place) -> Result<Arc<dyn View>, StoreError> {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = views.get(place) {
            return Ok(Arc::clone(view));
        }
        let view: Arc<dyn View> = Arc::from(self.inner.store(place)?.view()?);
        views.insert(place.clone(), Arc::clone(&view));
        Ok(view)
    }

    fn place_of(&self, key: &[u8]) -> Result<Place, StoreError> {
        match (self.inner.layout.scope_of)(key) {
            None => Ok(None),
            Some(scope) => self.inner.place(scope),
        }
    }
}

impl View for SpreadView {
    /// Of the home store: the shards count for themselves.
    fn at(&self) -> CommitNo {
        self.of_place(&None).map_or(CommitNo::default(), |view| view.at())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let place = self.place_of(key)?;
        let found = self.of_place(&place)?.get(key)?;
        match (self.inner.layout.scope_of)(key) {
            Some(scope) if found.is_none() && (self.inner.layout.is_witness)(key) => {
                let now = self.inner.look_up(scope)?;
                if now == place { Ok(None) } else { self.of_place(&now)?.get(key) }
            }
            _ => Ok(found),
        }
    }

    fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let places: Vec<Place> =
            keys.iter().map(|key| self.place_of(key)).collect::<Result<_, _>>()?;
        match places.first() {
            Some(first) if places.iter().all(|place| place == first) => {
                self.of_place(first)?.get_many(keys)
            }
            _ => keys.iter().map(|key| self.get(key)).collect(),
        }
    }

    /// A range lies within one scope, or has no key of any.
    fn scan(&self, range: &KeyRange, visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.of_place(&self.place_of(&range.start)?)?.scan(range, visit)
    }
}

/// Scopes whose place is remembered: some 100 bytes each.
const PLACES_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::Mem;
    use crate::{Expected, Write};

    const LAYOUT: Layout = Layout {
        scope_of: |key| key.first_chunk::<2>().filter(|scope| scope[0] == b'a').map(|s| &s[..]),
        placement: |scope| [b"p", scope].concat(),
        is_witness: |key| key.get(2..) == Some(b"h"),
    };

    fn spread(home: &Mem, shard: &Mem) -> Spread {
        let shard: Arc<dyn Store> = Arc::new(shard.clone());
        Spread::new(Arc::new(home.clone()), [("one".to_owned(), shard)], LAYOUT)
    }

    fn put(store: &dyn Store, key: &[u8], value: &[u8]) {
        store.commit_wait(Commit::new().write(Write::put(key, value))).unwrap();
    }

    fn get(store: &dyn Store, key: &[u8]) -> Option<Vec<u8>> {
        store.view().unwrap().get(key).unwrap()
    }

    #[test]
    fn a_scope_is_kept_where_its_row_says_and_all_else_at_home() {
        let (home, shard) = (Mem::new(), Mem::new());
        let store = spread(&home, &shard);
        put(&store, b"pa1", b"one");
        for key in [&b"a1h"[..], b"a2h", b"n"] {
            put(&store, key, b"v");
            assert_eq!(get(&store, key), Some(b"v".to_vec()));
        }
        let lease = store.put_blob(b"a1", b"body").unwrap();
        store.commit_wait(Commit::new().write(Write::put(b"a1x", b"")).naming(lease)).unwrap();
        assert_eq!(
            (get(&home, b"a1h"), get(&shard, b"a2h"), get(&shard, b"n")),
            (None, None, None)
        );
        let id = BlobId::of(b"body");
        assert_eq!(store.read_blob(b"a1", &id, 0..9).unwrap(), b"body");
        assert!(home.read_blob(b"a1", &id, 0..9).is_err());
        let mut listed = Vec::new();
        let visit = &mut |blob: BlobInfo| {
            listed.push(blob.key.scope);
            ControlFlow::Continue(())
        };
        let lease = store.put_blob(b"a2", b"body").unwrap();
        store.commit_wait(Commit::new().write(Write::put(b"a2x", b"")).naming(lease)).unwrap();
        store.list_blobs(None, visit).unwrap();
        assert_eq!(listed, [b"a1", b"a2"]);
    }

    #[test]
    fn a_commit_of_two_scopes_is_refused_whole() {
        let store = spread(&Mem::new(), &Mem::new());
        let commit = Commit::new().write(Write::put(b"a1x", b"")).write(Write::put(b"n", b""));
        let refused = store.commit_wait(commit);
        assert!(matches!(refused, Err(StoreError::Unsupported { .. })), "{refused:?}");
        assert_eq!(get(&store, b"n"), None);
    }

    #[test]
    fn a_scope_that_was_moved_elsewhere_is_found_by_who_knew_its_old_place() {
        let (home, shard) = (Mem::new(), Mem::new());
        let (stale, mover) = (spread(&home, &shard), spread(&home, &shard));
        put(&stale, b"a1h", b"1");
        // Copied, switched, removed at the old place.
        put(&shard, b"a1h", b"1");
        put(&mover, b"pa1", b"one");
        home.commit_wait(Commit::new().write(Write::delete(b"a1h"))).unwrap();
        let write = || {
            let commit = Commit::new().when(b"a1h", Expected::Value(b"1".to_vec()));
            stale.commit_wait(commit.write(Write::put(b"a1h", b"2")))
        };
        assert_eq!(write(), Err(StoreError::Conflict { condition: 0 }));
        assert!(write().is_ok());
        assert_eq!(get(&shard, b"a1h"), Some(b"2".to_vec()));
        // And by reading alone.
        put(&home, b"a1h", b"3");
        put(&home, b"pa1", b"");
        shard.commit_wait(Commit::new().write(Write::delete(b"a1h"))).unwrap();
        assert_eq!(get(&stale, b"a1h"), Some(b"3".to_vec()));
    }

    #[test]
    fn a_shard_that_is_not_configured_is_named() {
        let store = spread(&Mem::new(), &Mem::new());
        put(&store, b"pa1", b"two");
        let error = store.view().unwrap().get(b"a1h").unwrap_err();
        assert!(error.to_string().contains("two"), "{error}");
    }
}
