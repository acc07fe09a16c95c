//! What makes a sandbox look lived in: users, open sessions, domains that no one manages yet.

use std::collections::BTreeMap;

use chrono::{SecondsFormat, TimeDelta};
use serde_json::{Value, json};

use crate::environment::{Environment as _, System};
use crate::model::{MaxUsers, TenantRecord};
use crate::store::{Database, StoreError};
use fusionpbx_standin::{NewSetting, NewUser, StandIn};

/// Domains for `import`, on the first instance.
const UNMANAGED: [(&str, &str); 3] = [
    ("wayne.example.com", "Wayne Enterprises"),
    ("stark.example.com", "Stark Industries"),
    ("wonka.example.com", "Wonka Candy"),
];

const PEOPLE: [&str; 10] = ["anna", "bert", "cleo", "dora", "emil", "fatma", "goran", "hana", "ivan", "jule"];

/// Tenants with more room than this get a few users, and are not brought near their limit.
const SMALL: u32 = 60;

/// Before the first pass.
pub fn unmanaged_domains(server: &StandIn) {
    for (domain, name) in UNMANAGED {
        let id = server.pbx().add_domain(domain, Some(true), Some(name));
        server.pbx().add_setting(id, NewSetting::new("limit", "users", "numeric", "20"));
        add_users(server, id, 2);
    }
}

/// After it: three users for each tenant, and one tenant at nine tenths of its limit.
pub fn users(servers: &BTreeMap<String, StandIn>, records: &[TenantRecord]) {
    let near = records.iter().filter(|record| record.definition.enabled).find_map(|record| {
        match record.definition.max_users {
            MaxUsers::Limited(most) if (2..=SMALL).contains(&most) => Some((record.id, most)),
            _ => None,
        }
    });
    for record in records {
        let Some(server) = servers.get(record.definition.instance.as_str()) else { continue };
        let count = match near {
            Some((id, most)) if id == record.id => most * 9 / 10,
            _ => 3,
        };
        add_users(server, record.domain_id.0, count);
    }
}

fn add_users(server: &StandIn, domain: uuid::Uuid, count: u32) {
    for number in 0..count {
        let people = PEOPLE.len();
        let (name, round) = (PEOPLE[number as usize % people], number as usize / people);
        let username = if round == 0 { (*name).to_owned() } else { format!("{name}{}", round + 1) };
        server.pbx().add_user(NewUser {
            domain,
            username,
            password: uuid::Uuid::new_v4().to_string(),
            enabled: Some(true),
            groups: vec![if number == 0 { "admin" } else { "user" }.to_owned()],
        });
    }
}

/// One open session on the platform for the first users of each enabled tenant.
pub async fn sessions(database: &Database, records: Vec<TenantRecord>) -> Result<(), StoreError> {
    let now = System.now();
    let text =
        |at: chrono::DateTime<chrono::Utc>| Value::from(at.to_rfc3339_opts(SecondsFormat::Micros, true));
    database
        .write(move |store| {
            let catalog = store.catalog()?;
            let Some(table) = catalog.tables.get("user_sessions") else { return Ok(()) };
            for record in records.iter().filter(|record| record.definition.enabled) {
                let mut scope = store.scope(record.id);
                let users = scope.users()?;
                let lasts = TimeDelta::minutes(i64::from(record.definition.session_timeout.min(30)));
                let rows: Vec<BTreeMap<String, Value>> = users
                    .iter()
                    .filter(|user| user.enabled)
                    .take(2)
                    .map(|user| {
                        [
                            ("tenant_id", json!(record.id.to_string())),
                            ("id", json!(System.new_id().to_string())),
                            ("user_id", json!(user.id)),
                            ("started_at", text(now)),
                            ("expires_at", text(now + lasts)),
                            ("last_seen_at", text(now)),
                            ("ended_at", Value::Null),
                            ("end_reason", Value::Null),
                            ("client", json!("sandbox")),
                        ]
                        .map(|(name, value)| (name.to_owned(), value))
                        .into()
                    })
                    .collect();
                scope.insert_rows(table, "tenant_id", &rows, &[])?;
            }
            Ok(())
        })
        .await
}
