//! Misbehaviour on demand.

use std::time::Duration;

use super::exchange::Call;

/// How the server misbehaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// This status with a short page instead of the work; `retry_after` in seconds.
    Status { code: u16, retry_after: Option<u64> },
    /// Waits before the work, holding the session as a slow page does.
    Latency(Duration),
    /// Never answers, and does nothing.
    HangForever,
    /// Resets the connection before anything is done.
    ConnectionReset,
    /// Does the work, then resets the connection instead of answering.
    CommitThenReset,
    /// Does the work, then answers with this status.
    CommitThenStatus(u16),
    /// Does the work, then never answers.
    CommitThenHang,
    /// Sends half of the body and resets the connection.
    TruncatedBody,
    /// Sends the first half of the body as if it were all of it.
    TruncatedJson,
    /// Answers 200 with the sign-in page, as if the session were gone (it is not).
    LoginPageWith200,
    /// Answers 200 with an HTML page that is neither data nor sign-in.
    HtmlForJson,
    /// Answers `[]`.
    EmptyJsonArray,
    /// A list page with this number (from 0) shows no rows.
    MissingPage(usize),
    /// List pages name a total that is off by this much.
    WrongTotal(i64),
    /// Answers with a redirect to this address and does nothing.
    Redirect302(String),
    /// The sign-in refuses everybody.
    RejectCredentials,
    /// Answers 200 with `access denied` and does nothing.
    AccessDenied,
    /// A domain just written has its description trimmed and lower-cased.
    NormaliseNames,
    /// A field just written comes back to what it was. `domain_name`, `domain_enabled`, `domain_description`,
    /// `domain_setting_value` or `domain_setting_enabled`.
    RevertField(&'static str),
    /// Answers as on success and saves nothing.
    IgnoreWrites,
    /// A delete dies after this many tables: no answer, and the domain row is still there.
    DieAtDeleteTable(usize),
    /// Sends the body a byte at a time with this pause.
    SlowLoris(Duration),
    /// Sends the body as UTF-16 and calls it UTF-8.
    WrongCharset,
    /// Does the work, then answers 200 with an empty line where a redirect was meant: PHP without output buffering,
    /// behind a page that has printed something.
    Unbuffered,
    /// Answers as a reverse proxy does that cannot use the server: a page of its own under this status.
    ProxyPage(u16),
    /// Answers as a web application firewall does that dislikes the request: a page of its own under this status, which
    /// may be 200.
    FirewallPage(u16),
    /// Answers with a page to be confirmed, such as terms of use. FusionPBX has none; sites put one in.
    TermsPage,
    /// Answers with a page of the sign-in that asks for a new password. FusionPBX has none; sites put one in.
    NewPasswordPage,
    /// Answers 500 with a page that repeats the password last posted, raw and encoded.
    EchoPassword,
}

impl FaultKind {
    /// The name as the journal shows it.
    pub fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
    }
}

#[derive(Debug, Clone, Copy)]
enum When {
    Always,
    First(u32),
    Nth(u32),
    Every(u32),
    After(u32),
}

/// A [`FaultKind`] and the requests it strikes: all of them, until narrowed.
///
/// ```
/// use fusionpbx_standin::{Fault, FaultKind};
/// let lost_reply = Fault::new(FaultKind::CommitThenReset).page("domain_edit.php").method("POST").first(1);
/// ```
#[derive(Debug, Clone)]
pub struct Fault {
    kind: FaultKind,
    page: Option<String>,
    method: Option<String>,
    field: Option<(String, String)>,
    when: When,
}

impl Fault {
    /// Strikes every request.
    pub fn new(kind: FaultKind) -> Fault {
        Fault { kind, page: None, method: None, field: None, when: When::Always }
    }

    /// Only requests whose path ends with this.
    #[must_use]
    pub fn page(mut self, path: impl Into<String>) -> Fault {
        self.page = Some(path.into());
        self
    }

    /// Only requests with this method.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Fault {
        self.method = Some(method.into());
        self
    }

    /// Only requests with this field in the form or the query.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<String>) -> Fault {
        self.field = Some((name.into(), value.into()));
        self
    }

    /// Only the first `count` of the matching requests.
    #[must_use]
    pub fn first(mut self, count: u32) -> Fault {
        self.when = When::First(count);
        self
    }

    /// Only the `number`th matching request, counted from 1.
    #[must_use]
    pub fn nth(mut self, number: u32) -> Fault {
        self.when = When::Nth(number);
        self
    }

    /// Every `step`th matching request.
    #[must_use]
    pub fn every(mut self, step: u32) -> Fault {
        self.when = When::Every(step.max(1));
        self
    }

    /// All matching requests but the first `count`.
    #[must_use]
    pub fn after(mut self, count: u32) -> Fault {
        self.when = When::After(count);
        self
    }

    fn matches(&self, call: &Call) -> bool {
        self.page.as_deref().is_none_or(|page| call.path.ends_with(page))
            && self.method.as_deref().is_none_or(|method| call.method == method)
            && self.field.as_ref().is_none_or(|(name, value)| call.request(name) == Some(value))
    }
}

/// Names an injected fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(u64);

#[derive(Debug)]
struct Armed {
    id: FaultId,
    fault: Fault,
    matched: u32,
    fired: u32,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(super) struct Faults {
    next: u64,
    armed: Vec<Armed>,
}

impl Faults {
    pub fn inject(&mut self, fault: Fault) -> FaultId {
        self.next += 1;
        let id = FaultId(self.next);
        self.armed.push(Armed { id, fault, matched: 0, fired: 0 });
        id
    }

    pub fn remove(&mut self, id: FaultId) {
        self.armed.retain(|armed| armed.id != id);
    }

    pub fn clear(&mut self) {
        self.armed.clear();
    }

    pub fn fired(&self, id: FaultId) -> u32 {
        self.armed.iter().find(|armed| armed.id == id).map_or(0, |armed| armed.fired)
    }

    /// The faults that strike this request, in the order in which they were injected.
    pub fn strike(&mut self, call: &Call) -> Strike {
        let mut kinds = Vec::new();
        for armed in &mut self.armed {
            if !armed.fault.matches(call) {
                continue;
            }
            armed.matched += 1;
            let strikes = match armed.fault.when {
                When::Always => true,
                When::First(count) => armed.matched <= count,
                When::Nth(number) => armed.matched == number,
                When::Every(step) => armed.matched.is_multiple_of(step),
                When::After(count) => armed.matched > count,
            };
            if strikes {
                armed.fired += 1;
                kinds.push(armed.fault.kind.clone());
            }
        }
        Strike { kinds }
    }
}

/// The faults of one request.
#[derive(Debug, Default)]
pub(super) struct Strike {
    pub kinds: Vec<FaultKind>,
}

impl Strike {
    pub fn has(&self, kind: &FaultKind) -> bool {
        self.kinds.contains(kind)
    }

    /// The first value that `pick` finds in a fault of this request.
    pub fn find<T>(&self, pick: impl FnMut(&FaultKind) -> Option<T>) -> Option<T> {
        self.kinds.iter().find_map(pick)
    }

    pub fn total_off_by(&self) -> i64 {
        self.find(|kind| if let FaultKind::WrongTotal(by) = kind { Some(*by) } else { None }).unwrap_or(0)
    }

    pub fn hides_page(&self, page: usize) -> bool {
        self.has(&FaultKind::MissingPage(page))
    }

    pub fn delete_stops_after(&self) -> Option<usize> {
        self.find(|kind| if let FaultKind::DieAtDeleteTable(tables) = kind { Some(*tables) } else { None })
    }
}
