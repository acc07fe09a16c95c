//! Values for tests that start in agreement and change one side.

use chrono::DateTime;
use uuid::Uuid;

use super::{
    CrossTenant, Definition, DomainId, DomainName, DriftPolicy, InstanceKey, MaxUsers, PbxDomain, Tenant,
    TenantId, TenantKey, TenantRecord,
};

/// A tenant as its file wants it.
pub fn wanted(key: &str) -> Tenant {
    Tenant {
        key: TenantKey::parse(key).unwrap(),
        definition: Definition {
            name: format!("{key} Ltd"),
            domain: DomainName::parse(&format!("{key}.example.com")).unwrap(),
            instance: InstanceKey::parse("hq").unwrap(),
            enabled: true,
            session_timeout: 60,
            max_users: MaxUsers::Unlimited,
            protected: false,
            pbx_settings: [].into(),
            cross_tenant: CrossTenant::default(),
            drift: DriftPolicy::Correct,
        },
        previously: None,
        adopt: false,
        sms_numbers: None,
        accept: [].into(),
    }
}

/// The record that agrees with a file.
pub fn record_of(wanted: &Tenant) -> TenantRecord {
    let at = DateTime::from_timestamp(1_750_000_000, 0).unwrap();
    let name = wanted.key.as_str().as_bytes();
    let id = TenantId(Uuid::new_v5(&Uuid::NAMESPACE_URL, name));
    let domain_id = DomainId(Uuid::new_v5(&Uuid::NAMESPACE_DNS, name));
    TenantRecord {
        provisioned: true,
        disable_confirmed_at: (!wanted.definition.enabled).then_some(at),
        settings_checked_at: Some(at),
        restored_at: None,
        applied_definition_hash: Some(crate::plan::definition_hash(wanted)),
        ..TenantRecord::new(id, wanted, domain_id, at)
    }
}

/// The domain that agrees with a record.
pub fn domain_of(record: &TenantRecord) -> PbxDomain {
    PbxDomain {
        id: record.domain_id,
        name: record.definition.domain.to_string(),
        enabled: Some(record.definition.enabled),
        description: record.definition.name.clone(),
    }
}

/// All three sides in agreement.
pub fn in_agreement(key: &str) -> (Tenant, TenantRecord, PbxDomain) {
    let wanted = wanted(key);
    let record = record_of(&wanted);
    let domain = domain_of(&record);
    (wanted, record, domain)
}
