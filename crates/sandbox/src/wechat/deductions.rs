//! The rules of deductions (docs/gateways/wechat.md, "Orders and deductions"): what a submission
//! does to an order, and what a query sees.
//!
//! One order number moves money at most once and belongs to one body for ever; one contract has one
//! deduction at a time.

use serde_json::{Value, json};

use crate::faults::{CallKind, Fault};
use crate::shared::fault_flow::{Calls, FaultReply, SubmitEffect};
use crate::shared::transactions::TransactionKind;
use crate::wechat::body::Deduction;
use crate::wechat::order_book::{Counter, DeductionOrder, OrderBook, OrderState, short_hash};
use crate::wechat::order_store::StoreError;
use crate::wechat::{contracts, unmapped};
use crate::{FakeWechat, Reaction};
use payrun_domain::time::Timestamp;
use payrun_gateway::transport::Request;
use payrun_project::config::WechatMode;

/// What the gateway has to say, before a fault bends it.
#[derive(Debug)]
pub(crate) struct WechatReply {
    pub http: u16,
    pub body: Value,
    pub fault: Option<Fault>,
}

impl WechatReply {
    fn order(body: Value, fault: Option<Fault>) -> Self {
        Self {
            http: 200,
            body,
            fault,
        }
    }

    pub(crate) fn error(http: u16, code: &str, message: &str) -> Self {
        Self {
            http,
            body: json!({ "code": code, "message": message }),
            fault: None,
        }
    }

    /// Done, and there is nothing to say.
    pub(crate) fn nothing(fault: Option<Fault>) -> Self {
        Self {
            http: 204,
            body: Value::Null,
            fault,
        }
    }

    pub(crate) fn with(self, fault: Option<Fault>) -> Self {
        Self { fault, ..self }
    }
}

impl FakeWechat {
    pub(super) async fn take_deduction(&self, request: &Request) -> Reaction {
        let body = match Deduction::read(request.body()) {
            Ok(body) => body,
            Err(refusal) => return self.refuse(refusal).await,
        };
        if self.payments.has_payment(&body.out_trade_no) {
            self.payments.responder.transactions().violate("two_bodies");
            let used = WechatReply::error(
                400,
                "OUT_TRADE_NO_USED",
                "this order number belongs to another payment",
            );
            return self.react(Ok(used), &body.out_trade_no).await;
        }
        let (number, contract) = (body.out_trade_no.clone(), body.contract_id.clone());
        let flight = self.in_flight.begin(&contract, &number);
        let said = self.deduct(body, request.body(), self.clock.now()).await;
        // Only an ordinary reply counts as in flight: of any other the client may rightly think
        // that it has ended.
        let _flight = flight.filter(|_| said.as_ref().is_ok_and(|said| said.fault.is_none()));
        self.react(said, &number).await
    }

    /// A submission.
    pub(crate) async fn deduct(
        &self,
        body: Deduction,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<WechatReply, StoreError> {
        let mut books = self.books.lock().await;
        let hash = short_hash(bytes);
        let mut order = match books.get(&body.out_trade_no).await? {
            Some(order) => order,
            None => seen(&body, hash),
        };
        if order.body != hash {
            books.count(Counter::Violation, "two_bodies");
            return Ok(WechatReply::error(
                400,
                "OUT_TRADE_NO_USED",
                "this order number belongs to another request",
            ));
        }
        if order.state == OrderState::Closed {
            return Ok(WechatReply::error(
                400,
                "ORDER_CLOSED",
                "this order was withdrawn",
            ));
        }
        self.decide(&mut order, now, &mut books);
        let decided = matches!(
            order.state,
            OrderState::Success | OrderState::PayError | OrderState::Processing
        );
        let plan = &self.settings.plan;
        let fault = order.calls.submit(plan, &order.number, decided);
        let said = if fault.is_some_and(Fault::is_before) {
            WechatReply::error(200, "", "").with(fault)
        } else if decided {
            WechatReply::order(self.show(&order), fault)
        } else {
            self.attempt(&mut order, fault, now, &mut books).await?
        };
        order.calls.note(said.fault);
        if let Some(fault) = said.fault {
            books.count(Counter::Fault, fault.as_str());
        }
        books.put(order).await?;
        Ok(said)
    }

    /// A submission that may move money.
    async fn attempt(
        &self,
        order: &mut DeductionOrder,
        fault: Option<Fault>,
        now: Timestamp,
        books: &mut OrderBook,
    ) -> Result<WechatReply, StoreError> {
        if order.contract.ends_with("-invalid") {
            let detail =
                json!({ "field": "contract_id", "location": "body", "issue": "not valid" });
            let body = json!({ "code": "PARAM_ERROR", "message": "the contract_id is not valid", "detail": detail });
            return Ok(WechatReply {
                http: 400,
                body,
                fault: None,
            });
        }
        let ended = self
            .payments
            .has_ended(&order.contract)
            .then_some(("CONTRACT_NOT_EXIST", OrderState::Seen));
        if let Some((code, state)) = ended.or_else(|| contracts::refusal(&order.contract)) {
            order.state = state;
            return Ok(WechatReply::error(403, code, "the contract decides"));
        }
        if self.overlaps(order, now, books).await? {
            books.count(Counter::Violation, "overlapping_contract");
            let message = "another deduction of this contract has not ended";
            return Ok(WechatReply::error(429, "FREQUENCY_LIMITED", message));
        }
        let coin = self.settings.plan.coin_flip(&order.number);
        let reply = match SubmitEffect::of(fault, coin) {
            SubmitEffect::Declined(FaultReply::Soft) => {
                order.state = OrderState::NotPay;
                WechatReply::error(403, "NOT_ENOUGH", "balance not enough")
            }
            SubmitEffect::Declined(FaultReply::Hard) => {
                let code = if coin {
                    "CONTRACT_NOT_EXIST"
                } else {
                    "USER_ACCOUNT_ABNORMAL"
                };
                WechatReply::error(403, code, "the user or the contract")
            }
            SubmitEffect::Declined(FaultReply::Unmapped) => unmapped(),
            SubmitEffect::HappensUnmapped => {
                self.charge(order, now, books);
                unmapped()
            }
            SubmitEffect::Happens => {
                if fault == Some(Fault::Pending) {
                    order.state = OrderState::Processing;
                    order.decide_at = now.plus(self.settings.pending);
                    order.queries_left = 1 + u32::from(coin);
                } else {
                    self.charge(order, now, books);
                }
                if fault == Some(Fault::LateVisible) {
                    order.hidden_until = now.plus(self.settings.late);
                }
                let mut shown = self.show(order);
                if fault == Some(Fault::OtherAmount) {
                    shown["amount"]["total"] = json!(order.minor.checked_add(1).unwrap_or(1));
                }
                WechatReply::order(shown, fault)
            }
        };
        Ok(reply.with(fault))
    }

    /// A query by our number.
    pub(crate) async fn query(
        &self,
        number: &str,
        now: Timestamp,
    ) -> Result<WechatReply, StoreError> {
        let mut books = self.books.lock().await;
        let order = books.get(number).await?;
        self.look(order, now, &mut books).await
    }

    /// A query by the gateway's number.
    pub(crate) async fn query_transaction(
        &self,
        id: &str,
        now: Timestamp,
    ) -> Result<WechatReply, StoreError> {
        let mut books = self.books.lock().await;
        let order = books.get_by_transaction(id).await?;
        self.look(order, now, &mut books).await
    }

    async fn look(
        &self,
        order: Option<DeductionOrder>,
        now: Timestamp,
        books: &mut OrderBook,
    ) -> Result<WechatReply, StoreError> {
        let absent = crate::wechat::no_such_deduction;
        // A number that was never submitted is not remembered: a probe must not fill the books.
        let Some(mut order) = order else {
            return Ok(absent());
        };
        let plan = &self.settings.plan;
        let fault = order.calls.next(plan, &order.number, CallKind::Query);
        order.calls.note(fault);
        if fault.is_none_or(|fault| !fault.is_before()) {
            order.queries_left = order.queries_left.saturating_sub(1);
            self.decide(&mut order, now, books);
        }
        if let Some(fault) = fault {
            books.count(Counter::Fault, fault.as_str());
        }
        let said = if order.state == OrderState::Seen || order.hidden_until > now {
            absent()
        } else {
            WechatReply::order(self.show(&order), None)
        };
        books.put(order).await?;
        Ok(said.with(fault))
    }

    /// Decides an order that is being decided, if its time or its last query has come: three in
    /// four succeed.
    pub(crate) fn decide(&self, order: &mut DeductionOrder, now: Timestamp, books: &mut OrderBook) {
        if order.state != OrderState::Processing
            || (now < order.decide_at && order.queries_left > 0)
        {
            return;
        }
        if self
            .settings
            .plan
            .draw(&order.number, "outcome", 0)
            .is_multiple_of(4)
        {
            order.state = OrderState::PayError;
        } else {
            self.charge(order, now, books);
        }
    }

    /// Whether another deduction of the same contract has not ended.
    async fn overlaps(
        &self,
        order: &DeductionOrder,
        now: Timestamp,
        books: &mut OrderBook,
    ) -> Result<bool, StoreError> {
        if self.in_flight.holds_other(&order.contract, &order.number) {
            return Ok(true);
        }
        let Some(number) = books.processing.get(&order.contract).cloned() else {
            return Ok(false);
        };
        let Some(mut other) = books.get(&number).await? else {
            return Ok(false);
        };
        self.decide(&mut other, now, books);
        let undecided = other.state == OrderState::Processing;
        books.put(other).await?;
        Ok(undecided)
    }

    /// The effect: money moves.
    fn charge(&self, order: &mut DeductionOrder, now: Timestamp, books: &mut OrderBook) {
        let part = |purpose| {
            self.settings
                .plan
                .draw(&order.number, purpose, u64::from(order.charged))
                % 1_000_000_000_000
        };
        order.transaction_id = format!("4200{:012}{:012}", part("high"), part("low"));
        order.state = OrderState::Success;
        order.charged += 1;
        order.effect_at = now;
        books.charge(order);
        if self.settings.notes_ends {
            self.payments
                .responder
                .transactions()
                .note_end(TransactionKind::Payment, &order.number);
        }
    }

    /// An order as replies show it.
    fn show(&self, order: &DeductionOrder) -> Value {
        let (trade_state, description) = match order.state {
            OrderState::Success if self.payments.gives_back(&order.number) => {
                ("REFUND", "Transfer to refund")
            }
            OrderState::Success => ("SUCCESS", "Payment success"),
            OrderState::Closed => ("CLOSED", "Closed"),
            OrderState::Processing => ("USERPAYING", "payment in progress"),
            OrderState::PayError => ("PAYERROR", "Payment failed"),
            OrderState::NotPay | OrderState::Seen => ("NOTPAY", "Not paid"),
        };
        let mut shown = json!({
            "out_trade_no": order.number,
            "trade_type": "AUTH",
            "trade_state": trade_state,
            "trade_state_desc": description,
            "merchant_category_code": order.category,
            "amount": { "total": order.minor, "currency": order.currency },
        });
        let ids: Vec<(&str, &String)> = match &self.identity.mode {
            WechatMode::Common { mchid, appid } => vec![("mchid", mchid), ("appid", appid)],
            WechatMode::Institutional {
                sp_mchid,
                sp_appid,
                sub_mchid,
                sub_appid: _,
            } => {
                vec![
                    ("sp_mchid", sp_mchid),
                    ("sp_appid", sp_appid),
                    ("sub_mchid", sub_mchid),
                ]
            }
        };
        for (name, id) in ids {
            shown[name] = json!(id);
        }
        if let Some(attach) = &order.attach {
            shown["attach"] = json!(attach);
        }
        if order.state == OrderState::Success {
            shown["transaction_id"] = json!(order.transaction_id);
            shown["bank_type"] = json!("WPHK");
            shown["success_time"] = json!(order.effect_at.to_string());
            shown["payer"] = json!({ "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6a" });
        }
        shown
    }
}

fn seen(body: &Deduction, hash: [u8; 16]) -> DeductionOrder {
    DeductionOrder {
        number: body.out_trade_no.clone(),
        contract: body.contract_id.clone(),
        currency: body.amount.currency.clone(),
        minor: body.amount.total,
        body: hash,
        attach: body.attach.clone(),
        category: body.merchant_category_code.clone(),
        state: OrderState::Seen,
        transaction_id: String::new(),
        charged: 0,
        calls: Calls::default(),
        effect_at: Timestamp::default(),
        decide_at: Timestamp::default(),
        queries_left: 0,
        hidden_until: Timestamp::default(),
        dirty: true,
    }
}
