use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{DomainId, InstanceKey, PbxDomain, Recorded};

/// Whose settings are read in a pass: the bulk read does not show them, and one request for each tenant in every
/// pass would be too much. So a bounded number in turn, the longest unread first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// No one's.
    None,
    /// So many of an instance's that all are read once within `cycle` when a pass comes every `interval`.
    Share { interval: Duration, cycle: Duration },
    /// Everybody's, for one that wants to know now.
    All,
}

impl Rotation {
    /// How many of `all` domains are due in one pass.
    fn share(self, all: usize) -> usize {
        match self {
            Self::None => 0,
            Self::All => all,
            Self::Share { interval, cycle } => {
                // The jitter of the interval is upwards too, so a tenth more than the plain share.
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

    pub(super) fn due(
        self,
        instance: &InstanceKey,
        recorded: &Recorded,
        domains: &BTreeMap<DomainId, PbxDomain>,
    ) -> Vec<DomainId> {
        let mut ours: Vec<_> = recorded
            .tenants
            .values()
            .filter(|record| {
                record.definition.instance == *instance && domains.contains_key(&record.domain_id)
            })
            .map(|record| (record.settings_checked_at, record.domain_id))
            .collect();
        ours.sort();
        let mut due: Vec<DomainId> =
            ours.iter().take(self.share(ours.len())).map(|(_, domain)| *domain).collect();
        // Work that was cut short may have left half its rows.
        let unfinished = recorded
            .open_intents
            .iter()
            .filter(|intent| intent.instance == *instance)
            .filter_map(|intent| {
                recorded
                    .tenants
                    .values()
                    .find(|record| record.id == intent.tenant)
                    .map(|record| record.domain_id)
            })
            .filter(|domain| domains.contains_key(domain));
        for domain in unfinished {
            if !due.contains(&domain) {
                due.push(domain);
            }
        }
        // What was previous on this instance must stay closed; there are few of them.
        due.extend(
            recorded
                .previous_placements
                .iter()
                .filter(|previous| {
                    previous.instance == *instance && domains.contains_key(&previous.domain_id)
                })
                .take(20)
                .map(|previous| previous.domain_id),
        );
        if self == Self::None { Vec::new() } else { due }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_read_within_the_cycle() {
        let rotation =
            Rotation::Share { interval: Duration::from_secs(300), cycle: Duration::from_secs(3600) };
        assert_eq!(rotation.share(1000), 100);
        assert_eq!(rotation.share(1), 1);
        assert_eq!(rotation.share(0), 0);
        let hurried =
            Rotation::Share { interval: Duration::from_secs(7200), cycle: Duration::from_secs(3600) };
        assert_eq!(hurried.share(7), 7);
    }
}
