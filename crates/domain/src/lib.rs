//! What payrun knows about payments, free of IO: no clock, no network, no database, no randomness,
//! no floats.
//!
//! Everything here is a value or a pure function over values. The heart is [`item`]: the one place
//! that decides which state follows which; [`evidence`] says when news may move it at all.

pub mod actor;
pub mod alert;
pub mod answer;
pub mod approval;
pub mod audit;
pub mod calendar;
pub mod difference;
pub mod evidence;
pub mod history;
pub mod identity_card;
pub mod ids;
pub mod item;
pub mod message;
pub mod money;
#[cfg(feature = "mutation")]
pub mod mutation;
pub mod occurrence;
pub mod own_code;
pub mod policy;
pub mod reason;
pub mod role;
pub mod schedule;
pub mod sealed_text;
pub mod subscription;
pub mod text;
pub mod time;
pub mod timetable;
