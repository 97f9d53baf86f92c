//! Notifications: what of the gateways' orders there is to tell (`events`), and the sender that
//! delivers it (`sender`).

pub mod events;
pub mod sender;
