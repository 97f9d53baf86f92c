//! Sentences for people that tests look for. Each is a snapshot: after a sentence was reworded,
//! `UPDATE_EXPECT=1 cargo nextest run` writes the line in its place that is most like it.

use std::collections::HashSet;

use expect_test::Expect;

/// Asserts that a text has a sentence in it.
#[track_caller]
pub fn assert_said(text: impl AsRef<str>, sentence: Expect) {
    let text = text.as_ref();
    if !text.contains(sentence.data()) {
        sentence.assert_eq(&most_like(text, sentence.data()));
    }
}

/// The lines of a text that share the most words with a sentence, as many as it has.
fn most_like(text: &str, sentence: &str) -> String {
    let words: HashSet<&str> = sentence.split_whitespace().collect();
    let lines: Vec<&str> = text.lines().collect();
    let height = sentence.lines().count().clamp(1, lines.len().max(1));
    let shared = |lines: &&[&str]| {
        let all = lines.iter().flat_map(|line| line.split_whitespace());
        all.filter(|word| words.contains(word)).count()
    };
    let best = lines.windows(height).max_by_key(shared);
    best.map_or_else(String::new, |lines| lines.join("\n").trim().to_owned())
}

#[test]
fn the_line_that_is_most_like_a_sentence_takes_its_place() {
    let text = "error: the lane hk stands still\n  help: payrun lane release hk\n";
    assert_eq!(
        most_like(text, "the lane hk is suspended"),
        "error: the lane hk stands still"
    );
    assert_eq!(
        most_like(text, "lane\nhelp: payrun release"),
        text.trim_end()
    );
    assert_eq!(most_like("", "anything"), "");
}
