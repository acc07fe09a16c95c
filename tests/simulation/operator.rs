//! An operator of a PBX, who changes managed and unmanaged domains.

use rand::RngExt as _;
use tenantd::model::{DomainId, InstanceKey, PbxSetting, SettingId, SettingName};

use crate::directory;
use crate::model_pbx::{Domain, Server};
use crate::state::State;

/// A setting that no file ever owns.
pub fn note() -> SettingName {
    SettingName::new("theirs", "note", "text")
}

/// One random change on one server.
pub fn change_something(state: &mut State) {
    let instances: Vec<InstanceKey> = state.servers.keys().cloned().collect();
    let instance = state.pick(&instances);
    let own = state.checks.own_domains[&instance].clone();
    let domains: Vec<DomainId> = state.servers[&instance]
        .domains
        .iter()
        .filter(|(_, domain)| domain.name != own)
        .map(|(id, _)| *id)
        .collect();
    if domains.is_empty() || state.chance(0.1) {
        return make_domain(state, &instance);
    }
    let id = state.pick(&domains);
    let what = change(state, &instance, id);
    let name =
        state.servers[&instance].domains.get(&id).map_or("it is gone", |domain| &domain.name).to_owned();
    state.log(|| format!("{instance}: an operator {what} ({name})"));
}

fn make_domain(state: &mut State, instance: &InstanceKey) {
    let name = directory::some_domain(state);
    let enabled = state.pick(&[Some(true), Some(true), Some(false), None]);
    add_unmanaged(state, instance, &name, enabled);
    state.log(|| format!("{instance}: an operator creates the domain {name}"));
}

/// A domain that is not managed.
pub fn add_unmanaged(state: &mut State, instance: &InstanceKey, name: &str, enabled: Option<bool>) {
    let id = DomainId(state.next_id());
    let row = some_row(state, SettingName::cidr());
    let with_row = state.chance(0.5);
    let mut domain = Domain::new(name, enabled, "not managed");
    domain.data = 7;
    domain.memory.named_at = state.point;
    if with_row {
        domain.set_operator_row(row);
    }
    if let Some(server) = state.servers.get_mut(instance) {
        server.domains.insert(id, domain);
    }
}

fn some_row(state: &mut State, name: SettingName) -> PbxSetting {
    let value = if name == SettingName::cidr() {
        state.pick(&["0.0.0.0/0", "192.0.2.0/24", "10.0.0.0/8"]).to_owned()
    } else {
        state.pick(&["1", "2", "3"]).to_owned()
    };
    PbxSetting {
        id: SettingId(state.next_id()),
        name,
        value,
        order: state.pick(&[Some(10), Some(20), None]),
        enabled: state.rng.random_bool(0.8),
        description: "theirs".into(),
    }
}

fn change(state: &mut State, instance: &InstanceKey, id: DomainId) -> &'static str {
    let (kind, coin) = (state.below(18), state.chance(0.5));
    let managed = directory::some_setting(state);
    let row = match kind {
        7 | 14..=17 => some_row(state, SettingName::cidr()),
        8 => some_row(state, note()),
        9 => some_row(state, managed.clone()),
        _ => some_row(state, SettingName::user_limit()),
    };
    let name = directory::some_domain(state);
    let point = state.point;
    let Some(Server { domains, .. }) = state.servers.get_mut(instance) else { return "nothing" };
    if kind == 13 {
        domains.remove(&id);
        return "deletes a domain";
    }
    let Some(domain) = domains.get_mut(&id) else { return "nothing" };
    domain.memory.mark_changed();
    let block = SettingId::for_web_sign_in_block(id);
    match kind {
        0..=2 => {
            domain.enabled = Some(domain.enabled != Some(true));
            "toggles a domain"
        }
        3 => {
            domain.enabled = None;
            "leaves `enabled` out"
        }
        4 => {
            domain.description = if coin { "changed by hand".into() } else { String::new() };
            "describes a domain"
        }
        5 => {
            domain.name = name;
            domain.memory.named_at = point;
            "renames a domain"
        }
        6 => {
            domain.rows.remove(&block);
            "removes the web sign-in block"
        }
        7..=10 | 14..=17 => {
            domain.set_operator_row(row);
            "adds a row"
        }
        11 => switch_a_row(domain, block),
        _ => {
            let mine = domain.memory.operator_rows.keys().next().copied();
            mine.into_iter().for_each(|id| domain.remove_operator_row(id));
            "removes a row"
        }
    }
}

/// Enables or disables one of the operator's own rows.
fn switch_a_row(domain: &mut Domain, block: SettingId) -> &'static str {
    let blocked = domain.rows.get(&block).is_some_and(|row| row.enabled);
    let ids: Vec<SettingId> = domain.memory.operator_rows.keys().copied().collect();
    for id in ids {
        let Some(mut row) = domain.rows.get(&id).cloned() else { continue };
        // The web sign-in block has disabled this row already.
        if blocked && row.enabled && row.name == SettingName::cidr() {
            continue;
        }
        row.enabled = !row.enabled;
        domain.set_operator_row(row);
        return "switches a row";
    }
    "looks at the rows"
}
