//! What stands in the files.

use super::reconcile_fixture::{Fate, ReconcileFixture, paid};
use crate::reconcile::findings::{Findings, LISTED_MAX};
use crate::reconcile::report::{self, ReportHeading};
use payrun_domain::difference::{DifferenceReason, DifferenceState};
use payrun_domain::time::Timestamp;
use payrun_ledger::{Difference, KeptDifference, LineKind, StatementLine};

const DAY: &str = "2026-11-20";

/// Items and lines of which each says something of its own.
async fn world() -> ReconcileFixture {
    let world = ReconcileFixture::new().await;
    let rows = [
        ("A", "12.50 HKD", Fate::Succeeds),
        ("own:M-1", "300 JPY", Fate::Succeeds),
        ("C", "7 HKD", Fate::Unknown),
    ];
    world.sent("deduct", "2026-11-20 12:00", &rows).await;
    world
        .statement(
            DAY,
            [
                StatementLine {
                    fee: Some((10, super::reconcile_fixture::money("1 HKD").currency())),
                    ..paid(1, "A", "12.50 HKD")
                },
                StatementLine {
                    order_no: "-2+3".to_owned(),
                    transaction_id: "=1+1".to_owned(),
                    ..paid(2, "X", "1 HKD")
                },
                StatementLine {
                    order_no: "<script>alert(1)</script>".to_owned(),
                    transaction_id: "@SUM(A1)".to_owned(),
                    state: "SUCCESS\"><b>".to_owned(),
                    ..paid(3, "Y", "2 HKD")
                },
                paid(4, "C", "7 HKD"),
            ],
        )
        .await;
    world.reconcile(DAY, DAY, "").await;
    world
}

#[tokio::test]
async fn the_table_has_a_row_for_each_difference_and_no_formula() {
    let table = world().await.file(DAY, DAY, "csv");
    insta::assert_snapshot!(table, @r###"
    difference,found,state,owner,reason,day,currency,kind,order_no,refund_no,transaction_id,ours,theirs,our_state,their_state,item,line,detail,what_to_do
    1,new,open,,missing_here,2026-11-20,HKD,payment,'-2+3,,'=1+1,,1.00,,SUCCESS,,2,,Find out which system took this payment; payrun has no item with this number.
    2,new,open,,missing_here,2026-11-20,HKD,payment,<script>alert(1)</script>,,'@SUM(A1),,2.00,,"SUCCESS""><b>",,3,,Find out which system took this payment; payrun has no item with this number.
    3,new,open,,missing_there,2026-11-20,JPY,payment,M-1,,T-own:M-1,300,,succeeded,,2,,,"Look the order up (job kind query); if the gateway has no payment, ask its support."
    "###);
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    for record in rows.records() {
        assert!(
            record
                .unwrap()
                .iter()
                .all(|field| !field.starts_with(['=', '+', '-', '@']))
        );
    }
}

#[tokio::test]
async fn the_json_says_all_of_it() {
    let report = world().await.report(DAY, DAY);
    let fields = report.as_object().unwrap().iter();
    let lines: Vec<String> = fields
        .flat_map(|(name, field)| match field.as_array() {
            Some(list) => list
                .iter()
                .map(|one| format!("{name}: {one}"))
                .collect::<Vec<_>>(),
            None => vec![format!("{name}: {field}")],
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r###"
    account: "hk"
    closed_by_statement: {"day":"2026-11-20","item":3,"line":4,"was":"unknown"}
    closed_by_statement_cut: false
    counts: {"closed_by_statement":1,"closed_differences":0,"differences":3,"earlier_differences":0,"items":3,"lines":4,"lines_of_other_days":0,"lines_of_others":0,"listed_items":2,"matched_lines":1,"new_differences":3,"open_differences":3,"other_lines":0}
    days: {"currency":"HKD","day":"2026-11-20","fees":{"count":1,"sum":"0.10"},"net":{"count":0,"sum":"0.00"},"payments":{"of_others":{"count":0,"sum":"0.00"},"ours":{"count":2,"sum":"19.50"},"theirs":{"count":4,"sum":"22.50"}},"refunds":{"of_others":{"count":0,"sum":"0.00"},"ours":{"count":0,"sum":"0.00"},"theirs":{"count":0,"sum":"0.00"}}}
    days: {"currency":"JPY","day":"2026-11-20","fees":{"count":0,"sum":"0"},"net":{"count":0,"sum":"0"},"payments":{"of_others":{"count":0,"sum":"0"},"ours":{"count":1,"sum":"300"},"theirs":{"count":0,"sum":"0"}},"refunds":{"of_others":{"count":0,"sum":"0"},"ours":{"count":0,"sum":"0"},"theirs":{"count":0,"sum":"0"}}}
    differences: {"currency":"HKD","day":"2026-11-20","detail":"","difference":1,"found":"new","item":null,"kind":"payment","line":2,"order_no":"-2+3","our_state":null,"ours":null,"owner":null,"reason":"missing_here","refund_no":"","state":"open","their_state":"SUCCESS","theirs":"1.00","transaction_id":"=1+1"}
    differences: {"currency":"HKD","day":"2026-11-20","detail":"","difference":2,"found":"new","item":null,"kind":"payment","line":3,"order_no":"<script>alert(1)</script>","our_state":null,"ours":null,"owner":null,"reason":"missing_here","refund_no":"","state":"open","their_state":"SUCCESS\"><b>","theirs":"2.00","transaction_id":"@SUM(A1)"}
    differences: {"currency":"JPY","day":"2026-11-20","detail":"","difference":3,"found":"new","item":2,"kind":"payment","line":null,"order_no":"M-1","our_state":"succeeded","ours":"300","owner":null,"reason":"missing_there","refund_no":"","state":"open","their_state":"","theirs":null,"transaction_id":"T-own:M-1"}
    differences_cut: false
    earlier_differences_cut: false
    from: "2026-11-20"
    reasons: {"amount":0,"currency":0,"duplicate_line":0,"fee":0,"missing_here":2,"missing_there":1,"others":0,"refund_of_another_system":0,"state":0,"summary":0,"timing":0}
    sums: {"HKD":{"fees":{"count":1,"sum":"0.10"},"net":{"count":0,"sum":"0.00"},"payments":{"of_others":{"count":0,"sum":"0.00"},"ours":{"count":2,"sum":"19.50"},"theirs":{"count":4,"sum":"22.50"}},"refunds":{"of_others":{"count":0,"sum":"0.00"},"ours":{"count":0,"sum":"0.00"},"theirs":{"count":0,"sum":"0.00"}}},"JPY":{"fees":{"count":0,"sum":"0"},"net":{"count":0,"sum":"0"},"payments":{"of_others":{"count":0,"sum":"0"},"ours":{"count":1,"sum":"300"},"theirs":{"count":0,"sum":"0"}},"refunds":{"of_others":{"count":0,"sum":"0"},"ours":{"count":0,"sum":"0"},"theirs":{"count":0,"sum":"0"}}}}
    to: "2026-11-20"
    verdict: "different"
    "###);
}

#[tokio::test]
async fn the_page_shows_the_same_totals_and_escapes_what_others_wrote() {
    let world = world().await;
    let page = world.file(DAY, DAY, "html");
    for dangerous in ["<script", "<b>\"", "SUCCESS\"", "alert(1)</"] {
        assert!(!page.contains(dangerous), "{dangerous}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    let zone = world.engine.config.timezone.name();
    assert!(page.contains(&format!(" ({zone})</p>")), "{zone}: {page}");
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="));
    let report = world.report(DAY, DAY);
    let sums = &report["sums"];
    let rows = rows_of(&page, "totals");
    for (currency, place) in [("HKD", 0), ("JPY", 1)] {
        let sides = [
            ("payments", "ours"),
            ("payments", "theirs"),
            ("refunds", "ours"),
            ("refunds", "theirs"),
        ];
        let expected = sides.map(|(kind, side)| {
            let sum = &sums[currency][kind][side];
            let told = format!("{}{}×", sum["sum"].as_str().unwrap(), sum["count"]);
            if sum["count"] == 0 {
                "–".to_owned()
            } else {
                told
            }
        });
        assert_eq!(rows[place][..2], ["all days", currency]);
        assert_eq!(rows[place][2..6], expected, "{rows:?}");
        let alone = ["fees", "net"].map(|name| {
            if sums[currency][name]["count"] == 0 {
                "–"
            } else {
                "0.10"
            }
        });
        assert_eq!(rows[place][6..], alone);
    }
    assert_eq!(
        rows_of(&page, "differences").len(),
        report["differences"].as_array().unwrap().len()
    );
    assert_eq!(rows_of(&page, "closed"), [["3", "unknown", DAY, "4"]]);
}

#[tokio::test]
async fn every_reconciliation_of_the_same_days_keeps_its_report() {
    let world = world().await;
    let first = world.reports();
    let before: Vec<String> = ["csv", "json", "html"]
        .map(|end| world.file(DAY, DAY, end))
        .into();
    world.reconcile(DAY, DAY, "0.5").await;
    assert_ne!(world.file(DAY, DAY, "csv"), before[0]);
    let after = world.reports();
    assert_eq!((first.len(), after.len()), (3, 6), "{after:?}");
    assert!(first.iter().all(|name| after.contains(name)), "{after:?}");
    let folder = world.folder.path().join("files/reports/hk");
    let kept: Vec<String> = first
        .iter()
        .map(|name| std::fs::read_to_string(folder.join(name)).unwrap())
        .collect();
    assert!(kept.iter().all(|text| before.contains(text)), "{first:?}");
}

#[tokio::test]
async fn a_run_that_reconciles_the_same_days_twice_has_two_reports_and_the_same_findings_one() {
    let world = world().await;
    let about = ReportHeading {
        lane: "hk",
        from: DAY,
        to: DAY,
        run: 99,
        made_at: Timestamp::from_millis(0),
        zone: chrono_tz::Asia::Hong_Kong,
    };
    let mut found = Findings::default();
    let files = &world.engine.files;
    let first = report::write(files, &about, &found).await.unwrap();
    let again = report::write(files, &about, &found).await.unwrap();
    assert_eq!(first, again);
    found.counts.lines = 7;
    let second = report::write(files, &about, &found).await.unwrap();
    for (one, other, end) in [
        (&first.html, &second.html, "html"),
        (&first.csv, &second.csv, "csv"),
        (&first.json, &second.json, "json"),
    ] {
        assert!(one.ends_with(&format!("-run-99.{end}")), "{one}");
        assert!(other.ends_with(&format!("-run-99-2.{end}")), "{other}");
    }
    assert_eq!(report::write(files, &about, &found).await.unwrap(), second);
}

/// The cells of a table's body, tags left out.
fn rows_of(page: &str, id: &str) -> Vec<Vec<String>> {
    let table = page.split(&format!("<table id=\"{id}\">")).nth(1).unwrap();
    let body = table
        .split("<tbody>")
        .nth(1)
        .unwrap()
        .split("</tbody>")
        .next()
        .unwrap();
    let cells = |row: &str| {
        row.split("<td")
            .skip(1)
            .map(|cell| text(&format!("<td{cell}")))
            .collect()
    };
    body.split("<tr").skip(1).map(cells).collect()
}

fn text(html: &str) -> String {
    let mut inside = false;
    let visible = html.chars().filter(|c| {
        let tag = inside || *c == '<';
        inside = tag && *c != '>';
        !tag
    });
    visible.collect::<String>().trim().to_owned()
}

#[test]
fn what_is_too_much_to_list_is_counted_and_told() {
    let mut found = Findings::default();
    let listed = u64::try_from(LISTED_MAX).unwrap();
    for line in 1..=listed + 4 {
        found.differs(Difference {
            reason: if line > listed + 2 {
                DifferenceReason::State
            } else {
                DifferenceReason::MissingHere
            },
            day: DAY.to_owned(),
            kind: LineKind::Payment,
            order_no: format!("S-{line}"),
            refund_no: String::new(),
            transaction_id: String::new(),
            ours: None,
            theirs: None,
            our_state: None,
            their_state: String::new(),
            item: None,
            line: Some(line),
            total: None,
            detail: String::new(),
        });
    }
    found.sort();
    found.kept = (1..)
        .take(found.differences.len())
        .map(|id| KeptDifference {
            id,
            state: DifferenceState::Open,
            owner: None,
            is_new: true,
        })
        .collect();
    let about = ReportHeading {
        lane: "hk",
        from: DAY,
        to: DAY,
        run: 1,
        made_at: Timestamp::from_millis(0),
        zone: chrono_tz::Asia::Hong_Kong,
    };
    let [table, json, page] = report::texts(&about, &found, "kept.csv");
    assert!(
        table
            .lines()
            .last()
            .unwrap()
            .contains("2 more differences are counted and not listed")
    );
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (
            report["differences"].as_array().unwrap().len(),
            &report["differences_cut"]
        ),
        (10_000, &true.into())
    );
    assert_eq!(
        (
            &report["reasons"]["state"],
            report["differences"][0]["reason"].as_str()
        ),
        (&2.into(), Some("state"))
    );
    assert_eq!(rows_of(&page, "differences").len(), 1000);
    assert!(page.contains("the rest stands in <code>kept.csv</code>"));
}
