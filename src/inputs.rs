//! What one pass decides from: the files, the database and the PBXs as they were read.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::model::{Desired, InstanceKey, InstanceView, Observed, Recorded};
use crate::plan::{self, Inputs, Plan, Policy};

/// The three sides as one pass saw them.
#[derive(Clone, Debug)]
pub struct PassInputs {
    pub desired: Desired,
    pub recorded: Recorded,
    pub observed: Observed,
    pub policy: Policy,
    pub now: DateTime<Utc>,
    /// Who the servers proved to be.
    pub identities: BTreeMap<InstanceKey, String>,
}

impl PassInputs {
    /// Diff and plan: a pure function of what was seen.
    pub fn plan(&self) -> Plan {
        plan::make(self.inputs())
    }

    /// Why an instance is not to be believed: it could not be seen whole, or may be another server.
    pub fn doubts(&self, instance: &InstanceKey) -> Option<String> {
        if let InstanceView::Unknown { reason } = self.observed.instance(instance) {
            return Some(reason.clone());
        }
        plan::vanished(self.inputs()).get(instance).map(|missing| {
            format!(
                "{missing} recorded domains are missing on {instance} at once. It may be another server or a \
                 restored backup"
            )
        })
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            desired: &self.desired,
            recorded: &self.recorded,
            observed: &self.observed,
            policy: &self.policy,
            now: self.now,
        }
    }
}
