//! A inputs that starts in agreement: a test changes one side and checks the plan.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{effect, invariants};
use crate::config::{Deletion, DeletionMode, Limits};
use crate::model::{
    Approval, BrokenFile, Completeness, Desired, DomainId, DomainName, InstanceKey, InstanceView, Observed,
    OpenIntent, Pause, PbxDomain, PbxSetting, PreviousPlacement, Recorded, RemovalKind, RemovalRecord,
    SettingId, SettingName, Tenant, TenantKey, TenantRecord, WebSignInBlock, testing,
};
use crate::plan::{self, Action, Held, Inputs, Plan, Policy, Step};

pub fn key(text: &str) -> TenantKey {
    TenantKey::parse(text).unwrap()
}

pub fn instance(text: &str) -> InstanceKey {
    InstanceKey::parse(text).unwrap()
}

pub fn domain(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

/// The three sides, the policy and the clock, as values that a test may change.
#[derive(Clone, Debug)]
pub struct Fixture {
    pub desired: Desired,
    pub recorded: Recorded,
    pub observed: Observed,
    pub policy: Policy,
    pub now: DateTime<Utc>,
}

impl Fixture {
    /// Tenants on `hq`, all three sides in agreement, and an empty instance `branch`.
    pub fn of<'k>(keys: impl IntoIterator<Item = &'k str>) -> Self {
        let seen = || InstanceView::Seen { domains: BTreeMap::new(), settings: BTreeMap::new() };
        let mut fixture = Self {
            desired: Desired { completeness: Completeness::Complete, ..Desired::unreadable("") },
            recorded: Recorded::default(),
            observed: Observed {
                instances: [(instance("hq"), seen()), (instance("branch"), seen())].into(),
                ..Observed::default()
            },
            policy: Policy {
                deletion: Deletion::default(),
                limits: Limits::default(),
                max_tenants: None,
                allow_delete: BTreeSet::new(),
                no_removals: false,
                only: BTreeSet::new(),
                own_domains: BTreeMap::new(),
                web_session_lifetimes: BTreeMap::new(),
            },
            now: DateTime::from_timestamp(1_760_000_000, 0).unwrap(),
        };
        for key in keys {
            fixture.agree(testing::wanted(key));
        }
        fixture
    }

    /// So many tenants in agreement: `t00`, `t01`, …
    pub fn of_size(count: usize) -> Self {
        let keys: Vec<String> = (0..count).map(|n| format!("t{n:02}")).collect();
        Self::of(keys.iter().map(String::as_str))
    }

    /// Adds a tenant on all three sides.
    pub fn agree(&mut self, tenant: Tenant) {
        let record = testing::record_of(&tenant);
        self.put(&tenant.definition.instance.clone(), testing::domain_of(&record));
        self.recorded.tenants.insert(tenant.key.clone(), record);
        self.want(tenant);
    }

    pub fn want(&mut self, tenant: Tenant) {
        self.desired.tenants.insert(tenant.key.clone(), tenant);
    }

    pub fn edit(&mut self, of: &str, change: impl FnOnce(&mut Tenant)) {
        change(self.desired.tenants.get_mut(&key(of)).unwrap());
    }

    pub fn remove_file(&mut self, of: &str) {
        self.desired.tenants.remove(&key(of)).unwrap();
    }

    /// The file of one key goes, and another key's comes with the same contents.
    pub fn git_mv(&mut self, from: &str, to: &str) {
        let mut tenant = self.desired.tenants.remove(&key(from)).unwrap();
        tenant.key = key(to);
        self.want(tenant);
    }

    /// The file cannot be believed, and so the directory is partial.
    pub fn break_file(&mut self, of: &str) {
        self.desired.tenants.remove(&key(of));
        self.desired.broken.push(BrokenFile {
            file: format!("{of}.yaml"),
            key: Some(key(of)),
            problems: vec!["it is broken".into()],
        });
        self.desired.completeness = Completeness::Partial { reason: format!("{of}.yaml is broken") };
    }

    pub fn record(&mut self, of: &str) -> &mut TenantRecord {
        self.recorded.tenants.get_mut(&key(of)).unwrap()
    }

    /// The record of a tenant that is disabled and whose file went so many days ago.
    pub fn removed(&mut self, of: &str, days_ago: i64) {
        self.desired.tenants.remove(&key(of));
        let at = self.now - TimeDelta::days(days_ago);
        let record = self.record(of);
        record.definition.enabled = false;
        record.disabled_at = Some(at);
        record.disable_confirmed_at = Some(at);
        record.file_removed_at = Some(at);
        let (on, id) = (record.definition.instance.clone(), record.domain_id);
        if let Some(domain) = self.domains(on.as_str()).get_mut(&id) {
            domain.enabled = Some(false);
        }
    }

    pub fn domains(&mut self, on: &str) -> &mut BTreeMap<DomainId, PbxDomain> {
        match self.observed.instances.get_mut(&instance(on)).unwrap() {
            InstanceView::Seen { domains, .. } => domains,
            InstanceView::Unknown { .. } => panic!("{on} is unknown"),
        }
    }

    /// The domain of a tenant as its instance shows it.
    pub fn pbx(&mut self, of: &str) -> &mut PbxDomain {
        let record = self.record(of);
        let (on, id) = (record.definition.instance.clone(), record.domain_id);
        self.domains(on.as_str()).get_mut(&id).unwrap()
    }

    pub fn put(&mut self, on: &InstanceKey, domain: PbxDomain) {
        self.domains(on.as_str()).insert(domain.id, domain);
    }

    /// A domain that no one recorded.
    pub fn foreign(&mut self, on: &str, n: u128, name: &str) -> DomainId {
        let id = DomainId(Uuid::from_u128(n));
        let theirs = PbxDomain { id, name: name.into(), enabled: Some(true), description: "not ours".into() };
        self.put(&instance(on), theirs);
        id
    }

    /// The domain of a tenant is no longer on its instance.
    pub fn vanish(&mut self, of: &str) {
        let record = self.record(of);
        let (on, id) = (record.definition.instance.clone(), record.domain_id);
        self.domains(on.as_str()).remove(&id).unwrap();
    }

    pub fn lose(&mut self, on: &str) {
        self.observed
            .instances
            .insert(instance(on), InstanceView::Unknown { reason: "it does not answer".into() });
    }

    /// In this pass it was this tenant's turn: its settings were read.
    pub fn read_settings(&mut self, of: &str, rows: Vec<PbxSetting>) {
        let record = self.record(of);
        let (on, id) = (record.definition.instance.clone(), record.domain_id);
        self.read_settings_of(on.as_str(), id, rows);
    }

    pub fn read_settings_of(&mut self, on: &str, id: DomainId, rows: Vec<PbxSetting>) {
        match self.observed.instances.get_mut(&instance(on)).unwrap() {
            InstanceView::Seen { settings, .. } => settings.insert(id, rows),
            InstanceView::Unknown { .. } => panic!("{on} is unknown"),
        };
    }

    /// What a tenant previous on another instance so many days ago, closed since.
    pub fn previous(&mut self, of: &str, on: &str, days_ago: i64) -> DomainId {
        let at = self.now - TimeDelta::days(days_ago);
        let (on, record) = (instance(on), self.record(of).clone());
        let id = DomainId(Uuid::new_v5(&record.domain_id.0, on.as_str().as_bytes()));
        let lock = WebSignInBlock { entry: SettingId::for_web_sign_in_block(id), switched_off: [].into() };
        self.recorded.previous_placements.push(PreviousPlacement {
            tenant: record.id,
            key: record.key.clone(),
            instance: on.clone(),
            domain_id: id,
            domain: record.definition.domain.clone(),
            web_sign_in_block: Some(lock),
            left_at: at,
            disable_confirmed_at: Some(at),
            deletable_from: None,
        });
        let left = PbxDomain {
            id,
            name: record.definition.domain.to_string(),
            enabled: Some(false),
            description: record.definition.name.clone(),
        };
        self.put(&on, left);
        id
    }

    pub fn pause(&mut self, of: Option<&str>, on: Option<&str>, hours: i64) {
        self.recorded.pauses.push(Pause {
            id: Uuid::from_u128(self.recorded.pauses.len() as u128),
            key: of.map(key),
            instance: on.map(instance),
            until: self.now + TimeDelta::hours(hours),
            reason: "the customer is live".into(),
            paused_by: "anna".into(),
            paused_at: self.now,
        });
    }

    fn approval(&self, hours: i64) -> Approval {
        Approval {
            id: Uuid::from_u128(self.recorded.approvals.len() as u128),
            removals_id: None,
            deletion_of: None,
            approved_by: "anna".into(),
            approved_at: self.now,
            expires_at: self.now + TimeDelta::hours(hours),
        }
    }

    /// `tenantd approve PLAN_ID`.
    pub fn approve(&mut self, removals_id: &str, hours: i64) {
        let approval = Approval { removals_id: Some(removals_id.into()), ..self.approval(hours) };
        self.recorded.approvals.push(approval);
    }

    /// `tenantd approve --tenant KEY`.
    pub fn approve_deletion(&mut self, of: &str, hours: i64) {
        let approval = Approval { deletion_of: Some(key(of)), ..self.approval(hours) };
        self.recorded.approvals.push(approval);
    }

    /// A removal that happened within the window.
    pub fn removed_lately(&mut self, of: &str, kind: RemovalKind, hours_ago: i64) {
        let (tenant, on) = {
            let record = self.record(of);
            (record.id, record.definition.instance.clone())
        };
        let at = self.now - TimeDelta::hours(hours_ago);
        self.recorded.removals.push(RemovalRecord { tenant, kind, instance: on, at });
    }

    /// A changing request has begun, and its outcome is not known.
    pub fn interrupted(&mut self, of: &str, on: &str, action: Action) {
        let record = self.record(of).clone();
        self.recorded.open_intents.push(OpenIntent {
            id: Uuid::from_u128(self.recorded.open_intents.len() as u128),
            tenant: record.id,
            key: record.key,
            instance: instance(on),
            action: action.as_str().to_owned(),
            opened_at: self.now,
        });
    }

    /// Time passes; the database gives only removals of the last day.
    pub fn later(&mut self, time: TimeDelta) {
        self.now += time;
        let from = self.now - TimeDelta::hours(24);
        self.recorded.removals.retain(|removal| removal.at > from);
    }

    /// The plan, with everything checked that holds for every plan.
    pub fn plan(&self) -> Plan {
        let plan = self.unchecked();
        invariants::check(self, &plan);
        plan
    }

    pub fn unchecked(&self) -> Plan {
        let Self { desired, recorded, observed, policy, now } = self;
        plan::make(Inputs { desired, recorded, observed, policy, now: *now })
    }

    /// Plans and carries the plan out.
    pub fn pass(&mut self) -> Plan {
        let plan = self.plan();
        effect::carry_out(self, &plan);
        plan
    }

    /// One pass, after which nothing is left to do but what is held.
    pub fn converge(&mut self) -> Plan {
        let plan = self.pass();
        let second = self.plan();
        assert!(second.steps.is_empty(), "a second plan is not empty: {:#?}", second.steps);
        plan
    }
}

/// Two of ten tenants are to be removed: one more than the limit allows.
pub fn past_the_limit() -> Fixture {
    let mut fixture = Fixture::of_size(10);
    fixture.remove_file("t00");
    fixture.remove_file("t01");
    fixture
}

/// `acme` may be deleted, and its deletion needs nothing more.
pub fn deletable() -> Fixture {
    let mut fixture = Fixture::of(["acme", "globex", "one", "two", "three"]);
    fixture.removed("acme", 30);
    fixture.policy.deletion.mode = DeletionMode::Automatic;
    fixture
}

/// A row of a domain's settings.
pub fn row(n: u128, name: &SettingName, value: &str, enabled: bool) -> PbxSetting {
    PbxSetting {
        id: SettingId(Uuid::from_u128(n)),
        name: name.clone(),
        value: value.into(),
        order: Some(10),
        enabled,
        description: String::new(),
    }
}

/// The web sign-in block of a domain, in force.
pub fn block_row(of: DomainId) -> PbxSetting {
    let id = SettingId::for_web_sign_in_block(of);
    PbxSetting { id, ..row(0, &SettingName::cidr(), "255.255.255.255/32", true) }
}

/// A plan in short: `rename acme, update acme`.
pub fn steps(plan: &Plan) -> String {
    let word = |step: &Step| format!("{} {}", step.action, step.tenant);
    plan.steps.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// What a plan holds, in short and by tenant: `disable acme`.
pub fn held(plan: &Plan) -> String {
    let mut held: Vec<&Held> = plan.held.iter().collect();
    held.sort_by_key(|held| (&held.tenant, held.action));
    let word = |held: &&Held| format!("{} {}", held.action, held.tenant);
    held.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// The reason why an action is held.
pub fn why(plan: &Plan, of: &str, action: Action) -> String {
    plan.held
        .iter()
        .find(|held| held.tenant == key(of) && held.action == action)
        .map_or_else(|| panic!("{action} of {of} is not held: {plan:#?}"), Held::why)
}
