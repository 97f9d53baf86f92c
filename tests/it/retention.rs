//! `retention` in payrun.yaml and `payrun prune`, from outside.

use crate::support::{App, DATE, Setup, WORKFLOW, contracts};
use expect_test::expect;

/// A project whose processes have a clock that can be moved.
fn later(app: &App, days: u64, args: &[&str]) -> crate::support::ExitedProcess {
    app.write("clock", (days * 86_400_000).to_string());
    let mut command = app.command(args);
    command.env("PAYRUN_CLOCK", app.path("clock"));
    crate::support::Running::start(command).wait(crate::support::PATIENCE)
}

#[test]
fn spans_that_are_too_short_or_none_are_refused_at_their_place() {
    let app = App::of(Setup {
        contracts: contracts("C", 1),
        server: false,
        ..Setup::default()
    });
    for (retention, expected) in [
        ("{ operational: 3d }", "at least 7d"),
        ("{ evidence: 30d }", "at least 90d"),
        ("{ operational: forever }", "no span of days or years"),
        ("{ evidence: 10 years }", "no span of days or years"),
    ] {
        let yaml = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
        app.write("other.yaml", format!("{yaml}retention: {retention}\n"));
        app.payrun(&["--config", "other.yaml", "prune"])
            .exits(2)
            .says(expect!["other.yaml:20:"])
            .prints(expected);
    }
    app.run().exits(0);
}

#[test]
fn old_evidence_is_counted_and_pruned_and_the_key_is_known_for_ever() {
    let app = App::of(Setup {
        contracts: contracts("C", 12),
        server: false,
        ..Setup::default()
    });
    app.run().exits(0);
    later(&app, 400, &["prune"])
        .exits(0)
        .says(expect!["evidence is kept for ever"])
        .says(expect!["reports are kept for ever"]);
    let yaml = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    app.write(
        "payrun.yaml",
        format!("{yaml}retention: {{ operational: 7d, evidence: 1y, reports: 1y }}\n"),
    );
    app.write("files/uploads/old.csv", "contract_id\n");
    let (report, other) = (
        "files/reports/runs/run-1.html",
        "files/reports/runs/notes.html",
    );
    app.write(report, "<h1>Run 1</h1>");
    app.write(other, "nobody's report");
    later(&app, 300, &["prune", "--dry-run", "--json"])
        .exits(0)
        .says(expect!["\"items' evidence\": 0"])
        .says(expect!["\"files of reports\": 0"]);
    later(&app, 400, &["prune", "--dry-run", "--json"])
        .exits(0)
        .says(expect!["\"items' evidence\": 12"])
        .says(expect!["\"files of reports\": 1"]);
    assert!(app.path("files/uploads/old.csv").exists());
    later(&app, 400, &["prune"]).exits(0);
    assert!(!app.path("files/uploads/old.csv").exists());
    assert!(!app.path(report).exists() && app.path(other).exists());
    app.payrun(&["show"])
        .exits(0)
        .says(expect!["its evidence was kept until"]);
    for (item, events) in app.histories() {
        assert!(events.is_empty() && item.input == "{}" && item.receipt.is_some());
    }
    app.payrun(&["run", WORKFLOW, "--date", DATE]).exits(0);
    assert_eq!(app.charges(), 12, "nobody twice");
}
