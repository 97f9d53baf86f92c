use chrono::{Datelike, NaiveDate};
use proptest::prelude::*;

use super::*;
use crate::money::Currency;

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn hkd(minor: i64) -> Amount {
    Amount::from_minor(minor, Currency::parse("HKD").unwrap()).unwrap()
}

fn terms(every: &str, anchor: &str, start: &str, end: Option<&str>) -> BillingTerms {
    let every = BillingInterval::parse(every).unwrap();
    BillingTerms::new(
        every,
        Anchor::parse(anchor, every).unwrap(),
        day(start),
        end.map(day),
        14,
    )
    .unwrap()
}

/// A run for today.
fn on(text: &str) -> RunDays {
    RunDays {
        on: day(text),
        today: day(text),
    }
}

fn names(terms: &BillingTerms, from: &str, how_many: usize) -> Vec<String> {
    terms
        .dues(day(from))
        .take(how_many)
        .map(|due| format!("{} {due}", terms.period(due).name))
        .collect()
}

fn contract(terms: BillingTerms) -> Subscription {
    let prices = PriceList::of(hkd(3_800), terms.start());
    Subscription {
        terms,
        prices,
        standing: ContractStanding::Active,
        description: String::new(),
    }
}

#[test]
fn the_31st_is_the_last_day_of_a_shorter_month_and_comes_back() {
    let monthly = terms("month", "31", "2027-12-31", None);
    let expected = [
        "2027-12 2027-12-31",
        "2028-01 2028-01-31",
        "2028-02 2028-02-29",
        "2028-03 2028-03-31",
        "2028-04 2028-04-30",
    ];
    assert_eq!(names(&monthly, "2000-01-01", 5), expected);
    assert_eq!(
        names(&terms("year", "29", "2028-02-29", None), "2028-02-29", 3),
        [
            "2028-02 2028-02-29",
            "2029-02 2029-02-28",
            "2030-02 2030-02-28"
        ]
    );
    assert_eq!(
        names(
            &terms("3 months", "30", "2026-11-30", None),
            "2027-01-01",
            2
        ),
        ["2027-02 2027-02-28", "2027-05 2027-05-30"]
    );
}

#[test]
fn the_first_period_is_the_first_anchor_day_from_the_start_on() {
    assert_eq!(
        names(&terms("month", "5", "2026-03-06", None), "2026-01-01", 1),
        ["2026-04 2026-04-05"]
    );
    assert_eq!(
        names(&terms("month", "5", "2026-03-05", None), "2026-01-01", 1),
        ["2026-03 2026-03-05"]
    );
    assert_eq!(
        names(
            &terms("2 weeks", "mon", "2026-03-03", None),
            "2026-03-20",
            2
        ),
        ["2026-03-23 2026-03-23", "2026-04-06 2026-04-06"]
    );
}

#[test]
fn nothing_falls_due_after_the_end_and_the_last_day_counts() {
    let ending = terms("month", "10", "2026-01-01", Some("2026-03-10"));
    assert_eq!(names(&ending, "2026-01-01", 9).len(), 3);
    assert_eq!(names(&ending, "2026-03-11", 9).len(), 0);
}

#[test]
fn wrong_terms_are_refused() {
    let parse = |text, every| Anchor::parse(text, every).map_err(|error| error.to_string());
    assert_eq!(
        parse("32", BillingInterval::Month).unwrap_err(),
        "anchor_day \"32\" is not a day of the month, 1 to 31"
    );
    assert!(
        parse("1", BillingInterval::Week)
            .unwrap_err()
            .contains("mon, tue")
    );
    let anchor = Anchor::of(day("2026-01-01"), BillingInterval::Month);
    let made = |start, end, within| {
        BillingTerms::new(BillingInterval::Month, anchor, day(start), end, within)
            .map_err(|e| e.to_string())
    };
    assert!(
        made("2026-01-02", Some(day("2026-01-01")), 0)
            .unwrap_err()
            .contains("before it starts")
    );
    assert!(
        made("2026-01-02", None, 367)
            .unwrap_err()
            .contains("0 to 366")
    );
    assert!(
        made("1999-12-31", None, 0)
            .unwrap_err()
            .contains("too far away")
    );
}

#[test]
fn an_anchor_is_the_same_in_files_and_in_the_ledger() {
    let (week, month) = (BillingInterval::TwoWeeks, BillingInterval::Month);
    for (text, every, number) in [
        ("mon", week, 1),
        ("tue", week, 2),
        ("wed", week, 3),
        ("thu", week, 4),
        ("fri", week, 5),
        ("sat", week, 6),
        ("sun", week, 7),
        ("1", month, 1),
        ("7", month, 7),
        ("31", month, 31),
    ] {
        let anchor = Anchor::parse(text, every).unwrap();
        assert_eq!(anchor.number(), number, "{text}");
        assert_eq!(Anchor::from_number(number.into(), every), Some(anchor));
        assert_eq!(anchor.text(every), text);
    }
    for (number, every) in [(0, week), (8, week), (0, month), (32, month), (257, month)] {
        assert_eq!(Anchor::from_number(number, every), None, "{number}");
    }
}

#[test]
fn terms_keep_what_they_were_made_of_and_may_end_on_another_day() {
    let open = terms("month", "10", "2026-01-01", None);
    let ending = open.until(Some(day("2026-02-10")));
    assert_eq!((open.end(), ending.end()), (None, Some(day("2026-02-10"))));
    assert_eq!(
        names(&ending, "2026-01-01", 9),
        ["2026-01 2026-01-10", "2026-02 2026-02-10"]
    );
    assert_eq!(ending.until(None), open);
    assert!(names(&open.until(Some(day("2025-12-31"))), "2020-01-01", 9).is_empty());
    for days in [0, 14, 366] {
        let made = BillingTerms::new(open.every(), open.anchor(), open.start(), None, days);
        assert_eq!(made.unwrap().pay_within(), days);
    }
}

#[test]
fn a_price_holds_for_periods_due_from_its_day_on() {
    let prices = PriceList::of(hkd(100), day("2026-01-01"))
        .from_day(day("2026-03-01"), hkd(200))
        .unwrap();
    let on = |text| prices.on(day(text)).minor();
    assert_eq!(
        (on("2026-02-28"), on("2026-03-01"), on("2030-01-01")),
        (100, 200, 200)
    );
    let again = prices.from_day(day("2026-02-01"), hkd(300)).unwrap();
    assert_eq!(
        (again.on(day("2026-02-01")), again.on(day("2026-03-01"))),
        (hkd(300), hkd(300))
    );
    let yen = Amount::from_minor(1, Currency::parse("JPY").unwrap()).unwrap();
    assert!(prices.from_day(day("2026-03-01"), yen).is_err());
}

#[test]
fn a_price_from_a_day_replaces_those_from_that_day_on_and_no_earlier_one() {
    let steps = |told: &[(&str, i64)]| -> Vec<(NaiveDate, Amount)> {
        told.iter()
            .map(|(since, minor)| (day(since), hkd(*minor)))
            .collect()
    };
    let all = steps(&[
        ("2026-01-01", 100),
        ("2026-03-01", 200),
        ("2026-05-01", 300),
    ]);
    let prices = PriceList::from_steps(all.clone()).unwrap();
    assert_eq!(prices.steps().collect::<Vec<_>>(), all);
    assert_eq!(PriceList::from_steps([]), None);
    for (from, expected) in [
        ("2025-12-31", &[("2026-01-01", 400)][..]),
        ("2026-01-01", &[("2026-01-01", 400)]),
        ("2026-03-01", &[("2026-01-01", 100), ("2026-03-01", 400)]),
        (
            "2026-04-01",
            &[
                ("2026-01-01", 100),
                ("2026-03-01", 200),
                ("2026-04-01", 400),
            ],
        ),
        (
            "2026-06-01",
            &[
                ("2026-01-01", 100),
                ("2026-03-01", 200),
                ("2026-05-01", 300),
                ("2026-06-01", 400),
            ],
        ),
    ] {
        let changed = prices.from_day(day(from), hkd(400)).unwrap();
        assert_eq!(
            changed.steps().collect::<Vec<_>>(),
            steps(expected),
            "{from}"
        );
    }
    for (from, minor, is_so) in [
        ("2026-05-01", 300, true),
        ("2027-01-01", 300, true),
        ("2027-01-01", 200, false),
        ("2026-03-01", 200, false),
        ("2026-04-30", 200, false),
    ] {
        assert_eq!(
            prices.is_from(day(from), hkd(minor)),
            is_so,
            "{from} {minor}"
        );
    }
}

#[test]
fn a_contract_may_have_had_200_prices_and_no_more() {
    let days = day("2026-01-01").iter_days();
    let all: Vec<_> = days.zip((1..=201).map(hkd)).collect();
    let prices = PriceList::from_steps(all[..199].to_vec()).unwrap();
    let full = prices.from_day(all[199].0, all[199].1).unwrap();
    assert_eq!(full.steps().count(), 200);
    assert_eq!(
        full.from_day(all[200].0, all[200].1),
        Err(PricesError::TooMany)
    );
    assert!(
        full.from_day(all[199].0, hkd(7)).is_ok(),
        "in place of the last"
    );
}

#[test]
fn a_row_without_a_day_leaves_a_rise_that_is_noted_for_later() {
    let ours = contract(terms("month", "5", "2026-01-01", None));
    let offer = |minor, from: Option<&str>| ContractOffer {
        terms: ours.terms,
        amount: hkd(minor),
        amount_from: from.map(day),
        description: String::new(),
    };
    let today = day("2026-02-10");
    let risen = ours
        .revised(&offer(4_200, Some("2026-06-01")), today, true)
        .unwrap()
        .unwrap();
    assert_eq!(
        risen.revised(&offer(4_200, Some("2026-06-01")), today, true),
        Ok(None),
        "the same again"
    );
    assert_eq!(
        risen.revised(&offer(3_800, None), today, true),
        Ok(None),
        "what it costs today"
    );
    let now = risen
        .revised(&offer(4_000, None), today, true)
        .unwrap()
        .unwrap();
    assert_eq!(
        (now.prices.on(today), now.prices.on(day("2026-02-09"))),
        (hkd(4_000), hkd(3_800))
    );
    let other = ContractOffer {
        terms: terms("month", "6", "2026-01-01", None),
        ..offer(3_800, None)
    };
    assert_eq!(ours.revised(&other, today, true), Err(RevisionError::Days));
    assert!(ours.revised(&other, today, false).unwrap().is_some());
    let (ended, _) = ours
        .ended(day("2026-01-01"), today, "moved out", &BTreeSet::new())
        .unwrap();
    assert_eq!(ended.revised(&offer(3_800, None), today, true), Ok(None));
    assert!(matches!(
        ended.revised(&offer(1, None), today, true),
        Err(RevisionError::Ended { .. })
    ));
}

#[test]
fn a_row_changes_days_and_first_price_of_a_contract_only_before_its_first_period() {
    let ours = contract(terms("month", "5", "2026-01-01", None));
    let offer = |anchor, from: Option<&str>| ContractOffer {
        terms: terms("month", anchor, "2026-01-01", None),
        amount: hkd(4_200),
        amount_from: from.map(day),
        description: String::new(),
    };
    // Whether a period was accounted for, the day, and what it costs before and after.
    for (begun, anchor, from, expected) in [
        (true, "5", Some("2026-06-01"), Ok((3_800, 4_200))),
        (false, "5", Some("2026-06-01"), Ok((3_800, 4_200))),
        (false, "6", Some("2026-06-01"), Ok((4_200, 4_200))),
        (true, "6", Some("2026-06-01"), Err(RevisionError::Days)),
        (false, "5", None, Ok((3_800, 4_200))),
        (false, "6", None, Ok((4_200, 4_200))),
    ] {
        let revised = ours.revised(&offer(anchor, from), day("2026-02-10"), begun);
        let cost = revised.map(|revised| {
            let prices = revised.unwrap().prices;
            let on = |text| prices.on(day(text)).minor();
            (on("2026-01-31"), on("2026-06-01"))
        });
        assert_eq!(cost, expected, "{begun} {anchor} {from:?}");
    }
}

#[test]
fn what_falls_into_a_suspension_is_waived_and_what_was_owed_before_is_not() {
    let ours = contract(terms("month", "5", "2026-01-01", None));
    let (none, start) = (BTreeSet::new(), day("2026-01-01"));
    let suspended = ours.suspended(day("2026-02-05"), "asked us to").unwrap();
    assert!(
        suspended
            .due(start, on("2026-12-31"), &none, &BTreeMap::new())
            .is_empty()
            && suspended.suspended(start, "again").is_none()
    );
    let (resumed, waived) = suspended.resumed(start, day("2026-04-05"), &none).unwrap();
    let told: Vec<_> = waived
        .iter()
        .map(|one| (one.period.name.as_str(), one.reason.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("2026-02", "suspended: asked us to"),
            ("2026-03", "suspended: asked us to")
        ]
    );
    let accounted = waived.iter().map(|one| one.period.name.clone()).collect();
    let due: Vec<_> = resumed
        .due(start, on("2026-04-05"), &accounted, &BTreeMap::new())
        .into_iter()
        .map(|due| (due.period.name, due.lapsed))
        .collect();
    assert_eq!(
        due,
        [("2026-01".to_owned(), true), ("2026-04".to_owned(), false)]
    );
    let (_, waived) = suspended
        .ended(start, day("2026-03-05"), "moved out", &none)
        .unwrap();
    let told: Vec<_> = waived.iter().map(|one| one.reason.as_str()).collect();
    assert_eq!(
        told,
        [
            "ended: moved out",
            "suspended: asked us to",
            "suspended: asked us to"
        ]
    );
}

#[test]
fn a_standing_has_its_word_its_reason_and_the_next_day_on_which_something_falls_due() {
    let active = contract(terms("month", "5", "2026-01-01", Some("2026-03-31")));
    let start = day("2026-01-01");
    let suspended = active.suspended(day("2026-02-01"), "asked us to").unwrap();
    let (ended, _) = active
        .ended(start, day("2026-02-10"), "moved out", &BTreeSet::new())
        .unwrap();
    for (contract, word, reason) in [
        (&active, "active", None),
        (&suspended, "suspended", Some("asked us to")),
        (&ended, "ended", Some("moved out")),
    ] {
        let standing = &contract.standing;
        assert_eq!((standing.as_str(), standing.reason()), (word, reason));
        assert!(ContractStanding::WORDS.contains(&word));
    }
    for (contract, open, accounted, next) in [
        (&active, "2026-01-01", &[][..], Some("2026-01-05")),
        (&active, "2026-01-06", &[], Some("2026-02-05")),
        (
            &active,
            "2026-01-01",
            &["2026-01", "2026-02"],
            Some("2026-03-05"),
        ),
        (&active, "2026-03-06", &[], None),
        (&suspended, "2026-01-01", &[], Some("2026-01-05")),
        (&ended, "2026-01-01", &[], None),
    ] {
        let accounted = accounted
            .iter()
            .map(|name: &&str| (*name).to_owned())
            .collect();
        let due = contract.next_due(day(open), &accounted);
        assert_eq!(due, next.map(day), "{open} {accounted:?}");
    }
}

#[test]
fn a_due_period_has_its_pay_by_day_or_the_one_until_which_it_was_reopened() {
    let ours = contract(terms("month", "5", "2026-01-01", None));
    let reopened = [("2026-01".to_owned(), day("2026-03-10"))].into();
    let due = ours.due(
        day("2026-01-01"),
        on("2026-02-28"),
        &BTreeSet::new(),
        &reopened,
    );
    let told: Vec<_> = due
        .iter()
        .map(|due| format!("{} {} {}", due.period.due, due.period.pay_by, due.lapsed))
        .collect();
    assert_eq!(
        told,
        ["2026-01-05 2026-03-10 false", "2026-02-05 2026-02-19 true"]
    );
}

#[test]
fn a_period_lapses_by_the_day_it_is_and_not_by_the_day_the_run_is_for() {
    let ours = contract(terms("month", "5", "2026-01-01", None));
    let lapsed = |run: RunDays, reopened: &[(&str, &str)]| {
        let reopened = reopened
            .iter()
            .map(|(name, until)| ((*name).to_owned(), day(until)))
            .collect();
        let due = ours.due(day("2026-01-01"), run, &BTreeSet::new(), &reopened);
        due.into_iter()
            .filter(|due| due.lapsed)
            .map(|due| due.period.name)
            .collect::<Vec<_>>()
    };
    let a_year_ahead = RunDays {
        on: day("2027-02-10"),
        today: day("2026-02-10"),
    };
    assert_eq!(
        lapsed(a_year_ahead, &[]),
        ["2026-01"],
        "as today's run would"
    );
    assert_eq!(
        lapsed(on("2026-03-10"), &[("2026-01", "2026-03-10")]),
        ["2026-02"]
    );
    assert_eq!(
        lapsed(on("2026-03-11"), &[("2026-01", "2026-03-10")]),
        ["2026-01", "2026-02"]
    );
    let made_late = RunDays {
        on: day("2026-01-19"),
        today: day("2026-03-11"),
    };
    assert!(
        lapsed(made_late, &[]).is_empty(),
        "a person has named a day on which it could be charged"
    );
}

#[test]
fn only_the_gateways_word_or_the_end_of_the_ladder_touches_the_contract() {
    let failed = |word, decline_count, steps| FailedItem {
        word,
        decline_count,
        steps,
        reason: "declined: X".to_owned(),
    };
    let said = |failed| match follow(&failed) {
        ContractFollowUp::Nothing => "nothing",
        ContractFollowUp::Suspend(_) => "suspend",
        ContractFollowUp::End(_) => "end",
    };
    assert_eq!(said(failed(None, 0, 0)), "nothing");
    assert_eq!(said(failed(None, 3, 3)), "nothing");
    assert_eq!(said(failed(None, 4, 3)), "suspend");
    assert_eq!(said(failed(None, 1, 0)), "suspend");
    assert_eq!(
        said(failed(Some(ContractSignal::Suspended), 0, 3)),
        "suspend"
    );
    assert_eq!(said(failed(Some(ContractSignal::Ended), 4, 3)), "end");
    for (word, signal) in [
        ("ended", Some(ContractSignal::Ended)),
        ("suspended", Some(ContractSignal::Suspended)),
        ("active", None),
    ] {
        assert_eq!(ContractSignal::parse(word), signal, "{word}");
        assert_eq!(signal.map_or("active", ContractSignal::as_str), word);
    }
}

/// Day by day, without any arithmetic of ours.
fn oracle(every: BillingInterval, anchor: Anchor, start: NaiveDate, days: usize) -> Vec<NaiveDate> {
    let last = |date: NaiveDate| {
        date.succ_opt()
            .is_none_or(|next| next.month() != date.month())
    };
    let number = u32::from(anchor.number());
    let fits = |date: &NaiveDate| match every {
        BillingInterval::Week | BillingInterval::TwoWeeks => {
            date.weekday().number_from_monday() == number
        }
        BillingInterval::Month
        | BillingInterval::TwoMonths
        | BillingInterval::ThreeMonths
        | BillingInterval::SixMonths
        | BillingInterval::Year => date.day() == number || (last(*date) && date.day() < number),
    };
    let each = match every {
        BillingInterval::Week | BillingInterval::Month => 1,
        BillingInterval::TwoWeeks | BillingInterval::TwoMonths => 2,
        BillingInterval::ThreeMonths => 3,
        BillingInterval::SixMonths => 6,
        BillingInterval::Year => 12,
    };
    start
        .iter_days()
        .take(days)
        .filter(fits)
        .step_by(each)
        .collect()
}

proptest! {
    #[test]
    fn due_dates_are_those_that_a_calendar_shows(
        every in proptest::sample::select(BillingInterval::ALL.to_vec()),
        anchor in 1_i64..=31,
        start in 0_u64..3_000,
        from in 0_u64..4_000,
    ) {
        let first = day("2023-01-01") + chrono::Days::new(start);
        let anchor = Anchor::from_number(anchor, every).unwrap_or(Anchor::of(first, every));
        let terms = BillingTerms::new(every, anchor, first, None, 0).unwrap();
        let from = day("2023-01-01") + chrono::Days::new(from);
        let until = first + chrono::Days::new(3_000);
        let ours: Vec<NaiveDate> = terms.dues(from).take_while(|due| *due < until).collect();
        let theirs: Vec<NaiveDate> = oracle(every, anchor, first, 3_000).into_iter().filter(|due| *due >= from).collect();
        prop_assert_eq!(&ours, &theirs);
        let names: BTreeSet<String> = ours.iter().map(|due| terms.period(*due).name).collect();
        prop_assert_eq!(names.len(), ours.len(), "no name stands for two periods");
    }
}
