//! payrun from outside: the binary, its files and YAML, against the sandbox on loopback; and the
//! ledger's public surface.
//!
//! One module a capability. The project under test ([`support::App`]) holds our books against the
//! gateway's when it is dropped, so no test has to remember to.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod alerts;
mod approvals;
mod attacks;
mod attempts;
mod backup;
mod bad_input;
mod cases;
mod commands;
mod control_characters;
mod customs;
mod dashboard;
mod dependent_jobs;
mod differences;
mod docs;
mod documented_requests;
mod duplicates;
mod exports;
mod faults;
mod file_formats;
mod files_at_rest;
mod find;
mod fuzz;
mod gateway_failures;
mod gateways;
mod glossary;
mod input_bounds;
mod input_files;
mod interrupts;
mod kill;
mod layers;
mod ledger;
mod long_plans;
mod names;
mod nodes;
mod notifications;
mod operators;
mod payments;
mod personal_data;
mod promote;
mod reference;
mod refunds;
mod reports;
mod reseal;
mod retention;
mod rig;
mod schedule_command;
mod schedules;
mod schema;
mod serve;
mod serve_controls;
mod shipped_workflows;
mod simulate;
mod soak;
mod statements;
mod storage;
mod subscriptions;
mod support;
mod time_zones;
mod unread_columns;
mod unreadable_rows;
mod words;
mod workbooks;
mod xlsx;
