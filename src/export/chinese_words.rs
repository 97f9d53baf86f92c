//! The words of lists in Chinese: states, job kinds, and why an item is in its state. payrun's own code
//! or sentence stands beside each, so that nothing is lost in the translation.

use super::ExportContext;
use super::code_meanings::{cause_of, decline_of};
use crate::domain::answer::{Cause, DeclineClass};
use crate::domain::item::State;
use crate::domain::own_code::OwnCode;
use crate::ledger::{ExportedItem, ItemRow};
use crate::reader_language::ReaderLanguage;

/// A state.
pub(super) const fn state(state: State) -> &'static str {
    match state {
        State::AwaitingApproval => "待审批",
        State::Planned => "待发送",
        State::Sending => "发送中",
        State::Pending => "处理中",
        State::Unknown => "结果未知",
        State::Succeeded => "成功",
        State::Failed => "失败",
        State::Cancelled => "已撤销",
        State::NeedsReview => "待人工核实",
        State::Rejected => "已拒绝",
        State::Skipped => "已跳过",
    }
}

/// The built-in job kinds by name.
const KINDS: [(&str, &str); 13] = [
    ("cancel", "撤销订单"),
    ("declare", "报关"),
    ("deduct", "委托代扣"),
    ("exchange-rate", "汇率查询"),
    ("identity", "身份校验"),
    ("pay", "收款"),
    ("query", "订单查询"),
    ("reconcile", "对账"),
    ("redeclare", "重新报关"),
    ("refund", "退款"),
    ("settlement", "结算查询"),
    ("statement", "下载账单"),
    ("terminate", "解约"),
];

/// A job kind; one of a person's own keeps its name.
pub(super) fn kind(name: &str) -> &str {
    let known = KINDS.iter().find(|(known, _)| *known == name);
    known.map_or(name, |(_, chinese)| chinese)
}

/// Why an item is in its state.
pub(super) fn reason(context: &ExportContext, exported: &ExportedItem) -> String {
    let item = &exported.item;
    let why = match item.state {
        State::Succeeded | State::Planned | State::Sending => String::new(),
        State::AwaitingApproval => "等待他人审批后才会发送".to_owned(),
        State::Pending => "网关已受理，等待结果".to_owned(),
        State::Unknown => with_code("是否成功尚不清楚，系统正在向网关查询", context, exported),
        State::NeedsReview => with_code("查询无法确定结果，须人工核实", context, exported),
        State::Cancelled => "已撤销，未执行".to_owned(),
        State::Rejected | State::Skipped if is_told(item) => {
            let told = item.told.as_ref();
            told.map_or_else(String::new, |told| {
                ReaderLanguage::SimplifiedChinese.reason(told)
            })
        }
        State::Rejected => "该行未被接受，没有发送".to_owned(),
        State::Skipped => item.duplicate_of.map_or_else(
            || "该行已跳过，没有发送".to_owned(),
            |other| format!("该键已属于明细 {other}，此行已跳过"),
        ),
        State::Failed => with_code("没有执行", context, exported),
    };
    let is_withdrawn = item.withdrawn.is_some() && item.state.is_in_flight();
    match (is_withdrawn, why.is_empty()) {
        (false, _) => why,
        (true, true) => "已要求撤回".to_owned(),
        (true, false) => format!("已要求撤回；{why}"),
    }
}

/// Whether its reason can be said in other languages.
fn is_told(item: &ItemRow) -> bool {
    item.told.as_ref().is_some_and(|told| told.id().is_some())
}

/// With what the last code means, where that is known.
fn with_code(why: &str, context: &ExportContext, exported: &ExportedItem) -> String {
    let code = exported.code.as_deref().unwrap_or_default();
    match of_code(context, exported, code) {
        Some(meaning) => format!("{why}：{meaning}"),
        None => why.to_owned(),
    }
}

fn of_code(context: &ExportContext, of: &ExportedItem, code: &str) -> Option<&'static str> {
    if let Some(own) = OwnCode::parse(code) {
        return Some(of_own_code(own));
    }
    let declined = decline_of(context, (&of.lane, &of.kind), code);
    declined
        .map(of_class)
        .or_else(|| cause_of(code).map(of_cause))
}

const fn of_class(class: DeclineClass) -> &'static str {
    match class {
        DeclineClass::Soft => "暂时被拒绝，改日可能成功",
        DeclineClass::Hard => "被最终拒绝",
        DeclineClass::Spent => "订单在付款前已关闭",
        DeclineClass::Person => "被拒绝，须人工决定",
        DeclineClass::Config => "我方账户被拒绝：密钥、权限或设置",
        DeclineClass::Funds => "我方在网关的余额不足",
    }
}

const fn of_cause(cause: Cause) -> &'static str {
    match cause {
        Cause::TimedOut => "超时未答复",
        Cause::ConnectionLost => "连接中断",
        Cause::NotAsked => "查询未能送达",
        Cause::GatewayFailed => "网关答复其自身出错",
        Cause::Unreadable => "答复无法读取",
        Cause::Unverified => "答复的签名无法验证",
        Cause::Unmapped => "答复的代码没有定义",
        Cause::Mismatch => "答复的订单或金额不符",
        Cause::Ambiguous => "答复未说明结果",
        Cause::Abandoned => "调用期间进程终止",
    }
}

const fn of_own_code(code: OwnCode) -> &'static str {
    match code {
        OwnCode::ExceedsPayment => "退款合计将超过原支付金额",
        OwnCode::ExceedsPaymentTogether => "本批退款合计将超过原支付金额",
        OwnCode::TwoAmountsPaid => "网关对同一支付给出两个金额",
        OwnCode::OtherCurrency => "原支付的币种与本行不同",
        OwnCode::OtherPayment => "两个单号属于两笔支付",
        OwnCode::OtherAmountPaid => "本行所写的原支付金额与网关不符",
        OwnCode::NoAmountPaid => "网关未给出原支付金额",
        OwnCode::NoOrderNumber => "网关未给出原支付的订单号",
        OwnCode::NotPaid => "该单号的明细没有收款",
        OwnCode::FiledBefore => "海关已接受之前的申报",
        OwnCode::FilingUnderWay => "海关尚未处理之前的申报",
        OwnCode::Matched => "明细与账单一致",
        OwnCode::Known => "差异均为之前已发现，尚有未处理的",
        OwnCode::Different => "明细与账单有新的差异",
        OwnCode::NoStatement => "当日账单尚未入账",
        OwnCode::StatementIncomplete => "下载的账单可能不完整，未保留",
        OwnCode::FileUnreadable => "下载的文件无法读取，未保留",
        OwnCode::FileChanged => "之前已保留另一个文件，新文件未保留",
        OwnCode::NotKept => "下载的内容无法在本机保留",
        OwnCode::BadInput => "本行的要求无法执行",
        OwnCode::NotSent => "本机缺少条件，没有发出",
        OwnCode::Unsendable => "无法生成请求，没有发出",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::job_kinds::JobKinds;

    #[test]
    fn every_state_and_every_built_in_kind_has_a_chinese_word_of_its_own() {
        let states: BTreeSet<&str> = State::ALL.into_iter().map(state).collect();
        assert_eq!(states.len(), State::ALL.len());
        let kinds = JobKinds::built_in();
        let words: BTreeSet<&str> = kinds.by_name.keys().map(|name| kind(name)).collect();
        assert_eq!(words.len(), kinds.by_name.len());
        for name in kinds.by_name.keys() {
            assert_ne!(kind(name), name, "{name} has no Chinese name");
        }
        assert_eq!(kind("our-own"), "our-own");
    }

    #[test]
    fn every_code_of_payruns_own_has_a_chinese_sentence_of_its_own() {
        let all: BTreeSet<&str> = OwnCode::ALL.into_iter().map(of_own_code).collect();
        assert_eq!(all.len(), OwnCode::ALL.len());
    }
}
