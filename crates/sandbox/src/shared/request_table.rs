//! Which parameters each call of a gateway takes, read from the table of its page (docs/gateways,
//! "Requests").
//!
//! The fakes refuse by it what a page does not list, as the real gateways do; the tests hold the
//! clients to it. Nobody writes a parameter down a second time: what is wrong here is wrong on a
//! page that cites its source.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use http::{HeaderMap, Method};
use serde_json::Value;

/// The headers that HTTP itself has, and every call may carry.
const ORDINARY_HEADERS: [&str; 25] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "origin",
    "pragma",
    "priority",
    "referer",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "te",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "user-agent",
    "via",
];

/// The calls that a gateway documents.
#[derive(Debug)]
pub struct RequestTable {
    rows: Vec<DocumentedCall>,
    headers: Vec<String>,
}

/// One call: an operation of payrun's in one mode, by one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentedCall {
    /// What payrun calls it.
    pub operation: String,
    /// `common`, `institutional` or `any`.
    pub mode: String,
    /// The HTTP method.
    pub method: Method,
    /// The path; `{name}` stands for any one segment.
    pub path: String,
    /// What the query string takes.
    pub query: Vec<Parameter>,
    /// What the body takes, nested names joined by dots.
    pub body: Vec<Parameter>,
    /// The page that says so.
    pub source: String,
}

/// One parameter, or several of which exactly one is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name; of several each.
    pub names: Vec<String>,
    /// Whether it must be given.
    pub required: bool,
}

/// Why a request is not as documented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndocumentedRequest {
    /// The parameter.
    pub name: String,
    /// Where it is, or is missing: `query`, `body` or `header`.
    pub location: &'static str,
    /// What is wrong with it.
    pub issue: Issue,
}

/// What is wrong with a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issue {
    /// No page lists it.
    NotDefined,
    /// It is required and not there.
    Missing,
    /// It is there twice, or beside another that excludes it.
    Repeated,
}

impl Issue {
    /// The word for it in the books of a fake.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotDefined => "unknown_parameter",
            Self::Missing => "missing_parameter",
            Self::Repeated => "repeated_parameter",
        }
    }
}

/// The values a request carries: by location and name, as they were written.
pub type RequestValues = BTreeMap<(&'static str, String), String>;

impl RequestTable {
    /// WeChat Pay's.
    pub fn wechat() -> &'static Self {
        static TABLE: OnceLock<RequestTable> = OnceLock::new();
        TABLE.get_or_init(|| Self::read(include_str!("../../../../docs/gateways/wechat.md")))
    }

    /// HipoPay's.
    pub fn hipopay() -> &'static Self {
        static TABLE: OnceLock<RequestTable> = OnceLock::new();
        TABLE.get_or_init(|| Self::read(include_str!("../../../../docs/gateways/hipopay.md")))
    }

    /// EGMS's.
    pub fn egms() -> &'static Self {
        static TABLE: OnceLock<RequestTable> = OnceLock::new();
        TABLE.get_or_init(|| Self::read(include_str!("../../../../docs/gateways/egms.md")))
    }

    /// CBTIS's.
    pub fn cbtis() -> &'static Self {
        static TABLE: OnceLock<RequestTable> = OnceLock::new();
        TABLE.get_or_init(|| Self::read(include_str!("../../../../docs/gateways/cbtis.md")))
    }

    fn read(page: &str) -> Self {
        let rows = table(page, "## Requests")
            .map(|cells| row(&cells))
            .collect();
        let headers = table(page, "## Headers")
            .map(|cells| ticked(&cells[0]).join(" ").to_ascii_lowercase())
            .collect();
        Self { rows, headers }
    }

    /// Every call.
    pub fn rows(&self) -> &[DocumentedCall] {
        &self.rows
    }

    /// The call that a request is, by method and path; none if no page has it. `mode` is a row's
    /// own, or `any`.
    pub fn find(&self, mode: &str, method: &Method, path: &str) -> Option<&DocumentedCall> {
        let fits = |row: &&DocumentedCall| {
            (row.mode == mode || row.mode == "any") && row.method == *method && row.is_at(path)
        };
        // A word in a path goes before a place that takes any.
        self.rows
            .iter()
            .filter(fits)
            .min_by_key(|row| row.path.matches('{').count())
    }

    /// Holds headers against what is documented; `more` are those that the account's configuration
    /// names.
    ///
    /// # Errors
    /// The first header that is not.
    pub fn check_headers(
        &self,
        headers: &HeaderMap,
        more: &[&str],
    ) -> Result<(), UndocumentedRequest> {
        let known = |name: &str| {
            ORDINARY_HEADERS.contains(&name)
                || self.headers.iter().any(|header| header == name)
                || more.iter().any(|header| header.eq_ignore_ascii_case(name))
        };
        match headers.keys().find(|name| !known(name.as_str())) {
            None => Ok(()),
            Some(name) => Err(UndocumentedRequest {
                name: name.as_str().to_owned(),
                location: "header",
                issue: Issue::NotDefined,
            }),
        }
    }
}

impl DocumentedCall {
    fn is_at(&self, path: &str) -> bool {
        let (mut ours, mut theirs) = (self.path.split('/'), path.split('/'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(ours), Some(theirs))
                    if ours == theirs || (ours.starts_with('{') && !theirs.is_empty()) => {}
                (_, _) => return false,
            }
        }
    }

    /// Holds a query string and a body of JSON against this call; its values by name.
    ///
    /// # Errors
    /// The first parameter that is not as documented.
    pub fn check_json(
        &self,
        query: &str,
        body: &[u8],
    ) -> Result<RequestValues, UndocumentedRequest> {
        let mut leaves = Vec::new();
        match serde_json::from_slice::<Value>(body) {
            // What is no JSON is refused by whoever reads it.
            Err(_) if !body.is_empty() && self.body.is_empty() => {
                leaves.push((String::new(), String::new()))
            }
            Err(_) => return self.check(&pairs(query), None),
            Ok(value) => collect("", &value, &mut leaves),
        }
        self.check(&pairs(query), Some(leaves))
    }

    /// Holds parameters of a form against this call: those of a GET are its query, those of a POST
    /// its body.
    ///
    /// # Errors
    /// The first parameter that is not as documented.
    pub fn check_form(
        &self,
        params: &[(String, String)],
    ) -> Result<RequestValues, UndocumentedRequest> {
        if self.method == Method::GET {
            self.check(params, Some(Vec::new()))
        } else {
            self.check(&[], Some(params.to_vec()))
        }
    }

    fn check(
        &self,
        query: &[(String, String)],
        body: Option<Vec<(String, String)>>,
    ) -> Result<RequestValues, UndocumentedRequest> {
        let mut values = RequestValues::new();
        let mut located = vec![("query", &self.query, query.to_vec())];
        located.extend(body.map(|body| ("body", &self.body, body)));
        for (location, known, given) in located {
            let wrong = |name: &str, issue| UndocumentedRequest {
                name: name.to_owned(),
                location,
                issue,
            };
            for (name, value) in given {
                if !known.iter().any(|parameter| parameter.has(&name)) {
                    return Err(wrong(&name, Issue::NotDefined));
                }
                let in_list = name.contains("[]");
                if values.insert((location, name.clone()), value).is_some() && !in_list {
                    return Err(wrong(&name, Issue::Repeated));
                }
            }
            for parameter in known {
                let given = parameter
                    .names
                    .iter()
                    .filter(|name| values.contains_key(&(location, (*name).clone())));
                match given.count() {
                    0 if parameter.required => {
                        return Err(wrong(&parameter.names.join("/"), Issue::Missing));
                    }
                    0 | 1 => {}
                    _ => return Err(wrong(&parameter.names.join("/"), Issue::Repeated)),
                }
            }
        }
        Ok(values)
    }
}

impl Parameter {
    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|own| match own.strip_suffix(".*") {
            Some(object) => name
                .strip_prefix(object)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])),
            None => own == name,
        })
    }
}

/// The rows of the table that follows a heading, as cells.
fn table<'a>(page: &'a str, heading: &'a str) -> impl Iterator<Item = Vec<String>> + 'a {
    let lines = page
        .lines()
        .skip_while(move |line| line.trim() != heading)
        .skip(1);
    let lines = lines
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    // The header, and the line under it.
    lines.skip(2).map(|line| {
        line.trim()
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    })
}

fn row(cells: &[String]) -> DocumentedCall {
    let cell = |at: usize| cells.get(at).map(String::as_str).unwrap_or_default();
    DocumentedCall {
        operation: ticked(cell(0)).join(" "),
        mode: cell(1).to_owned(),
        method: Method::from_bytes(cell(2).as_bytes()).unwrap_or_default(),
        path: ticked(cell(3)).join(" "),
        query: parameters(cell(4)),
        body: parameters(cell(5)),
        source: cell(6).to_owned(),
    }
}

/// What stands between back-ticks.
fn ticked(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn parameters(cell: &str) -> Vec<Parameter> {
    let parameter = |text: &str| {
        let required = !text.ends_with('?');
        Parameter {
            names: text
                .trim_end_matches('?')
                .split('/')
                .map(str::to_owned)
                .collect(),
            required,
        }
    };
    ticked(cell).into_iter().map(parameter).collect()
}

/// The pairs of a query string, decoded.
fn pairs(query: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (
            crate::shared::percent_decoding::decode(name),
            crate::shared::percent_decoding::decode(value),
        )
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(pair)
        .collect()
}

/// The values of a body by their names, nested ones joined by dots; what stands in a list by the
/// list's name and `[]`.
fn collect(name: &str, value: &Value, leaves: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let nested = if name.is_empty() {
                    field.clone()
                } else {
                    format!("{name}.{field}")
                };
                collect(&nested, value, leaves);
            }
        }
        Value::Array(values) => values
            .iter()
            .for_each(|value| collect(&format!("{name}[]"), value, leaves)),
        Value::String(text) => leaves.push((name.to_owned(), text.clone())),
        // What is null is not there.
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => leaves.push((name.to_owned(), value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "## Headers\n\n| Header | Required | Source |\n|---|---|---|\n| `X-Sign` | yes | p |\n\n## Requests\n\n\
        | Operation | Mode | Method | Path | Query | Body | Source |\n|---|---|---|---|---|---|---|\n\
        | `pay` | common | POST | `/p` | — | `a` `b.c?` `d/e` `f.*?` `g[].h?` | page |\n\
        | `look` | any | GET | `/p/{id}` | `m` | — | page |\n\
        | `look` | any | GET | `/p/all` | — | — | page |\n\ntext | that | is | no | table\n";

    fn check(body: &str) -> Result<Vec<String>, String> {
        let table = RequestTable::read(PAGE);
        let row = table.find("common", &Method::POST, "/p").unwrap();
        let told = |wrong: UndocumentedRequest| {
            format!("{} {} {}", wrong.location, wrong.name, wrong.issue.as_str())
        };
        row.check_json("", body.as_bytes())
            .map(|values| values.into_keys().map(|(_, name)| name).collect())
            .map_err(told)
    }

    #[test]
    fn a_request_has_what_is_documented_and_nothing_else() {
        assert_eq!(
            check(r#"{"a":1,"b":{"c":2},"d":"x","f":{"y":[1]},"g":[{"h":1},{"h":2}]}"#)
                .unwrap()
                .len(),
            5
        );
        assert_eq!(
            check(r#"{"a":1,"d":"x","z":1}"#).unwrap_err(),
            "body z unknown_parameter"
        );
        assert_eq!(
            check(r#"{"a":1,"d":"x","b":{"z":1}}"#).unwrap_err(),
            "body b.z unknown_parameter"
        );
        assert_eq!(
            check(r#"{"a":1,"d":"x","b":1}"#).unwrap_err(),
            "body b unknown_parameter"
        );
        assert_eq!(
            check(r#"{"d":"x"}"#).unwrap_err(),
            "body a missing_parameter"
        );
        assert_eq!(
            check(r#"{"a":1}"#).unwrap_err(),
            "body d/e missing_parameter"
        );
        assert_eq!(
            check(r#"{"a":1,"d":"x","e":"y"}"#).unwrap_err(),
            "body d/e repeated_parameter"
        );
    }

    #[test]
    fn a_word_in_a_path_goes_before_a_place_that_takes_any() {
        let table = RequestTable::read(PAGE);
        assert_eq!(
            table.find("common", &Method::GET, "/p/all").unwrap().path,
            "/p/all"
        );
        let row = table.find("institutional", &Method::GET, "/p/7").unwrap();
        assert!(row.check_json("m=1", b"").is_ok());
        for wrong in ["", "m=1&n=2", "m=1&m=1", "%6e=2"] {
            assert!(row.check_json(wrong, b"").is_err(), "{wrong}");
        }
        assert_eq!(
            row.check_json("m=1", br#"{"a":1}"#).unwrap_err().location,
            "body"
        );
        assert_eq!(row.check_json("m=1", b"x").unwrap_err().location, "body");
        for none in ["/p/", "/q/7", "/p/7/8"] {
            assert!(table.find("common", &Method::GET, none).is_none(), "{none}");
        }
    }

    #[test]
    fn headers_are_http_s_own_or_documented() {
        let table = RequestTable::read(PAGE);
        let with = |name: &'static str| {
            HeaderMap::from_iter([(http::HeaderName::from_static(name), "1".parse().unwrap())])
        };
        assert!(
            table.check_headers(&with("x-sign"), &[]).is_ok()
                && table.check_headers(&with("accept"), &[]).is_ok()
        );
        assert_eq!(
            table
                .check_headers(&with("x-other"), &[])
                .unwrap_err()
                .location,
            "header"
        );
        assert!(table.check_headers(&with("x-other"), &["X-Other"]).is_ok());
    }

    #[test]
    fn every_page_has_a_table_whose_rows_are_whole() {
        let tables = [
            RequestTable::wechat(),
            RequestTable::hipopay(),
            RequestTable::egms(),
            RequestTable::cbtis(),
        ];
        for table in tables {
            assert!(table.rows().len() >= 6 && !table.headers.is_empty());
            for row in table.rows() {
                let modes = ["common", "institutional", "any"];
                assert!(modes.contains(&row.mode.as_str()), "{row:?}");
                assert!(
                    !row.operation.is_empty() && row.path.starts_with('/'),
                    "{row:?}"
                );
                let methods = [Method::GET, Method::POST, Method::PATCH];
                assert!(
                    methods.contains(&row.method) && row.source.len() > 8,
                    "{row:?}"
                );
            }
        }
    }
}
