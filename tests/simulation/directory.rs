//! The tenants directory: files are added, edited, renamed, moved, broken and removed; the directory may be unreadable.

use std::collections::{BTreeMap, BTreeSet};

use tenantd::model::{
    BrokenFile, Completeness, CrossTenant, Definition, Desired, DomainName, DriftPolicy, InstanceKey,
    MaxUsers, SettingName, Tenant, TenantKey,
};

use crate::state::State;

/// What the directory shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mount {
    There,
    Unreadable,
    Empty,
}

#[derive(Clone, Debug)]
pub struct Directory {
    pub files: BTreeMap<TenantKey, Tenant>,
    /// Files that cannot be read as a tenant.
    pub broken: BTreeSet<TenantKey>,
    pub mount: Mount,
    /// Files are only added and edited, each with a domain of its own: as on most days.
    pub is_calm: bool,
    /// The state before the last commit, for a `git revert`.
    before: Option<BTreeMap<TenantKey, Tenant>>,
}

pub fn instance(name: &str) -> InstanceKey {
    InstanceKey::parse(name).unwrap()
}

pub fn some_domain(state: &mut State) -> String {
    format!("d{}.example.com", state.below(12))
}

fn domain_name(state: &mut State) -> DomainName {
    DomainName::parse(&some_domain(state)).unwrap()
}

pub fn some_key(state: &mut State) -> TenantKey {
    TenantKey::parse(&format!("t{}", state.below(10))).unwrap()
}

pub fn some_setting(state: &mut State) -> SettingName {
    let (category, subcategory, kind) = state.pick(&[
        ("domain", "time_zone", "name"),
        ("limit", "extensions", "numeric"),
        ("theme", "fonts", "array"),
        ("provision", "admin_password", "text"),
    ]);
    SettingName::new(category, subcategory, kind)
}

impl Directory {
    pub fn new() -> Self {
        Self {
            files: BTreeMap::new(),
            broken: BTreeSet::new(),
            mount: Mount::There,
            is_calm: false,
            before: None,
        }
    }

    fn some_file(&self, state: &mut State) -> Option<TenantKey> {
        let keys: Vec<_> = self.files.keys().cloned().collect();
        (!keys.is_empty()).then(|| state.pick(&keys))
    }

    /// As the loader reads it: a file is a tenant or broken; an empty directory is unreadable.
    pub fn desired(&self) -> Desired {
        let nothing = match self.mount {
            Mount::Unreadable => Some("cannot be read"),
            Mount::There if self.files.is_empty() => Some("has no tenant files"),
            Mount::Empty => Some("has no tenant files"),
            Mount::There => None,
        };
        if let Some(reason) = nothing {
            return Desired::unreadable(reason);
        }
        let mut desired = Desired::unreadable("");
        for (key, tenant) in &self.files {
            if self.is_broken(key, tenant) {
                desired.broken.push(BrokenFile {
                    file: format!("{key}.yaml"),
                    key: Some(key.clone()),
                    problems: vec!["broken".into()],
                });
            } else {
                desired.tenants.insert(key.clone(), tenant.clone());
            }
        }
        desired.completeness = match desired.broken.as_slice() {
            [] => Completeness::Complete,
            [one, ..] => Completeness::Partial { reason: format!("{} is broken", one.file) },
        };
        desired
    }

    /// Broken by itself or by another file: two files with one domain, or `previously` names a file that still exists.
    fn is_broken(&self, key: &TenantKey, tenant: &Tenant) -> bool {
        let others = || self.files.iter().filter(|(other, _)| *other != key).map(|(_, other)| other);
        let same = others().any(|other| other.definition.domain == tenant.definition.domain);
        let tenant_keys =
            tenant.previously.is_some() && others().any(|other| other.previously == tenant.previously);
        let heir_of_living =
            tenant.previously.as_ref().is_some_and(|old| old != key && self.files.contains_key(old));
        self.broken.contains(key) || same || tenant_keys || heir_of_living
    }

    /// Adds files until there are this many.
    pub fn fill(&mut self, files: usize, state: &mut State) {
        while self.files.len() < files {
            let change = self.add(state);
            state.log(|| format!("directory: {change}"));
        }
    }

    /// The directory becomes readable again, with some probability.
    pub fn heal(&mut self, state: &mut State) {
        if self.mount != Mount::There && state.chance(0.5) {
            self.mount = Mount::There;
        }
        if !self.broken.is_empty() && state.chance(0.3) {
            self.broken.clear();
        }
    }

    /// One commit, at random.
    pub fn commit(&mut self, state: &mut State) {
        let before = self.files.clone();
        let what = match state.below(if self.is_calm { 17 } else { 40 }) {
            0..=7 => self.add(state),
            8..=16 => self.edit(state),
            17..=18 => self.rename_file(state),
            19..=21 => self.rename_domain(state),
            22..=25 => self.switch(state),
            26..=29 => self.remove(state),
            30..=31 => self.break_or_mend(state),
            32 => self.change_mount(state),
            33..=35 => self.move_to_other(state),
            36 => self.clear_out(state),
            _ => match self.before.take() {
                Some(before) => {
                    self.files = before;
                    "everything goes back a commit".into()
                }
                None => self.add(state),
            },
        };
        self.before = Some(before);
        state.log(|| format!("directory: {what}"));
    }

    fn add(&mut self, state: &mut State) -> String {
        let key = some_key(state);
        if self.files.contains_key(&key) {
            return "nothing".into();
        }
        let tenant = Tenant {
            key: key.clone(),
            definition: Definition {
                name: format!("{key} Ltd"),
                domain: match self.is_calm {
                    true => DomainName::parse(&format!("{key}.example.net")).unwrap(),
                    false => domain_name(state),
                },
                instance: instance(state.pick(&["hq", "hq", "branch"])),
                enabled: !state.chance(0.15),
                session_timeout: 60,
                max_users: MaxUsers::Unlimited,
                protected: state.chance(0.1),
                pbx_settings: BTreeMap::new(),
                cross_tenant: CrossTenant::default(),
                drift: if state.chance(0.1) { DriftPolicy::Report } else { DriftPolicy::Correct },
            },
            previously: None,
            adopt: state.chance(0.3),
            sms_numbers: None,
            accept: BTreeSet::new(),
        };
        let change =
            format!("{key} is added with {} on {}", tenant.definition.domain, tenant.definition.instance);
        self.files.insert(key, tenant);
        change
    }

    fn edit(&mut self, state: &mut State) -> String {
        let Some(key) = self.some_file(state) else { return self.add(state) };
        let setting = some_setting(state);
        let value = state.pick(&["1", "2", "Europe/Berlin"]).to_owned();
        let number = u32::try_from(state.below(5)).unwrap_or_default() + 1;
        let other = some_key(state);
        let kind = state.below(9);
        let Some(tenant) = self.files.get_mut(&key) else { return String::new() };
        let what = match kind {
            0 => {
                tenant.definition.name = format!("{key} and sons, {number}");
                "name"
            }
            1 => {
                tenant.definition.session_timeout = 30 + number;
                "session_timeout"
            }
            2 => {
                tenant.definition.max_users = if tenant.definition.max_users == MaxUsers::Unlimited {
                    MaxUsers::Limited(number)
                } else {
                    MaxUsers::Unlimited
                };
                "max_users"
            }
            3 => {
                tenant.definition.protected = !tenant.definition.protected;
                "protected"
            }
            4..=5 => {
                tenant.definition.pbx_settings.insert(setting, value);
                "a setting"
            }
            6 => {
                tenant.definition.pbx_settings.pop_first();
                "one setting less"
            }
            7 => {
                tenant.definition.cross_tenant.presence.insert(other);
                "cross_tenant"
            }
            _ => {
                tenant.definition.drift = match tenant.definition.drift {
                    DriftPolicy::Correct => DriftPolicy::Report,
                    DriftPolicy::Report => DriftPolicy::Correct,
                };
                "drift"
            }
        };
        format!("{key}: {what} is edited")
    }

    /// `git mv`: the same tenant under another key, sometimes with another domain and `previously`.
    fn rename_file(&mut self, state: &mut State) -> String {
        let (Some(old), key) = (self.some_file(state), some_key(state)) else { return "nothing".into() };
        if self.files.contains_key(&key) {
            return "nothing".into();
        }
        let Some(mut tenant) = self.files.remove(&old) else { return String::new() };
        tenant.key = key.clone();
        tenant.previously = None;
        if state.chance(0.4) {
            tenant.definition.domain = domain_name(state);
            tenant.previously = Some(old.clone());
        }
        let change = format!("{old} is renamed to {key} with {}", tenant.definition.domain);
        self.files.insert(key, tenant);
        change
    }

    fn rename_domain(&mut self, state: &mut State) -> String {
        let Some(key) = self.some_file(state) else { return self.add(state) };
        let domain = domain_name(state);
        let change = format!("{key} gets the domain {domain}");
        if let Some(tenant) = self.files.get_mut(&key) {
            tenant.definition.domain = domain;
        }
        change
    }

    fn switch(&mut self, state: &mut State) -> String {
        let Some(key) = self.some_file(state) else { return self.add(state) };
        let Some(tenant) = self.files.get_mut(&key) else { return String::new() };
        tenant.definition.enabled = !tenant.definition.enabled;
        format!("{key}: enabled is {}", tenant.definition.enabled)
    }

    fn move_to_other(&mut self, state: &mut State) -> String {
        let Some(key) = self.some_file(state) else { return self.add(state) };
        let at_once = state.chance(0.3);
        let domain = domain_name(state);
        let Some(tenant) = self.files.get_mut(&key) else { return String::new() };
        let to = if tenant.definition.instance.as_str() == "hq" { "branch" } else { "hq" };
        tenant.definition.instance = instance(to);
        if at_once {
            tenant.definition.enabled = !tenant.definition.enabled;
            tenant.definition.domain = domain;
        }
        format!("{key} moves to {to}{}", if at_once { ", with another domain and switched" } else { "" })
    }

    fn remove(&mut self, state: &mut State) -> String {
        let Some(key) = self.some_file(state) else { return self.add(state) };
        self.files.remove(&key);
        self.broken.remove(&key);
        format!("{key} is removed")
    }

    fn clear_out(&mut self, state: &mut State) -> String {
        let keep = state.below(3);
        let gone: Vec<_> = self.files.keys().skip(keep).cloned().collect();
        for key in &gone {
            self.files.remove(key);
        }
        format!("{} files are removed at once", gone.len())
    }

    fn break_or_mend(&mut self, state: &mut State) -> String {
        if !self.broken.is_empty() && state.chance(0.7) {
            self.broken.clear();
            return "every file is mended".into();
        }
        let Some(key) = self.some_file(state) else { return self.add(state) };
        let change = format!("{key} is broken");
        self.broken.insert(key);
        change
    }

    fn change_mount(&mut self, state: &mut State) -> String {
        self.mount = match self.mount {
            Mount::There => state.pick(&[Mount::Unreadable, Mount::Empty]),
            _ => Mount::There,
        };
        format!("it is {:?}", self.mount)
    }

    /// Every file can be read and no two files conflict.
    pub fn settle(&mut self, state: &mut State) {
        self.mount = Mount::There;
        self.broken.clear();
        loop {
            let bad = self
                .files
                .iter()
                .find(|(key, tenant)| self.is_broken(key, tenant))
                .map(|(key, _)| key.clone());
            let Some(bad) = bad else { break };
            let domain = domain_name(state);
            if let Some(tenant) = self.files.get_mut(&bad) {
                tenant.previously = None;
                tenant.definition.domain = domain;
            }
        }
        // An empty directory counts as unreadable.
        self.fill(1, state);
    }
}
