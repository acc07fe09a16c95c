//! Which rows of a domain's settings to write. Pure functions of values.

use std::collections::{BTreeMap, BTreeSet};

use super::request::Request;
use crate::model::{DomainId, LoginLock, PbxSetting, SettingId, SettingName};
use crate::sabotage::{Bug, active};

/// Order of the rows that tenantd adds; FusionPBX refuses 0.
const ORDER: i32 = 10;
/// A `cidr` value that matches nobody. `0.0.0.0/32` would let every IPv6 client in, because FusionPBX compares
/// their addresses as 0.
const NOBODY: &str = "255.255.255.255/32";

/// The requests after which a domain's rows say what is wanted; `None` wants no enabled row of that name.
pub(super) fn converge(
    domain: DomainId,
    rows: &[PbxSetting],
    wanted: &BTreeMap<SettingName, Option<String>>,
) -> Vec<Request> {
    let mut requests = Vec::new();
    for (name, value) in wanted {
        let of_name: Vec<&PbxSetting> = rows.iter().filter(|row| row.name == *name).collect();
        let Some(value) = value else {
            requests
                .extend(of_name.into_iter().filter(|row| row.enabled).map(|row| switch(domain, row, false)));
            continue;
        };
        let own = SettingId::for_setting(domain, name);
        let list = name.kind == "array";
        let keeper = of_name
            .iter()
            .find(|row| row.enabled && row.value == *value)
            .or_else(|| of_name.iter().find(|row| row.id == own))
            .or_else(|| of_name.iter().find(|row| row.enabled && !list))
            .or_else(|| of_name.iter().find(|_| !list));
        match keeper {
            Some(row) if row.enabled && row.value == *value => {}
            Some(row) => requests.push(Request::PutSetting(
                domain,
                PbxSetting { value: value.clone(), enabled: true, ..(**row).clone() },
            )),
            None => requests.push(Request::PutSetting(
                domain,
                PbxSetting {
                    id: own,
                    name: name.clone(),
                    value: value.clone(),
                    order: Some(ORDER),
                    enabled: true,
                    description: "managed by tenantd".into(),
                },
            )),
        }
        if !list {
            let kept = keeper.map_or(own, |row| row.id);
            requests.extend(
                of_name
                    .into_iter()
                    .filter(|row| row.enabled && row.id != kept)
                    .map(|row| switch(domain, row, false)),
            );
        }
    }
    requests
}

fn switch(domain: DomainId, row: &PbxSetting, enabled: bool) -> Request {
    Request::PutSetting(domain, PbxSetting { enabled, ..row.clone() })
}

/// The lock to record, and the requests that put it in force: one entry that matches nobody, every other one off.
pub(super) fn lock(
    domain: DomainId,
    rows: &[PbxSetting],
    recorded: Option<&LoginLock>,
) -> (LoginLock, Vec<Request>) {
    let entry = SettingId::for_login_lock(domain);
    let cidr = SettingName::cidr();
    let mut switched_off: BTreeSet<SettingId> =
        recorded.map(|lock| lock.switched_off.clone()).unwrap_or_default();
    let mut requests = Vec::new();
    if !rows.iter().any(|row| row.id == entry && row.enabled && row.value == NOBODY) {
        requests.push(Request::PutSetting(
            domain,
            PbxSetting {
                id: entry,
                name: cidr.clone(),
                value: NOBODY.into(),
                order: Some(ORDER),
                enabled: true,
                description: "tenantd: nobody signs in while the tenant is disabled".into(),
            },
        ));
    }
    for row in rows.iter().filter(|row| row.name == cidr && row.enabled && row.id != entry) {
        switched_off.insert(row.id);
        requests.push(switch(domain, row, false));
    }
    (LoginLock { entry, switched_off }, requests)
}

/// The requests that take the lock away and give back what it switched off, exactly as it was.
pub(super) fn unlock(domain: DomainId, rows: &[PbxSetting], recorded: Option<&LoginLock>) -> Vec<Request> {
    let entry = SettingId::for_login_lock(domain);
    let mut requests: Vec<Request> = recorded
        .into_iter()
        .filter(|_| !active(Bug::CidrNotRestored))
        .flat_map(|lock| &lock.switched_off)
        .filter_map(|id| rows.iter().find(|row| row.id == *id && !row.enabled))
        .map(|row| switch(domain, row, true))
        .collect();
    if rows.iter().any(|row| row.id == entry) {
        requests.push(Request::DeleteSetting(domain, entry));
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const DOMAIN: DomainId = DomainId(Uuid::from_u128(1));

    fn row(n: u128, name: &SettingName, value: &str, enabled: bool) -> PbxSetting {
        PbxSetting {
            id: SettingId(Uuid::from_u128(n)),
            name: name.clone(),
            value: value.into(),
            order: Some(20),
            enabled,
            description: "theirs".into(),
        }
    }

    /// What the rows are after the requests.
    fn after(rows: &[PbxSetting], requests: &[Request]) -> Vec<PbxSetting> {
        let mut rows = rows.to_vec();
        for request in requests {
            match request {
                Request::PutSetting(_, setting) => {
                    rows.retain(|row| row.id != setting.id);
                    rows.push(setting.clone());
                }
                Request::DeleteSetting(_, id) => rows.retain(|row| row.id != *id),
                other => panic!("not a settings request: {other:?}"),
            }
        }
        rows.sort_by_key(|row| row.id);
        rows
    }

    #[test]
    fn enabling_restores_cidr_entries_exactly() {
        let cidr = SettingName::cidr();
        let before = vec![
            row(1, &cidr, "10.0.0.0/8", true),
            row(2, &cidr, "192.0.2.0/24", false),
            row(3, &cidr, "::/0", true),
        ];
        let (recorded, requests) = lock(DOMAIN, &before, None);
        let locked = after(&before, &requests);
        assert!(crate::diff::lock_is_in_force(&locked, recorded.entry));
        // Interrupted and begun again: what was switched off the first time is still known.
        let (again, requests) = lock(DOMAIN, &locked, Some(&recorded));
        assert_eq!(again, recorded);
        assert!(requests.is_empty());
        assert_eq!(after(&locked, &unlock(DOMAIN, &locked, Some(&recorded))), before);
    }

    #[test]
    fn one_row_keeps_the_value_and_the_others_go_off() {
        let name = SettingName::new("limit", "extensions", "numeric");
        let rows = [row(1, &name, "5", true), row(2, &name, "9", true)];
        let wanted = [(name.clone(), Some("9".to_owned()))].into();
        let rows = after(&rows, &converge(DOMAIN, &rows, &wanted));
        assert!(!crate::diff::setting_differs(&rows, &name, Some("9")));
        assert!(converge(DOMAIN, &rows, &wanted).is_empty(), "a second time there is nothing to do");
        let none = [(name.clone(), None)].into();
        let rows = after(&rows, &converge(DOMAIN, &rows, &none));
        assert!(rows.iter().all(|row| !row.enabled));
    }
}
