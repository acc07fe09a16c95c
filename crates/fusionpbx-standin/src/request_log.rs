//! What the stand-in was asked, request by request.

use std::collections::HashMap;
use std::time::Duration;

/// One request as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Counts from 1 since the server was made; clearing the journal does not start it again.
    pub seq: u64,
    /// Time since the server was made at which the request arrived.
    pub at: Duration,
    /// Time from arrival to the answer; `None` while there is none.
    pub took: Option<Duration>,
    /// The session id that the client sent, if it sent one.
    pub session: Option<String>,
    /// `GET`, `POST`, …
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query as sent, still encoded.
    pub query: String,
    /// Posted fields in order; passwords are masked.
    pub form: Vec<(String, String)>,
    /// The status of the answer; `None` when none was sent (yet).
    pub status: Option<u16>,
    /// Whether this is the sign-in form being posted.
    pub sign_in: bool,
    /// Whether the request could change something: a POST that is not the sign-in.
    pub mutating: bool,
    /// The faults that were applied to it, by name.
    pub faults: Vec<String>,
}

impl Request {
    /// The value of a posted field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.form.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// All requests since the start or the last clearing.
#[derive(Debug, Default)]
pub(super) struct RequestLog {
    next: u64,
    first: u64,
    pub requests: Vec<Request>,
    in_flight: HashMap<String, usize>,
    pub max_in_one_session: usize,
    pub max_in_flight: usize,
    total_in_flight: usize,
}

impl RequestLog {
    /// Notes an arriving request and returns its number.
    pub fn arrive(&mut self, mut request: Request) -> u64 {
        self.next += 1;
        request.seq = self.next;
        if let Some(session) = &request.session {
            let waiting = self.in_flight.entry(session.clone()).or_default();
            *waiting += 1;
            self.max_in_one_session = self.max_in_one_session.max(*waiting);
        }
        self.total_in_flight += 1;
        self.max_in_flight = self.max_in_flight.max(self.total_in_flight);
        self.requests.push(request);
        self.next
    }

    /// The entry with this number, unless it has been cleared away.
    pub fn entry(&mut self, seq: u64) -> Option<&mut Request> {
        let index = usize::try_from(seq.checked_sub(self.first + 1)?).ok()?;
        self.requests.get_mut(index)
    }

    /// Notes that a request is over, answered or not.
    pub fn leave(&mut self, session: Option<&str>) {
        self.total_in_flight = self.total_in_flight.saturating_sub(1);
        if let Some(session) = session
            && let Some(waiting) = self.in_flight.get_mut(session)
        {
            *waiting -= 1;
            if *waiting == 0 {
                self.in_flight.remove(session);
            }
        }
    }

    pub fn clear(&mut self) {
        self.first = self.next;
        self.requests.clear();
        self.max_in_one_session = 0;
        self.max_in_flight = 0;
    }
}

/// A posted value as the journal may keep it.
pub(super) fn masked(name: &str, value: &str) -> String {
    if name.contains("password") { "***".to_owned() } else { value.to_owned() }
}
