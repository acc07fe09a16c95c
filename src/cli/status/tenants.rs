//! One tenant's line: what is in force, what is desired, and how it stands.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::Noted;
use crate::diff;
use crate::environment::to_the_minute;
use crate::load::Loaded;
use crate::model::{
    Completeness, Condition, ConditionSince, Desired, DomainName, InstanceKey, Recorded, Tenant,
    TenantCondition, TenantKey, TenantRecord,
};
use crate::report::{self, ChangeNoteJson, TenantStatusJson};
use crate::stats::StatsJson;
use crate::store::AuditEntry;

/// One tenant as files and database know it.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub key: &'a TenantKey,
    pub desired: Option<&'a Tenant>,
    pub record: Option<&'a TenantRecord>,
    pub last: Option<&'a AuditEntry>,
}

impl<'a> Subject<'a> {
    pub fn new(
        key: &'a TenantKey,
        desired: &'a Desired,
        recorded: &'a Recorded,
        last: Option<&'a AuditEntry>,
    ) -> Self {
        let (desired, record) = (desired.tenants.get(key), recorded.tenants.get(key));
        Self { key, desired, record, last }
    }

    fn instance(&self) -> Option<&'a InstanceKey> {
        self.record
            .map(|record| &record.definition.instance)
            .or(self.desired.map(|desired| &desired.definition.instance))
    }

    fn state(&self) -> &'static str {
        match self.record {
            None if self.desired.is_some() => "new",
            None => "broken file",
            Some(record) if record.restored_at.is_some() => "restored",
            Some(record) if record.file_removed_at.is_some() => "removed",
            Some(record) if !record.definition.enabled && record.disable_confirmed_at.is_none() => {
                "disabling"
            }
            Some(record) if !record.definition.enabled => "disabled",
            Some(record) if !record.provisioned => "unfinished",
            Some(_) => "enabled",
        }
    }
}

/// How a tenant stands: what the last run concluded, unless files or orders have changed since.
pub fn standing(
    of: Subject<'_>,
    desired: &Desired,
    recorded: &Recorded,
    known: Option<&ConditionSince>,
) -> (TenantCondition, Option<DateTime<Utc>>) {
    let since = |standing: TenantCondition| {
        let since = known.filter(|known| standing.goes_on(&known.standing)).map(|known| known.since);
        (standing, since)
    };
    if let Some(paused) = report::paused(recorded, of.key, of.instance()) {
        // The last run may have added that the tenant is out of service, which only a run can see.
        let same = |known: &&ConditionSince| {
            known.standing.condition == Condition::Paused
                && known.standing.reason.as_ref().zip(paused.reason.as_ref()).is_some_and(
                    |(known, paused)| {
                        // A run of an earlier version joined the two with a semicolon.
                        let rest = known.strip_prefix(paused.as_str());
                        rest.is_some_and(|rest| rest.starts_with(". ") || rest.starts_with("; "))
                    },
                )
        };
        let reason = known.filter(same).and_then(|known| known.standing.reason.clone());
        let paused = TenantCondition { reason: reason.or(paused.reason), ..paused };
        let pause = recorded.pauses.iter().find(|pause| pause.covers(of.key, of.instance()));
        return (paused, pause.map(|pause| pause.paused_at));
    }
    if let Completeness::Unreadable { reason } = &desired.completeness {
        return since(TenantCondition::new(Condition::NotChecked, format!("the tenants directory {reason}")));
    }
    if let Some(file) = desired.broken.iter().find(|file| file.key.as_ref() == Some(of.key)) {
        return since(report::broken_file(file));
    }
    if let Some(file) = desired.unusual_file_of(of.key) {
        return since(report::unusual_file(file));
    }
    if let Some(changed) = changed_since(of, known) {
        return (changed, None);
    }
    match known {
        Some(known) => (known.standing.clone(), Some(known.since)),
        None => (TenantCondition::new(Condition::NotChecked, "no run has checked it yet"), None),
    }
}

/// What was done to the file since the last run, where that run left nothing to tell.
fn changed_since(of: Subject<'_>, known: Option<&ConditionSince>) -> Option<TenantCondition> {
    let pending = |text: String| Some(TenantCondition::new(Condition::Pending, text));
    let before = known.map(|known| known.standing.condition);
    match (of.desired, of.record) {
        (desired, Some(record)) if known.is_none() && record.restored_at.is_some() => {
            let at = record.restored_at.map_or_else(String::new, |at| to_the_minute(at).to_string());
            pending(match desired {
                Some(_) => format!(
                    "restored from an archive on {at}; the next run takes over its domain again, or creates it"
                ),
                None => format!(
                    "restored from an archive on {at} and has no file, so it stays disabled. To put it into \
                     service, add {}.yaml",
                    of.key
                ),
            })
        }
        (Some(_), None) if known.is_none() => pending("its file is new; the next run checks it".to_owned()),
        _ if before == Some(Condition::Paused) => {
            pending("its pause has ended; the next run checks it".to_owned())
        }
        (Some(desired), Some(record))
            if matches!(before, Some(Condition::InSync | Condition::Scheduled) | None) =>
        {
            let differences = diff::tenant(desired, record, None);
            let fields: Vec<String> =
                differences.iter().map(|difference| difference.field.to_string()).collect();
            match fields.is_empty() {
                true => None,
                false => pending(format!("{} changed since the last run", fields.join(", "))),
            }
        }
        (None, Some(record)) if before == Some(Condition::InSync) && record.file_removed_at.is_none() => {
            pending("its file was removed or renamed since the last run".to_owned())
        }
        _ => None,
    }
}

/// The line of one tenant.
pub fn line(
    of: Subject<'_>,
    loaded: &Loaded,
    noted: &Noted,
    instances: &BTreeMap<&str, &str>,
    stats: Option<StatsJson>,
) -> TenantStatusJson {
    let (standing, since) = standing(of, &loaded.desired, &noted.recorded, noted.conditions.get(of.key));
    let problem = problem(of, loaded, &noted.recorded, instances);
    let mut reason_text = report::reason_text(&standing);
    if reason_text.is_empty() {
        reason_text = problem.clone().unwrap_or_default();
    }
    let name = of
        .record
        .map(|record| &record.definition.name)
        .or(of.desired.map(|desired| &desired.definition.name));
    let domain = of
        .record
        .map(|record| &record.definition.domain)
        .or(of.desired.map(|desired| &desired.definition.domain));
    let desired_name =
        of.desired.map(|desired| &desired.definition.name).filter(|desired| Some(*desired) != name);
    let desired_domain =
        of.desired.map(|desired| &desired.definition.domain).filter(|desired| Some(*desired) != domain);
    TenantStatusJson {
        key: of.key.to_string(),
        name: name.cloned().unwrap_or_default(),
        desired_name: desired_name.cloned(),
        domain: domain.map(ToString::to_string).unwrap_or_default(),
        domain_unicode: domain.and_then(DomainName::unicode),
        desired_domain: desired_domain.map(ToString::to_string),
        instance: of.instance().map(ToString::to_string).unwrap_or_default(),
        state: of.state().to_owned(),
        condition: standing.condition,
        reason: standing.reason,
        lifted_by: standing.lifted_by,
        until: standing.until.map(|at| at.to_rfc3339()),
        since: since.map(|at| at.to_rfc3339()),
        reason_text,
        last_change: of.last.map(|entry| ChangeNoteJson {
            at: entry.at.to_rfc3339(),
            action: entry.event.replace("tenant.", ""),
            actor: entry.actor.clone(),
            done: entry.done,
        }),
        problem,
        stats,
    }
}

/// What is wrong with it by the files and the database alone, in one line.
fn problem(
    of: Subject<'_>,
    loaded: &Loaded,
    recorded: &Recorded,
    instances: &BTreeMap<&str, &str>,
) -> Option<String> {
    let key = of.key;
    let broken = loaded.desired.broken.iter().find(|file| file.key.as_ref() == Some(key));
    let problem = broken
        .map(|file| {
            file.problems.first().map_or_else(|| format!("{} is broken", file.file), Clone::clone)
        })
        .or_else(|| {
            let file = loaded.desired.unusual_file_of(key)?;
            Some(format!("{}: {}; {}", file.shown, file.what, file.mend))
        })
        .or_else(|| {
            let instance = of.instance()?;
            instances.get(instance.as_str()).map(|problem| format!("{instance}: {problem}"))
        })
        .or_else(|| {
            let entry = of.last.filter(|entry| !entry.done)?;
            Some(entry.detail.clone().unwrap_or_else(|| format!("{} failed", entry.event)))
        })
        .or_else(|| {
            let is_open = recorded.open_intents.iter().any(|intent| intent.key == *key);
            is_open.then(|| {
                "the last request got no answer; the next run checks whether it was carried out".to_owned()
            })
        })
        .or_else(|| {
            of.record.filter(|record| record.web_sign_in_left_open && !record.definition.enabled).map(|_| {
                format!(
                    "it was disabled before it was imported, and its web sign-in is not blocked. To block it: \
                     tenantd block {key}"
                )
            })
        });
    let paused = recorded.pauses.iter().find(|pause| pause.covers(key, of.instance())).map(|pause| {
        let until = to_the_minute(pause.until);
        format!("paused until {until}: {}", pause.reason)
    });
    match (problem, paused) {
        (Some(problem), Some(paused)) => Some(format!("{problem}; {paused}")),
        (problem, paused) => problem.or(paused),
    }
}
