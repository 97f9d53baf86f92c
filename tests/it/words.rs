//! Words that steer the program are spelt once, in a type: the statements of the ledger, the
//! checker and the schema are held to it.

use std::collections::BTreeSet;
use std::path::Path;

use payrun::checker;
use payrun::domain::answer::AnswerKind;
use payrun::domain::history::{AttemptKind, EventKind};
use payrun::domain::item::{Alarm, State};

use crate::support::root;

/// The statements of the ledger and the schema of both databases, as text.
fn statements() -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for folder in ["crates/ledger/src", "migrations"] {
        gather(&root().join(folder), &mut texts);
    }
    assert!(texts.len() > 40, "{}", texts.len());
    texts
}

fn gather(folder: &Path, texts: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, texts);
        } else if path
            .extension()
            .is_some_and(|kind| kind == "rs" || kind == "sql")
        {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            // What a seeded fault says is wrong on purpose.
            if !name.ends_with("/mutation.rs") {
                texts.push((name, text));
            }
        }
    }
}

/// What stands in quotation marks at the beginning of this text, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('\'')?.split_once('\'')
}

/// The words of a list `('one', 'two')` whose opening bracket was just read; none if it is none.
fn list(mut text: &str) -> Option<Vec<&str>> {
    let mut words = Vec::new();
    loop {
        let (word, rest) = quoted(text.trim_start())?;
        words.push(word);
        let rest = rest.trim_start();
        match rest.strip_prefix(',') {
            // A long list goes on in the next line of a Rust string.
            Some(rest) => text = rest.trim_start().trim_start_matches('\\').trim_start(),
            None => return rest.starts_with(')').then_some(words),
        }
    }
}

/// The words that a column is compared with: `event = 'retry'`, `e.event in ('retry', 'claim')`.
fn compared<'a>(text: &'a str, column: &str) -> Vec<&'a str> {
    let mut words = Vec::new();
    for (at, _) in text.match_indices(column) {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|before| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = text[at + column.len()..].trim_start();
        let one = ["=", "<>"].iter().find_map(|sign| rest.strip_prefix(sign));
        words.extend(
            one.and_then(|rest| quoted(rest.trim_start()))
                .map(|(word, _)| word),
        );
        let many = ["in (", "not in ("]
            .iter()
            .find_map(|sign| rest.strip_prefix(sign));
        words.extend(many.and_then(list).into_iter().flatten());
    }
    words
}

#[test]
fn statements_name_only_sets_of_states_that_have_a_name() {
    let named: Vec<BTreeSet<State>> = State::SETS
        .iter()
        .map(|set| set.iter().copied().collect())
        .collect();
    let (mut found, mut unnamed) = (BTreeSet::new(), Vec::new());
    for (file, text) in statements() {
        for (at, _) in text.match_indices("in (") {
            let words = list(&text[at + "in (".len()..]).unwrap_or_default();
            let states: Option<BTreeSet<State>> =
                words.iter().map(|word| State::parse(word)).collect();
            // Lists of one word, and of the words of other types, are no sets of states.
            let Some(states) = states.filter(|states| states.len() > 1) else {
                continue;
            };
            if !named.contains(&states) {
                unnamed.push(format!("{file}: {words:?}"));
            }
            found.insert(states);
        }
    }
    assert_eq!(unnamed, Vec::<String>::new());
    let unused: Vec<_> = named.iter().filter(|set| !found.contains(*set)).collect();
    assert!(unused.is_empty(), "no statement names {unused:?}");
}

#[test]
fn statements_compare_columns_of_the_history_with_words_of_their_types() {
    type IsKnown = fn(&str) -> bool;
    let columns: [(&str, IsKnown); 4] = [
        ("event", |word| EventKind::parse(word).is_some()),
        ("alarm", |word| Alarm::parse(word).is_some()),
        ("answer", |word| AnswerKind::parse(word).is_some()),
        ("a.kind", |word| AttemptKind::parse(word).is_some()),
    ];
    for (column, is_known) in columns {
        let mut seen = 0;
        for (file, text) in statements() {
            for word in compared(&text, column) {
                assert!(
                    is_known(word),
                    "{file}: {column} is compared with \"{word}\""
                );
                seen += 1;
            }
        }
        assert!(seen > 0, "no statement compares {column}");
    }
}

#[test]
fn each_word_has_one_meaning() {
    fn once<T: Copy + PartialEq + std::fmt::Debug>(
        all: &[T],
        spelt: impl Fn(T) -> &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) {
        for one in all {
            assert_eq!(read(spelt(*one)), Some(*one));
        }
    }
    once(&State::ALL, State::as_str, State::parse);
    once(&EventKind::ALL, EventKind::as_str, EventKind::parse);
    once(&AttemptKind::ALL, AttemptKind::as_str, AttemptKind::parse);
    once(&AnswerKind::ALL, AnswerKind::as_str, AnswerKind::parse);
    once(&Alarm::ALL, Alarm::as_str, Alarm::parse);
}

/// The checker knows nothing of payrun and keeps lists of its own. Where one of them says another
/// thing than payrun's types, one of the two is wrong.
#[test]
fn the_checker_and_the_types_say_the_same() {
    fn set<'a>(words: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        words.into_iter().collect()
    }
    assert_eq!(
        set(checker::MAY_HAVE_MOVED),
        set(State::MAY_HAVE_MOVED.map(State::as_str))
    );
    let evidence = EventKind::ALL.into_iter().filter(|kind| kind.is_evidence());
    assert_eq!(set(checker::EVIDENCE), set(evidence.map(EventKind::as_str)));
    let told = AttemptKind::ALL.into_iter().filter(|kind| !kind.is_call());
    assert_eq!(set(checker::NO_CALLS), set(told.map(AttemptKind::as_str)));
    for word in checker::TOLD {
        assert!(
            EventKind::parse(word).is_some_and(EventKind::is_evidence),
            "{word}"
        );
    }
}
