//! The log: to standard error as text, as JSON or with syslog's priorities, or to the journal in its own protocol.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::args::{Global, LogFormat};
use super::context::{Failure, Result};
use super::exit::Exit;
use super::output;

/// Starts the log. An invalid filter is a usage error, written in the format of the log.
pub fn start(global: &Global, default: &str) -> Result<()> {
    let given = global.log.as_deref().filter(|text| !text.trim().is_empty());
    let checked = given.map_or(Ok(()), |text| {
        check_filter(text).map_err(|why| Failure {
            message: format!("`--log` or TENANTD_LOG: `{text}` is not a filter: {why}"),
            exit: Exit::Usage,
        })
    });
    let wanted = given.filter(|_| checked.is_ok());
    let filter = EnvFilter::try_new(without_pages(wanted.unwrap_or(default)))
        .unwrap_or_else(|_| EnvFilter::new(without_pages(default)));
    // A second start, as in tests, keeps the first.
    let _ = tracing_subscriber::registry().with(layer(global.log_format).with_filter(filter)).try_init();
    checked
}

fn layer(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let text = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(output::colour_on_stderr())
        .log_internal_errors(false);
    match format {
        LogFormat::Text => text.boxed(),
        LogFormat::Json => text.json().flatten_event(true).boxed(),
        LogFormat::Journal => match journal() {
            Some(journal) => journal.boxed(),
            None => text.with_ansi(false).event_format(Syslog).boxed(),
        },
    }
}

/// The journal in its own protocol, with fields such as TENANT=, where it is there.
fn journal() -> Option<tracing_journald::Layer> {
    use tracing_journald::{Priority, PriorityMappings};
    let priorities = PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    };
    let journal = tracing_journald::layer().ok()?;
    Some(
        journal
            .with_field_prefix(None)
            .with_syslog_identifier("tenantd".to_owned())
            .with_priority_mappings(priorities),
    )
}

/// Lines that begin with a priority as syslog has it, which the journal takes from a service's standard error.
struct Syslog;

fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

impl<S, N> FormatEvent<S, N> for Syslog
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        for span in ctx.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            match extensions.get::<FormattedFields<N>>().filter(|fields| !fields.is_empty()) {
                Some(fields) => text.push_str(&format!("{}{{{fields}}}: ", span.name())),
                None => text.push_str(&format!("{}: ", span.name())),
            }
        }
        ctx.format_fields(Writer::new(&mut text), event)?;
        let priority = priority(*event.metadata().level());
        // Each line is a record of its own there.
        text.lines().try_for_each(|line| writeln!(writer, "<{priority}>{line}"))
    }
}

/// A mistyped level would be taken for the name of a module that logs nothing.
fn check_filter(filter: &str) -> std::result::Result<(), String> {
    tracing_subscriber::EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for part in filter.split(',').map(str::trim).filter(|part| !part.contains(['=', ':', '['])) {
        let is_level =
            LEVELS.contains(&part.to_lowercase().as_str()) || part.parse().is_ok_and(|n: u8| n <= 5);
        if !is_level && part != "tenantd" {
            return Err(format!(
                "{part} is not one of the levels {}; write a module as `MODULE=LEVEL`",
                LEVELS.join(", ")
            ));
        }
    }
    Ok(())
}

/// What reads a page logs all of it, with session tokens and every setting's value.
const READERS_OF_PAGES: [&str; 5] = ["html5ever", "markup5ever", "selectors", "cssparser", "scraper"];

/// A filter that silences them, whatever was asked for.
fn without_pages(filter: &str) -> String {
    let about_pages = |part: &&str| READERS_OF_PAGES.iter().any(|reader| part.contains(reader));
    let kept = filter.split(',').filter(|part| !about_pages(part)).map(str::to_owned);
    kept.chain(READERS_OF_PAGES.map(|reader| format!("{reader}=off"))).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::{check_filter, without_pages};

    #[test]
    fn a_filter_that_cannot_be_meant_is_refused() {
        for good in ["debug", "INFO", "info,tenantd::fusionpbx=debug", "tenantd", "hyper=trace", "0"] {
            assert_eq!(check_filter(good), Ok(()), "{good}");
        }
        for wrong in ["loud", "tenantd=loud", "info,debgu", "info debug", "a=b=c"] {
            assert!(check_filter(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_filter_brings_pages_into_the_log() {
        let off = "html5ever=off,markup5ever=off,selectors=off,cssparser=off,scraper=off";
        assert_eq!(without_pages("trace"), format!("trace,{off}"));
        assert_eq!(
            without_pages("info,html5ever::tokenizer=trace,tenantd=debug"),
            format!("info,tenantd=debug,{off}")
        );
    }
}
