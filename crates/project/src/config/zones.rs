//! Time zones by their IANA names, and by what people write instead.

use payrun_domain::text::folded;

/// What people write instead of a name, in small letters, and what to write. Never a zone that is
/// only spelt alike.
const OTHER_NAMES: [(&str, &[&str]); 18] = [
    (
        "Asia/Hong_Kong",
        &[
            "hkt",
            "hk",
            "asia/hk",
            "hong kong time",
            "hong kong standard time",
            "香港",
            "香港时间",
            "香港時間",
        ],
    ),
    (
        "Asia/Shanghai",
        &[
            "asia/beijing",
            "asia/peking",
            "asia/guangzhou",
            "asia/shenzhen",
            "beijing",
            "peking",
            "beijing time",
            "china standard time",
            "prc time",
            "bjt",
            "北京",
            "北京时间",
            "北京時間",
            "上海",
            "中国",
            "中国标准时间",
        ],
    ),
    (
        "Asia/Shanghai for China, America/Chicago for the United States",
        &["cst", "cst6"],
    ),
    (
        "Asia/Hong_Kong, Asia/Shanghai, Asia/Taipei or Asia/Singapore",
        &[
            "utc+8",
            "utc+08",
            "utc+08:00",
            "utc+0800",
            "gmt+8",
            "gmt+08:00",
            "gmt+0800",
            "+8",
            "+08",
            "+08:00",
            "+0800",
            "东八区",
            "東八區",
            "utc8",
        ],
    ),
    (
        "Asia/Taipei",
        &[
            "台北",
            "臺北",
            "台湾",
            "臺灣",
            "asia/taibei",
            "asia/taiwan",
            "taipei standard time",
        ],
    ),
    ("Asia/Macau", &["澳门", "澳門", "macau", "macao"]),
    (
        "Asia/Singapore",
        &["sgt", "singapore standard time", "新加坡"],
    ),
    (
        "Asia/Tokyo",
        &[
            "jst",
            "tokyo standard time",
            "东京",
            "東京",
            "utc+9",
            "gmt+9",
        ],
    ),
    ("Asia/Seoul", &["kst", "首尔"]),
    ("Asia/Kuala_Lumpur", &["myt", "吉隆坡"]),
    ("Asia/Bangkok", &["ict", "曼谷", "utc+7", "gmt+7"]),
    ("Asia/Manila", &["pht"]),
    ("Asia/Jakarta", &["wib", "雅加达"]),
    ("Australia/Sydney", &["aest", "aedt", "悉尼"]),
    (
        "Asia/Kolkata for India, Europe/Dublin for Ireland",
        &["ist"],
    ),
    ("Europe/London", &["bst", "london"]),
    ("America/Los_Angeles", &["pst", "pdt"]),
    ("America/New_York", &["edt"]),
];

/// A time zone by its IANA name; else what is wrong, and what to do.
pub(crate) fn zone(text: &str) -> Result<chrono_tz::Tz, (String, String)> {
    text.parse().map_err(|_| {
        let help = meant_by(text).map_or_else(
            || "use an IANA name, such as Asia/Hong_Kong".to_owned(),
            |name| format!("did you mean {name}?"),
        );
        (
            format!("\"{}\" is no time zone", payrun_domain::text::shown(text)),
            help,
        )
    })
}

fn meant_by(text: &str) -> Option<&'static str> {
    let text = folded(text);
    let named = OTHER_NAMES
        .iter()
        .find(|(_, others)| others.contains(&text.as_str()))
        .map(|(name, _)| *name);
    // Written with other capitals, blanks and dashes.
    let plain = |name: &str| name.to_lowercase().replace([' ', '-', '_'], "");
    let written = || {
        chrono_tz::TZ_VARIANTS
            .iter()
            .map(|zone| zone.name())
            .find(|name| plain(name) == plain(&text))
    };
    named.or_else(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_instead_of_a_zone_is_named_and_nothing_that_is_spelt_alike() {
        let help = |text: &str| zone(text).unwrap_err().1;
        for (text, name) in [
            ("HKT", "Asia/Hong_Kong?"),
            (
                "UTC+8",
                "Asia/Hong_Kong, Asia/Shanghai, Asia/Taipei or Asia/Singapore?",
            ),
            ("Asia/Beijing", "Asia/Shanghai?"),
            ("Asia/Peking", "Asia/Shanghai?"),
            ("China Standard Time", "Asia/Shanghai?"),
            ("WIB", "Asia/Jakarta?"),
            ("北京时间", "Asia/Shanghai?"),
            ("asia/hong kong", "Asia/Hong_Kong?"),
            (
                "CST",
                "Asia/Shanghai for China, America/Chicago for the United States?",
            ),
        ] {
            assert_eq!(help(text), format!("did you mean {name}"), "{text}");
        }
        for text in ["Asia/Honk", "HXT", "Mars"] {
            assert_eq!(
                help(text),
                "use an IANA name, such as Asia/Hong_Kong",
                "{text}"
            );
        }
        assert!(zone("Asia/Hong_Kong").is_ok());
    }

    #[test]
    fn the_names_that_are_offered_exist() {
        for (names, _) in OTHER_NAMES {
            let names = names
                .replace(" for China", "")
                .replace(" for the United States", "")
                .replace(" for India", "");
            for name in names
                .replace(" for Ireland", "")
                .replace(" or ", ", ")
                .split(", ")
            {
                assert!(name.parse::<chrono_tz::Tz>().is_ok(), "{name}");
            }
        }
    }
}
