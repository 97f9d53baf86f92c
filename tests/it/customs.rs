//! Declarations to customs, by the command: filed once whatever goes wrong, ended as the customs
//! end them, and filed again.

use expect_test::expect;
use std::collections::BTreeMap;

use payrun::sandbox::CustomsTotals;
use payrun::sandbox::faults::{FaultPlan, Level};
use serde_json::{Value, json};

use crate::support::gateways::{Rig, assert_at_rest, text_of, under_each_fault};
use crate::support::said::assert_said;

/// The gateways that declare.
const GATEWAYS: [&str; 2] = ["wechat", "hipopay"];

const HEADER: &str = "order,transaction,sub,customs,amount,transport,product,cert,name\n";

/// Sub-orders of one payment each, and the ends of their numbers.
const SUB_ORDERS: [&str; 8] = [
    "A-0",
    "A-1",
    "A-2",
    "A-3",
    "A-fail",
    "A-except",
    "A-back",
    "A-different",
];

/// Rows that nothing is sent of, and a word of the reason.
const WRONG: [(&str, &str); 4] = [
    (
        "P-0,{theirs},W-1,SHENZHEN,20.00,5.00,14.99,,",
        "product_fee",
    ),
    ("P-0,{theirs},W-2,MARS,20.00,5.00,15.00,,", "customs"),
    ("P-0,{theirs},W-3,SHENZHEN,20.001,5.00,15.00,,", "amount"),
    (
        "P-0,{theirs},W-4,SHENZHEN,20.00,5.00,15.00,510921199308072310,",
        "name is empty, and cert_id needs it",
    ),
];

const POLICY: &str = "    retry: { attempts: 30, first: 50ms, max: 200ms }\n    \
                      query: { schedule: [50ms, 100ms, 200ms], grace: 1500ms, horizon: 1h }\n";

/// A row of a declaration of 20.00, paid by its own payment.
fn row(rig: &Rig, gateway: &str, sub_order: &str, customs: &str) -> String {
    let order = format!("P-{sub_order}");
    let theirs = rig.seed(gateway, &order, "20.00", "CNY");
    format!("{order},{theirs},{sub_order},{customs},20.00,5.00,15.00,510921199308072310,李四\n")
}

fn write_rows(rig: &Rig, gateway: &str, wrong: bool) {
    let mut rows = HEADER.to_owned();
    for sub_order in SUB_ORDERS {
        rows.push_str(&row(rig, gateway, sub_order, "SHENZHEN"));
    }
    if gateway == "hipopay" {
        rows.push_str(&row(rig, gateway, "A-port", "GUANGZHOU_HP_GJ"));
    }
    let theirs = rig.seed(gateway, "P-0", "20.00", "CNY");
    for (row, _) in WRONG.iter().filter(|_| wrong) {
        rows.push_str(&format!("{}\n", row.replace("{theirs}", &theirs)));
    }
    rig.write(&format!("{gateway}.csv"), rows);
}

/// A job that declares the rows of a gateway's file, and is called after the gateway.
fn declaring(gateway: &str) -> String {
    format!(
        "  {gateway}:\n    uses: declare\n    gateway: {gateway}\n    items: {{ file: {gateway}.csv }}\n    with:\n      \
         out_trade_no: \"{{{{ item.order }}}}\"\n      transaction_id: \"{{{{ item.transaction }}}}\"\n      \
         sub_order_no: \"{{{{ item.sub }}}}\"\n      customs: \"{{{{ item.customs }}}}\"\n      \
         mch_customs_no: SZ0001\n      amount: \"{{{{ item.amount }}}}\"\n      currency: CNY\n      \
         transport_fee: \"{{{{ item.transport }}}}\"\n      product_fee: \"{{{{ item.product }}}}\"\n      \
         cert_id: \"{{{{ item.cert }}}}\"\n      name: \"{{{{ item.name }}}}\"\n{POLICY}"
    )
}

/// A job that declares what another job's items failed to.
fn again(job: &str, gateway: &str, from: &str, way: &str) -> String {
    let fields = [
        "out_trade_no",
        "transaction_id",
        "sub_order_no",
        "customs",
        "mch_customs_no",
        "amount",
        "currency",
    ];
    let more = ["transport_fee", "product_fee", "cert_id", "name"];
    let with: String = fields
        .into_iter()
        .chain(more)
        .map(|field| format!("      {field}: \"{{{{ item.{field} }}}}\"\n"))
        .collect();
    format!(
        "  {job}:\n    uses: redeclare\n    gateway: {gateway}\n    items: {{ from: {from}, state: failed }}\n    \
         key: \"{{{{ item.key }}}}/{way}\"\n    with:\n      way: {way}\n{with}{POLICY}"
    )
}

fn declared(plan: FaultPlan, wrong: bool) -> Rig {
    let rig = Rig::new(plan);
    let mut yaml = "workflow: customs\njobs:\n".to_owned();
    for gateway in GATEWAYS {
        write_rows(&rig, gateway, wrong);
        yaml.push_str(&declaring(gateway));
    }
    rig.write("customs.yaml", yaml);
    assert_eq!(rig.to_the_end("customs.yaml"), Some(3));
    rig
}

/// How many declarations are in a state, at all customs.
fn in_state(customs: &CustomsTotals, states: &[&str]) -> u64 {
    let of = |by_state: &BTreeMap<String, u64>| {
        states
            .iter()
            .filter_map(|state| by_state.get(*state))
            .sum::<u64>()
    };
    customs.filed.values().map(of).sum()
}

fn filed(customs: &CustomsTotals) -> u64 {
    customs.filed.values().flat_map(BTreeMap::values).sum()
}

fn count(items: &[Value], is: impl Fn(&Value) -> bool) -> u64 {
    items.iter().filter(|item| is(item)).count() as u64
}

/// Whether the customs refused it, so that it is filed all the same.
fn refused_by_customs(item: &Value) -> bool {
    let reason = text_of(item, "reason");
    item["state"] == "failed"
        && ["declined: FAIL", "declined: EXCEPT"]
            .iter()
            .any(|why| reason.starts_with(why))
}

/// What the customs have is what our books say, once each.
fn books_match(rig: &Rig) {
    for gateway in GATEWAYS {
        let (items, theirs) = (rig.items_of(gateway), rig.totals(gateway));
        assert_at_rest(&items);
        let customs = theirs.customs;
        let succeeded = count(&items, |item| item["state"] == "succeeded");
        let in_review = count(&items, |item| item["state"] == "needs_review");
        let refused = count(&items, refused_by_customs);
        assert_eq!(
            filed(&customs),
            succeeded + in_review + refused,
            "{gateway}: {customs:?} {items:#?}"
        );
        let successes = in_state(&customs, &["SUCCESS"]);
        assert!(
            (succeeded..=succeeded + in_review).contains(&successes),
            "{gateway}: {customs:?} {items:#?}"
        );
        assert_eq!(
            in_state(&customs, &["FAIL", "EXCEPT"]),
            refused,
            "{gateway}: {customs:?} {items:#?}"
        );
        assert_eq!(customs.filed_twice, 0, "{gateway}");
        assert!(
            theirs.violations.is_empty(),
            "{gateway}: {:?}",
            theirs.violations
        );
        assert!(theirs.refused.is_empty(), "{gateway}: {:?}", theirs.refused);
    }
}

fn by_sub_order(items: &[Value]) -> BTreeMap<String, Value> {
    let name = |item: &Value| {
        text_of(item, "key")
            .split('/')
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    };
    items
        .iter()
        .map(|item| (name(item), item.clone()))
        .collect()
}

#[test]
fn a_declaration_ends_as_the_customs_end_it_and_a_wrong_row_is_refused_with_its_line() {
    let rig = declared(FaultPlan::NONE, true);
    books_match(&rig);
    for gateway in GATEWAYS {
        let items = rig.items_of(gateway);
        let of = by_sub_order(&items);
        for plain in ["A-0", "A-1", "A-2", "A-3", "A-back"] {
            assert_eq!(of[plain]["state"], "succeeded", "{gateway}: {}", of[plain]);
        }
        let refused = [
            ("A-fail", "FAIL", "支付单信息不符"),
            ("A-except", "EXCEPT", "海关接口异常"),
        ];
        for (failed, word, theirs) in refused {
            assert_eq!(of[failed]["state"], "failed", "{gateway}: {}", of[failed]);
            let words = format!(
                "declined: {word} ({theirs}); mend the row and give it again in the same workflow"
            );
            assert!(
                text_of(&of[failed], "reason").starts_with(&words),
                "{}",
                of[failed]
            );
        }
        let rejected: Vec<&Value> = items
            .iter()
            .filter(|item| item["state"] == "rejected")
            .collect();
        let first = 2 + SUB_ORDERS.len() + usize::from(gateway == "hipopay");
        assert_eq!(rejected.len(), WRONG.len(), "{rejected:?}");
        for (at, (_, word)) in WRONG.iter().enumerate() {
            let row = rejected
                .iter()
                .find(|item| item["line"] == first + at)
                .unwrap();
            assert!(text_of(row, "reason").contains(word), "{row}");
        }
    }
    // WeChat Pay is asked about the person once the declaration shows; HipoPay checks with the
    // declaration. A buyer who is not the payer stops nothing, and people hear of it.
    for gateway in GATEWAYS {
        let of = by_sub_order(&rig.items_of(gateway));
        for (sub_order, result) in [("A-different", "DIFFERENT"), ("A-0", "SAME")] {
            let item = &of[sub_order];
            assert_eq!(
                (&item["state"], &item["result"]["cert_check_result"]),
                (&"succeeded".into(), &result.into()),
                "{item}"
            );
            let says_so = text_of(item, "reason").starts_with("the buyer is not the payer");
            assert_eq!(says_so, result == "DIFFERENT", "{item}");
            let (code, shown) = rig.payrun(&["show", "--item", &item["item"].to_string()]);
            assert_eq!(code, Some(0));
            assert_eq!(
                shown.matches("ALARM payer_differs").count(),
                usize::from(result == "DIFFERENT"),
                "{shown}"
            );
        }
    }
    assert_eq!(
        rig.totals("wechat").customs.identity_checks,
        SUB_ORDERS.len() as u64
    );
}

#[test]
fn an_order_that_is_not_split_is_declared_as_a_whole() {
    let rig = Rig::new(FaultPlan::NONE);
    let theirs = rig.seed("wechat", "P-whole", "20.00", "CNY");
    let different = rig.seed("wechat", "P-different", "20.00", "CNY");
    let row =
        |order: &str, theirs: &str, more: &str| format!("{order},{theirs},,SHENZHEN,{more}\n");
    let rows = [
        row("P-whole", &theirs, ",,,51092119930801249X,李四"),
        row("P-different", &different, ",,,510921199308072310,李四"),
        row("P-0", "42", "20.00,,,,"),
        row("P-0", "421111111111111111111111111111111", ",,,,"),
    ];
    rig.write("wechat.csv", format!("{HEADER}{}", rows.concat()));
    rig.write(
        "customs.yaml",
        format!("workflow: customs\njobs:\n{}", declaring("wechat")),
    );
    assert_eq!(rig.to_the_end("customs.yaml"), Some(3));
    let items = rig.items_of("wechat");
    let of = |line: u64| items.iter().find(|item| item["line"] == line).unwrap();
    for (line, result) in [(2, "SAME"), (3, "DIFFERENT")] {
        let item = of(line);
        assert_eq!(
            (&item["state"], &item["result"]["cert_check_result"]),
            (&"succeeded".into(), &result.into()),
            "{item}"
        );
        assert_eq!(
            (&item["amount"], &item["currency"]),
            (&Value::Null, &Value::Null),
            "{item}"
        );
    }
    assert_said(
        text_of(of(4), "reason"),
        expect!["sub_order_no (column \"sub\") is empty, and amount needs it"],
    );
    assert_said(
        text_of(of(5), "reason"),
        expect!["(column \"transaction\") has 33 characters"],
    );
    let totals = rig.totals("wechat");
    assert_eq!((filed(&totals.customs), totals.customs.filed_twice), (2, 0));
    assert!(
        totals.refused.is_empty() && totals.violations.is_empty(),
        "{totals:?}"
    );
    // At HipoPay every declaration is of a sub-order.
    rig.write(
        "hipopay.csv",
        format!("{HEADER}{}", row("P-whole", "42", ",,,,")),
    );
    rig.write(
        "other.yaml",
        format!("workflow: other\njobs:\n{}", declaring("hipopay")),
    );
    assert_eq!(rig.to_the_end("other.yaml"), Some(3));
    let reason = text_of(&rig.items_of("hipopay")[0], "reason").to_owned();
    assert!(
        reason.contains("sub_order_no (column \"sub\") is empty")
            && reason.contains("amount is empty"),
        "{reason}"
    );
}

#[test]
fn a_buyer_who_cannot_be_checked_keeps_no_declaration_open_for_ever_and_people_hear_of_it() {
    let rig = Rig::new(FaultPlan::NONE);
    let mut rows = String::new();
    for order in ["P-unknown", "P-unread"] {
        let theirs = rig.seed("wechat", order, "20.00", "CNY");
        rows.push_str(&format!(
            "{order},{theirs},,SHENZHEN,,,,51092119930801249X,李四\n"
        ));
    }
    rig.write("wechat.csv", format!("{HEADER}{rows}"));
    let job = declaring("wechat").replace("horizon: 1h", "horizon: 6s");
    assert!(job.contains("horizon: 6s"), "{job}");
    rig.write("customs.yaml", format!("workflow: customs\njobs:\n{job}"));
    assert_eq!(rig.to_the_end("customs.yaml"), Some(0));
    let items = rig.items_of("wechat");
    let (later, refused) = (&items[0], &items[1]);
    for item in [later, refused] {
        let said = (&item["state"], &item["result"]["cert_check_result"]);
        assert_eq!(said, (&"succeeded".into(), &"UNANSWERED".into()), "{item}");
        let (_, shown) = rig.payrun(&["show", "--item", &item["item"].to_string()]);
        assert_eq!(shown.matches("ALARM payer_unknown").count(), 1, "{shown}");
    }
    // "Not declared" is no refusal: it is asked again until the horizon, and a refusal some times.
    let asked = |item: &Value| {
        let (_, shown) = rig.payrun(&["show", "--item", &item["item"].to_string(), "--json"]);
        shown.matches("\"declare_query\"").count()
    };
    assert_eq!(
        (
            &later["result"]["cert_check_refusals"],
            &refused["result"]["cert_check_refusals"]
        ),
        (&0.into(), &8.into())
    );
    assert!(
        text_of(&later["result"], "cert_check_error").contains("35312011"),
        "{later}"
    );
    assert!(
        asked(later) > asked(refused) && asked(refused) >= 8,
        "{} {}",
        asked(later),
        asked(refused)
    );
    let totals = rig.totals("wechat");
    assert_eq!((filed(&totals.customs), totals.customs.filed_twice), (2, 0));
}

#[test]
fn what_waits_for_the_check_of_its_buyer_says_so() {
    let rig = Rig::new(FaultPlan::NONE);
    let theirs = rig.seed("wechat", "P-unknown", "20.00", "CNY");
    let row = format!("P-unknown,{theirs},,SHENZHEN,,,,51092119930801249X,李四\n");
    rig.write("wechat.csv", format!("{HEADER}{row}"));
    let job = declaring("wechat");
    rig.write("customs.yaml", format!("workflow: customs\njobs:\n{job}"));
    rig.payrun(&["run", "customs.yaml", "--wait", "3s"]);
    let item = &rig.items_of("wechat")[0];
    assert_eq!(item["state"], "pending", "{item}");
    let waits = "waits: the customs have accepted it, and the gateway has not said yet whether the buyer is the payer";
    assert_eq!(text_of(item, "reason"), waits, "{item}");
    let (code, told) = rig.payrun(&["retry", "1", "--reason", "again"]);
    assert!(code != Some(0) && told.contains(waits), "{told}");
}

#[test]
fn what_was_paid_more_than_a_year_ago_is_refused_when_it_is_planned_and_more_customs_may_be_named()
{
    let rig = Rig::new(FaultPlan::NONE);
    let yaml = std::fs::read_to_string(rig.folder.path().join("payrun.yaml")).unwrap();
    let yaml = yaml.replacen(
        "    kind: wechat\n",
        "    kind: wechat\n    customs: { ports: [HAIKOU_ZS], sub_orders: false, declare_within: 30d }\n",
        1,
    );
    rig.write("payrun.yaml", yaml);
    let job = declaring("wechat").replace(
        "      mch_customs_no",
        "      paid_on: \"{{ item.paid_on }}\"\n      mch_customs_no",
    );
    rig.write("customs.yaml", format!("workflow: customs\njobs:\n{job}"));
    let header = HEADER.replace("name\n", "name,paid_on\n");
    rig.write(
        "wechat.csv",
        format!("{header}P-1,42,,HAIKOU_ZS,,,,,,2020-01-01\nP-2,42,S-2,HAIKOU_ZS,1.00,0,1.00,,,\nP-3,42,,XIAN,,,,,,\n"),
    );
    assert_eq!(rig.to_the_end("customs.yaml"), Some(3));
    let items = rig.items_of("wechat");
    let reason = |line: u64| {
        text_of(
            items.iter().find(|item| item["line"] == line).unwrap(),
            "reason",
        )
        .to_owned()
    };
    assert_said(
        reason(2),
        expect!["before the run, and the gateway takes at most 30 days"],
    );
    assert_said(
        reason(3),
        expect!["sub_order_no (column \"sub\") may not be given"],
    );
    assert!(
        reason(4).contains("customs takes one of") && reason(4).contains("HAIKOU_ZS"),
        "{}",
        reason(4)
    );
}

#[test]
fn a_port_that_wants_two_filings_becomes_two_items() {
    let rig = declared(FaultPlan::NONE, false);
    let items = rig.items_of("hipopay");
    let keys: Vec<&str> = items
        .iter()
        .map(|item| text_of(item, "key"))
        .filter(|key| key.contains("port"))
        .collect();
    assert_eq!(
        keys,
        [
            "P-A-port/A-port/GUANGZHOU_ZS",
            "P-A-port/A-port/GUANGZHOU_HP_GJ"
        ]
    );
    let customs = rig.totals("hipopay").customs;
    for port in ["GUANGZHOU_ZS", "GUANGZHOU_HP_GJ"] {
        assert_eq!(
            customs.filed[port],
            BTreeMap::from([("SUCCESS".to_owned(), 1)]),
            "{port}"
        );
    }
}

#[test]
fn a_port_that_wants_two_filings_may_be_written_out_as_well() {
    let rig = Rig::new(FaultPlan::NONE);
    let [first, second] =
        ["GUANGZHOU_ZS", "GUANGZHOU_HP_GJ"].map(|port| row(&rig, "hipopay", "A-port", port));
    let theirs = rig.seed("hipopay", "P-A-other", "20.00", "CNY");
    let other = |port: &str| format!("P-A-other,{theirs},A-other,{port},20.00,5.00,15.00,,\n");
    // Whichever of them comes first.
    let rows = [
        first.clone(),
        second,
        other("GUANGZHOU_HP_GJ"),
        other("GUANGZHOU_ZS"),
        first,
    ];
    rig.write("hipopay.csv", format!("{HEADER}{}", rows.concat()));
    rig.write(
        "customs.yaml",
        format!("workflow: customs\njobs:\n{}", declaring("hipopay")),
    );
    assert_eq!(rig.to_the_end("customs.yaml"), Some(0));
    let items = rig.items_of("hipopay");
    assert_eq!(
        count(&items, |item| item["state"] == "succeeded"),
        4,
        "{items:#?}"
    );
    assert_eq!(
        count(&items, |item| item["state"] == "skipped"),
        3,
        "{items:#?}"
    );
    let customs = rig.totals("hipopay").customs;
    assert_eq!(
        (filed(&customs), customs.filed_twice),
        (4, 0),
        "{customs:?}"
    );
}

#[test]
fn a_duty_in_the_documents_unit_is_refused_with_what_it_would_be_here() {
    let rig = Rig::new(FaultPlan::NONE);
    let duties = ["0.88", "15.00", "88", "1500", "abc", "12", "0"];
    let mut rows = HEADER.replace('\n', ",duty\n");
    for (place, duty) in duties.into_iter().enumerate() {
        rows.push_str(
            &row(&rig, "hipopay", &format!("A-{place}"), "SHENZHEN")
                .replace('\n', &format!(",{duty}\n")),
        );
    }
    rig.write("hipopay.csv", &rows);
    let with_duty = |gateway: &str| {
        declaring(gateway).replace(
            "      mch_customs_no",
            "      duty: \"{{ item.duty }}\"\n      mch_customs_no",
        )
    };
    rig.write(
        "customs.yaml",
        format!("workflow: customs\njobs:\n{}", with_duty("hipopay")),
    );
    assert_eq!(rig.to_the_end("customs.yaml"), Some(3));
    let items = rig.items_of("hipopay");
    assert_eq!(
        count(&items, |item| item["state"] == "succeeded"),
        3,
        "{items:#?}"
    );
    let reason = |line: u64| {
        text_of(
            items.iter().find(|item| item["line"] == line).unwrap(),
            "reason",
        )
        .to_owned()
    };
    assert!(
        reason(4).starts_with("duty is 88.00, and product_fee only 15.00: "),
        "{}",
        reason(4)
    );
    assert!(
        reason(4).contains("main units") && reason(5).contains("0.01 CNY"),
        "{}",
        reason(4)
    );
    assert!(reason(6).starts_with("duty: "), "{}", reason(6));
    assert!(
        reason(7).starts_with("duty is 12, which may be 12.00 or 0.12: write it with its decimals"),
        "{}",
        reason(7)
    );
    // Of a declaration that is not split too, what is no duty is refused before anything is sent.
    // And what may be in either unit.
    let theirs = ["P-3", "P-4"].map(|order| rig.seed("wechat", order, "20.00", "CNY"));
    let rows = format!(
        "P-1,42,,SHENZHEN,,,,,,abc\nP-2,42,,SHENZHEN,,,,,,88\nP-3,{},,SHENZHEN,,,,,,0.88\nP-4,{},,SHENZHEN,,,,,,0\n",
        theirs[0], theirs[1]
    );
    rig.write(
        "wechat.csv",
        format!("{}{rows}", HEADER.replace('\n', ",duty\n")),
    );
    rig.write(
        "whole.yaml",
        format!("workflow: whole\njobs:\n{}", with_duty("wechat")),
    );
    assert_eq!(rig.to_the_end("whole.yaml"), Some(3));
    let items = rig.items_of("wechat");
    let of = |line: u64| items.iter().find(|item| item["line"] == line).unwrap();
    assert!(text_of(of(2), "reason").starts_with("duty: "), "{}", of(2));
    let reason = text_of(of(3), "reason");
    assert!(
        reason.starts_with("duty is 88, which may be 88.00 or 0.88: write it"),
        "{reason}"
    );
    assert_eq!(
        (&of(4)["state"], &of(5)["state"]),
        (&"succeeded".into(), &"succeeded".into()),
        "{items:#?}"
    );
}

#[test]
fn a_card_that_fails_a_check_is_refused_when_it_is_planned_and_is_in_no_message() {
    let rig = Rig::new(FaultPlan::NONE);
    let cards = [
        ("11010119900307002X", "IDCARD", ""),
        ("830000199003070019", "", ""),
        ("911010199003071015", "", ""),
        ("320219197003071013", "", ""),
        ("11010119900307002x", "", ""),
        ("110101185003071017", "", "has a birthday before 1900"),
        (
            "110101199003071015",
            "",
            "has a check digit (its last place) that does not fit the others",
        ),
        (
            "110101199002301017",
            "IDCARD",
            "has no real day as its birthday",
        ),
        ("110101209903071016", "", "has a birthday in the future"),
        (
            "110101900307101",
            "",
            "has 15 places; an identity card has 18",
        ),
        ("1.1010119900307E+17", "", "has 19 places"),
        ("H1234567801", "OTHER", ""),
    ];
    let mut lines = String::new();
    for (n, (card, document, _)) in cards.iter().enumerate() {
        let (order, sub) = (format!("P-{n}"), format!("A-{n}"));
        let theirs = rig.seed("wechat", &order, "20.00", "CNY");
        let row = json!({ "order": order, "transaction": theirs, "sub": sub, "customs": "SHENZHEN", "amount": "20.00",
            "transport": "5.00", "product": "15.00", "cert": card, "name": "李四", "document": document });
        lines.push_str(&format!("{row}\n"));
    }
    rig.write("wechat.jsonl", lines);
    let job = declaring("wechat").replace("wechat.csv", "wechat.jsonl");
    let job = job.replace(
        "      cert_id",
        "      cert_type: \"{{ item.document }}\"\n      cert_id",
    );
    rig.write("customs.yaml", format!("workflow: customs\njobs:\n{job}"));
    let (_, said) = rig.payrun(&["plan", "customs.yaml"]);
    assert_said(
        &said,
        expect!["cert_id ends in a small x, sent as a capital X, in 1 row, first in line 5"],
    );
    assert_eq!(rig.to_the_end("customs.yaml"), Some(3));
    let items = rig.items_of("wechat");
    for (n, (card, _, why)) in cards.iter().enumerate() {
        let item = items.iter().find(|item| item["line"] == n + 1).unwrap();
        let expected = if why.is_empty() {
            "succeeded"
        } else {
            "rejected"
        };
        assert_eq!(text_of(item, "state"), expected, "{why}: {item}");
        assert!(text_of(item, "reason").contains(why), "{why}: {item}");
        assert!(
            !said.contains(card) && !item.to_string().contains(card),
            "{said} {item}"
        );
    }
}

#[test]
fn customs_that_a_gateway_does_not_declare_to_are_refused_with_those_it_does() {
    let rig = Rig::new(FaultPlan::NONE);
    rig.write(
        "wechat.csv",
        format!("{HEADER}{}", row(&rig, "wechat", "A-0", "XIAN")),
    );
    rig.write(
        "customs.yaml",
        format!("workflow: customs\njobs:\n{}", declaring("wechat")),
    );
    assert_eq!(rig.to_the_end("customs.yaml"), Some(3));
    let items = rig.items_of("wechat");
    assert_eq!(
        (items.len(), text_of(&items[0], "state"), &items[0]["line"]),
        (1, "rejected", &Value::from(2))
    );
    let reason = text_of(&items[0], "reason");
    assert!(
        reason.contains("customs") && reason.contains("SHENZHEN"),
        "{reason}"
    );
    assert_eq!(filed(&rig.totals("wechat").customs), 0);
}

#[test]
fn the_same_file_once_more_files_nothing_again() {
    let rig = declared(FaultPlan::NONE, false);
    let before = GATEWAYS.map(|gateway| rig.totals(gateway).customs);
    let items = rig.items().len();
    let (_, told) = rig.payrun(&["run", "customs.yaml", "--wait", "20s"]);
    assert!(
        told.contains(
            "4 skipped rows of what is failed in run 1; `payrun retry --run 1 --state failed`"
        ),
        "{told}"
    );
    assert_said(
        &told,
        expect!["or mend the rows and give them again: the gateway is asked what it has"],
    );
    assert_eq!(GATEWAYS.map(|gateway| rig.totals(gateway).customs), before);
    let all = rig.items();
    let skipped = all
        .iter()
        .find(|item| item["state"] == "skipped" && text_of(item, "key").contains("A-fail"))
        .unwrap();
    assert_said(
        text_of(skipped, "reason"),
        expect!["failed); mend the row and give it again"],
    );
    assert_eq!(all.len(), 2 * items);
    assert_eq!(count(&all, |item| item["state"] == "skipped"), items as u64);
}

/// A row of a payment of 157.00: of a sub-order of so much, or of the whole.
fn row_of(order: &str, theirs: &str, sub_order: &str, amount: &str) -> String {
    let amounts = match amount {
        "" => ",,".to_owned(),
        amount => format!("{amount},0.00,{amount}"),
    };
    format!("{order},{theirs},{sub_order},SHENZHEN,{amounts},,\n")
}

/// The reasons of the rows that were rejected, by line.
fn rejected_lines(rig: &Rig, job: &str) -> BTreeMap<u64, String> {
    let items = rig.items_of(job);
    let rejected = items.iter().filter(|item| item["state"] == "rejected");
    rejected
        .map(|item| {
            (
                item["line"].as_u64().unwrap(),
                text_of(item, "reason").to_owned(),
            )
        })
        .collect()
}

#[test]
fn a_payment_is_not_declared_as_a_whole_and_by_sub_orders_in_one_file() {
    for gateway in ["wechat", "cbtis"] {
        // The second time as many rows between that it is another chunk.
        for between in [0, 1_200] {
            let rig = Rig::new(FaultPlan::NONE);
            let theirs =
                ["P-1", "P-2", "P-3"].map(|order| rig.seed(gateway, order, "157.00", "CNY"));
            let rows = [
                row_of("P-1", &theirs[0], "", ""),
                row_of("P-2", &theirs[1], "", ""),
                "P-0,,W,MARS,20.00,5.00,15.00,,\n".repeat(between),
                row_of("P-1", &theirs[0], "S-1", "100.00"),
                row_of("P-1", &theirs[0], "S-2", "57.00"),
                row_of("P-3", &theirs[2], "S-3", "100.00"),
                row_of("P-3", &theirs[2], "S-4", "57.00"),
                row_of("P-3", &theirs[2], "s-4", "57.00"),
            ];
            rig.write(
                &format!("{gateway}.csv"),
                format!("{HEADER}{}", rows.concat()),
            );
            rig.write(
                "customs.yaml",
                format!("workflow: customs\njobs:\n{}", declaring(gateway)),
            );
            assert_eq!(rig.to_the_end("customs.yaml"), Some(3));
            let mut rejected = rejected_lines(&rig, gateway);
            rejected.retain(|_, reason| !reason.contains("customs takes one of"));
            let at = 4 + between as u64;
            assert_eq!(
                rejected.keys().copied().collect::<Vec<_>>(),
                [2, at, at + 1, at + 4],
                "{rejected:#?}"
            );
            let split = format!(
                "line 2 is for the whole of out_trade_no P-1, customs SHENZHEN, and line {at} for a part of it"
            );
            for line in [2, at, at + 1] {
                assert!(rejected[&line].starts_with(&split), "{rejected:#?}");
            }
            assert!(
                rejected[&(at + 4)].contains("P-3/SHENZHEN/s-4 differs in capitals only"),
                "{rejected:#?}"
            );
            let totals = rig.totals(gateway);
            assert_eq!(in_state(&totals.customs, &["SUCCESS"]), 3, "{totals:?}");
            assert!(totals.violations.is_empty(), "{totals:?}");
        }
    }
}

#[test]
fn a_payment_is_not_declared_in_another_shape_by_another_workflow_or_on_another_day() {
    let rig = Rig::new(FaultPlan::NONE);
    let theirs = rig.seed("wechat", "P-1", "157.00", "CNY");
    let refused = rig.seed("wechat", "P-2-fail", "157.00", "CNY");
    for name in ["first", "second"] {
        let job = declaring("wechat").replace("wechat.csv", &format!("{name}.csv"));
        rig.write(
            &format!("{name}.yaml"),
            format!("workflow: {name}\njobs:\n{job}"),
        );
    }
    let wholes = [
        row_of("P-1", &theirs, "", ""),
        row_of("P-2-fail", &refused, "", ""),
    ]
    .concat();
    let parts = [
        row_of("P-1", &theirs, "S-1", "100.00"),
        row_of("P-2-fail", &refused, "S-2", "157.00"),
    ]
    .concat();
    rig.write("first.csv", format!("{HEADER}{wholes}"));
    rig.write("second.csv", format!("{HEADER}{parts}"));
    assert_eq!(rig.to_the_end("first.yaml"), Some(3));
    assert_eq!(rig.to_the_end("second.yaml"), Some(3));
    let rejected = rejected_lines(&rig, "wechat");
    let reason = "item 1 of run 1 (succeeded) is for the whole of out_trade_no P-1, customs SHENZHEN, and this row for a part of it \
                  (sub_order_no S-1): both together are more than the whole; leave this row out; it may come again once that item has \
                  failed or was cancelled";
    assert_eq!(rejected, BTreeMap::from([(2, reason.to_owned())]));
    // What the customs refused is declared by its sub-orders now: neither is it tried again as a whole, nor made again, nor mended.
    let (code, told) = rig.payrun(&["retry", "2", "--reason", "once more"]);
    assert!(
        code != Some(0) && told.contains("is for the same in another way"),
        "{told}"
    );
    rig.write(
        "redeclare.yaml",
        format!(
            "workflow: redeclare\njobs:\n{}",
            again("again", "wechat", "first/wechat", "modify")
        ),
    );
    assert_eq!(rig.to_the_end("redeclare.yaml"), Some(3));
    let rejected = rejected_lines(&rig, "again");
    assert!(
        rejected.len() == 1
            && rejected
                .values()
                .all(|reason| reason.contains("is for a part of out_trade_no P-2-fail")),
        "{rejected:#?}"
    );
    rig.write(
        "first.csv",
        format!(
            "{HEADER}{}",
            wholes.replace(",,,,,", ",,,,510921199308072310,李四")
        ),
    );
    rig.to_the_end("first.yaml");
    let totals = rig.totals("wechat");
    assert_eq!(in_state(&totals.customs, &["SUCCESS"]), 2, "{totals:?}");
    assert_eq!(
        (
            in_state(&totals.customs, &["FAIL"]),
            totals.customs.modified
        ),
        (1, 0),
        "{totals:?}"
    );
    assert!(totals.violations.is_empty(), "{totals:?}");
}

#[test]
fn a_mistyped_number_of_a_payment_declares_nothing_twice() {
    for gateway in ["wechat", "hipopay", "cbtis"] {
        let rig = Rig::new(FaultPlan::NONE);
        let theirs = ["P-1", "P-2", "P-3"].map(|order| rig.seed(gateway, order, "157.00", "CNY"));
        rig.write(
            "customs.yaml",
            format!("workflow: customs\njobs:\n{}", declaring(gateway)),
        );
        let file = format!("{gateway}.csv");
        let first = row_of("P-1", &theirs[0], "S-1", "100.00");
        rig.write(&file, format!("{HEADER}{first}"));
        assert_eq!(rig.to_the_end("customs.yaml"), Some(0));
        // The first row again with a mistyped order number, and two payments of which one stands in
        // the file under two numbers.
        let rows = [
            row_of("P-1O", &theirs[0], "S-1", "100.00"),
            row_of("P-1", &theirs[0], "S-2", "57.00"),
            row_of("P-2", &theirs[1], "S-3", "100.00"),
            row_of("P-2", &theirs[2], "S-4", "57.00"),
            row_of("P-3", &theirs[2], "S-5", "57.00"),
        ];
        rig.write(&file, format!("{HEADER}{}", rows.concat()));
        assert_eq!(rig.to_the_end("customs.yaml"), Some(3));
        let rejected = rejected_lines(&rig, gateway);
        assert_eq!(
            rejected.keys().copied().collect::<Vec<_>>(),
            [2, 4, 5, 6],
            "{rejected:#?}"
        );
        let before = format!(
            "item 1 of run 1 (succeeded) names its payment P-1/{0}, and this row out_trade_no P-1O, transaction_id {0}",
            theirs[0]
        );
        assert!(rejected[&2].starts_with(&before), "{rejected:#?}");
        for line in [4, 5, 6] {
            assert!(
                rejected[&line].contains("nobody can tell which: no row"),
                "{rejected:#?}"
            );
        }
        // A column that has slipped by a row: the sub-order beside another payment.
        let slipped = row_of("P-3", &theirs[2], "S-2", "57.00");
        rig.write(&file, format!("{HEADER}{slipped}"));
        let is_own = gateway != "cbtis";
        assert_eq!(rig.to_the_end("customs.yaml"), Some(3));
        let refused = rejected_lines(&rig, gateway);
        let told = refused
            .values()
            .any(|reason| reason.contains("is for SHENZHEN/S-2 of the payment P-1/"));
        assert_eq!(told, is_own, "{refused:#?}");
        let totals = rig.totals(gateway);
        assert_eq!(filed(&totals.customs), 2, "{totals:?}");
        let violations = usize::from(!is_own);
        assert_eq!(totals.violations.len(), violations, "{totals:?}");
        let (code, told) = rig.payrun(&["doctor", "--offline"]);
        assert!(
            code == Some(0) && !told.contains("several payments"),
            "{told}"
        );
    }
}

#[test]
fn what_failed_is_not_retried_beside_the_same_sub_order_under_another_key() {
    let rig = Rig::new(FaultPlan::NONE);
    let theirs = rig.seed("wechat", "P-1", "157.00", "CNY");
    let row = |customs_no: &str| {
        format!("{HEADER}{}", row_of("P-1", &theirs, "S-1", "100.00")).replace("S-1", customs_no)
    };
    rig.write("wechat.csv", row("S-fail"));
    for name in ["first", "second"] {
        let job = declaring("wechat").replace(
            "    with:\n",
            &format!("    key: \"{name}/{{{{ item.order }}}}/{{{{ item.sub }}}}\"\n    with:\n"),
        );
        rig.write(
            &format!("{name}.yaml"),
            format!("workflow: {name}\njobs:\n{job}"),
        );
    }
    assert_eq!(rig.to_the_end("first.yaml"), Some(3));
    // It is planned, and waits.
    let (code, told) = rig.payrun(&["pause", "all", "--reason", "a test"]);
    assert_eq!(code, Some(0), "{told}");
    rig.payrun(&["run", "second.yaml", "--wait", "0s"]);
    for args in [
        &["retry", "1", "--reason", "once more"][..],
        &["retry", "--state", "failed", "--yes", "--reason", "all"][..],
    ] {
        let (code, told) = rig.payrun(args);
        assert!(
            code != Some(0) && told.contains("item 2 is for the same, by another row"),
            "{args:?}: {told}"
        );
    }
}

#[test]
fn a_row_without_the_word_that_tells_its_change_from_others_is_rejected() {
    let rig = Rig::new(FaultPlan::NONE);
    let theirs = rig.seed("wechat", "P-1", "157.00", "CNY");
    let header = HEADER.replace("name\n", "name,change\n");
    let line = |change: &str| {
        let row = row_of("P-1", &theirs, "S-1", "100.00");
        format!("{},{change}\n", row.trim_end())
    };
    rig.write(
        "wechat.csv",
        format!("{header}{}{}", line(""), line("monday")),
    );
    let job = declaring("wechat")
        .replace("uses: declare", "uses: redeclare")
        .replace(
            "    with:\n",
            "    key: \"{{ item.order }}/{{ item.sub }}/{{ item.change }}\"\n    with:\n      way: modify\n",
        );
    rig.write("customs.yaml", format!("workflow: customs\njobs:\n{job}"));
    let (code, told) = rig.payrun(&["plan", "customs.yaml"]);
    assert!(
        told.contains(
            "change is empty, and it is all that tells this row from another of the same"
        ),
        "{code:?} {told}"
    );
    assert!(
        told.contains("1 rejected") || told.contains("rejected 1") || code == Some(3),
        "{told}"
    );
}

#[test]
fn sub_orders_that_are_more_than_the_payment_are_refused_by_the_gateway() {
    for gateway in ["wechat", "hipopay", "cbtis"] {
        let rig = Rig::new(FaultPlan::NONE);
        let theirs = rig.seed(gateway, "P-1", "157.00", "CNY");
        let rows = ["S-1", "S-2"].map(|sub_order| row_of("P-1", &theirs, sub_order, "100.00"));
        rig.write(
            &format!("{gateway}.csv"),
            format!("{HEADER}{}", rows.concat()),
        );
        rig.write(
            "customs.yaml",
            format!("workflow: customs\njobs:\n{}", declaring(gateway)),
        );
        rig.to_the_end("customs.yaml");
        let totals = rig.totals(gateway);
        assert_eq!(filed(&totals.customs), 1, "{gateway}: {totals:?}");
        assert!(
            totals.violations.contains_key("declared_above_payment"),
            "{gateway}: {totals:?}"
        );
    }
}

#[test]
fn every_fault_by_itself_files_nothing_twice_and_loses_nothing() {
    under_each_fault(|fault| {
        let rig = declared(FaultPlan::only(fault), false);
        books_match(&rig);
        for gateway in GATEWAYS {
            assert!(
                rig.totals(gateway).faults.contains_key(fault.as_str()),
                "{gateway} never met {fault}"
            );
        }
    });
}

#[test]
fn all_faults_together_file_nothing_twice_and_lose_nothing() {
    std::thread::scope(|scope| {
        for seed in 1..=4 {
            scope.spawn(move || books_match(&declared(FaultPlan::new(seed, Level::Heavy), false)));
        }
    });
}

/// Rows of declarations that end in every way, with this buyer; `big` is more than was paid unless
/// it is mended.
fn write_mended(rig: &Rig, gateway: &str, name: &str, mended: bool) {
    let mut rows = HEADER.to_owned();
    for sub_order in ["A-0", "A-fail", "A-except"] {
        rows.push_str(&row(rig, gateway, sub_order, "SHENZHEN").replace("李四", name));
    }
    let theirs = rig.seed(gateway, "P-big", "10.00", "CNY");
    let amounts = if mended {
        "10.00,4.00,6.00"
    } else {
        "20.00,5.00,15.00"
    };
    rows.push_str(&format!(
        "P-big,{theirs},A-big,SHENZHEN,{amounts},510921199308072310,{name}\n"
    ));
    rig.write(&format!("{gateway}.csv"), rows);
}

/// Whether nothing was wrong with what was sent but the amount that a row has before it is mended.
fn only_above_payment(rig: &Rig, gateway: &str) -> bool {
    rig.totals(gateway)
        .violations
        .keys()
        .all(|violation| violation == "declared_above_payment")
}

#[test]
fn of_two_rows_of_one_key_that_differ_in_the_buyer_neither_is_filed() {
    for between in [0, 2_100] {
        let rig = Rig::new(FaultPlan::NONE);
        let jobs = GATEWAYS.map(declaring).concat();
        rig.write("customs.yaml", format!("workflow: customs\njobs:\n{jobs}"));
        for gateway in GATEWAYS {
            let first = row(&rig, gateway, "A-0", "SHENZHEN");
            let same = row(&rig, gateway, "A-1", "SHENZHEN");
            let name = first.replace("李四", "王五");
            // As many as make another chunk, which are refused by themselves.
            let wrong = "P-0,,W-2,MARS,20.00,5.00,15.00,,\n".repeat(between);
            rig.write(
                &format!("{gateway}.csv"),
                format!("{HEADER}{first}{same}{wrong}{name}{same}"),
            );
        }
        assert_eq!(rig.to_the_end("customs.yaml"), Some(3));
        for gateway in GATEWAYS {
            let items = rig.items_of(gateway);
            let of = |key: &str| -> Vec<&Value> {
                items
                    .iter()
                    .filter(|item| text_of(item, "key").contains(key))
                    .collect()
            };
            let both = of("A-0");
            assert_eq!(both.len(), 2, "{gateway}: {both:#?}");
            for item in &both {
                assert_eq!(item["state"], "rejected", "{gateway}: {item:#}");
                assert_said(
                    text_of(item, "reason"),
                    expect!["with other content: neither row is sent"],
                );
            }
            let states: Vec<&str> = of("A-1")
                .iter()
                .map(|item| item["state"].as_str().unwrap())
                .collect();
            assert!(
                states.contains(&"succeeded") && states.len() == 2,
                "{gateway}: {states:?}"
            );
            assert_eq!(filed(&rig.totals(gateway).customs), 1, "{gateway}");
        }
    }
}

#[test]
fn a_mended_row_of_what_failed_is_filed_again_as_the_gateway_demands() {
    let rig = Rig::new(FaultPlan::NONE);
    let jobs = GATEWAYS.map(declaring).concat();
    rig.write("customs.yaml", format!("workflow: customs\njobs:\n{jobs}"));
    GATEWAYS
        .iter()
        .for_each(|gateway| write_mended(&rig, gateway, "李四", false));
    assert_eq!(rig.to_the_end("customs.yaml"), Some(3));
    for gateway in GATEWAYS {
        let items = rig.items_of(gateway);
        assert_eq!(
            count(&items, |item| item["state"] == "failed"),
            3,
            "{gateway}: {items:#?}"
        );
    }
    // As it was, nothing of it is filed again.
    rig.to_the_end("customs.yaml");
    assert_eq!(
        GATEWAYS.map(|gateway| rig.totals(gateway).customs.modified),
        [0, 0]
    );
    GATEWAYS
        .iter()
        .for_each(|gateway| write_mended(&rig, gateway, "王五", true));
    // What cannot be read cannot be compared: nothing is filed again then.
    let failed = rig.items();
    let failed = failed.iter().find(|item| item["state"] == "failed");
    let id = failed.unwrap()["item"].as_i64().unwrap();
    rig.change(&format!(
        "update items set input = '{{' || input where id = {id}"
    ));
    let (code, told) = rig.payrun(&["plan", "customs.yaml"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains(&format!("input of row {id} in items cannot be read")),
        "{told}"
    );
    rig.change(&format!(
        "update items set input = substr(input, 2) where id = {id}"
    ));
    let (_, planned) = rig.payrun(&["plan", "customs.yaml"]);
    assert_said(
        &planned,
        expect!["3 items, 50.00 CNY, 3 of them filed again with other content, 1 skipped"],
    );
    // The buyer of what was accepted is another one too: that is said, by row.
    assert_said(
        &planned,
        expect!["1 of these with another buyer or other content, which is not filed"],
    );
    assert_said(&planned, expect!["run 1 has this key with another buyer"]);
    let (_, told) = rig.payrun(&["run", "customs.yaml", "--wait", "20s"]);
    assert_said(
        &told,
        expect!["job wechat, line 2: run 1 has this key with another buyer"],
    );
    assert!(told.contains("way: modify"), "{told}");
    assert_eq!(
        rig.to_the_end("customs.yaml"),
        Some(0),
        "{:#?}",
        rig.items()
    );
    for (gateway, again) in GATEWAYS.into_iter().zip([(1, 1), (2, 0)]) {
        let (customs, all) = (rig.totals(gateway).customs, rig.items_of(gateway));
        // What the gateway did not have was declared; at WeChat Pay a lost filing without a buyer
        // in it is pushed as it is.
        assert_eq!(
            (customs.modified, customs.redeclared),
            again,
            "{gateway}: {customs:?}"
        );
        assert_eq!(
            (filed(&customs), customs.filed_twice),
            (4, 0),
            "{gateway}: {customs:?}"
        );
        assert_eq!(
            in_state(&customs, &["SUCCESS"]),
            4,
            "{gateway}: {customs:?}"
        );
        assert!(
            only_above_payment(&rig, gateway),
            "{gateway}: {:?}",
            rig.totals(gateway).violations
        );
        // The one of before is kept as it was, and can no longer be tried again.
        let old = all
            .iter()
            .find(|item| item["run"] == 1 && text_of(item, "key").contains("A-fail"))
            .unwrap();
        let new = all
            .iter()
            .find(|item| item["run"] == 3 && text_of(item, "key").contains("A-fail"))
            .unwrap();
        assert_eq!(
            (&old["state"], &new["state"]),
            (&"failed".into(), &"succeeded".into())
        );
        assert_eq!(
            (&old["result"]["filed_again_as"], &new["result"]["filed_as"]),
            (&new["item"], &"modify".into())
        );
        let (code, told) =
            rig.payrun(&["retry", &old["item"].to_string(), "--reason", "once more"]);
        assert!(
            code != Some(0) && told.contains("filed again with other content as item"),
            "{told}"
        );
    }
    // Those are counted apart where items are chosen together.
    let (_, told) = rig.payrun(&["retry", "--run", "1", "--state", "failed"]);
    assert_said(&told, expect!["6 items left out"]);
    // Neither the same once more, nor other content of what was accepted, is filed; nor does
    // customs-redeclare take the old ones.
    let before = GATEWAYS.map(|gateway| rig.totals(gateway).customs);
    assert_eq!(rig.to_the_end("customs.yaml"), Some(0));
    let redeclare =
        GATEWAYS.map(|gateway| again(gateway, gateway, &format!("customs/{gateway}"), "modify"));
    rig.write(
        "redeclare.yaml",
        format!("workflow: redeclare\njobs:\n{}", redeclare.concat()),
    );
    assert_eq!(rig.to_the_end("redeclare.yaml"), Some(0));
    let file = std::fs::read_to_string(rig.folder.path().join("wechat.csv")).unwrap();
    rig.write(
        "wechat.csv",
        file.replace("20.00,5.00,15.00", "20.00,6.00,14.00"),
    );
    assert_eq!(rig.to_the_end("customs.yaml"), Some(3));
    let reason = text_of(rig.items_of("wechat").last().unwrap(), "reason").to_owned();
    assert_eq!(
        GATEWAYS.map(|gateway| rig.totals(gateway).customs),
        before,
        "{reason}"
    );
    let items = rig.items_of("wechat");
    let rejected: Vec<&Value> = items
        .iter()
        .filter(|item| item["state"] == "rejected")
        .collect();
    assert_eq!(rejected.len(), 3, "{items:#?}");
    assert!(
        text_of(rejected[0], "reason").contains("way: modify"),
        "{rejected:#?}"
    );
}

#[test]
fn under_faults_what_is_filed_again_is_filed_once_or_given_to_a_person() {
    std::thread::scope(|scope| {
        for seed in 1..=3 {
            scope.spawn(move || filed_again(FaultPlan::new(seed, Level::Heavy)));
        }
    });
}

fn filed_again(plan: FaultPlan) {
    let rig = Rig::new(plan);
    let jobs = GATEWAYS.map(declaring).concat();
    rig.write(
        "customs.yaml",
        format!(
            "workflow: customs\njobs:\n{}",
            jobs.replace("horizon: 1h", "horizon: 4s")
        ),
    );
    GATEWAYS
        .iter()
        .for_each(|gateway| write_mended(&rig, gateway, "李四", false));
    rig.to_the_end("customs.yaml");
    for name in ["王五", "赵六"] {
        GATEWAYS
            .iter()
            .for_each(|gateway| write_mended(&rig, gateway, name, true));
        rig.to_the_end("customs.yaml");
    }
    for gateway in GATEWAYS {
        let (theirs, items) = (rig.totals(gateway), rig.items_of(gateway));
        assert_at_rest(&items);
        assert_eq!(
            theirs.customs.filed_twice, 0,
            "{gateway}: {theirs:?} {items:#?}"
        );
        assert!(
            only_above_payment(&rig, gateway),
            "{gateway}: {theirs:?} {items:#?}"
        );
        // Each declaration that succeeded is one of the customs'.
        let succeeded = count(&items, |item| item["state"] == "succeeded");
        assert!(
            succeeded <= filed(&theirs.customs),
            "{gateway}: {theirs:?} {items:#?}"
        );
        for key in ["A-0", "A-fail", "A-except", "A-big"] {
            let of_key =
                |item: &Value| item["state"] == "succeeded" && text_of(item, "key").contains(key);
            assert!(count(&items, of_key) <= 1, "{gateway} {key}: {items:#?}");
        }
    }
}

#[test]
fn what_failed_in_another_workflow_is_declared_again_with_its_own_terms() {
    let rig = declared(FaultPlan::NONE, false);
    // The filing fires every hour: its last run has nothing but rows that were declared before.
    rig.to_the_end("customs.yaml");
    let jobs =
        GATEWAYS.map(|gateway| again(gateway, gateway, &format!("customs/{gateway}"), "modify"));
    rig.write(
        "redeclare.yaml",
        format!("workflow: redeclare\njobs:\n{}", jobs.concat()),
    );
    assert_eq!(rig.to_the_end("redeclare.yaml"), Some(0));
    for gateway in GATEWAYS {
        let customs = rig.totals(gateway).customs;
        assert_eq!((customs.modified, customs.redeclared), (2, 0), "{gateway}");
        assert_eq!(
            in_state(&customs, &["FAIL", "EXCEPT"]),
            0,
            "{gateway}: {customs:?}"
        );
    }
    // Once is enough: the keys are known, whatever the last run says failed.
    rig.to_the_end("redeclare.yaml");
    assert_eq!(
        GATEWAYS.map(|gateway| rig.totals(gateway).customs.modified),
        [2, 2]
    );
}

#[test]
fn what_failed_is_declared_again_in_the_same_workflow() {
    let rig = Rig::new(FaultPlan::NONE);
    let mut yaml = "workflow: customs\njobs:\n".to_owned();
    for gateway in GATEWAYS {
        write_rows(&rig, gateway, false);
        yaml.push_str(&declaring(gateway));
        yaml.push_str(&again(
            &format!("{gateway}-again"),
            gateway,
            gateway,
            "modify",
        ));
    }
    rig.write("customs.yaml", yaml);
    rig.to_the_end("customs.yaml");
    for gateway in GATEWAYS {
        let items = rig.items_of(&format!("{gateway}-again"));
        assert_eq!(
            count(&items, |item| item["state"] == "succeeded"),
            2,
            "{gateway}: {items:#?}"
        );
        assert_eq!(rig.totals(gateway).customs.modified, 2, "{gateway}");
    }
}

#[test]
fn only_what_customs_lost_is_pushed_again_as_it_is() {
    let rig = declared(FaultPlan::NONE, false);
    let jobs =
        GATEWAYS.map(|gateway| again(gateway, gateway, &format!("customs/{gateway}"), "redeclare"));
    rig.write(
        "redeclare.yaml",
        format!("workflow: redeclare\njobs:\n{}", jobs.concat()),
    );
    assert_eq!(rig.to_the_end("redeclare.yaml"), Some(3));
    let all = rig.items();
    for gateway in GATEWAYS {
        let mine =
            |item: &&Value| item["job"] == gateway && text_of(item, "key").ends_with("/redeclare");
        let mine: Vec<Value> = all.iter().filter(mine).cloned().collect();
        let of = by_sub_order(&mine);
        assert_eq!(of["A-except"]["state"], "succeeded", "{gateway}: {mine:#?}");
        assert_eq!(of["A-fail"]["state"], "failed", "{gateway}: {mine:#?}");
    }
}

#[test]
fn under_faults_a_declaration_is_made_again_once_or_given_to_a_person() {
    std::thread::scope(|scope| {
        for seed in 1..=3 {
            scope.spawn(move || made_again(FaultPlan::new(seed, Level::Heavy)));
        }
    });
}

fn made_again(plan: FaultPlan) {
    let rig = declared(plan, false);
    let failed = GATEWAYS.map(|gateway| count(&rig.items_of(gateway), refused_by_customs));
    let jobs =
        GATEWAYS.map(|gateway| again(gateway, gateway, &format!("customs/{gateway}"), "modify"));
    // Nobody but a person can tell a state of before from a state of now: asked for two seconds,
    // then given to one.
    rig.write(
        "redeclare.yaml",
        format!("workflow: redeclare\njobs:\n{}", jobs.concat()).replace("1h", "2s"),
    );
    rig.to_the_end("redeclare.yaml");
    for (gateway, failed) in GATEWAYS.into_iter().zip(failed) {
        let theirs = rig.totals(gateway);
        assert!(theirs.customs.modified <= failed, "{gateway}: {theirs:?}");
        assert!(
            theirs.violations.is_empty() && theirs.refused.is_empty(),
            "{gateway}: {theirs:?}"
        );
        let items = rig.items_of(gateway);
        assert_at_rest(&items);
        let succeeded = count(&items, |item| {
            item["state"] == "succeeded" && text_of(item, "key").ends_with("/modify")
        });
        assert!(
            succeeded <= theirs.customs.modified,
            "{gateway}: {theirs:?} {items:#?}"
        );
    }
}

#[test]
fn a_buyer_who_is_not_the_payer_is_given_to_a_person() {
    let rig = Rig::new(FaultPlan::NONE);
    write_rows(&rig, "wechat", false);
    // Declared without its buyers, who are looked at afterwards.
    let unseen = declaring("wechat")
        .replace("{{ item.cert }}", "")
        .replace("{{ item.name }}", "")
        .replace("wechat.csv }", "wechat.csv, unused: [name] }");
    rig.write(
        "customs.yaml",
        format!("workflow: customs\njobs:\n{unseen}"),
    );
    rig.to_the_end("customs.yaml");
    assert_eq!(rig.totals("wechat").customs.identity_checks, 0);
    rig.write(
        "identity.yaml",
        format!(
            "workflow: identity\njobs:\n  check:\n    uses: identity\n    gateway: wechat\n    \
             items: {{ file: wechat.csv }}\n    with:\n      out_trade_no: \"{{{{ item.order }}}}\"\n      \
             transaction_id: \"{{{{ item.transaction }}}}\"\n      sub_order_no: \"{{{{ item.sub }}}}\"\n      \
             customs: \"{{{{ item.customs }}}}\"\n      mch_customs_no: SZ0001\n      cert_id: \"{{{{ item.cert }}}}\"\n      \
             name: \"{{{{ item.name }}}}\"\n{POLICY}"
        ),
    );
    assert_eq!(rig.to_the_end("identity.yaml"), Some(3));
    let items = rig.items_of("check");
    let of = by_sub_order(&items);
    assert_eq!(of["A-different"]["state"], "needs_review", "{items:#?}");
    assert!(
        text_of(&of["A-different"], "reason").contains("the buyer is not the payer"),
        "{items:#?}"
    );
    assert_eq!(
        count(&items, |item| item["state"] == "succeeded"),
        SUB_ORDERS.len() as u64 - 1,
        "{items:#?}"
    );
    assert_eq!(
        rig.totals("wechat").customs.identity_checks,
        SUB_ORDERS.len() as u64
    );
}

/// Sub-orders of one gateway that knows nothing of buyers.
fn declared_at_cbtis(plan: FaultPlan) -> Rig {
    let rig = Rig::new(plan);
    let rows = SUB_ORDERS.map(|sub_order| {
        row(&rig, "cbtis", sub_order, "SHENZHEN").replace("510921199308072310,李四", ",")
    });
    rig.write("cbtis.csv", format!("{HEADER}{}", rows.concat()));
    rig.write(
        "customs.yaml",
        format!("workflow: customs\njobs:\n{}", declaring("cbtis")),
    );
    rig.to_the_end("customs.yaml");
    rig
}

fn books_match_at_cbtis(rig: &Rig) {
    let (items, theirs) = (rig.items_of("cbtis"), rig.totals("cbtis"));
    assert_at_rest(&items);
    let succeeded = count(&items, |item| item["state"] == "succeeded");
    let in_review = count(&items, |item| item["state"] == "needs_review");
    let refused = count(&items, refused_by_customs);
    let filed = filed(&theirs.customs);
    assert!(
        (succeeded + refused..=succeeded + refused + in_review).contains(&filed),
        "{theirs:?} {items:#?}"
    );
    assert_eq!(theirs.customs.filed_twice, 0);
    assert!(
        theirs.violations.is_empty() && theirs.refused.is_empty(),
        "{theirs:?}"
    );
}

#[test]
fn cbtis_declares_too_and_a_row_that_names_a_buyer_is_refused() {
    let rig = declared_at_cbtis(FaultPlan::NONE);
    books_match_at_cbtis(&rig);
    let items = rig.items_of("cbtis");
    assert_eq!(
        count(&items, |item| item["state"] == "succeeded"),
        6,
        "{items:#?}"
    );
    rig.write(
        "cbtis.csv",
        format!("{HEADER}{}", row(&rig, "cbtis", "B-1", "SHENZHEN")),
    );
    rig.payrun(&["run", "customs.yaml", "--wait", "20s"]);
    let items = rig.items_of("cbtis");
    let rejected = items
        .iter()
        .find(|item| item["state"] == "rejected")
        .unwrap();
    assert_said(
        text_of(rejected, "reason"),
        expect!["so cert_id must be empty: CBTIS documents no field"],
    );
}

#[test]
fn at_cbtis_a_mended_row_of_what_failed_is_filed_again_once() {
    let rig = declared_at_cbtis(FaultPlan::NONE);
    assert_eq!(
        count(&rig.items_of("cbtis"), refused_by_customs),
        2,
        "{:#?}",
        rig.items_of("cbtis")
    );
    let file = std::fs::read_to_string(rig.folder.path().join("cbtis.csv")).unwrap();
    let mended = |line: &str| match line {
        line if line.contains("A-fail") || line.contains("A-except") => {
            line.replace("5.00,15.00", "6.00,14.00")
        }
        line => line.to_owned(),
    };
    rig.write(
        "cbtis.csv",
        file.lines()
            .map(|line| format!("{}\n", mended(line)))
            .collect::<String>(),
    );
    assert_eq!(
        rig.to_the_end("customs.yaml"),
        Some(0),
        "{:#?}",
        rig.items()
    );
    let (theirs, items) = (rig.totals("cbtis"), rig.items_of("cbtis"));
    assert!(
        theirs.violations.is_empty() && theirs.refused.is_empty(),
        "{theirs:?}"
    );
    let customs = theirs.customs;
    assert_eq!(
        (customs.modified, customs.redeclared, filed(&customs)),
        (2, 0, 8),
        "{customs:?}"
    );
    assert_eq!(in_state(&customs, &["SUCCESS"]), 8, "{customs:?}");
    let new = items
        .iter()
        .filter(|item| item["run"] == 2 && item["state"] == "succeeded");
    let ways: Vec<&str> = new
        .map(|item| text_of(&item["result"], "filed_as"))
        .collect();
    assert_eq!(ways, ["modify", "modify"]);
    // Once more is nothing more.
    assert_eq!(rig.to_the_end("customs.yaml"), Some(0));
    assert_eq!(rig.totals("cbtis").customs.modified, 2);
}

#[test]
fn at_cbtis_every_fault_by_itself_files_nothing_twice() {
    under_each_fault(|fault| books_match_at_cbtis(&declared_at_cbtis(FaultPlan::only(fault))));
}

#[test]
fn any_number_that_a_gateway_gave_finds_its_declaration_also_of_what_failed() {
    let rig = declared(FaultPlan::NONE, false);
    let found = |number: &str, way: &str| -> Vec<i64> {
        let (code, text) = rig.payrun(&["find", number, "--json"]);
        assert_eq!(code, Some(0), "{number}: {text}");
        let found: Value = serde_json::from_str(&text).unwrap();
        let items = found["items"].as_array().unwrap().iter();
        let ways = |item: &Value| {
            let ways = item["found_by"].as_array().unwrap().clone();
            ways.iter().any(|found| found["way"] == way)
        };
        items
            .filter(|item| ways(item))
            .map(|item| item["item"].as_i64().unwrap())
            .collect()
    };
    for gateway in GATEWAYS {
        let items = rig.items_of(gateway);
        let of = by_sub_order(&items);
        for sub_order in ["A-0", "A-fail", "A-except"] {
            let item = &of[sub_order];
            let id = item["item"].as_i64().unwrap();
            let of_customs = text_of(&item["result"], "verify_department_trade_id");
            let is_receipt = item["receipt"] == of_customs;
            let way = if is_receipt {
                "gateway_number"
            } else {
                "customs_number"
            };
            assert_eq!(
                found(of_customs, way),
                [id],
                "{gateway} {sub_order} {of_customs}"
            );
        }
    }
    // What failed has no receipt; its reply names the number all the same.
    let (_, shown) = rig.payrun(&[
        "show",
        "--item",
        &by_sub_order(&rig.items_of("wechat"))["A-fail"]["item"].to_string(),
        "--json",
    ]);
    let number = shown.split("sub_order_id").nth(1).unwrap();
    let number = number.trim_start_matches(|c: char| !c.is_ascii_digit());
    let number: String = number.chars().take_while(char::is_ascii_digit).collect();
    assert_eq!(found(&number, "gateway_number").len(), 1, "{number}");
}
