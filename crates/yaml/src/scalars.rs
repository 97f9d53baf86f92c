//! Durations and rates as files write them: `15s`, `1h`, `20/s`.

use std::time::Duration;

use payrun_domain::policy::Rate;

/// The longest duration that is taken: ten years.
const DURATION_MAX: Duration = Duration::from_secs(3_660 * 86_400);

/// A duration: a whole number and `ms`, `s`, `m`, `h` or `d`.
///
/// ```
/// use std::time::Duration;
/// use payrun_yaml::scalars::duration;
/// assert_eq!(duration("10m"), Some(Duration::from_secs(600)));
/// assert_eq!(duration("10"), None);
/// ```
pub fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(split);
    let count: u64 = count.parse().ok()?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let duration = Duration::from_millis(count.checked_mul(millis)?);
    (duration <= DURATION_MAX).then_some(duration)
}

/// A rate: how many calls, a slash, and `s`, `min` or `h`.
///
/// ```
/// use payrun_yaml::scalars::rate;
/// assert_eq!(rate("600/min").map(|rate| rate.calls), Some(600));
/// assert_eq!(rate("0/s"), None);
/// ```
pub fn rate(text: &str) -> Option<Rate> {
    let (calls, unit) = text.split_once('/')?;
    let seconds = match unit.trim() {
        "s" => 1,
        "min" => 60,
        "h" => 3_600,
        _ => return None,
    };
    let calls: u32 = calls.trim().parse().ok()?;
    (1..=1_000_000).contains(&calls).then_some(Rate {
        calls,
        per: Duration::from_secs(seconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_a_bound() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("1d"), Some(Duration::from_secs(86_400)));
        for wrong in [
            "",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "1w",
            "99999999999999999999s",
            "99999d",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn rates_are_calls_per_time() {
        assert_eq!(
            rate("20/s"),
            Some(Rate {
                calls: 20,
                per: Duration::from_secs(1)
            })
        );
        assert_eq!(
            rate("600/min"),
            Some(Rate {
                calls: 600,
                per: Duration::from_secs(60)
            })
        );
        for wrong in ["20", "/s", "20/d", "-1/s", "1.5/s"] {
            assert_eq!(rate(wrong), None, "{wrong}");
        }
    }
}
