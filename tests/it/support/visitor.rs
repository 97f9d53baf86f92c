//! Somebody at the dashboard: signs in with a token, reads pages, sends forms, as a browser without
//! script does.

use reqwest::Method;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};

use super::service::{Reply, Service};

/// Somebody who is signed in.
pub struct Visitor<'a> {
    service: &'a Service<'a>,
    cookie: String,
}

/// A page.
#[derive(Debug)]
pub struct VisitedPage {
    pub status: u16,
    pub html: String,
    pub location: String,
}

impl<'a> Visitor<'a> {
    /// Signs in by a fresh token of a role.
    pub fn of(service: &'a Service<'a>, name: &str, role: &str) -> Self {
        let token = service.token(name, role);
        Self::with_token(service, &token)
    }

    /// Signs in by a token.
    pub fn with_token(service: &'a Service<'a>, token: &str) -> Self {
        Self::at(service, "", token)
    }

    /// Signs in where all paths are below one.
    pub fn at(service: &'a Service<'a>, base: &str, token: &str) -> Self {
        let sign_in = format!("{base}/sign-in");
        let signed_in = send(service, None, &sign_in, encoded(&[("token", token)]));
        assert_eq!(signed_in.status, 303, "{:?}", signed_in.body);
        let cookie = signed_in.headers[SET_COOKIE].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { service, cookie }
    }

    /// Reads a page.
    pub fn get(&self, path: &str) -> VisitedPage {
        let request = self.service.request(Method::GET, path);
        visited(self.service.send(request.header(COOKIE, &self.cookie)))
    }

    /// Reads a page that must be there.
    pub fn page(&self, path: &str) -> String {
        let shown = self.get(path);
        assert_eq!(shown.status, 200, "{path}: {}", shown.html);
        // What is ours is no text.
        assert!(!shown.html.contains("&#60;time "), "{path}: {}", shown.html);
        shown.html
    }

    /// Sends a form.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> VisitedPage {
        visited(send(
            self.service,
            Some(&self.cookie),
            path,
            encoded(fields),
        ))
    }

    /// Sends a form with a file.
    pub fn upload(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        (name, content): (&str, &[u8]),
    ) -> VisitedPage {
        let part = |head: &str| format!("--part\r\ncontent-disposition: form-data; {head}\r\n");
        let mut body = Vec::new();
        for (field, value) in fields {
            let head = part(&format!("name=\"{field}\""));
            body.extend_from_slice(format!("{head}\r\n{value}\r\n").as_bytes());
        }
        let head = part(&format!("name=\"file\"; filename=\"{name}\""));
        body.extend_from_slice(format!("{head}\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n--part--\r\n");
        let request = self
            .service
            .request(Method::POST, path)
            .header("content-type", "multipart/form-data; boundary=part")
            .header("sec-fetch-site", "same-origin")
            .header(COOKIE, &self.cookie)
            .body(body);
        visited(self.service.send(request))
    }

    /// What keeps the session.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// The body that a browser would send of the form of a page that goes to a path: its hidden
    /// fields, and these.
    pub fn form(&self, page: &str, path: &str, fields: &[(&str, &str)]) -> String {
        let hidden = hidden_fields(page, path);
        let mut all: Vec<(&str, &str)> = hidden
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        all.extend(fields);
        encoded(&all)
    }

    /// Sends that form.
    pub fn submit(&self, page: &str, path: &str, fields: &[(&str, &str)]) -> VisitedPage {
        let body = self.form(page, path, fields);
        visited(send(self.service, Some(&self.cookie), path, body))
    }
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| {
            let value =
                percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
            format!("{name}={value}")
        })
        .collect();
    pairs.join("&")
}

fn send(service: &Service<'_>, cookie: Option<&str>, path: &str, body: String) -> Reply {
    let mut request = service
        .request(Method::POST, path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "same-origin")
        .body(body);
    if let Some(cookie) = cookie {
        request = request.header(COOKIE, cookie);
    }
    service.send(request)
}

fn visited(reply: Reply) -> VisitedPage {
    let location = reply.headers.get(LOCATION);
    VisitedPage {
        status: reply.status,
        location: location.map_or_else(String::new, |to| to.to_str().unwrap().to_owned()),
        html: reply.body.as_str().unwrap_or_default().to_owned(),
    }
}

/// The hidden fields of the form of a page that goes to a path.
fn hidden_fields(page: &str, path: &str) -> Vec<(String, String)> {
    let form = page
        .split("<form")
        .find(|form| form.contains(&format!("action=\"{path}\"")))
        .unwrap_or_else(|| panic!("no form goes to {path}: {page}"));
    let form = form.split("</form>").next().unwrap();
    form.split("<input type=\"hidden\"")
        .skip(1)
        .map(|input| {
            let attribute = |name: &str| {
                let after = input.split(&format!("{name}=\"")).nth(1).unwrap();
                let text = after.split('"').next().unwrap();
                [
                    ("&#34;", "\""),
                    ("&#39;", "'"),
                    ("&#60;", "<"),
                    ("&#62;", ">"),
                    ("&#38;", "&"),
                ]
                .into_iter()
                .fold(text.to_owned(), |text, (escaped, own)| {
                    text.replace(escaped, own)
                })
            };
            (attribute("name"), attribute("value"))
        })
        .collect()
}
