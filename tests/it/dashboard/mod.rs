//! The dashboard as a browser without script meets it.

mod messages;
mod sessions;
