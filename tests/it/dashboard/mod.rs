//! The dashboard as a browser without script meets it.

mod approvals;
mod bulk;
mod gateways;
mod items;
mod messages;
mod reasons;
mod refused_forms;
mod roles;
mod runs;
mod sessions;
mod today;
mod uploads;
