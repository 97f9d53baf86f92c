//! payrun runs recurring and batch payments from YAML workflows. The thing it is built around: **a
//! call that timed out may have moved money.**
//!
//! # The way of an item
//!
//! [`workflow`] reads the file and renders the rows; [`engine::planning`] makes them items of the
//! [`ledger`] in one transaction. A [`worker`] claims what is due: from then on the intent is on
//! disk. [`engine::attempt`] calls the [`gateway`], has the reply judged by the outcome tables of
//! the [`job_kinds`], asks the state machine [`domain::item`] what follows, and settles it in the
//! ledger. What stays unknown comes due again and is asked about. [`cli`] shows it to people, who
//! pause, slow and resolve by [`engine::operator`], and approve by [`engine::operator::approve`].
//!
//! # The layers
//!
//! This package is the program; what lies beneath are crates, and the compiler keeps each from what
//! its `Cargo.toml` does not name. Here they have their short names.
//!
//! | Part | Knows | Does not know |
//! |---|---|---|
//! | [`domain`] | values and pure functions | IO, the clock, the database, floats |
//! | [`yaml`], [`config`], [`workflow`], [`job_kinds`] | the domain, files | the ledger, the network |
//! | [`ledger`] | the domain, SQL: the only place with any | gateways, workflows, HTTP |
//! | [`gateway`] | the domain, HTTP, signatures, statement files | the ledger, YAML |
//! | [`engine`] | domain, workflow, ledger, the gateway port | sockets, apalis, SQL |
//! | [`alerts`] | the domain, the ledger, workflows, SMTP | gateways, HTTP, SQL |
//! | [`worker`] | the engine, apalis | the gateways' protocols, SQL |
//! | [`service`] | the engine, the workers, the reports, workflow files | HTTP, SQL |
//! | [`export`] | the ledger, Excel, CSV, JSON | HTTP, SQL, the command line |
//! | [`report`] | the ledger, the exports, files of reports | HTTP, SQL, the command line |
//! | [`http`] | the service, the exports, the reports, HTTP | SQL, apalis |
//! | [`app`] | the parts, to put them together | SQL |
//! | [`cli`] | all of them | SQL |
//! | [`sandbox`] | the fake gateways, with books of its own | the ledger, the engine |
//! | [`simulation`] | the engine, the sandbox, the clients | sockets, apalis, SQL |
//! | [`checker`] | the promises, JSON | everything else |
//!
//! `docs/architecture.md` says where things are, and follows a deduction, a notification and a
//! statement line through the code; `docs/decisions.md` says why it is so.
//!
//! # Invariants
//!
//! - An order number is on disk before it is sent; claim is intent, settle is outcome, each in one
//!   commit.
//! - Only [`domain::item::apply`] changes a state. Time alone closes nothing.
//! - No transaction is open during a call, and no call outlives its lease.
//! - One contract is in flight once, by a unique index.
//! - What a person changes has a name and a reason, in the audit log, in the same commit; nobody
//!   approves their own batch.
//! - Every list, loop, body, buffer and retry has a bound.

pub mod app;
pub mod bulk_view;
mod catalogue;
pub mod cli;
pub mod export;
pub mod http;
pub mod reader_language;
mod reasons;
pub mod report;
pub mod search_view;
pub mod service;
pub mod view;
pub mod worker;

pub use payrun_alerts as alerts;
#[cfg(feature = "sandbox")]
pub use payrun_checker as checker;
pub use payrun_domain as domain;
#[cfg(feature = "mutation")]
pub use payrun_domain::mutation;
pub use payrun_engine as engine;
pub use payrun_engine::file_store;
pub use payrun_gateway as gateway;
pub use payrun_gateway::statement;
pub use payrun_ledger as ledger;
pub use payrun_project::{config, job_kinds, workflow};
#[cfg(feature = "sandbox")]
pub use payrun_sandbox as sandbox;
#[cfg(feature = "simulation")]
pub use payrun_simulation as simulation;
pub use payrun_system::{clock, errors, failpoint, private_files};
pub use payrun_yaml as yaml;
