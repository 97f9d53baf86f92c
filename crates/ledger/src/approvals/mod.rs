//! Approvals: batches that wait for persons, and what they are shown.

pub(crate) mod approval_batch;
pub(crate) mod approval_review;
pub(crate) mod votes;
