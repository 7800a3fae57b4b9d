//! The named maxima of the heap: time, memory and requests.

use std::time::Duration;

/// How long things may take and how much may wait. Tests make them small.
#[derive(Debug, Clone)]
pub struct Limits {
    /// [`ATTEMPT_TIMEOUT`]
    pub attempt_timeout: Duration,
    /// [`WRITE_BUDGET`]
    pub write_budget: Duration,
    /// [`READ_BUDGET`]
    pub read_budget: Duration,
    /// [`CONNECT_TIMEOUT`]
    pub connect_timeout: Duration,
    /// [`BACKOFF_MIN`]
    pub backoff_min: Duration,
    /// [`BACKOFF_MAX`]
    pub backoff_max: Duration,
    /// [`QUEUE_WAIT`]
    pub queue_wait: Duration,
    /// [`REQUESTS_MAX`]
    pub requests_max: usize,
    /// [`BYTES_MAX`]
    pub bytes_max: usize,
    /// [`PART_BYTES`]
    pub part_bytes: usize,
    /// [`PAGE_OBJECTS`]
    pub page_objects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempt_timeout: ATTEMPT_TIMEOUT,
            write_budget: WRITE_BUDGET,
            read_budget: READ_BUDGET,
            connect_timeout: CONNECT_TIMEOUT,
            backoff_min: BACKOFF_MIN,
            backoff_max: BACKOFF_MAX,
            queue_wait: QUEUE_WAIT,
            requests_max: REQUESTS_MAX,
            bytes_max: BYTES_MAX,
            part_bytes: PART_BYTES,
            page_objects: PAGE_OBJECTS,
        }
    }
}

/// One request from its first byte to the last of its answer. A part in that time needs some
/// 5 Mbit/s; a store that stalls for a minute is asked again long before.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// One PUT, part or deletion with all its attempts. Mail clients and relays wait for an answer for
/// a minute or more, so three time-outs fit.
pub const WRITE_BUDGET: Duration = Duration::from_secs(45);

/// One read with all its attempts: somebody looks at a screen.
pub const READ_BUDGET: Duration = Duration::from_secs(30);

/// Until a connection stands.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// First pause before an attempt is repeated; it doubles each time, and a random half is left out.
pub const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// Longest pause between two attempts.
pub const BACKOFF_MAX: Duration = Duration::from_secs(3);

/// How long a caller waits for its turn before it is told `Busy`.
pub const QUEUE_WAIT: Duration = Duration::from_secs(10);

/// Requests on their way: so many of writes and so many of reads, so that neither starves the
/// other.
pub const REQUESTS_MAX: usize = 64;

/// Bytes in memory that wait to be written, and as many that are being read.
pub const BYTES_MAX: usize = 256 * 1024 * 1024;

/// The longest body of one request. Objects above it go up in parts; no store takes parts below
/// 5 MiB, nor more than 10,000 of them.
pub const PART_BYTES: usize = 8 * 1024 * 1024;

/// What a writer holds at first: most messages are shorter.
pub const BUFFER_MIN: usize = 64 * 1024;

/// How often a read asks again for an object that is said to be missing: a store may need a moment
/// until all of its machines know a new one.
pub const MISSING_RETRIES: u32 = 3;

/// Objects of one page of a listing.
pub const PAGE_OBJECTS: usize = 1000;

/// Memory that such a page may need: some 400 bytes of XML an object.
pub const PAGE_BYTES: usize = 512 * 1024;

/// Longest answer that is read to learn why a request was refused.
pub const REFUSAL_BYTES_MAX: usize = 16 * 1024;

/// Threads that drive the requests: hashing what is sent is their work, waiting costs nothing.
pub const THREADS: usize = 2;
