//! Ctrl-C: the first sends nothing new and settles what is under way, the second ends at once.
//! Nothing is lost by either.

use expect_test::expect;
use std::time::Duration;

use payrun::domain::item::State;
use payrun::sandbox::faults::{Fault, FaultPlan};

use crate::support::{App, DATE, PATIENCE, Running, Setup, WORKFLOW, contracts, until};

/// Slow enough to be stopped in the middle: 300 contracts, 8 at once, 40 ms each.
fn slow(faults: FaultPlan) -> App {
    let latency = Duration::from_millis(40);
    App::of(Setup {
        faults,
        latency,
        concurrency: 8,
        contracts: contracts("C", 300),
        wire: true,
        ..Setup::default()
    })
}

/// Starts a run and waits until it is in the middle of charging.
fn in_the_middle(app: &App) -> Running {
    let running = app.start(&["run", WORKFLOW, "--date", DATE]);
    until("some contracts are charged", || app.wire().sent() > 30);
    running
}

fn states(app: &App) -> Vec<State> {
    app.histories()
        .into_iter()
        .map(|(item, _)| item.state)
        .collect()
}

#[test]
fn ctrl_c_settles_what_is_under_way_gives_the_rest_back_and_a_resume_finishes() {
    let app = slow(FaultPlan::NONE);
    let running = in_the_middle(&app);
    running.interrupt();
    let ended = running
        .wait(PATIENCE)
        .exits(4)
        .says(expect!["interrupted; what is open stays open"]);
    assert!(ended.took < Duration::from_secs(10), "{ended:?}");
    let states = states(&app);
    assert!(
        states
            .iter()
            .all(|state| matches!(state, State::Planned | State::Succeeded)),
        "{states:?}"
    );
    let charged = states
        .iter()
        .filter(|state| **state == State::Succeeded)
        .count() as u64;
    assert!((1..300).contains(&charged), "{charged}");
    assert_eq!(
        charged,
        app.charges(),
        "everything that was sent is settled"
    );
    app.assert_books_match();

    app.payrun(&["run", "--resume"]).exits(0);
    assert_eq!(app.charges(), 300);
    assert_eq!(
        app.wire().sent(),
        300,
        "nothing was sent that had been given back sent"
    );
}

#[test]
fn ctrl_c_while_the_gateway_is_silent_leaves_unknown_items_that_are_asked_about_later() {
    let app = slow(FaultPlan::only(Fault::SilentAfter));
    let running = app.start(&["run", WORKFLOW, "--date", DATE]);
    until("some contracts are sent", || app.wire().sent() >= 8);
    running.interrupt();
    running.wait(PATIENCE).exits(4);
    let states = states(&app);
    assert!(
        states.iter().all(|state| *state != State::Sending),
        "{states:?}"
    );
    assert!(states.contains(&State::Unknown), "{states:?}");
    // The rest would time out one by one: withdrawn, it need not be waited for.
    app.payrun(&[
        "cancel", "--run", "1", "--state", "planned", "--yes", "--reason", "a test",
    ])
    .exits(0);
    app.payrun(&["run", "--resume"]).exits(0);
    app.wire().assert_asked_before_sent_again();
}

#[test]
fn a_second_ctrl_c_ends_at_once_and_the_next_start_asks_before_it_sends() {
    let app = slow(FaultPlan::only(Fault::SilentBefore));
    let mut running = app.start(&["run", WORKFLOW, "--date", DATE]);
    until("some contracts are sent", || app.wire().sent() >= 8);
    running.interrupt();
    until("it says that it stops", || {
        running.stderr_so_far().contains("stopping:") || running.has_ended()
    });
    running.interrupt();
    let ended = running
        .wait(PATIENCE)
        .exits(4)
        .says(expect!["stopped at once"]);
    drop(ended);
    assert!(states(&app).contains(&State::Sending), "{:?}", states(&app));
    app.payrun(&[
        "cancel", "--run", "1", "--state", "planned", "--yes", "--reason", "a test",
    ])
    .exits(0);
    app.payrun(&["run", "--resume"]).exits(0).says(expect![
        "calls under way; they are queried before anything is sent"
    ]);
    app.wire().assert_asked_before_sent_again();
}
