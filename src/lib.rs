//! payrun runs recurring and batch payments from YAML workflows. The thing it is built around: **a call that timed out may
//! have moved money.**

pub mod catalog;
pub mod clock;
pub mod config;
pub mod domain;
pub mod gateway;
pub mod sandbox;
