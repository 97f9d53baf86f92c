//! Every page says everything in every language, and nothing is said that no page says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::root;

const LANGUAGES: [&str; 3] = ["en", "zh-Hans", "zh-Hant"];

/// Beginnings of ids that are made of a word of our own, such as a state; those of `word("…", …)`
/// are found in the sources.
const MADE: [&str; 6] = ["state-", "role-", "error-", "group-", "related-", "delay-"];

/// The messages of a language: the id, and the names of what is put in.
fn messages(language: &str) -> BTreeMap<String, BTreeSet<String>> {
    let folder = root().join("src/locales").join(language);
    let mut messages = BTreeMap::new();
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let mut id = String::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, _)) = line.split_once(" =")
                && line.starts_with(|c: char| c.is_ascii_lowercase())
            {
                id = name.to_owned();
                let again = messages.insert(id.clone(), BTreeSet::new());
                assert!(again.is_none(), "{language} has {id} twice");
            }
            for put_in in line.split('$').skip(1) {
                let name = put_in
                    .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                    .next()
                    .unwrap();
                messages.get_mut(&id).unwrap().insert(name.to_owned());
            }
        }
    }
    messages
}

/// Every file of the dashboard's code and templates.
fn sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("locales") {
                sources(&path, into);
            }
        } else if path
            .extension()
            .is_some_and(|extension| extension == "rs" || extension == "html")
        {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_language_has_every_message_and_what_is_put_into_it() {
    let english = messages("en");
    for language in LANGUAGES {
        let own = messages(language);
        let missing: Vec<_> = english.keys().filter(|id| !own.contains_key(*id)).collect();
        let more: Vec<_> = own.keys().filter(|id| !english.contains_key(*id)).collect();
        assert!(
            missing.is_empty() && more.is_empty(),
            "{language}: {missing:?} {more:?}"
        );
        for (id, put_in) in &own {
            // A language without plurals need not name the number, which stands beside it as text.
            let allowed: BTreeSet<String> = english[id].iter().cloned().collect();
            assert!(put_in.is_subset(&allowed), "{language}: {id}");
            let shown = |names: &BTreeSet<String>| names.iter().filter(|name| *name != "n").count();
            assert_eq!(shown(put_in), shown(&allowed), "{language}: {id}");
        }
    }
}

#[test]
fn every_message_is_said_and_everything_said_is_a_message() {
    let english = messages("en");
    let mut text = String::new();
    sources(&root().join("src/http/dashboard"), &mut text);
    let quoted: BTreeSet<&str> = text.split('"').collect();
    let lists: BTreeSet<String> = text
        .split("word(\"")
        .skip(1)
        .map(|call| format!("{}-", call.split('"').next().unwrap()))
        .chain(MADE.map(str::to_owned))
        .collect();
    let unsaid: Vec<&String> = english
        .keys()
        .filter(|id| {
            !quoted.contains(id.as_str()) && !lists.iter().any(|list| id.starts_with(list.as_str()))
        })
        .collect();
    assert!(unsaid.is_empty(), "nothing says {unsaid:?}");
    for call in ["say(\"", "say_with(\"", "say_count(\""] {
        for said in text.split(call).skip(1) {
            let id = said.split('"').next().unwrap();
            assert!(english.contains_key(id), "no message {id}");
        }
    }
}

#[test]
fn every_job_kind_of_the_project_has_a_name_in_the_catalogues() {
    let english = messages("en");
    for entry in fs::read_dir(root().join("jobs")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(english.contains_key(&format!("kind-{name}")), "{name}");
    }
}
