//! Finds comparisons that would silently mean something else: values of rows are text, and text compares with a number
//! by its type, and with quoted digits letter by letter (`"9" > "100"`).

const OPERATORS: [&str; 6] = ["<=", ">=", "==", "!=", "<", ">"];

/// The first bare value (`item.n`, without a filter) that is compared with a number; a sentence about it.
pub(super) fn text_with_number(expression: &str) -> Option<String> {
    for (place, operator) in operators(expression) {
        let (left, right) = (expression[..place].trim_end(), expression[place + operator.len()..].trim_start());
        let (left, right) = (last_operand(left), first_operand(right));
        let by_letters = matches!(operator, "<" | ">" | "<=" | ">=");
        let numeric = |operand: &str| is_number(operand) || (by_letters && is_quoted_number(operand));
        let value = match (is_value(left), is_value(right)) {
            (true, false) if numeric(right) => left,
            (false, true) if numeric(left) => right,
            _ => continue,
        };
        return Some(format!("{value} is text, and here it is compared with a number"));
    }
    None
}

/// A text with which a condition compares a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// Written out.
    Text(String),
    /// A parameter's.
    Param(String),
}

/// Which texts a condition compares columns with as they are (`item.active == "yes"`, `item.plan in ["a", "b"]`), without a filter.
pub(super) fn known_values(expression: &str) -> Vec<(String, Known)> {
    let mut found = Vec::new();
    for (place, operator) in operators(expression).into_iter().filter(|(_, operator)| matches!(*operator, "==" | "!="))
    {
        let (left, right) = (expression[..place].trim_end(), expression[place + operator.len()..].trim_start());
        let pairs = [(last_operand(left), known_first(right)), (first_operand(right), known_last(left))];
        found.extend(pairs.into_iter().filter_map(|(column, known)| Some((column_of(column)?, known?))));
    }
    for (place, _) in expression.match_indices(" in [").filter(|(place, _)| !is_quoted(expression, *place)) {
        let left = expression[..place].trim_end();
        let left = left.strip_suffix(" not").unwrap_or(left).trim_end();
        let Some(column) = column_of(last_operand(left)) else { continue };
        let mut rest = expression[place + " in [".len()..].trim_start();
        while let Some((text, after)) = quoted(rest) {
            found.push((column.clone(), Known::Text(text.to_owned())));
            rest = after.trim_start().strip_prefix(',').unwrap_or(after).trim_start();
        }
    }
    found
}

fn column_of(operand: &str) -> Option<String> {
    let column = operand.strip_prefix("item.").filter(|_| is_value(operand))?;
    Some(column.to_owned())
}

/// The text in quotes at the beginning, and what stands behind it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    text[1..].split_once(quote)
}

fn known_first(text: &str) -> Option<Known> {
    match quoted(text) {
        // A filter behind it makes another text of it.
        Some((known, after)) => Some(Known::Text(known.to_owned())).filter(|_| !after.trim_start().starts_with('|')),
        None => known_param(first_operand(text)),
    }
}

fn known_last(text: &str) -> Option<Known> {
    let Some(quote) = text.chars().next_back().filter(|c| matches!(c, '"' | '\'')) else {
        return known_param(last_operand(text));
    };
    let inner = &text[..text.len() - 1];
    inner.rfind(quote).map(|start| Known::Text(inner[start + 1..].to_owned()))
}

fn known_param(operand: &str) -> Option<Known> {
    let name = operand.strip_prefix("params.").filter(|_| is_value(operand))?;
    Some(Known::Param(name.to_owned()))
}

fn is_quoted(expression: &str, place: usize) -> bool {
    let mut quote = None;
    for c in expression[..place].chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None => {}
        }
    }
    quote.is_some()
}

/// Comparison operators outside of quotes.
fn operators(expression: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    let mut quote = None;
    let mut skip_to = 0;
    for (index, c) in expression.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None if index >= skip_to => {
                if let Some(operator) = OPERATORS.into_iter().find(|operator| expression[index..].starts_with(operator))
                {
                    found.push((index, operator));
                    skip_to = index + operator.len();
                }
            }
            None => {}
        }
    }
    found
}

fn belongs(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | '\'' | '|')
}

/// The operand at the end, with its filters: `item.n|int`.
fn last_operand(text: &str) -> &str {
    let start = text.char_indices().rev().take_while(|(_, c)| belongs(*c)).last();
    start.map_or("", |(start, _)| &text[start..])
}

/// The operand at the beginning, with its filters.
fn first_operand(text: &str) -> &str {
    let body = text.strip_prefix('-').unwrap_or(text);
    let end = body.find(|c| !belongs(c)).unwrap_or(body.len());
    // A filter after a space belongs to it too.
    if body[end..].trim_start().starts_with('|') { "" } else { &text[..end + text.len() - body.len()] }
}

fn is_value(operand: &str) -> bool {
    let named = ["item.", "params.", "run."].iter().any(|root| operand.starts_with(root));
    named && !operand.contains('|')
}

fn is_number(operand: &str) -> bool {
    let digits = operand.strip_prefix('-').unwrap_or(operand);
    digits.starts_with(|c: char| c.is_ascii_digit()) && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
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
    fn what_a_column_is_compared_with_is_known() {
        let known = |expression: &str| {
            let told = |(column, known)| match known {
                Known::Text(text) => format!("{column}={text}"),
                Known::Param(name) => format!("{column}=params.{name}"),
            };
            known_values(expression).into_iter().map(told).collect::<Vec<_>>()
        };
        assert_eq!(known("item.active == \"yes\" and item.plan != 'Pro plan'"), ["active=yes", "plan=Pro plan"]);
        assert_eq!(known("'a' == item.x or params.p == item.y"), ["x=a", "y=params.p"]);
        assert_eq!(known("item.a in ['x', \"y z\"] and item.b not in ['q']"), ["a=x", "a=y z", "b=q"]);
        assert!(known("item.a|lower == 'x' and item.n|int > 3 and 'item.a == 1' != item.b|trim").is_empty());
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
