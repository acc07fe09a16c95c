use super::*;
use crate::model::{TenantKey, testing};

/// The web sign-in block of a domain, in force.
fn lock_of(domain: &PbxDomain) -> PbxSetting {
    PbxSetting {
        id: SettingId::for_web_sign_in_block(domain.id),
        name: SettingName::cidr(),
        value: NOBODY.into(),
        order: Some(10),
        enabled: true,
        description: String::new(),
    }
}

#[test]
fn in_agreement_nothing_differs() {
    let (wanted, record, domain) = testing::in_agreement("acme");
    let seen = Seen { domain: &domain, settings: Some(&[]) };
    assert_eq!(tenant(&wanted, &record, Some(seen)), []);
}

#[test]
fn the_file_wins_over_the_pbx_as_the_origin() {
    let (mut wanted, record, mut domain) = testing::in_agreement("acme");
    wanted.definition.name = "Acme Corporation".into();
    domain.description = "somebody's".into();
    let found = tenant(&wanted, &record, Some(Seen { domain: &domain, settings: None }));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].origin, Origin::File);
}

#[test]
fn null_enabled_is_not_enabled() {
    let (wanted, record, mut domain) = testing::in_agreement("acme");
    domain.enabled = None;
    let found = tenant(&wanted, &record, Some(Seen { domain: &domain, settings: None }));
    assert_eq!(found[0].field, Field::Enabled);
    assert_eq!(found[0].before, None);
}

#[test]
fn a_second_enabled_row_differs_unless_it_is_an_array() {
    let name = SettingName::new("limit", "extensions", "numeric");
    let row = |n: u128, name: &SettingName, value: &str, enabled| PbxSetting {
        id: SettingId(uuid::Uuid::from_u128(n)),
        name: name.clone(),
        value: value.into(),
        order: Some(10),
        enabled,
        description: String::new(),
    };
    let rows = [row(1, &name, "5", true), row(2, &name, "9", true), row(3, &name, "7", false)];
    assert!(setting_differs(&rows, &name, Some("5")));
    assert!(!setting_differs(&rows[..1], &name, Some("5")));
    assert!(setting_differs(&rows[2..], &name, Some("7")), "a disabled row is no value");
    assert!(!setting_differs(&rows[2..], &name, None));
    assert!(setting_differs(&rows[..1], &name, None));
    let list = SettingName::new("theme", "fonts", "array");
    let rows = [row(1, &list, "a", true), row(2, &list, "b", true)];
    assert!(!setting_differs(&rows, &list, Some("b")));
}

#[test]
fn one_open_cidr_entry_breaks_the_web_sign_in_block() {
    let (_, _, domain) = testing::in_agreement("acme");
    let lock = SettingId::for_web_sign_in_block(domain.id);
    let row = |id, enabled| PbxSetting {
        id,
        name: SettingName::cidr(),
        value: if id == lock { NOBODY.into() } else { "10.0.0.0/8".into() },
        order: Some(10),
        enabled,
        description: String::new(),
    };
    let other = SettingId(uuid::Uuid::from_u128(7));
    assert!(web_sign_in_is_blocked(&[row(lock, true), row(other, false)], lock));
    assert!(!web_sign_in_is_blocked(&[row(lock, true), row(other, true)], lock));
    assert!(!web_sign_in_is_blocked(&[row(lock, false)], lock));
    assert!(!web_sign_in_is_blocked(&[row(other, true)], lock));
    let widened = PbxSetting { value: "0.0.0.0/0".into(), ..row(lock, true) };
    assert!(!web_sign_in_is_blocked(&[widened], lock), "somebody let everybody in through our own entry");
}

#[test]
fn each_differing_setting_is_reported_once() {
    let (mut wanted, mut record, domain) = testing::in_agreement("acme");
    let name = |n: &str| SettingName::new("limit", n, "numeric");
    record.definition.pbx_settings =
        [(name("a"), "1".into()), (name("b"), "1".into()), (name("c"), "1".into())].into();
    wanted.definition.pbx_settings =
        [(name("a"), "2".into()), (name("b"), "2".into()), (name("d"), "2".into())].into();
    let found = tenant(&wanted, &record, Some(Seen { domain: &domain, settings: None }));
    let told: Vec<_> = found
        .iter()
        .map(|difference| {
            (difference.field.clone(), difference.before.as_deref(), difference.after.as_deref())
        })
        .collect();
    assert_eq!(
        told,
        [
            (Field::Setting(name("a")), Some("1"), Some("2")),
            (Field::Setting(name("b")), Some("1"), Some("2")),
            (Field::Setting(name("c")), Some("1"), None),
            (Field::Setting(name("d")), None, Some("2")),
        ]
    );
}

#[test]
fn a_disable_that_the_pbx_did_not_confirm_differs() {
    let mut wanted = testing::wanted("acme");
    wanted.definition.enabled = false;
    let mut record = testing::record_of(&wanted);
    let domain = testing::domain_of(&record);
    let differs = |wanted: &Tenant, record: &TenantRecord, settings| {
        !tenant(wanted, record, Some(Seen { domain: &domain, settings })).is_empty()
    };
    assert!(!differs(&wanted, &record, None));
    record.disable_confirmed_at = None;
    assert!(differs(&wanted, &record, None));
    let lock = [lock_of(&domain)];
    assert!(differs(&wanted, &record, Some(&lock)), "also when its settings look right");
    record.web_sign_in_left_open = true;
    assert!(
        differs(&wanted, &record, None),
        "also when the web sign-in block was left open: its end is to be recorded"
    );
}

#[test]
fn entries_switched_off_by_a_block_stay_recorded_until_they_are_restored() {
    let (wanted, mut record, domain) = testing::in_agreement("acme");
    record.web_sign_in_block = Some(crate::model::WebSignInBlock {
        entry: SettingId::for_web_sign_in_block(domain.id),
        switched_off: [SettingId(uuid::Uuid::from_u128(7))].into(),
    });
    let found = tenant(&wanted, &record, Some(Seen { domain: &domain, settings: None }));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].field, Field::WebSignIn);
}

#[test]
fn a_disable_without_its_end_recorded_is_looked_at_again() {
    let (mut wanted, _, _) = testing::in_agreement("acme");
    wanted.definition.enabled = false;
    let mut record = testing::record_of(&wanted);
    record.web_sign_in_left_open = true;
    let domain = testing::domain_of(&record);
    let seen = Seen { domain: &domain, settings: Some(&[]) };
    assert_eq!(tenant(&wanted, &record, Some(seen)), []);
    record.disable_confirmed_at = None;
    assert_eq!(tenant(&wanted, &record, Some(seen))[0].field, Field::Enabled);
}

#[test]
fn a_tenant_that_is_not_disabled_yet_has_no_drift_without_a_block() {
    let (mut wanted, record, domain) = testing::in_agreement("acme");
    wanted.definition.enabled = false;
    let found = tenant(&wanted, &record, Some(Seen { domain: &domain, settings: Some(&[]) }));
    let fields: Vec<_> = found.iter().map(|difference| (&difference.field, difference.origin)).collect();
    assert_eq!(fields, [(&Field::Enabled, Origin::File)]);
}

#[test]
fn sharing_is_shown_as_a_list_and_no_sharing_as_nothing() {
    let (mut wanted, record, _) = testing::in_agreement("acme");
    wanted.definition.cross_tenant.chat =
        ["globex", "hooli"].map(|key| TenantKey::parse(key).unwrap()).into();
    let found = tenant(&wanted, &record, None);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].before.as_deref(), found[0].after.as_deref()), (None, Some("globex, hooli")));
}

#[test]
fn a_domain_without_description_is_as_it_should_be_only_where_the_name_repeats_the_domain() {
    let (wanted, record, mut domain) = testing::in_agreement("acme");
    let differs = |wanted: &Tenant, domain: &PbxDomain| {
        let mut record = record.clone();
        record.definition.name.clone_from(&wanted.definition.name);
        !tenant(wanted, &record, Some(Seen { domain, settings: None })).is_empty()
    };
    let mut nameless = wanted.clone();
    nameless.definition.name = wanted.definition.domain.to_string();
    domain.description = String::new();
    assert!(!differs(&nameless, &domain));
    assert!(differs(&wanted, &domain), "another name belongs there");
    domain.description = "somebody's".into();
    assert!(differs(&nameless, &domain), "and so does what somebody wrote there");
}

#[test]
fn no_user_limit_is_shown_in_the_files_words() {
    let (mut wanted, mut record, domain) = testing::in_agreement("acme");
    wanted.definition.max_users = MaxUsers::Limited(5);
    record.definition.max_users = wanted.definition.max_users;
    let found = tenant(&wanted, &record, Some(Seen { domain: &domain, settings: Some(&[]) }));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].before.as_deref(), found[0].after.as_deref()), (Some("unlimited"), Some("5")));
}

#[test]
fn a_missing_web_sign_in_block_is_drift_of_disabled_tenants_only() {
    let mut disabled = testing::wanted("acme");
    disabled.definition.enabled = false;
    let enabled = testing::wanted("acme");
    let mut record = testing::record_of(&disabled);
    let domain = testing::domain_of(&record);
    let lock = lock_of(&domain);
    let fields = |wanted: &Tenant, record: &TenantRecord, settings: &[PbxSetting]| {
        let found = tenant(wanted, record, Some(Seen { domain: &domain, settings: Some(settings) }));
        found.into_iter().map(|difference| (difference.field, difference.origin)).collect::<Vec<_>>()
    };
    assert_eq!(fields(&disabled, &record, &[]), [(Field::WebSignIn, Origin::Drift)]);
    assert_eq!(fields(&disabled, &record, &[lock]), []);
    assert_eq!(fields(&enabled, &record, &[]), [(Field::Enabled, Origin::File)]);
    record.web_sign_in_left_open = true;
    assert_eq!(fields(&disabled, &record, &[]), []);
}
