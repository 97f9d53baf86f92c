//! What the documentation says of itself: links lead somewhere, the book lists its pages, and
//! commands and files that it names exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

use crate::support::process::payrun;
use crate::support::{PATIENCE, Running, root};

/// The pages of the book.
fn book() -> Vec<PathBuf> {
    let mut folders = vec![root().join("docs")];
    let mut pages = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() > 20, "{pages:?}");
    pages
}

/// The book, and what else is read first.
fn pages() -> Vec<PathBuf> {
    let others = ["README.md", "CHANGELOG.md", "benches/README.md"].map(|name| root().join(name));
    book().into_iter().chain(others).collect()
}

fn read(page: &Path) -> String {
    std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}

/// The lines outside and inside of fenced code.
fn prose_and_code(text: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut prose, mut code, mut fenced) = (Vec::new(), Vec::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            code.push(line);
        } else {
            prose.push(line);
        }
    }
    assert!(!fenced, "a fence is not closed");
    (prose, code)
}

/// The code spans of prose, each within its line.
fn spans<'a>(prose: &[&'a str]) -> Vec<&'a str> {
    prose
        .iter()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

/// The anchors that GitHub and mdBook give to the headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for line in prose_and_code(text)
        .0
        .into_iter()
        .filter(|line| line.starts_with('#'))
    {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let mut again = 0;
        let mut name = anchor.clone();
        while !all.insert(name) {
            again += 1;
            name = format!("{anchor}-{again}");
        }
    }
    all
}

/// Where the links of a page lead, its code left out.
fn links(text: &str) -> Vec<String> {
    let (prose, _) = prose_and_code(text);
    let without_code: Vec<String> = prose
        .iter()
        .map(|line| line.split('`').step_by(2).collect::<Vec<_>>().join("code"))
        .collect();
    let all = without_code.join("\n");
    all.split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let mut broken = Vec::new();
    let mut followed = 0;
    for page in pages() {
        for link in links(&read(&page)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            followed += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(file)
            };
            if !target.exists() || (!anchor.is_empty() && !anchors(&read(&target)).contains(anchor))
            {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(followed > 100, "{followed} links");
}

#[test]
fn every_page_of_the_book_is_in_its_summary_once() {
    let docs = root().join("docs");
    let mut listed: Vec<PathBuf> = links(&read(&docs.join("SUMMARY.md")))
        .iter()
        .map(|page| docs.join(page))
        .collect();
    listed.sort();
    let mut there: Vec<PathBuf> = book()
        .into_iter()
        .filter(|page| !page.ends_with("SUMMARY.md"))
        .collect();
    there.sort();
    assert_eq!(there, listed);
    // Where mdBook looks for it.
    let settings = read(&root().join("book.toml"));
    let source: Vec<&str> = settings
        .lines()
        .filter(|line| line.starts_with("src ="))
        .collect();
    assert_eq!(source, ["src = \"docs\""]);
}

#[test]
fn the_readme_is_short() {
    let lines = read(&root().join("README.md")).lines().count();
    assert!(
        (120..=150).contains(&lines),
        "README.md has {lines} lines; what is longer belongs into the book"
    );
}

/// The day of the README's example: keys, and so order numbers, have its month.
const SHOWN_DAY: &str = "2026-11-29";

#[test]
fn the_readme_shows_what_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let printed = |args: &[&str]| {
        let ended = Running::start(payrun(
            &folder
                .path()
                .join(if args[0] == "init" { "." } else { "shop" }),
            args,
        ));
        ended.wait(PATIENCE).exits(0).stdout
    };
    printed(&["init", "shop"]);
    let plan = [
        "plan",
        "workflows/monthly-deductions.yaml",
        "--date",
        SHOWN_DAY,
    ];
    let printed = printed(&["check"]) + &printed(&plan);
    let readme = read(&root().join("README.md"));
    let shown = readme
        .split("```console\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let shown: Vec<&str> = shown
        .lines()
        .filter(|line| !line.starts_with("$ ") && *line != "…")
        .collect();
    assert!(shown.len() > 5, "{shown:?}");
    let missing: Vec<&&str> = shown
        .iter()
        .filter(|line| !printed.lines().any(|one| one == **line))
        .collect();
    assert!(missing.is_empty(), "{missing:#?} is not in\n{printed}");
}

/// What a command line names that there is not, among its words up to a comment or the next
/// command.
fn not_there(line: &str) -> Option<String> {
    let mut command = payrun::cli::Args::command();
    command.build();
    let mut command = &command;
    for word in line.split_whitespace() {
        if word.starts_with(['#', '|', '&', '>', '…', '[', '<', '"']) {
            break;
        }
        if let Some(option) = word.strip_prefix("--") {
            let name = option
                .split('=')
                .next()
                .unwrap()
                .trim_end_matches([')', ',', ';']);
            if name != "help"
                && !command
                    .get_arguments()
                    .any(|one| one.get_long() == Some(name))
            {
                return Some(format!("{} has no --{name}", command.get_name()));
            }
        } else if let Some(below) = command.find_subcommand(word) {
            command = below;
        } else if command.has_subcommands()
            && command.get_positionals().count() == 0
            && word.contains(char::is_lowercase)
        {
            return Some(format!("{} has no command {word}", command.get_name()));
        }
    }
    None
}

#[test]
fn every_command_of_the_documentation_exists() {
    assert_eq!(
        not_there("schedul history").as_deref(),
        Some("payrun has no command schedul")
    );
    assert_eq!(
        not_there("schedule history --sinse 3d").as_deref(),
        Some("history has no --sinse")
    );
    let mut wrong = Vec::new();
    let mut checked = 0;
    // The history names commands as they were.
    for page in pages()
        .iter()
        .filter(|page| !page.ends_with("CHANGELOG.md"))
    {
        let text = read(page);
        let (prose, code) = prose_and_code(&text);
        for line in code.into_iter().chain(spans(&prose)) {
            let line = line.trim().trim_start_matches("$ ");
            let Some(line) = line.strip_prefix("payrun ") else {
                continue;
            };
            checked += 1;
            wrong.extend(
                not_there(line).map(|why| format!("{}: payrun {line}: {why}", page.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 100, "{checked} commands");
}

/// Folders of this repository whose files the book names. A file of `src` or of a crate may be
/// named without that: `cli/run.rs`, `engine/plan.rs`.
const NAMED: [&str; 6] = [
    "src/",
    "crates/",
    "tests/",
    "jobs/",
    "migrations/",
    "benches/",
];

/// The file that a code span names, if it names one of this repository.
fn file_of(span: &str) -> Option<PathBuf> {
    let is_pattern =
        span.contains(|c: char| c.is_uppercase() || c.is_whitespace() || "*…".contains(c));
    let whole = NAMED.iter().any(|folder| span.starts_with(folder));
    let of_crate = || {
        let (name, rest) = span.split_once('/')?;
        let folder = root().join("crates").join(name).join("src");
        folder.exists().then(|| folder.join(rest))
    };
    let path = if whole {
        root().join(span)
    } else {
        of_crate().unwrap_or_else(|| root().join("src").join(span))
    };
    (!is_pattern && (whole || (span.contains('/') && span.ends_with(".rs")))).then_some(path)
}

#[test]
fn every_file_and_function_that_the_book_names_exists() {
    let mut missing = Vec::new();
    let (mut files, mut functions) = (0, 0);
    for page in book() {
        let text = read(&page);
        for line in prose_and_code(&text).0 {
            let parts: Vec<&str> = line.split('`').collect();
            for place in (1..parts.len()).step_by(2) {
                let Some(path) = file_of(parts[place]) else {
                    continue;
                };
                files += 1;
                if !path.exists() {
                    missing.push(format!("{}: {}", page.display(), parts[place]));
                    continue;
                }
                // `src/file.rs` (`function`), or with a comma.
                let name = parts
                    .get(place + 2)
                    .filter(|_| matches!(parts[place + 1], " (" | ", "));
                let name =
                    name.filter(|name| path.is_file() && !name.contains(['.', '/', ' ', ':', '(']));
                functions += usize::from(name.is_some());
                missing.extend(
                    name.filter(|name| !read(&path).contains(*name))
                        .map(|name| format!("{}: {} has no {name}", page.display(), parts[place])),
                );
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(
        files > 80 && functions > 8,
        "{files} files, {functions} functions"
    );
}
