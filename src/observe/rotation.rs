//! Which domains' settings a pass reads.

use std::collections::BTreeSet;

use crate::model::{Completeness, Desired, DomainId, Recorded, TenantRecord};

/// Which tenants' settings a pass reads.
///
/// The list of domains does not show settings: those of a domain are a page of their own, so that reading all of them
/// costs at least as many requests as there are tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Those of no tenant.
    None,
    /// Those of tenants whose file changed or whose step was interrupted, and of some others.
    Some {
        /// The domains in which a comparison between two passes found a difference.
        named: BTreeSet<DomainId>,
        /// How many others are read, the longest not compared first.
        oldest: usize,
    },
    /// Those of all tenants.
    All,
}

/// How many previous placements are read in one pass.
const MAX_PREVIOUS_PLACEMENTS: usize = 20;

impl Rotation {
    /// Those of tenants whose file changed, and of `most` others, the longest not compared first.
    pub fn oldest(most: usize) -> Self {
        Self::Some { named: BTreeSet::new(), oldest: most }
    }

    /// Those of these domains besides, where any are read.
    pub fn with(self, domains: impl IntoIterator<Item = DomainId>) -> Self {
        match self {
            Self::None | Self::All => self,
            Self::Some { mut named, oldest } => {
                named.extend(domains);
                Self::Some { named, oldest }
            }
        }
    }

    /// The domains whose settings this pass reads, each once, whatever their instance. Some may not exist any more.
    pub(super) fn due(&self, desired: &Desired, recorded: &Recorded) -> BTreeSet<DomainId> {
        let mut due: BTreeSet<DomainId> = match self {
            Self::None => return BTreeSet::new(),
            Self::All => recorded.tenants.values().map(|record| record.domain_id).collect(),
            Self::Some { named, oldest } => {
                let (changed, mut others): (Vec<_>, Vec<_>) = recorded
                    .tenants
                    .values()
                    .partition(|record| named.contains(&record.domain_id) || has_changed(desired, record));
                others.sort_by_key(|record| (record.settings_checked_at, record.domain_id));
                let read = changed.into_iter().chain(others.into_iter().take(*oldest));
                read.map(|record| record.domain_id).chain(named.iter().copied()).collect()
            }
        };
        due.extend(unfinished(recorded));
        // Previous placements must stay disabled. There are few of them.
        due.extend(
            recorded
                .previous_placements
                .iter()
                .take(MAX_PREVIOUS_PLACEMENTS)
                .map(|previous| previous.domain_id),
        );
        due
    }
}

/// Whether a tenant's file is not what was applied last.
fn has_changed(desired: &Desired, record: &TenantRecord) -> bool {
    if matches!(desired.completeness, Completeness::Unreadable { .. }) || desired.is_broken(&record.key) {
        return false;
    }
    let is_disabled = record.disable_confirmed_at.is_some();
    let is_applied = match desired.tenants.get(&record.key) {
        Some(tenant) => {
            tenant.definition == record.definition
                && record.provisioned
                && record.applied_definition_hash.is_some()
                && record.file_removed_at.is_none()
                && (record.definition.enabled || is_disabled)
        }
        None => record.file_removed_at.is_some() && is_disabled,
    };
    !is_applied
}

/// The domains of interrupted steps, which may have written only some of their settings.
fn unfinished(recorded: &Recorded) -> impl Iterator<Item = DomainId> + '_ {
    recorded
        .open_intents
        .iter()
        .filter_map(|intent| recorded.tenants.values().find(|record| record.id == intent.tenant))
        .map(|record| record.domain_id)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::model::testing::{record_of, wanted};

    /// Recorded tenants that are as their files say, compared one hour after the other.
    fn in_agreement(count: usize) -> (Desired, Recorded) {
        let (mut desired, mut recorded) = (Desired::unreadable(""), Recorded::default());
        desired.completeness = Completeness::Complete;
        for n in 0..count {
            let tenant = wanted(&format!("t{n}"));
            let mut record = record_of(&tenant);
            let hours = TimeDelta::hours(i64::try_from(n).unwrap());
            record.settings_checked_at = Some(record.created_at + hours);
            desired.tenants.insert(tenant.key.clone(), tenant);
            recorded.tenants.insert(record.key.clone(), record);
        }
        (desired, recorded)
    }

    fn keys(due: &BTreeSet<DomainId>, recorded: &Recorded) -> Vec<String> {
        let of = |record: &&TenantRecord| due.contains(&record.domain_id);
        recorded.tenants.values().filter(of).map(|record| record.key.to_string()).collect()
    }

    #[test]
    fn the_longest_not_compared_are_read_first() {
        let (desired, mut recorded) = in_agreement(5);
        recorded.tenants.values_mut().last().unwrap().settings_checked_at = None;
        let due = Rotation::oldest(2).due(&desired, &recorded);
        assert_eq!(keys(&due, &recorded), ["t0", "t4"]);
        assert_eq!(Rotation::oldest(0).due(&desired, &recorded), BTreeSet::new());
        assert_eq!(Rotation::None.due(&desired, &recorded), BTreeSet::new());
        assert_eq!(Rotation::All.due(&desired, &recorded).len(), 5);
    }

    #[test]
    fn a_tenant_whose_file_changed_or_was_removed_is_read() {
        let (mut desired, recorded) = in_agreement(5);
        desired.tenants.values_mut().next().unwrap().definition.name = "Other".to_owned();
        desired.tenants.pop_last();
        let due = Rotation::oldest(0).due(&desired, &recorded);
        assert_eq!(keys(&due, &recorded), ["t0", "t4"]);
        // While the directory cannot be read, no file is known to be removed.
        assert_eq!(Rotation::oldest(0).due(&Desired::unreadable("is away"), &recorded), BTreeSet::new());
    }

    #[test]
    fn a_named_domain_is_read_besides() {
        let (desired, recorded) = in_agreement(5);
        let domain = recorded.tenants.values().nth(2).unwrap().domain_id;
        let rotation = Rotation::Some { named: [domain].into(), oldest: 1 };
        assert_eq!(keys(&rotation.due(&desired, &recorded), &recorded), ["t0", "t2"]);
    }
}
