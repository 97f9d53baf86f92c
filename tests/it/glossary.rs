//! The words that people and programs read: each that payrun prints for a state, an answer or an
//! outcome is in the glossary, once, and words that were given up are no longer names.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Command, CommandFactory as _};
use payrun::domain::answer::{AnswerKind, DeclineClass};
use payrun::domain::history::EventKind;
use payrun::domain::item::State;
use payrun::domain::occurrence::OccurrenceState;
use payrun::domain::subscription::ContractStanding;
use payrun::ledger::{ApprovalState, LaneState, NotificationOutcome};

use crate::support::root;

/// The first cells of the glossary's tables, by the heads of their columns.
fn glossary() -> BTreeMap<String, Vec<String>> {
    let page = std::fs::read_to_string(root().join("docs/glossary.md")).unwrap();
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut head = None;
    for line in page.lines() {
        let first = line
            .strip_prefix("| ")
            .and_then(|row| row.split(" | ").next());
        match (first, &head) {
            (Some(cell), None) => head = Some(cell.to_owned()),
            (Some(cell), Some(head)) => {
                let words = tables.entry(head.clone()).or_default();
                words.extend(cell.split(", ").map(str::to_owned));
            }
            (None, _) if line.starts_with("|---") => {}
            (None, _) => head = None,
        }
    }
    tables
}

/// What payrun prints, by the head of the table that explains it.
fn printed() -> BTreeMap<&'static str, Vec<&'static str>> {
    // An answer to a call is an event by its own word, which has its own table.
    let is_answer = |event: &EventKind| matches!(event, EventKind::Answered(_));
    let events = EventKind::ALL.into_iter().filter(|event| !is_answer(event));
    BTreeMap::from([
        ("State", State::ALL.map(State::as_str).to_vec()),
        ("Event", events.map(EventKind::as_str).collect()),
        ("Answer", AnswerKind::ALL.map(AnswerKind::as_str).to_vec()),
        (
            "Class of a decline",
            DeclineClass::ALL.map(DeclineClass::as_str).to_vec(),
        ),
        ("Lane", LaneState::ALL.map(LaneState::as_str).to_vec()),
        ("Contract", ContractStanding::WORDS.to_vec()),
        (
            "Approval",
            ApprovalState::ALL.map(ApprovalState::as_str).to_vec(),
        ),
        (
            "Occurrence",
            OccurrenceState::ALL.map(|(word, _)| word).to_vec(),
        ),
        (
            "Outcome",
            NotificationOutcome::ALL
                .map(NotificationOutcome::as_str)
                .to_vec(),
        ),
    ])
}

#[test]
fn every_word_that_is_printed_is_in_the_glossary_once() {
    let tables = glossary();
    for (head, words) in printed() {
        let explained = tables
            .get(head)
            .unwrap_or_else(|| panic!("no table {head}"));
        let sorted = |words: &mut dyn Iterator<Item = String>| {
            let mut words: Vec<String> = words.collect();
            words.sort_unstable();
            words
        };
        let word = |cell: &String| match cell.split_once(" (") {
            Some((word, _)) => word.to_owned(),
            None => cell.clone(),
        };
        assert_eq!(
            sorted(&mut explained.iter().map(word)),
            sorted(&mut words.iter().map(|word| (*word).to_owned())),
            "{head}"
        );
    }
    // Across all tables: a word of several things says in brackets of what.
    let all: Vec<&String> = tables.values().flatten().collect();
    let mut once = BTreeSet::new();
    let twice: Vec<&&String> = all.iter().filter(|cell| !once.insert(**cell)).collect();
    assert!(twice.is_empty(), "explained twice: {twice:?}");
    let words = &tables["Word"];
    assert!(words.len() > 60, "{words:?}");
}

/// Words that were given up for the field's own; none is a name any more.
const GIVEN_UP: [&str; 22] = [
    "held",
    "parked",
    "park",
    "forget",
    "forgotten",
    "forgotten_at",
    "episode",
    "episodes",
    "trouble",
    "troubles",
    "looks",
    "told",
    "news",
    "unlisted",
    "look-up",
    "look_up",
    "nothing_new",
    "lane_held",
    "sends",
    "asks",
    "asking",
    "declines",
];

/// The words of a text that are given up.
fn given_up(text: &str) -> Vec<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        .filter(|word| GIVEN_UP.contains(word))
        .map(str::to_owned)
        .collect()
}

/// A line without its comment and its quoted sentences, which may use any word.
fn names(line: &str, comment: &str) -> String {
    let code = line.split(comment).next().unwrap_or_default();
    code.split('"').step_by(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn no_word_that_was_given_up_is_a_name_in_the_schema_or_the_files() {
    let mut found = Vec::new();
    for (folder, comment) in [
        ("migrations/sqlite", "--"),
        ("migrations/postgres", "--"),
        ("jobs", "#"),
        ("workflows", "#"),
    ] {
        let mut read = 0;
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            read += 1;
            for (place, line) in text.lines().enumerate() {
                for word in given_up(&names(line, comment)) {
                    found.push(format!("{}:{}: {word}", path.display(), place + 1));
                }
            }
        }
        assert!(read > 5, "{folder}");
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_word_that_was_given_up_is_a_name_in_the_docs() {
    let mut found = Vec::new();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|ending| ending != "md") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for (place, line) in text.lines().enumerate() {
                // What stands in backticks is a name; but the name of a test is a sentence.
                let spans = line.split('`').skip(1).step_by(2);
                let spans = spans.filter(|span| !span.contains("::"));
                for word in spans.flat_map(given_up) {
                    found.push(format!("{}:{}: {word}", path.display(), place + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// The names of a command, of its options and values, and of those beneath it.
fn command_names(command: &Command, names: &mut Vec<String>) {
    names.push(command.get_name().to_owned());
    for argument in command.get_arguments() {
        names.push(argument.get_id().to_string());
        names.extend(argument.get_long().map(str::to_owned));
        let values = argument.get_possible_values();
        names.extend(values.iter().map(|value| value.get_name().to_owned()));
    }
    command
        .get_subcommands()
        .for_each(|below| command_names(below, names));
}

#[test]
fn no_word_that_was_given_up_is_a_command_or_an_option() {
    let mut names = Vec::new();
    command_names(&payrun::cli::Args::command(), &mut names);
    assert!(names.len() > 200, "{names:?}");
    let found: Vec<&String> = names
        .iter()
        .filter(|name| !given_up(name).is_empty())
        .collect();
    assert!(found.is_empty(), "{found:?}");
}
