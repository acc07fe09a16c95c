//! Values for tests that start in agreement and change one side.

use chrono::DateTime;
use uuid::Uuid;

use super::{
    CrossTenant, DomainId, DomainName, DriftPolicy, InstanceKey, MaxUsers, PbxDomain, Tenant, TenantId,
    TenantKey, TenantRecord,
};

/// A tenant as its file wants it.
pub fn wanted(key: &str) -> Tenant {
    Tenant {
        key: TenantKey::parse(key).unwrap(),
        name: format!("{key} Ltd"),
        domain: DomainName::parse(&format!("{key}.example.com")).unwrap(),
        instance: InstanceKey::parse("hq").unwrap(),
        enabled: true,
        session_timeout: 60,
        max_users: MaxUsers::Unlimited,
        protected: false,
        pbx_settings: [].into(),
        cross_tenant: CrossTenant::default(),
        previously: None,
        adopt: false,
        drift: DriftPolicy::Correct,
        accept: [].into(),
    }
}

/// The record that agrees with a file.
pub fn record_of(wanted: &Tenant) -> TenantRecord {
    let at = DateTime::from_timestamp(1_750_000_000, 0).unwrap();
    TenantRecord {
        id: TenantId(Uuid::new_v5(&Uuid::NAMESPACE_URL, wanted.key.as_str().as_bytes())),
        key: wanted.key.clone(),
        name: wanted.name.clone(),
        domain: wanted.domain.clone(),
        instance: wanted.instance.clone(),
        enabled: wanted.enabled,
        session_timeout: wanted.session_timeout,
        max_users: wanted.max_users,
        protected: wanted.protected,
        pbx_settings: wanted.pbx_settings.clone(),
        cross_tenant: wanted.cross_tenant.clone(),
        drift: wanted.drift,
        domain_id: DomainId(Uuid::new_v5(&Uuid::NAMESPACE_DNS, wanted.key.as_str().as_bytes())),
        provisioned: true,
        disabled_at: (!wanted.enabled).then_some(at),
        disable_confirmed_at: (!wanted.enabled).then_some(at),
        deletable_from: None,
        removed_at: None,
        login_lock: None,
        lock_left_open: false,
        settings_checked_at: Some(at),
        applied_hash: Some(crate::plan::definition_hash(wanted)),
        reapplied: [].into(),
        revision: 1,
        created_at: at,
        updated_at: at,
    }
}

/// The domain that agrees with a record.
pub fn domain_of(record: &TenantRecord) -> PbxDomain {
    PbxDomain {
        id: record.domain_id,
        name: record.domain.to_string(),
        enabled: Some(record.enabled),
        description: record.name.clone(),
    }
}

/// All three sides in agreement.
pub fn in_agreement(key: &str) -> (Tenant, TenantRecord, PbxDomain) {
    let wanted = wanted(key);
    let record = record_of(&wanted);
    let domain = domain_of(&record);
    (wanted, record, domain)
}
