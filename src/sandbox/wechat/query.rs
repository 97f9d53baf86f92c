//! The query string of a request: every parameter known, none twice, and the merchant's ids among them.

use super::super::body::param;
use super::super::{Refusal, decode};
use crate::config::WechatMode;

/// The parameters beside the ids.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string; `allowed` are the parameters beside the ids. An institution names itself and its sub-merchant
    /// (gateways.md section 4).
    pub(super) fn read(query: &str, mode: &WechatMode, allowed: &[&str]) -> Result<Self, Refusal> {
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(param("wrong_query"))?;
            if rest.iter().any(|(known, _)| known == name) {
                return Err(param("wrong_query"));
            }
            rest.push((name.to_owned(), decode(value)));
        }
        let ids = match mode {
            WechatMode::Common { mchid, appid: _ } => vec![("mchid", mchid)],
            WechatMode::Institutional { sp_mchid, sp_appid: _, sub_mchid, sub_appid: _ } => {
                vec![("sp_mchid", sp_mchid), ("sub_mchid", sub_mchid)]
            }
        };
        for (name, id) in ids {
            let at = rest.iter().position(|(known, value)| known == name && value == id);
            rest.remove(at.ok_or(param("wrong_query"))?);
        }
        let known = rest.iter().all(|(name, _)| allowed.contains(&name.as_str()));
        if known { Ok(Self(rest)) } else { Err(param("wrong_query")) }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn number(&self, name: &str) -> Result<usize, Refusal> {
        self.get(name).and_then(|text| text.parse().ok()).ok_or(param("wrong_query"))
    }
}
