//! What goes back and forth within one command: AUTHENTICATE, IDLE, STARTTLS, and the literals that
//! a client may send only when asked. Small states without I/O, for both roles.

mod authenticate;
mod idle;
mod sending;
mod starttls;

pub use authenticate::{AuthLine, Challenge, ClientExchange, NotBase64, SaslIr, server_line};
pub use idle::{ClientIdle, is_done};
pub use sending::{Outgoing, Sending};
pub use starttls::{PlaintextLeft, upgrade};
