//! Time and new identities, which a simulation provides itself.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Where time and identities come from.
pub trait Environment: Send + Sync {
    fn now(&self) -> DateTime<Utc>;

    /// A new identity. Later ones sort after earlier ones.
    fn new_id(&self) -> Uuid;
}

/// A time for people.
pub fn to_the_minute(at: DateTime<Utc>) -> impl std::fmt::Display {
    at.format("%Y-%m-%d %H:%M UTC")
}

/// The machine's clock and random identities.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Environment for System {
    fn now(&self) -> DateTime<Utc> {
        // The databases keep microseconds; a time that is compared later must survive the way there and back.
        let now = Utc::now();
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }

    fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}
