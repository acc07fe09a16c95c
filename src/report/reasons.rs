//! The texts of reasons: why a step is planned, held or scheduled.
//!
//! Each is one clause, or two sentences at most, and stands behind `action tenant on instance: `.

use std::fmt;

use super::count;
use crate::environment::to_the_minute;
use crate::model::TenantKey;
use crate::plan::{
    CONTESTED_AFTER, Held, HeldReason, LikelyRename, Likeness, LimitExceeded, NotCheckedStep, OutOfService,
    RetentionStart, ScheduledReason, StepReason,
};

impl fmt::Display for StepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileNew => f.write_str("its file is new"),
            Self::FileChanged => f.write_str("its file changed"),
            Self::FileBack => f.write_str("its file is back"),
            Self::FileRemoved => f.write_str("its file was removed"),
            Self::FileRemovedWhileDisabled => {
                f.write_str("its file was removed; it is already disabled, so its retention starts now")
            }
            Self::FileRenamed { from, declared: true } => write!(f, "its file says `previously: {from}`"),
            Self::FileRenamed { from, declared: false } => {
                write!(f, "the file of {from} was renamed; nothing changes on the PBX")
            }
            Self::InstanceChanged { from, to } => {
                write!(f, "its file now names the instance {to} instead of {from}")
            }
            Self::AdoptedByFile => f.write_str("take over the existing domain (`adopt: true`)"),
            Self::AdoptedByCommand { by } => write!(f, "take over the existing domain (adopt by {by})"),
            Self::AdoptedByImport { by } => {
                write!(f, "take over the existing domain as it is (import by {by})")
            }
            Self::DriftOnPbx => f.write_str("drift: it was changed on the PBX"),
            Self::DriftOfSmsNumbers => f.write_str("drift: its SMS numbers were changed on the platform"),
            Self::DriftEnabled => f.write_str("drift: it was enabled on the PBX"),
            Self::DriftWebSignIn => f.write_str("drift: its web sign-in block was removed on the PBX"),
            Self::DriftDomainMissing => {
                f.write_str("drift: its domain is missing on the PBX and is created again")
            }
            Self::Unfinished => f.write_str("an earlier run did not finish it"),
            Self::UnfinishedCreate => f.write_str("an earlier run did not finish creating it"),
            Self::UnfinishedDelete => f.write_str("an earlier run did not finish deleting it"),
            Self::UnfinishedDeleteOfPrevious => {
                f.write_str("an earlier run did not finish deleting its previous domain")
            }
            Self::DisableNotConfirmed => {
                f.write_str("the PBX did not confirm that it is disabled; disabling it again")
            }
            Self::WebSignInNotBlocked => f.write_str("its web sign-in is not blocked yet"),
            Self::Restored { at, instance } => write!(
                f,
                "it was restored from an archive on {}; its domain still exists on {instance}",
                to_the_minute(*at)
            ),
            Self::RestoredWithoutDomain { at, instance } => write!(
                f,
                "it was restored from an archive on {}; its domain does not exist on {instance}",
                to_the_minute(*at)
            ),
            Self::RestoredWithoutFile { at } => write!(
                f,
                "it was restored from an archive on {} and has no file, so it stays disabled",
                to_the_minute(*at)
            ),
            Self::RestoredWithoutFileAndDomain { at, instance, tenant } => write!(
                f,
                "it was restored from an archive on {} and has neither a file nor a domain on {instance}, so it stays \
                 disabled. To create its domain, add {tenant}.yaml",
                to_the_minute(*at)
            ),
            Self::RetentionEnded => {
                f.write_str("its file was removed, it is disabled, and its retention has ended")
            }
            Self::RetentionEndedWithoutDomain => {
                f.write_str("its file was removed, its domain no longer exists, and its retention has ended")
            }
            Self::RetentionOfPreviousEnded => f.write_str(
                "the domain that it had before it moved is disabled, and the retention of that domain has ended",
            ),
            Self::PreviousDomainGone => f.write_str("the domain that it had before it moved no longer exists"),
            Self::PreviousStaysDisabled { instance } => {
                write!(f, "it moved to {instance}, so its previous domain stays disabled")
            }
        }
    }
}

impl fmt::Display for HeldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(exceeded) => exceeded.fmt(f),
            Self::NeedsApproval { record_only, planned } => {
                let deleting = if *record_only { "deleting its record" } else { "deleting it" };
                write!(f, "{deleting} needs approval (`deletion.mode: approve`); {planned}")
            }
            Self::LikelyRename(rename) => rename.fmt(f),
            Self::DomainExists { domain, instance } => {
                let domain = domain.as_ref().map_or("its domain", |domain| domain.as_str());
                write!(f, "{domain} already exists on {instance} and is not managed by tenantd")
            }
            Self::Paused { by, until, why } => {
                write!(f, "paused by {by} until {}: {why}", to_the_minute(*until))
            }
            Self::NoRemovals => f.write_str("this run disables and deletes no tenant (--no-removals)"),
            Self::InstanceNotChecked { instance, problem, planned } => match planned {
                NotCheckedStep::Create => {
                    write!(f, "{instance} was not checked, so its domain may exist there: {problem}")
                }
                NotCheckedStep::Update(fields) => {
                    let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
                    write!(f, "{} changed, but {instance} was not checked: {problem}", fields.join(", "))
                }
                NotCheckedStep::Move => write!(f, "{instance} was not checked: {problem}"),
                NotCheckedStep::FileRemoved => {
                    write!(f, "its file was removed, but {instance} was not checked: {problem}")
                }
            },
            Self::InstanceNotConfigured { instance } => {
                write!(f, "it is recorded on the instance {instance}, which is not in tenantd.yaml. Add {instance} there again")
            }
            Self::DomainsMissing { instance, missing } => write!(
                f,
                "{missing} recorded domains are missing on {instance} at once. It may be another server or a restored \
                 backup, so nothing is changed there. Restore the domains, or raise `limits.removals` to have them \
                 created again"
            ),
            Self::FileBroken => f.write_str("its file is broken, so its desired state is not known. `tenantd validate` shows the error"),
            Self::FileUnderAnotherName { file, mend } => {
                write!(f, "its file is missing, but {file} could be it: {mend}")
            }
            Self::FilesNotFullyRead { problem } => write!(
                f,
                "its file is missing, but {problem}. No tenant is disabled or deleted until `tenantd validate` finds every \
                 file readable"
            ),
            Self::PreviousFilesNotFullyRead { problem } => {
                write!(f, "{problem}. No domain is deleted until `tenantd validate` finds every file readable")
            }
            Self::TierFull { allowed, managed, new } => write!(
                f,
                "the tier allows {allowed} tenants (`tier.max_tenants`); {managed} exist and {new} would be added, so none is. \
                 Remove new files, or raise the limit"
            ),
            Self::ContestedField { field } => write!(
                f,
                "`{field}` is contested: tenantd set it {CONTESTED_AFTER} times, and it was changed back each time. \
                 Find out what else sets it; once it has the desired value on the PBX, the hold ends"
            ),
            Self::DomainOfAnotherTenant { domain, owner } => {
                write!(f, "{domain} still belongs to the tenant {owner}. Give {owner} another domain first")
            }
            Self::DomainRecordedFor { domain, instance, owner } => {
                write!(f, "{domain} on {instance} is recorded as a domain of the tenant {owner}")
            }
            Self::DomainMissingAndTaken { instance, taken } => {
                write!(f, "its own domain is missing on {instance}, and its name is in use: {taken}")
            }
            Self::SeveralDomains { domain, instance, count } => {
                write!(f, "{count} domains on {instance} are named {domain}. Rename all but one on the PBX")
            }
            Self::NameShared { domain, instance } => write!(
                f,
                "another domain on {instance} is also named {domain}, and FusionPBX keeps the recordings and voicemail \
                 of both together. Rename the other domain first"
            ),
            Self::RenamedOnPbx { name } => {
                write!(
                f,
                "its domain was renamed to {name} on the PBX and may be in use under that name. To have it deleted, \
                 rename it back there"
            )
            }
            Self::OwnAccount { domain, instance } => write!(
                f,
                "{domain} holds tenantd's own account on {instance}, so it cannot become a tenant: disabling or renaming \
                 it would lock tenantd out"
            ),
            Self::WouldLockTenantdOut { domain, instance } => write!(
                f,
                "{domain} holds tenantd's own account on {instance}, so disabling or renaming it would lock tenantd out. \
                 Move the account to a domain of its own"
            ),
            Self::SmsNumberTaken { number, owner } => {
                write!(f, "the SMS number {number} still belongs to the tenant {owner}. Release it there first")
            }
            Self::SmsNumberNotReleased { number, owner } => write!(
                f,
                "the SMS number {number} still belongs to the tenant {owner}, which does not release it in this run"
            ),
            Self::Protected => f.write_str(
                "it is protected. Restore its file with `protected: false`, apply that, and remove the file again",
            ),
            Self::PreviousProtected => {
                f.write_str("the tenant is protected, so its previous domain is not deleted")
            }
            Self::SessionsOpen { count: sessions } => {
                let are = if *sessions == 1 { "is" } else { "are" };
                write!(f, "{} {are} open; it is deleted after the last one ends", count(u64::try_from(*sessions).unwrap_or_default(), "user session"))
            }
            Self::PreviousPlacementFirst { domain, instance } => {
                write!(f, "its previous domain {domain} on {instance} must be deleted first")
            }
            Self::DisableHeld => f.write_str("the step that disables it is held"),
            Self::CreateElsewhereHeld => {
                f.write_str("it stays enabled until it is created on its new instance, and that step is held")
            }
            Self::CreateElsewhereUnfinished => f.write_str(
                "it stays enabled until it is created on its new instance, which an earlier run did not finish",
            ),
        }
    }
}

/// `disabled, moved or renamed`
fn either(words: impl IntoIterator<Item = &'static str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    match words.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LastEnabledTenants { instance, count } => write!(
                f,
                "all {count} enabled tenants of {instance} would be disabled or moved away at once, which always needs \
                 approval"
            ),
            Self::Configured { name, done, count: tenants, earlier, allowed, limit, managed } => {
                let within = match earlier {
                    0 => String::new(),
                    earlier => format!(" within 24 hours, {earlier} of them already"),
                };
                write!(
                    f,
                    "{} would be {}{within}; the limit is {allowed} (`{name}`: {} or {} % of {managed}, whichever is more)",
                    count(*tenants, "tenant"),
                    either(done.iter().copied()),
                    limit.count,
                    limit.percent
                )
            }
        }
    }
}

impl fmt::Display for LikelyRename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { old, new, created, likeness, others } = self;
        let others = match others.as_slice() {
            [] => String::new(),
            some => {
                let named: Vec<String> = some.iter().map(|key: &TenantKey| format!("`{key}`")).collect();
                format!(". Also like {old}: {}", named.join(", "))
            }
        };
        match created {
            None => write!(
                f,
                "{new} is new and looks like {old}, whose file was removed: {likeness}{others}. If {old} was renamed, \
                 write `previously: {old}` in {new}.yaml; approve only if they are two tenants"
            ),
            // Too late for `previously:`: the new one has a record of its own.
            Some(created) => write!(
                f,
                "{new} was created on {} and looks like {old}, whose file was removed: {likeness}{others}. To keep {old} \
                 in service, restore {old}.yaml; approve only if they are two tenants",
                to_the_minute(*created)
            ),
        }
    }
}

impl fmt::Display for Likeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Names => "they have the same name",
            Self::NameContainsTheOther => "one name contains the other",
            Self::Lines => "most lines of their files are the same",
            Self::LinesWhereNoOther => {
                "most lines of their files are the same, and no other tenant of the instance is added or removed"
            }
            Self::Keys => "their keys are alike",
        })
    }
}

impl fmt::Display for ScheduledReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protected = match self {
            Self::Retention { days, since, protected } => {
                let since = match since {
                    RetentionStart::Disabled => "it was disabled",
                    RetentionStart::Moved => "it moved away",
                };
                write!(f, "retention of {} since {since}", count(*days, "day"))?;
                *protected
            }
            Self::ClockNotSteady { protected } => {
                f.write_str(
                    "the end of its retention cannot be trusted yet, because tenantd did not run for a long time or the \
                     clock jumped. It is deleted after tenantd has run for a day without a gap",
                )?;
                *protected
            }
            Self::WebSessionsOpen => {
                return f.write_str("disabled; web sessions that were open before may still work until then");
            }
        };
        if protected { f.write_str(". It is protected, so it is not deleted after that") } else { Ok(()) }
    }
}

impl fmt::Display for OutOfService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "It is disabled on {} now, so its phones cannot register", self.instance)
    }
}

impl Held {
    /// The whole reason for people: why it is held, and what that means for the tenant's phones.
    pub fn why(&self) -> String {
        match &self.out_of_service {
            None => self.reason.to_string(),
            Some(out_of_service) => format!("{}. {out_of_service}", self.reason),
        }
    }
}
