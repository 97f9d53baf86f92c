//! The reports that a page links: of a run, and of the reconciliations that its items made.

use super::session::Viewer;
use crate::config::REPORTS;
use crate::domain::item::State;
use crate::errors::chain;
use crate::http::App;
use crate::ledger::{ItemRow, JobRow, LedgerError};
use crate::report::stored_reports::{self, ReportScope};

/// The facts of a reconciliation that say where its report is.
const PLACES: [&str; 3] = ["report_html", "report_csv", "report_json"];

/// The kind of the jobs whose items make reports.
const RECONCILE: &str = "reconcile";

/// Of how many items of a job the reports are linked.
const ITEMS: u32 = 20;

/// A report that is kept.
pub(super) struct LinkedReport {
    /// What it is called: of a reconciliation with its account.
    pub name: String,
    /// Its files: the format, and the path.
    pub files: Vec<(&'static str, String)>,
}

/// Whether a fact only says where a report is.
pub(super) fn is_place(fact: &str) -> bool {
    PLACES.contains(&fact)
}

/// The reports of a run: its own, and those of its reconciliations.
pub(super) async fn of_run(
    app: &App,
    viewer: &Viewer,
    (run, jobs): (i64, &[JobRow]),
) -> Result<Vec<LinkedReport>, LedgerError> {
    let mut scopes = vec![ReportScope::Run(run)];
    for job in jobs.iter().filter(|job| job.kind == RECONCILE) {
        let ledger = &app.engine().ledger;
        let items = ledger.items_of_job(job.id, &State::ALL, 0, ITEMS).await?;
        for item in &items {
            scopes.extend(named_by(item)?);
        }
    }
    scopes.dedup();
    Ok(linked(app, viewer, scopes).await)
}

/// The report that an item made.
pub(super) async fn of_item(
    app: &App,
    viewer: &Viewer,
    item: &ItemRow,
) -> Result<Vec<LinkedReport>, LedgerError> {
    let scopes = named_by(item)?.into_iter().collect();
    Ok(linked(app, viewer, scopes).await)
}

/// The report that the result of an item names by a place in the store.
fn named_by(item: &ItemRow) -> Result<Option<ReportScope>, LedgerError> {
    let facts = item.facts()?.unwrap_or_default();
    let place = PLACES.iter().find_map(|name| facts.get(*name)?.as_str());
    Ok(place.and_then(scope_of))
}

/// The report of a file, wherever the store of its time was.
fn scope_of(place: &str) -> Option<ReportScope> {
    let (_, file) = place.rsplit_once("/reports/")?;
    let (name, _) = file.rsplit_once('.')?;
    ReportScope::parse(name)
}

/// Those that are there. A store that cannot be read keeps nobody from the rest of a page.
async fn linked(app: &App, viewer: &Viewer, scopes: Vec<ReportScope>) -> Vec<LinkedReport> {
    let mut reports = Vec::new();
    for scope in scopes {
        let name = scope.name();
        let files = match stored_reports::files_of(&app.engine().files, &scope).await {
            Ok(files) => files,
            Err(error) => {
                tracing::warn!(error = chain(&error), "reports cannot be linked");
                return reports;
            }
        };
        let path = |format| (format, format!("{}{REPORTS}/{name}.{format}", viewer.base));
        if !files.is_empty() {
            let name = name.strip_prefix("runs/").unwrap_or(&name).to_owned();
            reports.push(LinkedReport {
                files: files.iter().map(|(format, _)| path(*format)).collect(),
                name,
            });
        }
    }
    reports
}

#[cfg(test)]
mod tests {
    use super::scope_of;

    #[test]
    fn a_place_names_a_report_only_by_a_name_of_the_list() {
        let name = |place: &str| scope_of(place).map(|scope| scope.name());
        assert_eq!(
            name("/srv/reports/old/reports/hk/reconcile-2026-11-01-2026-11-30-run-7.html")
                .as_deref(),
            Some("hk/reconcile-2026-11-01-2026-11-30-run-7")
        );
        assert_eq!(
            name("s3://b/p/reports/runs/run-7.xlsx").as_deref(),
            Some("runs/run-7")
        );
        for other in [
            "/reports/../etc/passwd.html",
            "reports/hk/a.html",
            "/reports/hk",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
