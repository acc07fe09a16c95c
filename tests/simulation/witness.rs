//! Looks at every changing request as it reaches a server, and at the database at that moment: the properties that
//! must hold for each request by itself.

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
use crate::off_limits::OffLimits;
use crate::scenery::WEB_SESSION_LIFETIME;
use crate::sim::State;

/// What the witness knows of the pass in hand.
pub struct Witness {
    conn: SqliteConnection,
    /// The wanted side that the pass in hand works from; `None` while no one may change anything.
    pub acting_for: Option<Desired>,
    pub retention: TimeDelta,
    /// The earliest and the latest time that the pass in hand can have read from the clock.
    pub earliest: DateTime<Utc>,
    pub latest: DateTime<Utc>,
    pub own_domains: BTreeMap<InstanceKey, String>,
    /// What was managed at any time.
    pub ours: BTreeSet<(InstanceKey, DomainId)>,
    /// Since when a complete directory lacks the file of a tenant (by its id in the database).
    pub file_gone_since: BTreeMap<String, DateTime<Utc>>,
    /// Since when a domain is previous.
    pub left_since: BTreeMap<(InstanceKey, DomainId), DateTime<Utc>>,
    /// Under which keys the files of the recorded tenants stand in this pass.
    pub heirs: BTreeMap<String, BTreeSet<TenantKey>>,
    /// What no one may touch in this pass.
    pub off_limits: OffLimits,
    /// Changing requests that reached a server.
    pub mutations: u64,
    /// Domains that were checked since acting began.
    looked_at: BTreeSet<(InstanceKey, DomainId)>,
    /// Names that were looked for since acting began, and when any name was last looked for.
    asked: BTreeMap<(InstanceKey, String), u64>,
    asked_all: BTreeMap<InstanceKey, u64>,
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

/// Who the database says a domain belongs to.
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
    /// It left this domain behind when it moved away.
    #[diesel(sql_type = Bool)]
    behind: bool,
}

impl Witness {
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
            heirs: BTreeMap::new(),
            off_limits: OffLimits::default(),
            mutations: 0,
            looked_at: BTreeSet::new(),
            asked: BTreeMap::new(),
            asked_all: BTreeMap::new(),
        }
    }

    pub fn begin_acting(&mut self, desired: Desired) {
        self.acting_for = Some(desired);
        self.looked_at.clear();
        self.asked.clear();
    }

    pub fn looked_at(&mut self, instance: &InstanceKey, id: DomainId) {
        self.looked_at.insert((instance.clone(), id));
    }

    pub fn asked(&mut self, instance: &InstanceKey, name: &str, point: u64) {
        self.asked.insert((instance.clone(), name.to_owned()), point);
    }

    pub fn asked_all(&mut self, instance: &InstanceKey, point: u64) {
        self.asked_all.insert(instance.clone(), point);
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
            "SELECT id, key, enabled, protected, 0 AS behind FROM tenants WHERE instance = ?1 AND domain_id = ?2 \
             UNION ALL \
             SELECT t.id, t.key, t.enabled, t.protected, 1 AS behind FROM previous_placements f \
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
        self.witness.mutations += 1;
        let intent = self.witness.has_intent(instance, mutation);
        let enrolled = self.witness.enrolled(instance);
        let owner = self.witness.owner(instance, mutation.domain());
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
            self.witness.ours.insert((instance.clone(), mutation.domain()));
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
        let (Some(server), Some(own)) = (self.servers.get(instance), self.witness.own_domains.get(instance))
        else {
            return Err("there is no such server".into());
        };
        let desired = self.witness.acting_for.as_ref().ok_or("sent by one that only looks")?;
        if !intent {
            return Err("no open intent for it".into());
        }
        if server.identity(own).as_deref() != enrolled {
            return Err("sent to another server than was enrolled".into());
        }
        self.witness.off_limits.judge(instance, mutation.domain(), self.witness.latest)?;
        let owner = owner.ok_or("the domain is not recorded as ours")?;
        let own = TenantKey::parse(&owner.key).ok();
        let heirs = self.witness.heirs.get(&owner.id).into_iter().flatten();
        let keys = own.iter().chain(heirs);
        let wanted = keys.filter_map(|key| desired.tenants.get(key)).next();
        let domain = server.domains.get(&mutation.domain());
        // A backup may be older than the adoption.
        let was_ours = self.witness.ours.contains(&(instance.clone(), mutation.domain()));
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
        // What someone does between the last look and the request is undone with the rest of the form.
        let unseen = matches!(mutation, Mutation::Update(_))
            && domain.is_some_and(|domain| domain.memory.tampered_since_look);
        if closes(mutation, domain) && !unseen && owner.enabled && !owner.behind {
            return Err(format!("{} is closed, and not recorded as disabled", owner.key));
        }
        if opens(mutation, domain)
            && !unseen
            && (owner.behind || !wanted.is_some_and(|wanted| wanted.definition.enabled))
        {
            return Err(format!("{} is opened, and no file wants it open", owner.key));
        }
        match mutation {
            Mutation::Delete(id) => self.judge_delete(instance, *id, domain, owner, desired),
            Mutation::Put(_, row) => domain.map_or(Ok(()), |domain| {
                let managed = row.name == SettingName::user_limit()
                    || wanted.is_some_and(|wanted| wanted.definition.pbx_settings.contains_key(&row.name));
                judge_row(domain, row, managed)
            }),
            Mutation::Remove(_, id) if domain.is_some_and(|domain| domain.memory.theirs.contains_key(id)) => {
                Err("the row is somebody else's".into())
            }
            Mutation::Create(_) | Mutation::Update(_) | Mutation::Remove(..) => Ok(()),
        }
    }

    /// No one takes a name without looking for it first, or although it was seen to be in use.
    fn judge_name(
        &self,
        instance: &InstanceKey,
        mutation: &Mutation,
        domain: Option<&Domain>,
    ) -> Result<(), String> {
        let (Mutation::Create(new) | Mutation::Update(new)) = mutation else { return Ok(()) };
        // Someone may have renamed it after it was checked: then it gets its own name back.
        if domain.is_some_and(|domain| domain.name == new.name || domain.memory.tampered_lately) {
            return Ok(());
        }
        let Some(asked) = self.witness.asked.get(&(instance.clone(), new.name.clone())) else {
            return Err("nobody looked whether the name is in use".into());
        };
        let asked_all = self.witness.asked_all.get(instance).copied().unwrap_or(0);
        // The look right before a domain is made shows the enabled ones only.
        let looked_at_all = matches!(mutation, Mutation::Update(_));
        let in_use = self.servers.get(instance).into_iter().flat_map(|server| &server.domains);
        for (id, other) in in_use {
            let named_at = other.memory.named_at;
            let seen =
                named_at < asked_all || (named_at < *asked && (looked_at_all || other.enabled == Some(true)));
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
            return Err("the directory was not read whole".into());
        }
        if owner.protected {
            return Err("the tenant is protected".into());
        }
        if !self.witness.looked_at.contains(&(instance.clone(), id)) {
            return Err("nobody looked at it before".into());
        }
        let over = |since: Option<&DateTime<Utc>>| {
            since.is_some_and(|since| self.witness.latest - *since >= self.witness.retention)
        };
        let Some(domain) = domain else { return Ok(()) };
        if !over(domain.memory.closed_seen.as_ref()) {
            return Err(format!("it was not disabled for its retention ({:?})", domain.memory.closed_seen));
        }
        let server = self.servers.get(instance).and_then(|server| PbxVersion::parse(server.version));
        let outlived = !server.is_some_and(|version| version.block_ends_sessions());
        let lifetime = TimeDelta::from_std(WEB_SESSION_LIFETIME).unwrap();
        if outlived && domain.memory.closed_seen.is_none_or(|since| self.witness.latest - since < lifetime) {
            return Err("web sessions that were open before its disable may not be over".into());
        }
        let since = if owner.behind {
            self.witness.left_since.get(&(instance.clone(), id))
        } else {
            self.witness.file_gone_since.get(&owner.id)
        };
        if !over(since) {
            return Err(format!("it was not unwanted for its retention ({since:?})"));
        }
        Ok(())
    }
}

/// Takes access away from someone who has it.
fn closes(mutation: &Mutation, domain: Option<&Domain>) -> bool {
    let Some(domain) = domain else { return false };
    match mutation {
        Mutation::Update(new) | Mutation::Create(new) => domain.takes_phones() && !new.enabled,
        Mutation::Put(_, row) => row.name == SettingName::cidr() && row.id == lock(mutation) && row.enabled,
        Mutation::Delete(_) | Mutation::Remove(..) => false,
    }
}

fn opens(mutation: &Mutation, domain: Option<&Domain>) -> bool {
    let Some(domain) = domain else { return false };
    match mutation {
        Mutation::Update(new) | Mutation::Create(new) => !domain.takes_phones() && new.enabled,
        Mutation::Put(_, row) => row.name == SettingName::cidr() && row.id != lock(mutation) && row.enabled,
        Mutation::Remove(_, row) => *row == lock(mutation),
        Mutation::Delete(_) => false,
    }
}

fn lock(mutation: &Mutation) -> SettingId {
    SettingId::for_web_sign_in_block(mutation.domain())
}

/// An operator's row that the file does not own is switched, and never changed.
fn judge_row(domain: &Domain, row: &PbxSetting, managed: bool) -> Result<(), String> {
    match domain.memory.theirs.get(&row.id) {
        Some(theirs) if !managed => {
            let same = PbxSetting { enabled: theirs.enabled, ..row.clone() } == *theirs;
            if same && row.name == SettingName::cidr() {
                Ok(())
            } else {
                Err(format!("the row {} is somebody else's", theirs.name))
            }
        }
        _ => Ok(()),
    }
}
