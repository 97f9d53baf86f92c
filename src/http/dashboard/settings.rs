//! How a person wants the pages: language, clock, and how many rows stand on a screen.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use chrono_tz::{TZ_VARIANTS, Tz};
use serde::Deserialize;

use super::errors::PageError;
use super::forms::Form;
use super::frame::{Page, PageFrame};
use super::session::Viewer;
use crate::http::App;
use crate::ledger::PersonSettings;
use crate::reader_language::ReaderLanguage;

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    page: PageFrame,
    languages: [ReaderLanguage; 3],
    zones: Vec<&'static str>,
    dense: &'static str,
}

/// The form.
pub(super) async fn show(viewer: Viewer) -> impl IntoResponse {
    Page(SettingsPage {
        page: PageFrame::of(&viewer),
        languages: ReaderLanguage::ALL,
        dense: if viewer.is_dense { "yes" } else { "" },
        zones: TZ_VARIANTS.iter().map(|zone| zone.name()).collect(),
    })
}

#[derive(Debug, Deserialize)]
pub(super) struct SettingsForm {
    language: String,
    timezone: String,
    #[serde(default)]
    dense: Option<String>,
}

/// Keeps what was chosen.
pub(super) async fn keep(
    State(app): State<App>,
    viewer: Viewer,
    Form(form): Form<SettingsForm>,
) -> Result<impl IntoResponse, PageError> {
    let language = ReaderLanguage::parse(&form.language)
        .ok_or_else(|| PageError::invalid("language is en, zh-Hans or zh-Hant"))?;
    let zone = Some(form.timezone.as_str()).filter(|zone| !zone.is_empty());
    let zone: Option<Tz> = zone.map(|zone| zone.parse()).transpose().map_err(|_| {
        PageError::invalid("this is no time zone; one is Asia/Hong_Kong").at("timezone")
    })?;
    let settings = PersonSettings {
        language: language.tag().to_owned(),
        timezone: zone.map(|zone| zone.name().to_owned()),
        is_dense: form.dense.is_some(),
    };
    app.engine()
        .ledger
        .keep_person_settings(&viewer.caller.name, &settings)
        .await?;
    Ok(Redirect::to(&format!("{}/settings", viewer.base)))
}
