//! What PostgreSQL cannot prevent a service from doing, with the statements that reduce it. These are notes, not findings.

use crate::store::data::{Protection, RoleInfo, SERVICE_ROLE};

/// The timeouts that limit how long a service can make others wait, with suggested values.
const TIMEOUTS: [(&str, &str); 3] =
    [("lock_timeout", "5s"), ("statement_timeout", "60s"), ("idle_in_transaction_session_timeout", "60s")];

pub(super) fn notes(protection: &Protection) -> Vec<String> {
    let mut notes = vec![
        "PostgreSQL cannot prevent a service from locking a table that it may update, and other sessions wait until \
         its transaction ends. Set timeouts on the service's login"
            .to_owned(),
    ];
    for role in &protection.roles {
        if role.serves && role.may_log_in && !role.superuser && role.name != protection.user {
            notes.extend(without_timeouts(role));
        }
    }
    if protection.large_objects {
        notes.push(format!(
            "PostgreSQL cannot separate large objects by tenant, and {SERVICE_ROLE} may create them. To forbid that, run as \
             a superuser in this database: REVOKE EXECUTE ON FUNCTION lo_create(oid), lo_creat(integer), lo_from_bytea(oid, bytea) FROM PUBLIC"
        ));
    }
    notes
}

fn without_timeouts(role: &RoleInfo) -> Option<String> {
    let missing: Vec<_> =
        TIMEOUTS.iter().filter(|(name, _)| !role.timeouts.iter().any(|has| has == name)).collect();
    if missing.is_empty() {
        return None;
    }
    let names: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
    let role_name = format!("\"{}\"", role.name.replace('"', "\"\""));
    let statements: Vec<_> = missing
        .iter()
        .map(|(name, value)| format!("ALTER ROLE {role_name} SET {name} = '{value}'"))
        .collect();
    Some(format!(
        "the login {} has no {}. To set them: {}",
        role.name,
        names.join(", no "),
        statements.join("; ")
    ))
}
