//! What happens to a world between two passes: people, machines and the clock.

use chrono::TimeDelta;
use tenantd::model::{Approval, InstanceKey, Pause, TenantKey};
use tenantd::plan::Plan;

use crate::directory::instance;
use crate::faults::Faults;
use crate::model_pbx::Server;
use crate::person;
use crate::sim::run;
use crate::world::World;

impl World {
    /// An operator lifts what a plan holds for want of approval.
    pub fn approve(&mut self, plan: &Plan) {
        let now = self.sim.lock().now;
        let lifts = |with: &str| {
            plan.held
                .iter()
                .any(|held| held.lifted_by.as_deref().is_some_and(|lifted_by| lifted_by.starts_with(with)))
        };
        let mut words: Vec<(Option<String>, Option<TenantKey>)> = Vec::new();
        if lifts("tenantd approve r-") {
            words.push((plan.removals_id.clone(), None));
        }
        for held in &plan.held {
            if held
                .lifted_by
                .as_deref()
                .is_some_and(|lifted_by| lifted_by.starts_with("tenantd approve --tenant"))
            {
                words.push((None, Some(held.tenant.clone())));
            }
        }
        // That the two of a likely rename are two tenants; both halves name the same id.
        for held in &plan.held {
            let lifted_by =
                held.lifted_by.as_deref().and_then(|lifted_by| lifted_by.strip_prefix("tenantd approve "));
            let two = lifted_by.filter(|id| id.starts_with("t-")).map(|id| (Some(id.to_owned()), None));
            if let Some(two) = two.filter(|two| !words.contains(two)) {
                words.push(two);
            }
        }
        words.dedup();
        for (removals_id, deletion_of) in words {
            let mut state = self.sim.lock();
            state.tell(|| format!("a person approves {removals_id:?} {deletion_of:?}"));
            let approval = Approval {
                id: state.next_id(),
                removals_id,
                deletion_of,
                approved_by: "a person".into(),
                approved_at: now,
                expires_at: now + TimeDelta::hours(1),
            };
            drop(state);
            self.history.approvals.push(approval.clone());
            run(&self.sim, self.calm.write(move |store| store.approve(&approval))).unwrap().unwrap();
        }
    }

    pub fn put_pause(&mut self) {
        let mut state = self.sim.lock();
        let now = state.now;
        let key = state.chance(0.5).then(|| TenantKey::parse("t1").unwrap());
        let instance = state.chance(0.5).then(|| instance("hq"));
        state.tell(|| format!("a person suspends {key:?} {instance:?}"));
        let hours = state.pick(&[1, 30]);
        let pause = Pause {
            id: state.next_id(),
            key,
            instance,
            until: now + TimeDelta::hours(hours),
            reason: "maintenance".into(),
            paused_by: "a person".into(),
            paused_at: now,
        };
        drop(state);
        run(&self.sim, self.calm.write(move |store| store.put_pause(&pause).map(drop))).unwrap().unwrap();
    }

    pub fn resume(&mut self) {
        let resumed = self.calm.write(|store| {
            store.resume(None, None)?;
            store.resume(Some(&TenantKey::parse("t1").unwrap()), None)?;
            store.resume(None, Some(&instance("hq")))
        });
        run(&self.sim, resumed).unwrap().unwrap();
    }

    /// Another machine answers at an address, or the first one again.
    pub fn swap_server(&mut self) {
        let mut state = self.sim.lock();
        let keys: Vec<InstanceKey> = state.servers.keys().cloned().collect();
        let key = state.pick(&keys);
        let own = state.witness.own_domains[&key].clone();
        let id = state.next_id();
        let other = self.aside.remove(&key).unwrap_or_else(|| Server::new(&own, id));
        if let Some(server) = state.servers.insert(key.clone(), other) {
            self.aside.insert(key.clone(), server);
        }
        state.tell(|| format!("{key}: another server answers at its address"));
    }

    /// The servers that belong to the addresses are back.
    pub fn unswap_servers(&mut self) {
        let instances = run(&self.sim, self.calm.read(|store| store.instances())).unwrap().unwrap();
        let mut state = self.sim.lock();
        for (key, server) in std::mem::take(&mut self.aside) {
            let own = &state.witness.own_domains[&key];
            let enrolled =
                instances.iter().find(|row| row.key == key.as_str()).and_then(|row| row.identity.clone());
            if server.identity(own) == enrolled {
                state.servers.insert(key, server);
            }
        }
    }

    /// Between two passes, at random: what files, people, clocks and machines do.
    pub fn live(&mut self) {
        self.directory.heal(&mut self.sim.lock());
        self.heal_servers();
        let edits = self.sim.lock().below(4).saturating_sub(1);
        for _ in 0..edits {
            self.directory.commit(&mut self.sim.lock());
        }
        let what = self.sim.lock().below(30);
        match what {
            0..=2 => {
                let mut state = self.sim.lock();
                person::meddle(&mut state);
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
        let mut state = self.sim.lock();
        let hours = state.pick(&[0, 0, 1, 5, 12, 23, 25, 49]);
        state.now += TimeDelta::hours(hours);
        if state.chance(0.03) {
            state.jump();
        }
    }

    /// What keeps a server from being read does not last.
    fn heal_servers(&mut self) {
        let mut state = self.sim.lock();
        if state.chance(0.4) {
            for server in state.servers.values_mut() {
                server.reachable = true;
                server.page_missing = false;
            }
        }
        if !self.aside.is_empty() && state.chance(0.4) {
            drop(state);
            self.unswap_servers();
        }
    }

    fn fail_server(&mut self) {
        let mut state = self.sim.lock();
        let keys: Vec<InstanceKey> = state.servers.keys().cloned().collect();
        let key = state.pick(&keys);
        let what = state.below(3);
        let Some(server) = state.servers.get_mut(&key) else { return };
        match what {
            0 => server.reachable = !server.reachable,
            1 => server.page_missing = !server.page_missing,
            _ => server.may_delete = !server.may_delete,
        }
        let told = format!(
            "{key}: reachable {}, page missing {}, may delete {}",
            server.reachable, server.page_missing, server.may_delete
        );
        state.tell(|| told);
    }

    /// A server goes back to an earlier state of itself: a copy kept aside, if one was.
    fn restore_backup(&mut self) {
        let mut state = self.sim.lock();
        let keys: Vec<InstanceKey> = state.servers.keys().cloned().collect();
        let key = state.pick(&keys);
        self.history.backup(&mut state, &key);
    }

    /// Fair weather: everything can be read, everybody keeps their hands off, the clock continues.
    pub fn make_peace(&mut self) {
        self.unswap_servers();
        self.resume();
        let mut state = self.sim.lock();
        state.tell(|| "=== the faults stop".into());
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
