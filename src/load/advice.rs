//! Advice on a tenant's file. Each advice has a name, and `accept: [name]` in the file silences it.

use crate::model::{DomainName, SESSION_TIMEOUT_USUAL, TenantKey, Unresolvable};
use crate::yaml::{Finding, Severity, Span, quoted};

/// A kind of advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdviceKind {
    /// The name to write in `accept`; messages show it in brackets after `warning`.
    pub name: &'static str,
    /// What it warns of, as the manual says it.
    pub about: &'static str,
}

pub const UNCLEAR_NAME: AdviceKind = AdviceKind {
    name: "unclear-name",
    about: "a name that does not say which organisation or department the tenant is",
};
pub const DUPLICATE_NAME: AdviceKind =
    AdviceKind { name: "duplicate-name", about: "two tenants with the same name" };
pub const DOMAIN_UNRESOLVABLE: AdviceKind = AdviceKind {
    name: "domain-unresolvable",
    about: "a domain that phones cannot look up: with an underscore, with a port, or of numbers that are not an \
            address",
};
pub const SESSION_TIMEOUT_RANGE: AdviceKind =
    AdviceKind { name: "session-timeout-range", about: "a session timeout below 5 minutes or above 8 hours" };
pub const SESSION_TIMEOUT_LONG: AdviceKind = AdviceKind {
    name: "session-timeout-long",
    about: "a session timeout above the advised 30 to 60 minutes",
};
pub const SHARING_NOT_ALLOWED: AdviceKind =
    AdviceKind { name: "sharing-not-allowed", about: "a kind of sharing that the deployment does not allow" };
pub const SHARING_UNKNOWN: AdviceKind =
    AdviceKind { name: "sharing-unknown", about: "sharing with a tenant that has no file" };
pub const SHARING_ONE_SIDED: AdviceKind =
    AdviceKind { name: "sharing-one-sided", about: "sharing with a tenant that does not name this one" };

/// These two are reported by `status`, which knows what is recorded.
pub const USERS_NEAR_LIMIT: AdviceKind =
    AdviceKind { name: "users-near-limit", about: "80 % or more of the users that the tenant may have" };
pub const REMOVED_WHILE_ENABLED: AdviceKind = AdviceKind {
    name: "removed-while-enabled",
    about: "a file that was removed while the tenant was enabled (accepted in the last version of the file)",
};

/// Every advice that a file may accept, in the order of the manual.
pub const ADVICE_KINDS: [AdviceKind; 10] = [
    UNCLEAR_NAME,
    DUPLICATE_NAME,
    DOMAIN_UNRESOLVABLE,
    SESSION_TIMEOUT_RANGE,
    SESSION_TIMEOUT_LONG,
    SHARING_NOT_ALLOWED,
    SHARING_UNKNOWN,
    SHARING_ONE_SIDED,
    USERS_NEAR_LIMIT,
    REMOVED_WHILE_ENABLED,
];

impl AdviceKind {
    /// A warning of this advice.
    pub(super) fn warn(self, span: Span, what: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, advice: Some(self.name), ..Finding::error(span, what) }
    }
}

/// The longest session timeout that the product document advises, in minutes ("30–60 minutes for standard use").
const SESSION_TIMEOUT_ADVISED: u32 = 60;

/// Placeholders that name no organisation, in lower case and without digits and blanks at the end.
const PLACEHOLDER_NAMES: [&str; 40] = [
    "abc",
    "asdf",
    "bar",
    "client",
    "company",
    "company name",
    "customer",
    "default",
    "demo",
    "domain",
    "dummy",
    "example",
    "fixme",
    "foo",
    "foobar",
    "my company",
    "n/a",
    "na",
    "name",
    "new",
    "new client",
    "new customer",
    "new tenant",
    "none",
    "organisation",
    "organization",
    "pbx",
    "sample",
    "tbd",
    "temp",
    "tenant",
    "tenant name",
    "test",
    "test tenant",
    "testing",
    "tmp",
    "todo",
    "unknown",
    "unnamed",
    "untitled",
];

/// A name that does not identify the tenant: "test", "tenant1", "new", or the key or domain repeated.
pub(super) fn name(name: &str, key: &TenantKey, domain: Option<&str>, span: Span) -> Option<Finding> {
    let lower = name.to_lowercase();
    let base = lower.trim_end_matches(|c: char| !c.is_alphabetic()).replace(['_', '-'], " ");
    let why = if PLACEHOLDER_NAMES.contains(&base.as_str()) || PLACEHOLDER_NAMES.contains(&lower.as_str()) {
        "does not say who this is"
    } else if base.is_empty() || !name.chars().any(char::is_alphabetic) {
        "has no letters"
    } else if name.chars().filter(|c| c.is_alphanumeric()).count() < 2 {
        "is a single letter"
    } else if name == key.as_str() {
        "only repeats the file's name"
    } else if domain == Some(lower.as_str()) {
        "only repeats the domain"
    } else {
        return None;
    };
    Some(
        UNCLEAR_NAME
            .warn(span, format!("the name {} {why}", quoted(name)))
            .expected("the organisation or department, such as `Acme Corp`")
            .help("use the name of the organisation or department"),
    )
}

/// A domain that FusionPBX accepts and that phones cannot look up.
pub(super) fn domain(domain: &DomainName, span: Span) -> Option<Finding> {
    let why = match domain.unresolvable()? {
        Unresolvable::Underscore => "has an underscore, and many phones do not look up such names (RFC 1123)",
        Unresolvable::Port => "has a port, and phones cannot look up a name with a port",
        Unresolvable::Numbers => "consists of numbers and is not an IPv4 address",
    };
    Some(
        DOMAIN_UNRESOLVABLE
            .warn(span, format!("the domain {} {why}", quoted(domain.as_str())))
            .expected("a host name that phones can look up, or an IPv4 address")
            .help("give the tenant another domain, unless its phones use a proxy"),
    )
}

/// A session timeout outside what is usual, or above what is advised.
pub(super) fn session_timeout(minutes: u32, span: Span) -> Option<Finding> {
    let (least, most) = (SESSION_TIMEOUT_USUAL.start(), SESSION_TIMEOUT_USUAL.end());
    if minutes < *least {
        return Some(
            SESSION_TIMEOUT_RANGE
                .warn(span, format!("users are signed out after {minutes} minutes"))
                .expected(format!("{least} to {most} minutes"))
                .help("use 30 to 60 minutes, or 15 where security matters more"),
        );
    }
    if minutes > *most {
        return Some(
            SESSION_TIMEOUT_RANGE
                .warn(span, format!("users stay signed in for {}", hours(minutes)))
                .expected(format!("{least} to {most} minutes"))
                .help("use 30 to 60 minutes: an unattended phone stays signed in that long"),
        );
    }
    (minutes > SESSION_TIMEOUT_ADVISED).then(|| {
        SESSION_TIMEOUT_LONG
            .warn(span, format!("users stay signed in for {}", hours(minutes)))
            .expected("30 to 60 minutes, shorter where security is high")
            .help("lower it if possible")
    })
}

fn hours(minutes: u32) -> String {
    match (minutes / 60, minutes % 60) {
        (hours, 0) => format!("{hours} hours"),
        (hours, rest) => format!("{hours} h {rest} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { start: 0, end: 1 };

    #[test]
    fn names_that_do_not_say_who_get_advice() {
        let key = TenantKey::parse("acme-corp").unwrap();
        for bad in [
            "test",
            "Test",
            "tenant1",
            "Tenant 12",
            "NEW",
            "new-tenant",
            "customer_3",
            "x",
            "123",
            "--",
            "acme-corp",
            "Acme.Example",
            "n/a",
        ] {
            assert!(name(bad, &key, Some("acme.example"), SPAN).is_some(), "{bad}");
        }
        for good in
            ["Acme Corp", "Testing Laboratories Ltd", "New York Times", "3M", "IBM", "株式会社", "Tenantry"]
        {
            assert_eq!(name(good, &key, Some("acme.example"), SPAN), None, "{good}");
        }
    }

    #[test]
    fn session_timeouts_outside_the_usual_are_advised_against() {
        let advice = |minutes| session_timeout(minutes, SPAN).and_then(|finding| finding.advice);
        assert_eq!(advice(4), Some("session-timeout-range"));
        assert_eq!(advice(5), None);
        assert_eq!(advice(60), None);
        assert_eq!(advice(61), Some("session-timeout-long"));
        assert_eq!(advice(480), Some("session-timeout-long"));
        assert_eq!(advice(481), Some("session-timeout-range"));
    }
}
