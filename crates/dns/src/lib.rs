//! What the domain name system says, and whether it is signed.
