//! Refunds: what is known of a payment, and what was taken from it.

pub(crate) mod payment;
