//! The nouns: tenant, domain, instance, setting, secret. Values only, no I/O.

mod condition;
mod desired;
mod document;
mod domain;
mod instance;
mod observed;
mod pbx;
mod recorded;
mod route;
mod secret;
mod setting;
mod sms;
mod tenant;
#[cfg(test)]
pub mod testing;
mod version;

pub use condition::{Condition, ConditionSince, DaemonState, Heartbeat, TenantCondition};
pub use desired::{BrokenFile, Completeness, Desired, IgnoredFile, Mentions, UnusualFile};
pub use document::{DocumentMaxUsers, TenantDocument};
pub use domain::{DomainError, DomainName, Unresolvable};
pub use instance::{InstanceKey, InstanceKeyError};
pub use observed::{DomainState, InstanceView, Observed};
pub use pbx::{DomainId, NewDomain, PbxDomain, PbxSetting, PbxUser, SettingId};
pub use recorded::{
    Activity, AdoptHow, Adoption, Approval, OpenIntent, Pause, PreviousPlacement, Recorded, RemovalKind,
    RemovalRecord, RetentionResets, TenantId, TenantRecord, Tombstone, WebSignInBlock, paused_text,
    scope_text,
};
pub use route::{PbxRoute, RouteKind};
pub use secret::Secret;
pub use setting::{SettingName, SettingNameError};
pub use sms::{SmsNumber, SmsNumberError};
pub use tenant::{
    CrossTenant, Definition, DriftPolicy, KeyError, MaxUsers, SESSION_TIMEOUT_MINUTES, SESSION_TIMEOUT_USUAL,
    Tenant, TenantKey,
};
pub use version::PbxVersion;
