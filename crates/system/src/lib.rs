//! What payrun asks of the machine it runs on: the clock, files that are for their owner, files
//! that somebody else named, and the places where a test ends the process.

pub mod clock;
pub mod errors;
pub mod failpoint;
pub mod private_files;
pub mod regular_file;
