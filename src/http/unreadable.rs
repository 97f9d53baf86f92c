//! What cannot be read of a request, in our own words: where it stands, what is wrong with it, and
//! what may stand there. What a library says of it is taken apart here; a sentence that is not known
//! is never passed on, and no value of the request is repeated.

/// What a library says before it says what is wrong with a body.
const OF_BODY: &str = "Failed to deserialize the JSON body into the target type: ";
const OF_SYNTAX: &str = "Failed to parse the request body as JSON: ";
const OF_QUERY: &str = "Failed to deserialize query string: ";

/// What is wrong with something that cannot be read, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub message: String,
    pub help: &'static str,
}

const OF_API: &str = "/api/v1/openapi.json has every field and parameter";

/// Of a body that is JSON and not what is wanted, or no JSON.
pub(super) fn body(said: &str) -> Unreadable {
    if let Some(said) = said.strip_prefix(OF_BODY) {
        let (said, place) = without_place(said);
        return Unreadable {
            message: format!("the body cannot be read: {}{place}", told(said)),
            help: OF_API,
        };
    }
    let (said, place) = without_place(said.strip_prefix(OF_SYNTAX).unwrap_or_default());
    let what = if said.contains("EOF while parsing") {
        "it ends before its JSON does"
    } else if said.contains("trailing characters") {
        "something stands behind its JSON"
    } else if said.contains("recursion limit") {
        "it has too many levels"
    } else {
        "it is no JSON"
    };
    Unreadable {
        message: format!("the body cannot be read: {what}{place}"),
        help: "names and texts stand in double quotes, and no comma stands before a closing bracket",
    }
}

/// Of the query of an address.
pub(super) fn query(said: &str) -> Unreadable {
    let said = said.strip_prefix(OF_QUERY).unwrap_or_default();
    Unreadable {
        message: format!("the query of the address cannot be read: {}", told(said)),
        help: OF_API,
    }
}

/// Of a part of the path: only numbers can be wrong there.
pub(super) fn path(said: &str) -> Unreadable {
    let what = if said.contains("Invalid UTF-8") {
        "it is no UTF-8"
    } else {
        "a number is wanted where something else stands"
    };
    Unreadable {
        message: format!("the path cannot be read: {what}"),
        help: "such as GET /api/v1/runs/12",
    }
}

/// Where in the text a mistake stands, taken off its end.
fn without_place(said: &str) -> (&str, String) {
    let place = said.rsplit_once(" at line ").and_then(|(before, place)| {
        let (line, column) = place.split_once(" column ")?;
        let (line, column): (u64, u64) = (line.parse().ok()?, column.parse().ok()?);
        Some((before, format!(" (line {line}, column {column})")))
    });
    place.unwrap_or((said, String::new()))
}

/// A mistake at a place: `date: premature end of input`.
fn told(said: &str) -> String {
    let is_name = |name: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.[]-?".contains(c);
        !name.is_empty() && name.chars().all(plain)
    };
    match said.split_once(": ").filter(|(name, _)| is_name(name)) {
        // Of the whole there is no name.
        Some((".", what)) => wrong("it", what),
        Some((name, what)) => wrong(name, what),
        None => wrong("it", said),
    }
}

/// What is wrong with this.
fn wrong(name: &str, said: &str) -> String {
    let quoted: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
    let all_but_first = || quoted.get(1..).unwrap_or_default().join(", ");
    let first = quoted.first().copied().unwrap_or_default();
    if said.starts_with("missing field") {
        return format!("{first} is missing");
    }
    if said.starts_with("duplicate field") {
        return format!("{first} stands twice");
    }
    if said.starts_with("unknown field") {
        let known = all_but_first();
        return match known.as_str() {
            "" => "a field is given, and none is wanted".to_owned(),
            known => format!("a field that there is not is given; there are {known}"),
        };
    }
    if said.starts_with("unknown variant") {
        return format!("{name} is none of {}", all_but_first());
    }
    if said.starts_with("invalid type") || said.starts_with("invalid value") {
        let wanted = said.rsplit_once(", expected ").map(|(_, wanted)| wanted);
        return format!("{name} has to be {}", wanted.map_or("something else", kind));
    }
    format!("{name} {}", of_text(said))
}

/// What is wanted, as people call it.
fn kind(wanted: &str) -> &'static str {
    let is = |begins: &[&str]| begins.iter().any(|one| wanted.starts_with(one));
    if is(&["a string", "string", "a borrowed string"]) {
        "text in double quotes"
    } else if is(&["a boolean", "bool"]) {
        "true or false"
    } else if is(&["a map", "struct", "a struct"]) {
        "an object in curly brackets"
    } else if is(&["a sequence", "a tuple", "an array"]) {
        "a list in square brackets"
    } else if is(&["a formatted date", "a date"]) {
        DAY
    } else if is(&["i", "u"]) {
        "a whole number"
    } else {
        "something else"
    }
}

const DAY: &str = "a day, YYYY-MM-DD, such as 2026-03-31";

/// What is wrong with a text that says a number, a day, or whether something is so.
fn of_text(said: &str) -> String {
    const DAYS: [&str; 6] = [
        "input contains invalid characters",
        "premature end of input",
        "input is out of range",
        "trailing input",
        "input is not enough for unique date and time",
        "no possible date and time matching input",
    ];
    const NUMBERS: [&str; 4] = [
        "invalid digit found in string",
        "cannot parse integer from empty string",
        "number too large to fit in target type",
        "number too small to fit in target type",
    ];
    if DAYS.contains(&said) {
        return format!("has to be {DAY}");
    }
    if NUMBERS.contains(&said) {
        return "has to be a whole number that is not too large".to_owned();
    }
    if said.contains("`true` or `false`") {
        return "has to be true or false".to_owned();
    }
    "has a value that cannot stand there".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its mistakes are looked at")]
    struct SampleBody {
        workflow: String,
        date: Option<chrono::NaiveDate>,
        many: Option<u32>,
        meant: Option<bool>,
        params: Option<std::collections::BTreeMap<String, String>>,
    }

    fn of_body(json: &str) -> String {
        let refused = axum::Json::<SampleBody>::from_bytes(json.as_bytes()).unwrap_err();
        body(&refused.body_text()).message
    }

    fn of_query(given: &str) -> String {
        let address = format!("http://x/?{given}").parse().unwrap();
        let refused = axum::extract::Query::<SampleBody>::try_from_uri(&address).unwrap_err();
        query(&refused.body_text()).message
    }

    #[test]
    fn a_body_that_cannot_be_read_says_where_and_what_may_stand_there() {
        let begin = "the body cannot be read: ";
        for (json, told) in [
            ("{}", "workflow is missing (line 1, column 2)"),
            (
                "7",
                "it has to be an object in curly brackets (line 1, column 1)",
            ),
            (
                "{\"workflow\": 7}",
                "workflow has to be text in double quotes (line 1, column 14)",
            ),
            (
                "{\"workflow\": \"w\", \"date\": \"3 March\"}",
                "date has to be a day, YYYY-MM-DD, such as 2026-03-31 (line 1, column 35)",
            ),
            (
                "{\"workflow\": \"w\", \"many\": -1}",
                "many has to be a whole number (line 1, column 28)",
            ),
            (
                "{\"workflow\": \"w\", \"params\": {\"a\": 1}}",
                "params.a has to be text in double quotes (line 1, column 35)",
            ),
            (
                "{\"workflow\": \"w\", \"dat\": 1}",
                "a field that there is not is given; there are workflow, date, many, meant, params (line 1, column 23)",
            ),
            (
                "{\"workflow\": \"w\"",
                "it ends before its JSON does (line 1, column 16)",
            ),
            ("{workflow: 1}", "it is no JSON (line 1, column 2)"),
            (
                "{\"workflow\": \"w\"} x",
                "something stands behind its JSON (line 1, column 19)",
            ),
        ] {
            assert_eq!(of_body(json), format!("{begin}{told}"), "{json}");
        }
    }

    #[test]
    fn a_query_that_cannot_be_read_names_the_parameter_and_repeats_no_value() {
        let begin = "the query of the address cannot be read: ";
        for (given, told) in [
            (
                "workflow=w&date=3+March",
                "date has to be a day, YYYY-MM-DD, such as 2026-03-31",
            ),
            (
                "workflow=w&date=2026-13-01",
                "date has to be a day, YYYY-MM-DD, such as 2026-03-31",
            ),
            (
                "workflow=w&many=secret",
                "many has to be a whole number that is not too large",
            ),
            ("workflow=w&meant=yes", "meant has to be true or false"),
            ("date=2026-03-01", "workflow is missing"),
        ] {
            assert_eq!(of_query(given), format!("{begin}{told}"), "{given}");
        }
    }

    #[test]
    fn a_sentence_that_is_not_known_is_not_passed_on() {
        let unknown = query("Failed to deserialize query string: day: some new sentence");
        assert_eq!(
            unknown.message,
            "the query of the address cannot be read: day has a value that cannot stand there"
        );
        assert!(!body("a new library says so").message.contains("library"));
    }
}
