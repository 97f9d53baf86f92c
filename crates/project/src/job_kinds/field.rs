//! What one value of an input field may be, in plain sentences. Messages never hold a value, which
//! may be sensitive.

use std::time::Duration;

use chrono::NaiveDate;

use payrun_domain::message::{Message, MessageArgument};
use payrun_domain::money::Currency;
use payrun_domain::text::{is_unseen, unseen};

use super::{Alphabet, FieldKind, FieldRule, InputField, JobKind, customs_names, remedies};

/// The argument of a message that names the field which it is about.
pub(crate) const FIELD: &str = "field";

/// A character by its number.
fn code(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

impl Alphabet {
    fn has(self, c: char) -> bool {
        match self {
            Self::Digits => c.is_ascii_digit(),
            Self::OrderNumber => c.is_ascii_alphanumeric() || matches!(c, '_' | '-'),
            Self::Name => c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '`' | ',' | ';'),
            Self::Ascii => matches!(c, ' '..='~'),
        }
    }

    const fn words(self) -> Message {
        match self {
            Self::Digits => Message::new("alphabet-digits", "digits"),
            Self::OrderNumber => Message::new("alphabet-order-number", "letters, digits, _ and -"),
            Self::Name => Message::new(
                "alphabet-name",
                "printable ASCII characters without blanks, quotation marks, back-ticks, commas and semicolons",
            ),
            Self::Ascii => Message::new("alphabet-ascii", "printable ASCII characters"),
        }
    }
}

impl InputField {
    /// Whether its values name something: a contract, an order, a payment.
    pub fn is_name(&self) -> bool {
        matches!(
            &self.kind,
            FieldKind::Text {
                alphabet: Some(Alphabet::Name | Alphabet::OrderNumber),
                ..
            }
        )
    }

    /// Checks a text value. Amounts and currencies are checked where they are parsed.
    ///
    /// # Errors
    /// A sentence that names the field, and not the value.
    pub fn check(&self, value: &str) -> Result<(), Message> {
        let wrong = |reason: Message| reason.with(FIELD, &self.name);
        if let Some(why) = &self.refused {
            let refused = wrong(Message::new(
                "field-refused",
                "{field} may not be given: {why}",
            ));
            return Err(refused.with("why", why.clone()));
        }
        let (min, max, alphabet, utf8mb3) = match &self.kind {
            FieldKind::Text {
                min,
                max,
                alphabet,
                utf8mb3,
            } => (min, max, alphabet, *utf8mb3),
            FieldKind::Choice(words) => {
                let Err(reason) = self.one_of(words, value) else {
                    return Ok(());
                };
                let doc = self.doc.trim_end_matches('.');
                return Err(self.found(reason.with("doc", format!(" ({doc})")), value));
            }
            FieldKind::Date
                if value.len() == 10 && NaiveDate::parse_from_str(value, "%Y-%m-%d").is_ok() =>
            {
                return Ok(());
            }
            FieldKind::Date => {
                let reason = wrong(Message::new(
                    "field-date",
                    "{field} takes a date such as 2026-11-30{found}",
                ));
                return Err(self.found(reason, value));
            }
            // What is no code at all is told where it is parsed.
            FieldKind::Currency
                if !self.currencies.is_empty() && Currency::parse(value).is_ok() =>
            {
                return self.one_of(&self.currencies, value);
            }
            FieldKind::Decimal | FieldKind::Amount | FieldKind::Currency => return Ok(()),
        };
        let mut count = 0;
        for c in value.chars() {
            count += 1;
            if c.is_control() {
                let reason = wrong(Message::new(
                    "field-control",
                    "{field} contains a control character ({code})",
                ));
                return Err(reason.with("code", code(c)));
            }
            // Of a person's name or card nobody means what nobody sees, and the gateway compares
            // it.
            if self.sensitive && alphabet.is_none() && is_unseen(c) {
                let reason = wrong(Message::new(
                    "field-unseen",
                    "{field} takes no character that cannot be seen{found}",
                ));
                return Err(self.found(reason, c.encode_utf8(&mut [0; 4])));
            }
            if utf8mb3 && c.len_utf8() > 3 {
                let reason = if self.sensitive {
                    wrong(Message::new(
                        "field-four-bytes",
                        "{field} takes no emoji and no rare hanzi (characters of four bytes){found}",
                    ))
                } else {
                    wrong(Message::new("field-four-bytes-found", "{field} takes no emoji and no rare hanzi (characters of four bytes){found} ({code})"))
                    .with("code", code(c))
                };
                return Err(self.found(reason, c.encode_utf8(&mut [0; 4])));
            }
            if let Some(alphabet) = alphabet.filter(|alphabet| !alphabet.has(c)) {
                let reason = wrong(Message::new(
                    "field-alphabet",
                    "{field} takes {alphabet} only{found}",
                ));
                let reason = reason.with("alphabet", alphabet.words());
                return Err(self.found(reason, c.encode_utf8(&mut [0; 4])));
            }
        }
        if count < *min || count > *max {
            let reason = wrong(Message::new(
                "field-length",
                "{field} has {count} characters; it takes {min} to {max}",
            ));
            return Err(reason
                .with("count", count)
                .with("min", *min)
                .with("max", *max));
        }
        if self.in_statement && value.contains(",`") {
            return Err(wrong(Message::new(
                "field-comma-back-tick",
                "{field} has a comma with a back-tick behind it, by which the gateway's statement separates values: nobody could read \
                 the statement of that day; leave one of them out",
            )));
        }
        match self.max_bytes {
            Some(most) if value.len() > most => {
                let reason = wrong(Message::new(
                    "field-bytes",
                    "{field} has {bytes} bytes of UTF-8; this gateway takes {most}: shorten it",
                ));
                Err(reason.with("bytes", value.len()).with("most", most))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A refusal with what was found in the way: a character that nobody sees by its name, and of a
    /// field that is not personal the one that is out of place.
    fn found(&self, reason: Message, text: &str) -> Message {
        let mut one = text.chars();
        let contains = || Message::new("field-contains", "; it contains {what}");
        let found = match (unseen(text), one.next(), one.next()) {
            (Some(what), _, _) => Some(contains().with("what", what)),
            (None, Some(c), None) if !self.sensitive => {
                Some(contains().with("what", format!("{c:?}")))
            }
            (None, _, _) => None,
        };
        reason.with("found", found)
    }

    fn one_of(&self, words: &[String], value: &str) -> Result<(), Message> {
        if words.iter().any(|word| word == value) {
            return Ok(());
        }
        let meant = customs_names::meant(&self.name, words, value);
        let meant = meant.filter(|_| !self.sensitive);
        let meant = meant.map(|meant| {
            Message::new("field-meant", " (did you mean {words}?)")
                .with("words", MessageArgument::either(meant))
        });
        Err(Message::new(
            "field-one-of",
            "{field}{meant} takes one of {words}{doc}{found}",
        )
        .with(FIELD, &self.name)
        .with("meant", meant)
        .with("words", customs_names::listed(&self.name, words))
        .with("doc", "")
        .with("found", ""))
    }
}

impl JobKind {
    /// The keys that the kind makes by itself of an item whose first field of the key is this: one
    /// for each word of a choice.
    pub fn keys_about(&self, first: &str) -> Vec<String> {
        let choices = self
            .key
            .iter()
            .skip(1)
            .filter_map(|name| match &self.field(name)?.kind {
                FieldKind::Choice(words) => Some(words),
                FieldKind::Text { .. }
                | FieldKind::Date
                | FieldKind::Decimal
                | FieldKind::Amount
                | FieldKind::Currency => None,
            });
        let words = choices.flatten().map(|word| format!("{first}/{word}"));
        std::iter::once(first.to_owned()).chain(words).collect()
    }

    /// The kind as it is on a kind of gateway, which may know fewer words of a choice than all
    /// gateways together, take shorter texts, and need more fields.
    #[must_use]
    pub fn on(&self, gateway: &str) -> Self {
        let mut kind = self.clone();
        let Some(operations) = self.gateways.get(gateway) else {
            return kind;
        };
        kind.rules.clone_from(&operations.rules);
        for field in &mut kind.fields {
            field.is_told =
                field.gateways.is_empty() || field.gateways.iter().any(|one| one == gateway);
            field.required |= operations.requires.contains(&field.name);
            field.max_bytes = operations.max_bytes.get(&field.name).copied();
            field.in_statement = operations.statement_texts.contains(&field.name);
            match &mut field.kind {
                FieldKind::Choice(words) => {
                    if let Some(known) = operations.values.get(&field.name) {
                        words.clone_from(known);
                    }
                }
                FieldKind::Text { max, utf8mb3, .. } => {
                    *utf8mb3 = operations.utf8mb3;
                    if let Some(most) = operations.max.get(&field.name) {
                        *max = *most;
                    }
                }
                FieldKind::Date | FieldKind::Decimal | FieldKind::Amount | FieldKind::Currency => {}
            }
        }
        kind
    }

    /// The kind with more words for a choice: those that an account knows beside the gateway's
    /// list.
    #[must_use]
    pub fn knowing(mut self, name: &str, more: &[String]) -> Self {
        for field in self.fields.iter_mut().filter(|field| field.name == name) {
            if let FieldKind::Choice(words) = &mut field.kind {
                words.extend(
                    more.iter()
                        .filter(|word| !words.contains(word))
                        .cloned()
                        .collect::<Vec<_>>(),
                );
            }
        }
        self
    }

    /// The kind on an account that does not take this field.
    #[must_use]
    pub fn refusing(mut self, name: &str, why: Message) -> Self {
        if let Some(field) = self.fields.iter_mut().find(|field| field.name == name) {
            field.refused = Some(why);
        }
        self
    }

    /// The kind with another bound on the age of what it is about.
    #[must_use]
    pub fn within(mut self, age: Duration) -> Self {
        if let Some(bound) = &mut self.not_older_than {
            bound.age = age;
        }
        self
    }

    /// What is wrong with a row's fields beside each other, by the rules of the gateway. `given`
    /// finds the value of a field.
    pub fn broken_rules<'v>(&self, given: impl Fn(&str) -> Option<&'v str>) -> Vec<Message> {
        self.rules
            .iter()
            .flat_map(|rule| self.broken(rule, &given))
            .collect()
    }

    fn broken<'v>(
        &self,
        rule: &FieldRule,
        given: impl Fn(&str) -> Option<&'v str>,
    ) -> Vec<Message> {
        let Some(value) = given(&rule.field) else {
            return Vec::new();
        };
        if !rule.values.is_empty() && !rule.values.iter().any(|known| known == value) {
            return Vec::new();
        }
        let why = if rule.values.is_empty() {
            Message::new("rule-is-given", "is given")
        } else {
            Message::new("rule-is-value", "is {value}").with("value", value)
        };
        let broken = |reason: Message| {
            reason
                .with(FIELD, &rule.field)
                .with("why", why.clone())
                .with("remedy", remedies::told(&rule.remedy))
        };
        let field = |name: &str| self.field(name);
        let mut reasons = Vec::new();
        for name in rule.needs.iter().filter(|name| given(name).is_none()) {
            let reason = broken(Message::new(
                "rule-needs",
                "{field} {why}, and {other} is empty: {remedy}",
            ));
            reasons.push(reason.with("other", name));
        }
        for name in rule.without.iter().filter(|name| given(name).is_some()) {
            let reason = broken(Message::new(
                "rule-without",
                "{field} {why}, so {other} must be empty: {remedy}",
            ));
            reasons.push(reason.with("other", name));
        }
        for (name, allowed) in &rule.only {
            let told = given(name);
            // That one is missing which must be given is said already.
            let must = rule.needs.contains(name) || field(name).is_some_and(|field| field.required);
            let said_already = told.is_none() && must;
            if said_already || told.is_some_and(|told| allowed.iter().any(|known| known == told)) {
                continue;
            }
            let told = told.filter(|_| field(name).is_some_and(|field| !field.sensitive));
            let told =
                told.map(|told| Message::new("rule-not", ", not {value}").with("value", told));
            let reason = broken(Message::new(
                "rule-only",
                "{field} {why}, so {other} must be {allowed}{told}: {remedy}",
            ));
            reasons.push(
                reason
                    .with("other", name)
                    .with("allowed", MessageArgument::either(allowed))
                    .with("told", told),
            );
        }
        reasons
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&InputField> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field that holds the amount.
    pub fn amount_field(&self) -> Option<&InputField> {
        self.fields
            .iter()
            .find(|field| field.kind == FieldKind::Amount)
    }

    /// The currency of all its money, where it takes one only.
    pub fn only_currency(&self) -> Option<Currency> {
        match self.currency_field()?.currencies.as_slice() {
            [code] => Currency::parse(code).ok(),
            [] | [..] => None,
        }
    }

    /// The field that holds the currency.
    pub fn currency_field(&self) -> Option<&InputField> {
        self.fields
            .iter()
            .find(|field| field.kind == FieldKind::Currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(sensitive: bool) -> InputField {
        let kind = FieldKind::Text {
            min: 1,
            max: 4,
            alphabet: Some(Alphabet::Ascii),
            utf8mb3: false,
        };
        InputField {
            name: "name".to_owned(),
            kind,
            required: true,
            sensitive,
            identity: false,
            gateways: Vec::new(),
            is_told: true,
            default: None,
            currencies: Vec::new(),
            refused: None,
            max_bytes: None,
            in_statement: false,
            doc: String::new(),
        }
    }

    #[test]
    fn what_nobody_sees_is_named_in_every_field_and_nothing_else_of_a_personal_one() {
        let declare = crate::job_kinds::JobKinds::built_in().by_name["declare"].on("wechat");
        let told = |name: &str, value: &str| {
            let refused = declare.field(name).unwrap().check(value).unwrap_err();
            refused.to_string()
        };
        assert_eq!(
            told("name", "张\u{200b}三"),
            "name takes no character that cannot be seen; it contains invisible character U+200B"
        );
        let card = told("cert_id", "51092119930\u{200b}8072310");
        assert_eq!(
            card,
            "cert_id takes printable ASCII characters only; it contains invisible character U+200B"
        );
        assert_eq!(
            told("cert_id", "51092119930８072310"),
            "cert_id takes printable ASCII characters only"
        );
        for (name, value) in [
            ("customs", "SHENZ\u{2060}HEN"),
            ("cert_type", "ID\u{2060}CARD"),
            ("sub_order_no", "S\u{2060}1"),
            ("mch_customs_no", "M\u{2060}1"),
            ("paid_on", "2026-\u{2060}01-02"),
        ] {
            let told = told(name, value);
            assert!(
                told.ends_with("; it contains invisible character U+2060"),
                "{told}"
            );
        }
        assert!(told("sub_order_no", "S/1").ends_with("; it contains '/'"));
        assert!(
            told("customs", "SHENZEN").ends_with(')'),
            "{}",
            told("customs", "SHENZEN")
        );
    }

    #[test]
    fn a_length_in_bytes_is_the_gateways_own() {
        let mut reason = field(false);
        reason.kind = FieldKind::Text {
            min: 1,
            max: 80,
            alphabet: None,
            utf8mb3: false,
        };
        reason.max_bytes = Some(64);
        assert_eq!(reason.check(&"退".repeat(21)), Ok(()));
        let told = reason.check(&"退".repeat(22)).unwrap_err().to_string();
        assert_eq!(
            told,
            "name has 66 bytes of UTF-8; this gateway takes 64: shorten it"
        );
    }

    fn pay_on(gateway: &str, row: &[(&str, &str)]) -> Vec<String> {
        broken_on("pay", gateway, row)
    }

    fn broken_on(kind: &str, gateway: &str, row: &[(&str, &str)]) -> Vec<String> {
        let kind = crate::job_kinds::JobKinds::built_in().by_name[kind].on(gateway);
        let broken = kind.broken_rules(|name| {
            row.iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| *value)
        });
        broken.iter().map(Message::to_string).collect()
    }

    #[test]
    fn a_price_in_cny_at_hipopay_needs_an_item_in_cny_and_the_currency_of_settlement() {
        let row = [("is_rmb", "TRUE"), ("currency", "JPY")];
        let reasons = pay_on("hipopay", &row);
        assert_eq!(reasons.len(), 2, "{reasons:#?}");
        assert!(
            reasons[0].starts_with("is_rmb is TRUE, and settlement_currency is empty: "),
            "{reasons:#?}"
        );
        assert!(
            reasons[1].starts_with("is_rmb is TRUE, so currency must be CNY, not JPY: "),
            "{reasons:#?}"
        );
        let good = [
            ("is_rmb", "TRUE"),
            ("currency", "CNY"),
            ("settlement_currency", "HKD"),
        ];
        assert_eq!(pay_on("hipopay", &good), Vec::<String>::new());
        let unknown = [
            ("is_rmb", "TRUE"),
            ("currency", "CNY"),
            ("settlement_currency", "HKX"),
        ];
        assert!(pay_on("hipopay", &unknown)[0].contains("settlement_currency must be"));
        assert_eq!(
            pay_on("hipopay", &[("is_rmb", "FALSE"), ("currency", "JPY")]),
            Vec::<String>::new()
        );
        let alone = pay_on(
            "hipopay",
            &[("settlement_currency", "HKD"), ("currency", "CNY")],
        );
        assert!(
            alone[0].starts_with("settlement_currency is given, so is_rmb must be TRUE: "),
            "{alone:#?}"
        );
        assert_eq!(
            pay_on(
                "cbtis",
                &[("settlement_currency", "HKD"), ("currency", "JPY")]
            ),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_platform_of_egms_needs_its_ids() {
        for platform in ["MINI", "INWALLET"] {
            let reasons = pay_on("egms", &[("platform", platform)]);
            assert!(
                reasons[0].starts_with(&format!("platform is {platform}, and openid is empty: ")),
                "{reasons:#?}"
            );
            assert!(
                reasons[1].starts_with(&format!("platform is {platform}, and appid is empty: ")),
                "{reasons:#?}"
            );
        }
        assert!(pay_on("egms", &[("platform", "APP")])[0].contains("appid is empty"));
        assert_eq!(
            pay_on("egms", &[("platform", "APP"), ("appid", "wx1")]),
            Vec::<String>::new()
        );
        assert_eq!(pay_on("egms", &[("platform", "WAP")]), Vec::<String>::new());
    }

    #[test]
    fn egms_finds_a_payment_by_the_merchants_number_alone() {
        for kind in ["refund", "query"] {
            let reasons = broken_on(kind, "egms", &[("transaction_id", "4200")]);
            assert!(
                reasons[0].starts_with("transaction_id is given, and out_trade_no is empty: EGMS"),
                "{reasons:#?}"
            );
            assert_eq!(
                broken_on(kind, "egms", &[("out_trade_no", "P-1")]),
                Vec::<String>::new()
            );
            assert_eq!(
                broken_on(kind, "hipopay", &[("transaction_id", "4200")]),
                Vec::<String>::new()
            );
        }
    }

    #[test]
    fn a_text_that_would_split_a_line_of_the_statement_is_refused_where_it_stands_in_one() {
        let on = |gateway: &str, text: &str| {
            let kind = crate::job_kinds::JobKinds::built_in().by_name["pay"].on(gateway);
            kind.field("description").unwrap().check(text)
        };
        let reason = on("wechat", "Basic,`plan").unwrap_err().to_string();
        assert!(
            reason.starts_with("description has a comma with a back-tick behind it"),
            "{reason}"
        );
        assert_eq!(
            (on("wechat", "`Basic`, plan,"), on("egms", "Basic,`plan")),
            (Ok(()), Ok(()))
        );
    }

    #[test]
    fn lengths_count_characters_and_alphabets_are_kept() {
        assert_eq!(field(false).check("abcd"), Ok(()));
        assert!(
            field(false)
                .check("abcde")
                .unwrap_err()
                .to_string()
                .contains("5 characters; it takes 1 to 4")
        );
        assert!(
            field(false)
                .check("é")
                .unwrap_err()
                .to_string()
                .contains("'é'")
        );
        assert!(
            field(false)
                .check("a\u{7}")
                .unwrap_err()
                .to_string()
                .contains("U+0007")
        );
    }

    #[test]
    fn characters_of_four_bytes_are_refused_by_name_where_the_gateway_takes_none() {
        let kind = FieldKind::Text {
            min: 1,
            max: 9,
            alphabet: None,
            utf8mb3: true,
        };
        let open = InputField {
            kind,
            ..field(false)
        };
        assert_eq!(open.check("香港 é €"), Ok(()));
        for (text, code) in [("a😀", "U+1F600"), ("𠮷野", "U+20BB7")] {
            let reason = open.check(text).unwrap_err().to_string();
            assert!(
                reason.starts_with("name takes no emoji and no rare hanzi")
                    && reason.contains(code),
                "{reason}"
            );
        }
        let hidden = InputField {
            sensitive: true,
            ..open
        }
        .check("𠮷野")
        .unwrap_err()
        .to_string();
        assert!(!hidden.contains('𠮷') && !hidden.contains("U+"), "{hidden}");
    }

    #[test]
    fn a_sensitive_value_is_not_in_the_reason() {
        let reason = field(true).check("é").unwrap_err().to_string();
        assert!(!reason.contains('é'), "{reason}");
    }
}
