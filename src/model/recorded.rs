use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Definition, DomainId, DomainName, InstanceKey, SettingId, SmsNumber, Tenant, TenantKey};

/// The identity of a tenant in the database, the same through renames, moves and a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub Uuid);

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What keeps a disabled tenant's web users out, and what must come back when it is enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSignInBlock {
    /// The `domain.cidr.array` entry that matches no one.
    pub entry: SettingId,
    /// Entries that were switched off, to be switched on again exactly as they were.
    pub switched_off: BTreeSet<SettingId>,
}

/// A tenant as the database records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRecord {
    pub id: TenantId,
    pub key: TenantKey,
    /// The desired state as it was recorded last.
    pub definition: Definition,
    pub domain_id: DomainId,
    /// Whether the domain was once seen on the PBX as wanted; false while a creation is unfinished.
    pub provisioned: bool,
    /// When the database was reported that this tenant is disabled.
    pub disabled_at: Option<DateTime<Utc>>,
    /// When the PBX was first seen to refuse this tenant, without a break since.
    pub disable_confirmed_at: Option<DateTime<Utc>>,
    /// Retention ends here; the database refuses an earlier deletion.
    pub deletable_from: Option<DateTime<Utc>>,
    /// When its file was first seen to be gone; retention does not start earlier.
    pub file_removed_at: Option<DateTime<Utc>>,
    pub web_sign_in_block: Option<WebSignInBlock>,
    /// Disabled by someone else before it was imported: web sign-in was left as it was found.
    pub web_sign_in_left_open: bool,
    /// When its settings on the PBX were last compared, row by row.
    pub settings_checked_at: Option<DateTime<Utc>>,
    /// Hash of the last definition that was applied whole.
    pub applied_definition_hash: Option<String>,
    /// When it was brought back from an archive; `None` once its domain is again as its file says.
    pub restored_at: Option<DateTime<Utc>>,
    /// How often a field was corrected in a row without lasting, by field name.
    pub corrections: BTreeMap<String, u32>,
    /// Counts every change of the row; a plan made from an older one is stale.
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl TenantRecord {
    /// The record of a tenant of which nothing is done on the PBX yet.
    pub fn new(id: TenantId, tenant: &Tenant, domain_id: DomainId, now: DateTime<Utc>) -> Self {
        Self {
            id,
            key: tenant.key.clone(),
            definition: tenant.definition.clone(),
            domain_id,
            provisioned: false,
            disabled_at: (!tenant.definition.enabled).then_some(now),
            disable_confirmed_at: None,
            deletable_from: None,
            file_removed_at: None,
            web_sign_in_block: None,
            web_sign_in_left_open: false,
            settings_checked_at: None,
            applied_definition_hash: None,
            restored_at: None,
            corrections: BTreeMap::new(),
            revision: 1,
            created_at: now,
            updated_at: now,
        }
    }
}

/// A domain that a tenant had on an instance before it moved away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousPlacement {
    pub tenant: TenantId,
    pub key: TenantKey,
    pub instance: InstanceKey,
    pub domain_id: DomainId,
    pub domain: DomainName,
    pub web_sign_in_block: Option<WebSignInBlock>,
    pub left_at: DateTime<Utc>,
    /// When the old PBX was first seen to refuse it, without a break since.
    pub disable_confirmed_at: Option<DateTime<Utc>>,
    /// Retention ends here.
    pub deletable_from: Option<DateTime<Utc>>,
}

/// Whose retention begins again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionResets {
    /// Removed tenants that have a file again.
    pub returned: BTreeSet<TenantId>,
    /// Removed tenants that were confirmed disabled and are observed enabled.
    pub tenants: BTreeSet<TenantId>,
    /// The same of domains that are previous ones.
    pub previous: BTreeSet<(InstanceKey, DomainId)>,
}

/// What remains of a deleted tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    pub tenant: TenantId,
    pub key: TenantKey,
    pub name: String,
    pub domain: DomainName,
    pub instance: InstanceKey,
    pub domain_id: DomainId,
    pub disabled_at: Option<DateTime<Utc>>,
    pub deleted_at: DateTime<Utc>,
    /// The archive that holds its data, where one was made.
    pub archive: Option<String>,
    /// SHA-256 of that file, in hex.
    pub archive_sha256: Option<String>,
}

/// A changing request that has begun and whose outcome is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenIntent {
    pub id: Uuid,
    pub tenant: TenantId,
    pub key: TenantKey,
    pub instance: InstanceKey,
    pub action: String,
    pub opened_at: DateTime<Utc>,
}

/// What counts against the removal limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RemovalKind {
    /// Disabled because the file was removed.
    FileGone,
    /// Deleted from PBX and database.
    Deleted,
    /// Disabled by an explicit `enabled: false`.
    Disabled,
    /// Another domain for an enabled tenant: its phones lose their registration.
    Renamed,
    /// An enabled tenant to another instance, where its phones are not.
    Moved,
}

impl RemovalKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FileGone => "file_gone",
            Self::Deleted => "deleted",
            Self::Disabled => "disabled",
            Self::Renamed => "renamed",
            Self::Moved => "moved",
        }
    }
}

/// One removal within the rolling window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RemovalRecord {
    pub tenant: TenantId,
    pub kind: RemovalKind,
    pub instance: InstanceKey,
    pub at: DateTime<Utc>,
}

/// An operator's word that lifts a hold, for a limited time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    pub id: Uuid,
    /// Exactly this set of removals, …
    pub removals_id: Option<String>,
    /// … or the deletion of this tenant.
    pub deletion_of: Option<TenantKey>,
    pub approved_by: String,
    pub approved_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// An operator's word that a domain which is not managed becomes a tenant's, for a limited time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    pub instance: InstanceKey,
    /// Exactly this domain, whatever comes to have its name.
    pub domain_id: DomainId,
    pub how: AdoptHow,
    pub by: String,
    pub until: DateTime<Utc>,
}

/// What a taken over domain is brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdoptHow {
    /// To what its file says, the web sign-in block of a disabled one included.
    AsItsFileSays,
    /// The file was written from it: nothing changes on the PBX, and an open web sign-in stays open.
    AsItIs,
}

/// Work that an operator has paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub id: Uuid,
    pub key: Option<TenantKey>,
    pub instance: Option<InstanceKey>,
    pub until: DateTime<Utc>,
    pub reason: String,
    pub paused_by: String,
    pub paused_at: DateTime<Utc>,
}

impl Pause {
    pub fn covers(&self, key: &TenantKey, instance: Option<&InstanceKey>) -> bool {
        self.key.as_ref().is_none_or(|of| of == key)
            && self.instance.as_ref().is_none_or(|of| Some(of) == instance)
    }

    /// What it pauses, for people.
    pub fn scope(&self) -> String {
        scope_text(self.key.as_ref(), self.instance.as_ref())
    }

    /// The tenants that it pauses, for people.
    pub fn paused(&self) -> String {
        paused_text(self.key.as_ref(), self.instance.as_ref())
    }

    /// The command that ends it.
    pub fn resume(&self) -> String {
        let of = match (&self.key, &self.instance) {
            (Some(key), _) => key.to_string(),
            (None, Some(instance)) => format!("--instance {instance}"),
            (None, None) => "--all".to_owned(),
        };
        format!("tenantd resume {of}")
    }
}

/// The tenants of a pause's scope.
pub fn paused_text(key: Option<&TenantKey>, instance: Option<&InstanceKey>) -> String {
    match (key, instance) {
        (Some(key), _) => key.to_string(),
        (None, Some(instance)) => format!("all tenants of {instance}"),
        (None, None) => "all tenants".to_owned(),
    }
}

/// What a word about a tenant, about an instance or about neither is about.
pub fn scope_text(key: Option<&TenantKey>, instance: Option<&InstanceKey>) -> String {
    match (key, instance) {
        (Some(key), Some(instance)) => format!("the tenant {key} on {instance}"),
        (Some(key), None) => format!("the tenant {key}"),
        (None, Some(instance)) => format!("the instance {instance}"),
        (None, None) => "everything".to_owned(),
    }
}

/// Who is active in a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Enabled user accounts.
    pub users: i64,
    pub open_sessions: i64,
    pub last_activity: Option<DateTime<Utc>>,
    /// When its open sessions began; empty where nothing shortens them.
    pub session_starts: Vec<DateTime<Utc>>,
}

/// Everything the database knows that a plan depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    pub tenants: BTreeMap<TenantKey, TenantRecord>,
    pub previous_placements: Vec<PreviousPlacement>,
    pub open_intents: Vec<OpenIntent>,
    /// Removals within the window of the limits.
    pub removals: Vec<RemovalRecord>,
    pub approvals: Vec<Approval>,
    pub pauses: Vec<Pause>,
    /// Domains that an operator said are to be taken over, by the key of the file that names them.
    pub adoptions: BTreeMap<TenantKey, Adoption>,
    /// Since when passes have come without a gap that a clock's jump could hide in; `None` where that is not judged.
    pub clock_steady_since: Option<DateTime<Utc>>,
    /// Tenants with user sessions that are open now, and how many.
    pub open_sessions: BTreeMap<TenantId, i64>,
    /// The SMS numbers that each tenant has on the platform.
    pub sms_numbers: BTreeMap<TenantId, BTreeSet<SmsNumber>>,
    /// Who is active in the tenants that a plan may take something away from; of the others it is not read.
    pub activity: BTreeMap<TenantId, Activity>,
    /// Tenants whose data is archived and checked since they were disabled.
    pub archived: BTreeSet<TenantId>,
}

impl Recorded {
    /// The domains that tenantd manages: of tenants, and previous ones that they had before a move.
    pub fn managed_domains(&self) -> BTreeSet<(&InstanceKey, DomainId)> {
        let tenants = self.tenants.values().map(|record| (&record.definition.instance, record.domain_id));
        let previous =
            self.previous_placements.iter().map(|previous| (&previous.instance, previous.domain_id));
        tenants.chain(previous).collect()
    }
}
