//! Reading a body of JSON into its type. Which fields there may be, `request_table` knows before;
//! what it does not know is that a field is required where the object around it is sent.

use serde::Deserialize;

/// Why a body is not of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// A field is missing.
    MissingField,
    /// It is no JSON, or a field is of another type.
    WrongType,
}

impl BodyError {
    /// The word for it in the books of a fake.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::MissingField => "missing_parameter",
            Self::WrongType => "wrong_type",
        }
    }
}

/// Reads a body.
pub(crate) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BodyError> {
    serde_json::from_slice(bytes).map_err(|error: serde_json::Error| {
        // serde_json tells a field that is missing from one of another type by its words only.
        if error.to_string().starts_with("missing field") {
            BodyError::MissingField
        } else {
            BodyError::WrongType
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only whether it is read matters")]
    struct Outer {
        inner: Inner,
        other: Option<u32>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only whether it is read matters")]
    struct Inner {
        text: String,
    }

    #[test]
    fn a_field_that_is_missing_is_told_from_one_of_another_type() {
        for (body, expected) in [
            ("{}", Some(BodyError::MissingField)),
            (r#"{"inner":{}}"#, Some(BodyError::MissingField)),
            (
                r#"{"inner":{"other":"missing field"}}"#,
                Some(BodyError::MissingField),
            ),
            (r#"{"inner":{"text":1}}"#, Some(BodyError::WrongType)),
            (r#"{"inner":{"text":null}}"#, Some(BodyError::WrongType)),
            (
                r#"{"inner":{"text":""},"other":"missing field"}"#,
                Some(BodyError::WrongType),
            ),
            (r#""missing field""#, Some(BodyError::WrongType)),
            ("missing field", Some(BodyError::WrongType)),
            ("", Some(BodyError::WrongType)),
            (r#"{"inner":{"text":""}}"#, None),
        ] {
            assert_eq!(read::<Outer>(body.as_bytes()).err(), expected, "{body}");
        }
    }
}
