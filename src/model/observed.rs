use std::collections::BTreeMap;

use super::{DomainId, InstanceKey, PbxDomain, PbxSetting, PbxVersion};

/// What an instance shows of one domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainState<'a> {
    Present(&'a PbxDomain),
    Absent,
    /// The instance could not be read whole: nothing may be concluded.
    Unknown,
}

/// What was seen of one PBX instance in this pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceView {
    /// Every domain was read, and the count added up.
    Seen {
        domains: BTreeMap<DomainId, PbxDomain>,
        /// Settings of the domains whose turn it was, read row by row.
        settings: BTreeMap<DomainId, Vec<PbxSetting>>,
    },
    /// Unreachable, half-read or not believed. Unknown is never absent.
    Unknown { reason: String },
}

impl InstanceView {
    pub fn domain(&self, id: DomainId) -> DomainState<'_> {
        match self {
            Self::Seen { domains, .. } => domains.get(&id).map_or(DomainState::Absent, DomainState::Present),
            Self::Unknown { .. } => DomainState::Unknown,
        }
    }

    pub fn settings(&self, id: DomainId) -> Option<&[PbxSetting]> {
        match self {
            Self::Seen { settings, .. } => settings.get(&id).map(Vec::as_slice),
            Self::Unknown { .. } => None,
        }
    }
}

/// What is there: every instance's view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    pub instances: BTreeMap<InstanceKey, InstanceView>,
    /// The versions of those that were read; `None` where a server does not show its own.
    pub versions: BTreeMap<InstanceKey, Option<PbxVersion>>,
}

impl Observed {
    /// Whether disabling a tenant there ends the web sessions of its users. One that does not show its version is
    /// taken not to.
    pub fn block_ends_sessions(&self, key: &InstanceKey) -> bool {
        self.versions.get(key).and_then(Option::as_ref).is_some_and(PbxVersion::block_ends_sessions)
    }

    /// The view of an instance; one that was never checked is unknown.
    pub fn instance(&self, key: &InstanceKey) -> &InstanceView {
        static NOT_LOOKED_AT: std::sync::LazyLock<InstanceView> =
            std::sync::LazyLock::new(|| InstanceView::Unknown { reason: "not in the configuration".into() });
        self.instances.get(key).unwrap_or(&NOT_LOOKED_AT)
    }
}
