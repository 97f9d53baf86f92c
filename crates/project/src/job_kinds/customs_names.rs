//! The codes of customs in words: people know a port by its name, and a gateway by its code.

use payrun_yaml::diagnostics::nearest_name;

use super::{FieldKind, InputField};
use payrun_domain::message::MessageArgument;

/// The field that holds such a code.
const FIELD: &str = "customs";

/// By code: the port in English and in Chinese (the Chinese names are those of 微信支付's list for
/// mainland merchants).
const NAMES: [(&str, &str, &str); 14] = [
    ("GUANGZHOU_ZS", "Guangzhou", "广州（总署版）"),
    (
        "GUANGZHOU_HP_GJ",
        "Guangzhou Huangpu, inspection",
        "广州黄埔国检",
    ),
    (
        "GUANGZHOU_NS_GJ",
        "Guangzhou Nansha, inspection",
        "广州南沙国检",
    ),
    ("HANGZHOU_ZS", "Hangzhou", "杭州（总署版）"),
    ("NINGBO", "Ningbo", "宁波"),
    (
        "ZHENGZHOU_BS",
        "Zhengzhou, bonded logistics",
        "郑州（保税物流中心）",
    ),
    ("CHONGQING", "Chongqing", "重庆"),
    ("XIAN", "Xi'an", "西安"),
    ("SHANGHAI_ZS", "Shanghai", "上海（总署版）"),
    ("SHENZHEN", "Shenzhen", "深圳"),
    (
        "ZHENGZHOU_ZH_ZS",
        "Zhengzhou, bonded zone",
        "郑州综保（总署版）",
    ),
    ("TIANJIN", "Tianjin", "天津"),
    ("BEIJING", "Beijing", "北京"),
    ("ZONGSHU", "the General Administration", "海关总署"),
];

/// A code with its name in Chinese, where it has one.
fn with_name(code: &str) -> String {
    match NAMES.iter().find(|(known, ..)| *known == code) {
        Some((_, _, chinese)) => format!("{code} {chinese}"),
        None => code.to_owned(),
    }
}

/// The words that a choice takes, as people read them.
pub(crate) fn listed(field: &str, words: &[String]) -> MessageArgument {
    let shown = |word: &String| match field {
        FIELD => with_name(word),
        _ => word.clone(),
    };
    MessageArgument::names(words.iter().map(shown))
}

/// The words that a value may mean which is none of them: by a port's name, or by its letters.
pub(crate) fn meant(field: &str, words: &[String], value: &str) -> Option<Vec<String>> {
    let by_name = |(code, english, chinese): &&(&str, &str, &str)| {
        let place = value.trim_end_matches(['关', '海', '市']);
        let is_named = chinese.starts_with(place) || english.eq_ignore_ascii_case(value);
        !place.is_empty() && is_named && words.iter().any(|word| word == code)
    };
    let named = NAMES.iter().filter(|_| field == FIELD).filter(by_name);
    let mut found: Vec<String> = named.map(|(code, ..)| with_name(code)).collect();
    if found.is_empty() {
        let capital = value.to_uppercase();
        let names = || words.iter().map(String::as_str);
        let begins = |word: &&str| capital.len() >= 3 && word.starts_with(&capital);
        let near = names().find(|word| word.eq_ignore_ascii_case(value));
        let near = near.or_else(|| names().find(begins));
        let near = near.or_else(|| nearest_name(&capital, names()));
        found.extend(
            near.or_else(|| nearest_name(value, names()))
                .map(|word| match field {
                    FIELD => with_name(word),
                    _ => word.to_owned(),
                }),
        );
    }
    (!found.is_empty()).then_some(found)
}

/// What the codes of a field are, for the notes of a template; none where it has none.
pub(crate) fn explained(field: &InputField) -> Option<String> {
    match &field.kind {
        FieldKind::Choice(words) if field.name == FIELD => Some(listed(FIELD, words).to_string()),
        FieldKind::Choice(_)
        | FieldKind::Text { .. }
        | FieldKind::Date
        | FieldKind::Decimal
        | FieldKind::Amount
        | FieldKind::Currency => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job_kinds::JobKinds;

    fn words() -> Vec<String> {
        let kinds = JobKinds::built_in();
        let field = kinds.by_name["declare"].field(FIELD).unwrap();
        let FieldKind::Choice(words) = &field.kind else {
            panic!("{field:?}");
        };
        words.clone()
    }

    #[test]
    fn every_code_has_a_name() {
        let named: Vec<&str> = NAMES.iter().map(|(code, ..)| *code).collect();
        let words = words();
        assert!(
            words.iter().all(|word| named.contains(&word.as_str())),
            "{words:?}"
        );
        assert_eq!(words.len(), named.len());
    }

    #[test]
    fn a_port_is_found_by_its_name_and_by_letters_near_to_its_code() {
        let meant = |value| Some(meant(FIELD, &words(), value)?.join(" or "));
        assert_eq!(meant("深圳").as_deref(), Some("SHENZHEN 深圳"));
        assert_eq!(meant("深圳海关").as_deref(), Some("SHENZHEN 深圳"));
        assert_eq!(meant("Shenzhen").as_deref(), Some("SHENZHEN 深圳"));
        assert_eq!(meant("SHENZEN").as_deref(), Some("SHENZHEN 深圳"));
        assert_eq!(
            meant("Shanghai").as_deref(),
            Some("SHANGHAI_ZS 上海（总署版）")
        );
        assert_eq!(
            meant("郑州").as_deref(),
            Some("ZHENGZHOU_BS 郑州（保税物流中心） or ZHENGZHOU_ZH_ZS 郑州综保（总署版）")
        );
        assert_eq!(meant("5300"), None);
        assert_eq!(meant("海关"), None);
    }
}
