//! Which call meets which fault: for what fails when it is told to.

use std::collections::BTreeMap;

/// Faults by kind of call and by how many such calls pass before.
pub(crate) struct Plan<C, F> {
    calls: BTreeMap<C, u64>,
    faults: BTreeMap<(C, u64), F>,
    always: BTreeMap<C, F>,
}

impl<C, F> Default for Plan<C, F> {
    fn default() -> Self {
        Self { calls: BTreeMap::new(), faults: BTreeMap::new(), always: BTreeMap::new() }
    }
}

impl<C: Copy + Ord, F: Clone> Plan<C, F> {
    /// The `nth` call of this kind from now on (1 is the next) meets the fault.
    pub(crate) fn on(&mut self, call: C, nth: u64, fault: F) {
        let number = self.count(call) + nth;
        self.faults.insert((call, number), fault);
    }

    /// Every call of this kind meets the fault.
    pub(crate) fn always(&mut self, call: C, fault: F) {
        self.always.insert(call, fault);
    }

    /// Forgets all faults.
    pub(crate) fn heal(&mut self) {
        self.faults.clear();
        self.always.clear();
    }

    /// Calls of this kind so far.
    pub(crate) fn count(&self, call: C) -> u64 {
        self.calls.get(&call).copied().unwrap_or(0)
    }

    /// Counts a call and says what happens to it.
    pub(crate) fn next(&mut self, call: C) -> Option<F> {
        let count = self.calls.entry(call).or_insert(0);
        *count += 1;
        let number = *count;
        self.faults.remove(&(call, number)).or_else(|| self.always.get(&call).cloned())
    }
}
