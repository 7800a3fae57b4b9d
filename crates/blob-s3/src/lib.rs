//! Bodies as immutable objects in an S3-compatible object store.
