//! The names of types and files, read from the sources: each type name stands once, and neither a
//! type nor a file has a name that tells nothing of what is in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::root;

/// Where a gateway's protocol is written and read, on payrun's side and on the sandbox's: four
/// gateways say `Payment` and `Refund`, each with fields of its own.
fn is_wire(file: &str) -> bool {
    let folders = ["wechat/", "hipopay/", "egms/", "cbtis/"];
    ["crates/gateway/src/", "crates/sandbox/src/"]
        .iter()
        .filter_map(|crate_| file.strip_prefix(crate_))
        .any(|rest| folders.iter().any(|folder| rest.starts_with(folder)))
}

/// Words that once were names of types, and tell a reader nothing of what is held.
const TELL_NOTHING: &[&str] = &[
    "Again",
    "Asked",
    "Begun",
    "Believed",
    "By",
    "Came",
    "Deed",
    "Desk",
    "Different",
    "Doing",
    "Ended",
    "Found",
    "Granted",
    "Heard",
    "Hearing",
    "Held",
    "Herald",
    "Home",
    "Kept",
    "Known",
    "Letter",
    "Looked",
    "Met",
    "More",
    "Moved",
    "Named",
    "Noted",
    "Of",
    "Place",
    "Read",
    "Reached",
    "Said",
    "Scene",
    "Seen",
    "Sent",
    "Shown",
    "Standing",
    "Told",
    "Tried",
    "Troubled",
    "Turn",
    "Untold",
    "Want",
    "Wanted",
    "Way",
    "What",
    "When",
    "Where",
    "Which",
    "Wish",
    "Written",
    "Wrong",
];

/// Words that once were names of files and folders, whose content could not be guessed from them.
const FILES_TELL_NOTHING: &[&str] = &[
    "aside",
    "begin",
    "books",
    "by",
    "by_hand",
    "calm",
    "chance",
    "compose",
    "counter",
    "course",
    "declared",
    "desk",
    "direct",
    "doorway",
    "duty",
    "filed_again",
    "four",
    "gate",
    "here",
    "herald",
    "home",
    "keep",
    "late",
    "left_out",
    "lower",
    "moved",
    "news",
    "note",
    "parts",
    "person",
    "places",
    "planted",
    "play",
    "pulse",
    "seen",
    "shares",
    "stage",
    "stopped",
    "teller",
    "till",
    "told",
    "trial",
    "troubles",
    "turn",
    "twice",
    "wake",
];

/// Rust files of the program and its crates, tests left out, with their text before the tests at
/// their end.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    list(&root().join("src"), &mut files);
    for folder in std::fs::read_dir(root().join("crates")).unwrap() {
        list(&folder.unwrap().path().join("src"), &mut files);
    }
    assert!(files.len() > 300, "{files:?}");
    files
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
            let file = path.strip_prefix(root()).unwrap().display().to_string();
            (file, code.to_owned())
        })
        .collect()
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("tests") {
                list(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .ends_with("tests")
        {
            files.push(path);
        }
    }
}

/// The name that a line gives to a type. A `type` that is indented is one of a trait's, whose name
/// the trait gives.
fn type_name(line: &str) -> Option<&str> {
    let mut words = line.trim_start();
    if let Some(rest) = words.strip_prefix("pub") {
        words = match rest.strip_prefix('(') {
            Some(scope) => scope.split_once(") ")?.1,
            None => rest.strip_prefix(' ')?,
        };
    }
    let (kind, rest) = words.split_once(' ')?;
    let is_type = match kind {
        "struct" | "enum" | "trait" => true,
        "type" => !line.starts_with(' '),
        _ => false,
    };
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
    let name = &rest[..end.unwrap_or(rest.len())];
    (is_type && name.starts_with(|c: char| c.is_ascii_uppercase())).then_some(name)
}

fn types() -> BTreeMap<String, Vec<String>> {
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, code) in sources() {
        for name in code.lines().filter_map(type_name) {
            types.entry(name.to_owned()).or_default().push(file.clone());
        }
    }
    assert!(types.len() > 700, "{} types", types.len());
    types
}

#[test]
fn no_type_name_stands_twice_outside_the_wire_modules() {
    let twice: Vec<String> = types()
        .into_iter()
        .filter_map(|(name, mut files)| {
            files.retain(|file| !is_wire(file));
            (files.len() > 1).then(|| format!("{name}: {}", files.join(", ")))
        })
        .collect();
    assert_eq!(twice, Vec::<String>::new());
}

#[test]
fn a_type_is_named_for_what_it_holds() {
    let types = types();
    let empty: Vec<String> = TELL_NOTHING
        .iter()
        .filter_map(|name| Some(format!("{name}: {}", types.get(*name)?.join(", "))))
        .collect();
    assert_eq!(empty, Vec::<String>::new());
}

#[test]
fn a_file_is_named_for_what_is_in_it() {
    let mut files = Vec::new();
    list(&root().join("tests/it"), &mut files);
    let tests = files
        .into_iter()
        .map(|path| path.strip_prefix(root()).unwrap().display().to_string());
    let empty: Vec<String> = sources()
        .into_iter()
        .map(|(file, _)| file)
        .chain(tests)
        .filter(|file| {
            let mut words = file.trim_end_matches(".rs").split('/');
            words.any(|word| FILES_TELL_NOTHING.contains(&word))
        })
        .collect();
    assert_eq!(empty, Vec::<String>::new());
}
