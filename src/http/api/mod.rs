//! `/api/v1`: what people and programs may ask of the service. Every path is in the OpenAPI
//! document, which is made of the same declarations. Each group of paths is for one role.

pub(super) mod alerts;
pub(super) mod approvals;
mod audit;
pub(super) mod bulk;
mod bulk_actions;
mod contracts;
mod differences;
pub(in crate::http) mod exports;
pub(super) mod item_actions;
mod items;
pub(super) mod lanes;
mod notifications;
mod page;
pub(super) mod pauses;
pub(in crate::http) mod plan_preview;
mod query_check;
mod reports;
mod runs;
mod schedule;
mod search;
pub(in crate::http) mod start_run;
pub(in crate::http) mod uploads;
pub(in crate::http) mod withdraw_run;
mod workflows;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{App, auth};
use query_check::Parameters;

/// How many files may be on their way at once, and of one token: each is on disk until all of it is
/// there.
pub(super) const ARRIVING: usize = 32;
pub(super) const ARRIVING_OF_TOKEN: usize = 8;

/// How many files are looked at and kept at once; one of them is in memory as a whole.
pub(super) const UPLOADS: usize = 4;

/// How many streams of events may be open at once, and of one token.
pub(super) const STREAMS: usize = 100;
pub(super) const STREAMS_OF_TOKEN: usize = 10;

/// How many lists may be written into files at once, and for one token: each keeps a thread, and a
/// workbook a processor.
pub(super) const EXPORTS: usize = 4;
pub(super) const EXPORTS_OF_TOKEN: usize = 2;

/// The most rows of a page, and how many if nothing is said.
const PAGE_MAX: u32 = 500;
const PAGE: u32 = 50;

/// The frame of the document.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "payrun",
        description = "Recurring and batch payments: never twice, never lost, never guessed. Amounts are decimal text in the \
                       currency's own unit; instants are RFC 3339 in UTC. Lists go on from the last id of the page before."
    ),
    modifiers(&Bearer),
    security(("token" = []))
)]
struct Frame;

/// Every path wants a token.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", scheme);
        document.info.license = None;
    }
}

/// What any path may answer besides its own.
const EVERYWHERE: [(&str, &str); 7] = [
    (
        "400",
        "What was sent cannot be understood, such as a query parameter that there is not",
    ),
    ("401", "No good token was given"),
    ("403", "The role of the token does not allow it"),
    ("408", "It took too long"),
    (
        "421",
        "The request is for a host that is not in `server.hosts` of payrun.yaml",
    ),
    (
        "429",
        "The token is not good, and too many of those were given, or too many runs are being planned or files kept: after `Retry-After` seconds again",
    ),
    ("503", "The ledger cannot be used at present"),
];

fn with_answers_of_all(mut document: OpenApi) -> OpenApi {
    let operations = document
        .paths
        .paths
        .values_mut()
        .flat_map(|path| [&mut path.get, &mut path.post, &mut path.delete]);
    for operation in operations.flatten() {
        for (status, description) in EVERYWHERE {
            let body = Content::new(Some(Ref::from_schema_name("ErrorBody")));
            let answer = ResponseBuilder::new()
                .description(description)
                .content("application/json", body)
                .build();
            operation
                .responses
                .responses
                .insert(status.to_owned(), RefOr::T(answer));
        }
    }
    document
}

/// What is for everybody who has a token.
fn reads() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(runs::events))
        .routes(routes!(items::list))
        .routes(routes!(items::show))
        .routes(routes!(search::search))
        .routes(routes!(workflows::workflows))
        .routes(routes!(lanes::lanes))
        .routes(routes!(approvals::list))
        .routes(routes!(approvals::of_run))
        .routes(routes!(approvals::batch))
        .routes(routes!(schedule::schedule))
        .routes(routes!(schedule::occurrences))
        .routes(routes!(contracts::contracts))
        .routes(routes!(notifications::notifications))
        .routes(routes!(alerts::alerts))
        .routes(routes!(alerts::rules))
        .routes(routes!(alerts::mails))
        .routes(routes!(pauses::pauses))
        .routes(routes!(differences::list))
        .routes(routes!(differences::show))
        .routes(routes!(bulk_actions::list))
        .routes(routes!(bulk_actions::show))
        .routes(routes!(audit::audit))
        .routes(routes!(exports::items))
        .routes(routes!(exports::runs))
        .routes(routes!(exports::contracts))
        .routes(routes!(exports::differences))
        .routes(routes!(exports::audit))
        .routes(routes!(exports::totals))
        .routes(routes!(reports::list))
        .routes(routes!(reports::file))
}

/// What is for approvers.
fn approves() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::reject))
}

/// What is for operators.
fn operates() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(start_run::create))
        .routes(routes!(alerts::mute))
        .routes(routes!(alerts::resend))
        .routes(routes!(alerts::test))
        .routes(routes!(plan_preview::preview))
        .routes(routes!(withdraw_run::withdraw))
        .routes(routes!(pauses::pause))
        .routes(routes!(pauses::resume))
        .routes(routes!(lanes::suspend))
        .routes(routes!(lanes::release))
        .routes(routes!(lanes::limit))
        .routes(routes!(item_actions::cancel))
        .routes(routes!(item_actions::retry))
        .routes(routes!(item_actions::resolve))
        .routes(routes!(item_actions::note))
        .routes(routes!(bulk::bulk))
        .routes(routes!(differences::change))
        .routes(routes!(exports::rejected_rows))
        .routes(routes!(exports::failed_rows))
        .routes(routes!(uploads::upload))
}

/// The paths, and the document that describes them.
pub(super) fn router(app: &App) -> (Router<App>, OpenApi) {
    let known = Arc::new(Parameters::of(&document()));
    let checked = |routes: OpenApiRouter<App>| {
        routes.layer(from_fn_with_state(Arc::clone(&known), query_check::check))
    };
    let reads = checked(reads()).layer(from_fn_with_state(app.clone(), auth::viewer));
    let operates = checked(operates()).layer(from_fn_with_state(app.clone(), auth::operator));
    let approves = checked(approves()).layer(from_fn_with_state(app.clone(), auth::approver));
    let whole = OpenApiRouter::with_openapi(Frame::openapi())
        .nest("/api/v1", reads.merge(operates).merge(approves));
    let (router, document) = whole.split_for_parts();
    (router, with_answers_of_all(document))
}

/// The document that describes the API.
pub fn document() -> OpenApi {
    let whole = OpenApiRouter::with_openapi(Frame::openapi())
        .nest("/api/v1", reads().merge(operates()).merge(approves()));
    with_answers_of_all(whole.into_openapi())
}
