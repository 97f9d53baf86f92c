//! payrun runs recurring and batch payments from YAML workflows. The thing it is built around: **a call that timed out may
//! have moved money.**

pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod engine;
pub mod failpoint;
pub mod gateway;
pub mod ledger;
pub mod sandbox;
pub mod worker;
pub mod workflow;
pub mod yaml;
