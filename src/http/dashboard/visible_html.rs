//! What pages show of texts: HTML cannot be put in, and characters that are not seen stand by their
//! numbers, so that nobody is shown another name than there is.

use std::fmt;

use askama::filters::{Escaper, Html};

use crate::domain::text::is_unseen;

/// The escaper of the templates. What a browser is to send back as it was, the value of a field, is
/// escaped as `exact` instead.
#[derive(Debug, Clone, Copy)]
pub struct VisibleHtml;

impl Escaper for VisibleHtml {
    fn write_escaped_str<W: fmt::Write>(&self, mut dest: W, string: &str) -> fmt::Result {
        let mut rest = string;
        while let Some((at, unseen)) = rest.char_indices().find(|(_, c)| is_marked(*c)) {
            Html.write_escaped_str(&mut dest, &rest[..at])?;
            write!(dest, "[U+{:04X}]", u32::from(unseen))?;
            rest = &rest[at + unseen.len_utf8()..];
        }
        Html.write_escaped_str(dest, rest)
    }
}

/// Lines and columns are seen.
fn is_marked(c: char) -> bool {
    is_unseen(c) && !matches!(c, '\n' | '\r' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_stands_by_its_number_and_html_is_text() {
        let shown = |text: &str| {
            let mut out = String::new();
            VisibleHtml.write_escaped_str(&mut out, text).unwrap();
            out
        };
        assert_eq!(
            shown("a\u{202e}<b>\u{200b}"),
            "a[U+202E]&#60;b&#62;[U+200B]"
        );
        assert_eq!(shown("一行\n二行\t三"), "一行\n二行\t三");
    }
}
