//! Notifications of gateways, kept before they are acknowledged.

pub(crate) mod notification_queue;
