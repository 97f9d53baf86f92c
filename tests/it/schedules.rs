//! Schedules that fire, as processes see them that share a ledger: time is whatever the test says,
//! processes die wherever they like.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use payrun::clock::Clock;
use payrun::config::{Config, Database, GatewayConfig, GatewayKind, Rate};
use payrun::domain::calendar::Calendar;
use payrun::domain::occurrence::OccurrenceState;
use payrun::domain::time::Timestamp;
use payrun::domain::timetable::NominalTime;
use payrun::engine::Engine;
use payrun::engine::planning::RunRequest;
use payrun::engine::schedule::{ManualFiring, ScheduleRound, SeenSchedules};
use payrun::file_store::Files;
use payrun::job_kinds::JobKinds;
use payrun::ledger::{ItemFilter, OccurrenceFilter, OperatorAction, PauseTarget};
use payrun::workflow::Workflow;
use payrun::workflow::load::parse;
use tempfile::TempDir;

use crate::ledger::{LedgerPlace, on_every_engine};
use crate::support::identity;

const DAILY: &str = "{ every: day, at: \"09:30\", timezone: Asia/Hong_Kong }";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// An instant, on the wall clock of Hong Kong.
fn at(text: &str) -> Timestamp {
    let with_offset = format!("{text}:00+08:00");
    Timestamp::from_millis(
        DateTime::parse_from_rfc3339(&with_offset)
            .unwrap()
            .timestamp_millis(),
    )
}

/// A process that keeps schedules.
#[derive(Clone)]
struct ScheduleProcess {
    engine: Engine,
    folder: Arc<TempDir>,
    seen: Arc<SeenSchedules>,
}

impl ScheduleProcess {
    async fn at(place: &LedgerPlace) -> Self {
        Self::with_calendars(place, []).await
    }

    async fn with_calendars<const N: usize>(place: &LedgerPlace, calendars: [Calendar; N]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hk = GatewayConfig {
            name: "hk".to_owned(),
            rate: Rate {
                calls: 100,
                per: Duration::from_secs(1),
            },
            concurrency: 1,
            timeout: Duration::from_secs(1),
            query_interval: Duration::from_secs(1),
            refund_interval: Duration::from_secs(1),
            funds_interval: Duration::from_secs(1),
            burst: 0,
            stop_after: payrun::config::StopAfter::default(),
            withdraw_at_once: false,
            customs: payrun::config::CustomsConfig::default(),
            ownership: None,
            kind: GatewayKind::Wechat(identity().wechat_config("http://127.0.0.1")),
        };
        let database = Database::Sqlite("unused".into());
        let config = Config {
            timezone: chrono_tz::Asia::Hong_Kong,
            calendars: calendars
                .into_iter()
                .map(|one| (one.name.clone(), Arc::new(one)))
                .collect(),
            gateways: BTreeMap::from([("hk".to_owned(), hk)]),
            ..Config::with_ledger(folder.path().to_owned(), database)
        };
        let engine = Engine::new(
            place.open().await,
            Arc::new(config),
            Arc::new(JobKinds::built_in()),
            BTreeMap::new(),
            Files::open("files", folder.path()).unwrap(),
            Clock::driven(at("2026-11-01T00:00")),
        );
        Self {
            engine,
            folder: Arc::new(folder),
            seen: Arc::default(),
        }
    }

    fn workflow(&self, schedule: &str) -> Arc<Workflow> {
        self.with_items(schedule, "{ days: 1 }", "{{ item.date }}")
    }

    fn with_items(&self, schedule: &str, items: &str, date: &str) -> Arc<Workflow> {
        let text = format!(
            "workflow: w\nschedule: {schedule}\njobs:\n  fetch:\n    uses: statement\n    gateway: hk\n    items: {items}\n    \
             with: {{ date: \"{date}\" }}\n"
        );
        let path = self.folder.path().join("w.yaml");
        Arc::new(
            parse(
                &text,
                Path::new(&path),
                &self.engine.job_kinds,
                &self.engine.config,
            )
            .unwrap(),
        )
    }

    async fn keep(&self, workflow: &Arc<Workflow>, now: Timestamp) -> ScheduleRound {
        self.engine
            .keep_schedules(
                std::slice::from_ref(workflow),
                &BTreeSet::new(),
                &self.seen,
                now,
            )
            .await
            .unwrap()
    }

    /// What became of the occurrences, oldest first: nominal time and state.
    async fn history(&self) -> Vec<(String, OccurrenceState)> {
        let rows = self
            .engine
            .ledger
            .occurrences(&OccurrenceFilter::default(), None, 100_000)
            .await
            .unwrap();
        rows.into_iter()
            .rev()
            .map(|row| (row.nominal, row.state))
            .collect()
    }

    /// How often each time has a run, by the runs themselves.
    async fn runs(&self) -> Vec<String> {
        let mut runs: Vec<String> = self
            .engine
            .ledger
            .runs(None, 100_000)
            .await
            .unwrap()
            .into_iter()
            .map(|run| run.occurrence)
            .collect();
        runs.sort();
        runs
    }

    /// Withdraws everything that is open, so that all runs end.
    async fn end_runs(&self, now: Timestamp) {
        for item in self
            .engine
            .ledger
            .items(&ItemFilter::default(), 0, 1000)
            .await
            .unwrap()
        {
            self.engine
                .ledger
                .apply_action(
                    item.id,
                    &OperatorAction::Cancel,
                    &crate::support::by("ann"),
                    now,
                )
                .await
                .unwrap();
        }
        self.engine.ledger.advance(now).await.unwrap();
        assert!(
            self.engine
                .ledger
                .unfinished_runs()
                .await
                .unwrap()
                .is_empty()
        );
    }
}

fn states(history: &[(String, OccurrenceState)]) -> Vec<(&str, OccurrenceState)> {
    history
        .iter()
        .map(|(nominal, state)| (nominal.as_str(), *state))
        .collect()
}

use OccurrenceState::{Failed, Fired, Missed, Queued, Skipped};

#[test]
fn a_time_fires_at_its_instant_and_its_run_is_of_its_date() {
    on_every_engine(|place| async move {
        let process = ScheduleProcess::at(&place).await;
        let daily = process.workflow(DAILY);
        let first = process.keep(&daily, at("2026-11-01T12:00")).await;
        assert_eq!(first.next, Some(at("2026-11-02T09:30")));
        assert!(first.decided.is_empty(), "what was before is none of its");
        let before = process.keep(&daily, at("2026-11-02T09:29")).await;
        assert!(before.decided.is_empty());
        let due = process.keep(&daily, at("2026-11-02T09:30")).await;
        assert_eq!(
            (due.that(Fired).count(), due.next),
            (1, Some(at("2026-11-03T09:30")))
        );
        assert_eq!(process.runs().await, ["2026-11-02T09:30"]);
        let items = process
            .engine
            .ledger
            .items(&ItemFilter::default(), 0, 10)
            .await
            .unwrap();
        assert_eq!(
            (items.len(), items[0].input.contains("2026-11-01")),
            (1, true),
            "the day before the run's: {items:?}"
        );
        assert!(
            process
                .keep(&daily, at("2026-11-02T09:31"))
                .await
                .decided
                .is_empty()
        );
    });
}

#[test]
fn what_fires_while_a_newer_file_has_mistakes_says_that_it_is_of_an_older_version() {
    on_every_engine(|place| async move {
        let process = ScheduleProcess::at(&place).await;
        let daily = process.workflow(DAILY);
        process.keep(&daily, at("2026-11-01T12:00")).await;
        let mistakes = BTreeMap::from([("w".to_owned(), "line 3: unknown key usess".to_owned())]);
        process.seen.set_newer_with_mistakes(mistakes);
        let fired = process.keep(&daily, at("2026-11-02T09:30")).await;
        let told = |round: &ScheduleRound| round.that(Fired).next().unwrap().reason.clone();
        assert!(
            told(&fired).is_some_and(|reason| reason.contains("unknown key usess")),
            "{fired:?}"
        );
        process.end_runs(at("2026-11-02T10:00")).await;
        process.seen.set_newer_with_mistakes(BTreeMap::new());
        let mended = process.keep(&daily, at("2026-11-03T09:30")).await;
        assert_eq!(told(&mended), None);
    });
}

async fn after_three_days_asleep(
    place: LedgerPlace,
    missed: &str,
) -> Vec<(String, OccurrenceState)> {
    let process = ScheduleProcess::at(&place).await;
    let daily = process.workflow(&DAILY.replace(" }", &format!(", missed: {missed} }}")));
    process.keep(&daily, at("2026-11-01T12:00")).await;
    process.keep(&daily, at("2026-11-02T09:30")).await;
    let woken = process.keep(&daily, at("2026-11-05T22:00")).await;
    assert_eq!(woken.next, Some(at("2026-11-06T09:30")));
    process.keep(&daily, at("2026-11-05T22:01")).await;
    let history = process.history().await;
    let fired: Vec<&String> = history
        .iter()
        .filter(|(_, state)| *state == Fired)
        .map(|(nominal, _)| nominal)
        .collect();
    assert_eq!(process.runs().await.iter().collect::<Vec<_>>(), fired);
    history
}

#[test]
fn a_laptop_that_slept_three_days_fires_none_or_the_latest_or_each() {
    let days = [
        "2026-11-02T09:30",
        "2026-11-03T09:30",
        "2026-11-04T09:30",
        "2026-11-05T09:30",
    ];
    for (missed, became) in [
        ("none", [Fired, Missed, Missed, Missed]),
        ("latest", [Fired, Missed, Missed, Fired]),
        ("each", [Fired, Fired, Fired, Fired]),
    ] {
        on_every_engine(|place| async move {
            let expected: Vec<_> = days.into_iter().zip(became).collect();
            assert_eq!(
                states(&after_three_days_asleep(place, missed).await),
                expected,
                "{missed}"
            );
        });
    }
}

#[test]
fn forty_days_of_minutes_asleep_are_told_within_bounds() {
    on_every_engine(|place| async move {
        let process = ScheduleProcess::at(&place).await;
        let minutely = process.workflow("{ cron: \"* * * * *\", timezone: Asia/Hong_Kong }");
        process.keep(&minutely, at("2026-11-01T12:00")).await;
        let kept = process.keep(&minutely, at("2026-12-11T12:00")).await;
        assert_eq!(kept.that(Fired).count(), 1);
        let history = process.history().await;
        assert_eq!(history.len(), 1001);
        assert!(
            history
                .iter()
                .all(|(_, state)| matches!(state, Fired | Missed))
        );
        let shared = process
            .engine
            .ledger
            .occurrence("w", &history[0].0)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            shared.reason.unwrap(),
            "missed, with 56599 before it: too many to be noted one by one"
        );
    });
}

#[test]
fn many_processes_at_once_fire_each_time_once() {
    on_every_engine(|place| async move {
        let begin = at("2026-11-01T12:00");
        let mut keepers = Vec::new();
        for _ in 0..4 {
            keepers.push(ScheduleProcess::at(&place).await);
        }
        let work = |process: ScheduleProcess| async move {
            let minutely = process.workflow("{ cron: \"* * * * *\", timezone: Asia/Hong_Kong }");
            for minute in 0..20 {
                process.keep(&minutely, begin.plus(MINUTE * minute)).await;
            }
        };
        // The first look begins the schedule.
        keepers[0]
            .keep(
                &keepers[0].workflow("{ cron: \"* * * * *\", timezone: Asia/Hong_Kong }"),
                begin,
            )
            .await;
        let tasks: Vec<_> = keepers
            .iter()
            .cloned()
            .map(|process| tokio::spawn(work(process)))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let history = keepers[0].history().await;
        assert_eq!(history.len(), 19);
        assert!(
            history.iter().all(|(_, state)| *state == Fired),
            "{history:?}"
        );
        let runs = keepers[0].runs().await;
        assert_eq!(runs.len(), 19);
        assert_eq!(runs.iter().collect::<BTreeSet<_>>().len(), 19);
    });
}

#[test]
fn processes_that_die_anywhere_lose_nothing_and_double_nothing() {
    on_every_engine(|place| async move {
        let process = ScheduleProcess::at(&place).await;
        let minutely =
            process.workflow("{ cron: \"* * * * *\", timezone: Asia/Hong_Kong, missed: each }");
        let begin = at("2026-11-01T12:00");
        process.keep(&minutely, begin).await;
        let mut died = 0;
        for step in 1..=60 {
            let now = begin.plus(MINUTE * step);
            let dying = tokio::time::timeout(
                Duration::from_micros(150 * u64::from(step)),
                process.keep(&minutely, now),
            );
            died += u32::from(dying.await.is_err());
        }
        assert!(died > 10, "only {died} died");
        process.keep(&minutely, begin.plus(MINUTE * 60)).await;
        let history = process.history().await;
        assert_eq!(history.len(), 60);
        assert!(
            history.iter().all(|(_, state)| *state == Fired),
            "{history:?}"
        );
        let runs = process.runs().await;
        assert_eq!(
            (runs.len(), runs.iter().collect::<BTreeSet<_>>().len()),
            (60, 60)
        );
    });
}

#[test]
fn a_run_that_was_planned_by_one_who_died_is_found_also_where_late_ones_do_not_fire() {
    on_every_engine(|place| async move {
        let process = ScheduleProcess::at(&place).await;
        let daily = process.workflow(&DAILY.replace(" }", ", missed: none }"));
        process.keep(&daily, at("2026-11-01T12:00")).await;
        let nominal = "2026-11-02T09:30";
        let request = RunRequest::scheduled(
            Arc::clone(&daily),
            nominal.to_owned(),
            (at(nominal), chrono_tz::Asia::Hong_Kong),
            crate::support::by("ann").actor,
        )
        .unwrap();
        let planned = process
            .engine
            .plan(&request, &Arc::default())
            .await
            .unwrap();
        let kept = process.keep(&daily, at("2026-11-04T09:29")).await;
        assert_eq!(
            kept.that(Fired).map(|row| row.run_id).collect::<Vec<_>>(),
            [Some(planned.run_id)]
        );
        assert_eq!(
            states(&process.history().await),
            [("2026-11-02T09:30", Fired), ("2026-11-03T09:30", Missed)]
        );
        assert_eq!(process.runs().await.len(), 1);
    });
}

#[test]
fn a_clock_that_jumps_forward_and_back_fires_nothing_twice_and_loses_nothing() {
    on_every_engine(|place| async move {
        let process = ScheduleProcess::at(&place).await;
        let daily = process.workflow(DAILY);
        let begin = at("2026-11-01T12:00");
        process.keep(&daily, begin).await;
        process.keep(&daily, begin.plus(DAY * 10)).await;
        assert_eq!(
            process.runs().await,
            ["2026-11-11T09:30"],
            "the jump forward looks like a long sleep"
        );
        let back = process.keep(&daily, begin.plus(HOUR)).await;
        assert_eq!(back.next, Some(at("2026-11-02T09:30")));
        for hour in 2..24 * 14 {
            process.keep(&daily, begin.plus(HOUR * hour)).await;
        }
        let runs = process.runs().await;
        let days: Vec<String> = (2..=15)
            .map(|day| format!("2026-11-{day:02}T09:30"))
            .collect();
        assert_eq!(runs, days, "each day once");
        // Back to before it began, and on again: nothing is new.
        process.keep(&daily, begin.minus(DAY * 365)).await;
        process.keep(&daily, begin.minus(DAY * 300)).await;
        process.keep(&daily, begin.plus(HOUR * (24 * 14 - 1))).await;
        assert_eq!(process.runs().await, days);
        assert!(
            process
                .history()
                .await
                .iter()
                .all(|(_, state)| *state == Fired)
        );
    });
}

#[test]
fn what_comes_while_a_workflow_is_paused_is_missed_and_a_file_that_pauses_it_begins_anew() {
    on_every_engine(|place| async move {
        let process = ScheduleProcess::at(&place).await;
        let daily = process.workflow(DAILY);
        process.keep(&daily, at("2026-11-01T12:00")).await;
        let paused = BTreeSet::from(["w".to_owned()]);
        for day in 2..=4 {
            let now = at(&format!("2026-11-0{day}T09:30"));
            let kept = process
                .engine
                .keep_schedules(std::slice::from_ref(&daily), &paused, &process.seen, now)
                .await
                .unwrap();
            assert_eq!((kept.decided.len(), kept.next), (0, None));
        }
        process.keep(&daily, at("2026-11-04T12:00")).await;
        let expected = [
            ("2026-11-02T09:30", Missed),
            ("2026-11-03T09:30", Missed),
            ("2026-11-04T09:30", Fired),
        ];
        assert_eq!(states(&process.history().await), expected);
        let off = process.workflow(&DAILY.replace(" }", ", paused: true }"));
        let kept = process.keep(&off, at("2026-11-04T13:00")).await;
        assert_eq!(kept.next, None);
        process.keep(&off, at("2026-11-06T13:00")).await;
        process.keep(&daily, at("2026-11-06T14:00")).await;
        process.keep(&daily, at("2026-11-06T15:00")).await;
        assert_eq!(
            process.history().await.len(),
            3,
            "nothing of the pause counts"
        );
        assert_eq!(
            process
                .keep(&daily, at("2026-11-07T09:30"))
                .await
                .that(Fired)
                .count(),
            1
        );
    });
}

#[test]
fn with_missed_none_nothing_fires_of_a_pause_however_short_it_was() {
    on_every_engine(|place| async move {
        let process = ScheduleProcess::at(&place).await;
        let daily = process.workflow(&DAILY.replace(" }", ", missed: none }"));
        process.keep(&daily, at("2026-11-01T12:00")).await;
        let (scope, ann, ledger) = (
            PauseTarget::Workflow("w".to_owned()),
            crate::support::by("ann"),
            &process.engine.ledger,
        );
        assert!(
            ledger
                .pause(&scope, &ann, at("2026-11-02T09:29"))
                .await
                .unwrap()
        );
        // Whether or not a process looked meanwhile.
        assert!(
            ledger
                .resume(&scope, &ann, at("2026-11-02T09:31"))
                .await
                .unwrap()
        );
        process.keep(&daily, at("2026-11-02T09:32")).await;
        let history = process.history().await;
        assert_eq!(states(&history), [("2026-11-02T09:30", Missed)]);
        let rows = ledger
            .occurrences(&OccurrenceFilter::default(), None, 10)
            .await
            .unwrap();
        assert_eq!(
            rows[0].reason.as_deref(),
            Some("it was paused by ann: a test")
        );
        process.keep(&daily, at("2026-11-03T09:30")).await;
        assert_eq!(process.runs().await, ["2026-11-03T09:30"]);
    });
}

#[test]
fn an_interval_fires_through_the_hour_that_comes_twice_and_not_in_the_one_that_is_left_out() {
    on_every_engine(|place| async move {
        let process = ScheduleProcess::at(&place).await;
        let utc = |text: &str| {
            Timestamp::from_millis(
                DateTime::parse_from_rfc3339(text)
                    .unwrap()
                    .timestamp_millis(),
            )
        };
        let polling = process.workflow("{ cron: \"*/20 * * * *\", timezone: Europe/Berlin }");
        for (begin, minutes, expected) in [
            (
                "2026-03-29T00:30:00Z",
                60,
                &["2026-03-29T01:40", "2026-03-29T03:00", "2026-03-29T03:20"][..],
            ),
            (
                "2026-10-25T00:30:00Z",
                70,
                &[
                    "2026-10-25T02:40",
                    "2026-10-25T02:00+01:00",
                    "2026-10-25T02:20+01:00",
                    "2026-10-25T02:40+01:00",
                ][..],
            ),
        ] {
            let before = process.runs().await.len();
            process.keep(&polling, utc(begin)).await;
            let late = process.runs().await.len() - before;
            for minute in 1..=minutes {
                let kept = process
                    .keep(&polling, utc(begin).plus(MINUTE * minute))
                    .await;
                assert!(kept.decided.len() <= 1, "{:?}", kept.decided);
            }
            let history = process.history().await;
            let fired: Vec<&str> = history
                .iter()
                .map(|(nominal, _)| nominal.as_str())
                .collect();
            assert_eq!(fired[fired.len() - expected.len()..], *expected);
            assert_eq!(process.runs().await.len() - before - late, expected.len());
        }
    });
}

#[test]
fn fixed_times_that_fall_into_one_gap_of_the_clock_begin_one_run() {
    on_every_engine(|place| async move {
        let process = ScheduleProcess::at(&place).await;
        let utc = |text: &str| {
            Timestamp::from_millis(
                DateTime::parse_from_rfc3339(text)
                    .unwrap()
                    .timestamp_millis(),
            )
        };
        let quarters =
            process.workflow("{ cron: \"*/15 1 * * *\", timezone: Europe/London, missed: each }");
        let begin = utc("2026-03-29T00:30:00Z");
        for minute in 0..=60 {
            process.keep(&quarters, begin.plus(MINUTE * minute)).await;
        }
        assert_eq!(process.runs().await, ["2026-03-29T01:00"]);
        // On a day without a gap each is a run of its own.
        for minute in 0..=60 {
            process
                .keep(&quarters, utc("2026-03-30T00:00:00Z").plus(MINUTE * minute))
                .await;
        }
        assert_eq!(process.runs().await.len(), 5);
    });
}

#[test]
fn of_two_processes_with_different_rules_the_later_file_counts_and_no_time_of_it_is_lost() {
    on_every_engine(|place| async move {
        let old = ScheduleProcess::at(&place).await;
        let new = ScheduleProcess {
            seen: Arc::default(),
            ..old.clone()
        };
        let daily = old.workflow(DAILY);
        assert!(
            old.keep(&daily, at("2026-11-01T09:00"))
                .await
                .elsewhere
                .is_empty()
        );
        // Taken up in the moment in which both name a time, and before the other has looked.
        let moved = old.workflow("{ cron: \"30 9,10 * * *\", timezone: Asia/Hong_Kong }");
        let moment = at("2026-11-01T09:30").plus(Duration::from_secs(1));
        assert_eq!(new.keep(&moved, moment).await.decided.len(), 1);
        for minute in 0..120 {
            let now = at("2026-11-01T09:31").plus(MINUTE * minute);
            assert_eq!(old.keep(&daily, now).await.elsewhere, ["w"]);
            assert!(new.keep(&moved, now).await.elsewhere.is_empty());
        }
        assert_eq!(new.runs().await, ["2026-11-01T09:30", "2026-11-01T10:30"]);
        // What is taken up anew counts, here and there.
        assert!(
            old.keep(&old.workflow(DAILY), at("2026-11-02T09:00"))
                .await
                .elsewhere
                .is_empty()
        );
        assert_eq!(
            new.keep(&moved, at("2026-11-02T09:00")).await.elsewhere,
            ["w"]
        );
        assert!(
            new.keep(&new.workflow(DAILY), at("2026-11-02T09:30"))
                .await
                .elsewhere
                .is_empty()
        );
        assert_eq!(new.runs().await.len(), 3);
    });
}

#[test]
fn a_changed_rule_begins_now_and_a_changed_calendar_loses_nothing() {
    on_every_engine(|place| async move {
        let mut hk = Calendar::new("hk");
        hk.holidays
            .insert("2026-11-04".parse().unwrap(), "a holiday".to_owned());
        let process = ScheduleProcess::with_calendars(&place, [hk]).await;
        let with = |time: &str| {
            DAILY
                .replace("09:30", time)
                .replace(" }", ", calendars: [hk] }")
        };
        let early = process.workflow(&with("09:30"));
        process.keep(&early, at("2026-11-03T08:00")).await;
        let late = process.workflow(&with("07:30"));
        process.keep(&late, at("2026-11-03T09:45")).await;
        assert_eq!(
            process.keep(&late, at("2026-11-03T10:00")).await.next,
            Some(at("2026-11-05T07:30"))
        );
        assert!(
            process.history().await.is_empty(),
            "neither rule's time of today counts"
        );
        // On the 4th the holiday turns out to be none: its time, which had moved to the 5th, is
        // over.
        let corrected = ScheduleProcess::with_calendars(&place, [Calendar::new("hk")]).await;
        let workflow = corrected.workflow(&with("07:30"));
        corrected.keep(&workflow, at("2026-11-04T12:00")).await;
        assert_eq!(
            states(&corrected.history().await),
            [("2026-11-04T07:30", Fired)]
        );
        corrected.keep(&workflow, at("2026-11-05T07:30")).await;
        assert_eq!(
            corrected.runs().await,
            ["2026-11-04T07:30", "2026-11-05T07:30"]
        );
    });
}

#[test]
fn a_calendar_moves_a_month_end_and_its_run_stays_of_its_month() {
    on_every_engine(|place| async move {
        let process = ScheduleProcess::with_calendars(&place, [Calendar::new("hk")]).await;
        let schedule =
            "{ every: month, on: 31, at: \"09:30\", timezone: Asia/Hong_Kong, calendars: [hk] }";
        let monthly = process.workflow(schedule);
        assert_eq!(
            process.keep(&monthly, at("2026-10-30T12:00")).await.next,
            Some(at("2026-11-02T09:30"))
        );
        let kept = process.keep(&monthly, at("2026-11-02T09:30")).await;
        let fired: Vec<_> = kept
            .that(Fired)
            .map(|row| (row.nominal.as_str(), row.reason.as_deref()))
            .collect();
        assert_eq!(
            fired,
            [(
                "2026-10-31T09:30",
                Some("moved from 2026-10-31 (hk: Saturday)")
            )]
        );
        let items = process
            .engine
            .ledger
            .items(&ItemFilter::default(), 0, 10)
            .await
            .unwrap();
        assert!(
            items[0].input.contains("2026-10-30"),
            "the day before the 31st: {items:?}"
        );
        let skipping = process.workflow(
            &schedule
                .replace("[hk]", "[hk], roll: skip")
                .replace("on: 31", "on: 7"),
        );
        process.keep(&skipping, at("2026-11-06T00:00")).await;
        let kept = process.keep(&skipping, at("2026-11-07T09:30")).await;
        assert_eq!(
            (kept.decided.len(), kept.next),
            (0, Some(at("2026-12-07T09:30")))
        );
        let row = process
            .engine
            .ledger
            .occurrence("w", "2026-11-07T09:30")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (row.state, row.reason.as_deref()),
            (
                Skipped,
                Some("2026-11-07 is no business day (hk: Saturday)")
            )
        );
    });
}

async fn beside_an_earlier_run(
    place: &LedgerPlace,
    overlap: &str,
) -> (ScheduleProcess, Arc<Workflow>) {
    let process = ScheduleProcess::at(place).await;
    let daily = process.workflow(&DAILY.replace(" }", &format!(", overlap: {overlap} }}")));
    process.keep(&daily, at("2026-11-01T12:00")).await;
    for day in 2..=4 {
        process
            .keep(&daily, at(&format!("2026-11-0{day}T09:30")))
            .await;
    }
    (process, daily)
}

#[test]
fn beside_a_run_that_has_not_ended_a_time_fires_is_skipped_or_waits() {
    on_every_engine(|place| async move {
        let (process, _) = beside_an_earlier_run(&place, "allow").await;
        assert_eq!(process.runs().await.len(), 3);
    });
    on_every_engine(|place| async move {
        let (process, daily) = beside_an_earlier_run(&place, "skip").await;
        let expected = [
            ("2026-11-02T09:30", Fired),
            ("2026-11-03T09:30", Skipped),
            ("2026-11-04T09:30", Skipped),
        ];
        assert_eq!(states(&process.history().await), expected);
        process.end_runs(at("2026-11-04T10:00")).await;
        assert_eq!(
            process
                .keep(&daily, at("2026-11-05T09:30"))
                .await
                .that(Fired)
                .count(),
            1
        );
    });
    on_every_engine(|place| async move {
        let (process, daily) = beside_an_earlier_run(&place, "queue").await;
        let expected = [
            ("2026-11-02T09:30", Fired),
            ("2026-11-03T09:30", Queued),
            ("2026-11-04T09:30", Queued),
        ];
        assert_eq!(states(&process.history().await), expected);
        let now = at("2026-11-04T10:00");
        let waiting = process.keep(&daily, now).await;
        assert_eq!(
            waiting.next,
            Some(now.plus(Duration::from_secs(1))),
            "it looks again soon"
        );
        process.end_runs(now).await;
        process.keep(&daily, now).await;
        let expected = [
            ("2026-11-02T09:30", Fired),
            ("2026-11-03T09:30", Fired),
            ("2026-11-04T09:30", Queued),
        ];
        assert_eq!(
            states(&process.history().await),
            expected,
            "one after the other"
        );
        process.end_runs(now).await;
        process.keep(&daily, now).await;
        assert_eq!(process.runs().await.len(), 3);
    });
}

#[test]
fn what_cannot_be_planned_has_failed_with_its_reason_and_can_be_fired_by_hand() {
    on_every_engine(|place| async move {
        let process = ScheduleProcess::at(&place).await;
        let daily = process.with_items(DAILY, "{ file: days.csv }", "{{ item.day }}");
        process.keep(&daily, at("2026-11-01T12:00")).await;
        let now = at("2026-11-02T09:30");
        let kept = process.keep(&daily, now).await;
        let failed: Vec<_> = kept.that(Failed).collect();
        assert!(
            failed[0].reason.as_ref().unwrap().contains("days.csv"),
            "{failed:?}"
        );
        assert!(
            process
                .keep(&daily, now.plus(HOUR))
                .await
                .decided
                .is_empty(),
            "it is not tried again and again"
        );
        std::fs::write(process.folder.path().join("days.csv"), "day\n2026-11-01\n").unwrap();
        let nominal = NominalTime::parse("2026-11-02T09:30").unwrap();
        let fired = process
            .engine
            .fire_manually(
                &daily,
                nominal,
                &crate::support::by("ann").actor,
                now.plus(HOUR),
            )
            .await
            .unwrap();
        assert!(matches!(fired, ManualFiring::Fired(_)), "{fired:?}");
        let again = process
            .engine
            .fire_manually(
                &daily,
                nominal,
                &crate::support::by("ann").actor,
                now.plus(HOUR),
            )
            .await
            .unwrap();
        assert!(matches!(again, ManualFiring::HasRun(_)), "{again:?}");
        assert_eq!(process.runs().await, ["2026-11-02T09:30"]);
        for (time, expected) in [
            ("2026-11-02T09:31", "names no time"),
            ("2026-11-03T09:30", "is not due before"),
        ] {
            let refused = process
                .engine
                .fire_manually(
                    &daily,
                    NominalTime::parse(time).unwrap(),
                    &crate::support::by("ann").actor,
                    now.plus(HOUR),
                )
                .await;
            assert!(refused.unwrap_err().to_string().contains(expected));
        }
    });
}

#[test]
fn a_time_before_the_schedule_was_seen_fires_only_by_hand_and_then_never_by_itself() {
    on_every_engine(|place| async move {
        let process = ScheduleProcess::at(&place).await;
        let daily = process.workflow(DAILY);
        let now = at("2026-11-02T08:00");
        let nominal = NominalTime::parse("2026-11-01T09:30").unwrap();
        process
            .engine
            .fire_manually(&daily, nominal, &crate::support::by("ann").actor, now)
            .await
            .unwrap();
        process.keep(&daily, now).await;
        process.keep(&daily, at("2026-11-02T09:30")).await;
        assert_eq!(
            process.runs().await,
            ["2026-11-01T09:30", "2026-11-02T09:30"]
        );
    });
}
