//! Events between two passes: edits, operators, failing servers and the clock.

use chrono::TimeDelta;
use tenantd::model::{Approval, InstanceKey, Pause, TenantKey};
use tenantd::plan::Plan;

use crate::directory::instance;
use crate::faults::Faults;
use crate::model_pbx::Server;
use crate::operator;
use crate::simulation::Simulation;
use crate::state::run;

impl Simulation {
    /// An operator approves each held step that an approval lifts.
    pub fn approve(&mut self, plan: &Plan) {
        let now = self.shared.lock().now;
        let lifts = |with: &str| {
            plan.held
                .iter()
                .any(|held| held.lifted_by.as_deref().is_some_and(|lifted_by| lifted_by.starts_with(with)))
        };
        let mut approvals: Vec<(Option<String>, Option<TenantKey>)> = Vec::new();
        if lifts("tenantd approve r-") {
            approvals.push((plan.removals_id.clone(), None));
        }
        for held in &plan.held {
            if held
                .lifted_by
                .as_deref()
                .is_some_and(|lifted_by| lifted_by.starts_with("tenantd approve --tenant"))
            {
                approvals.push((None, Some(held.tenant.clone())));
            }
        }
        // Approves that a likely rename is two tenants; both held steps name the same id.
        for held in &plan.held {
            let lifted_by =
                held.lifted_by.as_deref().and_then(|lifted_by| lifted_by.strip_prefix("tenantd approve "));
            let two = lifted_by.filter(|id| id.starts_with("t-")).map(|id| (Some(id.to_owned()), None));
            if let Some(two) = two.filter(|two| !approvals.contains(two)) {
                approvals.push(two);
            }
        }
        approvals.dedup();
        for (removals_id, deletion_of) in approvals {
            let mut state = self.shared.lock();
            state.log(|| format!("an operator approves {removals_id:?} {deletion_of:?}"));
            let approval = Approval {
                id: state.next_id(),
                removals_id,
                deletion_of,
                approved_by: "an operator".into(),
                approved_at: now,
                expires_at: now + TimeDelta::hours(1),
            };
            drop(state);
            self.history.approvals.push(approval.clone());
            run(&self.shared, self.observer.write(move |store| store.approve(&approval))).unwrap().unwrap();
        }
    }

    pub fn put_pause(&mut self) {
        let mut state = self.shared.lock();
        let now = state.now;
        let key = state.chance(0.5).then(|| TenantKey::parse("t1").unwrap());
        let instance = state.chance(0.5).then(|| instance("hq"));
        state.log(|| format!("an operator pauses {key:?} {instance:?}"));
        let hours = state.pick(&[1, 30]);
        let pause = Pause {
            id: state.next_id(),
            key,
            instance,
            until: now + TimeDelta::hours(hours),
            reason: "maintenance".into(),
            paused_by: "an operator".into(),
            paused_at: now,
        };
        drop(state);
        run(&self.shared, self.observer.write(move |store| store.put_pause(&pause).map(drop)))
            .unwrap()
            .unwrap();
    }

    pub fn resume(&mut self) {
        let resumed = self.observer.write(|store| {
            store.resume(None, None)?;
            store.resume(Some(&TenantKey::parse("t1").unwrap()), None)?;
            store.resume(None, Some(&instance("hq")))
        });
        run(&self.shared, resumed).unwrap().unwrap();
    }

    /// Another server answers at an address, or the original one again.
    pub fn swap_server(&mut self) {
        let mut state = self.shared.lock();
        let keys: Vec<InstanceKey> = state.servers.keys().cloned().collect();
        let key = state.pick(&keys);
        let own = state.checks.own_domains[&key].clone();
        let id = state.next_id();
        let other = self.unplugged.remove(&key).unwrap_or_else(|| Server::new(&own, id));
        if let Some(server) = state.servers.insert(key.clone(), other) {
            self.unplugged.insert(key.clone(), server);
        }
        state.log(|| format!("{key}: another server answers at its address"));
    }

    /// The original servers answer again.
    pub fn unswap_servers(&mut self) {
        let instances = run(&self.shared, self.observer.read(|store| store.instances())).unwrap().unwrap();
        let mut state = self.shared.lock();
        for (key, server) in std::mem::take(&mut self.unplugged) {
            let own = &state.checks.own_domains[&key];
            let enrolled =
                instances.iter().find(|row| row.key == key.as_str()).and_then(|row| row.identity.clone());
            if server.identity(own) == enrolled {
                state.servers.insert(key, server);
            }
        }
    }

    /// One random event between two passes.
    pub fn events_between_passes(&mut self) {
        self.directory.heal(&mut self.shared.lock());
        self.heal_servers();
        let edits = self.shared.lock().below(4).saturating_sub(1);
        for _ in 0..edits {
            self.directory.commit(&mut self.shared.lock());
        }
        let what = self.shared.lock().below(30);
        match what {
            0..=2 => {
                let mut state = self.shared.lock();
                operator::change_something(&mut state);
            }
            3 => self.swap_server(),
            4 => self.put_pause(),
            5..=6 => self.resume(),
            13 => self.restart("other"),
            7..=8 => {
                if let Some(plan) = self.preview() {
                    self.approve(&plan);
                }
            }
            9 => {
                drop(self.preview());
            }
            10..=11 => self.fail_server(),
            12 => self.restore_backup(),
            _ => {}
        }
        let mut state = self.shared.lock();
        let hours = state.pick(&[0, 0, 1, 5, 12, 23, 25, 49]);
        state.now += TimeDelta::hours(hours);
        if state.chance(0.03) {
            state.jump();
        }
    }

    /// A server becomes readable again, with some probability.
    fn heal_servers(&mut self) {
        let mut state = self.shared.lock();
        if state.chance(0.4) {
            for server in state.servers.values_mut() {
                server.reachable = true;
                server.page_missing = false;
            }
        }
        if !self.unplugged.is_empty() && state.chance(0.4) {
            drop(state);
            self.unswap_servers();
        }
    }

    fn fail_server(&mut self) {
        let mut state = self.shared.lock();
        let keys: Vec<InstanceKey> = state.servers.keys().cloned().collect();
        let key = state.pick(&keys);
        let what = state.below(3);
        let Some(server) = state.servers.get_mut(&key) else { return };
        match what {
            0 => server.reachable = !server.reachable,
            1 => server.page_missing = !server.page_missing,
            _ => server.may_delete = !server.may_delete,
        }
        let change = format!(
            "{key}: reachable {}, page missing {}, may delete {}",
            server.reachable, server.page_missing, server.may_delete
        );
        state.log(|| change);
    }

    /// A server is restored from its backup, if it has one.
    fn restore_backup(&mut self) {
        let mut state = self.shared.lock();
        let keys: Vec<InstanceKey> = state.servers.keys().cloned().collect();
        let key = state.pick(&keys);
        self.history.backup(&mut state, &key);
    }

    /// No faults: everything can be read, no operator changes anything, the clock is not set.
    pub fn stop_faults(&mut self) {
        self.unswap_servers();
        self.resume();
        let mut state = self.shared.lock();
        state.log(|| "=== the faults stop".into());
        state.faults = Faults::none();
        for server in state.servers.values_mut() {
            server.reachable = true;
            server.page_missing = false;
            server.may_delete = true;
        }
        self.directory.settle(&mut state);
        state.now += TimeDelta::days(2);
    }
}
