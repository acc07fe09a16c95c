//! `tenantd stats`.

use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::lookup::record_of;
use crate::environment::{Environment as _, System};
use crate::model::TenantKey;
use crate::report::FORMAT_VERSION;
use crate::stats;
use crate::store::Access;

pub async fn run(context: &Context, key: Option<&TenantKey>) -> Result<Exit> {
    let config = context.config()?;
    let database = context.database(&config, Access::ReadOnly).await?;
    let now = System.now();
    let all = database.read(move |store| store.stats(now)).await.map_err(|error| Failure::of(&error))?;
    let warnings: Vec<String> = stats::near_limits(&all, &config.tier)
        .into_iter()
        .filter(|(of, _)| key.is_none_or(|key| of.as_ref() == Some(key)))
        .map(|(_, text)| text)
        .collect();
    let shown: Vec<_> = all.into_iter().filter(|tenant| key.is_none_or(|key| tenant.key == *key)).collect();
    if let Some(key) = key.filter(|_| shown.is_empty()) {
        let records = database.read(|store| store.tenants()).await.map_err(|error| Failure::of(&error))?;
        record_of(context, &config, &records, key).await?;
    }
    if context.is_json() {
        context.json(&serde_json::json!({
            "format_version": FORMAT_VERSION,
            "tenants": stats::json(&shown, &config.tier),
            "warnings": warnings,
        }));
    } else {
        context.say(&stats::table(&shown, &config.tier));
        let paint = context.paint();
        for warning in &warnings {
            context.say(&format!("{} {warning}\n", paint.warning("warning:")));
        }
    }
    Ok(Exit::Done)
}
