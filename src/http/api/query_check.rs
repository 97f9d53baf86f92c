//! The address of a request: query parameters that there are not, and characters that no text here
//! has, are refused for all paths at once.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::{OpenApi, RefOr};

use crate::http::error::ApiError;
use crate::yaml::diagnostics::suggestion;

/// The query parameters by method and path, as the document has them.
#[derive(Debug)]
pub(super) struct Parameters(HashMap<(&'static str, String), Vec<String>>);

impl Parameters {
    pub fn of(document: &OpenApi) -> Self {
        let mut known = HashMap::new();
        for (path, item) in &document.paths.paths {
            for (method, operation) in [
                ("GET", &item.get),
                ("POST", &item.post),
                ("DELETE", &item.delete),
            ] {
                let Some(operation) = operation else { continue };
                let all = operation.parameters.iter().flatten();
                let names = all.filter_map(|one| match one {
                    RefOr::T(one) if one.parameter_in == ParameterIn::Query => {
                        Some(one.name.clone())
                    }
                    RefOr::T(_) | RefOr::Ref(_) => None,
                });
                known.insert((method, path.clone()), names.collect());
            }
        }
        Self(known)
    }

    fn check(&self, request: &Request) -> Result<(), ApiError> {
        let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
        if decoded(request.uri().path()).contains(&0) {
            return Err(ApiError::nul("the path"));
        }
        let Some(query) = request.uri().query() else {
            return Ok(());
        };
        let path = request
            .extensions()
            .get::<MatchedPath>()
            .map_or("", MatchedPath::as_str);
        let known = self
            .0
            .iter()
            .find(|((method, of), _)| *method == request.method().as_str() && of == path);
        let known = known.map_or(&[][..], |(_, names)| names);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if decoded(pair).contains(&0) {
                return Err(ApiError::nul("the query"));
            }
            let name = decoded(pair.split('=').next().unwrap_or_default());
            if !known.iter().any(|known| known.as_bytes() == name) {
                return Err(unknown(&String::from_utf8_lossy(&name), known));
            }
        }
        Ok(())
    }
}

fn unknown(name: &str, known: &[String]) -> ApiError {
    let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    let error = ApiError::invalid(format!("there is no query parameter \"{shown}\" here"));
    let help = suggestion(name, known.iter().map(String::as_str));
    error.help(help.unwrap_or_else(|| "this path takes none".to_owned()))
}

/// Lets a request pass whose address can be read.
pub(super) async fn check(
    State(known): State<Arc<Parameters>>,
    request: Request,
    next: Next,
) -> Response {
    match known.check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}
