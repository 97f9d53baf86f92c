//! The query string of a request. Which parameters there may be, `request_table` knows.

use crate::shared::percent_decoding::decode;
use crate::wechat::Refusal;
use crate::wechat::body::param;

/// The parameters by name.
#[derive(Debug)]
pub(crate) struct WechatQuery(Vec<(String, String)>);

impl WechatQuery {
    /// Reads a query string.
    pub(crate) fn read(query: &str) -> Self {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), decode(value))
        };
        Self(
            query
                .split('&')
                .filter(|pair| !pair.is_empty())
                .map(pair)
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> Result<usize, Refusal> {
        self.get(name)
            .and_then(|text| text.parse().ok())
            .ok_or(param("wrong_number"))
    }
}
