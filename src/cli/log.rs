//! The log on standard error, and spans for a collector where one is named.

use clap::ValueEnum;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use super::output::note;
use crate::domain::text::{escaped, visible};

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Writes an event as one line in which everything can be seen. Each event comes as a whole.
struct EventLineFormat(LogFormat);

impl std::io::Write for EventLineFormat {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.trim_end_matches('\n');
        let line = match self.0 {
            LogFormat::Text => visible(line),
            LogFormat::Json => escaped(line),
        };
        writeln!(std::io::stderr().lock(), "{line}")?;
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What sends spans; what it still holds is sent when it is dropped.
pub(super) struct SpanExport(Option<SdkTracerProvider>);

impl Drop for SpanExport {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && let Err(error) = provider.shutdown()
        {
            note(format!("the last spans were not sent: {error}"));
        }
    }
}

/// Begins to log, and to send spans to a collector that speaks OTLP over HTTP.
///
/// # Errors
/// If the collector's address is none.
pub(super) fn start(
    filter: &str,
    format: LogFormat,
    collector: Option<&str>,
) -> Result<SpanExport, String> {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = fmt::layer()
        .with_writer(move || EventLineFormat(format))
        .with_target(false)
        .with_ansi(false);
    let log = match format {
        LogFormat::Text => log.boxed(),
        LogFormat::Json => log.json().flatten_event(true).boxed(),
    };
    let provider = collector.map(provider).transpose()?;
    // Only our own spans: a library's may hold what must not leave.
    let ours =
        || tracing_subscriber::filter::Targets::new().with_target("payrun", LevelFilter::INFO);
    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("payrun"))
            .with_filter(ours())
    });
    tracing_subscriber::registry()
        .with(log.with_filter(filter))
        .with(spans)
        .init();
    Ok(SpanExport(provider))
}

fn provider(collector: &str) -> Result<SdkTracerProvider, String> {
    let endpoint = format!("{}/v1/traces", collector.trim_end_matches('/'));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .build();
    let exporter = exporter.map_err(|error| format!("--otlp {collector}: {error}"))?;
    let resource = Resource::builder().with_service_name("payrun").build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
}
