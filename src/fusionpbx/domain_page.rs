//! The form of one domain.

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

/// The form of this domain. Without the permission to add domains, FusionPBX always shows the account's own domain.
pub(super) fn checked_form(text: &str, id: DomainId) -> Result<DomainForm, PbxErrorKind> {
    let form = DomainForm::parse(text)?;
    if form.id == Some(id) {
        Ok(form)
    } else {
        Err(PbxErrorKind::AccessDenied { permission: Some("domain_add") })
    }
}
