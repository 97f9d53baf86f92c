//! What a person wants of one item: that it is withdrawn, tried again, or taken for what was found
//! out; or only a note of it.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use super::errors::PageError;
use super::forms::{Form, once};
use super::page_fields::PagePath;
use super::session::Viewer;
use crate::http::App;
use crate::http::api::item_actions::{self, NoteBody, ReasonBody, ResolveBody};
use crate::http::extract::{JsonBody, Path};

/// Why a person wants something of an item.
#[derive(Debug, Deserialize)]
pub(super) struct ItemActionForm {
    key: String,
    reason: String,
}

/// What a person has found out about an item.
#[derive(Debug, Deserialize)]
pub(super) struct ItemFindingForm {
    key: String,
    reason: String,
    /// `succeeded` or `failed`.
    found: String,
    #[serde(default)]
    receipt: String,
}

/// Withdraws an item.
pub(super) async fn cancel(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(id): PagePath<i64>,
    Form(form): Form<ItemActionForm>,
) -> Result<impl IntoResponse, PageError> {
    let content = format!("cancel {id} {}", form.reason);
    let why = JsonBody(ReasonBody {
        reason: form.reason,
    });
    let caller = Extension(viewer.caller.clone());
    let action = item_actions::cancel(State(app.clone()), caller, Path(id), why);
    once((&app, &viewer), (&form.key, &content), action).await?;
    Ok(back(&viewer, id))
}

/// Has an item tried again.
pub(super) async fn retry(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(id): PagePath<i64>,
    Form(form): Form<ItemActionForm>,
) -> Result<impl IntoResponse, PageError> {
    let content = format!("retry {id} {}", form.reason);
    let why = JsonBody(ReasonBody {
        reason: form.reason,
    });
    let caller = Extension(viewer.caller.clone());
    let action = item_actions::retry(State(app.clone()), caller, Path(id), why);
    once((&app, &viewer), (&form.key, &content), action).await?;
    Ok(back(&viewer, id))
}

/// What a person notes of an item.
#[derive(Debug, Deserialize)]
pub(super) struct ItemNoteForm {
    key: String,
    note: String,
}

/// Keeps a note of an item.
pub(super) async fn note(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(id): PagePath<i64>,
    Form(form): Form<ItemNoteForm>,
) -> Result<impl IntoResponse, PageError> {
    let content = format!("note {id} {}", form.note);
    let body = JsonBody(NoteBody { note: form.note });
    let caller = Extension(viewer.caller.clone());
    let action = item_actions::note(State(app.clone()), caller, Path(id), body);
    once((&app, &viewer), (&form.key, &content), action).await?;
    Ok(back(&viewer, id))
}

/// Closes an item by what a person has found out.
pub(super) async fn resolve(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(id): PagePath<i64>,
    Form(form): Form<ItemFindingForm>,
) -> Result<impl IntoResponse, PageError> {
    let receipt = form.receipt.trim();
    let receipt = match (form.found.as_str(), receipt.is_empty()) {
        ("succeeded", false) => Some(receipt.to_owned()),
        ("failed", true) => None,
        ("succeeded", true) => {
            return Err(PageError::invalid(
                "that it happened is shown by the gateway's number for it: give the receipt",
            )
            .at("receipt"));
        }
        ("failed", false) => {
            return Err(PageError::invalid(
                "a receipt is given, and that it did not happen: only one of the two can be so",
            )
            .at("receipt"));
        }
        _ => {
            return Err(PageError::invalid(
                "say whether it happened or not: found is succeeded or failed",
            ));
        }
    };
    let content = format!("resolve {id} {receipt:?} {}", form.reason);
    let found = JsonBody(ResolveBody {
        receipt,
        reason: form.reason,
    });
    let caller = Extension(viewer.caller.clone());
    let action = item_actions::resolve(State(app.clone()), caller, Path(id), found);
    once((&app, &viewer), (&form.key, &content), action).await?;
    Ok(back(&viewer, id))
}

fn back(viewer: &Viewer, id: i64) -> Redirect {
    Redirect::to(&format!("{}/items/{id}", viewer.base))
}
