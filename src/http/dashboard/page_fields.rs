//! The fields of an address or a form, each taken once by its name. A field that a page does not
//! have is refused: whoever mistypes a filter must not be shown, nor act on, more than they meant.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use axum::extract::rejection::{PathRejection, QueryRejection};

use super::errors::PageError;
use crate::domain::message::Message;
use crate::http::error::ApiError;

/// The parts of a page's path. What cannot be read is told on a page.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(PageError))]
pub(super) struct PagePath<T>(pub T);

/// The query of a page's address.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(PageError))]
pub(super) struct PageQuery<T>(pub T);

impl From<PathRejection> for PageError {
    fn from(rejection: PathRejection) -> Self {
        ApiError::from(rejection).into()
    }
}

impl From<QueryRejection> for PageError {
    fn from(rejection: QueryRejection) -> Self {
        ApiError::from(rejection).into()
    }
}

/// The fields of an address or a form.
#[derive(Debug)]
pub(super) struct PageFields(BTreeMap<String, String>);

impl PageFields {
    /// Of pairs as they came; each field stands once.
    pub fn of(pairs: Vec<(String, String)>) -> Result<Self, PageError> {
        let mut fields = BTreeMap::new();
        for (name, value) in pairs {
            if value.contains('\0') {
                return Err(PageError::invalid(
                    Message::new(
                        "address-nul",
                        "the field \"{name}\" has a NUL character, which no text here has",
                    )
                    .with("name", name.as_str()),
                ));
            }
            if fields.insert(name.clone(), value).is_some() {
                return Err(PageError::invalid(
                    Message::new("address-twice", "the field \"{name}\" is given twice")
                        .with("name", name.as_str()),
                ));
            }
        }
        Ok(Self(fields))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(String::is_empty)
    }

    /// A text; none if it is empty.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    /// A number.
    pub fn number(&mut self, name: &str) -> Result<Option<i64>, PageError> {
        let text = self.take(name);
        let number = text.map(|text| text.trim().parse()).transpose();
        number.map_err(|_| {
            PageError::invalid(
                Message::new("address-number", "{name} is a number").with("name", name),
            )
        })
    }

    /// No other field may be there.
    pub fn end(self) -> Result<(), PageError> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(PageError::invalid(
                Message::new(
                    "address-unknown",
                    "this page has no field \"{name}\": look at the address again",
                )
                .with("name", name.as_str()),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PageFields;

    fn fields(pairs: &[(&str, &str)]) -> Result<PageFields, super::PageError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        PageFields::of(pairs.iter().map(owned).collect())
    }

    #[test]
    fn a_field_is_taken_once_and_what_nobody_takes_is_refused() {
        let mut given = fields(&[("run", "7"), ("job", ""), ("stat", "failed")]).unwrap();
        assert_eq!(given.number("run").unwrap(), Some(7));
        assert_eq!(given.take("job"), None);
        assert!(given.end().is_err());
        assert!(fields(&[("run", "1"), ("run", "2")]).is_err());
        assert!(fields(&[("job", "a\0b")]).is_err());
        assert!(fields(&[("run", "x")]).unwrap().number("run").is_err());
    }
}
