//! The parsers of FusionPBX's pages: functions of text, without I/O and without panics, whatever the text is. Only a time
//! limit on parsing looks at the clock.
//!
//! `html` has what all pages need, `list` what all lists have in common, and `answer` tells which page a text is. The
//! other files parse one page each.

mod answer;
#[cfg(test)]
mod damaged;
mod domains;
mod html;
mod list;
mod routes;
mod settings;
mod sign_in;
mod system;
#[cfg(test)]
mod tests;
mod users;

pub(super) use answer::{
    SubstitutePage, describe, is_complete_fusionpbx_page, is_complete_html, refusal, substitute_page,
    unexpected,
};
pub(super) use domains::{DomainForm, DomainPage, DomainRow, enabled_domains};
pub(super) use html::Token;
pub(super) use routes::{RouteList, RoutePage, RouteRow, gateway_targets};
pub(super) use settings::{SettingForm, SettingList, SettingRow};
pub(super) use sign_in::{SignInForm, SignInPage, sign_in_page};
pub(super) use system::version;
pub(super) use users::{UserPage, UserRow, json_users};

/// A page as it was read, or why it is not the page that was asked for.
pub(super) type Parsed<T> = Result<T, super::PbxErrorKind>;
