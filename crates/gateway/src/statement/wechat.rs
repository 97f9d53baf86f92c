//! WeChat Pay Global's file (docs/gateways/wechat.md, "Statements"): a header without marks, then a
//! back-tick before every value, no quoting.
//!
//! Columns go by position if there are the 38 of the global file \[A\]; a header that names a known
//! column elsewhere is refused then. Otherwise they go by name. Of the English names those of time,
//! numbers, type and status of the payment are the page's (Downloading Reconciliation,
//! api_external/en/apis/chapter3_1_6, 2025-01-07 \[A\]); the others are guesses \[C\].
//!
//! What is taken for what, where no document says it \[C\]:
//!
//! - A line's 交易状态 says what it is: SUCCESS a payment, REFUND a refund, REVOKED a reversal, which
//!   settles nothing.
//! - A refund's state is 退款状态; PROCESSING counts as done for WeChat Pay \[A\], and is handed on as
//!   it stands.
//! - The fee is in the settlement's currency. An empty currency means that of the order.
//! - Nothing is quoted, so a text of the merchant's with a comma and a back-tick looks like two
//!   values. Of the global file what is too much then belongs to 商品名称 and 商户数据包, which stand beside
//!   each other and are not read.
//!
//! Of the summary only the mainland file is known \[dom\]: a caption line, then totals with marks.
//! Its first total is the number of lines (`45` or `45.0`); a total with a known caption is the sum
//! of its column. It is compared where a column has one currency only, since nobody says what a sum
//! over several would be. What differs is told beside the lines: the file is signed, so that they
//! are all there, and how the gateway counts is not documented.

use payrun_domain::difference::SummaryRemark;
use std::io::BufRead;

use super::cells::{Cell, split, split_into};
use super::money::{SignedAmount, currency};
use super::raw_lines::{RawLine, RawLines};
use super::{FileError, Line, StatementLineKind, StatementTotals};
use payrun_domain::money::Currency;

/// The columns of the global file.
const COLUMNS: usize = 38;

/// A column that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BillColumn {
    Time,
    TransactionId,
    OrderNo,
    State,
    RefundId,
    RefundNo,
    RefundState,
    Fee,
    Currency,
    Amount,
    SettledCurrency,
    Settled,
    Refund,
    RefundSettledCurrency,
    RefundSettled,
}

/// Every column that is read, in the order of [`BillColumn`]: its place among the 38, and its names
/// in Chinese and English.
const ROLES: [(BillColumn, usize, &[&str]); 15] = [
    (BillColumn::Time, 0, &["交易时间", "Transaction time"]),
    (
        BillColumn::TransactionId,
        5,
        &["微信订单号", "WeChat order No."],
    ),
    (BillColumn::OrderNo, 6, &["商户订单号", "Vendor order No."]),
    (BillColumn::State, 9, &["交易状态", "Transaction status"]),
    (
        BillColumn::RefundId,
        15,
        &["微信退款单号", "WeChat refund No."],
    ),
    (
        BillColumn::RefundNo,
        16,
        &["商户退款单号", "Vendor refund No."],
    ),
    (BillColumn::RefundState, 18, &["退款状态", "Refund status"]),
    (BillColumn::Fee, 21, &["手续费", "Fee"]),
    (
        BillColumn::Currency,
        23,
        &["标价币种", "货币种类", "Currency"],
    ),
    (
        BillColumn::Amount,
        24,
        &["订单金额(标价币种)", "订单金额", "Order amount"],
    ),
    (
        BillColumn::SettledCurrency,
        27,
        &["结算币种", "Settlement currency"],
    ),
    (
        BillColumn::Settled,
        28,
        &["应结订单金额", "Settlement amount"],
    ),
    (BillColumn::Refund, 31, &["申请退款金额", "Refund amount"]),
    (
        BillColumn::RefundSettledCurrency,
        34,
        &["退款结算币种", "Refund settlement currency"],
    ),
    (
        BillColumn::RefundSettled,
        35,
        &["退款应结订单金额", "退款金额", "Refund settlement amount"],
    ),
];

/// The place of 商品名称 among the 38; 商户数据包 stands behind it.
const TEXTS_AT: usize = 19;
/// The place of 交易状态 among the 38.
const STATE_AT: usize = 9;

/// What a line is, by its 交易状态.
const STATES: [(&str, StatementLineKind); 3] = [
    ("SUCCESS", StatementLineKind::Payment),
    ("REFUND", StatementLineKind::Refund),
    ("REVOKED", StatementLineKind::Reversal),
];

/// Without these there is no line; the others may be missing from a file that goes by names.
const NEEDED: [BillColumn; 6] = [
    BillColumn::Time,
    BillColumn::TransactionId,
    BillColumn::OrderNo,
    BillColumn::State,
    BillColumn::Currency,
    BillColumn::Amount,
];

/// The columns that a total sums up, with its caption.
const SUMS: [(BillColumn, &str); 5] = [
    (BillColumn::Fee, "手续费总金额"),
    (BillColumn::Amount, "订单总金额"),
    (BillColumn::Settled, "应结订单总金额"),
    (BillColumn::Refund, "申请退款总金额"),
    (BillColumn::RefundSettled, "退款总金额"),
];

/// What comes next in the file.
#[derive(Debug)]
pub(super) enum BillPart {
    Line(Line),
    End(Option<StatementTotals>),
}

/// Reads lines, and keeps count for the summary.
#[derive(Debug)]
pub(super) struct BillReader {
    width: usize,
    places: [Option<usize>; ROLES.len()],
    count: u64,
    sums: [ColumnSum; SUMS.len()],
}

impl BillReader {
    /// Reads the header.
    pub(super) fn open<R: BufRead>(source: &mut RawLines<R>) -> Result<Self, FileError> {
        let raw = source.must("header")?;
        let header = split(&raw, "")?;
        let places = if header.len() == COLUMNS {
            by_position(&raw, &header)?
        } else {
            by_name(&raw, &header)?
        };
        Ok(Self {
            width: header.len(),
            places,
            count: 0,
            sums: [ColumnSum::Nothing; SUMS.len()],
        })
    }

    /// The next line, or the end with its summary.
    pub(super) fn next<R: BufRead>(
        &mut self,
        source: &mut RawLines<R>,
    ) -> Result<BillPart, FileError> {
        let Some(raw) = source.next()? else {
            return Ok(BillPart::End(None));
        };
        if !raw.text.starts_with('`') {
            return self
                .summary(&raw, source)
                .map(|totals| BillPart::End(Some(totals)));
        }
        let row = WechatRow {
            raw: &raw,
            cells: self.cells(&raw)?,
            places: &self.places,
        };
        let line = row.line()?;
        self.count += 1;
        for (sum, (role, _)) in self.sums.iter_mut().zip(SUMS) {
            if let Some(money) = row.money(role)? {
                *sum = sum.with(money);
            }
        }
        Ok(BillPart::Line(line))
    }

    /// The values of a line, each in its place.
    fn cells<'a>(&self, raw: &'a RawLine) -> Result<Vec<Cell<'a>>, FileError> {
        let mut cells = split(raw, "`")?;
        let known_state = |cell: &Cell<'_>| STATES.iter().any(|(word, _)| *word == cell.text);
        let too_many = cells.len().saturating_sub(self.width);
        if too_many == 0 || self.width != COLUMNS || !cells.get(STATE_AT).is_some_and(known_state) {
            return split_into(raw, "`", self.width);
        }
        cells.drain(TEXTS_AT..TEXTS_AT + too_many);
        Ok(cells)
    }

    fn summary<R: BufRead>(
        &self,
        captions: &RawLine,
        source: &mut RawLines<R>,
    ) -> Result<StatementTotals, FileError> {
        let raw = source.must("totals")?;
        let captions = split(captions, "")?;
        let totals = split_into(&raw, "`", captions.len())?;
        if let Some(more) = source.next()? {
            return Err(more.error(1, "a line follows the totals"));
        }
        let mut pairs = captions.iter().zip(&totals);
        let (_, count) = pairs
            .next()
            .ok_or_else(|| raw.error(1, "there are no totals"))?;
        let whole = count.text.strip_suffix(".0").unwrap_or(count.text);
        let (mut values, mut differs) = (Vec::new(), Vec::new());
        if whole.parse() != Ok(self.count) {
            differs.push(SummaryRemark {
                total: SummaryRemark::LINES.to_owned(),
                says: format!(
                    "the file has {} lines, its summary says another number",
                    self.count
                ),
            });
        }
        for (caption, total) in pairs {
            let caption = caption.text.trim();
            if let Some(at) = SUMS.iter().position(|(_, known)| *known == caption) {
                differs.extend(self.sums[at].differs(total.text).then(|| SummaryRemark {
                    total: caption.to_owned(),
                    says: format!("{caption} is not what the lines sum up to"),
                }));
            }
            values.push((caption.to_owned(), total.text.to_owned()));
        }
        Ok(StatementTotals {
            count: self.count,
            values,
            differs,
        })
    }
}

/// The sum of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColumnSum {
    Nothing,
    Of(Currency, i128),
    Mixed,
}

impl ColumnSum {
    fn with(self, money: SignedAmount) -> Self {
        let minor = i128::from(money.minor);
        match self {
            Self::Nothing => Self::Of(money.currency, minor),
            Self::Of(currency, sum) if currency == money.currency => {
                Self::Of(currency, sum.saturating_add(minor))
            }
            Self::Of(..) | Self::Mixed => Self::Mixed,
        }
    }

    fn differs(self, total: &str) -> bool {
        match self {
            Self::Mixed => false,
            Self::Nothing => !is_zero(total),
            Self::Of(currency, sum) => {
                SignedAmount::parse(total, currency).map(|said| i128::from(said.minor)) != Ok(sum)
            }
        }
    }
}

fn is_zero(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0' | b'.'))
}

fn by_position(
    raw: &RawLine,
    header: &[Cell<'_>],
) -> Result<[Option<usize>; ROLES.len()], FileError> {
    for (_, place, names) in ROLES {
        if let Some(at) = header.iter().position(|cell| is_called(*cell, names))
            && at != place
        {
            let what = format!(
                "the column {:?} is expected in place {}, this is place {}",
                names[0],
                place + 1,
                at + 1
            );
            return Err(raw.error(header[at].column, what));
        }
    }
    Ok(ROLES.map(|(_, place, _)| Some(place)))
}

/// Whether a column has one of these names; the gateway's English page writes them in small
/// letters.
fn is_called(cell: Cell<'_>, names: &[&str]) -> bool {
    names
        .iter()
        .any(|name| name.eq_ignore_ascii_case(cell.text.trim()))
}

fn by_name(raw: &RawLine, header: &[Cell<'_>]) -> Result<[Option<usize>; ROLES.len()], FileError> {
    let places = ROLES.map(|(_, _, names)| header.iter().position(|cell| is_called(*cell, names)));
    for ((role, _, names), place) in ROLES.iter().zip(places) {
        if place.is_none() && NEEDED.contains(role) {
            return Err(raw.error(
                1,
                format!(
                    "there are {} columns, and none is called {:?}",
                    header.len(),
                    names[0]
                ),
            ));
        }
    }
    Ok(places)
}

struct WechatRow<'a> {
    raw: &'a RawLine,
    cells: Vec<Cell<'a>>,
    places: &'a [Option<usize>; ROLES.len()],
}

impl<'a> WechatRow<'a> {
    fn line(&self) -> Result<Line, FileError> {
        let state = self.text(BillColumn::State);
        let kind = STATES
            .iter()
            .find(|(word, _)| *word == state)
            .map_or(StatementLineKind::Other, |(_, kind)| *kind);
        let (paid, back) = (
            self.money(BillColumn::Amount)?,
            self.money(BillColumn::Refund)?,
        );
        let amount = if kind == StatementLineKind::Refund {
            back
        } else {
            paid
        }
        .and_then(SignedAmount::amount);
        let needed = if kind == StatementLineKind::Refund {
            BillColumn::Refund
        } else {
            BillColumn::Amount
        };
        if amount.is_none()
            && matches!(kind, StatementLineKind::Payment | StatementLineKind::Refund)
        {
            return Err(self.error(needed, "a payment and a refund have an amount above zero"));
        }
        let (paid_out, back_out) = (
            self.money(BillColumn::Settled)?,
            self.money(BillColumn::RefundSettled)?,
        );
        let settled = match kind {
            StatementLineKind::Payment => paid_out,
            StatementLineKind::Refund => back_out.map(SignedAmount::reversed),
            StatementLineKind::Reversal | StatementLineKind::Other => None,
        };
        if self.text(BillColumn::TransactionId).is_empty() {
            return Err(self.error(BillColumn::TransactionId, "the line names no payment"));
        }
        let refund_state = self.text(BillColumn::RefundState);
        let of_refund = kind == StatementLineKind::Refund && !refund_state.is_empty();
        Ok(Line {
            line: self.raw.number,
            kind,
            time: self.text(BillColumn::Time).to_owned(),
            order_no: self.text(BillColumn::OrderNo).to_owned(),
            transaction_id: self.text(BillColumn::TransactionId).to_owned(),
            refund_no: self.text(BillColumn::RefundNo).to_owned(),
            refund_id: self.text(BillColumn::RefundId).to_owned(),
            state: if of_refund {
                refund_state
            } else {
                self.text(BillColumn::State)
            }
            .to_owned(),
            amount: amount.or(back.and_then(SignedAmount::amount)),
            fee: self.money(BillColumn::Fee)?,
            settled,
        })
    }

    /// The sum in a column, in the currency that belongs to it; none where the cell is empty.
    fn money(&self, role: BillColumn) -> Result<Option<SignedAmount>, FileError> {
        let Some(cell) = self.cell(role).filter(|cell| !cell.text.is_empty()) else {
            return Ok(None);
        };
        let is_refund = self.text(BillColumn::State) == "REFUND";
        let own = if role == BillColumn::RefundSettled || (role == BillColumn::Fee && is_refund) {
            BillColumn::RefundSettledCurrency
        } else if matches!(role, BillColumn::Settled | BillColumn::Fee) {
            BillColumn::SettledCurrency
        } else {
            BillColumn::Currency
        };
        let code = [own, BillColumn::Currency]
            .into_iter()
            .filter_map(|role| self.cell(role))
            .find(|code| !code.text.is_empty());
        let currency = match code {
            Some(code) => currency(self.raw, code)?,
            None if is_zero(cell.text) => return Ok(None),
            None => return Err(self.raw.error(cell.column, "an amount without a currency")),
        };
        SignedAmount::parse(cell.text, currency)
            .map(Some)
            .map_err(|what| self.raw.error(cell.column, what))
    }

    fn text(&self, role: BillColumn) -> &'a str {
        self.cell(role).map_or("", |cell| cell.text)
    }

    fn cell(&self, role: BillColumn) -> Option<Cell<'a>> {
        let at = ROLES.iter().position(|(known, ..)| *known == role)?;
        self.places[at]
            .and_then(|place| self.cells.get(place))
            .copied()
    }

    fn error(&self, role: BillColumn, what: &str) -> FileError {
        self.raw
            .error(self.cell(role).map_or(1, |cell| cell.column), what)
    }
}
