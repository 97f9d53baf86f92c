//! Why rows are not taken, in the language of whoever reads it: every reason has its sentence in every
//! language, and pages and files say it in one language from beginning to end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::service::Service;
use crate::support::visitor::Visitor;
use crate::support::{App, root};

/// A string literal at the beginning of a text, with what stands behind it.
fn literal(text: &str) -> Option<(String, &str)> {
    let mut read = String::new();
    let mut chars = text.trim_start().strip_prefix('"')?.char_indices();
    let text = text.trim_start().strip_prefix('"')?;
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((read, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                '\n' => {
                    while chars.clone().next().is_some_and(|(_, c)| c == ' ') {
                        chars.next();
                    }
                }
                c => read.push(c),
            },
            c => read.push(c),
        }
    }
    None
}

/// The names that stand in braces.
fn names(english: &str) -> BTreeSet<String> {
    let is_name =
        |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let ends = english.split('{').skip(1);
    let named = ends.filter_map(|rest| Some(rest.split_once('}')?.0));
    named.filter(is_name).map(str::to_owned).collect()
}

/// Every file of code, without its tests and its docs.
fn sources(folder: &Path, take: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, take);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let lines = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            take(
                &path,
                &lines.map(|line| format!("{line}\n")).collect::<String>(),
            );
        }
    }
}

/// A reason as the code says it: its English, and the arguments that it is given.
struct Reason {
    english: String,
    given: BTreeSet<String>,
}

/// The reasons of the code, by id.
fn reasons() -> BTreeMap<String, Reason> {
    let mut reasons: BTreeMap<String, Reason> = BTreeMap::new();
    let mut take = |path: &Path, text: &str| {
        // What is put in is said in the same file.
        let mut given: BTreeSet<String> = text
            .split(".with(")
            .skip(1)
            .filter_map(|call| Some(literal(call)?.0))
            .collect();
        if text.contains(".with(FIELD") {
            given.insert("field".to_owned());
        }
        for call in text.split("Message::new(").skip(1) {
            let (id, rest) = literal(call).unwrap_or_else(|| panic!("{path:?}: {call:.80}"));
            let (english, _) = literal(rest.trim_start_matches(',')).unwrap();
            let reason = Reason {
                english: english.clone(),
                given: given.clone(),
            };
            let before = reasons.insert(id.clone(), reason);
            let same = before.is_none_or(|before| before.english == english);
            assert!(same, "{id} is said in two ways");
        }
    };
    for folder in fs::read_dir(root().join("crates")).unwrap() {
        sources(&folder.unwrap().path().join("src"), &mut take);
    }
    sources(&root().join("src"), &mut take);
    reasons
}

/// The sentences of a language, by id.
fn sentences(language: &str) -> BTreeMap<String, String> {
    let file = root().join(format!("src/reasons/{language}/reasons.ftl"));
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once(" = "));
    let mut sentences = BTreeMap::new();
    for (id, sentence) in pairs {
        let again = sentences.insert(id.to_owned(), sentence.to_owned());
        assert!(again.is_none(), "{language} has {id} twice");
    }
    sentences
}

#[test]
fn every_reason_is_given_what_stands_in_its_sentence() {
    for (id, reason) in reasons() {
        for name in names(&reason.english) {
            assert!(reason.given.contains(&name), "{id} is not given {name}");
        }
    }
}

#[test]
fn every_reason_has_its_sentence_in_every_language() {
    let reasons = reasons();
    assert!(reasons.len() > 200, "{}", reasons.len());
    for language in ["zh-Hans", "zh-Hant"] {
        let sentences = sentences(language);
        let said: BTreeSet<&String> = sentences.keys().collect();
        let known: BTreeSet<&String> = reasons.keys().collect();
        let missing: Vec<_> = known.difference(&said).collect();
        let more: Vec<_> = said.difference(&known).collect();
        assert!(
            missing.is_empty() && more.is_empty(),
            "{language}: missing {missing:?}, more {more:?}"
        );
        for (id, sentence) in &sentences {
            let plain = sentence.replace("{ $", "{").replace(" }", "}");
            // The English note on a field is for those who read English.
            let mut expected = names(&reasons[id].english);
            expected.remove("doc");
            assert_eq!(names(&plain), expected, "{language}: {id}");
        }
    }
}

/// Words by which an English sentence is known.
const ENGLISH: [&str; 24] = [
    "the", "is", "of", "and", "it", "has", "this", "that", "not", "takes", "may", "must", "with",
    "are", "only", "column", "cell", "line", "row", "no", "already", "too", "does", "contains",
];

/// No English stands in a reason but what it quotes: values of the file, commands, and what is
/// written in a workflow.
fn is_chinese(reason: &str) {
    let mut plain = String::new();
    let mut quoted = false;
    for c in reason.chars() {
        match c {
            '「' | '」' | '`' | '"' => quoted = c == '「' || (c != '」' && !quoted),
            c if !quoted => plain.push(c),
            _ => {}
        }
    }
    let words = plain.split(|c: char| !c.is_ascii_alphabetic());
    let english: Vec<&str> = words.filter(|word| ENGLISH.contains(word)).collect();
    assert!(english.is_empty(), "{english:?}: {reason}");
    assert!(!reason.contains("{$"), "{reason}");
    let is_han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    assert!(reason.contains(is_han), "{reason}");
}

/// Rows of contracts of which none is taken as it stands, each for another reason.
const WRONG: &str = "contract_id,plan,amount,currency,active
W-01,basic,,HKD,yes
W-02,basic,4x,HKD,yes
W-03,basic,-1.00,HKD,yes
W-04,basic,0,HKD,yes
W-05,basic,1.234,HKD,yes
W-06,basic,99999999999999999999,HKD,yes
W-07,basic,9999999.00,HKD,yes
W-08,basic,38.00,hk$,yes
W-09,basic,38.00,rmb,yes
,basic,38.00,HKD,yes
W 11,basic,38.00,HKD,yes
'W-12,basic,38.00,HKD,yes
W-13`,basic,38.00,HKD,yes
W;14,basic,38.00,HKD,yes
W－15,basic,38.00,HKD,yes
2.01507E+17,basic,38.00,HKD,yes
1234567890123450000,basic,38.00,HKD,yes
1-Mar,basic,38.00,HKD,yes
W-19é,basic,38.00,HKD,yes
W-20,basic😀,38.00,HKD,yes
W-21,basic,38.00,HKD
W-22,basic,38.00,HKD,yes,more
W-23,basic,38.00,HKD,Yes
W-24,basic,38.00,HKD,yes
W-24,basic,39.00,HKD,yes
W-25,basic,38.00,HKD,yes
W-25,basic,38.00,HKD,yes
W-26,\"basic,38.00,HKD,yes
W-27,basic,38.00,HKD,yes
";

/// The texts of a table's cells that have the class of words.
fn words(page: &str) -> Vec<String> {
    let cells = page.split("<td class=\"words\">").skip(1);
    let text = |cell: &str| cell.split("</td>").next().unwrap().to_owned();
    cells
        .map(text)
        .map(|cell| cell.replace("&quot;", "\"").replace("&#39;", "'"))
        .collect()
}

#[test]
fn every_bad_row_of_a_file_is_told_in_chinese_before_it_is_sent_and_after() {
    let app = App::with_contracts("");
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    ann.post("/settings", &[("language", "zh-Hans"), ("timezone", "")]);
    let fields = [("target", "deductions/deduct"), ("encoding", "")];
    let sent = ann.upload("/upload", &fields, ("扣款.csv", WRONG.as_bytes()));
    assert_eq!(sent.status, 303, "{}", sent.html);
    let page = ann.page(&sent.location);
    let shown = words(&page);
    // Of each row its key and the reason.
    assert!(shown.len() > 40, "{page}");
    for reason in shown.iter().skip(1).step_by(2) {
        is_chinese(reason);
    }
    assert!(
        page.contains("amount 为空") && page.contains("金额 0 须大于零"),
        "{page}"
    );

    app.write(
        "data/contracts.csv",
        format!("{WRONG}W-28,basic,38.00,HKD,yes\n").replace("W-26,\"basic", "W-26,basic"),
    );
    app.run().exits(3);
    for (lang, empty) in [
        ("en", "amount is empty"),
        ("zh", "amount 为空"),
        ("zh-Hant", "amount 為空"),
    ] {
        let back = format!("back-{lang}.csv");
        app.payrun(&["rows", "1", "--rejected", "--lang", lang, "-o", &back])
            .exits(0);
        let text = fs::read_to_string(app.path(&back)).unwrap();
        assert!(text.contains(empty), "{text}");
        for line in text.lines().skip(1).filter(|_| lang != "en") {
            is_chinese(line.split_once("yes").map_or(line, |(_, reason)| reason));
        }
    }
    let of_api = "/api/v1/exports/rejected-rows?run=1&format=csv&lang=zh-Hant";
    let token = service.token("cleo", "operator");
    let sent = service.get(&token, of_api).body;
    assert!(sent.as_str().unwrap().contains("amount 為空"), "{sent}");
    // Given once more, the rows have their items: that is said likewise, and on the item's page.
    app.run();
    let items = app.json_lines(&["items", "2", "--state", "skipped", "--json"]);
    let skipped = &items[0];
    let page = ann.page(&format!("/items/{}", skipped["item"]));
    assert!(page.contains("运行 1 已有此键"), "{page}");
}

#[test]
fn an_address_that_means_nothing_is_told_in_chinese() {
    let app = App::with_contracts("");
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    ann.post("/settings", &[("language", "zh-Hans"), ("timezone", "")]);
    for (address, said) in [
        ("/items/99", "没有条目 99"),
        ("/runs/99", "没有运行 99"),
        ("/items?stat=failed", "此页没有字段「stat」"),
        ("/items?run=x", "run 应为数字"),
        ("/items?state=broken", "状态只能是"),
        ("/items?currency=hk$", "币种应为"),
        ("/items?since=tomorrow", "since 是日期"),
    ] {
        let page = ann.get(address).html;
        assert!(page.contains(said), "{address}: {page}");
    }
}

#[test]
fn why_an_item_failed_and_an_action_was_left_undone_is_told_in_chinese() {
    let app = App::with_contracts(
        "contract_id,plan,amount,currency,active\nC-1,basic,38.00,HKD,yes\nC-2-poor,basic,38.00,HKD,yes\n",
    );
    app.run().exits(3);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let cases = [
        (
            "zh-Hans",
            "被拒绝：NOT_ENOUGH",
            "成功；只有尚未结束的才能撤回",
        ),
        (
            "zh-Hant",
            "被拒絕：NOT_ENOUGH",
            "成功；只有尚未結束的才能撤回",
        ),
    ];
    for (key, (language, declined, withdrawn)) in cases.into_iter().enumerate() {
        ann.post("/settings", &[("language", language), ("timezone", "")]);
        for page in ["/items/2", "/items"] {
            let page = ann.page(page);
            assert!(page.contains(declined), "{page}");
            // Neither the reason nor the move of the timeline that has it.
            assert!(!page.contains("declined: "), "{page}");
        }
        let key = format!("{key:032x}");
        let late = [("key", key.as_str()), ("reason", "too late")];
        let refused = ann.post("/items/1/cancel", &late);
        assert_eq!(refused.status, 409, "{}", refused.html);
        assert!(refused.html.contains(withdrawn), "{}", refused.html);
    }
    // For programs, logs and the command line it is what it was.
    let failed = app.json(&["show", "--item", "2", "--json"]);
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.starts_with("declined: NOT_ENOUGH"), "{failed}");
}
