//! The style sheet and the scripts: in the binary, by names that change with what is in them, so
//! that a browser keeps them for good.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// A file of the dashboard.
struct Asset {
    /// Its name, with the beginning of its digest.
    name: String,
    media_type: &'static str,
    content: &'static [u8],
}

/// The style sheet.
pub(super) static STYLE: Listed = Listed(0);
/// htmx 4.0.1.
pub(super) static HTMX: Listed = Listed(1);
/// Its extension for server-sent events.
pub(super) static HTMX_SSE: Listed = Listed(2);
/// The few lines of our own: keys, and files that are dropped.
pub(super) static KEYS: Listed = Listed(3);

/// The sign of payrun in a browser's tab.
pub(super) static ICON: Listed = Listed(4);

/// A place in the list of files.
pub(super) struct Listed(usize);

impl Listed {
    /// The name that it is served by.
    pub fn name(&self) -> &'static str {
        &ASSETS[self.0].name
    }
}

static ASSETS: LazyLock<[Asset; 5]> = LazyLock::new(|| {
    const STYLE: &str = "text/css; charset=utf-8";
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    [
        asset("style", "css", STYLE, include_bytes!("assets/style.css")),
        asset("htmx", "js", SCRIPT, include_bytes!("assets/htmx.js")),
        asset("hx-sse", "js", SCRIPT, include_bytes!("assets/hx-sse.js")),
        asset("keys", "js", SCRIPT, include_bytes!("assets/keys.js")),
        asset(
            "icon",
            "svg",
            "image/svg+xml",
            include_bytes!("assets/icon.svg"),
        ),
    ]
});

fn asset(stem: &str, extension: &str, media_type: &'static str, content: &'static [u8]) -> Asset {
    let digest = hex::encode(Sha256::digest(content));
    Asset {
        name: format!("{stem}-{}.{extension}", &digest[..12]),
        media_type,
        content,
    }
}

/// One of the files.
pub(super) async fn file(Path(name): Path<String>) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, asset.content).into_response()
}
