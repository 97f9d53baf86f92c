//! Words that steer the program are spelt once, in a type: the statements of the ledger, the
//! checker and the schema are held to it. Long statements stand in files of their own, and what a
//! statement prescribes to a database is explained beside it.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use payrun::checker;
use payrun::domain::answer::AnswerKind;
use payrun::domain::difference::DifferenceState;
use payrun::domain::history::{AttemptKind, EventKind};
use payrun::domain::item::{Alarm, State};
use payrun::domain::occurrence::OccurrenceState;
use payrun::domain::own_code::OwnCode;
use payrun::domain::subscription::{
    ContractChangeCode, ContractEvent, ContractStanding, PeriodState,
};
use payrun::job_kinds::JobKinds;
use payrun::ledger::{
    AlertEvent, ApprovalState, LaneState, LineKind, MailState, NotificationOutcome, PauseAction,
    PausedScope, ScheduleOff,
};

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

/// The words that a column is compared with, each list apart: `event = 'retry'`,
/// `e.event in ('retry', 'claim')`.
fn compared<'a>(text: &'a str, column: &str) -> Vec<Vec<&'a str>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(column) {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|before| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = text[at + column.len()..].trim_start();
        let one = ["=", "<>"].iter().find_map(|sign| rest.strip_prefix(sign));
        found.extend(
            one.and_then(|rest| quoted(rest.trim_start()))
                .map(|(word, _)| vec![word]),
        );
        let many = ["in (", "not in ("]
            .iter()
            .find_map(|sign| rest.strip_prefix(sign));
        found.extend(many.and_then(list));
    }
    // What a Rust string is filled with comes from a type.
    found.retain(|words| words.iter().all(|word| !word.contains('{')));
    found
}

/// The words of a type.
type KnownWords = BTreeSet<&'static str>;

fn words<T: Copy>(all: &[T], spelt: impl Fn(T) -> &'static str) -> KnownWords {
    all.iter().map(|one| spelt(*one)).collect()
}

/// The kinds of job that come with payrun.
fn job_kinds() -> KnownWords {
    let files = std::fs::read_dir(root().join("jobs")).unwrap();
    let name = |file: std::io::Result<std::fs::DirEntry>| {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        &*name.leak()
    };
    files.map(name).collect()
}

/// The columns that hold words, each with the types of which it may hold one: which, its table
/// says.
fn columns() -> Vec<(&'static str, Vec<KnownWords>)> {
    let state = || words(&State::ALL, State::as_str);
    let differences = || words(&DifferenceState::ALL, DifferenceState::as_str);
    vec![
        (
            "state",
            vec![
                state(),
                differences(),
                words(&PeriodState::ALL, PeriodState::as_str),
                ContractStanding::WORDS.into(),
                words(&OccurrenceState::ALL, |(word, _)| word),
                words(&ApprovalState::ALL, ApprovalState::as_str),
                words(&LaneState::ALL, LaneState::as_str),
                words(&MailState::ALL, MailState::as_str),
                // Of a settlement: the gateway's word.
                ["SETTLED"].into(),
            ],
        ),
        ("from_state", vec![state(), differences()]),
        ("to_state", vec![state(), differences()]),
        ("event", vec![words(&EventKind::ALL, EventKind::as_str)]),
        ("alarm", vec![words(&Alarm::ALL, Alarm::as_str)]),
        ("answer", vec![words(&AnswerKind::ALL, AnswerKind::as_str)]),
        (
            "kind",
            vec![
                words(&AttemptKind::ALL, AttemptKind::as_str),
                words(&LineKind::ALL, LineKind::as_str),
                job_kinds(),
            ],
        ),
        ("scope", vec![words(&PausedScope::ALL, PausedScope::as_str)]),
        (
            "change",
            vec![words(&ContractEvent::ALL, ContractEvent::as_str)],
        ),
        (
            "code",
            vec![
                words(&ContractChangeCode::ALL, ContractChangeCode::as_str),
                // Of an attempt: none.
                [""].into(),
            ],
        ),
        (
            "outcome",
            vec![words(
                &NotificationOutcome::ALL,
                NotificationOutcome::as_str,
            )],
        ),
        ("phase", vec![words(&AlertEvent::ALL, AlertEvent::as_str)]),
        (
            "action",
            vec![words(&PauseAction::ALL, PauseAction::as_str)],
        ),
    ]
}

/// What of the statements compares a column with words that no type has all of.
fn unknown(statements: &[(String, String)]) -> Vec<String> {
    let mut unknown = Vec::new();
    for (column, types) in columns() {
        let mut seen = 0;
        for (file, text) in statements {
            for words in compared(text, column) {
                let words: BTreeSet<&str> = words.into_iter().collect();
                if !types.iter().any(|known| words.is_subset(known)) {
                    unknown.push(format!("{file}: {column} {words:?}"));
                }
                seen += 1;
            }
        }
        assert!(
            seen > 0 || statements.len() == 1,
            "no statement compares {column}"
        );
    }
    unknown
}

#[test]
fn statements_compare_columns_with_words_of_one_type() {
    assert_eq!(unknown(&statements()), Vec::<String>::new());
}

#[test]
fn a_word_of_no_type_is_found_alone_and_among_others() {
    for wrong in [
        "state = 'parked'",
        "i.state in ('sending', 'parked')",
        "where state not in ('sending', 'waiting')",
        "event <> 'retried'",
        "outcome in ('applied', 'asked')",
        "p.scope = 'lane'",
    ] {
        let text = [("here".to_owned(), wrong.to_owned())];
        assert_eq!(unknown(&text).len(), 1, "{wrong}");
    }
    let right =
        "state in ('sending', 'pending') and from_state = 'planned' and other.estate = 'parked'";
    let right = [("here".to_owned(), right.to_owned())];
    assert_eq!(unknown(&right), Vec::<String>::new());
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
            // Lists of one word, and of the words of other types, are no sets of states; a list that
            // mixes them is held to its column above.
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
    once(&PeriodState::ALL, PeriodState::as_str, PeriodState::parse);
    once(
        &ContractEvent::ALL,
        ContractEvent::as_str,
        ContractEvent::parse,
    );
    once(
        &ContractChangeCode::ALL,
        ContractChangeCode::as_str,
        ContractChangeCode::parse,
    );
    once(&PausedScope::ALL, PausedScope::as_str, PausedScope::parse);
    once(&OwnCode::ALL, OwnCode::as_str, OwnCode::parse);
    once(&ScheduleOff::ALL, ScheduleOff::as_str, ScheduleOff::parse);
}

/// What payrun does by itself answers with its own codes, and no gateway's table lists one: who
/// reads a code knows whose it is.
#[test]
fn the_job_kinds_list_payruns_own_codes_only_of_what_payrun_does_itself() {
    let mut seen = HashSet::new();
    for kind in JobKinds::built_in().by_name.values() {
        for row in kind
            .gateways
            .values()
            .flat_map(|gateway| gateway.outcomes())
        {
            let words = [&row.code, &row.state].into_iter().flatten();
            for word in words.map(String::as_str) {
                let is_own = OwnCode::parse(word).is_some();
                assert_eq!(is_own, kind.local, "{}: {word}", kind.name);
                seen.extend(OwnCode::parse(word));
            }
        }
    }
    assert!(seen.contains(&OwnCode::NoStatement), "{seen:?}");
}

#[test]
fn payruns_own_codes_are_spelt_in_their_type_alone() {
    let (mut spelt, mut files) = (Vec::new(), Vec::new());
    for folder in [
        "crates/domain/src",
        "crates/engine/src",
        "crates/gateway/src",
    ] {
        gather(&root().join(folder), &mut files);
    }
    for folder in [
        "crates/project/src",
        "crates/ledger/src",
        "crates/alerts/src",
        "src",
    ] {
        gather(&root().join(folder), &mut files);
    }
    for (file, text) in files {
        let code = text.split("#[cfg(test)]").next().unwrap();
        let is_test = ["/tests.rs", "/tests/", "/rows.rs"]
            .iter()
            .any(|part| file.contains(part));
        if is_test || file.ends_with("domain/src/own_code.rs") {
            continue;
        }
        for word in strings(code) {
            let begins = word.split(':').next().unwrap_or_default();
            // Of a buyer who is not the payer the gateway says so, and in no code's place.
            let is_payer = file.ends_with("payer_check.rs") && begins == "DIFFERENT";
            // A group of states in a report.
            let is_group = file.ends_with("export/state_groups.rs") && begins == "not_sent";
            if OwnCode::parse(begins).is_some() && !is_payer && !is_group {
                spelt.push(format!("{file}: {word}"));
            }
        }
    }
    assert_eq!(spelt, Vec::<String>::new());
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

/// The words that a piece of Rust compares something with: behind `==` and `!=`, and in `matches!`.
fn compared_in_rust(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for sign in ["== ", "!= "] {
        for (at, _) in code.match_indices(sign) {
            let right = &code[at + sign.len()..];
            let end = if let Some(text) = right.strip_prefix('"') {
                text.find('"').map_or(0, |end| end + 2)
            } else if right.starts_with("(\"") {
                right.find(')').unwrap_or(0)
            } else {
                0
            };
            found.extend(literals(&right[..end]));
        }
    }
    for (at, macro_name) in code.match_indices("matches!(") {
        let arguments = &code[at + macro_name.len()..];
        let (mut depth, mut pattern, mut end) = (0, 0, 0);
        for (place, sign) in arguments.char_indices() {
            match sign {
                '(' => depth += 1,
                ')' if depth == 0 => {
                    end = place;
                    break;
                }
                ')' => depth -= 1,
                ',' if depth == 0 && pattern == 0 => pattern = place,
                _ => {}
            }
        }
        found.extend(literals(&arguments[pattern..end]));
    }
    found
}

fn literals(code: &str) -> impl Iterator<Item = &str> {
    code.split('"').skip(1).step_by(2)
}

/// Also where it names a word by the way.
#[test]
fn the_checker_compares_with_words_of_the_types() {
    let known: KnownWords = [
        words(&State::ALL, State::as_str),
        words(&EventKind::ALL, EventKind::as_str),
        words(&AttemptKind::ALL, AttemptKind::as_str),
        words(&ApprovalState::ALL, ApprovalState::as_str),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut seen = BTreeSet::new();
    for file in ["lib.rs", "approved.rs"] {
        let path = root().join("crates/checker/src").join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in compared_in_rust(code) {
            assert!(known.contains(word), "{file}: \"{word}\"");
            seen.insert(word.to_owned());
        }
    }
    // It would find none if it looked in a wrong way.
    for word in ["sending", "unsent", "late_done", "revoked", "approve"] {
        assert!(seen.contains(word), "{word} of {seen:?}");
    }
    assert_eq!(
        compared_in_rust(
            "a == \"x\" && matches!(text(b, \"c\"), \"y\" | \"z\") || d == (\"u\", \"v\")"
        ),
        ["x", "u", "v", "y", "z"]
    );
    let kinds = checker::EFFECTS.map(|(kind, _)| kind);
    assert!(
        kinds.iter().all(|kind| job_kinds().contains(kind)),
        "{kinds:?}"
    );
}

/// The texts in quotation marks of a piece of Rust, lines that are continued put together.
fn strings(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let from = &rest[at..];
        if from.starts_with("//") {
            rest = from.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(letter) = from.strip_prefix('\'') {
            // A character, which may be a quotation mark; or a lifetime.
            let end = match letter.strip_prefix('\\') {
                Some(escaped) => {
                    let mut behind = escaped.char_indices().skip(1);
                    behind.find(|(_, c)| *c == '\'').map(|(end, _)| end + 2)
                }
                None => letter.char_indices().nth(1).map(|(end, _)| end + 1),
            };
            let end = end.filter(|end| from[*end..].starts_with('\''));
            rest = &from[end.map_or(1, |end| end + 1)..];
        } else if let Some(text) = from.strip_prefix('"') {
            let mut escaped = false;
            let end = text.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let (text, behind) = text.split_at(end.unwrap_or(text.len()));
            let lines = text.split("\\\n").map(str::trim_start);
            found.push(lines.collect());
            rest = behind.strip_prefix('"').unwrap_or_default();
        } else {
            rest = &from[1..];
        }
    }
    found
}

/// Beyond that a statement has parts that need a word each.
const LONGEST: usize = 300;

#[test]
fn long_statements_are_files_of_their_own() {
    let begins = ["select ", "with ", "insert ", "update ", "delete "];
    let (mut long, mut seen) = (Vec::new(), 0);
    for (file, text) in statements() {
        if !file.ends_with(".rs") {
            continue;
        }
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
        for text in strings(code) {
            if begins
                .iter()
                .any(|begin| text.trim_start().starts_with(begin))
            {
                seen += 1;
                if text.len() > LONGEST {
                    long.push(format!("{file}: {}", &text[..60]));
                }
            }
        }
    }
    assert!(seen > 200, "{seen}");
    assert_eq!(long, Vec::<String>::new());
    let code = "let a = ['\"', '\\'', '\\\"', '\\n']; // \"no\"\nlet b: &'a str = \"one \\\n   two \\\"three\\\"\";";
    assert_eq!(strings(code), ["one two \\\"three\\\""]);
}

/// In a file of SQL anywhere, in Rust a few lines above.
#[test]
fn the_order_of_a_join_is_explained_where_it_is_prescribed() {
    const ABOVE: usize = 12;
    let mut silent = Vec::new();
    for (file, text) in statements() {
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
        let lines: Vec<&str> = code.lines().collect();
        let is_told = |line: &&str| {
            let line = line.trim_start();
            ["--", "//"].iter().any(|sign| line.starts_with(sign)) && line.contains("`cross join`")
        };
        for (at, line) in lines.iter().enumerate() {
            let near = if file.ends_with(".sql") {
                &lines[..]
            } else {
                &lines[at.saturating_sub(ABOVE)..=at]
            };
            if line.contains("cross join") && !near.iter().any(is_told) {
                silent.push(format!("{file}:{}", at + 1));
            }
        }
    }
    assert_eq!(silent, Vec::<String>::new());
}

/// The statements that read the rows of a list by position, each with its reason. In all others a
/// field has a name.
const BY_POSITION: [(&str, &str); 3] = [
    (
        "crates/ledger/src/items/write.sql",
        "every claim and settle takes a quarter longer by name (benches/README.md)",
    ),
    (
        "crates/ledger/src/items/write_at_once.sql",
        "the same lists, on a server",
    ),
    (
        "crates/ledger/src/admin/copied_table.rs",
        "list and statement are made from the same columns",
    ),
];

/// Whether a text reads a field of a list by its position: `value ->> 0`, `value ->> '$[0]'`, or by
/// a number that is filled in.
fn reads_by_position(text: &str) -> bool {
    let mut arrows = text.match_indices("->");
    arrows.any(|(at, arrow)| {
        let rest = &text[at + arrow.len()..];
        let (is_text, field) = match rest.strip_prefix('>') {
            Some(field) => (true, field.trim_start()),
            None => (false, rest.trim_start()),
        };
        let digits = field.trim_start_matches(['\'', '-']);
        digits.starts_with(|c: char| c.is_ascii_digit())
            || field.starts_with("'$[")
            || (is_text && field.starts_with('{'))
    })
}

#[test]
fn only_the_listed_statements_read_the_fields_of_a_list_by_position() {
    let by_position: BTreeSet<String> = statements()
        .into_iter()
        .filter(|(_, text)| reads_by_position(text))
        .map(|(file, _)| file)
        .collect();
    let listed = BY_POSITION.map(|(file, _)| file.to_owned());
    assert_eq!(by_position, BTreeSet::from(listed), "{BY_POSITION:#?}");
    for text in [
        "v.value ->> 0",
        "value->>12",
        "value -> 1",
        "value ->> '$[0]'",
        "value ->> -1",
        "value ->> '0'",
        "format!(\"value ->> {place}\")",
    ] {
        assert!(reads_by_position(text), "{text}");
    }
    for text in [
        "v.value ->> 'id'",
        "value -> 'id'",
        "fn row() -> {",
        "-> i64",
    ] {
        assert!(!reads_by_position(text), "{text}");
    }
}
