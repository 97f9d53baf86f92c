//! WeChat Pay's statement of a day: 38 columns, back-ticks, a summary; its signature covers the
//! SHA-1 (docs/gateways/wechat.md, "Statements").
//!
//! The file is written page by page from the books. It carries a payer's id, as the real one does,
//! so that a client that keeps it where it must not is found out. Fees are nothing here.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bytes::Bytes;
use chrono::{Days, NaiveDate};
use http::HeaderValue;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::shared::statements::{
    Trade, TradeKind, bounds, compact, day_of, of_store, parse_day, written,
};
use crate::wechat::Refusal;
use crate::wechat::body::param;
use crate::wechat::deductions::WechatReply;
use crate::wechat::order_book::Counter;
use crate::wechat::order_store::StoreError;
use crate::wechat::query::WechatQuery;
use crate::{FakeWechat, Reaction};
use payrun_domain::money::Currency;
use payrun_gateway::FILE_MAX;
use payrun_gateway::transport::Response;
use payrun_project::config::WechatMode;

/// How far back statements go (docs/gateways/wechat.md, "Statements").
const DAYS: u64 = 180;
/// How many charges one look at the books takes.
const PAGE: u32 = 1_000;

const HEADER: &str = "交易时间,公众账号ID,商户号,子商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,充值券币种,充值券金额,优惠券币种,优惠券金额,微信退款单号,商户退款单号,退款类型,退款状态,商品名称,商户数据包,手续费,费率,标价币种,订单金额(标价币种),用户支付币种,用户支付金额,结算币种,应结订单金额,支付汇率,退款汇率,申请退款金额,用户退款币种,用户退款金额,退款结算币种,退款应结订单金额,充值券退款金额,优惠券退款金额";
const CAPTIONS: &str =
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额";

impl FakeWechat {
    /// `GET /v3/global/statements`.
    pub(crate) async fn statement(&self, query: &str) -> Reaction {
        let day = match self.asked_day(query) {
            Ok(day) => day,
            Err(refusal) => return self.refuse(refusal).await,
        };
        let subject = format!("statement-{}", compact(day));
        let (before, fault) = self.looks.note(&subject, &self.settings);
        if let Some(fault) = fault {
            self.books
                .lock()
                .await
                .count(Counter::Fault, fault.as_str());
        }
        let refused = |code, message| WechatReply {
            fault,
            ..WechatReply::error(400, code, message)
        };
        let said = if !self.settings.statements.is_there(before) {
            Ok(refused("STATEMENT_CREATING", "the statement is being made"))
        } else {
            match self.write(day).await {
                Ok(Some(file)) => return self.speak_file(&subject, file, fault).await,
                Ok(None) => Ok(refused(
                    "NO_STATEMENT_EXIST",
                    "there was no trade on that day",
                )),
                Err(error) => Err(error),
            }
        };
        self.react(said, &subject).await
    }

    /// Which day is asked for; refused unless the query is as documented.
    fn asked_day(&self, query: &str) -> Result<NaiveDate, Refusal> {
        let day = WechatQuery::read(query).get("date").and_then(parse_day);
        let day = day.ok_or(param("wrong_date"))?;
        let today = day_of(self.clock.now());
        let oldest = today
            .checked_sub_days(Days::new(DAYS))
            .unwrap_or(NaiveDate::MIN);
        if (oldest..=today).contains(&day) {
            Ok(day)
        } else {
            Err(param("date_out_of_range"))
        }
    }

    /// The file of a day; none if nothing was traded.
    async fn write(&self, day: NaiveDate) -> Result<Option<Bytes>, StoreError> {
        let mut file = StatementFile::new(&self.identity.mode);
        let mut after = String::new();
        loop {
            let charges = self
                .books
                .lock()
                .await
                .charges(bounds(day), &after, PAGE)
                .await?;
            let Some(last) = charges.last() else { break };
            after.clone_from(&last.transaction_id);
            for charge in charges {
                file.add(&Trade {
                    kind: TradeKind::Paid,
                    at: charge.at,
                    number: charge.number,
                    theirs: charge.transaction_id,
                    currency: charge.currency,
                    minor: charge.minor,
                });
            }
            if file.text.len() > FILE_MAX {
                return Err(StoreError::TooMuch);
            }
        }
        let days = day..=day;
        of_store(&self.payments.responder.transactions(), &days).for_each(|trade| file.add(&trade));
        Ok((file.count > 0).then(|| file.finish()))
    }

    /// A file, bent by its fault. Under none does a client get one that it may believe and is
    /// wrong.
    async fn speak_file(&self, subject: &str, file: Bytes, fault: Option<Fault>) -> Reaction {
        let coin = self
            .settings
            .plan
            .draw(subject, "shape", 0)
            .is_multiple_of(2);
        // A fault of what the books hold leaves no file that may be believed.
        let body = match fault {
            None
            | Some(
                Fault::Refused
                | Fault::ResetBefore
                | Fault::SilentBefore
                | Fault::ErrorBefore
                | Fault::Limited
                | Fault::ResetAfter
                | Fault::SilentAfter
                | Fault::ErrorAfter
                | Fault::WrongSignature
                | Fault::Truncated
                | Fault::Slow,
            ) => Value::Null,
            Some(
                Fault::OtherAmount
                | Fault::UnmappedCode
                | Fault::Pending
                | Fault::SoftDecline
                | Fault::HardDecline
                | Fault::LateVisible,
            ) => json!({}),
        };
        let say = |http, body: &Value, forged: bool| {
            if body.is_null() {
                self.file_reply(file.clone(), forged.then_some(coin))
            } else {
                self.reply(http, body, None)
            }
        };
        let said = WechatReply {
            http: 200,
            body,
            fault,
        };
        self.respond(subject, said, &say).await
    }

    /// A signed file. Forged, either its signature or its SHA-1 is that of another one.
    fn file_reply(&self, file: Bytes, forged: Option<bool>) -> Option<Response> {
        let sha1 = |bytes: &[u8]| -> String {
            let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
            hex::encode(digest)
        };
        let own = sha1(&file);
        let (said, signed) = match forged {
            None => (own.clone(), own),
            Some(true) => (own, sha1(b"another")),
            Some(false) => (sha1(b"another"), sha1(b"another")),
        };
        let covered = format!("{{\"sha1\":\"{signed}\"}}");
        let mut reply = self.signed(200, file, covered.as_bytes())?;
        let headers = reply.headers_mut();
        headers.insert(
            "content-type",
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(
            "wechatpay-statement-sha1",
            HeaderValue::from_str(&said).ok()?,
        );
        Some(reply)
    }
}

/// A file that is being written.
pub(crate) struct StatementFile {
    text: Vec<u8>,
    appid: String,
    mchid: String,
    sub_mchid: String,
    count: u64,
    settled: Decimal,
    refunded: Decimal,
}

impl StatementFile {
    pub(crate) fn new(mode: &WechatMode) -> Self {
        let (appid, mchid, sub_mchid) = match mode {
            WechatMode::Common { mchid, appid } => (appid, mchid, ""),
            WechatMode::Institutional {
                sp_mchid,
                sp_appid,
                sub_mchid,
                sub_appid: _,
            } => (sp_appid, sp_mchid, sub_mchid.as_str()),
        };
        Self {
            text: format!("\u{feff}{HEADER}\r\n").into_bytes(),
            appid: appid.clone(),
            mchid: mchid.clone(),
            sub_mchid: sub_mchid.to_owned(),
            count: 0,
            settled: Decimal::ZERO,
            refunded: Decimal::ZERO,
        }
    }

    /// Adds a line.
    pub(crate) fn add(&mut self, trade: &Trade) {
        let exponent = Currency::parse(&trade.currency).map_or(0, Currency::exponent);
        let sum = Decimal::new(trade.minor, exponent);
        let amount = sum.to_string();
        let mut cells = [""; 38];
        let time = written(trade.at);
        cells[..10].copy_from_slice(&[
            &time,
            &self.appid,
            &self.mchid,
            &self.sub_mchid,
            "",
            &trade.theirs,
            &trade.number,
            "oUpF8uMuAJO_M2pxb1Q9zNjWeS6a",
            "AUTH",
            "SUCCESS",
        ]);
        cells[10] = "WPHK";
        (cells[12], cells[14]) = ("0.00", "0.00");
        (cells[21], cells[22], cells[23]) = ("0", "0.00%", &trade.currency);
        if let TradeKind::Refunded {
            number,
            theirs,
            processing,
        } = &trade.kind
        {
            cells[9] = "REFUND";
            (cells[15], cells[16], cells[17]) = (theirs, number, "ORIGINAL");
            cells[18] = if *processing { "PROCESSING" } else { "SUCCESS" };
            (cells[30], cells[31], cells[32], cells[33]) =
                ("100000000", &amount, &trade.currency, &amount);
            (cells[34], cells[35], cells[36], cells[37]) =
                (&trade.currency, &amount, "0.00", "0.00");
            self.refunded = self.refunded.saturating_add(sum);
        } else {
            if trade.kind == TradeKind::Revoked {
                cells[9] = "REVOKED";
            }
            (cells[24], cells[25], cells[26]) = (&amount, &trade.currency, &amount);
            (cells[27], cells[28], cells[29]) = (&trade.currency, &amount, "100000000");
            self.settled = self.settled.saturating_add(sum);
        }
        self.text.extend_from_slice(b"`");
        self.text.extend_from_slice(cells.join(",`").as_bytes());
        self.text.extend_from_slice(b"\r\n");
        self.count += 1;
    }

    /// Adds the summary.
    pub(crate) fn finish(mut self) -> Bytes {
        let (count, paid, back) = (self.count, self.settled, self.refunded);
        let totals =
            format!("{CAPTIONS}\r\n`{count}.0,`{paid},`{back},`0.00,`0,`{paid},`{back}\r\n");
        self.text.extend_from_slice(totals.as_bytes());
        self.text.into()
    }
}
