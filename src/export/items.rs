//! Items as rows: the fields of the person's own row first, then what became of it.

use serde_json::{Map, Value};

use super::chinese_reason::{self, CHINESE};
use super::item_columns::{ItemColumns, ReplyFact, facts, instant, is_shown};
use super::table::TableColumnKind::{Count, Id, Instant, Money, Prose, Text};
use super::table::{TableCell, TableColumn, TableColumnKind, TableHead};
use super::{ColumnsWanted, ExportContext, page_of};
use crate::domain::item::State;
use crate::domain::money::{Amount, parse_minor};
use crate::domain::time::Timestamp;
use crate::job_kinds::JobKinds;
use crate::ledger::{ExportedItem, ItemFilter, LedgerError};
use crate::view::reason_of;
use crate::workflow::blank_file::Language;

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
    own: Vec<OwnColumn>,
    wanted: ColumnsWanted,
    columns: ItemColumns,
}

impl ItemPages {
    pub async fn begin(
        context: &ExportContext,
        filter: ItemFilter,
        (after, left): (i64, u64),
        wanted: ColumnsWanted,
    ) -> Result<Self, LedgerError> {
        let columns = ItemColumns::of(context, &filter, (after, left), wanted).await?;
        let is_shown = |name: &str| match wanted.language {
            Language::En if OF_TRANSLATION.contains(&name) => false,
            Language::En | Language::Zh => wanted.all || columns.is_asked_first(name),
        };
        let own: Vec<OwnColumn> = OWN.into_iter().filter(|own| is_shown(own.name)).collect();
        Ok(Self {
            filter,
            after,
            left,
            own,
            wanted,
            columns,
        })
    }

    pub fn head(&self) -> TableHead {
        let own: Vec<TableColumn> = self.own.iter().map(|own| self.own_column(own)).collect();
        let mut columns: Vec<TableColumn> = self.columns.field_columns(&own).collect();
        columns.extend(own);
        columns.extend(self.columns.fact_columns());
        if self.columns.other_facts {
            columns.push(TableColumn {
                heading: match self.wanted.language {
                    Language::En => "other facts".to_owned(),
                    Language::Zh => "其他".to_owned(),
                },
                ..TableColumn::new("other_facts", Text)
            });
        }
        TableHead {
            title: "items",
            columns,
            zone: self.columns.zone,
        }
    }

    /// A column of payrun's own, as it is called in the file.
    fn own_column(&self, own: &OwnColumn) -> TableColumn {
        let [amount, currency] = &self.columns.money_headings;
        let of_person = match own.name {
            "amount" => amount.clone(),
            "currency" => currency.clone(),
            _ => None,
        };
        let of_payrun = match self.wanted.language {
            Language::En => own.heading,
            Language::Zh => own.chinese,
        };
        TableColumn {
            heading: of_person.unwrap_or_else(|| of_payrun.to_owned()),
            ..TableColumn::new(own.name, own.kind)
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
        let row = |item: &ExportedItem| self.row(context, item);
        page.iter().map(row).collect::<Result<_, _>>().map(Some)
    }

    fn row(
        &self,
        context: &ExportContext,
        exported: &ExportedItem,
    ) -> Result<Vec<TableCell>, LedgerError> {
        let job_kinds = &context.job_kinds;
        let item = &exported.item;
        let corrupt = |column| LedgerError::corrupt("items", item.id, column);
        let input: Map<String, Value> =
            serde_json::from_str(&item.input).map_err(|_| corrupt("input"))?;
        let kind = job_kinds.by_name.get(&exported.kind).map(|kind| &**kind);
        let known = facts(item.result.as_deref(), kind).ok_or_else(|| corrupt("result"))?;
        let mut cells = self.field_cells(job_kinds, exported, &input);
        cells.extend(
            self.own
                .iter()
                .map(|own| self.own_cell(own, context, exported)),
        );
        cells.extend(self.fact_cells(known));
        Ok(cells)
    }

    /// A cell of payrun's own, in the language of the list. Programs have the words of payrun.
    fn own_cell(
        &self,
        own: &OwnColumn,
        context: &ExportContext,
        exported: &ExportedItem,
    ) -> TableCell {
        let cell = (own.cell)(exported);
        let chinese = match (self.wanted.language, own.name) {
            (Language::Zh, "state") => CHINESE.word("state", exported.item.state.as_str()),
            (Language::Zh, "kind") => CHINESE.word("kind", &exported.kind),
            (Language::Zh, "reason") => Some(chinese_reason::of(context, exported)),
            (Language::En | Language::Zh, _) => None,
        };
        let Some(chinese) = chinese.filter(|words| !words.is_empty()) else {
            return cell;
        };
        // A state that has no reason in English may have one that a person asks for.
        TableCell::Name(cell.plain(self.columns.zone), chinese)
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

    fn fact_cells(&self, known: Vec<ReplyFact>) -> Vec<TableCell> {
        let columns = &self.columns.facts;
        let (placed, others): (Vec<_>, Vec<_>) = known
            .into_iter()
            .partition(|fact| columns.contains_key(&fact.name));
        let cell = |(name, kind): (&String, &TableColumnKind)| {
            let fact = placed.iter().find(|fact| fact.name == *name);
            fact.map_or(TableCell::Empty, |fact| fact_cell(fact, *kind))
        };
        let mut cells: Vec<TableCell> = columns.iter().map(cell).collect();
        if self.columns.other_facts {
            let text = |fact: &ReplyFact| format!("{}: {}", fact.name, fact.plain());
            let others: Vec<String> = others.iter().map(text).collect();
            cells.push(TableCell::text(others.join("; ")));
        }
        cells
    }
}

/// A column of payrun's own: which item it is, or what became of it.
#[derive(Clone, Copy)]
struct OwnColumn {
    /// For programs.
    name: &'static str,
    heading: &'static str,
    chinese: &'static str,
    kind: TableColumnKind,
    cell: fn(&ExportedItem) -> TableCell,
}

const fn own(
    (name, heading, chinese): (&'static str, &'static str, &'static str),
    kind: TableColumnKind,
    cell: fn(&ExportedItem) -> TableCell,
) -> OwnColumn {
    OwnColumn {
        name,
        heading,
        chinese,
        kind,
        cell,
    }
}

/// Columns that stand beside what is translated, with payrun's own words.
const OF_TRANSLATION: [&str; 3] = ["state_code", "reason_text", "kind_code"];

/// All of them, in their order.
const OWN: [OwnColumn; 25] = [
    own(("key", "key", "键"), Id, |of| {
        TableCell::text(of.item.key.as_str())
    }),
    own(("amount", "amount", "金额"), Money, |of| {
        TableCell::amount(of.item.amount)
    }),
    own(("currency", "currency", "币种"), Text, |of| {
        let code = of.item.amount.map(|amount| amount.currency().code());
        TableCell::text(code.unwrap_or_default())
    }),
    own(("state", "state", "状态"), Text, |of| {
        TableCell::text(of.item.state.label())
    }),
    own(("state_code", "state code", "状态代码"), Text, |of| {
        TableCell::text(of.item.state.as_str())
    }),
    own(("reason", "reason", "原因"), Prose, |of| {
        TableCell::text(reason_of(&of.item))
    }),
    own(
        ("reason_text", "reason as payrun has it", "原因原文"),
        Prose,
        |of| TableCell::text(reason_of(&of.item)),
    ),
    own(("last_code", "last code", "网关代码"), Text, |of| {
        TableCell::text(of.code.as_deref().unwrap_or_default())
    }),
    own(
        ("gateway_words", "gateway's words", "网关说明"),
        Prose,
        |of| TableCell::text(words(of.evidence.as_deref()).unwrap_or_default()),
    ),
    own(("order_no", "order number", "提交单号"), Id, |of| {
        TableCell::text(of.item.order_no.as_deref().unwrap_or_default())
    }),
    own(("receipt", "receipt", "网关流水号"), Id, |of| {
        TableCell::text(of.item.receipt.as_deref().unwrap_or_default())
    }),
    own(("planned_at", "planned", "计划时间"), Instant, |of| {
        TableCell::Instant(of.planned_at)
    }),
    own(
        ("sent_at", "last sent", "最近发送时间"),
        Instant,
        |of| TableCell::instant(of.sent_at),
    ),
    own(("ended_at", "ended", "结束时间"), Instant, |of| {
        TableCell::instant(ended_at(of))
    }),
    own(("run", "run", "批次"), Count, |of| {
        TableCell::Count(of.item.run_id)
    }),
    own(("workflow", "workflow", "工作流"), Text, |of| {
        TableCell::text(of.workflow.as_str())
    }),
    own(("job", "job", "作业"), Text, |of| {
        TableCell::text(of.item.job.as_str())
    }),
    own(("kind", "kind", "作业类型"), Text, |of| {
        TableCell::text(of.kind.as_str())
    }),
    own(("kind_code", "kind code", "类型代码"), Text, |of| {
        TableCell::text(of.kind.as_str())
    }),
    own(("gateway", "gateway", "网关账户"), Text, |of| {
        TableCell::text(of.lane.as_str())
    }),
    own(("line", "line", "行号"), Count, |of| {
        TableCell::count(of.item.line)
    }),
    own(("item", "item", "条目编号"), Count, |of| {
        TableCell::Count(of.item.id)
    }),
    own(
        ("same_key_as", "same key as item", "同键条目"),
        Count,
        |of| {
            of.item
                .duplicate_of
                .map_or(TableCell::Empty, TableCell::Count)
        },
    ),
    own(("replaces", "replaces item", "替代条目"), Count, |of| {
        of.replaces.map_or(TableCell::Empty, TableCell::Count)
    }),
    own(
        ("replaced_by", "replaced by item", "被替代为条目"),
        Count,
        |of| of.replaced_by.map_or(TableCell::Empty, TableCell::Count),
    ),
];

impl ItemColumns {
    /// Whether a person asks about this column of payrun's own first.
    fn is_asked_first(&self, name: &str) -> bool {
        match name {
            "workflow" | "gateway" => self.several_jobs,
            "kind" | "kind_code" => self.several_kinds,
            "same_key_as" => self.skipped,
            "replaces" | "replaced_by" => self.replaced,
            // Where everything went well there is nothing in them.
            "last_code" | "gateway_words" => self.unsettled,
            "job" | "planned_at" | "ended_at" => false,
            _ => true,
        }
    }
}

/// When it came to rest. A row that made no item was at rest as soon as it was planned.
fn ended_at(exported: &ExportedItem) -> Option<Timestamp> {
    let at_once = matches!(exported.item.state, State::Rejected | State::Skipped);
    exported
        .ended_at
        .or_else(|| at_once.then_some(exported.planned_at))
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
        TableColumnKind::Instant => instant(text).map(TableCell::Instant),
        TableColumnKind::Text | TableColumnKind::Prose | Id | Count | TableColumnKind::Clock => {
            None
        }
    };
    typed.unwrap_or_else(|| TableCell::text(text))
}

/// What a fact says; a time in a column of other times, and a number among words, as it was written.
fn fact_cell(fact: &ReplyFact, kind: TableColumnKind) -> TableCell {
    match (fact.cell(), kind) {
        (
            TableCell::Instant(_) | TableCell::Clock(_) | TableCell::Money(..),
            TableColumnKind::Text,
        ) => TableCell::text(fact.plain()),
        (cell, _) => cell,
    }
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
