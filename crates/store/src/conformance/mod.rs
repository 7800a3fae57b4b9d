//! What every engine must do, as functions that an engine's own tests call.
//!
//! Each case gets a fresh, empty engine. A case that fails panics and says which promise broke;
//! random cases print their seed.

mod blobs;
mod commits;
mod durability;
pub mod heap;
mod sweeps;
mod views;

use std::sync::Arc;

use crate::limits::VIEWS_MAX;
use crate::{BlobKey, Store};

/// An engine under test, with the means to hurt it.
pub trait Engine {
    /// The store that is open now.
    fn store(&self) -> Arc<dyn Store>;

    /// Opens the same data again; [`Engine::store`] is another one then.
    fn restart(&mut self, how: Restart);

    /// How many views may be open at one time; the contract's maximum, unless the engine has one of
    /// its own.
    fn views_max(&self) -> usize {
        VIEWS_MAX
    }

    /// Changes stored bytes of a blob behind the store's back.
    fn damage_blob(&mut self, key: &BlobKey);
}

/// How the engine ended before it is opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// `Store::close` was called.
    Closed,
    /// The process was killed.
    Killed,
}

/// Runs every case, each on an engine of its own.
pub fn all(make: &dyn Fn() -> Box<dyn Engine>) {
    for (name, case) in CASES {
        eprintln!("conformance: {name}");
        case(make().as_mut());
    }
}

/// One promise: its name and the function that checks it.
pub type Case = (&'static str, fn(&mut dyn Engine));

/// Every promise by name, for an engine that wants to run them one by one.
pub const CASES: &[Case] = &[
    ("a_commit_is_seen_whole_by_later_views_only", views::commit_is_seen_by_later_views_only),
    ("a_view_stays_the_same_while_commits_go_on", views::view_is_stable_under_commits),
    ("scans_are_ordered_and_resumable", views::scans_agree_with_a_model),
    ("a_scan_can_be_interleaved_with_commits", views::scan_visitor_may_commit),
    ("too_many_views_are_refused", views::too_many_views_are_refused),
    ("failed_conditions_write_nothing", commits::failed_conditions_write_nothing),
    ("later_writes_of_a_commit_win", commits::later_writes_win),
    ("commits_on_one_key_keep_their_order", commits::order_of_one_thread_is_kept),
    ("racing_increments_lose_none", commits::racing_increments_lose_none),
    ("what_is_too_large_is_refused", commits::too_large_is_refused),
    ("the_largest_allowed_commit_works", commits::largest_values_work),
    ("hints_come_after_commits", commits::hints_come_after_commits),
    ("a_closed_store_has_drained_and_refuses", commits::closed_store_refuses),
    ("blobs_are_what_was_put", blobs::blobs_are_what_was_put),
    ("putting_twice_stores_once", blobs::putting_twice_stores_once),
    ("scopes_do_not_see_each_other", blobs::scopes_are_apart),
    ("an_unfinished_blob_leaves_nothing", blobs::unfinished_blob_leaves_nothing),
    ("a_damaged_blob_is_never_returned", blobs::damaged_blob_is_never_returned),
    ("listing_is_ordered_and_resumable", blobs::listing_is_resumable),
    ("acknowledged_commits_survive", durability::acknowledged_commits_survive),
    ("acknowledged_blobs_survive", durability::acknowledged_blobs_survive),
    ("a_lost_blob_cannot_be_named", durability::lost_blob_cannot_be_named),
    ("commit_numbers_never_repeat", durability::commit_numbers_never_repeat),
    ("a_leased_blob_is_not_swept", sweeps::leased_blob_is_not_swept),
    ("a_newly_named_blob_is_not_swept", sweeps::newly_named_blob_is_not_swept),
    ("a_blob_named_after_a_listing_is_not_swept", sweeps::blob_named_after_a_listing_is_not_swept),
    ("a_deleted_blob_can_be_put_again", sweeps::deleted_blob_can_be_put_again),
    ("an_open_reader_outlives_deletion", sweeps::open_reader_outlives_deletion),
    ("sweeps_never_take_what_racing_commits_name", sweeps::racing_sweeps_take_nothing_named),
];

/// A small generator of reproducible randomness (xorshift64*).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        eprintln!("seed {seed}");
        Self(seed.max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Bytes that do not compress.
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(count).collect()
    }
}

/// The suite's only way to give up: with the promise that broke.
#[track_caller]
fn must<T, E: std::fmt::Debug>(promise: &str, result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        #[expect(clippy::panic, reason = "the suite is test code: a broken promise ends the test")]
        Err(error) => panic!("{promise}: {error:?}"),
    }
}
