//! Which domains' settings a pass reads.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{DomainId, InstanceKey, PbxDomain, Recorded};

/// Which tenants' settings a pass reads. The list of domains does not show them, and reading those of every tenant in
/// every pass would cost too many requests. So each pass reads some of them, the longest unread first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Those of no tenant.
    None,
    /// Enough in each pass that all are read once within `cycle`, with a pass every `interval`.
    Share { interval: Duration, cycle: Duration },
    /// Those of all tenants.
    All,
}

/// How many previous placements of an instance are read in one pass.
const MAX_PREVIOUS_PLACEMENTS: usize = 20;

impl Rotation {
    /// How many of `all` domains one pass reads.
    fn share(self, all: usize) -> usize {
        match self {
            Self::None => 0,
            Self::All => all,
            Self::Share { interval, cycle } => {
                // Jitter lengthens the interval by up to a tenth.
                let passes = (cycle.as_secs_f64() / (interval.as_secs_f64() * 1.1)).floor().max(1.0);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss
                )]
                let due = (all as f64 / passes).ceil() as usize;
                due
            }
        }
    }

    /// The domains whose settings this pass reads.
    pub(super) fn due(
        self,
        instance: &InstanceKey,
        recorded: &Recorded,
        domains: &BTreeMap<DomainId, PbxDomain>,
    ) -> Vec<DomainId> {
        if self == Self::None {
            return Vec::new();
        }
        let mut managed: Vec<_> = recorded
            .tenants
            .values()
            .filter(|record| {
                record.definition.instance == *instance && domains.contains_key(&record.domain_id)
            })
            .map(|record| (record.settings_checked_at, record.domain_id))
            .collect();
        managed.sort();
        let mut due: Vec<DomainId> =
            managed.iter().take(self.share(managed.len())).map(|(_, domain)| *domain).collect();
        for domain in unfinished(instance, recorded).filter(|domain| domains.contains_key(domain)) {
            if !due.contains(&domain) {
                due.push(domain);
            }
        }
        // Previous placements must stay disabled. There are few of them.
        due.extend(
            recorded
                .previous_placements
                .iter()
                .filter(|previous| {
                    previous.instance == *instance && domains.contains_key(&previous.domain_id)
                })
                .take(MAX_PREVIOUS_PLACEMENTS)
                .map(|previous| previous.domain_id),
        );
        due
    }
}

/// The domains of interrupted steps, which may have written only some of their settings.
fn unfinished<'a>(instance: &'a InstanceKey, recorded: &'a Recorded) -> impl Iterator<Item = DomainId> + 'a {
    recorded
        .open_intents
        .iter()
        .filter(move |intent| intent.instance == *instance)
        .filter_map(|intent| recorded.tenants.values().find(|record| record.id == intent.tenant))
        .map(|record| record.domain_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tenants_are_read_within_the_cycle() {
        let rotation =
            Rotation::Share { interval: Duration::from_secs(300), cycle: Duration::from_secs(3600) };
        assert_eq!(rotation.share(1000), 100);
        assert_eq!(rotation.share(1), 1);
        assert_eq!(rotation.share(0), 0);
        let interval_longer_than_cycle =
            Rotation::Share { interval: Duration::from_secs(7200), cycle: Duration::from_secs(3600) };
        assert_eq!(interval_longer_than_cycle.share(7), 7);
    }
}
