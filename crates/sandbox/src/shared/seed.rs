//! What is asked of a fake gateway about itself: its books, and payments to be put into
//! them.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::responder::Responder;
use payrun_domain::money::{Amount, Currency};

/// The most payments one request may put into the books.
const SEED_MAX: usize = 10_000;

impl Responder {
    /// Puts a paid payment into the books, as if its payer had just paid; the gateway's number of
    /// it.
    pub(crate) fn seed(&self, number: &str, amount: Amount) -> String {
        self.transactions().seed(
            number,
            amount.currency().code(),
            amount.minor(),
            self.clock.now(),
        )
    }

    /// What is said about the fake itself: `GET books`, and `POST payments` to put paid payments
    /// into them.
    pub(crate) fn about(
        &self,
        method: &Method,
        page: &str,
        body: &[u8],
    ) -> Result<Value, StatusCode> {
        match (method, page) {
            (&Method::GET, "books") => {
                serde_json::to_value(self.totals()).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
            }
            (&Method::POST, "payments") => {
                let seeds: Vec<Seed> =
                    serde_json::from_slice(body).map_err(|_| StatusCode::BAD_REQUEST)?;
                if seeds.len() > SEED_MAX {
                    return Err(StatusCode::PAYLOAD_TOO_LARGE);
                }
                let amounts: Option<Vec<Amount>> = seeds.iter().map(Seed::amount).collect();
                let amounts = amounts.ok_or(StatusCode::BAD_REQUEST)?;
                let put = seeds.iter().zip(amounts).map(|(seed, amount)| {
                    json!({ "number": seed.number, "gateway_number": self.seed(&seed.number, amount) })
                });
                Ok(Value::Array(put.collect()))
            }
            (_, "books" | "payments") => Err(StatusCode::METHOD_NOT_ALLOWED),
            _ => Err(StatusCode::NOT_FOUND),
        }
    }
}

/// A payment to be put into the books.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed {
    number: String,
    amount: String,
    currency: String,
}

impl Seed {
    fn amount(&self) -> Option<Amount> {
        Amount::parse(&self.amount, Currency::parse(&self.currency).ok()?).ok()
    }
}
