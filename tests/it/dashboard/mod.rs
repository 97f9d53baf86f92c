//! The dashboard as a browser without script meets it.

mod gateways;
mod messages;
mod roles;
mod sessions;
mod today;
