//! What a part must not know, read from the sources: the table of layers, the clock, and SQL.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::root;

/// The crates of payrun that each crate may name. The compiler keeps a crate from what its
/// `Cargo.toml` does not name; this keeps the `Cargo.toml`.
const FLOORS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("checker", &[]),
    ("system", &["domain"]),
    ("yaml", &["domain", "system"]),
    ("gateway", &["domain", "system"]),
    ("project", &["domain", "system", "yaml", "gateway"]),
    ("ledger", &["domain", "system"]),
    (
        "engine",
        &["domain", "system", "yaml", "gateway", "project", "ledger"],
    ),
    ("alerts", &["domain", "system", "project", "ledger"]),
    ("sandbox", &["domain", "system", "gateway", "project"]),
    (
        "simulation",
        &[
            "domain", "system", "checker", "gateway", "project", "ledger", "engine", "sandbox",
        ],
    ),
];

/// What a crate may not name of other people's crates.
const KEPT_OUT: &[(&str, &[&str])] = &[
    (
        "domain",
        &[
            "tokio", "sqlx", "reqwest", "rustls", "axum", "apalis", "rand", "tracing",
        ],
    ),
    ("checker", &["tokio", "sqlx", "chrono", "serde"]),
    ("yaml", &["tokio", "sqlx", "reqwest"]),
    ("gateway", &["sqlx", "axum", "apalis"]),
    ("project", &["sqlx", "reqwest", "axum", "apalis", "hyper"]),
    ("ledger", &["reqwest", "axum", "apalis", "hyper", "http"]),
    ("engine", &["sqlx", "reqwest", "axum", "apalis", "hyper"]),
    ("alerts", &["sqlx", "reqwest", "axum", "apalis", "hyper"]),
    ("sandbox", &["axum", "apalis"]),
    (
        "simulation",
        &["sqlx", "reqwest", "axum", "apalis", "hyper"],
    ),
];

/// What a room's code may not mention, where no `Cargo.toml` keeps it away. Within a line, comments
/// left out.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("crates/domain/src/", &["std::fs", "std::env", "std::net"]),
    (
        "crates/gateway/src/statement/",
        &[
            "tokio",
            "reqwest",
            "http::",
            "serde_json",
            "std::fs",
            "std::env",
        ],
    ),
    // By these a client's keys are checked and serials spelled. What signs, verifies and seals is
    // private to the clients.
    (
        "crates/sandbox/src/",
        &[
            "payrun_gateway::key_check",
            "key_check",
            "payrun_gateway::wechat::account",
            "wechat::account",
        ],
    ),
    (
        "src/worker/",
        &[
            "axum",
            "crate::cli",
            "crate::sandbox",
            "crate::gateway::wechat",
        ],
    ),
    ("src/cli/", &["apalis"]),
    (
        "src/service/",
        &[
            "axum",
            "hyper",
            "apalis",
            "crate::cli",
            "crate::http",
            "crate::sandbox",
        ],
    ),
    (
        "src/http/",
        &[
            "apalis",
            "crate::cli",
            "crate::sandbox",
            "crate::worker",
            "crate::gateway::wechat",
        ],
    ),
];

/// A line of code.
struct Line {
    file: String,
    number: usize,
    code: String,
}

/// The code of the program and its crates, without comments and without the tests at the end of
/// files.
fn sources() -> Vec<Line> {
    let mut files = Vec::new();
    list(&root().join("src"), &mut files);
    for (name, _) in FLOORS {
        list(&root().join("crates").join(name).join("src"), &mut files);
    }
    assert!(files.len() > 50, "{files:?}");
    let mut lines = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = path.strip_prefix(root()).unwrap().display().to_string();
        let without_tests = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
        for (place, line) in without_tests.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default().to_owned();
            lines.push(Line {
                file: file.clone(),
                number: place + 1,
                code,
            });
        }
    }
    lines
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    list_ending(folder, &["rs"], files);
}

/// Files of a folder and those beneath it, tests in files of their own left out.
fn list_ending(folder: &Path, endings: &[&str], files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if path.is_dir() {
            list_ending(&path, endings, files);
        } else if ending.is_some_and(|ending| endings.contains(&ending))
            && !path.ends_with("tests.rs")
        {
            files.push(path);
        }
    }
}

/// Lines that hold one of these words, a word being bounded by what is no letter, digit or
/// underscore.
fn found<'a>(lines: impl Iterator<Item = &'a Line>, words: &[&str]) -> Vec<String> {
    let holds = |code: &str, word: &str| {
        let inside = |c: char| c.is_alphanumeric() || c == '_';
        code.match_indices(word).any(|(at, _)| {
            let before = code[..at]
                .chars()
                .next_back()
                .is_none_or(|c| !inside(c) && c != ':');
            let after = code[at + word.len()..]
                .chars()
                .next()
                .is_none_or(|c| !inside(c));
            before && (after || word.ends_with(':'))
        })
    };
    let mut found = Vec::new();
    for line in lines {
        found.extend(
            words
                .iter()
                .filter(|word| holds(&line.code, word))
                .map(|word| format!("{}:{} {word}", line.file, line.number)),
        );
    }
    found
}

/// The names under `[dependencies]` of a crate.
fn dependencies(name: &str) -> Vec<String> {
    let file = root().join("crates").join(name).join("Cargo.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, after) = text.split_once("[dependencies]\n").unwrap();
    let own = after.split("\n[").next().unwrap();
    own.lines()
        .filter_map(|line| line.split_once(['.', ' ']).map(|(name, _)| name.to_owned()))
        .collect()
}

#[test]
fn every_crate_names_only_those_beneath_it() {
    let folders = std::fs::read_dir(root().join("crates")).unwrap().count();
    assert_eq!(folders, FLOORS.len(), "each crate has its floor here");
    for (place, (name, beneath)) in FLOORS.iter().enumerate() {
        for under in *beneath {
            let floor = FLOORS.iter().position(|(other, _)| other == under);
            assert!(floor < Some(place), "{name} stands on {under}");
        }
        let dependencies = dependencies(name);
        let ours = dependencies
            .iter()
            .filter_map(|name| name.strip_prefix("payrun-"));
        let above: Vec<&str> = ours.filter(|ours| !beneath.contains(ours)).collect();
        assert_eq!(above, Vec::<&str>::new(), "{name} must not name these");
        let (_, words) = KEPT_OUT
            .iter()
            .find(|(of, _)| of == name)
            .unwrap_or(&("", &[]));
        let kept_out = |given: &&String| {
            let family =
                |word: &str| given.as_str() == word || given.starts_with(&format!("{word}-"));
            words.iter().any(|word| family(word))
        };
        let wrong: Vec<&String> = dependencies.iter().filter(kept_out).collect();
        assert_eq!(wrong, Vec::<&String>::new(), "{name} must not name these");
    }
}

#[test]
fn no_room_mentions_what_it_must_not_see() {
    let sources = sources();
    for (folder, words) in FORBIDDEN {
        let lines: Vec<&Line> = sources
            .iter()
            .filter(|line| line.file.starts_with(folder))
            .collect();
        assert!(!lines.is_empty(), "there is no {folder}");
        assert_eq!(
            found(lines.into_iter(), words),
            Vec::<String>::new(),
            "{folder} must not see these"
        );
    }
}

#[test]
fn only_the_clock_reads_the_clock() {
    let sources = sources();
    let elsewhere = sources
        .iter()
        .filter(|line| line.file != "crates/system/src/clock.rs");
    let reads = found(
        elsewhere,
        &[
            "Utc::now",
            "Local::now",
            "SystemTime::now",
            "chrono::Utc::now",
            "std::time::SystemTime",
        ],
    );
    assert_eq!(reads, Vec::<String>::new());
    // Stretches of time are tokio's, so that a test may drive them.
    let instants = sources.iter().filter(|line| {
        line.code.contains("Instant::now") && !line.code.contains("tokio::time::Instant::now")
    });
    let own: Vec<String> = instants
        .map(|line| format!("{}:{}", line.file, line.number))
        .collect();
    assert_eq!(own, Vec::<String>::new());
}

#[test]
fn sql_stands_in_the_ledger_only() {
    // The sandbox is another system with books of its own.
    let sources = sources();
    let elsewhere = sources.iter().filter(|line| {
        !line.file.starts_with("crates/ledger/src/")
            && line.file != "crates/sandbox/src/wechat/order_store.rs"
    });
    let starts = [
        "select ",
        "insert into ",
        "insert or ",
        "update items",
        "delete from ",
        "create table ",
        "pragma ",
        "begin immediate",
    ];
    let sql: Vec<String> = elsewhere
        .filter(|line| {
            line.code.split('"').skip(1).step_by(2).any(|text| {
                starts
                    .iter()
                    .any(|start| text.to_ascii_lowercase().starts_with(start))
            })
        })
        .map(|line| format!("{}:{} {}", line.file, line.number, line.code.trim()))
        .collect();
    assert_eq!(sql, Vec::<String>::new());
}

#[test]
fn only_the_state_machine_and_the_table_of_evidence_make_a_move() {
    let sources = sources();
    let makers: BTreeSet<&str> = sources
        .iter()
        .filter(|line| !line.code.contains("-> Move {") && !line.code.contains("struct Move {"))
        .filter(|line| !line.code.contains("impl Move {"))
        .filter(|line| !found([*line].into_iter(), &["Move {"]).is_empty())
        .map(|line| line.file.as_str())
        .collect();
    let known = [
        "crates/domain/src/evidence.rs",
        "crates/domain/src/item.rs",
        "crates/domain/src/mutation.rs",
    ];
    assert_eq!(makers, BTreeSet::from(known));
    // Nor is a move that was made changed in its state.
    let changed: Vec<String> = sources
        .iter()
        .filter(|line| !line.file.starts_with("crates/domain/src/"))
        .filter(|line| line.code.contains("moved.item.state = "))
        .map(|line| format!("{}:{}", line.file, line.number))
        .collect();
    assert_eq!(changed, Vec::<String>::new());
}

/// Statements that set the state of items, and why they may.
const SET_A_STATE: [(&str, &str); 6] = [
    (
        "crates/ledger/src/approvals/approval_batch.rs",
        "what is planned as waiting for approval: nobody has seen it yet",
    ),
    (
        "crates/ledger/src/items/write.sql",
        "writes the moves of the state machine",
    ),
    (
        "crates/ledger/src/items/write_at_once.sql",
        "the same, on PostgreSQL",
    ),
    (
        "crates/ledger/src/planning/reject_contradicted.sql",
        "what is planned as rejected: nobody has seen it yet",
    ),
    (
        "crates/ledger/src/planning/reject_parts.sql",
        "the same, of a whole that is planned beside its parts",
    ),
    (
        "crates/ledger/src/planning/reject_planned.sql",
        "the same, of rows that another row contradicts",
    ),
];

/// Whether a text has a statement that sets the state of items.
fn sets_a_state(text: &str) -> bool {
    let without_comments = text
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default());
    let text = without_comments.collect::<Vec<_>>().join(" ");
    let text = text.replace(['\\', '\n'], " ").to_ascii_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    text.match_indices("update items ").any(|(at, _)| {
        let rest = &text[at..];
        let end = [" where ", " from "]
            .iter()
            .filter_map(|word| rest.find(word));
        let set = &rest[..end.min().unwrap_or(rest.len())];
        let assigned = set.split_once(" set ").map_or("", |(_, set)| set);
        assigned.split(',').any(|one| {
            one.split('=')
                .next()
                .is_some_and(|name| name.trim() == "state")
        })
    })
}

#[test]
fn only_named_statements_set_the_state_of_an_item() {
    assert!(sets_a_state(
        "update items set reason = $1, state = 'failed' where id = $2"
    ));
    assert!(!sets_a_state(
        "update items set next_at = case when state = 'planned' then 1 end where state = 'planned'"
    ));
    let mut files = Vec::new();
    list_ending(
        &root().join("crates/ledger/src"),
        &["rs", "sql"],
        &mut files,
    );
    let mut set: Vec<String> = files
        .into_iter()
        .filter(|path| sets_a_state(&std::fs::read_to_string(path).unwrap()))
        .map(|path| path.strip_prefix(root()).unwrap().display().to_string())
        // What a seeded fault says is wrong on purpose.
        .filter(|file| file != "crates/ledger/src/mutation.rs")
        .collect();
    set.sort_unstable();
    assert_eq!(set, SET_A_STATE.map(|(file, _)| file));
}

#[test]
fn an_engine_is_put_together_for_a_project_and_for_the_simulation_alone() {
    let sources = sources();
    let made: Vec<&str> = sources
        .iter()
        .filter(|line| !line.file.contains("/tests/"))
        .filter(|line| line.code.contains("Engine::new("))
        .map(|line| line.file.as_str())
        .collect();
    assert_eq!(made, ["src/app.rs", "crates/simulation/src/steps/mod.rs"]);
}

#[test]
fn floats_are_used_nowhere() {
    let floats = found(sources().iter(), &["f32", "f64"]);
    assert_eq!(floats, Vec::<String>::new());
}

#[test]
fn only_secrets_and_the_command_line_read_the_environment() {
    let sources = sources();
    let elsewhere = sources.iter().filter(|line| {
        let allowed = [
            "crates/project/src/config/secrets.rs",
            "crates/system/src/failpoint.rs",
            "src/main.rs",
        ];
        !allowed.contains(&line.file.as_str()) && !line.file.starts_with("src/cli/")
    });
    assert_eq!(
        found(
            elsewhere,
            &["std::env::var", "env::var", "std::env::args", "env::vars"]
        ),
        Vec::<String>::new()
    );
}

#[test]
fn nothing_is_left_to_do_in_the_sources() {
    let marks = ["todo!", "unimplemented!", "dbg!"];
    let left: Vec<String> = sources()
        .iter()
        .filter(|line| marks.iter().any(|mark| line.code.contains(mark)))
        .map(|line| format!("{}:{}", line.file, line.number))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn only_the_edge_writes_to_a_terminal() {
    let sources = sources();
    // A child process that reads a workbook writes to a pipe; a completion script is our own.
    let edge = [
        "src/cli/output.rs",
        "src/cli/log.rs",
        "src/cli/completions.rs",
        "crates/project/src/workflow/source/xlsx/child_process.rs",
    ];
    let lines = sources
        .iter()
        .filter(|line| !edge.contains(&line.file.as_str()) && !line.code.contains("is_terminal"));
    let writes = ["print!(", "println!(", "io::stdout()", "io::stderr()"];
    let wrong = lines.filter(|line| writes.iter().any(|word| line.code.contains(word)));
    let wrong: Vec<String> = wrong
        .map(|line| format!("{}:{}", line.file, line.number))
        .collect();
    assert_eq!(
        wrong,
        Vec::<String>::new(),
        "these write past src/cli/output.rs, where nothing steers a terminal"
    );
}
