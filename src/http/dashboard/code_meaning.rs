//! What a code of a reply means, in the reader's language: as the outcome tables have it, and as
//! payrun itself says it.

use super::frame::PageFrame;
use crate::domain::answer::DeclineClass;
use crate::export::ExportContext;
use crate::export::code_meanings::CodeMeaning;
use crate::job_kinds::remedies;
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
        CodeMeaning::Own(own) => {
            let words = page.word("own", own.as_str());
            Some(page.say_with("said-by-payrun", &[("words", &words)]))
        }
        CodeMeaning::Declined(class, advice) => {
            let advice = advice.map(|advice| page.reason(&remedies::told(&advice)));
            let class_words = page.word("class", class.as_str());
            let words = [said_of(page, class, code), Some(class_words), advice];
            let words: Vec<String> = words.into_iter().flatten().collect();
            Some(words.join(page.viewer.language.semicolon()))
        }
        CodeMeaning::NotProcessed => Some(page.say("code-not-processed")),
        CodeMeaning::Nothing(cause) => Some(page.word("cause", cause.as_str())),
    }
}

/// What a person may do about an item that failed with a code; none where its own words say it.
pub(super) fn remedy(
    page: &PageFrame,
    context: &ExportContext,
    job: &JobRow,
    code: &str,
) -> Option<String> {
    match CodeMeaning::of(context, job, code) {
        CodeMeaning::Declined(class, None) => {
            let own = said_of(page, class, code).and_then(|_| remedy_for(page, code));
            own.or_else(|| remedy_for(page, &format!("class-{}", class.as_str())))
        }
        CodeMeaning::Declined(_, Some(_))
        | CodeMeaning::NoCode
        | CodeMeaning::Unlisted
        | CodeMeaning::Own(_)
        | CodeMeaning::NotProcessed
        | CodeMeaning::Nothing(_) => None,
    }
}

/// What a gateway says by a code, where it is about the payer or the payment: the same code about our
/// own account says something else.
fn said_of(page: &PageFrame, class: DeclineClass, code: &str) -> Option<String> {
    match class {
        DeclineClass::Soft | DeclineClass::Hard | DeclineClass::Spent | DeclineClass::Person => {
            page.viewer.language.word("said", code)
        }
        DeclineClass::Config | DeclineClass::Funds => None,
    }
}

/// What there is to do about a code, or a class; none where the catalogue has nothing.
fn remedy_for(page: &PageFrame, word: &str) -> Option<String> {
    page.viewer.language.word("remedy", word)
}
