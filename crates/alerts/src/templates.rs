//! The mails' templates: built in, and each may be replaced by a file of the project's folder
//! `templates/`.
//!
//! HTML is escaped. A template that cannot be rendered does not keep a mail back: the built-in one
//! is used then.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use thiserror::Error;

use super::daily_mail::thousands;
use payrun_domain::text::visible;

/// What a rendering may cost, so that a template cannot loop for ever.
const FUEL: u64 = 2_000_000;

/// The longest template, in bytes.
const FILE_MAX: u64 = 256 * 1024;

const BUILT_IN: [(&str, &str); 6] = [
    ("alert.html", include_str!("templates/alert.html")),
    ("alert.txt", include_str!("templates/alert.txt")),
    ("daily.html", include_str!("templates/daily.html")),
    ("daily.txt", include_str!("templates/daily.txt")),
    ("monthly.html", include_str!("templates/monthly.html")),
    ("monthly.txt", include_str!("templates/monthly.txt")),
];

/// What a mail is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MailKind {
    Alert,
    Daily,
    Monthly,
}

impl MailKind {
    /// Names of the HTML and of the text.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Alert => ("alert.html", "alert.txt"),
            Self::Daily => ("daily.html", "daily.txt"),
            Self::Monthly => ("monthly.html", "monthly.txt"),
        }
    }
}

/// The templates of a project.
#[derive(Debug)]
pub(super) struct Templates {
    own: Environment<'static>,
    built_in: Environment<'static>,
}

/// A template that cannot be used.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is too long.
    #[error("{} is longer than 256 KiB", path.display())]
    Long {
        /// The file.
        path: PathBuf,
    },
    /// It is wrong.
    #[error("templates/{name} is wrong")]
    Wrong {
        /// Its name.
        name: String,
        /// Where, and what.
        #[source]
        source: minijinja::Error,
    },
}

impl Templates {
    /// The built-in ones, with those in place that the folder has.
    pub fn load(folder: &Path) -> Result<Self, TemplateError> {
        let (mut own, mut built_in) = (environment(), environment());
        for (name, text) in BUILT_IN {
            add(&mut built_in, name, text.to_owned())?;
            let path = folder.join(name);
            add(
                &mut own,
                name,
                if path.exists() {
                    file(path)?
                } else {
                    text.to_owned()
                },
            )?;
        }
        Ok(Self { own, built_in })
    }

    /// Renders every template once, so that a mistake shows before it matters.
    pub fn check(&self) -> Result<(), TemplateError> {
        for about in [MailKind::Alert, MailKind::Daily, MailKind::Monthly] {
            let context = match about {
                MailKind::Alert => minijinja::Value::from(Serde(super::preview::mail_body())),
                MailKind::Daily => minijinja::Value::from(Serde(super::preview::day())),
                MailKind::Monthly => minijinja::Value::from(Serde(super::preview::month())),
            };
            let (html, text) = about.names();
            for name in [html, text] {
                let wrong = |source| TemplateError::Wrong {
                    name: name.to_owned(),
                    source,
                };
                self.own
                    .get_template(name)
                    .and_then(|template| template.render(&context))
                    .map_err(wrong)?;
            }
        }
        Ok(())
    }

    /// The text and the HTML of a mail.
    pub fn render(&self, about: MailKind, context: &impl Serialize) -> (String, String) {
        let (html, text) = about.names();
        let context = in_lines(serde_json::to_value(context).unwrap_or_default());
        (self.rendered(text, &context), self.rendered(html, &context))
    }

    fn rendered(&self, name: &str, context: &serde_json::Value) -> String {
        let render = |environment: &Environment<'_>| {
            environment
                .get_template(name)
                .and_then(|template| template.render(minijinja::Value::from(Serde(context))))
        };
        render(&self.own).unwrap_or_else(|error| {
            tracing::error!(template = name, %error, "a mail template failed; the built-in one is used");
            render(&self.built_in).unwrap_or_default()
        })
    }
}

/// What a mail is told: each text in one line in which everything can be seen. Only a template
/// breaks lines.
fn in_lines(told: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match told {
        Value::String(text) => Value::String(visible(&text).into_owned()),
        Value::Array(list) => list.into_iter().map(in_lines).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(name, value)| (name, in_lines(value)))
            .collect(),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("thousands", |number: u64| thousands(&number.to_string()));
    // Lines of blocks alone leave no empty lines.
    if let Ok(syntax) = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
    {
        environment.set_syntax(syntax);
    }
    environment
}

fn add(
    environment: &mut Environment<'static>,
    name: &'static str,
    text: String,
) -> Result<(), TemplateError> {
    let added = environment.add_template_owned(name, text);
    added.map_err(|source| TemplateError::Wrong {
        name: name.to_owned(),
        source,
    })
}

fn file(path: PathBuf) -> Result<String, TemplateError> {
    let read = payrun_system::regular_file::open(&path).and_then(|mut file| {
        let length = file.metadata()?.len();
        let mut text = String::new();
        if length <= FILE_MAX {
            file.read_to_string(&mut text)?;
        }
        Ok((length, text))
    });
    match read {
        Err(source) => Err(TemplateError::Read { path, source }),
        Ok((length, _)) if length > FILE_MAX => Err(TemplateError::Long { path }),
        Ok((_, text)) => Ok(text),
    }
}
