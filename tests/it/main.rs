//! payrun from outside: the binary, its files and YAML, against the sandbox on loopback; and the
//! ledger's public surface.
//!
//! One module a capability. The project under test ([`support::App`]) holds our books against the
//! gateway's when it is dropped, so no test has to remember to.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod alerts;
mod approvals;
mod at_rest;
mod attacks;
mod attempts;
mod backup;
mod bad_input;
mod chains;
mod commands;
mod customs;
mod docs;
mod documented_requests;
mod faults;
mod fuzz;
mod gateways;
mod input_bounds;
mod input_files;
mod kill;
mod layers;
mod ledger;
mod long_plans;
mod names;
mod nodes;
mod notifications;
mod operators;
mod payments;
mod personal;
mod printable;
mod promote;
mod reference;
mod refunds;
mod reseal;
mod retention;
mod rig;
mod schedule_command;
mod schedules;
mod schema;
mod serve;
mod serve_controls;
mod shipped;
mod simulate;
mod soak;
mod statements;
mod stop;
mod storage;
mod subscriptions;
mod support;
mod trouble;
mod twice;
mod xlsx;
mod zones;
