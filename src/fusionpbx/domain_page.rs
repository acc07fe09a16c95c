//! One domain, read from its own page.

use super::connection::Connection;
use super::page_spec::DOMAIN_EDIT;
use super::pages::DomainForm;
use super::{PbxError, PbxErrorKind};
use crate::model::DomainId;

pub(super) async fn domain_form(
    connection: &Connection,
    operation: &str,
    id: DomainId,
) -> Result<DomainForm, PbxError> {
    connection
        .read(operation, DOMAIN_EDIT, &vec![("id", id.to_string())], |text| checked_form(text, id))
        .await
}

/// The form of this domain. An account that may not add domains is always shown its own.
pub(super) fn checked_form(text: &str, id: DomainId) -> Result<DomainForm, PbxErrorKind> {
    let form = DomainForm::parse(text)?;
    if form.id == Some(id) {
        Ok(form)
    } else {
        Err(PbxErrorKind::AccessDenied { permission: Some("domain_add") })
    }
}
