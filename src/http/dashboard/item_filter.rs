//! Which items a page is about: read from an address or a form, written into addresses and
//! commands, and said in words.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::command_line::shell_word;
use super::errors::PageError;
use super::frame::PageFrame;
use super::page_fields::PageFields;
use crate::domain::item::State;
use crate::domain::message::{Message, MessageArgument};
use crate::ledger::{AmountIn, BulkItems, ItemFilter};

/// Sets of states that people look for together.
const TOGETHER: [(&str, &[State]); 4] = [
    ("group-unknown", &[State::Unknown, State::Pending]),
    (
        "group-went-wrong",
        &[State::Failed, State::NeedsReview, State::Rejected],
    ),
    ("group-retried", &State::NEEDS_A_PERSON),
    ("group-not-sent", &State::TO_BE_SENT),
];

/// The filter that these fields say.
pub(super) fn read_filter(fields: &mut PageFields) -> Result<ItemFilter, PageError> {
    Ok(ItemFilter {
        run_id: fields.number("run")?,
        workflow: fields.take("workflow"),
        job: fields.take("job"),
        lane: fields.take("gateway"),
        states: states(fields.take("state"))?,
        reason: fields.take("reason"),
        code: fields.take("code"),
        currency: currency(fields.take("currency"))?,
        bulk: bulk_items(fields)?,
        ..ItemFilter::default()
    })
}

fn currency(word: Option<String>) -> Result<Option<AmountIn>, PageError> {
    let wrong = || {
        PageError::invalid(Message::new(
            "filter-currency",
            "a currency is a code such as HKD, or none",
        ))
    };
    word.map(|word| AmountIn::parse(word.trim()).ok_or_else(wrong))
        .transpose()
}

fn bulk_items(fields: &mut PageFields) -> Result<Option<BulkItems>, PageError> {
    let bulk_action = fields.number("bulk_action")?;
    let only_untouched = match fields.take("untouched").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            return Err(PageError::invalid(Message::new(
                "filter-untouched",
                "untouched is true or false",
            )));
        }
    };
    match bulk_action {
        None if only_untouched => Err(PageError::invalid(Message::new(
            "filter-untouched-alone",
            "untouched goes with bulk_action: untouched since when?",
        ))),
        None => Ok(None),
        Some(bulk_action) => Ok(Some(BulkItems {
            bulk_action,
            only_untouched,
        })),
    }
}

fn states(words: Option<String>) -> Result<Vec<State>, PageError> {
    let words = words.unwrap_or_default();
    let words = words.split(',').map(str::trim);
    let state = |word: &str| {
        State::parse(word).ok_or_else(|| {
            let known: Vec<&str> = State::ALL.into_iter().map(State::as_str).collect();
            PageError::invalid(
                Message::new("filter-state", "a state is one of {states}")
                    .with("states", MessageArgument::names(known)),
            )
        })
    };
    words.filter(|word| !word.is_empty()).map(state).collect()
}

/// A filter in words.
pub(super) struct FilterPart {
    /// The field of the form and the address.
    pub name: &'static str,
    /// What it is called.
    pub label: &'static str,
    /// Its value as addresses have it.
    pub value: String,
    /// The states, where these are meant.
    pub states: Vec<State>,
    /// Whether its label says all.
    pub is_flag: bool,
}

/// The parts of a filter that are given.
pub(super) fn filter_parts(filter: &ItemFilter) -> Vec<FilterPart> {
    let text = |name, label, value: Option<String>| {
        let value = value.filter(|value| !value.is_empty())?;
        Some(FilterPart {
            name,
            label,
            value,
            states: Vec::new(),
            is_flag: false,
        })
    };
    let states = text("state", "state", Some(state_words(&filter.states)));
    let bulk = filter.bulk;
    let untouched = bulk.filter(|bulk| bulk.only_untouched);
    let untouched = text(
        "untouched",
        "bulk-untouched",
        untouched.map(|_| "true".to_owned()),
    );
    let parts = [
        text("run", "run", filter.run_id.map(|run| run.to_string())),
        text("workflow", "workflow", filter.workflow.clone()),
        text("job", "job", filter.job.clone()),
        text("gateway", "gateway", filter.lane.clone()),
        states.map(|part| FilterPart {
            states: filter.states.clone(),
            ..part
        }),
        text("reason", "reason-has", filter.reason.clone()),
        text("code", "code", filter.code.clone()),
        text(
            "currency",
            "search-currency",
            filter.currency.map(|currency| currency.as_str().to_owned()),
        ),
        text(
            "bulk_action",
            "bulk-number",
            bulk.map(|bulk| bulk.bulk_action.to_string()),
        ),
        untouched.map(|part| FilterPart {
            is_flag: true,
            ..part
        }),
    ];
    parts.into_iter().flatten().collect()
}

/// The words of states, as addresses have them.
pub(super) fn state_words(states: &[State]) -> String {
    let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    words.join(",")
}

/// A filter as the query of an address.
pub(super) fn filter_query(filter: &ItemFilter) -> String {
    let part = |part: FilterPart| {
        let value = utf8_percent_encode(&part.value, NON_ALPHANUMERIC);
        format!("{}={value}", part.name)
    };
    let parts: Vec<String> = filter_parts(filter).into_iter().map(part).collect();
    parts.join("&")
}

/// A filter as the API's export has it, where one part is called otherwise.
pub(super) fn export_query(filter: &ItemFilter) -> String {
    let query = filter_query(filter);
    let parts = query.split('&').map(|part| {
        part.strip_prefix("reason=")
            .map_or_else(|| part.to_owned(), |text| format!("reason_has={text}"))
    });
    parts.collect::<Vec<_>>().join("&")
}

/// A filter as the arguments of a command.
pub(super) fn filter_arguments(filter: &ItemFilter) -> String {
    let part = |part: FilterPart| {
        let option = match part.name {
            "reason" => "with-reason",
            "bulk_action" => "bulk-action",
            name => name,
        };
        if part.is_flag {
            return format!(" --{option}");
        }
        format!(" --{option}={}", shell_word(&part.value))
    };
    filter_parts(filter).into_iter().map(part).collect()
}

/// A choice of states in a form.
pub(super) struct StateChoice {
    /// As addresses have it.
    pub value: String,
    pub label: String,
    pub is_chosen: bool,
}

/// What can be chosen of the states; what is chosen is among it, whatever it is.
pub(super) fn state_choices(page: &PageFrame, chosen: &[State]) -> Vec<StateChoice> {
    let choice = |states: &[State], label: String| StateChoice {
        value: state_words(states),
        label,
        is_chosen: states == chosen,
    };
    let mut choices = vec![choice(&[], page.say("any-state"))];
    choices.extend(TOGETHER.map(|(label, states)| choice(states, page.say(label))));
    choices.extend(State::ALL.map(|state| choice(&[state], page.state(&state))));
    if !choices.iter().any(|choice| choice.is_chosen) {
        let words: Vec<String> = chosen.iter().map(|state| page.state(state)).collect();
        choices.push(choice(chosen, words.join(", ")));
    }
    choices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_the_same_behind_its_address() {
        let filter = ItemFilter {
            run_id: Some(7),
            job: Some("a&b=c ü".to_owned()),
            states: vec![State::Failed, State::NeedsReview],
            reason: Some("it's 100%".to_owned()),
            code: Some("NOT_ENOUGH".to_owned()),
            currency: AmountIn::parse("HKD"),
            bulk: Some(BulkItems {
                bulk_action: 3,
                only_untouched: true,
            }),
            ..ItemFilter::default()
        };
        let query = filter_query(&filter);
        let pairs: Vec<(String, String)> = query
            .split('&')
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap();
                let value = percent_encoding::percent_decode_str(value).decode_utf8();
                (name.to_owned(), value.unwrap().into_owned())
            })
            .collect();
        let mut fields = PageFields::of(pairs).unwrap();
        let read = read_filter(&mut fields).unwrap();
        fields.end().unwrap();
        assert_eq!(filter_query(&read), query);
        assert_eq!(
            filter_arguments(&read),
            r" --run=7 --job='a&b=c ü' --state=failed,needs_review --with-reason='it'\''s 100%' --code=NOT_ENOUGH --currency=HKD --bulk-action=3 --untouched"
        );
        let lonely = vec![("untouched".to_owned(), "true".to_owned())];
        assert!(read_filter(&mut PageFields::of(lonely).unwrap()).is_err());
        assert!(export_query(&read).contains("&reason_has=it%27s%20100%25&code=NOT%5FENOUGH"));
    }
}
