//! Lanes: what sends nothing at present, and how fast the rest goes.

pub(crate) mod lane_states;
pub(crate) mod pauses;
