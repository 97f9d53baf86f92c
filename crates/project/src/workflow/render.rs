//! From a row to an item: values put in, checked, and in a form that compares.
//!
//! Plain references are looked up directly; constants are made once. Reasons are sentences that
//! name the field; they hold no value of a field that is sensitive.

mod builder;
mod money_fields;
mod row_notices;

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::NaiveDate;
use minijinja::value::{Object, Value};

use super::excluded_rows::ExclusionFilter;
use super::expression::{self, Expression, RUN_FIELDS, VariableName, scope};
use super::params::RunValues;
use super::source::{ColumnAliases, FileKind, FileReading, FileRow};
use super::template::{Template, TemplatePart};
use super::unused_columns::{UnreadField, says_the_same, unread_fields};
use super::{ItemSource, Job};
use crate::job_kinds::field::FIELD;
use crate::job_kinds::{FieldKind, InputField};
use payrun_domain::identity_card;
use payrun_domain::ids::{KEY_MAX, OrderNumber};
use payrun_domain::message::{Message, MessageArgument};
use payrun_domain::money::{Amount, decimal_text, parse_minor};
use payrun_domain::text;
use payrun_yaml::diagnostics::Diagnostics;

use builder::{RendererBuilder, columns_of};
use money_fields::{amount_of, check_decimals};
pub use row_notices::{MoneyExample, RowNotices, TrimmedColumn};

/// A row as an item to plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedItem {
    /// What may happen at most once.
    pub key: String,
    /// The order number, where it is given and not derived.
    pub order_number: Option<OrderNumber>,
    /// The fields other than amount and currency, as a JSON object with its keys sorted; empty ones
    /// are left out.
    pub input: String,
    /// Personal data, by field.
    pub private: PersonalValues,
    /// By what else it is found, by column.
    pub references: PersonalValues,
    /// The fields that make it the same thing, as a JSON object with its keys sorted: equal text,
    /// same thing.
    pub identity: String,
    /// The value of which only one may be under way at a time.
    pub exclusive_key: Option<String>,
    /// What the item is for, where that is a whole or a part: the values of the fields that its
    /// kind names, the part last; empty for the whole.
    pub part: Option<Vec<String>>,
    /// The two numbers of its payment, the merchant's and the gateway's, where its kind says which.
    pub payment: Option<[String; 2]>,
    /// The amount.
    pub amount: Option<Amount>,
    /// Whether other rows stand for the same item too: it is one of those that a value of the row
    /// stands for.
    pub shared: bool,
}

/// By what a row is known that makes no item, as far as it can be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowNames {
    /// Its key.
    pub key: Option<String>,
    /// The order number that it gives.
    pub order_number: Option<OrderNumber>,
    /// What it would be found by, by column.
    pub references: PersonalValues,
}

/// Personal data of one item, by field. It prints nothing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PersonalValues(Vec<(String, String)>);

impl PersonalValues {
    /// Of these values.
    pub const fn new(values: Vec<(String, String)>) -> Self {
        Self(values)
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each field and its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl std::fmt::Debug for PersonalValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} private", self.0.len())
    }
}

/// Renders the rows of one file for one job of one run.
pub struct Renderer<'a> {
    job: &'a Job,
    columns: Arc<[String]>,
    /// Those that the file may lack.
    optional: &'a [String],
    params: Value,
    run: Value,
    /// The run's.
    date: String,
    /// None where the job kind makes the key of its fields.
    key: Option<PreparedTemplate<'a>>,
    order_number: Option<PreparedTemplate<'a>>,
    /// The columns of a key of the workflow's own that fill nothing else: they only tell rows apart.
    only_in_key: Vec<usize>,
    /// Sorted by name.
    fields: Vec<FieldPlan<'a>>,
    /// Whether reasons may hold what an expression says, which may be a value.
    open: bool,
    /// The columns that name something: those of the key, the order number and of fields that are
    /// names.
    names: Vec<usize>,
    /// The columns of numbers of identity cards.
    cards: Vec<usize>,
    /// Those of both that fill nothing but ids: no date and no number is meant there.
    ids: Vec<usize>,
    /// The columns of a file that are called like a field, and that nothing reads.
    unread: Vec<UnreadField<'a>>,
    /// How the file was understood, where the rows are those of one.
    reading: Option<FileReading>,
    condition: Option<ExclusionFilter<'a>>,
    /// The columns by which an item is found, with their places in a row.
    searchable: Vec<(&'a str, usize)>,
    noted: RefCell<RowNotices>,
    /// Whether the money of a row was noted.
    money_noted: Cell<bool>,
}

/// The columns whose names cannot be meant, and why.
#[derive(Default)]
struct WrongNames {
    columns: Vec<usize>,
    reasons: Vec<Message>,
}

impl WrongNames {
    fn add(&mut self, column: usize, reason: Message) {
        self.columns.push(column);
        self.reasons.push(reason);
    }
}

/// What is wrong with a column of a row.
fn wrong_column(column: Message, what: Message) -> Message {
    Message::new("column-wrong", "{column} {what}")
        .with("column", column)
        .with("what", what)
}

/// The columns that a key is made of as they stand, and that no field or order number uses.
fn only_in_key(
    job: &Job,
    key: Option<&PreparedTemplate<'_>>,
    fields: &[FieldPlan<'_>],
    columns: &[String],
) -> Vec<usize> {
    let number = job.order_number.as_ref();
    let of_number = number.map_or_else(Vec::new, |template| columns_of(template, columns));
    let is_used = |index: usize| {
        of_number.contains(&index) || fields.iter().any(|one| one.columns.contains(&index))
    };
    let pieces = key.map_or(&[][..], |key| &key.0);
    let cell = |piece: &ValuePiece<'_>| match piece {
        ValuePiece::Cell(index) => {
            Some(*index).filter(|index| *index < columns.len() && !is_used(*index))
        }
        ValuePiece::Text(_) | ValuePiece::Expression(_) => None,
    };
    pieces.iter().filter_map(cell).collect()
}

/// The longest value that a reason shows.
const TOLD_MAX: usize = 40;

/// How many mistakes of a row are told.
const MISTAKES_MAX: usize = 12;

/// The values of a row's fields, sorted by name.
type FieldValues<'v> = Vec<(&'v InputField, Cow<'v, str>)>;

/// A template with all put in that does not come from the row.
struct PreparedTemplate<'a>(Vec<ValuePiece<'a>>);

enum ValuePiece<'a> {
    Text(Cow<'a, str>),
    Cell(usize),
    Expression(&'a Expression),
}

/// What a field's value is made of.
struct FieldPlan<'a> {
    field: &'a InputField,
    plan: PreparedTemplate<'a>,
    /// The columns that it uses.
    columns: Vec<usize>,
}

/// A row and, once an expression needs it, its variables.
struct RowVariables<'r> {
    row: &'r FileRow,
    scope: OnceCell<Value>,
}

impl<'a> Renderer<'a> {
    /// For the rows of a file with these columns.
    ///
    /// # Errors
    /// A diagnostic for each column that is used and not there, at the place of its use.
    pub fn new(
        job: &'a Job,
        columns: &[String],
        reading: Option<&FileReading>,
        run: &RunValues,
        params: &BTreeMap<String, String>,
    ) -> Result<Self, Diagnostics> {
        let (aliases, optional): (&[ColumnAliases], &[String]) = match &job.items.source {
            ItemSource::File { options, .. } => (&options.aliases, &options.optional),
            ItemSource::Job { .. }
            | ItemSource::Contracts
            | ItemSource::Days(_)
            | ItemSource::Window(_) => (&[], &[]),
        };
        let mut preparing = RendererBuilder {
            columns,
            run,
            params,
            found: Diagnostics::default(),
            missing: BTreeSet::new(),
            reading,
            aliases,
            optional,
        };
        let NamingColumns { names, cards, ids } = NamingColumns::of(job, columns);
        let sensitive = job
            .with
            .iter()
            .filter(|(name, _)| job.kind.field(name).is_some_and(|field| field.sensitive));
        let private: Vec<usize> = sensitive
            .flat_map(|(_, template)| columns_of(template, columns))
            .collect();
        let key = job.key.as_ref().map(|template| preparing.plan(template));
        let order_number = job
            .order_number
            .as_ref()
            .map(|template| preparing.plan(template));
        let mut fields: Vec<FieldPlan<'_>> = Vec::new();
        for (name, template) in &job.with {
            if let Some(field) = job.kind.field(name) {
                let used = columns_of(template, columns);
                fields.push(FieldPlan {
                    field,
                    plan: preparing.plan(template),
                    columns: used,
                });
            }
        }
        let unread = reading.map(|reading| unread_fields(job, columns, reading));
        if let Some(condition) = &job.items.condition {
            for column in condition.item_columns() {
                preparing.miss(column, |message| condition.diagnostic(message));
            }
        }
        let mut searchable = Vec::with_capacity(job.items.searchable.len());
        for column in &job.items.searchable {
            match columns.iter().position(|name| *name == column.name) {
                Some(place) => searchable.push((column.name.as_str(), place)),
                None => preparing.miss(&column.name, |message| column.place.diagnostic(message)),
            }
        }
        let only_in_key = only_in_key(job, key.as_ref(), &fields, columns);
        let found = std::mem::take(&mut preparing.found);
        found.or_value(Some(Self {
            job,
            columns: columns.into(),
            optional,
            params: params_value(params),
            run: run_value(run),
            date: run.date.clone(),
            key,
            order_number,
            only_in_key,
            fields,
            open: !job.kind.fields.iter().any(|field| field.sensitive),
            names,
            cards,
            ids,
            unread: unread.unwrap_or_default(),
            reading: reading.map(|reading| with_id_columns(reading, job, columns)),
            condition: job
                .items
                .condition
                .as_ref()
                .map(|condition| ExclusionFilter::new(condition, columns, params, &private)),
            searchable,
            noted: RefCell::default(),
            money_noted: Cell::new(false),
        }))
    }

    /// What was noted since this was asked last.
    pub fn noted(&self) -> RowNotices {
        self.noted.take()
    }

    /// The row with its names as they are meant, and the columns of those that cannot be meant. A
    /// blank that nobody sees would make another name, and another item.
    fn with_names<'r>(&self, row: &'r FileRow) -> (Cow<'r, FileRow>, WrongNames) {
        let mut changed: Vec<(usize, &str)> = Vec::new();
        let mut trimmed = Vec::new();
        let mut wrong = WrongNames::default();
        for index in self.names.iter().chain(&self.cards) {
            let cell = row.get(*index).unwrap_or_default();
            let is_name = self.names.contains(index);
            let mut name = if is_name { text::trimmed(cell) } else { cell };
            if name.len() != cell.len() {
                trimmed.push(*index);
            }
            let column = || self.column(*index, row.line);
            if let Some(what) = self.not_as_typed(*index, row, name) {
                wrong.add(*index, wrong_column(column(), what));
                continue;
            }
            match text::said_to_be_text(name).filter(|_| self.is_csv()) {
                Some(said) => name = said,
                None if self.looks_rounded(*index, name) => {
                    wrong.add(*index, wrong_column(column(), text::ROUNDED_NUMBER));
                }
                None => {}
            }
            if name.len() != cell.len() {
                changed.push((*index, name));
            }
            if !is_name {
                continue;
            }
            if text::is_shortened_number(name) {
                wrong.add(*index, wrong_column(column(), text::SHORTENED_NUMBER));
            } else if let Some(what) = text::not_in_names(name) {
                let reason = Message::new("name-wrong", "{column} {what}: {remedy}")
                    .with("column", column())
                    .with("what", what)
                    .with("remedy", text::NAME_REMEDY);
                wrong.add(*index, reason);
            }
        }
        if changed.is_empty() {
            return (Cow::Borrowed(row), wrong);
        }
        for index in trimmed {
            self.note(row.line, &self.columns[index], |noted| &mut noted.trimmed);
        }
        let cell = |(index, cell)| {
            changed
                .iter()
                .find(|(other, _)| *other == index)
                .map_or(cell, |(_, name)| *name)
        };
        let cells: Vec<&str> = row.iter().enumerate().map(cell).collect();
        (Cow::Owned(FileRow::of(row.line, &cells)), wrong)
    }

    /// What Excel has made of an id that was typed into a cell: a date, or a number without the zeros
    /// before it.
    fn not_as_typed(&self, index: usize, row: &FileRow, name: &str) -> Option<Message> {
        if name.is_empty() || !self.ids.contains(&index) {
            return None;
        }
        self.reading.as_ref()?.not_as_typed(index, row, name)
    }

    /// What is wrong with a cell that is filled in, called like a field, and read by nothing: it says
    /// something else than what is sent.
    fn unread_cell(
        &self,
        one: &UnreadField<'_>,
        row: &FileRow,
        values: &FieldValues<'_>,
    ) -> Option<Message> {
        let cell = text::trimmed(row.get(one.column)?);
        let (field, sent) = (one.field, find(values, &one.field.name));
        if cell.is_empty() || sent.is_some_and(|sent| says_the_same(field, cell, sent)) {
            return None;
        }
        let reading = self.reading.as_ref()?;
        let (heading, name) = (&reading.header[one.column], &field.name);
        let heading = text::shown(heading);
        let place = reading.cell(one.column, row.line);
        let place =
            place.map(|cell| Message::new("place-cell", " (cell {cell})").with("cell", cell));
        let is_short = |text: &&str| !field.sensitive && text.chars().count() <= TOLD_MAX;
        let says = Some(cell).filter(is_short);
        let says = says.map(|cell| {
            Message::new("unread-says", " and says {value}").with("value", text::shown(cell))
        });
        let sends = match (sent.filter(is_short), sent) {
            (Some(sent), _) => MessageArgument::Text(text::shown(sent)),
            (None, Some(_)) => Message::new("unread-sends-other", "something else").into(),
            (None, None) => Message::new("unread-sends-none", "no {name}")
                .with("name", name)
                .into(),
        };
        let told = |unread: Message| {
            unread
                .with("heading", &heading)
                .with("place", place)
                .with("name", name)
                .with("says", says)
                .with("sends", sends)
        };
        Some(match &field.refused {
            Some(why) => told(Message::new(
                "unread-refused",
                "the column \"{heading}\"{place} is called like the field {name}{says}, and the workflow does not read it: it sends \
                 {sends}, and {name} may not be given: {why}; empty the cell, or say that the column is not meant (unused: \
                 [{heading}] beside file:)",
            ))
            .with("why", why.clone()),
            None => {
                let column = &self.columns[one.column];
                let alias = (text::folded(column) != text::folded(name)).then(|| {
                    Message::new("unread-alias", "columns: { {name}: {heading} } beside file:, and ")
                        .with("name", name)
                        .with("heading", &heading)
                });
                told(Message::new(
                    "unread-field",
                    "the column \"{heading}\"{place} is called like the field {name}{says}, and the workflow does not read it: it \
                     sends {sends}; take it from the row ({alias}{name}: \"{{ item.{name} }}\" under with:), write into the cell what \
                     is sent, or say that the column is not meant (unused: [{heading}] beside file:)",
                ))
                .with("alias", alias)
            }
        })
    }

    /// Whether the rows are those of a CSV file.
    fn is_csv(&self) -> bool {
        self.reading
            .as_ref()
            .is_some_and(|reading| matches!(reading.kind, FileKind::Csv(..)))
    }

    fn looks_rounded(&self, column: usize, name: &str) -> bool {
        self.reading
            .as_ref()
            .is_some_and(|reading| reading.looks_rounded(column, name))
    }

    /// Notes that a value of this row was taken for what is meant.
    fn note(
        &self,
        line: u64,
        column: &str,
        list: impl Fn(&mut RowNotices) -> &mut Vec<TrimmedColumn>,
    ) {
        let mut notices = RowNotices::default();
        list(&mut notices).push(TrimmedColumn {
            column: column.to_owned(),
            rows: 1,
            first: line,
        });
        self.noted.borrow_mut().add(notices);
    }

    /// A column as a message names it: as the workflow does, and as the file does where that is
    /// another name, with the cell where there is a sheet.
    fn column(&self, index: usize, line: u64) -> Message {
        let name = &self.columns[index];
        at_place(name, self.place(name, &[index], line))
    }

    /// Where in the file the value of a field stands that is made of these columns, in brackets: the
    /// heading where it is not the field's name, and the cell where there is a sheet.
    fn place(&self, name: &str, columns: &[usize], line: u64) -> Option<Message> {
        let ([only], Some(reading)) = (columns, &self.reading) else {
            return None;
        };
        reading.place(name, *only, line)
    }

    /// A value without what spreadsheets leave around it, where nothing else can be meant.
    fn plain<'v>(&self, one: &FieldPlan<'_>, value: Cow<'v, str>, line: u64) -> Cow<'v, str> {
        let is_money = match one.field.kind {
            FieldKind::Text { .. } => return value,
            FieldKind::Amount | FieldKind::Decimal => true,
            FieldKind::Choice(_) | FieldKind::Date | FieldKind::Currency => false,
        };
        let trimmed = text::trimmed(&value);
        let digits = is_money.then(|| text::plain_digits(trimmed)).flatten();
        if digits.is_some() {
            self.note(line, &one.field.name, |noted| &mut noted.plain_digits);
        }
        if trimmed.len() != value.len() {
            self.note(line, &one.field.name, |noted| &mut noted.trimmed);
            return Cow::Owned(digits.unwrap_or_else(|| trimmed.to_owned()));
        }
        digits.map_or(value, Cow::Owned)
    }

    /// Says of each of these mistakes of a field where in the file its value stands.
    fn name_columns(&self, reasons: Vec<Message>, line: u64) -> Vec<Message> {
        let placed = |reason: Message| {
            let place = match reason.argument(FIELD) {
                Some(MessageArgument::Text(name)) => {
                    let mut plans = self.fields.iter();
                    let one = plans.find(|one| one.field.name == *name);
                    one.and_then(|one| {
                        let place = self.place(name, &one.columns, line)?;
                        Some(at_place(name, Some(place)))
                    })
                }
                Some(_) | None => None,
            };
            match place {
                Some(place) => reason.with(FIELD, place),
                None => reason,
            }
        };
        reasons.into_iter().map(placed).collect()
    }

    /// Renders a row; nothing if the job's `where` leaves it out, several where a value of it
    /// stands for several.
    ///
    /// # Errors
    /// A sentence for each thing that is wrong with it.
    pub fn row(&self, row: &FileRow) -> Result<Vec<RenderedItem>, Vec<Message>> {
        if !self.is_meant(row)? {
            return Ok(Vec::new());
        }
        let (row, wrong) = self.with_names(row);
        let variables = RowVariables {
            row: &row,
            scope: OnceCell::new(),
        };
        let wrong_names = wrong.reasons.len();
        let mut reasons = wrong.reasons;
        let mut values: FieldValues<'_> = Vec::with_capacity(self.fields.len());
        for one in &self.fields {
            let field = one.field;
            let value = self.value(&one.plan, &variables);
            let value = value.map(|value| self.plain(one, value, row.line));
            // What is wrong with a name was told.
            let is_told = one
                .columns
                .iter()
                .any(|index| wrong.columns.contains(index));
            match value {
                Ok(value) if is_told => values.push((field, value)),
                Err(_) if is_told => {}
                Ok(value) if value.is_empty() && field.required => {
                    let empty = Message::new("field-empty", "{field} is empty");
                    reasons.push(empty.with(FIELD, &field.name))
                }
                Ok(value) if value.is_empty() => {}
                Ok(value) => {
                    reasons.extend(field.check(&value).err());
                    // It is given, right or wrong: what stands beside it needs nothing more.
                    values.push((field, value));
                }
                Err(reason) => reasons.push(of_field(field, reason)),
            }
        }
        let unread = self.unread.iter();
        reasons.extend(unread.filter_map(|one| self.unread_cell(one, &row, &values)));
        self.write_card(&mut values, row.line);
        self.check_groups(&values, row.line, &mut reasons);
        self.check_together(&values, &mut reasons);
        reasons.extend(self.job.kind.broken_rules(|name| find(&values, name)));
        let amount = amount_of(&values, &mut reasons);
        if amount.is_none() {
            // A constant of the workflow that says nothing of a row without an amount.
            values.retain(|(field, _)| field.kind != FieldKind::Currency);
        }
        self.check_age(&values, &mut reasons);
        reasons.extend(self.wrong_card(&values));
        check_decimals(&mut values, &self.job.kind, amount, &mut reasons);
        self.check_limits(amount, &mut reasons);
        // Both are made of names.
        let named = if wrong_names > 0 {
            None
        } else {
            let key = self.key(&variables, &values);
            let key = key.map_err(|reason| reasons.push(reason)).ok();
            let order_number = self.order_number(&variables, &values, &mut reasons);
            key.map(|key| (key, order_number))
        };
        let Some((key, order_number)) = named.filter(|_| reasons.is_empty()) else {
            return Err(shortened(self.name_columns(reasons, row.line)));
        };
        self.note_money(row.line, amount, &values);
        Ok(self
            .expanded(&values, key)
            .into_iter()
            .map(|(values, key)| RenderedItem {
                references: self.references(&row),
                ..self.rendered(&values, key, &order_number, amount)
            })
            .collect())
    }

    /// Keeps what the money of the first good row is. What other items have was told of theirs.
    fn note_money(&self, line: u64, amount: Option<Amount>, values: &FieldValues<'_>) {
        let is_file = matches!(self.job.items.source, ItemSource::File { .. });
        if !is_file || self.money_noted.replace(true) {
            return;
        }
        let kind = &self.job.kind;
        let Some(currency) = amount
            .map(Amount::currency)
            .or_else(|| kind.only_currency())
        else {
            self.money_noted.set(false);
            return;
        };
        let minor = |(field, value): &(&InputField, Cow<'_, str>)| match field.kind {
            FieldKind::Amount => amount.map(Amount::minor),
            FieldKind::Decimal => parse_minor(value, currency).ok(),
            FieldKind::Text { .. }
            | FieldKind::Choice(_)
            | FieldKind::Date
            | FieldKind::Currency => None,
        };
        let named =
            |value: &(&InputField, Cow<'_, str>)| Some((value.0.name.clone(), minor(value)?));
        let fields: Vec<(String, i64)> = values.iter().filter_map(named).collect();
        if fields.is_empty() {
            self.money_noted.set(false);
            return;
        }
        self.noted.borrow_mut().money = Some(MoneyExample {
            line,
            currency,
            fields,
        });
    }

    /// By what a row that was refused is known, as far as it can be told.
    pub fn names_of(&self, row: &FileRow) -> RowNames {
        // What there is to be told of the row has been noted.
        let noted = self.noted.take();
        let (row, wrong) = self.with_names(row);
        self.noted.replace(noted);
        let references = self.references(&row);
        if !wrong.reasons.is_empty() {
            return RowNames {
                references,
                ..RowNames::default()
            };
        }
        let variables = RowVariables {
            row: &row,
            scope: OnceCell::new(),
        };
        let mut values: FieldValues<'_> = Vec::with_capacity(self.fields.len());
        for one in &self.fields {
            let value = self
                .value(&one.plan, &variables)
                .ok()
                .filter(|value| !value.is_empty());
            values.extend(value.map(|value| (one.field, value)));
        }
        RowNames {
            key: self.key(&variables, &values).ok(),
            order_number: self.order_number(&variables, &values, &mut Vec::new()),
            references,
        }
    }

    /// Whether the job's condition takes a row.
    fn is_meant(&self, row: &FileRow) -> Result<bool, Vec<Message>> {
        let Some(condition) = &self.condition else {
            return Ok(true);
        };
        let doubts = condition.doubts(row);
        if !doubts.is_empty() {
            let named = |(index, doubt)| wrong_column(self.column(index, row.line), doubt);
            return Err(doubts.into_iter().map(named).collect());
        }
        let variables = RowVariables {
            row,
            scope: OnceCell::new(),
        };
        let truth = condition
            .condition()
            .expression()
            .truth(self.scope(&variables));
        let meant = truth.map_err(|reason| {
            let fails = Message::new("where-fails", "where: {reason}");
            vec![fails.with("reason", self.told(reason))]
        })?;
        if !meant {
            self.noted
                .borrow_mut()
                .left_out
                .row(row.line, condition.value(row));
        }
        Ok(meant)
    }

    fn rendered(
        &self,
        values: &FieldValues<'_>,
        key: String,
        number: &Option<OrderNumber>,
        amount: Option<Amount>,
    ) -> RenderedItem {
        let exclusive_key = self.job.kind.one_at_a_time.as_ref();
        let is_input = |field: &InputField| {
            !field.sensitive && !matches!(field.kind, FieldKind::Amount | FieldKind::Currency)
        };
        let private = values.iter().filter(|(field, _)| field.sensitive);
        RenderedItem {
            key,
            order_number: number.clone(),
            input: object(values, None, is_input),
            private: PersonalValues(
                private
                    .map(|(field, value)| (field.name.clone(), value.clone().into_owned()))
                    .collect(),
            ),
            identity: object(values, amount, |field| field.identity),
            exclusive_key: exclusive_key
                .and_then(|name| find(values, name))
                .map(str::to_owned),
            part: self.part(values),
            payment: self.payment(values),
            amount,
            references: PersonalValues::default(),
            shared: self.job.kind.expand.as_ref().is_some_and(|expand| {
                find(values, &expand.field)
                    .is_some_and(|value| expand.values.values().flatten().any(|of| of == value))
            }),
        }
    }

    /// What an item is for, where its kind is done of a whole or of its parts.
    fn part(&self, values: &FieldValues<'_>) -> Option<Vec<String>> {
        let split = self.job.kind.whole_or_parts.as_ref()?;
        let whole = split.of.iter().map(|name| find(values, name));
        let part = Some(find(values, &split.part).unwrap_or_default());
        whole
            .chain([part])
            .map(|value| value.map(str::to_owned))
            .collect()
    }

    /// The two numbers of the payment that an item is of.
    fn payment(&self, values: &FieldValues<'_>) -> Option<[String; 2]> {
        let names = self.job.kind.payment_names.as_ref()?;
        let number = |name| find(values, name).map(str::to_owned);
        Some([number(&names.ours)?, number(&names.theirs)?])
    }

    /// By what else a row's items are found; what is empty finds nothing.
    fn references(&self, row: &FileRow) -> PersonalValues {
        let value = |(column, place): &(&str, usize)| {
            let value = row
                .get(*place)
                .filter(|value| !text::searchable(value).is_empty())?;
            Some(((*column).to_owned(), value.to_owned()))
        };
        PersonalValues(self.searchable.iter().filter_map(value).collect())
    }

    /// The values as they are; or once for each value that one of them stands for, with a key of
    /// its own.
    fn expanded<'v>(
        &self,
        values: &FieldValues<'v>,
        key: String,
    ) -> Vec<(FieldValues<'v>, String)> {
        let expand = self.job.kind.expand.as_ref();
        let several = expand.and_then(|expand| {
            expand
                .values
                .get(find(values, &expand.field)?)
                .map(|all| (expand, all))
        });
        let Some((expand, all)) = several else {
            return vec![(values.clone(), key)];
        };
        let one = |value: &String| {
            let mut values = values.clone();
            if let Some((_, known)) = values
                .iter_mut()
                .find(|(field, _)| field.name == expand.field)
            {
                *known = Cow::Owned(value.clone());
            }
            let key = if self.key.is_some() {
                format!("{key}/{value}")
            } else {
                self.made_key(&values)
            };
            (values, key)
        };
        all.iter().map(one).collect()
    }

    /// The key as the job kind makes it.
    fn made_key(&self, values: &FieldValues<'_>) -> String {
        let parts = self
            .job
            .kind
            .key
            .iter()
            .filter(|name| self.job.with.contains_key(*name));
        parts
            .map(|name| find(values, name).unwrap_or_default())
            .collect::<Vec<_>>()
            .join("/")
    }

    fn check_groups(
        &self,
        values: &[(&InputField, Cow<'_, str>)],
        line: u64,
        reasons: &mut Vec<Message>,
    ) {
        for group in &self.job.kind.one_of {
            let given = group
                .iter()
                .filter(|name| find(values, name).is_some())
                .count();
            if given != 1 {
                let named = |name: &String| {
                    let one = self.fields.iter().find(|one| one.field.name == *name);
                    at_place(
                        name,
                        one.and_then(|one| self.place(name, &one.columns, line)),
                    )
                };
                let listed = |all: Message, one: Message| {
                    Message::new("name-and-name", "{all}, {one}")
                        .with("all", all)
                        .with("one", one)
                };
                let exactly = Message::new(
                    "one-of-group",
                    "exactly one of {names} must be given, not {given}",
                );
                reasons.push(
                    exactly
                        .with("names", group.iter().map(named).reduce(listed))
                        .with("given", given),
                );
            }
        }
    }

    fn check_together(&self, values: &[(&InputField, Cow<'_, str>)], reasons: &mut Vec<Message>) {
        for group in &self.job.kind.all_or_none {
            let (given, missing): (Vec<&str>, Vec<&str>) = group
                .iter()
                .map(String::as_str)
                .partition(|name| find(values, name).is_some());
            if let (Some(given), Some(missing)) = (given.first(), missing.first()) {
                let needed = Message::new("field-needed", "{field} is empty, and {other} needs it");
                reasons.push(needed.with(FIELD, *missing).with("other", *given));
            }
        }
    }

    /// What the item is about may be too old for the gateway.
    fn check_age(&self, values: &[(&InputField, Cow<'_, str>)], reasons: &mut Vec<Message>) {
        let Some(bound) = &self.job.kind.not_older_than else {
            return;
        };
        let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        let Some((from, run)) = find(values, &bound.field)
            .and_then(day)
            .zip(day(&self.date))
        else {
            return;
        };
        let most = i64::try_from(bound.age.as_secs() / 86_400).unwrap_or(i64::MAX);
        let age = run.signed_duration_since(from).num_days();
        if age > most {
            let old = Message::new(
                "field-too-old",
                "{field} is {age} days before the run, and the gateway takes at most {most} days",
            );
            reasons.push(
                old.with(FIELD, &bound.field)
                    .with("age", age)
                    .with("most", most),
            );
        }
    }

    /// Writes the x at the end of an identity card as cards have it: a capital one.
    fn write_card(&self, values: &mut FieldValues<'_>, line: u64) {
        let card = self
            .job
            .kind
            .identity_card
            .as_ref()
            .filter(|card| card.is_card(|name| find(values, name)));
        let Some(card) = card else { return };
        let number = values
            .iter_mut()
            .find(|(field, _)| field.name == card.number);
        let Some((field, number)) = number else {
            return;
        };
        if let Some(written) = identity_card::with_capital_x(number) {
            *number = Cow::Owned(written);
            self.note(line, &field.name, |noted| &mut noted.capital_x);
        }
    }

    /// What is wrong with the number of an identity card; the reason holds nothing of it.
    fn wrong_card(&self, values: &[(&InputField, Cow<'_, str>)]) -> Option<Message> {
        let card = self
            .job
            .kind
            .identity_card
            .as_ref()
            .filter(|card| card.is_card(|name| find(values, name)))?;
        let today = NaiveDate::parse_from_str(&self.date, "%Y-%m-%d").ok()?;
        let error = identity_card::check(find(values, &card.number)?, today).err()?;
        let other = card.document.as_ref();
        let other = other.map(|field| {
            Message::new(
                "card-other-document",
                " (another document: say so by {other})",
            )
            .with("other", field)
        });
        Some(
            Message::new("field-card", "{field} {what}{document}")
                .with(FIELD, &card.number)
                .with("what", error.message())
                .with("document", other),
        )
    }

    /// What has limits has one for each currency: money in another is not meant.
    fn check_limits(&self, amount: Option<Amount>, reasons: &mut Vec<Message>) {
        if let Some(amount) = amount {
            let currency = amount.currency();
            let most = self
                .job
                .limits
                .item
                .get(currency.code())
                .copied()
                .unwrap_or_else(|| currency.usual_limit());
            if amount.minor() > most {
                let most = decimal_text(i128::from(most), currency);
                let over = Message::new(
                    "amount-over-limit",
                    "the amount {amount} is more than {most}, the most that one item may be; limits: { item: { {currency}: … } } allows \
                     more",
                );
                reasons.push(
                    over.with("amount", amount.to_string())
                        .with("most", most)
                        .with("currency", currency.code()),
                );
            }
        }
        let limits = &self.job.limits.total;
        let currency = amount
            .map(|amount| amount.currency().code())
            .filter(|_| !limits.is_empty());
        if let Some(currency) = currency.filter(|code| !limits.contains_key(*code)) {
            let no_limit = Message::new(
                "currency-without-limit",
                "the job's limits.total names no {currency}, only {known}",
            );
            reasons.push(
                no_limit
                    .with("currency", currency)
                    .with("known", MessageArgument::names(limits.keys())),
            );
        }
    }

    fn key(
        &self,
        variables: &RowVariables<'_>,
        values: &FieldValues<'_>,
    ) -> Result<String, Message> {
        let key = match &self.key {
            Some(key) => self.value(key, variables).map_err(|reason| {
                Message::new("key-fails", "key: {reason}").with("reason", reason)
            })?,
            None => Cow::Owned(self.made_key(values)),
        };
        let length = key.chars().count();
        if length == 0 || length > KEY_MAX {
            let wrong = Message::new(
                "key-length",
                "the key has {length} characters; it takes 1 to {most}",
            );
            return Err(wrong.with("length", length).with("most", KEY_MAX));
        }
        if key.chars().any(char::is_control) {
            return Err(Message::new(
                "key-control",
                "the key contains a control character",
            ));
        }
        if key.trim() != key {
            return Err(Message::new(
                "key-space",
                "the key begins or ends with a space",
            ));
        }
        let row = variables.row;
        let is_empty = |index: &&usize| row.get(**index).is_none_or(|cell| cell.trim().is_empty());
        if let Some(gap) = self.only_in_key.iter().find(is_empty) {
            let empty = Message::new(
                "key-column-empty",
                "{column} is empty, and it is all that tells this row from another of the same: write what the row is for",
            );
            return Err(empty.with("column", self.column(*gap, row.line)));
        }
        Ok(key.into_owned())
    }

    fn order_number(
        &self,
        variables: &RowVariables<'_>,
        values: &[(&InputField, Cow<'_, str>)],
        reasons: &mut Vec<Message>,
    ) -> Option<OrderNumber> {
        let given = match (&self.order_number, &self.job.kind.order_number) {
            (Some(plan), _) => match self.value(plan, variables) {
                Ok(text) if text.is_empty() && self.job.derives_empty_number => return None,
                Ok(text) if text.is_empty() => Err(Message::new(
                    "order-number-empty",
                    "the order number is empty; give one, or have it derived from the key (empty_order_number: derive)",
                )),
                given => given,
            },
            (None, Some(name)) => Ok(Cow::Borrowed(find(values, name)?)),
            (None, None) => return None,
        };
        let parsed =
            given.and_then(|text| OrderNumber::parse(&text).map_err(|error| error.message()));
        parsed.map_err(|reason| reasons.push(reason)).ok()
    }

    fn value<'r>(
        &'r self,
        plan: &'r PreparedTemplate<'a>,
        variables: &RowVariables<'r>,
    ) -> Result<Cow<'r, str>, Message> {
        match plan.0.as_slice() {
            [] => Ok(Cow::Borrowed("")),
            [ValuePiece::Text(text)] => Ok(Cow::Borrowed(text)),
            [ValuePiece::Cell(index)] => {
                Ok(Cow::Borrowed(variables.row.get(*index).unwrap_or_default()))
            }
            pieces => {
                let mut text = String::with_capacity(48);
                for piece in pieces {
                    match piece {
                        ValuePiece::Text(part) => text.push_str(part),
                        ValuePiece::Cell(index) => {
                            text.push_str(variables.row.get(*index).unwrap_or_default())
                        }
                        ValuePiece::Expression(expression) => {
                            let value = expression.text_value(self.scope(variables));
                            text.push_str(&value.map_err(|reason| self.told(reason))?);
                        }
                    }
                }
                Ok(Cow::Owned(text))
            }
        }
    }

    fn scope<'v>(&self, variables: &'v RowVariables<'_>) -> &'v Value {
        variables.scope.get_or_init(|| {
            let cells = variables.row.iter().map(expression::text).collect();
            let item = Value::from_object(ItemValues {
                columns: Arc::clone(&self.columns),
                optional: self.optional.to_vec(),
                cells,
            });
            scope(item, self.params.clone(), self.run.clone())
        })
    }

    fn told(&self, reason: Message) -> Message {
        if self.open {
            reason
        } else {
            Message::new(
                "expression-fails",
                "the expression cannot be evaluated for this row",
            )
        }
    }
}

/// The columns that say what a row is about.
struct NamingColumns {
    /// Those of the key, the order number and of fields that are names.
    names: Vec<usize>,
    /// Those of numbers of identity cards.
    cards: Vec<usize>,
    /// Those of both that fill nothing but ids: no date and no number is meant there.
    ids: Vec<usize>,
}

impl NamingColumns {
    fn of(job: &Job, columns: &[String]) -> Self {
        let named = job
            .with
            .iter()
            .filter(|(name, _)| job.kind.field(name).is_some_and(InputField::is_name));
        let named = named
            .map(|(_, template)| template)
            .chain(&job.key)
            .chain(&job.order_number);
        // What other items have as names was checked when they were planned, and is theirs.
        let is_of_items = matches!(job.items.source, ItemSource::Job { .. });
        let named = named.filter(|_| !is_of_items);
        let mut names: Vec<usize> = named
            .flat_map(|template| columns_of(template, columns))
            .collect();
        names.sort_unstable();
        names.dedup();
        let card = job.kind.identity_card.as_ref().map(|card| &card.number);
        let cards: Vec<usize> = job
            .with
            .iter()
            .filter(|(name, _)| card == Some(name))
            .flat_map(|(_, template)| columns_of(template, columns))
            .filter(|column| !names.contains(column))
            .collect();
        let fills_text = |column: &usize| {
            let mut filled = job
                .with
                .iter()
                .filter(|(_, template)| columns_of(template, columns).contains(column));
            filled.all(|(name, _)| {
                job.kind
                    .field(name)
                    .is_none_or(|field| matches!(field.kind, FieldKind::Text { .. }))
            })
        };
        let ids = names
            .iter()
            .chain(&cards)
            .copied()
            .filter(fills_text)
            .collect();
        Self { names, cards, ids }
    }
}

/// How a file was understood, with its columns of ids as the job uses them.
pub fn with_id_columns(reading: &FileReading, job: &Job, columns: &[String]) -> FileReading {
    let ids = NamingColumns::of(job, columns).ids;
    let sent = job.with.values().chain(&job.order_number);
    let sent: Vec<usize> = sent
        .flat_map(|template| columns_of(template, columns))
        .collect();
    let key_parts = ids.iter().copied().filter(|id| !sent.contains(id));
    FileReading {
        key_parts: key_parts.collect(),
        ids,
        ..reading.clone()
    }
}

/// Renders a template that does not depend on rows, such as the name of the item file.
///
/// # Errors
/// A sentence.
pub fn render_constant(
    template: &Template,
    run: &RunValues,
    params: &BTreeMap<String, String>,
) -> Result<String, Message> {
    let mut text = String::new();
    for part in template.parts() {
        match part {
            TemplatePart::Text(part) => text.push_str(part),
            TemplatePart::Name(VariableName::Params(name)) => {
                text.push_str(params.get(name).map(String::as_str).unwrap_or_default())
            }
            TemplatePart::Name(VariableName::Run(name)) => {
                text.push_str(run.get(name).unwrap_or_default())
            }
            TemplatePart::Name(VariableName::Item(_)) => {
                return Err(Message::new("no-row-here", "there is no row here"));
            }
            TemplatePart::Expression(expression) => {
                let scope = scope(Value::UNDEFINED, params_value(params), run_value(run));
                text.push_str(&expression.text_value(&scope)?);
            }
        }
    }
    Ok(text)
}

fn params_value(params: &BTreeMap<String, String>) -> Value {
    Value::from_pairs(
        params
            .iter()
            .map(|(name, value)| (name.as_str(), expression::text(value))),
    )
}

fn run_value(run: &RunValues) -> Value {
    Value::from_pairs(
        RUN_FIELDS
            .iter()
            .map(|name| (*name, run.get(name).unwrap_or_default())),
    )
}

/// A row's values by column.
#[derive(Debug)]
struct ItemValues {
    columns: Arc<[String]>,
    optional: Vec<String>,
    cells: Vec<Value>,
}

impl Object for ItemValues {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match self.columns.iter().position(|column| column == key) {
            Some(index) => self.cells.get(index).cloned(),
            None => self
                .optional
                .iter()
                .any(|column| column == key)
                .then(|| expression::text("")),
        }
    }
}

fn find<'v>(values: &'v [(&InputField, Cow<'_, str>)], name: &str) -> Option<&'v str> {
    values
        .iter()
        .find(|(field, _)| field.name == name)
        .map(|(_, value)| &**value)
}

/// A name with where in the file its value stands.
fn at_place(name: &str, place: Option<Message>) -> Message {
    Message::new("at-place", "{name}{place}")
        .with("name", name)
        .with("place", place)
}

/// What is wrong with the value of a field.
fn of_field(field: &InputField, reason: Message) -> Message {
    Message::new("field-wrong", "{field}: {reason}")
        .with(FIELD, &field.name)
        .with("reason", reason)
}

/// Not more mistakes than a person reads.
fn shortened(mut reasons: Vec<Message>) -> Vec<Message> {
    if reasons.len() > MISTAKES_MAX {
        let more = reasons.len() - MISTAKES_MAX;
        reasons.truncate(MISTAKES_MAX);
        reasons.push(Message::new("and-more", "and {more} more").with("more", more));
    }
    reasons
}

/// A JSON object of some fields in their order; an amount as decimal text with all its decimals.
fn object(
    values: &[(&InputField, Cow<'_, str>)],
    amount: Option<Amount>,
    chosen: impl Fn(&InputField) -> bool,
) -> String {
    let mut json = String::with_capacity(160);
    json.push('{');
    for (field, value) in values.iter().filter(|(field, _)| chosen(field)) {
        if json.len() > 1 {
            json.push(',');
        }
        quote(&mut json, &field.name);
        json.push(':');
        match (&field.kind, amount) {
            (FieldKind::Amount, Some(amount)) => quote(&mut json, &amount.decimal()),
            (
                FieldKind::Amount
                | FieldKind::Currency
                | FieldKind::Decimal
                | FieldKind::Date
                | FieldKind::Choice(_)
                | FieldKind::Text { .. },
                _,
            ) => quote(&mut json, value),
        }
    }
    json.push('}');
    json
}

/// Values have no control characters left, so that only two characters need an escape.
fn quote(json: &mut String, text: &str) {
    json.push('"');
    if text.contains(['"', '\\']) {
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                json.push('\\');
            }
            json.push(c);
        }
    } else {
        json.push_str(text);
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::Workflow;
    use crate::workflow::load::tests::{MONTHLY, read};
    use payrun_domain::time::Timestamp;

    const COLUMNS: [&str; 4] = ["contract_id", "amount", "plan", "active"];

    fn run() -> RunValues {
        RunValues::new(
            "w",
            "2026-11",
            "r1",
            Timestamp::from_millis(1_793_462_400_000),
            chrono_tz::Asia::Hong_Kong,
        )
    }

    fn render(
        workflow: &Workflow,
        columns: &[&str],
        cells: &[&str],
    ) -> Result<Option<RenderedItem>, Vec<String>> {
        let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        let renderer =
            Renderer::new(&workflow.jobs[0], &columns, None, &run(), &BTreeMap::new()).unwrap();
        renderer
            .row(&FileRow::of(2, cells))
            .map(|rendered| rendered.into_iter().next())
            .map_err(|reasons| reasons.iter().map(Message::to_string).collect())
    }

    fn monthly(cells: &[&str]) -> Result<Option<RenderedItem>, Vec<String>> {
        render(&read(MONTHLY).unwrap(), &COLUMNS, cells)
    }

    #[test]
    fn a_row_becomes_an_item_in_a_form_that_compares() {
        let rendered = monthly(&["C-1", "88.5", "Gold \"香港\"", "yes"])
            .unwrap()
            .unwrap();
        assert_eq!(rendered.key, "C-1/2026-11");
        assert_eq!(
            rendered.input,
            r#"{"contract_id":"C-1","description":"Gold \"香港\" 2026-11","merchant_category_code":"4900"}"#
        );
        assert_eq!(
            rendered.identity,
            r#"{"amount":"88.50","contract_id":"C-1","currency":"HKD"}"#
        );
        assert_eq!(rendered.exclusive_key.as_deref(), Some("C-1"));
        assert_eq!(rendered.amount.map(|amount| amount.minor()), Some(8_850));
        assert_eq!(rendered.order_number, None);
        let same = monthly(&["C-1", "88.50", "Silver", "yes"])
            .unwrap()
            .unwrap();
        assert_eq!(same.identity, rendered.identity);
        serde_json::from_str::<serde_json::Value>(&rendered.input).unwrap();
    }

    #[test]
    fn a_row_that_is_not_meant_is_left_out() {
        assert_eq!(monthly(&["C-1", "not read", "", "no"]), Ok(None));
    }

    #[test]
    fn a_wrong_row_says_all_that_is_wrong_with_it() {
        let reasons = monthly(&["", "-5", &"x".repeat(130), "yes"]).unwrap_err();
        let expected = [
            "contract_id is empty",
            "description has 138 characters; it takes 1 to 128",
            "amount: the amount -5 is not above zero",
        ];
        assert_eq!(reasons, expected);
    }

    #[test]
    fn amounts_that_are_no_amounts_are_refused() {
        for amount in [
            "0",
            "0.00",
            "-1",
            "1.005",
            "1e3",
            "abc",
            "",
            "1,000.00",
            "92233720368547758.08",
            "NaN",
            "1，000.00",
            "1 000.00",
        ] {
            let reasons = monthly(&["C-1", amount, "Gold", "yes"]).unwrap_err();
            assert_eq!(reasons.len(), 1, "{amount}: {reasons:?}");
            assert!(reasons[0].starts_with("amount"), "{reasons:?}");
        }
    }

    #[test]
    fn blanks_around_an_amount_and_full_width_digits_are_read_as_they_are_meant() {
        for amount in [
            " 1138.5",
            "1138.50 ",
            "\u{a0}1138.5\u{3000}",
            "１１３８．５０",
            "1138.5\u{200b}",
        ] {
            let rendered = monthly(&["C-1", amount, "Gold", "yes"]).unwrap().unwrap();
            let minor = rendered.amount.map(|amount| amount.minor());
            assert_eq!(minor, Some(113_850), "{amount:?}");
        }
    }

    #[test]
    fn a_wrong_name_hides_no_other_mistake_of_the_row() {
        let reasons = monthly(&["C 1", "abc", &"x".repeat(130), "yes"]).unwrap_err();
        assert_eq!(reasons.len(), 3, "{reasons:?}");
        assert!(reasons[0].starts_with("contract_id contains blank U+0020: "));
        assert!(reasons[1].starts_with("description has 138 characters"));
        assert!(reasons[2].starts_with("amount: \"abc\" is not a number"));
    }

    #[test]
    fn control_characters_and_foreign_letters_are_refused() {
        assert!(
            monthly(&["C-1", "1", "a\nb", "yes"]).unwrap_err()[0].contains("control character")
        );
        assert!(monthly(&["Ç-1", "1", "a", "yes"]).unwrap_err()[0].contains("printable ASCII"));
        let long = "C".repeat(65);
        assert!(
            monthly(&[&long, "1", "a", "yes"]).unwrap_err()[0]
                .contains("65 characters; it takes 1 to 64")
        );
    }

    #[test]
    fn a_missing_column_is_shown_at_the_place_of_its_use() {
        let workflow = read(MONTHLY).unwrap();
        let columns = ["contract", "amount", "plan"].map(str::to_owned);
        let found = Renderer::new(&workflow.jobs[0], &columns, None, &run(), &BTreeMap::new())
            .err()
            .unwrap();
        let messages: Vec<String> = found
            .iter()
            .map(|d| format!("{}:{} {}", d.line, d.column, d.message))
            .collect();
        assert_eq!(messages.len(), 2, "{found}");
        assert!(
            messages[0].contains("there is no column \"active\""),
            "{found}"
        );
        assert!(
            found
                .to_string()
                .contains("key: \"{{ item.contract_id }}/{{ run.month }}\""),
            "{found}"
        );
    }

    #[test]
    fn an_order_number_of_the_users_is_checked() {
        let text = MONTHLY.replace(
            "    with:\n",
            "    order_number: \"{{ item.plan }}\"\n    with:\n",
        );
        let workflow = read(&text).unwrap();
        let with = |plan: &str| render(&workflow, &COLUMNS, &["C-1", "1", plan, "yes"]);
        assert_eq!(
            with("N_1-a").unwrap().unwrap().order_number,
            OrderNumber::parse("N_1-a").ok()
        );
        assert!(with("a b").unwrap_err()[0].contains("plan contains blank U+0020"));
        assert!(with(&"9".repeat(33)).unwrap_err()[0].contains("33 characters"));
        let empty = text.replace(
            "\"{{ item.plan }}\"\n    with",
            "\"{{ item.amount|replace('1', '') }}\"\n    with",
        );
        let refused = render(
            &read(&empty).unwrap(),
            &COLUMNS,
            &["C-1", "1", "Gold", "yes"],
        )
        .unwrap_err();
        assert!(
            refused[0].contains("empty_order_number: derive"),
            "{refused:?}"
        );
        let derived = empty.replace("    with:\n", "    empty_order_number: derive\n    with:\n");
        let rendered = render(
            &read(&derived).unwrap(),
            &COLUMNS,
            &["C-1", "1", "Gold", "yes"],
        )
        .unwrap()
        .unwrap();
        assert_eq!(rendered.order_number, None);
    }

    #[test]
    fn a_column_that_only_tells_rows_apart_is_never_empty() {
        let text = MONTHLY.replace("{{ item.plan }} ", "");
        let text = text.replace(
            "/{{ run.month }}",
            "/{{ item.plan }}/{{ item.contract_id }}",
        );
        let with = |text: &str| {
            let workflow = read(text).unwrap();
            render(&workflow, &COLUMNS, &["C-1", "1", "", "yes"])
        };
        let refused = with(&text).unwrap_err();
        assert!(
            refused[0].starts_with("plan is empty, and it is all that tells this row"),
            "{refused:?}"
        );
        // What an expression makes of it is meant.
        let chosen = text.replace("item.plan }}", "item.plan or 'none' }}");
        assert_eq!(with(&chosen).unwrap().unwrap().key, "C-1/none/C-1");
    }

    #[test]
    fn exactly_one_of_a_group_is_given_and_amounts_have_a_currency() {
        let text = "workflow: w\njobs:\n  a:\n    uses: query\n    gateway: hk\n    items: { file: a.csv }\n    with: { out_trade_no: \"{{ item.o }}\", transaction_id: \"{{ item.t }}\", amount: \"{{ item.a }}\", currency: \"{{ item.c }}\" }\n";
        let workflow = read(text).unwrap();
        let with = |cells: &[&str]| render(&workflow, &["o", "t", "a", "c"], cells);
        let found = with(&["N1", "", "", ""]).unwrap().unwrap();
        assert_eq!(found.order_number, OrderNumber::parse("N1").ok());
        assert_eq!(found.identity, r#"{"out_trade_no":"N1"}"#);
        assert_eq!(
            with(&["", "T1", "1", "HKD"]).unwrap().unwrap().order_number,
            None
        );
        assert!(
            with(&["N1", "T1", "", ""]).unwrap_err()[0]
                .contains("exactly one of out_trade_no, transaction_id")
        );
        assert!(with(&["", "", "", ""]).unwrap_err()[0].contains("exactly one of"));
        assert!(with(&["N1", "", "1", ""]).unwrap_err()[0].contains("belong together"));
        assert!(
            with(&["N1", "", "1", "HKX"]).unwrap_err()[0]
                .contains("\"HKX\" is not a currency code")
        );
    }

    #[test]
    fn expressions_are_evaluated_by_row_and_fail_by_row() {
        let text = MONTHLY.replace("\"{{ item.amount }}\"", "\"{{ item.amount|trim }}\"");
        let text = text.replace(
            "item.active == \"yes\"",
            "item.active|int >= 1 and item.amount|trim|decimal < \"100\"|decimal",
        );
        let workflow = read(&text).unwrap();
        let with = |amount: &str, active: &str| {
            render(&workflow, &COLUMNS, &["C-1", amount, "Gold", active])
        };
        assert_eq!(
            with(" 12.50 ", "1")
                .unwrap()
                .unwrap()
                .amount
                .map(|amount| amount.minor()),
            Some(1_250)
        );
        assert_eq!(with("100", "1"), Ok(None));
        assert!(with("1", "x").unwrap_err()[0].starts_with("where: "));
    }
}
