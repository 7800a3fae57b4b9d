//! The crash tester.

fn main() {}
