//! YAML with places: every mistake of a file is reported at once, where it stands.
//!
//! [`node`] reads text into a tree of nodes with positions, within bounds. [`fields`] holds the
//! declarations that both the checks and the JSON Schema are made of. [`diagnostics`] shows what is
//! wrong. Nothing here knows what a file is about.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

pub mod diagnostics;
pub mod fields;
pub mod node;
pub mod scalars;
pub mod schema;

use diagnostics::{Diagnostic, Diagnostics, SourceText};
use node::Position;

use payrun_system::regular_file;

/// The longest YAML file that is read, in bytes.
pub const FILE_MAX: usize = 1024 * 1024;

/// Reads a YAML file's text. `confidential` keeps lines that may hold secrets out of diagnostics.
///
/// # Errors
/// If it cannot be read, is longer than [`FILE_MAX`], or is not UTF-8.
pub fn read(path: &Path, confidential: bool) -> Result<Arc<SourceText>, Diagnostics> {
    let name = path.display().to_string();
    let refuse = |message: String, help: &str| {
        let at = Position { line: 1, column: 1 };
        let mut diagnostic = Diagnostic::bare(&name, at, message);
        diagnostic.help = Some(help.to_owned());
        Err(Diagnostics::from(diagnostic))
    };
    let mut bytes = Vec::new();
    let read = regular_file::open(path)
        .and_then(|file| file.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return refuse(
            format!("the file cannot be read: {error}"),
            "check the path and its permissions",
        );
    }
    if bytes.len() > FILE_MAX {
        return refuse(
            "the file is longer than 1 MiB".to_owned(),
            "rows belong in a CSV or JSON Lines file",
        );
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SourceText::new(&name, text, confidential)),
        Err(_) => refuse("the file is not UTF-8 text".to_owned(), "save it as UTF-8"),
    }
}
