//! Which reports are to be made, and which were: of runs that have ended, and of months. What is in
//! them is not known here.

pub(crate) mod report_queue;
