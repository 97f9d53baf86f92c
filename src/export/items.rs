//! Items as rows: the fields of the person's own row first, then what became of it.

use serde_json::{Map, Value};

use super::item_columns::{ItemColumns, facts, instant, is_shown};
use super::table::TableColumnKind::{Count, Id, Instant, Money, Text};
use super::table::{TableCell, TableColumn, TableColumnKind, TableHead};
use super::{ExportContext, page_of};
use crate::domain::item::State;
use crate::domain::money::{Amount, parse_minor};
use crate::job_kinds::JobKinds;
use crate::ledger::{ExportedItem, ItemFilter, LedgerError};
use crate::view::reason_of;

/// How many characters of a gateway's words are shown.
const WORDS_MAX: usize = 300;

/// Where gateways put their words in a reply.
const WORDS: [&str; 5] = [
    "/message",
    "/error_message",
    "/result/message",
    "/response/fail_message",
    "/return_message",
];

/// Items that are read page by page.
pub(super) struct ItemPages {
    filter: ItemFilter,
    after: i64,
    left: u64,
    columns: ItemColumns,
}

impl ItemPages {
    pub async fn begin(
        context: &ExportContext,
        filter: ItemFilter,
        after: i64,
        left: u64,
    ) -> Result<Self, LedgerError> {
        let columns = ItemColumns::of(context, &filter, after, left).await?;
        Ok(Self {
            filter,
            after,
            left,
            columns,
        })
    }

    pub fn head(&self) -> TableHead {
        let (before, behind) = own_columns();
        let own: Vec<TableColumn> = before.iter().chain(&behind).cloned().collect();
        let mut columns: Vec<TableColumn> = self.columns.field_columns(&own).collect();
        columns.extend(own);
        columns.extend(self.columns.fact_columns());
        if self.columns.other_facts {
            columns.push(TableColumn::new("other_facts", Text));
        }
        TableHead {
            title: "items",
            columns,
            zone: self.columns.zone,
        }
    }

    pub async fn next(
        &mut self,
        context: &ExportContext,
    ) -> Result<Option<Vec<Vec<TableCell>>>, LedgerError> {
        let wanted = page_of(self.left);
        if wanted == 0 {
            return Ok(None);
        }
        let page = context
            .ledger
            .exported_items(&self.filter, self.after, wanted)
            .await?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        self.after = last.item.id;
        self.left = self.left.saturating_sub(page.len() as u64);
        let row = |item: &ExportedItem| self.row(&context.job_kinds, item);
        page.iter().map(row).collect::<Result<_, _>>().map(Some)
    }

    fn row(
        &self,
        job_kinds: &JobKinds,
        exported: &ExportedItem,
    ) -> Result<Vec<TableCell>, LedgerError> {
        let item = &exported.item;
        let corrupt = |column| LedgerError::corrupt("items", item.id, column);
        let input: Map<String, Value> =
            serde_json::from_str(&item.input).map_err(|_| corrupt("input"))?;
        let known = facts(item.result.as_deref()).ok_or_else(|| corrupt("result"))?;
        let mut cells = self.field_cells(job_kinds, exported, &input);
        cells.extend(own_cells(exported));
        cells.extend(self.fact_cells(known));
        Ok(cells)
    }

    fn field_cells(
        &self,
        job_kinds: &JobKinds,
        exported: &ExportedItem,
        input: &Map<String, Value>,
    ) -> Vec<TableCell> {
        let kind = job_kinds.by_name.get(&exported.kind);
        let cell = |name: &str, column: TableColumnKind| {
            let field = kind?.fields.iter().find(|field| field.name == name)?;
            // Only text is a field that is not sealed.
            let text = input.get(name).filter(|_| is_shown(field))?.as_str()?;
            Some(field_cell(text, column, exported.item.amount))
        };
        let fields = self.columns.fields.iter();
        fields
            .map(|field| cell(&field.name, field.kind).unwrap_or(TableCell::Empty))
            .collect()
    }

    fn fact_cells(&self, known: Vec<(String, Value)>) -> Vec<TableCell> {
        let columns = &self.columns.facts;
        let (placed, others): (Vec<_>, Vec<_>) = known
            .into_iter()
            .partition(|(name, _)| columns.contains_key(name));
        let cell = |(name, is_instant): (&String, &bool)| {
            let fact = placed.iter().find(|(placed, _)| placed == name);
            fact.map_or(TableCell::Empty, |(_, fact)| fact_cell(fact, *is_instant))
        };
        let mut cells: Vec<TableCell> = columns.iter().map(cell).collect();
        if self.columns.other_facts {
            let text = |(name, fact): (String, Value)| format!("{name}: {}", plain(&fact));
            let others: Vec<String> = others.into_iter().map(text).collect();
            cells.push(TableCell::text(others.join("; ")));
        }
        cells
    }
}

/// payrun's own columns: which item it is, and what became of it.
fn own_columns() -> (Vec<TableColumn>, Vec<TableColumn>) {
    let columns = |columns: &[(&str, TableColumnKind)]| -> Vec<TableColumn> {
        columns
            .iter()
            .map(|(name, kind)| TableColumn::new(*name, *kind))
            .collect()
    };
    let which = columns(&[
        ("key", Id),
        ("amount", Money),
        ("currency", Text),
        ("state", Text),
        ("reason", Text),
    ]);
    let mut became = columns(&[
        ("last_code", Text),
        ("gateway_words", Text),
        ("order_no", Id),
        ("receipt", Id),
        ("planned_at", Instant),
        ("sent_at", Instant),
        ("ended_at", Instant),
        ("run", Count),
        ("workflow", Text),
        ("job", Text),
        ("kind", Text),
        ("gateway", Text),
        ("line", Count),
        ("item", Count),
        ("same_key_as", Count),
    ]);
    let headings = [
        ("gateway_words", "gateway's words"),
        ("order_no", "order number"),
        ("planned_at", "planned"),
        ("sent_at", "last sent"),
        ("ended_at", "ended"),
        ("same_key_as", "same key as item"),
    ];
    for (name, heading) in headings {
        let column = became.iter_mut().find(|column| column.name == name);
        if let Some(column) = column {
            column.heading = heading.to_owned();
        }
    }
    (which, became)
}

fn own_cells(exported: &ExportedItem) -> [TableCell; 20] {
    let item = &exported.item;
    let currency = item.amount.map(|amount| amount.currency().code());
    // A row that made no item was at rest as soon as it was planned.
    let at_once = matches!(item.state, State::Rejected | State::Skipped);
    let ended = exported
        .ended_at
        .or_else(|| at_once.then_some(exported.planned_at));
    [
        TableCell::text(item.key.as_str()),
        TableCell::amount(item.amount),
        TableCell::text(currency.unwrap_or_default()),
        TableCell::text(item.state.label()),
        TableCell::text(reason_of(item)),
        TableCell::text(exported.code.as_deref().unwrap_or_default()),
        TableCell::text(words(exported.evidence.as_deref()).unwrap_or_default()),
        TableCell::text(item.order_no.as_deref().unwrap_or_default()),
        TableCell::text(item.receipt.as_deref().unwrap_or_default()),
        TableCell::Instant(exported.planned_at),
        TableCell::instant(exported.sent_at),
        TableCell::instant(ended),
        TableCell::Count(item.run_id),
        TableCell::text(exported.workflow.as_str()),
        TableCell::text(item.job.as_str()),
        TableCell::text(exported.kind.as_str()),
        TableCell::text(exported.lane.as_str()),
        TableCell::Count(i64::try_from(item.line).unwrap_or(i64::MAX)),
        TableCell::Count(item.id),
        item.duplicate_of.map_or(TableCell::Empty, TableCell::Count),
    ]
}

/// What a field says, as what its column holds; as text where it is nothing of the kind.
fn field_cell(text: &str, kind: TableColumnKind, amount: Option<Amount>) -> TableCell {
    let typed = match kind {
        TableColumnKind::Date => text.parse().ok().map(TableCell::Date),
        TableColumnKind::Money => amount.and_then(|amount| {
            let currency = amount.currency();
            let minor = parse_minor(text, currency).ok()?;
            Some(TableCell::Money(i128::from(minor), currency))
        }),
        TableColumnKind::Text | Id | Count | Instant => None,
    };
    typed.unwrap_or_else(|| TableCell::text(text))
}

fn fact_cell(fact: &Value, is_instant: bool) -> TableCell {
    let at = fact.as_str().filter(|_| is_instant).and_then(instant);
    match (at, fact.as_i64()) {
        (Some(at), _) => TableCell::Instant(at),
        (None, Some(count)) => TableCell::Count(count),
        (None, None) => TableCell::text(plain(fact)),
    }
}

fn plain(fact: &Value) -> String {
    fact.as_str()
        .map_or_else(|| fact.to_string(), str::to_owned)
}

/// What the gateway says of it in a reply.
fn words(evidence: Option<&str>) -> Option<String> {
    let reply: Value = serde_json::from_str(evidence?).ok()?;
    let said = WORDS
        .into_iter()
        .filter_map(|place| reply.pointer(place)?.as_str());
    let first = said.map(str::trim).find(|said| !said.is_empty())?;
    Some(first.chars().take(WORDS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_each_gateway_are_found_in_its_reply() {
        for (reply, said) in [
            (
                r#"{"code":"NOT_ENOUGH","message":"余额不足"}"#,
                Some("余额不足"),
            ),
            (
                r#"{"result":{"code":"C0004","message":"not found"}}"#,
                Some("not found"),
            ),
            (
                r#"{"is_success":true,"response":{"fail_message":"Settled Balance Not Enough"}}"#,
                Some("Settled Balance Not Enough"),
            ),
            (
                r#"{"error_code":"1","error_message":"bad sign"}"#,
                Some("bad sign"),
            ),
            ("(no reply)", None),
            ("{}", None),
        ] {
            assert_eq!(words(Some(reply)).as_deref(), said, "{reply}");
        }
    }
}
