//! Expressions over `item`, `params` and `run`, by minijinja: strict about unknown names, bounded
//! in steps and in memory, without decimals in floating point.
//!
//! There are only the filters and tests of `environment`, none of which makes more than `TEXT_MAX`
//! bytes, and texts are not multiplied; so an expression of `EXPRESSION_MAX` bytes makes a few
//! megabytes at most, whatever stands in it.
//!
//! Values of rows are text. `|int` makes a whole number and `|decimal` an exact decimal of one, so
//! that numbers compare as numbers: `item.amount|decimal >= "100"|decimal`.

use std::cmp::Ordering;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use minijinja::value::{DynObject, Object, ObjectRepr, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, filters, tests as predicates};
use rust_decimal::Decimal;

use super::comparison::{ComparedColumn, known_values, multiplied_text, text_with_number};
use payrun_domain::message::Message;

/// The steps one evaluation may take.
const FUEL: u64 = 20_000;

/// The longest expression, in bytes.
const EXPRESSION_MAX: usize = 2_000;

/// The most names, operators and brackets of an expression, and the most brackets alone: each may
/// stand in the one before, and what reads them goes down one step for each. Two megabytes of stack
/// are enough for these.
const WORDS_MAX: usize = 300;
const BRACKETS_MAX: usize = 32;

/// The longest text that goes into an expression, or comes out of one or of a filter, in bytes.
const TEXT_MAX: usize = 10_000;

/// What `run.` may be followed by.
pub const RUN_FIELDS: [&str; 6] = ["workflow", "occurrence", "date", "month", "time", "id"];

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("default", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("split", filters::split);
    environment.add_filter("string", filters::string);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("upper", filters::upper);
    // Our own: exact, or bounded.
    environment.add_filter("decimal", decimal);
    environment.add_filter("int", whole_number);
    environment.add_filter("join", join);
    environment.add_filter("replace", replace);
    environment.add_test("defined", predicates::is_defined);
    environment.add_test("undefined", predicates::is_undefined);
    environment.add_test("none", predicates::is_none);
    environment.add_test("in", predicates::is_in);
    environment.add_test("startingwith", predicates::is_startingwith);
    environment.add_test("endingwith", predicates::is_endingwith);
    environment
}

fn replace(text: &str, from: &str, to: &str) -> Result<String, Error> {
    let found = text.matches(from).count();
    let length = text
        .len()
        .saturating_sub(found.saturating_mul(from.len()))
        .saturating_add(found.saturating_mul(to.len()));
    if length > TEXT_MAX {
        Err(too_long())
    } else {
        Ok(text.replace(from, to))
    }
}

fn join(values: &Value, between: Option<&str>) -> Result<String, Error> {
    let mut joined = String::new();
    for (place, value) in values.try_iter()?.enumerate() {
        if place > 0 {
            joined.push_str(between.unwrap_or_default());
        }
        joined.push_str(&value.to_string());
        if joined.len() > TEXT_MAX {
            return Err(too_long());
        }
    }
    Ok(joined)
}

/// A panic in what evaluates it is an error of the expression, and ends nothing else.
fn contained<T>(evaluate: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let failed = |_| {
        Err(Error::new(
            ErrorKind::EvalBlock,
            "a number in it is too large or too small",
        ))
    };
    catch_unwind(AssertUnwindSafe(evaluate)).unwrap_or_else(failed)
}

/// A sentence about an expression of too many parts. Texts in quotes count like anything else: what
/// is a quote and what is not is found out only by reading it.
fn too_deep(text: &str) -> Option<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let words = text
        .split(|c| !is_word(c))
        .filter(|word| word.starts_with(char::is_alphabetic))
        .count();
    let signs = text
        .chars()
        .filter(|c| c.is_ascii_punctuation() && !matches!(c, '"' | '\'' | ',' | '_'))
        .count();
    let brackets = text
        .chars()
        .filter(|c| matches!(c, '(' | '[' | '{'))
        .count();
    let is_too_deep = words + signs > WORDS_MAX || brackets > BRACKETS_MAX;
    is_too_deep.then(|| {
        format!("an expression has at most {WORDS_MAX} names and operators, and {BRACKETS_MAX} brackets that open")
    })
}

fn too_long() -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!("a text of more than {TEXT_MAX} bytes"),
    )
}

/// A text that an expression may use; one that is too long is refused where it is used.
pub(super) fn text(value: &str) -> Value {
    if value.len() > TEXT_MAX {
        Value::from(too_long())
    } else {
        Value::from(value)
    }
}

fn whole_number(value: &Value) -> Result<i64, Error> {
    let number = value
        .as_str()
        .map_or_else(|| value.as_i64(), |text| text.parse().ok());
    number.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "int takes a whole number"))
}

fn decimal(value: &Value) -> Result<Value, Error> {
    let parsed = match value.as_str() {
        Some(text) => Decimal::from_str_exact(text).ok(),
        None => value.as_i64().map(Decimal::from),
    };
    let number = parsed.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidOperation,
            "decimal takes a number such as 12.50",
        )
    })?;
    Ok(Value::from_object(ComparedDecimal(number)))
}

/// An exact decimal that compares with others of its kind.
#[derive(Debug)]
struct ComparedDecimal(Decimal);

impl Object for ComparedDecimal {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        other
            .downcast_ref::<Self>()
            .map(|other| self.0.cmp(&other.0))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What an expression refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum VariableName {
    /// A column of the item file.
    Item(String),
    /// A parameter of the workflow.
    Params(String),
    /// A value of the run.
    Run(String),
}

impl VariableName {
    /// Of `item.x`, `params.x` or `run.x`; none for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (root, field) = text.split_once('.')?;
        let plain = !field.is_empty() && field.chars().all(|c| c.is_alphanumeric() || c == '_');
        match root {
            _ if !plain => None,
            "item" => Some(Self::Item(field.to_owned())),
            "params" => Some(Self::Params(field.to_owned())),
            "run" => Some(Self::Run(field.to_owned())),
            _ => None,
        }
    }
}

/// A compiled expression and what it refers to.
pub struct Expression {
    text: String,
    compiled: minijinja::Expression<'static, 'static>,
    names: Vec<VariableName>,
}

impl Expression {
    /// Whether it reads a column of the row. One that it writes as `item[…]` is known by its name in
    /// quotes; where it stands without, any column may be meant.
    pub(super) fn reads_column(&self, column: &str) -> bool {
        let is_named =
            |name: &VariableName| matches!(name, VariableName::Item(name) if name == column);
        let mut bracketed = self.text.split("item[").skip(1).map(str::trim_start);
        self.names.iter().any(is_named)
            || bracketed.any(|rest| match rest.strip_prefix(['"', '\'']) {
                Some(name) => {
                    let rest = name.strip_prefix(column);
                    rest.is_some_and(|rest| rest.starts_with(['"', '\'']))
                }
                None => true,
            })
    }

    /// Compiles an expression and checks what can be checked without values: syntax, names, filters
    /// and tests.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn compile(text: &str) -> Result<Self, (String, Option<String>)> {
        if text.trim().is_empty() || text.len() > EXPRESSION_MAX {
            return Err((
                format!("an expression has 1 to {EXPRESSION_MAX} characters"),
                None,
            ));
        }
        if let Some(message) = too_deep(text) {
            return Err((message, Some("make it a column of the file".to_owned())));
        }
        // Before it is compiled: constants are put together then.
        if let Some(message) = multiplied_text(text) {
            let help = "write numbers, or values with |int, on both sides: item.n|int * 3";
            return Err((message, Some(help.to_owned())));
        }
        let compiled = contained(|| ENVIRONMENT.compile_expression_owned(text.to_owned()))
            .map_err(|error| (format!("this is no expression: {}", problem(&error)), None))?;
        let mut found: Vec<String> = compiled.undeclared_variables(true).into_iter().collect();
        found.sort();
        let mut names = Vec::new();
        for name in found {
            match VariableName::parse(&name) {
                Some(name) => names.push(name),
                // A column that is no identifier is written item["…"]; which one is known when a
                // row is read.
                None if name == "item" && text.contains("item[") => {}
                None => return Err(unknown_name(&name)),
            }
        }
        if let Some(message) = text_with_number(text) {
            let help = "make both sides numbers: item.n|int > 3, or item.amount|decimal >= \"100\"|decimal";
            return Err((message, Some(help.to_owned())));
        }
        let expression = Self {
            text: text.to_owned(),
            compiled,
            names,
        };
        expression.try_out()?;
        Ok(expression)
    }

    /// Evaluates with sample values to find filters, tests and functions that do not exist.
    fn try_out(&self) -> Result<(), (String, Option<String>)> {
        let sample = || Value::from_object(Sample);
        let Err(error) = self.value(&scope(sample(), sample(), sample())) else {
            return Ok(());
        };
        use ErrorKind::{EvalBlock, UnknownFilter, UnknownFunction, UnknownMethod, UnknownTest};
        if !matches!(
            error.kind(),
            UnknownFilter | UnknownTest | UnknownFunction | UnknownMethod | EvalBlock
        ) {
            return Ok(());
        }
        let help = "filters: lower, upper, trim, replace, split, join, first, last, length, default, string, int, decimal; tests: \
                    defined, undefined, none, in, startingwith, endingwith";
        Err((
            format!("this cannot be evaluated: {}", problem(&error)),
            Some(help.to_owned()),
        ))
    }

    fn value(&self, scope: &Value) -> Result<Value, Error> {
        contained(|| self.compiled.eval(scope.clone()))
    }

    /// What it refers to.
    pub fn names(&self) -> &[VariableName] {
        &self.names
    }

    /// Which texts it compares columns with.
    pub(super) fn known_values(&self) -> Vec<ComparedColumn> {
        known_values(&self.text)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its value as text.
    ///
    /// # Errors
    /// A sentence; it may hold values of the row.
    pub fn text_value(&self, scope: &Value) -> Result<String, Message> {
        let text = self.any_text(scope)?;
        if text.len() > TEXT_MAX {
            let longer = Message::new(
                "expression-too-long",
                "it comes out longer than {most} bytes",
            );
            Err(longer.with("most", TEXT_MAX))
        } else {
            Ok(text)
        }
    }

    fn any_text(&self, scope: &Value) -> Result<String, Message> {
        let value = self
            .value(scope)
            .map_err(|error| cannot_be_evaluated(&error))?;
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "minijinja's enum is open; what it adds is no text"
        )]
        match value.kind() {
            ValueKind::String => Ok(value.to_string()),
            ValueKind::Bool => Ok(if value.is_true() { "true" } else { "false" }.to_owned()),
            ValueKind::Number if value.is_integer() => Ok(value.to_string()),
            ValueKind::Number => Err(Message::new(
                "expression-float",
                "it comes out as a floating-point number, which is never exact",
            )),
            ValueKind::Plain => Ok(value.to_string()),
            ValueKind::Undefined | ValueKind::None => Err(Message::new(
                "expression-nothing",
                "it comes out as nothing",
            )),
            _ => Err(Message::new(
                "expression-no-text",
                "it comes out as a list or mapping, not as text",
            )),
        }
    }

    /// Its value as a condition.
    ///
    /// # Errors
    /// A sentence; it may hold values of the row.
    pub fn truth(&self, scope: &Value) -> Result<bool, Message> {
        let value = self
            .value(scope)
            .map_err(|error| cannot_be_evaluated(&error))?;
        if value.kind() == ValueKind::Bool {
            return Ok(value.is_true());
        }
        Err(Message::new(
            "expression-no-truth",
            "it is neither true nor false; compare it, such as item.active == \"yes\"",
        ))
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

fn unknown_name(name: &str) -> (String, Option<String>) {
    let known = ["item", "params", "run"];
    let root = name.split('.').next().unwrap_or_default();
    let help = if known.contains(&root) {
        format!("write {root}. and one name; values are plain text without parts of their own")
    } else {
        "there are item.<column>, params.<name> and run.<workflow|occurrence|date|month|id>; text needs quotes"
            .to_owned()
    };
    (
        format!("unknown name \"{}\"", payrun_domain::text::shown(name)),
        Some(help),
    )
}

/// What the interpreter of expressions says, in its own words.
fn cannot_be_evaluated(error: &Error) -> Message {
    Message::new("expression-problem", "{problem}").with("problem", problem(error))
}

fn problem(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{} ({})", error.kind(), payrun_domain::text::shown(detail)),
        None => error.kind().to_string(),
    }
}

/// The variables of an evaluation.
pub fn scope(item: Value, params: Value, run: Value) -> Value {
    Value::from_object(ExpressionScope { item, params, run })
}

#[derive(Debug)]
struct ExpressionScope {
    item: Value,
    params: Value,
    run: Value,
}

impl Object for ExpressionScope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match key {
            "item" => Some(self.item.clone()),
            "params" => Some(self.params.clone()),
            "run" => Some(self.run.clone()),
            _ => None,
        }
    }
}

/// Has every name.
#[derive(Debug)]
struct Sample;

impl Object for Sample {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from("1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval(text: &str) -> Result<String, String> {
        let map = |pairs: &[(&'static str, &'static str)]| Value::from_pairs(pairs.iter().copied());
        let item = map(&[
            ("amount", "100.5"),
            ("n", "12"),
            ("empty", ""),
            ("Contract ID", "C-1"),
        ]);
        let expression = Expression::compile(text).map_err(|(message, _)| message)?;
        let value = expression.text_value(&scope(
            item,
            map(&[("p", "q")]),
            map(&[("month", "2026-11")]),
        ));
        value.map_err(|reason| reason.to_string())
    }

    #[test]
    fn nothing_that_stands_in_itself_is_read_further_than_the_stack_reaches() {
        let parts = [
            "[1",
            "1[",
            "(",
            "{1:",
            "not ",
            "-",
            "+",
            "1+",
            "1~",
            "1 and ",
            "1==",
            "1<",
            "a.b.",
            "a|trim|",
            "a[0]",
            "a()",
            "a(b,",
            "1 if 1 else ",
            "item.a is defined and ",
            "'a' '",
            "\"(\"~",
            "1//",
            "2**",
            "1 in [",
        ];
        for part in parts {
            for (before, after) in [("", ""), ("", "1"), ("item.a|default(", ")"), ("[", "]")] {
                let text = format!(
                    "{before}{}{after}",
                    part.repeat((EXPRESSION_MAX - 20) / part.len())
                );
                let compiled = std::thread::Builder::new()
                    .stack_size(2 << 20)
                    .spawn(move || {
                        let refused = Expression::compile(&text).is_err();
                        // As much of it as is read.
                        let most = (0..text.len()).rev().find(|end| {
                            text.get(..*end)
                                .is_some_and(|part| too_deep(part).is_none())
                        });
                        let most = most.and_then(|end| text.get(..end)).unwrap_or_default();
                        _ = Expression::compile(most);
                        _ = Expression::compile(&format!("{most}1"));
                        refused
                    });
                assert!(
                    compiled.unwrap().join().unwrap(),
                    "{part} in {before}…{after}"
                );
            }
        }
        let list: Vec<String> = (0..150).map(|n| format!("\"plan {n}\"")).collect();
        assert!(Expression::compile(&format!("item.plan in [{}]", list.join(", "))).is_ok());
    }

    #[test]
    fn values_are_text_until_they_are_made_numbers() {
        assert_eq!(
            eval("item.n ~ '/' ~ run.month"),
            Ok("12/2026-11".to_owned())
        );
        assert_eq!(eval("item.n|int + 1"), Ok("13".to_owned()));
        assert_eq!(
            eval("item.amount|decimal >= '100.49'|decimal"),
            Ok("true".to_owned())
        );
        assert_eq!(
            eval("item.amount|decimal == '100.50'|decimal"),
            Ok("true".to_owned())
        );
        assert_eq!(eval("item['Contract ID']|lower"), Ok("c-1".to_owned()));
    }

    #[test]
    fn nothing_becomes_a_floating_point_number_or_nothing_silently() {
        assert!(
            eval("item.n|int / 5")
                .unwrap_err()
                .contains("floating-point")
        );
        assert!(
            eval("item.amount|int")
                .unwrap_err()
                .contains("int takes a whole number")
        );
        assert!(eval("item.missing").unwrap_err().contains("nothing"));
        assert!(eval("item.missing ~ 'x'").is_err());
        assert!(eval("[item.n]").unwrap_err().contains("list"));
    }

    #[test]
    fn what_does_not_exist_is_found_without_values() {
        assert!(
            eval("itm.n")
                .unwrap_err()
                .contains("unknown name \"itm.n\"")
        );
        assert!(eval("n").unwrap_err().contains("unknown name \"n\""));
        assert!(eval("item.n|flaot").unwrap_err().contains("flaot"));
        assert!(
            eval("item.n.startswith('1')")
                .unwrap_err()
                .contains("item.n.startswith")
        );
        assert!(eval("range(10)").unwrap_err().contains("range"));
        assert!(eval("item.n +").unwrap_err().contains("no expression"));
        assert!(eval("").is_err());
    }

    #[test]
    fn nothing_makes_a_text_that_is_longer_than_the_bound() {
        let refused = [
            "'a'|indent(99999999999)",
            "'a'|center(99999999999)",
            "[1]|batch(99999999999)|list",
            "[1]|slice(99999999999)|list",
            "'%099999999d'|format(1)",
            "'a' * 99999999",
            "99999999 * 'a'",
            "[1] * 99999999",
            "[[1]|first] * 99999999",
            "('a') * 99999999",
            "'a'|map('upper')",
        ];
        for attack in refused {
            assert!(Expression::compile(attack).is_err(), "{attack}");
        }
        let grown = |filter: &str| format!("'{}'{}", "a".repeat(200), filter.repeat(12));
        for growing in [
            "|replace('a','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')",
            "|replace('','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')",
        ] {
            assert!(
                eval(&grown(growing))
                    .unwrap_err()
                    .contains("more than 10000 bytes"),
                "{growing}"
            );
        }
        let joined = (0..6).fold("'aaaaaaaaaa'".to_owned(), |text, _| {
            format!("({text}|split('a')|join({text}))")
        });
        assert!(eval(&joined[..joined.len().min(EXPRESSION_MAX)]).is_err());
        let long = "x".repeat(TEXT_MAX + 1);
        let item = Value::from_pairs([("long", text(&long)), ("short", text("x"))]);
        let value = |expression: &str| {
            Expression::compile(expression).unwrap().text_value(&scope(
                item.clone(),
                Value::UNDEFINED,
                Value::UNDEFINED,
            ))
        };
        assert!(
            value("item.long|upper")
                .unwrap_err()
                .to_string()
                .contains("more than 10000 bytes")
        );
        assert_eq!(value("item.short|upper"), Ok("X".to_owned()));
        let many = vec!["item.short"; 70].join(" ~ ");
        assert_eq!(value(&many), Ok("x".repeat(70)));
    }

    #[test]
    fn a_panic_while_it_is_evaluated_is_an_error() {
        for panics_in_debug_builds in [
            "'abc'[::-9223372036854775808]",
            "[1,2][::-9223372036854775808]|join",
        ] {
            _ = Expression::compile(panics_in_debug_builds);
        }
        assert!(contained::<()>(|| panic!("this is asked for")).is_err());
        let chosen = Expression::compile("'abc'[::item.n|int]").unwrap();
        let item = Value::from_pairs([("n", "-9223372036854775808")]);
        _ = chosen.text_value(&scope(item, Value::UNDEFINED, Value::UNDEFINED));
    }

    #[test]
    fn filters_of_the_list_do_what_they_say() {
        assert_eq!(eval("'a,b'|replace(',', ';')"), Ok("a;b".to_owned()));
        assert_eq!(eval("('a-b-c'|split('-'))[1]"), Ok("b".to_owned()));
        assert_eq!(eval("'a-b-c'|split('-')|join('+')"), Ok("a+b+c".to_owned()));
        assert_eq!(
            eval("item.empty|default('x', true) ~ ('abc'|length|string)"),
            Ok("x3".to_owned())
        );
        assert_eq!(
            eval("'1' in ['1', '2'] and 'ab' is startingwith 'a'"),
            Ok("true".to_owned())
        );
        assert_eq!(eval("item.n|int * 3"), Ok("36".to_owned()));
    }

    #[test]
    fn a_condition_must_be_true_or_false() {
        let scope = scope(
            Value::from_object(Sample),
            Value::from_object(Sample),
            Value::from_object(Sample),
        );
        assert_eq!(
            Expression::compile("item.x == '1'").unwrap().truth(&scope),
            Ok(true)
        );
        assert!(
            Expression::compile("item.x")
                .unwrap()
                .truth(&scope)
                .unwrap_err()
                .to_string()
                .contains("compare it")
        );
    }
}
