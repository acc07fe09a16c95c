//! Compares the catalog of the live database with what must be there.

use super::Finding;
use super::expected::{KEYS, Keys, POSTGRES_TRIGGERS, SHARED, SQLITE_TRIGGERS};
use crate::store::data::{Catalog, OWN_TABLES, Policy, Protection, SERVICE_ROLE, TENANT, TableInfo};

/// The faults in keys, checks and triggers.
pub(super) fn check_catalog(catalog: &Catalog) -> Vec<Finding> {
    let mut findings = Vec::new();
    let data = catalog.data_tables();
    for table in catalog.tables.values() {
        if !OWN_TABLES.contains(&table.name.as_str()) && !table.has(TENANT) {
            let what = "the table has no column tenant_id, so its rows belong to no tenant";
            findings.push(Finding::new(&table.name, "key", what));
        }
    }
    for table in &data {
        check_keys(table, &data, &mut findings);
        if catalog.postgres {
            check_trigger(table, "keep_tenant", &mut findings);
            check_trigger(table, "no_truncate", &mut findings);
        } else {
            check_trigger(table, &format!("{}_keep_tenant", table.name), &mut findings);
        }
    }
    for expected in &KEYS {
        check_expected_keys(catalog, expected, &mut findings);
    }
    for (name, expected) in if catalog.postgres { POSTGRES_TRIGGERS } else { SQLITE_TRIGGERS } {
        if let Some(table) = catalog.tables.get(name) {
            check_trigger(table, expected, &mut findings);
        }
    }
    findings
}

/// The keys and checks that one table must have.
fn check_expected_keys(catalog: &Catalog, expected: &Keys, findings: &mut Vec<Finding>) {
    let mut missing = |what: String| findings.push(Finding::new(expected.table, "key", what));
    let Some(table) = catalog.tables.get(expected.table) else {
        missing("the table is missing".to_owned());
        return;
    };
    for (column, to) in expected.links {
        let found = table.foreign_keys.iter().any(|key| {
            let has = |name: &str| key.columns.iter().any(|own| own == name);
            key.table == *to && has(column) && has(TENANT)
        });
        if !found {
            missing(format!("the foreign key (tenant_id, {column}) to {to} is missing"));
        }
    }
    for unique in expected.uniques {
        if !table.uniques.contains(*unique) {
            missing(format!("the unique key ({unique}) is missing"));
        }
    }
    for check in expected.checks {
        if !table.checks.contains(check) {
            missing(format!("the check with `{check}` is missing"));
        }
    }
}

fn check_trigger(table: &TableInfo, name: &str, findings: &mut Vec<Finding>) {
    if !table.triggers.contains(name) {
        let what = format!("the trigger {name} is missing or disabled");
        findings.push(Finding::new(&table.name, "trigger", what));
    }
}

fn check_keys(table: &TableInfo, data: &[&TableInfo], findings: &mut Vec<Finding>) {
    let mut found = |what: String| findings.push(Finding::new(&table.name, "key", what));
    if table.primary_key.first().map(String::as_str) != Some(TENANT) {
        found("the primary key does not begin with tenant_id".to_owned());
    }
    if table.column(TENANT).is_some_and(|column| !column.not_null) {
        found("tenant_id may be NULL".to_owned());
    }
    let to_tenants = table.foreign_keys.iter().any(|key| {
        key.table == "tenants" && key.columns == [TENANT.to_owned()] && key.to == ["id".to_owned()]
    });
    if !to_tenants {
        found("the foreign key of tenant_id to tenants is missing".to_owned());
    }
    for key in table.foreign_keys.iter().filter(|key| data.iter().any(|other| other.name == key.table)) {
        if !key.columns.iter().zip(&key.to).any(|(own, other)| own == TENANT && other == TENANT) {
            let columns = key.columns.join(", ");
            found(format!("the foreign key ({columns}) to {} does not include the tenant", key.table));
        }
    }
}

/// The faults in row-level security, grants, roles and functions.
pub(super) fn check_protection(catalog: &Catalog, protection: &Protection) -> Vec<Finding> {
    let mut findings = Vec::new();
    let data = catalog.data_tables();
    for table in &data {
        let Some(found) = protection.tables.iter().find(|found| found.name == table.name) else { continue };
        if !found.enabled {
            findings.push(Finding::new(&table.name, "policy", "row-level security is not enabled"));
        }
        if !found.forced {
            findings.push(Finding::new(&table.name, "policy", "row-level security is not forced"));
        }
        let policies: Vec<&Policy> =
            protection.policies.iter().filter(|policy| policy.table == table.name).collect();
        check_policies(&table.name, &policies, &found.owner, &mut findings);
    }
    for table in protection.tables.iter().filter(|table| table.owner != protection.user) {
        let serves = protection.roles.iter().any(|role| role.serves && role.name == table.owner);
        if serves || table.owner == SERVICE_ROLE {
            let what = format!("the table belongs to {}, a role that services use", table.owner);
            findings.push(Finding::new(&table.name, "grant", what));
        }
    }
    check_grants(&data, protection, &mut findings);
    check_roles(protection, &mut findings);
    for function in &protection.loose_functions {
        let what = "it runs with its owner's rights and without a fixed search path that ends with pg_temp";
        findings.push(Finding::new(function, "function", what));
    }
    findings
}

/// A policy's expression without white space.
fn plain(expression: Option<&String>) -> String {
    expression.map(|text| text.chars().filter(|c| !c.is_whitespace()).collect()).unwrap_or_default()
}

fn check_policies(table: &str, found: &[&Policy], owner: &str, findings: &mut Vec<Finding>) {
    const OWN_ROWS: &str = "(tenant_id=(SELECTcrystalqore_tenant()AScrystalqore_tenant))";
    let service = [SERVICE_ROLE.to_owned()];
    let kind = SHARED.iter().find(|(name, _)| *name == table).map(|(_, kind)| *kind);
    let (mut tenant, mut upkeep, mut shared) = (false, false, kind.is_none());
    for policy in found.iter().filter(|policy| policy.permissive) {
        let (condition, check) = (plain(policy.condition.as_ref()), plain(policy.check.as_ref()));
        let all = policy.command == "ALL" && condition == check;
        let shares = |kind: &str| condition.contains(&format!("crystalqore_shared('{kind}'::text)"));
        if all && policy.roles == service && condition == OWN_ROWS {
            tenant = true;
        } else if all && policy.roles == [owner.to_owned()] && condition == "true" {
            upkeep = true;
        } else if policy.command == "SELECT"
            && policy.roles == service
            && kind.is_some_and(shares)
            && (table != "contacts" || condition.contains("owner_idISNULL"))
            && (kind != Some("chat") || condition.contains("(sharedAND") || condition.contains("c.shared"))
        {
            shared = true;
        } else {
            let what = format!("the policy {} was not made by tenantd and shows more rows", policy.name);
            findings.push(Finding::new(table, "policy", what));
        }
    }
    for (is_present, name) in [(tenant, "tenant"), (upkeep, "tenantd"), (shared, "shared")] {
        if !is_present {
            findings.push(Finding::new(table, "policy", format!("the policy {name} is missing or changed")));
        }
    }
}

const VERBS: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];

fn check_grants(data: &[&TableInfo], protection: &Protection, findings: &mut Vec<Finding>) {
    for table in data {
        for verb in VERBS {
            let granted = protection.grants.iter().any(|grant| {
                grant.relation == table.name && grant.role == SERVICE_ROLE && grant.privilege == verb
            });
            if !granted {
                let what = format!("{SERVICE_ROLE} lacks {verb}: services cannot work");
                findings.push(Finding::new(&table.name, "grant", what));
            }
        }
    }
    for grant in &protection.grants {
        let is_data = data.iter().any(|table| table.name == grant.relation);
        let usual = grant.role == SERVICE_ROLE
            && if is_data {
                VERBS.contains(&grant.privilege.as_str())
            } else {
                grant.relation == "current_tenant" && grant.privilege == "SELECT"
            };
        let superuser = protection.roles.iter().any(|role| role.name == grant.role && role.superuser);
        if !usual && !superuser {
            let what = format!("{} was granted {}", grant.role, grant.privilege);
            findings.push(Finding::new(&grant.relation, "grant", what));
        }
    }
}

fn check_roles(protection: &Protection, findings: &mut Vec<Finding>) {
    if !protection.roles.iter().any(|role| role.name == SERVICE_ROLE) {
        findings.push(Finding::new(SERVICE_ROLE, "role", "the role is missing"));
    }
    for role in &protection.roles {
        if role.name == SERVICE_ROLE {
            for (bad, what) in [
                (role.superuser, "it is a superuser"),
                (role.bypass, "it bypasses row-level security"),
                (role.may_log_in, "it may log in itself"),
                (role.creates_roles, "it may create roles"),
            ] {
                if bad {
                    findings.push(Finding::new(SERVICE_ROLE, "role", what));
                }
            }
        } else if role.serves && role.name != protection.user && (role.superuser || role.bypass) {
            let what = format!("it is a member of {SERVICE_ROLE} and bypasses row-level security");
            findings.push(Finding::new(&role.name, "role", what));
        }
    }
}
