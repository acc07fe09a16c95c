//! Counts tenantd's requests by listening to its log. Scenarios on different servers run side by side, so each counts
//! on the threads of its own runtime.

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt as _};

/// The requests of one scenario.
#[derive(Debug, Default)]
pub struct Counts {
    requests: AtomicUsize,
    changes: AtomicUsize,
    settings: AtomicUsize,
}

thread_local! {
    static HERE: RefCell<Option<Arc<Counts>>> = const { RefCell::new(None) };
}

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
        let counts = HERE.with_borrow(Clone::clone).expect("a request on a thread of some scenario");
        counts.requests.fetch_add(1, Ordering::SeqCst);
        if seen.page.contains("/domain_settings/") {
            counts.settings.fetch_add(1, Ordering::SeqCst);
        }
        // The sign-in is posted too, and changes nothing but the session.
        if seen.post && !seen.page.ends_with("/dashboard/") {
            counts.changes.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// What this thread sends is counted there from now on.
pub fn count_here(counts: &Arc<Counts>) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Not what the parsers of pages would say at this level: that takes longer than the pages.
        let own = Targets::new().with_target("tenantd", LevelFilter::DEBUG);
        let subscriber = tracing_subscriber::registry().with(Counter.with_filter(own));
        tracing::subscriber::set_global_default(subscriber).expect("nobody else listens");
    });
    HERE.set(Some(counts.clone()));
}

fn here<T>(read: impl FnOnce(&Counts) -> T) -> T {
    HERE.with_borrow(|counts| read(counts.as_ref().expect("a scenario's thread")))
}

/// Requests that tenantd sent.
pub fn requests() -> usize {
    here(|counts| counts.requests.load(Ordering::SeqCst))
}

/// Changing requests that tenantd sent.
pub fn changes() -> usize {
    here(|counts| counts.changes.load(Ordering::SeqCst))
}

/// Requests for settings of single domains, changing or not.
pub fn of_settings() -> usize {
    here(|counts| counts.settings.load(Ordering::SeqCst))
}
