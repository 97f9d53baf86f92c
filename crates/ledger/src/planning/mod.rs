//! Planning: runs, jobs and items are made, in one transaction or in short steps.

pub(crate) mod plan;
pub(crate) mod plan_steps;
