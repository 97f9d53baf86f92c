//! Planning: runs, jobs and items are made, in one transaction or in short steps.

pub(crate) mod column_mappings;
pub(crate) mod dependent_jobs;
mod existing_key;
pub(crate) mod payment_names;
pub(crate) mod plan;
pub(crate) mod plan_steps;
pub(crate) mod planned_items;
pub(crate) mod references;
pub(crate) mod rejected_rows;
pub(crate) mod replacement;
pub(crate) mod run_rows;
pub(crate) mod whole_or_parts;
