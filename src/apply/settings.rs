//! Which rows of a domain's settings to write. Pure functions of values.

use std::collections::{BTreeMap, BTreeSet};

use super::request::Request;
use crate::diff::same_value;
use crate::model::{DomainId, PbxSetting, SettingId, SettingName, WebSignInBlock};
use crate::sabotage::{Bug, active};

/// Order of the rows that tenantd adds; FusionPBX refuses 0.
const ORDER: i32 = 10;
/// A `cidr` value that matches no one. `0.0.0.0/32` would let every IPv6 client in, because FusionPBX compares
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
            .find(|row| row.enabled && same_value(&row.value, value))
            .or_else(|| of_name.iter().find(|row| row.id == own))
            .or_else(|| of_name.iter().find(|row| row.enabled && !list))
            .or_else(|| of_name.iter().find(|_| !list));
        match keeper {
            Some(row) if row.enabled && same_value(&row.value, value) => {}
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

/// The web sign-in block to record, and the requests that set it: one entry that matches no address, and every other
/// entry disabled.
pub(super) fn block_web_sign_in(
    domain: DomainId,
    rows: &[PbxSetting],
    recorded: Option<&WebSignInBlock>,
) -> (WebSignInBlock, Vec<Request>) {
    let entry = SettingId::for_web_sign_in_block(domain);
    let cidr = SettingName::cidr();
    let mut switched_off: BTreeSet<SettingId> =
        recorded.map(|block| block.switched_off.clone()).unwrap_or_default();
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
                description: "tenantd: web sign-in is blocked while the tenant is disabled".into(),
            },
        ));
    }
    for row in rows.iter().filter(|row| row.name == cidr && row.enabled && row.id != entry) {
        switched_off.insert(row.id);
        requests.push(switch(domain, row, false));
    }
    (WebSignInBlock { entry, switched_off }, requests)
}

/// The requests that remove the web sign-in block and enable again exactly the entries that it disabled.
pub(super) fn lift_web_sign_in_block(
    domain: DomainId,
    rows: &[PbxSetting],
    recorded: Option<&WebSignInBlock>,
) -> Vec<Request> {
    let entry = SettingId::for_web_sign_in_block(domain);
    let mut requests: Vec<Request> = recorded
        .into_iter()
        .filter(|_| !active(Bug::CidrNotRestored))
        .flat_map(|block| &block.switched_off)
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
        let (recorded, requests) = block_web_sign_in(DOMAIN, &before, None);
        let blocked = after(&before, &requests);
        assert!(crate::diff::web_sign_in_is_blocked(&blocked, recorded.entry));
        // Interrupted and begun again: what was switched off the first time is still known.
        let (again, requests) = block_web_sign_in(DOMAIN, &blocked, Some(&recorded));
        assert_eq!(again, recorded);
        assert!(requests.is_empty());
        assert_eq!(after(&blocked, &lift_web_sign_in_block(DOMAIN, &blocked, Some(&recorded))), before);
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

    fn extensions() -> SettingName {
        SettingName::new("limit", "extensions", "numeric")
    }

    /// Converges, and proves that what is wanted is there and that a second time there is nothing to do.
    fn converged(rows: &[PbxSetting], name: &SettingName, value: Option<&str>) -> Vec<PbxSetting> {
        let wanted = [(name.clone(), value.map(str::to_owned))].into();
        let rows = after(rows, &converge(DOMAIN, rows, &wanted));
        assert!(!crate::diff::setting_differs(&rows, name, value));
        assert!(converge(DOMAIN, &rows, &wanted).is_empty(), "a second time there is nothing to do");
        rows
    }

    #[test]
    fn a_setting_that_is_not_there_is_added_once_under_its_own_id() {
        let name = extensions();
        let rows = converged(&[], &name, Some("100"));
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].id, SettingId::for_setting(DOMAIN, &name));
        assert_eq!((rows[0].order, rows[0].enabled), (Some(10), true), "FusionPBX refuses an order of 0");
        let wanted = [(name, Some("200".to_owned()))].into();
        let again = after(&rows, &converge(DOMAIN, &rows, &wanted));
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].value, "200");
    }

    #[test]
    fn an_existing_row_is_used_and_keeps_its_other_columns() {
        let name = extensions();
        for enabled in [true, false] {
            let rows = converged(&[row(1, &name, "5", enabled)], &name, Some("9"));
            assert_eq!(rows, [PbxSetting { value: "9".into(), ..row(1, &name, "5", true) }]);
        }
        // An enabled row comes before one that was switched off, and the right value before both.
        let rows = converged(&[row(1, &name, "5", false), row(2, &name, "7", true)], &name, Some("9"));
        assert_eq!(rows, [row(1, &name, "5", false), row(2, &name, "9", true)]);
        let rows = converged(&[row(1, &name, "5", true), row(2, &name, "9", true)], &name, Some("9"));
        assert_eq!(rows, [row(1, &name, "5", false), row(2, &name, "9", true)]);
    }

    #[test]
    fn a_managed_row_comes_before_an_unmanaged_one() {
        let name = extensions();
        let own = PbxSetting { id: SettingId::for_setting(DOMAIN, &name), ..row(0, &name, "5", false) };
        let rows = converged(&[own.clone(), row(1, &name, "7", true)], &name, Some("9"));
        let kept = rows.iter().find(|row| row.id == own.id).unwrap();
        assert_eq!((kept.value.as_str(), kept.enabled), ("9", true));
        assert_eq!(rows.iter().filter(|row| row.enabled).count(), 1);
    }

    #[test]
    fn a_list_keeps_the_entries_of_others() {
        let name = SettingName::new("theme", "fonts", "array");
        let theirs = [row(1, &name, "a", true), row(2, &name, "b", false)];
        let rows = converged(&theirs, &name, Some("c"));
        assert_eq!(rows.len(), 3);
        assert!(theirs.iter().all(|row| rows.contains(row)));
        // The entry is managed: another value replaces it.
        let rows = converged(&rows, &name, Some("d"));
        let values: Vec<&str> = rows.iter().filter(|row| row.enabled).map(|row| row.value.as_str()).collect();
        assert_eq!((rows.len(), values.contains(&"c"), values.contains(&"d")), (3, false, true));
        // Someone's entry that is right already is left as it is.
        let same = [row(1, &name, "a", true)];
        assert_eq!(converged(&same, &name, Some("a")), same);
        let none = converged(&theirs, &name, None);
        assert!(none.iter().all(|row| !row.enabled));
    }

    #[test]
    fn settings_of_other_names_are_not_touched() {
        let other = SettingName::new("limit", "gateways", "numeric");
        let rows = [row(1, &other, "5", true), row(2, &SettingName::cidr(), "10.0.0.0/8", true)];
        let found = converged(&rows, &extensions(), Some("9"));
        assert!(rows.iter().all(|row| found.contains(row)));
        let found = converged(&rows, &extensions(), None);
        assert_eq!(found, rows);
    }

    #[test]
    fn a_web_sign_in_block_that_was_widened_or_switched_off_is_corrected() {
        let cidr = SettingName::cidr();
        let entry = SettingId::for_web_sign_in_block(DOMAIN);
        let block_row = |value: &str, enabled| PbxSetting { id: entry, ..row(0, &cidr, value, enabled) };
        for meddled in [block_row("0.0.0.0/0", true), block_row(NOBODY, false)] {
            let rows = [meddled];
            assert!(!crate::diff::web_sign_in_is_blocked(&rows, entry));
            let (recorded, requests) = block_web_sign_in(DOMAIN, &rows, None);
            assert_eq!(recorded.entry, entry);
            assert!(recorded.switched_off.is_empty(), "our own entry is not to come back");
            let blocked = after(&rows, &requests);
            assert!(crate::diff::web_sign_in_is_blocked(&blocked, entry));
            assert!(block_web_sign_in(DOMAIN, &blocked, Some(&recorded)).1.is_empty());
        }
    }

    #[test]
    fn a_cidr_entry_added_during_the_block_is_restored_too() {
        let cidr = SettingName::cidr();
        let before = [row(1, &cidr, "10.0.0.0/8", true)];
        let (recorded, requests) = block_web_sign_in(DOMAIN, &before, None);
        let mut blocked = after(&before, &requests);
        blocked.push(row(2, &cidr, "192.0.2.0/24", true));
        let (recorded, requests) = block_web_sign_in(DOMAIN, &blocked, Some(&recorded));
        assert_eq!(recorded.switched_off.len(), 2);
        let blocked = after(&blocked, &requests);
        assert!(crate::diff::web_sign_in_is_blocked(&blocked, recorded.entry));
        let open = after(&blocked, &lift_web_sign_in_block(DOMAIN, &blocked, Some(&recorded)));
        assert_eq!(open, [before[0].clone(), row(2, &cidr, "192.0.2.0/24", true)]);
    }

    #[test]
    fn unblocking_restores_only_entries_that_still_exist_and_are_off() {
        let cidr = SettingName::cidr();
        let before = [row(1, &cidr, "10.0.0.0/8", true), row(2, &cidr, "192.0.2.0/24", true)];
        let (recorded, requests) = block_web_sign_in(DOMAIN, &before, None);
        let mut blocked = after(&before, &requests);
        // Someone deleted one entry and switched the other on.
        blocked.retain(|row| row.id != before[0].id);
        blocked.iter_mut().filter(|row| row.id == before[1].id).for_each(|row| row.enabled = true);
        let requests = lift_web_sign_in_block(DOMAIN, &blocked, Some(&recorded));
        assert_eq!(requests, [Request::DeleteSetting(DOMAIN, recorded.entry)]);
    }

    #[test]
    fn unblocking_without_a_block_does_nothing() {
        let rows = [row(1, &SettingName::cidr(), "10.0.0.0/8", false)];
        assert!(lift_web_sign_in_block(DOMAIN, &rows, None).is_empty());
        assert!(lift_web_sign_in_block(DOMAIN, &[], None).is_empty());
    }
}
