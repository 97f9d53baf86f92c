//! Why an item is in its state, in Chinese. payrun's own code or sentence stands beside it, so that
//! nothing is lost in the translation.

use super::ExportContext;
use super::code_meanings::{cause_of, decline_of};
use crate::domain::item::State;
use crate::domain::own_code::OwnCode;
use crate::ledger::{ExportedItem, ItemRow};
use crate::reader_language::ReaderLanguage;

/// The language of lists in Chinese.
pub(super) const CHINESE: ReaderLanguage = ReaderLanguage::SimplifiedChinese;

/// Why an item is in its state.
pub(super) fn of(context: &ExportContext, exported: &ExportedItem) -> String {
    let item = &exported.item;
    let why = match item.state {
        State::Succeeded | State::Planned | State::Sending => String::new(),
        State::AwaitingApproval => "等待他人审批后才会发送".to_owned(),
        State::Pending => "网关已受理，等待结果".to_owned(),
        State::Unknown => with_code("是否成功尚不清楚，系统正在向网关查询", context, exported),
        State::NeedsReview => with_code("查询无法确定结果，须人工核实", context, exported),
        State::Cancelled => "已取消，未执行".to_owned(),
        State::Rejected | State::Skipped if is_told(item) => {
            let told = item.told.as_ref();
            told.map_or_else(String::new, |told| CHINESE.reason(told))
        }
        State::Rejected => "该行未被接受，没有发送".to_owned(),
        State::Skipped => item.duplicate_of.map_or_else(
            || "该行已跳过，没有发送".to_owned(),
            |other| format!("该键已属于条目 {other}，此行已跳过"),
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

fn of_code(context: &ExportContext, of: &ExportedItem, code: &str) -> Option<String> {
    if let Some(own) = OwnCode::parse(code) {
        return CHINESE.word("own", own.as_str());
    }
    match decline_of(context, (&of.lane, &of.kind), code) {
        Some(class) => CHINESE.word("class", class.as_str()),
        None => CHINESE.word("cause", cause_of(code)?.as_str()),
    }
}
