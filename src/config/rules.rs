//! Numbers and modes: defaults, deletion, limits, the daemon's pace.

use std::time::Duration;

use super::{DaemonConfig, Defaults, Deletion, DeletionMode, Limit, Limits, Tier};
use crate::model::{MaxUsers, SESSION_TIMEOUT_MINUTES};
use crate::yaml::{Field, Finding, Reader, Value};

/// The longest retention, in days: ten years.
const MAX_RETENTION_DAYS: u32 = 3650;

pub(super) fn defaults(reader: &mut Reader, field: &Field<'_>, tier: &Tier) -> Defaults {
    let mut defaults = Defaults::default();
    let keys: &[&str] = &["session_timeout", "max_users"];
    let Some(fields) = reader.mapping(field, "defaults of tenants", keys) else { return defaults };
    if let Some(field) = fields.get("session_timeout")
        && let Some(minutes) = reader.number(&field, SESSION_TIMEOUT_MINUTES, "minutes")
    {
        defaults.session_timeout = minutes;
    }
    let Some(field) = fields.get("max_users") else { return defaults };
    if matches!(&field.node.value, Value::Scalar { text, .. } if text == "unlimited") {
        return defaults;
    }
    if let Some(number) = reader.number(&field, 1..=1_000_000, "users, or `unlimited`") {
        defaults.max_users = MaxUsers::Limited(number);
        if let Some(ceiling) = tier.max_users_per_tenant.filter(|ceiling| number > *ceiling) {
            reader.report(
                Finding::error(
                    field.node.span,
                    format!("`{}` is {number}, more than the tier allows", field.path),
                )
                .expected(format!("at most {ceiling} (`tier.max_users_per_tenant`)"))
                .help(format!("write `max_users: {ceiling}`, or raise the tier's limit")),
            );
        }
    }
    defaults
}

pub(super) fn deletion(reader: &mut Reader, field: &Field<'_>) -> Deletion {
    const MODES: [(&str, DeletionMode); 3] = [
        ("approve", DeletionMode::Approve),
        ("automatic", DeletionMode::Automatic),
        ("never", DeletionMode::Never),
    ];
    let mut deletion = Deletion::default();
    let Some(fields) = reader.mapping(field, "how tenants are deleted", &["mode", "retention_days"]) else {
        return deletion;
    };
    let mode = fields.get("mode");
    if let Some(mode) = &mode
        && let Some(word) = reader.word(mode, &MODES)
    {
        deletion.mode = word;
    }
    // A retention that was left blank and took a default has deleted a customer's cloud elsewhere.
    let retention = match deletion.mode {
        DeletionMode::Never => fields.get("retention_days"),
        _ => fields.require(reader, "retention_days", "retention_days: 30"),
    };
    if let Some(field) = retention
        && let Some(days) = reader.number(&field, 0..=MAX_RETENTION_DAYS, "days")
    {
        deletion.retention_days = days;
        if days == 0 && deletion.mode != DeletionMode::Never {
            reader.report(
                Finding::warning(field.node.span, "a disabled tenant may be deleted at once")
                    .expected("some days of retention, such as 30")
                    .help("write 1 day or more, so that a file that was removed by mistake can be restored in time"),
            );
        }
    }
    deletion
}

pub(super) fn limits(reader: &mut Reader, field: &Field<'_>) -> Limits {
    let mut limits = Limits::default();
    let keys: &[&str] = &["removals", "disables", "creates", "updates"];
    let Some(fields) = reader.mapping(field, "limits of what may change", keys) else { return limits };
    if let Some(field) = fields.get("removals") {
        limits.removals = limit(reader, &field).unwrap_or(limits.removals);
    }
    if let Some(field) = fields.get("disables") {
        limits.disables = limit(reader, &field).unwrap_or(limits.disables);
    }
    limits.creates = fields.get("creates").and_then(|field| limit(reader, &field));
    limits.updates = fields.get("updates").and_then(|field| limit(reader, &field));
    limits
}

/// Both numbers must be there: half a limit would be completed by a guess.
fn limit(reader: &mut Reader, field: &Field<'_>) -> Option<Limit> {
    let fields = reader.mapping(field, "a limit, `{count: 1, percent: 10}`", &["count", "percent"])?;
    let count = fields.require(reader, "count", "count: 1");
    let count = count.and_then(|field| reader.number(&field, 0..=100_000, "tenants"));
    let percent = fields.require(reader, "percent", "percent: 10");
    let percent = percent.and_then(|field| reader.number(&field, 0..=100, "percent"));
    let limit = Limit { count: count?, percent: percent? };
    let what = match limit {
        Limit { count: 0, percent: 0 } => "this limit holds every step until it is approved",
        Limit { percent: 100, .. } => "this limit never holds a step",
        _ => return Some(limit),
    };
    reader.report(
        Finding::warning(field.key_span, format!("`{}`: {what}", field.path))
            .expected("a small share, such as `{count: 1, percent: 10}`")
            .help("keep it only if you intend this"),
    );
    Some(limit)
}

pub(super) fn daemon(reader: &mut Reader, field: &Field<'_>) -> DaemonConfig {
    let seconds = Duration::from_secs;
    let mut daemon = DaemonConfig::default();
    let keys: &[&str] = &["interval", "quiet", "quiet_max", "settings_cycle", "user_sync"];
    let Some(fields) = reader.mapping(field, "the daemon's pace", keys) else { return daemon };
    let quiet = fields.get("quiet");
    let quiet_max = fields.get("quiet_max");
    let mut set = |field: Option<&Field<'_>>, value: &mut Duration, least: Duration, most: Duration| {
        if let Some(read) = field.and_then(|field| reader.duration(field, least..=most)) {
            *value = read;
        }
    };
    set(fields.get("interval").as_ref(), &mut daemon.interval, seconds(5), seconds(86_400));
    set(quiet.as_ref(), &mut daemon.quiet, Duration::from_millis(50), seconds(60));
    set(quiet_max.as_ref(), &mut daemon.quiet_max, Duration::from_millis(50), seconds(600));
    set(fields.get("settings_cycle").as_ref(), &mut daemon.settings_cycle, seconds(60), seconds(7 * 86_400));
    if let Some(field) = fields.get("user_sync") {
        daemon.user_sync = user_sync(reader, &field, daemon.interval).unwrap_or(daemon.user_sync);
    }
    if let Some(field) = quiet_max.or(quiet)
        && daemon.quiet_max < daemon.quiet
    {
        let finding = Finding::error(field.node.span, "`daemon.quiet_max` is shorter than `daemon.quiet`")
            .expected(format!("at least {}", humantime::format_duration(daemon.quiet)))
            .help("`quiet_max` bounds the waiting for a quiet directory; 10s is the default");
        reader.report(finding);
    }
    daemon
}

/// Words that people try where `never` is meant.
const OFF: [&str; 6] = ["off", "no", "false", "none", "disabled", "0"];

/// A duration, or `never`.
fn user_sync(reader: &mut Reader, field: &Field<'_>, interval: Duration) -> Option<Option<Duration>> {
    if matches!(&field.node.value, Value::Scalar { text, .. } if text == "never") {
        return Some(None);
    }
    if matches!(&field.node.value, Value::Scalar { text, .. } if OFF.contains(&text.as_str())) {
        reader.wrong(field, "a duration with its unit, or `never`", "write `user_sync: never`");
        return None;
    }
    let read = reader.duration(field, Duration::from_secs(5)..=Duration::from_secs(7 * 86_400))?;
    if read < interval {
        let finding =
            Finding::warning(field.node.span, format!("`{}` is shorter than `daemon.interval`", field.path))
                .expected(format!("at least {}, or `never`", humantime::format_duration(interval)))
                .help("write a longer time, because users are read during runs");
        reader.report(finding);
    }
    Some(Some(read))
}
