//! What a caller is told when a request cannot be done: a stable code, a sentence, what to do, and
//! the request's id. Never what a database or a gateway said.

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::unreadable::{self, Unreadable};
use crate::domain::message::Message;
use crate::domain::role::Role;
use crate::engine::operator::OperateError;
use crate::errors::chain;
use crate::ledger::LedgerError;

/// Why a request cannot be done.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    // Apart: an error goes through many hands, and is rare.
    message: Box<Message>,
    help: Option<Box<Message>>,
    /// Seconds after which it may be tried again.
    again: Option<u64>,
}

/// The body of every answer that is no success.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    error: ErrorDetail,
}

/// What is wrong.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorDetail {
    /// Stable; for programs.
    code: String,
    /// For people.
    message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<Message>) -> Self {
        Self {
            status,
            code,
            message: Box::new(message.into()),
            help: None,
            again: None,
        }
    }

    /// There is no such thing.
    pub fn not_found(what: impl Into<Message>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", what)
    }

    /// The request cannot be understood.
    pub fn invalid(message: impl Into<Message>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// The request cannot be read.
    fn unreadable(of: Unreadable) -> Self {
        Self::invalid(of.message).help(of.help)
    }

    /// It has a character that no text here has.
    pub fn nul(place: &str) -> Self {
        Self::invalid(format!(
            "{place} has a NUL character, which no text here has"
        ))
    }

    /// The request is understood and cannot be done as it is.
    pub fn refused(code: &'static str, message: impl Into<Message>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// It contradicts what is there.
    pub fn conflict(code: &'static str, message: impl Into<Message>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// The body is longer than it may be.
    pub fn too_large(message: impl Into<Message>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// Nobody knows the caller.
    pub fn unauthorized() -> Self {
        let message = "a token is needed: Authorization: Bearer payrun_…";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
            .help("payrun tokens create NAME --role ROLE")
    }

    /// Somebody gave a token that is not good.
    pub fn bad_token() -> Self {
        let message = "this token is not good: it was revoked, has expired, or is another ledger's";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message).help("payrun tokens list")
    }

    /// The caller may not.
    pub fn forbidden(message: impl Into<Message>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// The caller's role is another.
    pub fn role_needed(needed: Role, caller: &Caller) -> Self {
        Self::forbidden(
            Message::new(
                "role-needed",
                "this is for the role {needed}; {name} is {role}",
            )
            .with("needed", needed.as_str())
            .with("name", &caller.name)
            .with("role", caller.role.as_str()),
        )
    }

    /// Not by this method.
    pub fn method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this path does not take this method",
        )
    }

    /// For another host.
    pub fn misdirected() -> Self {
        let message = "this service does not go by the host that the request is for";
        Self::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", message)
            .help("name it in payrun.yaml: server: { hosts: [payrun.example.com] }")
    }

    /// Too many requests.
    pub fn too_many(message: impl Into<Message>, again: u64) -> Self {
        Self {
            again: Some(again),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
        }
    }

    /// It cannot be done at present.
    pub fn unavailable(message: impl Into<Message>) -> Self {
        Self {
            again: Some(5),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
        }
    }

    /// Its code, for programs.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// Its status, what is wrong, and what to do: for a page.
    pub fn into_parts(self) -> (StatusCode, Message, Option<Message>) {
        (self.status, *self.message, self.help.map(|help| *help))
    }

    /// With advice.
    #[must_use]
    pub fn help(self, help: impl Into<Message>) -> Self {
        Self {
            help: Some(Box::new(help.into())),
            ..self
        }
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        tracing::error!(error = chain(&error), "a request failed");
        Self::unavailable("the ledger cannot be used at present; the log says why")
    }
}

impl From<OperateError> for ApiError {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::Ledger(error) => error.into(),
            error @ (OperateError::NoSuchGateway { .. }
            | OperateError::NoSuchKind { .. }
            | OperateError::NoSuchJob { .. }) => Self::refused("no_such_lane", error.to_string()),
            error @ OperateError::Name => Self::refused("invalid_name", error.to_string()),
            error @ OperateError::NoSuchContract { .. } => Self::refused(
                "no_such_contract",
                error.to_string(),
            )
            .help("look at the id again; `\"ahead\": true` pauses one that payrun has not met yet"),
            error @ OperateError::NoSuchWorkflow { .. } => {
                Self::refused("no_such_workflow", error.to_string())
            }
            error @ OperateError::WhichGateway { .. } => {
                Self::refused("which_gateway", error.to_string())
            }
            error @ OperateError::AboveAccount { .. } => {
                Self::refused("above_account", error.to_string())
            }
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::too_large(BODY_TOO_LARGE);
        }
        let status = rejection.status();
        if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            let refused = Self::invalid("a body is read as JSON only if its header says so");
            return Self {
                status,
                ..refused.help("send Content-Type: application/json")
            };
        }
        Self {
            status,
            ..Self::unreadable(unreadable::body(&rejection.body_text()))
        }
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::too_large(BODY_TOO_LARGE);
        }
        Self::invalid(
            "the body broke off, or came too slowly: in less than 1 KiB a second, with 10 s to spare",
        )
    }
}

const BODY_TOO_LARGE: &str =
    "the body has more than 1 MiB; an item file goes to POST /api/v1/files";

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::unreadable(unreadable::query(&rejection.body_text()))
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::unreadable(unreadable::path(&rejection.body_text()))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let detail = ErrorDetail {
            code: self.code.to_owned(),
            message: self.message.to_string(),
            help: self.help.map(|help| help.to_string()),
        };
        let mut response = (self.status, Json(ErrorBody { error: detail })).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.again {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
