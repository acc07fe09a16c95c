//! A FusionPBX server as it was measured: no unique names, all fields at once, a delete without a transaction, and
//! redirects that prove nothing.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use tenantd::model::{DomainId, NewDomain, PbxDomain, PbxSetting, SettingId, SettingName};
use uuid::Uuid;

/// A `cidr` entry that lets no one in. `0.0.0.0/32` would not do: an IPv6 address compares as 0.
const NOBODY: &str = "255.255.255.255/32";

/// One server. Its account's own domain is its identity.
#[derive(Clone, Debug)]
pub struct Server {
    pub domains: BTreeMap<DomainId, Domain>,
    /// Whether the account's group has `domain_delete`, which no group has in a stock install.
    pub may_delete: bool,
    /// As it names itself. Up to 5.5.2 a web session that is open outlives the block.
    pub version: &'static str,
    pub reachable: bool,
    /// A page of each list is missing: lists are incomplete.
    pub page_missing: bool,
}

/// A domain with its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    pub name: String,
    pub enabled: Option<bool>,
    pub description: String,
    pub rows: BTreeMap<SettingId, PbxSetting>,
    /// Call records, voicemail and so on, which a delete removes.
    pub data: u32,
    pub memory: Memory,
}

/// What the simulation knows about a domain and a server does not.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Created or adopted by tenantd.
    pub ours: bool,
    /// An operator, a late request or a restored backup changed it since the last clean pass.
    pub changed: bool,
    /// … since this pass began.
    pub changed_in_this_pass: bool,
    /// … since tenantd last read this domain.
    pub changed_since_read: bool,
    /// The rows that an operator set last.
    pub operator_rows: BTreeMap<SettingId, PbxSetting>,
    /// Since when every read showed it as disabled.
    pub seen_disabled_since: Option<DateTime<Utc>>,
    /// This pass read it as enabled; and, inside, when it read it as disabled after that.
    pub enabled_again: Option<Option<DateTime<Utc>>>,
    /// The point at which it got its name.
    pub named_at: u64,
}

impl Memory {
    pub fn mark_changed(&mut self) {
        self.changed = true;
        self.changed_in_this_pass = true;
        self.changed_since_read = true;
    }
}

/// What only the simulation knows is not compared.
impl PartialEq for Memory {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Memory {}

/// A changing request.
#[derive(Clone, Debug)]
pub enum Mutation {
    Create(NewDomain),
    Update(NewDomain),
    Delete(DomainId),
    Put(DomainId, PbxSetting),
    Remove(DomainId, SettingId),
}

impl Mutation {
    pub fn domain(&self) -> DomainId {
        match self {
            Self::Create(domain) | Self::Update(domain) => domain.id,
            Self::Delete(id) | Self::Put(id, _) | Self::Remove(id, _) => *id,
        }
    }
}

/// As the journal's intents describe it.
impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(domain) => write!(f, "create the domain {} {}", domain.id, domain.name),
            Self::Update(domain) => write!(f, "update the domain {} {}", domain.id, domain.name),
            Self::Delete(id) => write!(f, "delete the domain {id}"),
            Self::Put(domain, setting) => {
                write!(f, "set {} ({}) of the domain {domain}", setting.name, setting.id)
            }
            Self::Remove(domain, setting) => write!(f, "remove the setting {setting} of the domain {domain}"),
        }
    }
}

impl Domain {
    pub fn new(name: &str, enabled: Option<bool>, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            enabled,
            description: description.to_owned(),
            rows: BTreeMap::new(),
            data: 0,
            memory: Memory::default(),
        }
    }

    /// Whether its phones can register.
    pub fn takes_phones(&self) -> bool {
        self.enabled == Some(true)
    }

    /// Whether any user can sign in on the web: all can without enabled `cidr` rows, and each row except the one
    /// that matches no address lets some in.
    pub fn takes_sign_ins(&self) -> bool {
        let cidr = SettingName::cidr();
        let mut entries = self.enabled_rows(&cidr).peekable();
        entries.peek().is_none() || entries.any(|row| row.value != NOBODY)
    }

    pub fn enabled_rows<'a>(&'a self, name: &'a SettingName) -> impl Iterator<Item = &'a PbxSetting> {
        self.rows.values().filter(move |row| row.enabled && row.name == *name)
    }

    /// An operator sets a row.
    pub fn set_operator_row(&mut self, row: PbxSetting) {
        self.memory.mark_changed();
        self.memory.operator_rows.insert(row.id, row.clone());
        self.rows.insert(row.id, row);
    }

    pub fn remove_operator_row(&mut self, id: SettingId) {
        self.memory.mark_changed();
        self.memory.operator_rows.remove(&id);
        self.rows.remove(&id);
    }

    fn shown(&mut self, now: DateTime<Utc>) {
        let memory = &mut self.memory;
        if self.enabled == Some(false) {
            // A clock that was set back does not shorten the time.
            memory.seen_disabled_since = Some(memory.seen_disabled_since.map_or(now, |since| since.min(now)));
            if let Some(again) = &mut memory.enabled_again {
                *again = Some(again.map_or(now, |since| since.min(now)));
            }
        } else {
            memory.enabled_again = Some(None);
        }
    }
}

impl Server {
    pub fn new(own_domain: &str, own: Uuid) -> Self {
        let domain = Domain::new(own_domain, Some(true), "the administrator's");
        Self {
            domains: [(DomainId(own), domain)].into(),
            may_delete: true,
            version: "5.6.4-dev",
            reachable: true,
            page_missing: false,
        }
    }

    /// The identity that tenantd pins: the uuid of the domain of its own account.
    pub fn identity(&self, own_domain: &str) -> Option<String> {
        self.domains.iter().find(|(_, domain)| domain.name == own_domain).map(|(id, _)| id.to_string())
    }

    /// A domain as the pages show it; the simulation remembers that it was shown.
    pub fn show(&mut self, id: DomainId, now: DateTime<Utc>) -> Option<PbxDomain> {
        let domain = self.domains.get_mut(&id)?;
        domain.shown(now);
        let Domain { name, enabled, description, .. } = domain;
        Some(PbxDomain { id, name: name.clone(), enabled: *enabled, description: description.clone() })
    }

    pub fn show_all(&mut self, now: DateTime<Utc>) -> Vec<PbxDomain> {
        let ids: Vec<DomainId> = self.domains.keys().copied().collect();
        ids.into_iter().filter_map(|id| self.show(id, now)).collect()
    }

    pub fn show_named(&mut self, name: &str, now: DateTime<Utc>) -> Vec<PbxDomain> {
        let ids: Vec<DomainId> =
            self.domains.iter().filter(|(_, domain)| domain.name == name).map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.show(id, now)).collect()
    }

    pub fn mark_changed(&mut self, id: DomainId) {
        if let Some(domain) = self.domains.get_mut(&id) {
            domain.memory.mark_changed();
        }
    }

    /// Why the server refuses a form, if it does.
    pub fn refusal(&self, mutation: &Mutation) -> Option<&'static str> {
        let there = self.domains.get(&mutation.domain());
        match mutation {
            Mutation::Create(new) => there
                .is_some_and(|domain| domain.name != new.name)
                .then_some("its id already belongs to another domain"),
            Mutation::Update(_) => there.is_none().then_some("no domain has its id"),
            Mutation::Put(_, row) => (row.order == Some(0)).then_some("the order is missing"),
            Mutation::Delete(_) | Mutation::Remove(..) => None,
        }
    }

    /// Carries out a request: all fields of a domain at once, without checking for other domains of that name.
    pub fn carry_out(&mut self, mutation: &Mutation) {
        match mutation {
            Mutation::Create(new) | Mutation::Update(new) => {
                let NewDomain { id, name, enabled, description } = new;
                let domain = self.domains.entry(*id).or_insert_with(|| Domain::new(name, None, ""));
                domain.name = name.trim().to_lowercase();
                domain.enabled = Some(*enabled);
                domain.description = description.trim().to_owned();
            }
            Mutation::Delete(id) => {
                if self.may_delete {
                    self.domains.remove(id);
                }
            }
            Mutation::Put(id, row) => {
                if let Some(domain) = self.domains.get_mut(id) {
                    domain.rows.insert(row.id, row.clone());
                }
            }
            Mutation::Remove(id, row) => {
                if let Some(domain) = self.domains.get_mut(id) {
                    domain.rows.remove(row);
                }
            }
        }
    }

    /// A delete that stops half-way: some tables are empty, the domain still exists. A create that stops half-way leaves the
    /// complete row; every other request is one statement.
    pub fn carry_out_half(&mut self, mutation: &Mutation) {
        match mutation {
            Mutation::Delete(id) => {
                if let Some(domain) = self.domains.get_mut(id).filter(|_| self.may_delete) {
                    domain.data = 0;
                    let some = domain.rows.len() / 2;
                    let gone: Vec<SettingId> = domain.rows.keys().copied().take(some).collect();
                    domain.rows.retain(|id, _| !gone.contains(id));
                    domain.memory.operator_rows.clear();
                    domain.memory.mark_changed();
                }
            }
            other => self.carry_out(other),
        }
    }
}
