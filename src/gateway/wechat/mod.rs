//! WeChat Pay Global, APIv3 (gateways.md sections 3 and 4).

pub mod sign;
