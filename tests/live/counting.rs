//! Counts tenantd's requests by listening to its log.

use std::fmt::Debug;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

static REQUESTS: AtomicUsize = AtomicUsize::new(0);
static CHANGES: AtomicUsize = AtomicUsize::new(0);
static SETTINGS: AtomicUsize = AtomicUsize::new(0);

struct Counter;

#[derive(Default)]
struct Seen {
    request: bool,
    post: bool,
    page: String,
}

impl Visit for Seen {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "method" => self.post = value == "POST",
            "page" => value.clone_into(&mut self.page),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.request = format!("{value:?}").starts_with("PBX request");
        }
    }
}

impl<S: Subscriber> Layer<S> for Counter {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut seen = Seen::default();
        event.record(&mut seen);
        if !seen.request {
            return;
        }
        REQUESTS.fetch_add(1, Ordering::SeqCst);
        if seen.page.contains("/domain_settings/") {
            SETTINGS.fetch_add(1, Ordering::SeqCst);
        }
        // The sign-in is posted too, and changes nothing but the session.
        if seen.post && !seen.page.ends_with("/dashboard/") {
            CHANGES.fetch_add(1, Ordering::SeqCst);
        }
    }
}

pub fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing_subscriber::registry().with(Counter.with_filter(LevelFilter::DEBUG)).init());
}

/// Requests that tenantd sent.
pub fn requests() -> usize {
    REQUESTS.load(Ordering::SeqCst)
}

/// Changing requests that tenantd sent.
pub fn changes() -> usize {
    CHANGES.load(Ordering::SeqCst)
}

/// Requests for settings of single domains, changing or not.
pub fn of_settings() -> usize {
    SETTINGS.load(Ordering::SeqCst)
}
