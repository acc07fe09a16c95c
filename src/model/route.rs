use super::DomainId;

/// Something on a PBX that names a domain which calls go to or come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PbxRoute {
    pub kind: RouteKind,
    /// The number of an extension, the name of a gateway or a dialplan.
    pub name: String,
    /// The domain that it belongs to; `None` for what belongs to all (global), and where the page names it only.
    pub domain: Option<DomainId>,
    /// The domain as the page names it, empty where it does not.
    pub domain_name: String,
    /// What it names, by field: a context, a realm, a proxy, …
    pub targets: Vec<(&'static str, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteKind {
    Extension,
    Gateway,
    Dialplan,
}

impl RouteKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Extension => "extension",
            Self::Gateway => "gateway",
            Self::Dialplan => "dialplan",
        }
    }
}
