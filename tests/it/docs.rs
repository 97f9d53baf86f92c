//! What the documentation says of itself: links lead somewhere, the book lists its pages, and
//! commands and files that it names exist. And what the sources cite of it exists.

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

/// The names that stand beside a Rust file: `src/file.rs` (`one`, `two`), or after a comma.
fn functions_beside<'a>(parts: &[&'a str], file: usize, path: &Path) -> Vec<&'a str> {
    let is_rust = path.extension().is_some_and(|ending| ending == "rs");
    let is_name = |name: &str| {
        let inside = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        name.chars().all(inside) && file_of(name).is_none()
    };
    parts[file + 1..]
        .chunks_exact(2)
        .take_while(|pair| matches!(pair[0], " (" | ", " | ", then " | " and ") && is_name(pair[1]))
        .filter(|_| is_rust)
        .map(|pair| pair[1])
        .collect()
}

/// Whether a file declares a function, or a type, of this name.
fn declares(text: &str, name: &str) -> bool {
    let name = name.rsplit("::").next().unwrap();
    let kinds = ["fn ", "struct ", "enum ", "trait ", "const ", "mod "];
    kinds.iter().any(|kind| {
        let declared = format!("{kind}{name}");
        text.match_indices(&declared).any(|(at, _)| {
            let after = text[at + declared.len()..].chars().next();
            after.is_some_and(|after| !after.is_alphanumeric() && after != '_')
        })
    })
}

#[test]
fn every_file_and_function_that_the_book_names_exists() {
    assert!(declares("fn abandon<'a>(", "abandon") && !declares("fn abandoned(", "abandon"));
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
                for name in functions_beside(&parts, place, &path) {
                    functions += 1;
                    if !declares(&read(&path), name) {
                        missing.push(format!(
                            "{}: {} has no {name}",
                            page.display(),
                            parts[place]
                        ));
                    }
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(
        files > 80 && functions > 11,
        "{files} files, {functions} functions"
    );
}

/// The files of Rust and SQL that the comments of a source name in code spans.
fn files_in_comments(text: &str) -> Vec<&str> {
    let comments = text.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("//").or(line.strip_prefix("--"))
    });
    let names = |name: &&str| {
        let is_path = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        (name.ends_with(".rs") || name.ends_with(".sql")) && name.chars().all(is_path)
    };
    spans(&comments.collect::<Vec<_>>())
        .into_iter()
        .filter(names)
        .collect()
}

/// Whether a file that a source names is there: as the book would name it, or from the folder of
/// the source, of its module or of its crate.
fn is_there(named: &str, source: &Path) -> bool {
    let own = source.ancestors().skip(1);
    let of_crate = own.take_while(|folder| *folder != root());
    let module = source.with_extension("");
    let mut folders = of_crate.chain([module.as_path()]);
    file_of(named).is_some_and(|path| path.exists())
        || folders.any(|folder| folder.join(named).exists())
}

#[test]
fn every_file_that_a_comment_of_the_sources_names_exists() {
    let source = root().join("crates/ledger/src/items/settle.rs");
    for (comment, there) in [
        ("//! See `claim.rs`.", true),
        (
            "    /// See `items/claim.rs` and `ledger/items/claim.rs`.",
            true,
        ),
        ("// See `crates/ledger/src/items/claim.rs`.", true),
        ("-- See `nowhere.sql`.", false),
        (
            "// See `approvals.rs` and `ledger/items/nowhere.rs`.",
            false,
        ),
    ] {
        let named = files_in_comments(comment);
        assert!(!named.is_empty(), "{comment}");
        assert_eq!(named.iter().all(|named| is_there(named, &source)), there);
    }
    let (mut missing, mut checked) = (Vec::new(), 0);
    let mut folders = ["src", "crates", "tests", "benches", "migrations"]
        .map(|folder| root().join(folder))
        .to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let ending = path.extension().and_then(|ending| ending.to_str());
            if path.is_dir() {
                folders.push(path);
            } else if matches!(ending, Some("rs" | "sql")) && !path.ends_with("tests/it/docs.rs") {
                let text = read(&path);
                for named in files_in_comments(&text) {
                    checked += 1;
                    if !is_there(named, &path) {
                        missing.push(format!("{}: {named}", path.display()));
                    }
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(checked > 30, "{checked} files");
}

/// Gateways' pages that are cited as a whole, by what is about the whole of a gateway.
fn is_about_a_whole_gateway(file: &str) -> bool {
    ["wechat", "hipopay", "egms", "cbtis"].iter().any(|name| {
        let client = format!("crates/gateway/src/{name}/");
        [format!("{client}mod.rs"), format!("{client}account.rs")].contains(&file.to_owned())
            || file == format!("crates/project/src/config/{name}.rs")
    })
}

/// A page with fewer lines is read as a whole.
const SHORT_PAGE: usize = 100;

/// The sources and what goes with them, by their names in the repository. A comment that goes over
/// several lines is one line.
fn texts_that_cite() -> Vec<(String, String)> {
    let mut folders: Vec<PathBuf> = NAMED.iter().map(|folder| root().join(folder)).collect();
    folders.push(root().join("workflows"));
    let endings = ["rs", "sql", "yaml", "py", "sh", "toml"];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            let ending = path.extension().and_then(|ending| ending.to_str());
            if path.is_dir() {
                folders.push(path);
            } else if ending.is_some_and(|ending| endings.contains(&ending))
                && name != "tests/it/docs.rs"
            {
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                let lines = text.lines().map(|line| {
                    let marks = |c: char| "/!#-".contains(c) || c.is_whitespace();
                    line.trim_start_matches(marks)
                });
                texts.push((name, lines.collect::<Vec<_>>().join(" ")));
            }
        }
    }
    texts
}

/// What a text cites of the book: pages, each with the heading that stands quoted behind it.
fn citations(text: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("docs/") {
        // An address, or a path from elsewhere.
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || "/.-_".contains(c)) {
            continue;
        }
        let rest = &text[at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "/.-_".contains(c)));
        let (page, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let page = page.trim_end_matches(['.', '/']);
        if page.ends_with(".md") || page == "docs/gateways" {
            let heading = rest
                .strip_prefix(", \"")
                .and_then(|rest| rest.split('"').next());
            found.push((page.to_owned(), heading.map(str::to_owned)));
        }
    }
    found
}

/// The headings of a gateway's own document that a text cites: the page of ours about it, and the
/// heading.
fn headings_of_gateways(text: &str) -> Vec<(&'static str, String)> {
    let gateways = [("CBTIS", "cbtis"), ("EGMS", "egms"), ("HipoPay", "hipopay")];
    let mut found = Vec::new();
    for (name, page) in gateways {
        for cited in text.split(&format!("the {name} document, \"")).skip(1) {
            let parts: Vec<&str> = cited.split('"').collect();
            let between = parts[1..].iter().step_by(2);
            let more = between.take_while(|between| matches!(**between, " and " | ", "));
            let headings = parts.iter().step_by(2).take(1 + more.count());
            found.extend(headings.map(|heading| (page, (*heading).to_owned())));
        }
    }
    found
}

#[test]
fn every_heading_that_the_sources_cite_of_a_gateway_stands_on_our_page_about_it() {
    let cited = "the EGMS document, \"One\" and \"Two\"; the CBTIS document, \"Three\".";
    let told = |(page, heading): (&'static str, &str)| (page, heading.to_owned());
    assert_eq!(
        headings_of_gateways(cited),
        [("cbtis", "Three"), ("egms", "One"), ("egms", "Two")].map(told)
    );
    let (mut missing, mut checked) = (Vec::new(), 0);
    for (file, text) in texts_that_cite() {
        for (page, heading) in headings_of_gateways(&text) {
            checked += 1;
            let ours = read(&root().join(format!("docs/gateways/{page}.md")));
            if !ours.contains(&heading) {
                missing.push(format!("{file}: {page}.md does not name \"{heading}\""));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(checked > 10, "{checked} headings");
}

/// What is wrong with a citation, if anything is.
fn wrong_citation(file: &str, page: &str, heading: Option<&str>) -> Option<String> {
    // A folder stands for all its pages.
    let gateways = ["wechat", "hipopay", "egms", "cbtis"];
    let pages: Vec<PathBuf> = if page == "docs/gateways" {
        let page = |name| root().join(format!("docs/gateways/{name}.md"));
        gateways.map(page).to_vec()
    } else {
        vec![root().join(page)]
    };
    let Some(heading) = heading else {
        let is_long = |page: &PathBuf| read(page).lines().count() > SHORT_PAGE;
        if page.starts_with("docs/gateways/") && pages.iter().all(|page| page.exists()) {
            return (pages.iter().any(is_long) && !is_about_a_whole_gateway(file))
                .then(|| format!("{file}: {page} is long: name the heading"));
        }
        let there = pages.iter().all(|page| page.exists());
        return (!there).then(|| format!("{file}: there is no {page}"));
    };
    pages.iter().find_map(|path| {
        let there = path.exists()
            && prose_and_code(&read(path)).0.iter().any(|line| {
                line.starts_with('#') && line.trim_start_matches('#').trim() == heading
            });
        (!there).then(|| format!("{file}: {} has no heading \"{heading}\"", path.display()))
    })
}

#[test]
fn every_page_and_heading_that_the_sources_cite_exists() {
    let wechat = "docs/gateways/wechat.md";
    assert_eq!(wrong_citation("", wechat, Some("Encrypted fields")), None);
    assert!(wrong_citation("", wechat, Some("Sensitive fields")).is_some());
    assert!(wrong_citation("", wechat, None).is_some());
    assert!(wrong_citation("", "docs/none.md", None).is_some());
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for (file, text) in texts_that_cite() {
        for (page, heading) in citations(&text) {
            checked += 1;
            wrong.extend(wrong_citation(&file, &page, heading.as_deref()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 90, "{checked} citations");
}

#[test]
fn the_page_about_testing_lists_every_file_of_tests_once() {
    let page = read(&root().join("docs/testing.md"));
    let table = page.split("## Which test is for what?").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("| "))
        .collect();
    let cells: Vec<&str> = rows[1..]
        .iter()
        .map(|row| row.split('|').nth(2).unwrap())
        .collect();
    let mut listed = spans(&cells);
    listed.sort_unstable();
    let main = read(&root().join("tests/it/main.rs"));
    let mut there: Vec<&str> = main
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    there.sort_unstable();
    assert_eq!(there, listed);
}
