//! The changing requests, each with the reading that proves it.

use super::StepError;
use crate::diff::same_value;
use crate::fusionpbx::{PbxError, PbxRead, PbxWrite};
use crate::model::{DomainId, NewDomain, PbxSetting, SettingId};

/// One changing request to a PBX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    CreateDomain(NewDomain),
    UpdateDomain(NewDomain),
    DeleteDomain(DomainId),
    PutSetting(DomainId, PbxSetting),
    DeleteSetting(DomainId, SettingId),
}

impl Request {
    /// What is asked for, without values: it stands in the journal.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::CreateDomain(domain) => format!("create the domain {} {}", domain.id, domain.name),
            Self::UpdateDomain(domain) => format!("update the domain {} {}", domain.id, domain.name),
            Self::DeleteDomain(id) => format!("delete the domain {id}"),
            Self::PutSetting(domain, setting) => {
                format!("set {} ({}) of the domain {domain}", setting.name, setting.id)
            }
            Self::DeleteSetting(domain, setting) => {
                format!("remove the setting {setting} of the domain {domain}")
            }
        }
    }

    pub(super) async fn send(&self, pbx: &dyn PbxWrite) -> Result<(), PbxError> {
        match self {
            Self::CreateDomain(domain) => pbx.create_domain(domain).await,
            Self::UpdateDomain(domain) => pbx.update_domain(domain).await,
            Self::DeleteDomain(id) => pbx.delete_domain(*id).await,
            Self::PutSetting(domain, setting) => pbx.put_setting(*domain, setting).await,
            Self::DeleteSetting(domain, setting) => pbx.delete_setting(*domain, *setting).await,
        }
    }

    fn is_about_settings(&self) -> bool {
        matches!(self, Self::PutSetting(..) | Self::DeleteSetting(..))
    }

    fn domain(&self) -> DomainId {
        match self {
            Self::CreateDomain(domain) | Self::UpdateDomain(domain) => domain.id,
            Self::DeleteDomain(id) | Self::PutSetting(id, _) | Self::DeleteSetting(id, _) => *id,
        }
    }
}

/// Reads back what requests of one kind (about the domain, or about its settings) were to bring about. The inner
/// error is what reads otherwise.
pub(super) async fn read_back(
    requests: &[&Request],
    pbx: &dyn PbxRead,
) -> Result<Result<(), StepError>, PbxError> {
    let Some(first) = requests.first() else { return Ok(Ok(())) };
    if first.is_about_settings() {
        let rows = pbx.settings(first.domain()).await?;
        return Ok(requests.iter().try_for_each(|request| settings_agree(request, &rows)));
    }
    for request in requests {
        let found = pbx.domain(request.domain()).await?;
        if let Err(error) = domain_agrees(request, found) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

/// Splits requests into runs of one kind and one domain, each read back at once.
pub(super) fn in_batches(requests: &[Request]) -> Vec<&[Request]> {
    requests
        .chunk_by(|a, b| a.is_about_settings() && b.is_about_settings() && a.domain() == b.domain())
        .collect()
}

fn not_applied(what: impl Into<String>, wanted: impl Into<String>, found: impl Into<String>) -> StepError {
    StepError::NotApplied { what: what.into(), wanted: wanted.into(), found: found.into() }
}

fn domain_agrees(request: &Request, found: Option<crate::model::PbxDomain>) -> Result<(), StepError> {
    match (request, found) {
        (Request::DeleteDomain(_), None) => Ok(()),
        (Request::DeleteDomain(_), Some(_)) => Err(StepError::DeleteNotPermitted),
        (Request::CreateDomain(wanted) | Request::UpdateDomain(wanted), Some(found)) => {
            let NewDomain { id: _, name, enabled, description } = wanted;
            if !found.name.eq_ignore_ascii_case(name) {
                return Err(not_applied(
                    "the domain's name",
                    format!("`{name}`"),
                    format!("`{}`", found.name),
                ));
            }
            if found.enabled != Some(*enabled) {
                let found = found.enabled.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
                return Err(not_applied("the domain's `enabled`", enabled.to_string(), found));
            }
            if found.description != *description {
                return Err(not_applied(
                    "the domain's description",
                    format!("`{description}`"),
                    format!("`{}`", found.description),
                ));
            }
            Ok(())
        }
        (Request::CreateDomain(wanted) | Request::UpdateDomain(wanted), None) => {
            Err(not_applied(format!("the domain {}", wanted.name), "present", "absent"))
        }
        (Request::PutSetting(..) | Request::DeleteSetting(..), _) => Ok(()),
    }
}

fn settings_agree(request: &Request, rows: &[PbxSetting]) -> Result<(), StepError> {
    match request {
        Request::PutSetting(_, wanted) => {
            let what = format!("the setting {}", wanted.name);
            let Some(found) = rows.iter().find(|row| row.id == wanted.id) else {
                return Err(not_applied(what, "present", "absent"));
            };
            // Values may be secrets of the tenant (a `*_password` setting), so they are not shown.
            if !same_value(&found.value, &wanted.value) || found.name != wanted.name {
                return Err(not_applied(what, "the value that was sent", "another one"));
            }
            if found.enabled != wanted.enabled {
                let word = |enabled| if enabled { "enabled" } else { "disabled" };
                return Err(not_applied(what, word(wanted.enabled), word(found.enabled)));
            }
            Ok(())
        }
        Request::DeleteSetting(_, id) if rows.iter().any(|row| row.id == *id) => {
            Err(not_applied(format!("the setting {id}"), "absent", "present"))
        }
        _ => Ok(()),
    }
}
