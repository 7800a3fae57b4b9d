//! The one core: accounts, sequencer, delivery, authentication, sweep.
