//! Reasons, as they may be read by anybody a mail is passed on to.
//!
//! A reason is ours, with a gateway's code in it. What could name a person or an account in such a
//! code is taken out.

/// The longest reason, in characters.
const LONGEST: usize = 160;

/// So many digits in a row are a number of somebody's, and no count.
const DIGITS: usize = 7;

/// The reason without what may be somebody's number or address.
pub(super) fn masked(reason: &str) -> String {
    let words = reason.split_whitespace().map(|word| {
        let digits = word.chars().fold((0, 0), |(run, most), c| {
            let run = if c.is_ascii_digit() { run + 1 } else { 0 };
            (run, most.max(run))
        });
        if word.contains('@') || digits.1 >= DIGITS {
            "…"
        } else {
            word
        }
    });
    let text = words.collect::<Vec<_>>().join(" ");
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars()
        .take(LONGEST - 1)
        .chain(std::iter::once('…'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn numbers_and_addresses_of_somebody_are_taken_out_and_codes_stay() {
        assert_eq!(masked("declined: NOT_ENOUGH"), "declined: NOT_ENOUGH");
        assert_eq!(
            masked("no such card 6222021234567890, ask ann@example.com"),
            "no such card … ask …"
        );
        assert_eq!(
            masked("asked 12 times\nin 300 s"),
            "asked 12 times in 300 s"
        );
        assert_eq!(masked(&"x".repeat(500)).chars().count(), 160);
    }
}
