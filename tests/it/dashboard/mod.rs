//! The dashboard as a browser without script meets it.

mod gateways;
mod messages;
mod sessions;
mod today;
