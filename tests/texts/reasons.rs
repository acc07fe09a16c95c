//! Why steps are planned, held and scheduled, and what they mean for people.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use strum::VariantNames;
use tenantd::config::Limit;
use tenantd::diff::Field;
use tenantd::model::{DomainName, InstanceKey, SmsNumber, TenantKey};
use tenantd::plan::{
    Effect, HeldReason, LikelyRename, Likeness, LimitExceeded, NotCheckedStep, RetentionStart,
    ScheduledReason, StepReason,
};

fn at() -> DateTime<Utc> {
    DateTime::from_timestamp(1_764_190_980, 0).unwrap()
}

fn key(text: &str) -> TenantKey {
    TenantKey::parse(text).unwrap()
}

fn hq() -> InstanceKey {
    InstanceKey::parse("hq").unwrap()
}

fn branch() -> InstanceKey {
    InstanceKey::parse("branch").unwrap()
}

fn domain() -> DomainName {
    DomainName::parse("acme.example.com").unwrap()
}

/// A line for each text, and that no code is missing.
fn lines<'c>(texts: Vec<(&'static str, String)>, codes: impl IntoIterator<Item = &'c &'c str>) -> String {
    let seen: BTreeSet<&str> = texts.iter().map(|(code, _)| *code).collect();
    let wanted: BTreeSet<&str> = codes.into_iter().copied().collect();
    assert_eq!(seen, wanted, "a text is missing here");
    texts.into_iter().map(|(code, text)| format!("{code}\n    {text}\n")).collect()
}

#[test]
fn why_a_step_is_planned() {
    use StepReason as R;
    let by = || "alice".to_owned();
    let all = [
        R::FileNew,
        R::FileChanged,
        R::FileBack,
        R::FileRemoved,
        R::FileRemovedWhileDisabled,
        R::FileRenamed { from: key("acme"), declared: true },
        R::FileRenamed { from: key("acme"), declared: false },
        R::InstanceChanged { from: hq(), to: branch() },
        R::AdoptedByFile,
        R::AdoptedByCommand { by: by() },
        R::AdoptedByImport { by: by() },
        R::DriftOnPbx,
        R::DriftOfSmsNumbers,
        R::DriftEnabled,
        R::DriftWebSignIn,
        R::DriftDomainMissing,
        R::Unfinished,
        R::UnfinishedCreate,
        R::UnfinishedDelete,
        R::UnfinishedDeleteOfPrevious,
        R::DisableNotConfirmed,
        R::WebSignInNotBlocked,
        R::Restored { at: at(), instance: hq() },
        R::RestoredWithoutDomain { at: at(), instance: hq() },
        R::RestoredWithoutFile { at: at() },
        R::RestoredWithoutFileAndDomain { at: at(), instance: hq(), tenant: key("acme") },
        R::RetentionEnded,
        R::RetentionEndedWithoutDomain,
        R::RetentionOfPreviousEnded,
        R::PreviousDomainGone,
        R::PreviousStaysDisabled { instance: branch() },
    ];
    let texts = all.iter().map(|reason| (reason.code(), reason.to_string())).collect();
    super::compare("reasons_of_steps", &lines(texts, StepReason::VARIANTS));
}

fn limit(name: &'static str, done: &'static [&'static str], earlier: usize) -> HeldReason {
    HeldReason::Limit(LimitExceeded::Configured {
        name,
        done: done.iter().copied().collect(),
        count: 4,
        earlier,
        allowed: 3,
        limit: Limit { count: 3, percent: 20 },
        managed: 12,
    })
}

fn likely_rename(created: Option<DateTime<Utc>>, likeness: Likeness, others: Vec<TenantKey>) -> HeldReason {
    HeldReason::LikelyRename(LikelyRename {
        old: key("hooli"),
        new: key("hooli-inc"),
        created,
        likeness,
        others,
    })
}

#[test]
fn why_a_step_is_held() {
    use HeldReason as R;
    let problem = || "cannot read the domains: the server cannot be reached: connection refused".to_owned();
    let not_checked = |planned| R::InstanceNotChecked { instance: hq(), problem: problem(), planned };
    let number = || SmsNumber::parse("+4930123456").unwrap();
    let files = || "globex.yaml is broken".to_owned();
    let domain_exists = |domain| R::DomainExists { domain, instance: hq() };
    let all = [
        limit("limits.disables", &["disabled", "moved", "renamed"], 0),
        limit("limits.removals", &["deleted", "disabled (file removed)"], 1),
        R::Limit(LimitExceeded::LastEnabledTenants { instance: hq(), count: 5 }),
        R::NeedsApproval { record_only: false, planned: StepReason::RetentionEnded },
        R::NeedsApproval { record_only: true, planned: StepReason::RetentionEndedWithoutDomain },
        likely_rename(None, Likeness::Names, vec![]),
        likely_rename(None, Likeness::NameContainsTheOther, vec![key("hooli-xyz")]),
        likely_rename(Some(at()), Likeness::Lines, vec![]),
        likely_rename(None, Likeness::LinesWhereNoOther, vec![]),
        likely_rename(None, Likeness::Keys, vec![]),
        domain_exists(Some(domain())),
        domain_exists(None),
        R::Paused { by: "alice".into(), until: at(), why: "maintenance".into() },
        R::NoRemovals,
        not_checked(NotCheckedStep::Create),
        not_checked(NotCheckedStep::Update(vec![Field::Name, Field::SessionTimeout])),
        not_checked(NotCheckedStep::Move),
        not_checked(NotCheckedStep::FileRemoved),
        R::InstanceNotConfigured { instance: hq() },
        R::DomainsMissing { instance: hq(), missing: 3 },
        R::FileBroken,
        R::FileUnderAnotherName { file: "Acme.yaml".into(), mend: "`mv Acme.yaml acme.yaml`".into() },
        R::FilesNotFullyRead { problem: files() },
        R::PreviousFilesNotFullyRead { problem: files() },
        R::TierFull { allowed: 10, managed: 9, new: 2 },
        R::ContestedField { field: Field::Name },
        R::DomainOfAnotherTenant { domain: domain(), owner: key("globex") },
        R::DomainRecordedFor { domain: domain(), instance: hq(), owner: key("globex") },
        R::DomainMissingAndTaken { instance: hq(), taken: Box::new(domain_exists(Some(domain()))) },
        R::SeveralDomains { domain: domain(), instance: hq(), count: 2 },
        R::NameShared { domain: domain().to_string(), instance: hq() },
        R::RenamedOnPbx { name: "other.example.com".into() },
        R::OwnAccount { domain: domain().to_string(), instance: hq() },
        R::WouldLockTenantdOut { domain: domain().to_string(), instance: hq() },
        R::SmsNumberTaken { number: number(), owner: key("globex") },
        R::SmsNumberNotReleased { number: number(), owner: key("globex") },
        R::Protected,
        R::PreviousProtected,
        R::SessionsOpen { count: 1 },
        R::SessionsOpen { count: 2 },
        R::PreviousPlacementFirst { domain: domain(), instance: branch() },
        R::DisableHeld,
        R::CreateElsewhereHeld,
        R::CreateElsewhereUnfinished,
    ];
    let texts = all.iter().map(|reason| (reason.code(), reason.to_string())).collect();
    super::compare("reasons_of_held_steps", &lines(texts, HeldReason::VARIANTS));
}

#[test]
fn why_a_step_is_scheduled() {
    use ScheduledReason as R;
    let retention = |days, since, protected| R::Retention { days, since, protected };
    let all = [
        retention(30, RetentionStart::Disabled, false),
        retention(1, RetentionStart::Moved, false),
        retention(30, RetentionStart::Disabled, true),
        R::ClockNotSteady { protected: false },
        R::WebSessionsOpen,
    ];
    let texts = all.iter().map(|reason| (reason.code(), reason.to_string())).collect();
    super::compare("reasons_of_scheduled_steps", &lines(texts, ScheduledReason::VARIANTS));
}

#[test]
fn what_steps_mean_for_people() {
    use Effect as E;
    let (from, to) = (|| "acme.example.com".to_owned(), || "new.example.com".to_owned());
    let sessions = |ended, open| E::SessionsEnd { ended, open, minutes: 30 };
    let all = [
        E::SignInAddresses { from: from(), to: to(), users: Some(12) },
        E::SignInAddresses { from: from(), to: to(), users: None },
        E::Phones { from: from(), to: to() },
        E::Server { from: "hq".into(), to: "branch".into() },
        E::Active { users: 45, open_sessions: 2, last_activity: Some(at()) },
        E::Active { users: 0, open_sessions: 0, last_activity: None },
        sessions(0, 1),
        sessions(0, 3),
        sessions(1, 1),
        sessions(1, 3),
        sessions(2, 3),
        E::NumbersReleased { numbers: vec!["+4930123456".into(), "+4930222222".into()] },
    ];
    let texts: String = all.iter().map(|effect| format!("{}\n    {effect}\n", effect.kind())).collect();
    super::compare("effects", &texts);
}
