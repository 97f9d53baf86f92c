//! Judgements by tables of one or two rows: what each part of a row, of a reply and of what is
//! expected does by itself. What the built-in tables make of replies is tested in [`super`].

use payrun_domain::money::Currency;
use payrun_gateway::NoConnection;
use serde_json::json;

use super::*;

/// A row that takes every reply.
fn row(meaning: OutcomeMeaning) -> OutcomeRow {
    OutcomeRow {
        http: None,
        code: None,
        state: None,
        fact: None,
        when: None,
        unless_refunded: false,
        after: None,
        exists: false,
        wait: None,
        day_over_for: None,
        meaning,
        lane: LaneEffect::None,
        explain: false,
        contract: None,
        request_fault: false,
        advice: None,
        source: String::new(),
    }
}

const HARD: OutcomeMeaning = OutcomeMeaning::Declined(DeclineClass::Hard, NumberRule::Same);

fn declined(code: &str, class: DeclineClass) -> Answer {
    Answer::Declined(Decline {
        code: code.to_owned(),
        class,
        number: NumberRule::Same,
    })
}

fn unknown(cause: Cause, code: &str) -> Answer {
    Answer::Unknown {
        cause,
        code: code.to_owned(),
    }
}

fn not_processed(code: &str, after: Option<u64>) -> Answer {
    Answer::NotProcessed {
        code: code.to_owned(),
        after,
    }
}

fn receipt(text: &str) -> Answer {
    Answer::Done(Receipt(text.to_owned()))
}

fn reply(http: u16, code: Option<&str>) -> Observation {
    Observation {
        http: Some(http),
        code: code.map(str::to_owned),
        ..Observation::of(Delivery::Replied)
    }
}

fn ours() -> ExpectedReply {
    ExpectedReply {
        order_no: Some(OrderNumber::parse("ours-1").unwrap()),
        ..ExpectedReply::default()
    }
}

/// Of a submission of an effect.
fn submitted(rows: &[OutcomeRow], seen: &Observation) -> Judgement {
    judge(rows, false, true, seen, &ours())
}

#[test]
fn who_is_refused_as_such_sends_nothing_more_and_only_a_query_leaves_its_order_open() {
    for (is_query, effect, code, answer) in [
        (
            false,
            true,
            None,
            declined("credentials_refused", DeclineClass::Config),
        ),
        (
            false,
            true,
            Some("1001"),
            declined("1001", DeclineClass::Config),
        ),
        (
            true,
            true,
            None,
            unknown(Cause::NotAsked, "credentials_refused"),
        ),
        (true, true, Some("1001"), unknown(Cause::NotAsked, "1001")),
        (
            false,
            false,
            Some("1001"),
            declined("1001", DeclineClass::Config),
        ),
    ] {
        let mut seen = Observation::of(Delivery::Refused("our key".to_owned()));
        seen.code = code.map(str::to_owned);
        let judged = judge(&[], is_query, effect, &seen, &ours());
        assert_eq!(judged.answer, answer);
        assert_eq!(judged.lane, LaneEffect::Stop);
        assert_eq!(judged.code, code.unwrap_or("credentials_refused"));
        assert!(judged.listed, "there is nothing to list");
    }
}

#[test]
fn what_was_not_sent_may_be_sent_again_and_a_query_that_was_not_sent_says_nothing() {
    let text = String::new;
    for (delivery, submitted, looked_up) in [
        (
            Delivery::NotSent(text()),
            not_processed("not_sent", None),
            not_processed("not_sent", None),
        ),
        (
            Delivery::Unreachable(NoConnection::Refused, text()),
            not_processed("unreachable", None),
            not_processed("unreachable", None),
        ),
        (Delivery::Unsendable(text()), unsendable(), unsendable()),
        (
            Delivery::NoKeys(text()),
            unknown(Cause::Unverified, ""),
            not_processed("unverified", None),
        ),
    ] {
        let seen = Observation::of(delivery.clone());
        let of = |is_query, effect| judge(&[], is_query, effect, &seen, &ours()).answer;
        assert_eq!(of(false, true), submitted, "{delivery:?}");
        assert_eq!(of(false, false), looked_up, "{delivery:?}");
        let queried = if matches!(delivery, Delivery::NoKeys(_)) {
            unknown(Cause::Unverified, "")
        } else {
            unknown(Cause::NotAsked, "")
        };
        assert_eq!(of(true, true), queried, "{delivery:?}");
    }
}

#[test]
fn of_an_unsigned_reply_only_the_refusal_of_our_side_is_believed() {
    let stops = OutcomeRow {
        code: Some("SIGN_ERROR".to_owned()),
        lane: LaneEffect::Stop,
        ..row(HARD)
    };
    let suspends = OutcomeRow {
        code: Some("NO_FUNDS".to_owned()),
        lane: LaneEffect::Suspend,
        ..row(HARD)
    };
    let stops_without_a_code = OutcomeRow {
        http: Some(HttpMatch::Status(402)),
        lane: LaneEffect::Stop,
        ..row(HARD)
    };
    let rows = [
        suspends,
        stops,
        stops_without_a_code,
        row(OutcomeMeaning::Accepted),
    ];
    for (http, code, lane, told) in [
        (401, Some("SIGN_ERROR"), LaneEffect::Stop, "SIGN_ERROR"),
        (403, Some("NO_FUNDS"), LaneEffect::None, ""),
        (402, None, LaneEffect::None, ""),
        (402, Some("OTHER"), LaneEffect::None, ""),
        (200, None, LaneEffect::None, ""),
    ] {
        let mut seen = reply(http, code);
        seen.delivery = Delivery::Unverified(String::new());
        let judged = submitted(&rows, &seen);
        assert_eq!(
            (judged.answer, judged.lane),
            (unknown(Cause::Unverified, told), lane),
            "{http} {code:?}"
        );
    }
}

#[test]
fn a_reply_that_no_row_takes_is_unmapped_unless_http_says_more() {
    let unmapped = |code| unknown(Cause::Unmapped, code);
    let (stop, go) = (LaneEffect::Stop, LaneEffect::None);
    for (http, code, names, answer, lane, listed) in [
        (202, None, None, Answer::Accepted, go, true),
        (
            202,
            Some("TAKEN"),
            Some("ours-1"),
            Answer::Accepted,
            go,
            true,
        ),
        (202, None, Some("other"), unmapped("HTTP_202"), go, false),
        (200, Some("NEW"), None, unmapped("NEW"), go, false),
        (401, Some("NEW"), None, unmapped("NEW"), stop, false),
        (403, None, None, unmapped("HTTP_403"), stop, false),
        (403, Some("NEW"), None, unmapped("NEW"), go, false),
        (404, None, None, unmapped("HTTP_404"), go, false),
    ] {
        let mut seen = reply(http, code);
        seen.order_no = names.map(str::to_owned);
        let judged = submitted(&[], &seen);
        let told = format!("{http} {code:?} {names:?}");
        assert_eq!((judged.answer, judged.lane), (answer, lane), "{told}");
        assert_eq!(judged.listed, listed, "{told}");
        let http_code = format!("HTTP_{http}");
        assert_eq!(judged.code, code.unwrap_or(&http_code), "{told}");
    }
    let taken = reply(202, None);
    for (is_query, effect, answer) in [
        (true, true, unmapped("HTTP_202")),
        (false, false, not_processed("HTTP_202", None)),
    ] {
        assert_eq!(judge(&[], is_query, effect, &taken, &ours()).answer, answer);
    }
}

#[test]
fn what_a_row_says_beside_a_decline_counts_only_where_the_decline_is_believed() {
    let telling = |meaning| OutcomeRow {
        explain: true,
        contract: Some(ContractSignal::Ended),
        request_fault: true,
        advice: Some("mend it".to_owned()),
        lane: LaneEffect::Suspend,
        exists: true,
        source: "[C] a guess".to_owned(),
        ..row(meaning)
    };
    let config = OutcomeMeaning::Declined(DeclineClass::Config, NumberRule::Same);
    let hard = || declined("X", DeclineClass::Hard);
    let doubted = || unknown(Cause::Ambiguous, "X");
    // What is seen beside the contract follows a decline alone.
    for (meaning, unsigned, effect, answer, decline, contract) in [
        (HARD, json!(false), true, hard(), true, true),
        (HARD, json!(true), true, doubted(), false, false),
        (HARD, json!(true), false, hard(), true, true),
        (
            config,
            json!(true),
            true,
            declined("X", DeclineClass::Config),
            true,
            true,
        ),
        (
            OutcomeMeaning::Done,
            json!(true),
            true,
            receipt("R1"),
            false,
            true,
        ),
        (
            OutcomeMeaning::Accepted,
            json!(true),
            true,
            Answer::Accepted,
            false,
            false,
        ),
    ] {
        let mut seen = reply(400, Some("X"));
        seen.order_no = Some("ours-1".to_owned());
        seen.receipt = Some("R1".to_owned());
        seen.message = Some("no such field".to_owned());
        seen.result.insert("unsigned".to_owned(), unsigned);
        let judged = judge(&[telling(meaning)], false, effect, &seen, &ours());
        let expected = Judgement {
            answer,
            lane: LaneEffect::Suspend,
            explain: decline,
            contract: contract.then_some(ContractSignal::Ended),
            held_by: None,
            advice: decline.then(|| "mend it".to_owned()),
            message: Some("no such field".to_owned()),
            request_fault: decline,
            code: "X".to_owned(),
            exists: true,
            listed: true,
            assumed: Some("[C] a guess".to_owned()),
        };
        assert_eq!(judged, expected);
        let silent = judge(&[row(meaning)], false, effect, &seen, &ours());
        let expected = Judgement {
            answer: expected.answer,
            message: expected.message,
            code: expected.code,
            ..Judgement::plain(Answer::Absent)
        };
        assert_eq!(silent, expected);
    }
}

/// A reply that says done, and what is expected of it beside our number and 1.00 HKD.
struct Case {
    effect: bool,
    named: bool,
    may_lack: bool,
    receipt: Option<&'static str>,
    order_no: Option<&'static str>,
    amount: Option<Result<i64, ()>>,
}

#[test]
fn done_needs_our_number_our_amount_and_a_receipt() {
    let hkd = |minor| Amount::from_minor(minor, Currency::parse("HKD").unwrap()).unwrap();
    let mismatch = || unknown(Cause::Mismatch, "");
    let case = |effect| Case {
        effect,
        named: false,
        may_lack: false,
        receipt: Some("R1"),
        order_no: Some("ours-1"),
        amount: Some(Ok(100)),
    };
    let refused = || declined("mismatch", DeclineClass::Hard);
    for (index, (given, expected)) in [
        (case(true), receipt("R1")),
        (
            Case {
                receipt: None,
                ..case(true)
            },
            mismatch(),
        ),
        (
            Case {
                receipt: None,
                named: true,
                ..case(true)
            },
            receipt("ours-1"),
        ),
        (
            Case {
                named: true,
                ..case(true)
            },
            receipt("R1"),
        ),
        (
            Case {
                order_no: None,
                ..case(true)
            },
            mismatch(),
        ),
        (
            Case {
                order_no: Some("other"),
                ..case(true)
            },
            mismatch(),
        ),
        (
            Case {
                amount: Some(Ok(101)),
                ..case(true)
            },
            mismatch(),
        ),
        (
            Case {
                amount: Some(Err(())),
                ..case(true)
            },
            mismatch(),
        ),
        (
            Case {
                amount: None,
                ..case(true)
            },
            mismatch(),
        ),
        (
            Case {
                amount: None,
                may_lack: true,
                ..case(true)
            },
            receipt("R1"),
        ),
        (
            Case {
                amount: Some(Ok(101)),
                may_lack: true,
                ..case(true)
            },
            mismatch(),
        ),
        (case(false), receipt("R1")),
        (
            Case {
                receipt: None,
                ..case(false)
            },
            receipt("ours-1"),
        ),
        (
            Case {
                receipt: None,
                named: true,
                ..case(false)
            },
            receipt("ours-1"),
        ),
        (
            Case {
                amount: None,
                ..case(false)
            },
            receipt("R1"),
        ),
        (
            Case {
                amount: Some(Ok(101)),
                ..case(false)
            },
            refused(),
        ),
        (
            Case {
                order_no: None,
                ..case(false)
            },
            refused(),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut seen = reply(200, None);
        seen.receipt = given.receipt.map(str::to_owned);
        seen.order_no = given.order_no.map(str::to_owned);
        seen.amount = given
            .amount
            .map(|amount| amount.map(hkd).map_err(|()| "x".to_owned()));
        let expected_reply = ExpectedReply {
            amount: Some(hkd(100)),
            amount_may_lack: given.may_lack,
            named: given.named,
            ..ours()
        };
        let rows = [row(OutcomeMeaning::Done)];
        let judged = judge(&rows, false, given.effect, &seen, &expected_reply);
        assert_eq!(judged.answer, expected, "case {index}");
    }
    let nothing = submitted(&[row(OutcomeMeaning::Nothing)], &reply(200, None));
    assert_eq!(nothing.answer, receipt(NOTHING));
}

#[test]
fn a_row_takes_the_replies_that_fit_all_it_names() {
    let text = |text: &str| Some(text.to_owned());
    let any = || row(OutcomeMeaning::Absent);
    let rows = [
        OutcomeRow {
            http: Some(HttpMatch::Status(404)),
            ..any()
        },
        OutcomeRow {
            http: Some(HttpMatch::Class(5)),
            ..any()
        },
        OutcomeRow {
            code: text("GONE"),
            ..any()
        },
        OutcomeRow {
            code: text("none"),
            ..any()
        },
        OutcomeRow {
            state: text("CLOSED"),
            ..any()
        },
        OutcomeRow {
            fact: Some(("kind".to_owned(), "late".to_owned())),
            ..any()
        },
        OutcomeRow {
            code: text("GONE"),
            state: text("CLOSED"),
            ..any()
        },
    ];
    let with_state = |mut seen: Observation, state: &str| {
        seen.state = text(state);
        seen
    };
    let with_kind = |mut seen: Observation, kind: Value| {
        seen.result.insert("kind".to_owned(), kind);
        seen
    };
    for (seen, fitting) in [
        (Observation::of(Delivery::Replied), "none"),
        (reply(404, Some("X")), "404"),
        (reply(403, Some("X")), ""),
        (reply(500, Some("X")), "5xx"),
        (reply(599, Some("X")), "5xx"),
        (reply(499, Some("X")), ""),
        (reply(200, Some("GONE")), "GONE"),
        (reply(200, None), "none"),
        (reply(200, Some("none")), "none"),
        (with_state(reply(200, Some("X")), "CLOSED"), "CLOSED"),
        (with_state(reply(200, Some("X")), "OPEN"), ""),
        (
            with_state(reply(200, Some("GONE")), "CLOSED"),
            "GONE CLOSED GONE+CLOSED",
        ),
        (with_kind(reply(200, Some("X")), json!("late")), "late"),
        (with_kind(reply(200, Some("X")), json!("early")), ""),
        (with_kind(reply(200, Some("X")), json!(true)), ""),
    ] {
        let names = [
            "404",
            "5xx",
            "GONE",
            "none",
            "CLOSED",
            "late",
            "GONE+CLOSED",
        ];
        let fit = rows.iter().zip(names).filter(|(row, _)| {
            let judged = submitted(std::slice::from_ref(row), &seen);
            judged.answer == Answer::Absent
        });
        let fit: Vec<&str> = fit.map(|(_, name)| name).collect();
        assert_eq!(fit.join(" "), fitting, "{seen:?}");
    }
}

#[test]
fn a_row_counts_only_under_its_conditions() {
    let any = || row(OutcomeMeaning::Absent);
    let hour = Duration::from_secs(3_600);
    let over = |day_over| ExpectedReply { day_over, ..ours() };
    let of_type = |kind: Value| ExpectedReply {
        input: Map::from_iter([("type".to_owned(), kind)]),
        ..ours()
    };
    let accepted = || ExpectedReply {
        accepted: true,
        ..ours()
    };
    let exists = || ExpectedReply {
        exists: true,
        ..ours()
    };
    let refunded = || ExpectedReply {
        refunded: true,
        ..ours()
    };
    let day_over = || OutcomeRow {
        day_over_for: Some(hour),
        ..any()
    };
    let after = |what| OutcomeRow {
        after: Some(what),
        ..any()
    };
    let when = || OutcomeRow {
        when: Some(("type".to_owned(), "day".to_owned())),
        ..any()
    };
    let unless_refunded = || OutcomeRow {
        unless_refunded: true,
        ..any()
    };
    for (index, (row, expected, counts)) in [
        (any(), ours(), true),
        (any(), refunded(), true),
        (day_over(), over(None), false),
        (
            day_over(),
            over(Some(hour - Duration::from_millis(1))),
            false,
        ),
        (day_over(), over(Some(hour)), true),
        (after(Prerequisite::Accepted), ours(), false),
        (after(Prerequisite::Accepted), exists(), false),
        (after(Prerequisite::Accepted), accepted(), true),
        (after(Prerequisite::Exists), ours(), false),
        (after(Prerequisite::Exists), accepted(), false),
        (after(Prerequisite::Exists), exists(), true),
        (when(), ours(), false),
        (when(), of_type(json!("night")), false),
        (when(), of_type(json!(1)), false),
        (when(), of_type(json!("day")), true),
        (unless_refunded(), ours(), true),
        (unless_refunded(), refunded(), false),
    ]
    .into_iter()
    .enumerate()
    {
        let judged = judge(&[row], true, true, &reply(404, None), &expected);
        assert_eq!(judged.answer == Answer::Absent, counts, "case {index}");
    }
}

#[test]
fn a_row_of_a_fact_tells_the_fact_as_its_code() {
    let rows = [OutcomeRow {
        fact: Some(("kind".to_owned(), "late".to_owned())),
        ..row(HARD)
    }];
    let mut seen = reply(200, Some("OK"));
    seen.result.insert("kind".to_owned(), json!("late"));
    let judged = submitted(&rows, &seen);
    assert_eq!(judged.answer, declined("kind late", DeclineClass::Hard));
    assert_eq!(judged.code, "kind late");
}

#[test]
fn the_code_is_the_gateways_or_the_state_or_the_status_and_is_cut_short() {
    let long = "É".repeat(65);
    for (http, code, state, expected) in [
        (Some(400), Some("X"), Some("CLOSED"), "X"),
        (Some(400), None, Some("CLOSED"), "CLOSED"),
        (Some(400), None, None, "HTTP_400"),
        (None, None, None, ""),
        (None, Some(long.as_str()), None, &long[..128]),
    ] {
        let mut seen = Observation::of(Delivery::Replied);
        (seen.http, seen.code) = (http, code.map(str::to_owned));
        seen.state = state.map(str::to_owned);
        let judged = submitted(&[row(HARD)], &seen);
        assert_eq!(judged.code, expected);
        assert_eq!(judged.answer, declined(expected, DeclineClass::Hard));
    }
}

#[test]
fn the_longer_wait_of_row_and_reply_counts_and_a_look_up_keeps_the_replys() {
    let seconds = |wait: Option<u64>| wait.map(Duration::from_secs);
    for (of_row, of_reply, submitted_after, looked_up_after) in [
        (None, None, None, None),
        (Some(5), None, Some(5_000), None),
        (None, Some(2), Some(2_000), Some(2_000)),
        (Some(5), Some(2), Some(5_000), Some(2_000)),
        (Some(5), Some(9), Some(9_000), Some(9_000)),
    ] {
        let mut seen = reply(429, Some("SLOW"));
        seen.retry_after = seconds(of_reply);
        let busy = OutcomeRow {
            wait: seconds(of_row),
            ..row(OutcomeMeaning::NotProcessed)
        };
        assert_eq!(
            submitted(&[busy], &seen).answer,
            not_processed("SLOW", submitted_after)
        );
        let unclear = row(OutcomeMeaning::Unknown(Cause::GatewayFailed));
        let looked_up = judge(&[unclear], false, false, &seen, &ours());
        assert_eq!(looked_up.answer, not_processed("SLOW", looked_up_after));
    }
}

#[test]
fn a_reply_about_another_order_says_nothing_of_ours() {
    let mut seen = reply(200, Some("X"));
    seen.order_no = Some("other".to_owned());
    for meaning in [
        OutcomeMeaning::Accepted,
        HARD,
        OutcomeMeaning::NotProcessed,
        OutcomeMeaning::Absent,
        OutcomeMeaning::Unknown(Cause::Ambiguous),
    ] {
        let judged = submitted(&[row(meaning)], &seen);
        assert_eq!(judged.answer, unknown(Cause::Mismatch, "X"), "{meaning:?}");
        let by_another_number = judge(
            &[row(meaning)],
            false,
            true,
            &seen,
            &ExpectedReply::default(),
        );
        assert_ne!(by_another_number.answer, judged.answer, "{meaning:?}");
    }
}
