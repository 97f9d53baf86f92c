//! The names of types and files, read from the sources: each type name stands once, and neither a
//! type nor a file has a name that tells nothing of what is in it. In tests too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::root;

/// Where bodies of a gateway's protocol are declared, on payrun's side and on the sandbox's, by the
/// names of files in the gateways' folders. Four gateways say `Payment` and `Refund`, each with
/// fields of its own, and the sandbox must not use the client's. Such a type is private to its file
/// or its gateway. Every other type of these folders has a name of its own.
const WIRE: [&str; 7] = [
    "wire.rs",
    "request.rs",
    "body.rs",
    "orders.rs",
    "refunds.rs",
    "customs.rs",
    "customs/body.rs",
];

fn is_wire(file: &str) -> bool {
    let gateways = ["wechat/", "hipopay/", "egms/", "cbtis/"];
    ["crates/gateway/src/", "crates/sandbox/src/"]
        .iter()
        .filter_map(|crate_| file.strip_prefix(crate_))
        .filter_map(|rest| gateways.iter().find_map(|folder| rest.strip_prefix(folder)))
        .any(|rest| WIRE.contains(&rest))
}

/// Words that once were names of types, and tell a reader nothing of what is held.
const TELL_NOTHING: &[&str] = &[
    "Again",
    "Asked",
    "Begun",
    "Believed",
    "By",
    "Came",
    "Chance",
    "Change",
    "Deed",
    "Desk",
    "Different",
    "Doing",
    "Doubt",
    "Ended",
    "Found",
    "Granted",
    "Heard",
    "Hearing",
    "Held",
    "Herald",
    "Hits",
    "Holds",
    "Home",
    "Kept",
    "Known",
    "Letter",
    "Link",
    "Looked",
    "Marks",
    "Met",
    "More",
    "Moved",
    "Named",
    "Noted",
    "Of",
    "Place",
    "Print",
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
    "chinese",
    "code_words",
    "compose",
    "counter",
    "course",
    "declared",
    "desk",
    "direct",
    "doorway",
    "duty",
    "every",
    "filed_again",
    "found",
    "four",
    "gate",
    "give_up",
    "here",
    "herald",
    "home",
    "identity",
    "keep",
    "late",
    "left_out",
    "life",
    "lower",
    "made",
    "moved",
    "news",
    "note",
    "parts",
    "person",
    "places",
    "planted",
    "play",
    "printable",
    "pulse",
    "reading",
    "seen",
    "shares",
    "shipped",
    "stage",
    "stopped",
    "stored",
    "teller",
    "till",
    "told",
    "trial",
    "troubles",
    "turn",
    "twice",
    "wake",
    "ways",
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

/// The Rust files of a folder and those beneath it, tests left out.
fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut all = Vec::new();
    list_all(folder, &mut all);
    let is_test = |path: &PathBuf| {
        let inside = path.strip_prefix(folder).unwrap();
        let words = inside.iter().map(|word| word.to_string_lossy());
        words
            .into_iter()
            .any(|word| word.trim_end_matches(".rs").ends_with("tests"))
    };
    files.extend(all.into_iter().filter(|path| !is_test(path)));
}

fn list_all(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list_all(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// All Rust files of the repository, those of tests too, by their names in it.
fn with_tests() -> Vec<String> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches"] {
        list_all(&root().join(folder), &mut files);
    }
    for folder in std::fs::read_dir(root().join("crates")).unwrap() {
        list_all(&folder.unwrap().path().join("src"), &mut files);
    }
    assert!(files.len() > 500, "{} files", files.len());
    let name = |path: PathBuf| path.strip_prefix(root()).unwrap().display().to_string();
    files.into_iter().map(name).collect()
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

/// The files in which each type is declared.
fn types(sources: Vec<(String, String)>) -> BTreeMap<String, Vec<String>> {
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, code) in sources {
        for name in code.lines().filter_map(type_name) {
            types.entry(name.to_owned()).or_default().push(file.clone());
        }
    }
    types
}

/// The names that stand more than once.
fn twice(types: BTreeMap<String, Vec<String>>) -> Vec<String> {
    types
        .into_iter()
        .filter(|(_, files)| files.len() > 1)
        .map(|(name, files)| format!("{name}: {}", files.join(", ")))
        .collect()
}

#[test]
fn no_type_name_stands_twice_outside_the_wire_modules() {
    let mut sources = sources();
    let all = sources.len();
    sources.retain(|(file, _)| !is_wire(file));
    let wire = all - sources.len();
    assert!((10..30).contains(&wire), "{wire} wire modules");
    let types = types(sources);
    assert!(types.len() > 600, "{} types", types.len());
    assert_eq!(twice(types), Vec::<String>::new());
}

/// What of a file is tests: all of it, its tests at its end, or nothing.
fn tests_of((file, text): (String, String)) -> Option<(String, String)> {
    let mut words = file.split('/');
    if words.any(|word| word.trim_end_matches(".rs").ends_with("tests")) {
        return Some((file, text));
    }
    let (_, tests) = text.split_once("\n#[cfg(test)]\nmod tests {")?;
    Some((file, tests.to_owned()))
}

#[test]
fn no_type_name_stands_twice_in_the_tests() {
    let files = texts(with_tests()).into_iter();
    let tests: Vec<_> = files.filter_map(tests_of).collect();
    let of_crates = |(file, _): &&(String, String)| file.starts_with("crates/");
    assert!(tests.iter().filter(of_crates).count() > 100);
    let types = types(tests);
    assert!(types.len() > 50, "{} types", types.len());
    assert_eq!(twice(types), Vec::<String>::new());
}

fn texts(files: Vec<String>) -> Vec<(String, String)> {
    let read = |file: String| {
        let text = std::fs::read_to_string(root().join(&file)).unwrap();
        (file, text)
    };
    files.into_iter().map(read).collect()
}

#[test]
fn a_type_is_named_for_what_it_holds() {
    let types = types(texts(with_tests()));
    let empty: Vec<String> = TELL_NOTHING
        .iter()
        .filter_map(|name| Some(format!("{name}: {}", types.get(*name)?.join(", "))))
        .collect();
    assert_eq!(empty, Vec::<String>::new());
}

#[test]
fn a_file_is_named_for_what_is_in_it() {
    let empty: Vec<String> = with_tests()
        .into_iter()
        .filter(|file| {
            let mut words = file.trim_end_matches(".rs").split('/');
            words.any(|word| FILES_TELL_NOTHING.contains(&word))
        })
        .collect();
    assert_eq!(empty, Vec::<String>::new());
}
