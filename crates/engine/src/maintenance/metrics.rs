//! What this process counts: calls and how long they took, by account, operation and answer. For
//! metrics only; nothing is decided by it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Gateways name their codes; of more than this many no more are told apart.
const CODES: usize = 300;

/// What is longer is no code, in bytes.
const CODE_MAX: usize = 64;

/// What a call is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    gateway: String,
    operation: String,
    answer: &'static str,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    gateway: String,
    operation: String,
}

/// The counters of a process.
#[derive(Debug)]
pub struct ProcessMetrics {
    answers: Family<AnswerLabels, Counter>,
    latency: Family<CallLabels, Histogram, fn() -> Histogram>,
    codes: Mutex<HashSet<String>>,
}

impl Default for ProcessMetrics {
    fn default() -> Self {
        Self {
            answers: Family::default(),
            // In seconds.
            latency: Family::new_with_constructor(|| {
                Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0])
            }),
            codes: Mutex::default(),
        }
    }
}

impl ProcessMetrics {
    /// A call was answered.
    pub fn answered(
        &self,
        gateway: &str,
        operation: &str,
        answer: &'static str,
        code: &str,
        took: Duration,
    ) {
        let (gateway, operation) = (gateway.to_owned(), operation.to_owned());
        let labels = CallLabels {
            gateway: gateway.clone(),
            operation: operation.clone(),
        };
        self.latency
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        let code = self.known(code);
        self.answers
            .get_or_create(&AnswerLabels {
                gateway,
                operation,
                answer,
                code,
            })
            .inc();
    }

    /// Shows what is counted.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "answers",
            "Answers of gateways, by operation and code",
            self.answers.clone(),
        );
        let help = "How long calls to gateways took";
        registry.register_with_unit("call_duration", help, Unit::Seconds, self.latency.clone());
    }

    /// The code, or `other` where it does not look like one or there are too many to tell apart.
    fn known(&self, code: &str) -> String {
        if code.len() > CODE_MAX || !code.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return "other".to_owned();
        }
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = codes.contains(code) || codes.len() < CODES && codes.insert(code.to_owned());
        if known {
            code.to_owned()
        } else {
            "other".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_without_end_are_counted_together() {
        let metrics = ProcessMetrics::default();
        for number in 0..CODES + 50 {
            metrics.answered(
                "hk",
                "deduct",
                "unknown",
                &format!("CODE_{number}"),
                Duration::from_millis(20),
            );
        }
        let text = shown(&metrics);
        assert!(text.contains("code=\"other\"} 50"), "{text}");
        assert!(
            text.contains("call_duration_seconds_count{gateway=\"hk\",operation=\"deduct\"} 350"),
            "{text}"
        );
    }

    #[test]
    fn what_does_not_look_like_a_code_is_not_shown() {
        let metrics = ProcessMetrics::default();
        for code in ["x".repeat(65).as_str(), "\u{202e}EMOS", "A\nB", "余额不足"] {
            metrics.answered("hk", "deduct", "unknown", code, Duration::from_millis(20));
        }
        let text = shown(&metrics);
        assert!(text.contains("code=\"other\"} 4"), "{text}");
    }

    fn shown(metrics: &ProcessMetrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }
}
