//! The operators' dashboard: pages of the API's own functions, for people. Whatever a page does is
//! done by the function behind the API's path, with the same roles, audit entries and refusals.
//!
//! Every page works as plain links and forms. htmx renews what is live; no page needs it.

mod alerts;
mod approvals;
mod assets;
mod batch_decision;
mod batch_review;
mod bulk;
mod code_meaning;
mod command_line;
mod errors;
mod forms;
mod frame;
mod gateways;
mod item;
mod item_filter;
mod item_forms;
mod item_records;
mod item_timeline;
mod items;
mod moments;
mod page_fields;
mod refused_form;
mod run;
mod run_files;
mod run_pace;
mod run_progress;
mod run_reports;
mod run_stream;
mod runs;
mod search;
mod session;
mod settings;
mod sign_in;
mod state_sums;
mod sums;
mod today;
mod unknown;
mod upload;
mod upload_check;
mod upload_run;
mod visible_html;

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use tower_http::compression::CompressionLayer;
use tower_http::csrf::CsrfLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use super::App;
use crate::domain::role::Role;
pub(super) use errors::missing;
pub(super) use session::session_of_reading;

/// How long a page may look for what it shows.
const BUDGET: Duration = Duration::from_secs(2);

/// What a page may load and do: nothing but what we serve.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The pages of whoever is signed in.
fn pages() -> Router<App> {
    Router::new()
        .route("/", get(today::show))
        .route("/search", get(search::find))
        .route("/gateways", get(gateways::show))
        .route("/alerts", get(alerts::show))
        .route("/runs", get(runs::list))
        .route("/runs/{run}", get(run::show))
        .route("/approvals", get(approvals::list))
        .route("/approvals/{run}/{job}", get(batch_review::show))
        .route("/upload", get(upload::show))
        .route("/settings", get(settings::show))
        .route("/items", get(items::list))
        .route("/items/{item}", get(item::show))
        .route("/unknown", get(unknown::show))
        .route("/bulk/{bulk}", get(bulk::show))
        .route("/bulk/{bulk}/live", get(bulk::live))
}

/// What operators do on them.
fn operates() -> Router<App> {
    Router::new()
        .route("/items/{item}/cancel", post(item_forms::cancel))
        .route("/items/{item}/retry", post(item_forms::retry))
        .route("/items/{item}/resolve", post(item_forms::resolve))
        .route("/items/{item}/notes", post(item_forms::note))
        .route("/bulk", post(bulk::confirm))
        .route("/gateways/suspend", post(gateways::suspend))
        .route("/gateways/release", post(gateways::release))
        .route("/gateways/slow", post(gateways::slow))
        .route("/alerts/{incident}/mute", post(alerts::mute))
        .route("/alerts/test", post(alerts::test))
        .route("/alerts/resend", post(alerts::resend))
        .route("/upload/{file}/columns", post(upload_check::choose))
        .route("/upload/{file}/begin", post(upload_run::begin))
        .route("/runs/{run}/withdraw", post(upload_run::withdraw))
        .layer(from_fn_with_state(Role::Operator, session::require))
}

/// What operators see of files, for which there is no budget: all rows are looked at.
fn with_files() -> Router<App> {
    Router::new()
        .route("/upload/{file}", get(upload_check::show))
        .layer(from_fn_with_state(Role::Operator, session::require))
}

/// How everybody wants the pages.
fn settles() -> Router<App> {
    Router::new().route("/settings", post(settings::keep))
}

/// The files that operators send.
fn receives() -> Router<App> {
    Router::new()
        // Each is bounded as it comes.
        .route(
            "/upload",
            post(upload::receive).layer(DefaultBodyLimit::max(upload::FORM_MAX)),
        )
        .layer(from_fn_with_state(Role::Operator, session::require))
}

/// What approvers do.
fn for_approvers() -> Router<App> {
    Router::new()
        .route(
            "/approvals/{run}/{job}/approve",
            post(batch_decision::approve),
        )
        .route(
            "/approvals/{run}/{job}/reject",
            post(batch_decision::reject),
        )
        .layer(from_fn_with_state(Role::Approver, session::require))
}

/// What shows a form: what is refused of one comes back on its page.
fn with_forms() -> Router<App> {
    // To count many items takes longer than to look for one.
    let count = Router::new().route("/bulk", get(bulk::count_or_list));
    let pages = pages().layer(from_fn(errors::within_budget));
    pages.merge(with_files()).merge(count)
}

/// All of the dashboard.
pub(super) fn router(app: &App) -> Router<App> {
    let shown = with_forms().with_state(app.clone());
    let sent = operates()
        .merge(for_approvers())
        .merge(settles())
        .layer(from_fn_with_state(shown, refused_form::comes_back));
    let live = Router::new()
        .route("/runs/{run}/live", get(run_stream::live))
        .route("/approvals/{run}/{job}/check", get(batch_review::check_all))
        .merge(receives());
    let signed_in = with_forms()
        .merge(live)
        .merge(sent)
        .layer(from_fn_with_state(app.clone(), session::signed_in));
    let files = Router::new()
        .route("/assets/{name}", get(assets::file))
        .layer(from_fn_with_state(app.clone(), session::noted));
    Router::new()
        .route("/sign-in", get(sign_in::show).post(sign_in::enter))
        .route("/sign-out", post(sign_in::leave))
        .merge(signed_in)
        .method_not_allowed_fallback(errors::to_the_page_of_a_form)
        .layer(CsrfLayer::new())
        .merge(files)
        // Not what is sent bit by bit as it happens.
        .layer(CompressionLayer::new())
        .layer(header_layer(header::CONTENT_SECURITY_POLICY, POLICY))
        .layer(header_layer(header::REFERRER_POLICY, "same-origin"))
}

fn header_layer(
    name: header::HeaderName,
    value: &'static str,
) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}
