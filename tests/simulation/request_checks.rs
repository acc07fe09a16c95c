//! Checks every changing request as it reaches a server, against the database at that moment: the properties that
//! hold for each single request.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Nullable, Text};
use tenantd::model::{
    Completeness, Desired, DomainId, InstanceKey, PbxSetting, PbxVersion, SettingId, SettingName, TenantKey,
};

use crate::model_pbx::{Domain, Mutation};
use crate::must_not_change::MustNotChange;
use crate::random_config::WEB_SESSION_LIFETIME;
use crate::state::State;

/// What the checks know about this pass.
pub struct RequestChecks {
    conn: SqliteConnection,
    /// The desired state of this pass; `None` while nothing may change.
    pub acting_for: Option<Desired>,
    pub retention: TimeDelta,
    /// The earliest and the latest time that this pass can have read from the clock.
    pub earliest: DateTime<Utc>,
    pub latest: DateTime<Utc>,
    pub own_domains: BTreeMap<InstanceKey, String>,
    /// Every domain that was ever managed.
    pub ours: BTreeSet<(InstanceKey, DomainId)>,
    /// Since when a complete directory has no file of a tenant (by tenant id).
    pub file_gone_since: BTreeMap<String, DateTime<Utc>>,
    /// Since when a domain is a previous placement.
    pub left_since: BTreeMap<(InstanceKey, DomainId), DateTime<Utc>>,
    /// The keys of the files that define each recorded tenant in this pass.
    pub tenant_keys: BTreeMap<String, BTreeSet<TenantKey>>,
    /// What must not change in this pass.
    pub must_not_change: MustNotChange,
    /// Changing requests that reached a server.
    pub mutations: u64,
    /// Domains that were read since applying began.
    domains_read: BTreeSet<(InstanceKey, DomainId)>,
    /// Names that were looked up since applying began, and when the whole list was last read.
    names_looked_up: BTreeMap<(InstanceKey, String), u64>,
    lists_read: BTreeMap<InstanceKey, u64>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Identity {
    #[diesel(sql_type = Nullable<Text>)]
    identity: Option<String>,
}

/// The tenant that a domain belongs to in the database.
#[derive(QueryableByName)]
struct Owner {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = Bool)]
    enabled: bool,
    #[diesel(sql_type = Bool)]
    protected: bool,
    /// The domain is a previous placement.
    #[diesel(sql_type = Bool)]
    previous: bool,
}

impl RequestChecks {
    pub fn new(database: &Path, own_domains: BTreeMap<InstanceKey, String>) -> Self {
        let mut conn = SqliteConnection::establish(&database.display().to_string()).unwrap();
        conn.batch_execute("PRAGMA query_only = ON;").unwrap();
        Self {
            conn,
            acting_for: None,
            retention: TimeDelta::zero(),
            earliest: DateTime::<Utc>::MIN_UTC,
            latest: DateTime::<Utc>::MIN_UTC,
            own_domains,
            ours: BTreeSet::new(),
            file_gone_since: BTreeMap::new(),
            left_since: BTreeMap::new(),
            tenant_keys: BTreeMap::new(),
            must_not_change: MustNotChange::default(),
            mutations: 0,
            domains_read: BTreeSet::new(),
            names_looked_up: BTreeMap::new(),
            lists_read: BTreeMap::new(),
        }
    }

    pub fn begin_acting(&mut self, desired: Desired) {
        self.acting_for = Some(desired);
        self.domains_read.clear();
        self.names_looked_up.clear();
    }

    pub fn domains_read(&mut self, instance: &InstanceKey, id: DomainId) {
        self.domains_read.insert((instance.clone(), id));
    }

    pub fn names_looked_up(&mut self, instance: &InstanceKey, name: &str, point: u64) {
        self.names_looked_up.insert((instance.clone(), name.to_owned()), point);
    }

    pub fn lists_read(&mut self, instance: &InstanceKey, point: u64) {
        self.lists_read.insert(instance.clone(), point);
    }

    fn has_intent(&mut self, instance: &InstanceKey, mutation: &Mutation) -> bool {
        let open: Count = diesel::sql_query(
            "SELECT count(*) AS n FROM journal WHERE closed_at IS NULL AND instance = ? AND request = ?",
        )
        .bind::<Text, _>(instance.as_str())
        .bind::<Text, _>(mutation.to_string())
        .get_result(&mut self.conn)
        .unwrap();
        open.n > 0
    }

    fn enrolled(&mut self, instance: &InstanceKey) -> Option<String> {
        diesel::sql_query("SELECT identity FROM pbx_instances WHERE key = ?")
            .bind::<Text, _>(instance.as_str())
            .get_result::<Identity>(&mut self.conn)
            .optional()
            .unwrap()
            .and_then(|found| found.identity)
    }

    pub fn is_recorded(&mut self, instance: &InstanceKey, id: DomainId) -> bool {
        self.owner(instance, id).is_some()
    }

    fn owner(&mut self, instance: &InstanceKey, id: DomainId) -> Option<Owner> {
        diesel::sql_query(
            "SELECT id, key, enabled, protected, 0 AS previous FROM tenants WHERE instance = ?1 AND domain_id = ?2 \
             UNION ALL \
             SELECT t.id, t.key, t.enabled, t.protected, 1 AS previous FROM previous_placements f \
             JOIN tenants t ON t.id = f.tenant_id WHERE f.instance = ?1 AND f.domain_id = ?2",
        )
        .bind::<Text, _>(instance.as_str())
        .bind::<Text, _>(id.to_string())
        .get_result(&mut self.conn)
        .optional()
        .unwrap()
    }
}

impl State {
    /// A changing request is sent.
    pub fn sent(&mut self, instance: &InstanceKey, mutation: &Mutation) {
        self.checks.mutations += 1;
        let intent = self.checks.has_intent(instance, mutation);
        let enrolled = self.checks.enrolled(instance);
        let owner = self.checks.owner(instance, mutation.domain());
        if let Err(what) = self.judge(instance, mutation, intent, enrolled.as_deref(), owner.as_ref()) {
            self.violate(|| format!("{instance}: {mutation}: {what}"));
        }
    }

    /// A changing request was carried out, or not.
    pub fn done(&mut self, instance: &InstanceKey, mutation: &Mutation) {
        let point = self.point;
        let Some(server) = self.servers.get_mut(instance) else { return };
        if let Some(domain) = server.domains.get_mut(&mutation.domain()) {
            domain.memory.ours = true;
            self.checks.ours.insert((instance.clone(), mutation.domain()));
            if matches!(mutation, Mutation::Create(_) | Mutation::Update(_)) {
                domain.memory.named_at = point;
            }
        }
    }

    fn judge(
        &self,
        instance: &InstanceKey,
        mutation: &Mutation,
        intent: bool,
        enrolled: Option<&str>,
        owner: Option<&Owner>,
    ) -> Result<(), String> {
        let (Some(server), Some(own)) = (self.servers.get(instance), self.checks.own_domains.get(instance))
        else {
            return Err("there is no such server".into());
        };
        let desired = self.checks.acting_for.as_ref().ok_or("sent while only reading")?;
        if !intent {
            return Err("no open intent for it".into());
        }
        if server.identity(own).as_deref() != enrolled {
            return Err("sent to another server than was enrolled".into());
        }
        self.checks.must_not_change.judge(instance, mutation.domain(), self.checks.latest)?;
        let owner = owner.ok_or("the domain is not recorded")?;
        let own = TenantKey::parse(&owner.key).ok();
        let tenant_keys = self.checks.tenant_keys.get(&owner.id).into_iter().flatten();
        let keys = own.iter().chain(tenant_keys);
        let wanted = keys.filter_map(|key| desired.tenants.get(key)).next();
        let domain = server.domains.get(&mutation.domain());
        // A restored backup may be older than the adoption.
        let was_ours = self.checks.ours.contains(&(instance.clone(), mutation.domain()));
        if let Some(domain) = domain.filter(|domain| !domain.memory.ours && !was_ours) {
            let adopted = wanted.is_some_and(|wanted| {
                wanted.adopt
                    && wanted.definition.domain.as_str() == domain.name
                    && wanted.definition.instance == *instance
            });
            if !adopted {
                return Err(format!("the domain {} is not ours", domain.name));
            }
        }
        self.judge_name(instance, mutation, domain)?;
        // A change between the last read and the request is overwritten by the form.
        let unseen = matches!(mutation, Mutation::Update(_))
            && domain.is_some_and(|domain| domain.memory.changed_since_read);
        if disables(mutation, domain) && !unseen && owner.enabled && !owner.previous {
            return Err(format!("{} is disabled, and not recorded so", owner.key));
        }
        if enables(mutation, domain)
            && !unseen
            && (owner.previous || !wanted.is_some_and(|wanted| wanted.definition.enabled))
        {
            return Err(format!("{} is enabled, and no file says so", owner.key));
        }
        match mutation {
            Mutation::Delete(id) => self.judge_delete(instance, *id, domain, owner, desired),
            Mutation::Put(_, row) => domain.map_or(Ok(()), |domain| {
                let managed = row.name == SettingName::user_limit()
                    || wanted.is_some_and(|wanted| wanted.definition.pbx_settings.contains_key(&row.name));
                judge_row(domain, row, managed)
            }),
            Mutation::Remove(_, id)
                if domain.is_some_and(|domain| domain.memory.operator_rows.contains_key(id)) =>
            {
                Err("the row is not managed".into())
            }
            Mutation::Create(_) | Mutation::Update(_) | Mutation::Remove(..) => Ok(()),
        }
    }

    /// A name is looked up before it is used, and is not used if another domain had it.
    fn judge_name(
        &self,
        instance: &InstanceKey,
        mutation: &Mutation,
        domain: Option<&Domain>,
    ) -> Result<(), String> {
        let (Mutation::Create(new) | Mutation::Update(new)) = mutation else { return Ok(()) };
        // An operator may have renamed it after it was read; then it gets its own name back.
        if domain.is_some_and(|domain| domain.name == new.name || domain.memory.changed_in_this_pass) {
            return Ok(());
        }
        let Some(names_looked_up) = self.checks.names_looked_up.get(&(instance.clone(), new.name.clone()))
        else {
            return Err("the name was not looked up".into());
        };
        let lists_read = self.checks.lists_read.get(instance).copied().unwrap_or(0);
        // The lookup right before a create shows enabled domains only.
        let looked_at_all = matches!(mutation, Mutation::Update(_));
        let in_use = self.servers.get(instance).into_iter().flat_map(|server| &server.domains);
        for (id, other) in in_use {
            let named_at = other.memory.named_at;
            let seen = named_at < lists_read
                || (named_at < *names_looked_up && (looked_at_all || other.enabled == Some(true)));
            if *id != new.id && other.name == new.name && seen {
                return Err("the name was seen to be in use".into());
            }
        }
        Ok(())
    }

    fn judge_delete(
        &self,
        instance: &InstanceKey,
        id: DomainId,
        domain: Option<&Domain>,
        owner: &Owner,
        desired: &Desired,
    ) -> Result<(), String> {
        if desired.completeness != Completeness::Complete {
            return Err("the directory was not read completely".into());
        }
        if owner.protected {
            return Err("the tenant is protected".into());
        }
        if !self.checks.domains_read.contains(&(instance.clone(), id)) {
            return Err("the domain was not read before".into());
        }
        let over = |since: Option<&DateTime<Utc>>| {
            since.is_some_and(|since| self.checks.latest - *since >= self.checks.retention)
        };
        let Some(domain) = domain else { return Ok(()) };
        if !over(domain.memory.seen_disabled_since.as_ref()) {
            return Err(format!(
                "it was not disabled for its retention ({:?})",
                domain.memory.seen_disabled_since
            ));
        }
        let server = self.servers.get(instance).and_then(|server| PbxVersion::parse(server.version));
        let outlived = !server.is_some_and(|version| version.block_ends_sessions());
        let lifetime = TimeDelta::from_std(WEB_SESSION_LIFETIME).unwrap();
        if outlived
            && domain.memory.seen_disabled_since.is_none_or(|since| self.checks.latest - since < lifetime)
        {
            return Err("web sessions that were open before its disable may not be over".into());
        }
        let since = if owner.previous {
            self.checks.left_since.get(&(instance.clone(), id))
        } else {
            self.checks.file_gone_since.get(&owner.id)
        };
        if !over(since) {
            return Err(format!("its file was not removed for its retention ({since:?})"));
        }
        Ok(())
    }
}

/// Takes access away from a domain that has it.
fn disables(mutation: &Mutation, domain: Option<&Domain>) -> bool {
    let Some(domain) = domain else { return false };
    match mutation {
        Mutation::Update(new) | Mutation::Create(new) => domain.takes_phones() && !new.enabled,
        Mutation::Put(_, row) => {
            row.name == SettingName::cidr() && row.id == web_sign_in_block(mutation) && row.enabled
        }
        Mutation::Delete(_) | Mutation::Remove(..) => false,
    }
}

fn enables(mutation: &Mutation, domain: Option<&Domain>) -> bool {
    let Some(domain) = domain else { return false };
    match mutation {
        Mutation::Update(new) | Mutation::Create(new) => !domain.takes_phones() && new.enabled,
        Mutation::Put(_, row) => {
            row.name == SettingName::cidr() && row.id != web_sign_in_block(mutation) && row.enabled
        }
        Mutation::Remove(_, row) => *row == web_sign_in_block(mutation),
        Mutation::Delete(_) => false,
    }
}

fn web_sign_in_block(mutation: &Mutation) -> SettingId {
    SettingId::for_web_sign_in_block(mutation.domain())
}

/// An operator's row that no file owns is enabled or disabled, and never changed otherwise.
fn judge_row(domain: &Domain, row: &PbxSetting, managed: bool) -> Result<(), String> {
    match domain.memory.operator_rows.get(&row.id) {
        Some(operator_rows) if !managed => {
            let same = PbxSetting { enabled: operator_rows.enabled, ..row.clone() } == *operator_rows;
            if same && row.name == SettingName::cidr() {
                Ok(())
            } else {
                Err(format!("the row {} is not managed", operator_rows.name))
            }
        }
        _ => Ok(()),
    }
}
