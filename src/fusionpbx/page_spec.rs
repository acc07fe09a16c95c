//! The pages of FusionPBX that tenantd uses.

use super::transport::{FORM_BYTES, LIST_BYTES};

/// A page of FusionPBX, the permission without which it answers `access denied`, and its greatest length in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageSpec {
    pub path: &'static str,
    pub permission: &'static str,
    pub limit: usize,
}

macro_rules! pages {
    ($($name:ident = $path:literal, $permission:literal, $limit:expr;)*) => {
        $(pub(super) const $name: PageSpec = PageSpec { path: $path, permission: $permission, limit: $limit };)*
    };
}
pages! {
    DOMAIN_JSON = "/core/domains/domain_json.php", "domain_view", LIST_BYTES;
    DOMAINS = "/core/domains/domains.php", "domain_all", LIST_BYTES;
    DOMAIN_EDIT = "/core/domains/domain_edit.php", "domain_edit", FORM_BYTES;
    SETTINGS = "/core/domain_settings/domain_settings.php", "domain_setting_view", LIST_BYTES;
    SETTING_EDIT = "/core/domain_settings/domain_setting_edit.php", "domain_setting_edit", FORM_BYTES;
    SYSTEM = "/app/system/system.php", "system_view_info", FORM_BYTES;
    USER_JSON = "/core/users/user_json.php", "user_view", LIST_BYTES;
    USERS = "/core/users/users.php", "user_view", LIST_BYTES;
    EXTENSIONS = "/app/extensions/extensions.php", "extension_view", LIST_BYTES;
    GATEWAYS = "/app/gateways/gateways.php", "gateway_view", LIST_BYTES;
    GATEWAY_EDIT = "/app/gateways/gateway_edit.php", "gateway_edit", FORM_BYTES;
    DIALPLANS = "/app/dialplans/dialplans.php", "dialplan_view", LIST_BYTES;
}
