//! What a code of a reply means, in the reader's language: as the outcome tables have it, and as
//! payrun itself says it.

use super::frame::PageFrame;
use crate::export::ExportContext;
use crate::export::code_meanings::CodeMeaning;
use crate::ledger::JobRow;

/// What a code of a job's gateway means and what to do; none where nobody has said that.
pub(super) fn meaning(
    page: &PageFrame,
    context: &ExportContext,
    job: &JobRow,
    code: &str,
) -> Option<String> {
    match CodeMeaning::of(context, job, code) {
        CodeMeaning::NoCode | CodeMeaning::Unlisted => None,
        CodeMeaning::Own(own) => Some(page.word("own", &own.as_str().to_ascii_lowercase())),
        CodeMeaning::Declined(class, advice) => {
            let class = page.word("class", class.as_str());
            let advice = advice.map(|advice| format!("; {advice}"));
            Some(format!("{class}{}", advice.unwrap_or_default()))
        }
        CodeMeaning::NotProcessed => Some(page.say("code-not-processed")),
        CodeMeaning::Nothing(cause) => Some(page.word("cause", cause.as_str())),
    }
}
