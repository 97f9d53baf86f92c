//! Finds comparisons that would silently mean something else: values of rows are text, and text
//! compares with a number by its type, and with quoted digits letter by letter (`"9" > "100"`).

const OPERATORS: [&str; 6] = ["<=", ">=", "==", "!=", "<", ">"];

/// The first bare value (`item.n`, without a filter) that is compared with a number; a sentence
/// about it.
pub(super) fn text_with_number(expression: &str) -> Option<String> {
    for (place, operator) in operators(expression) {
        let (left, right) = (
            expression[..place].trim_end(),
            expression[place + operator.len()..].trim_start(),
        );
        let (left, right) = (last_operand(left), first_operand(right));
        let by_letters = matches!(operator, "<" | ">" | "<=" | ">=");
        let numeric =
            |operand: &str| is_number(operand) || (by_letters && is_quoted_number(operand));
        let value = match (is_value(left), is_value(right)) {
            (true, false) if numeric(right) => left,
            (false, true) if numeric(left) => right,
            _ => continue,
        };
        return Some(format!(
            "{value} is text, and here it is compared with a number"
        ));
    }
    None
}

/// A sentence about what is multiplied and may be text: a text of a hundred million characters is
/// made of one that way.
pub(super) fn multiplied_text(expression: &str) -> Option<String> {
    let places = expression
        .match_indices('*')
        .filter(|(place, _)| !is_quoted(expression, *place));
    for (place, _) in places {
        let (left, right) = (
            expression[..place].trim_end(),
            expression[place + 1..].trim_start(),
        );
        // Of a power, the one sign stands beside the other.
        let (left, right) = (
            left.trim_end_matches('*').trim_end(),
            right.trim_start_matches('*').trim_start(),
        );
        if !(is_whole_number(last_operand(left)) && is_whole_number(first_operand(right))) {
            return Some("only whole numbers are multiplied here".to_owned());
        }
    }
    None
}

fn is_whole_number(operand: &str) -> bool {
    let counted = operand
        .strip_suffix("|int")
        .or_else(|| operand.strip_suffix("|length"));
    is_number(operand)
        || counted.is_some_and(|value| {
            ["item.", "params."]
                .iter()
                .any(|root| value.starts_with(root))
        })
}

/// A text with which a condition compares a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ComparedText {
    /// Written out.
    Text(String),
    /// A parameter's.
    Param(String),
}

/// A filter that changes only how a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextFilter {
    /// `|lower`
    Lower,
    /// `|upper`
    Upper,
    /// `|trim`
    Trim,
}

impl TextFilter {
    const ALL: [(&'static str, Self); 3] = [
        ("lower", Self::Lower),
        ("upper", Self::Upper),
        ("trim", Self::Trim),
    ];

    /// What it makes of a text.
    pub fn of(self, text: &str) -> String {
        match self {
            Self::Lower => text.to_lowercase(),
            Self::Upper => text.to_uppercase(),
            Self::Trim => text.trim().to_owned(),
        }
    }
}

/// A column that a condition compares with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ComparedColumn {
    /// Its name.
    pub column: String,
    /// What is done to its values first, in order.
    pub respelt: Vec<TextFilter>,
    /// The text.
    pub known: ComparedText,
}

/// Which texts a condition compares columns with, as they are or but for their spelling
/// (`item.active == "yes"`, `item.active|lower == "yes"`, `item.plan in ["a", "b"]`).
pub(super) fn known_values(expression: &str) -> Vec<ComparedColumn> {
    let mut found = Vec::new();
    for (place, operator) in operators(expression)
        .into_iter()
        .filter(|(_, operator)| matches!(*operator, "==" | "!="))
    {
        let (left, right) = (
            expression[..place].trim_end(),
            expression[place + operator.len()..].trim_start(),
        );
        let pairs = [
            (column_at_end(left), known_first(right)),
            (column_at_start(right), known_last(left)),
        ];
        found.extend(pairs.into_iter().filter_map(|(column, known)| {
            let (column, respelt) = column?;
            Some(ComparedColumn {
                column,
                respelt,
                known: known?,
            })
        }));
    }
    for (place, _) in expression
        .match_indices(" in [")
        .filter(|(place, _)| !is_quoted(expression, *place))
    {
        let left = expression[..place].trim_end();
        let left = left.strip_suffix(" not").unwrap_or(left).trim_end();
        let Some((column, respelt)) = column_at_end(left) else {
            continue;
        };
        let mut rest = expression[place + " in [".len()..].trim_start();
        while let Some((text, after)) = quoted(rest) {
            let known = ComparedText::Text(text.to_owned());
            found.push(ComparedColumn {
                column: column.clone(),
                respelt: respelt.clone(),
                known,
            });
            rest = after
                .trim_start()
                .strip_prefix(',')
                .unwrap_or(after)
                .trim_start();
        }
    }
    found
}

/// The column at the end, and the filters behind it that change only its spelling; none if there
/// are others.
fn column_at_end(text: &str) -> Option<(String, Vec<TextFilter>)> {
    let (mut rest, mut respelt) = (text.trim_end(), Vec::new());
    while let Some((before, filter)) = TextFilter::ALL.into_iter().find_map(|(word, filter)| {
        let before = rest.strip_suffix(word)?.trim_end().strip_suffix('|')?;
        Some((before.trim_end(), filter))
    }) {
        rest = before;
        respelt.insert(0, filter);
    }
    Some((column_of(last_operand(rest))?, respelt))
}

/// The column at the beginning, in the same way.
fn column_at_start(text: &str) -> Option<(String, Vec<TextFilter>)> {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let (operand, mut rest) = text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
    let mut respelt = Vec::new();
    while let Some(filter) = rest.trim_start().strip_prefix('|') {
        let filter = filter.trim_start();
        let (word, after) = filter.split_at(filter.find(|c| !is_name(c)).unwrap_or(filter.len()));
        respelt.push(
            TextFilter::ALL
                .into_iter()
                .find(|(known, _)| *known == word)?
                .1,
        );
        rest = after;
    }
    Some((column_of(operand)?, respelt))
}

fn column_of(operand: &str) -> Option<String> {
    let column = operand
        .strip_prefix("item.")
        .filter(|_| is_value(operand))?;
    Some(column.to_owned())
}

/// The text in quotes at the beginning, and what stands behind it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    text[1..].split_once(quote)
}

fn known_first(text: &str) -> Option<ComparedText> {
    match quoted(text) {
        // A filter behind it makes another text of it.
        Some((known, after)) => Some(ComparedText::Text(known.to_owned()))
            .filter(|_| !after.trim_start().starts_with('|')),
        None => known_param(first_operand(text)),
    }
}

fn known_last(text: &str) -> Option<ComparedText> {
    let Some(quote) = text.chars().next_back().filter(|c| matches!(c, '"' | '\'')) else {
        return known_param(last_operand(text));
    };
    let inner = &text[..text.len() - 1];
    inner
        .rfind(quote)
        .map(|start| ComparedText::Text(inner[start + 1..].to_owned()))
}

fn known_param(operand: &str) -> Option<ComparedText> {
    let name = operand
        .strip_prefix("params.")
        .filter(|_| is_value(operand))?;
    Some(ComparedText::Param(name.to_owned()))
}

fn is_quoted(expression: &str, place: usize) -> bool {
    unquoted(expression).all(|(unquoted, _)| unquoted != place)
}

/// The characters outside of quotes, as minijinja reads them: within, a backslash takes the next
/// one with it.
fn unquoted(expression: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut quote, mut escaped) = (None, false);
    expression.char_indices().filter(move |(_, c)| {
        match quote {
            None => quote = Some(*c).filter(|c| matches!(c, '"' | '\'')),
            Some(_) if escaped => escaped = false,
            Some(_) if *c == '\\' => escaped = true,
            Some(open) => {
                quote = Some(open).filter(|open| open != c);
                return false;
            }
        }
        quote.is_none()
    })
}

/// Comparison operators outside of quotes.
fn operators(expression: &str) -> Vec<(usize, &'static str)> {
    let mut found: Vec<(usize, &'static str)> = Vec::new();
    for (index, _) in unquoted(expression) {
        if found
            .last()
            .is_some_and(|(place, operator)| index < place + operator.len())
        {
            continue;
        }
        let operator = OPERATORS
            .into_iter()
            .find(|operator| expression[index..].starts_with(operator));
        found.extend(operator.map(|operator| (index, operator)));
    }
    found
}

fn belongs(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | '\'' | '|')
}

/// The operand at the end, with its filters: `item.n|int`.
fn last_operand(text: &str) -> &str {
    let start = text
        .char_indices()
        .rev()
        .take_while(|(_, c)| belongs(*c))
        .last();
    start.map_or("", |(start, _)| &text[start..])
}

/// The operand at the beginning, with its filters.
fn first_operand(text: &str) -> &str {
    let body = text.strip_prefix('-').unwrap_or(text);
    let end = body.find(|c| !belongs(c)).unwrap_or(body.len());
    // A filter after a space belongs to it too.
    if body[end..].trim_start().starts_with('|') {
        ""
    } else {
        &text[..end + text.len() - body.len()]
    }
}

fn is_value(operand: &str) -> bool {
    let named = ["item.", "params.", "run."]
        .iter()
        .any(|root| operand.starts_with(root));
    named && !operand.contains('|')
}

fn is_number(operand: &str) -> bool {
    let digits = operand.strip_prefix('-').unwrap_or(operand);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
}

fn is_quoted_number(operand: &str) -> bool {
    let inner = |quote: char| operand.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_not_compared_with_numbers_by_mistake() {
        for wrong in [
            "item.n > 3",
            "item.n==3",
            "3 <= item.n",
            "item.n >= \"100\"",
            "item.a == 'x' and item.n < '5'",
            "item.n > -1",
        ] {
            assert!(text_with_number(wrong).is_some(), "{wrong}");
        }
    }

    #[test]
    fn what_is_quoted_ends_where_minijinja_ends_it() {
        let outside = |text: &str| unquoted(text).map(|(_, c)| c).collect::<String>();
        assert_eq!(outside(r#"a 'b' c"#), "a  c");
        assert_eq!(outside(r#"'\'' * "a\"b\\" * '"' * 'x"#), " *  *  * ");
        assert_eq!(outside("'é' é"), " é");
        assert!(multiplied_text(r#"'\'' ~ ("a"*50000000)"#).is_some());
    }

    #[test]
    fn only_whole_numbers_are_multiplied() {
        for right in [
            "item.n|int * 3",
            "2*3",
            "item.n|int*item.m|int",
            "2 ** 10",
            "'a * b'",
            "3 * item.n|int + 1",
        ] {
            assert_eq!(multiplied_text(right), None, "{right}");
        }
        for wrong in [
            "'a' * 9",
            "9 * 'a'",
            "item.n * 9",
            "(item.n) * 9",
            "[1] * 9",
            "9*9*'a'",
            "'1'|int * 'a'",
            "item.n|int|string * 9",
        ] {
            assert!(multiplied_text(wrong).is_some(), "{wrong}");
        }
    }

    #[test]
    fn what_a_column_is_compared_with_is_known() {
        let known = |expression: &str| {
            let told = |ComparedColumn {
                            column,
                            respelt,
                            known,
                        }| {
                let respelt: String = respelt
                    .iter()
                    .map(|filter| format!("|{filter:?}"))
                    .collect();
                match known {
                    ComparedText::Text(text) => format!("{column}{respelt}={text}"),
                    ComparedText::Param(name) => format!("{column}{respelt}=params.{name}"),
                }
            };
            known_values(expression)
                .into_iter()
                .map(told)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            known("item.active == \"yes\" and item.plan != 'Pro plan'"),
            ["active=yes", "plan=Pro plan"]
        );
        assert_eq!(
            known("'a' == item.x or params.p == item.y"),
            ["x=a", "y=params.p"]
        );
        assert_eq!(
            known("item.a in ['x', \"y z\"] and item.b not in ['q']"),
            ["a=x", "a=y z", "b=q"]
        );
        assert_eq!(
            known("item.a|lower == 'x' and 'y' != item.b | trim|lower"),
            ["a|Lower=x", "b|Trim|Lower=y"]
        );
        assert_eq!(
            known("item.a | trim | upper not in ['X', 'Y']"),
            ["a|Trim|Upper=X", "a|Trim|Upper=Y"]
        );
        assert_eq!(known("params.p == item.y|trim"), ["y|Trim=params.p"]);
        assert!(
            known(
                "item.n|int > 3 and item.a|replace('x', '') == 'y' and 'z' == item.b|lower|length"
            )
            .is_empty()
        );
        assert_eq!(known("'item.a == 1' != item.b"), ["b=item.a == 1"]);
    }

    #[test]
    fn comparisons_that_mean_what_they_say_are_left_alone() {
        for right in [
            "item.n|int > 3",
            "item.n | int > 3",
            "3 < item.n | int",
            "item.n == \"3\"",
            "item.day >= \"2026-01-01\"",
            "item.text == 'item.n > 3'",
            "item.a|decimal >= \"100\"|decimal",
            "item.name|length > 3",
        ] {
            assert_eq!(text_with_number(right), None, "{right}");
        }
    }
}
