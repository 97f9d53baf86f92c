//! What every page has around it, and the words it is made of.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Display;

use askama::Template;
use askama::filters::Safe;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use fluent_templates::fluent_bundle::FluentValue;

use super::assets;
use super::moments::Moment;
use super::refused_form::ShownForm;
use super::session::Viewer;
use super::sums::{Counted, Sum};
use crate::domain::item::State;
use crate::domain::message::Message;
use crate::domain::money::Amount;
use crate::domain::role::Role;
use crate::domain::time::Timestamp;

/// What every page has around it.
#[derive(Debug, Clone)]
pub(super) struct PageFrame {
    pub viewer: Viewer,
}

impl PageFrame {
    /// Of whoever reads the page.
    pub fn of(viewer: &Viewer) -> Self {
        Self {
            viewer: viewer.clone(),
        }
    }

    /// A form of this page by what it does, and to what where there are several: filled in as it was
    /// sent, if it was refused just now.
    pub fn form<T: Display + ?Sized>(&self, name: &str, of: &T) -> ShownForm {
        ShownForm::of(&self.viewer, name, &of.to_string())
    }

    /// A message in the reader's language.
    pub fn say(&self, id: &str) -> String {
        self.viewer.language.message(id)
    }

    /// A message with texts in it.
    pub fn say_with(&self, id: &str, texts: &[(&'static str, &str)]) -> String {
        let arguments: HashMap<Cow<'static, str>, FluentValue<'_>> = texts
            .iter()
            .map(|(name, text)| (Cow::Borrowed(*name), FluentValue::from(*text)))
            .collect();
        self.viewer.language.message_with(id, &arguments)
    }

    /// A message with a count, named `n`.
    pub fn say_count(&self, id: &str, n: &u64) -> String {
        let shown = Counted(*n).to_string();
        let arguments = HashMap::from([
            (Cow::Borrowed("n"), FluentValue::from(*n)),
            (Cow::Borrowed("shown"), FluentValue::from(shown)),
        ]);
        self.viewer.language.message_with(id, &arguments)
    }

    /// The word for a state.
    pub fn state(&self, state: &State) -> String {
        self.word("state", state.as_str())
    }

    /// The word for a word of a fixed list, such as a job kind; itself where the catalogue has none.
    pub fn word(&self, list: &str, word: &str) -> String {
        let words = self.viewer.language.word(list, word);
        words.unwrap_or_else(|| word.to_owned())
    }

    /// Why something is as it is, in the reader's language.
    pub fn reason(&self, reason: &Message) -> String {
        self.viewer.language.reason(reason)
    }

    /// An instant on the reader's clock.
    pub fn time(&self, at: &Timestamp) -> Safe<Moment> {
        // Digits and the names of zones.
        Safe(Moment::new(*at, self.viewer.zone, self.viewer.project_zone))
    }

    /// An amount.
    pub fn amount(&self, amount: &Amount) -> Sum {
        Sum::of(*amount)
    }

    /// A count with its thousands apart.
    pub fn count(&self, count: &u64) -> Counted {
        Counted(*count)
    }

    /// The tag of the language.
    pub fn language(&self) -> &'static str {
        self.viewer.language.tag()
    }

    /// Whether the reader may do what is for operators.
    pub fn may_operate(&self) -> bool {
        self.viewer.caller.role.may_do_as(Role::Operator)
    }

    /// Whether the reader may approve.
    pub fn may_approve(&self) -> bool {
        self.viewer.caller.role.may_do_as(Role::Approver)
    }

    /// Whether this page is in a section of the dashboard.
    pub fn is_in(&self, section: &str) -> bool {
        let path = self.viewer.here.split('?').next().unwrap_or_default();
        path == section
            || (section != "/"
                && path
                    .strip_prefix(section)
                    .is_some_and(|rest| rest.starts_with('/')))
    }

    /// The word for the reader's role.
    pub fn role(&self) -> String {
        self.say(&format!("role-{}", self.viewer.caller.role))
    }

    /// The name that a file of the dashboard is served by.
    pub fn style(&self) -> &'static str {
        assets::STYLE.name()
    }

    pub fn icon(&self) -> &'static str {
        assets::ICON.name()
    }

    pub fn htmx(&self) -> &'static str {
        assets::HTMX.name()
    }

    pub fn htmx_sse(&self) -> &'static str {
        assets::HTMX_SSE.name()
    }

    pub fn keys(&self) -> &'static str {
        assets::KEYS.name()
    }
}

/// A page, as an answer.
pub(super) struct Page<T>(pub T);

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(html) => {
                ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
            }
            Err(error) => {
                tracing::error!(error = %error, "a page could not be written");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
