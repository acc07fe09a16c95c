//! `tenantd block`: closes the web sign-in of tenants that were disabled, and left open, before they were imported.

use super::actor::{actor, by_hand};
use super::args::BlockArgs;
use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::gather::gather;
use super::stop::stop_on_signal;
use super::writer::{Runner, runner};
use crate::config::Config;
use crate::environment::{Environment as _, System};
use crate::model::{TenantKey, TenantRecord};
use crate::observe::Rotation;
use crate::plan::Policy;
use crate::reconcile::{self, Writer};
use crate::store::{Access, AuditEntry, Database};

/// Phones are not touched: the tenants stay disabled throughout.
pub async fn run(context: &Context, args: &BlockArgs) -> Result<Exit> {
    let config = context.config_with_secrets()?;
    let database = context.database(&config, Access::ReadWrite).await?;
    let records = database.read(|store| store.tenants()).await.map_err(|error| Failure::of(&error))?;
    let mut open: Vec<TenantRecord> = Vec::new();
    for key in &args.keys {
        let record =
            records.get(key).ok_or_else(|| Failure::new(format!("the tenant {key} is not recorded")))?;
        if record.definition.enabled {
            return Err(Failure::new(format!(
                "{key} is enabled, so its users may sign in. To disable it, write `enabled: false` in its file"
            )));
        }
        if record.web_sign_in_left_open {
            open.push(record.clone());
        } else {
            context.say(&format!("{key}: its web sign-in is already blocked\n"));
        }
    }
    if open.is_empty() {
        return Ok(Exit::Done);
    }
    let (now, actor) = (System.now(), by_hand("block"));
    let keys: Vec<TenantKey> = open.iter().map(|record| record.key.clone()).collect();
    let ordered = move |store: &mut crate::store::StoreWriter<'_>| {
        for mut record in open {
            record.web_sign_in_left_open = false;
            // So that the next pass checks it, and blocks.
            record.disable_confirmed_at = None;
            record.deletable_from = None;
            record.settings_checked_at = None;
            store.update_tenant(&mut record, now)?;
            store.append_audit(&AuditEntry {
                tenant: Some(record.id),
                instance: Some(record.definition.instance.clone()),
                ..AuditEntry::new(now, actor.clone(), "tenant.block_ordered", record.key.clone())
            })?;
        }
        Ok(())
    };
    database.write(ordered).await.map_err(|error| Failure::of(&error))?;
    if let Runner::Own(lease) = runner(&database).await? {
        let passed = own_pass(context, &config, &lease.database(), &keys).await;
        lease.release().await;
        passed?;
    }
    let records = database.read(|store| store.tenants()).await.map_err(|error| Failure::of(&error))?;
    let mut exit = Exit::Done;
    for key in &keys {
        if records.get(key).is_some_and(|record| record.disable_confirmed_at.is_some()) {
            context.say(&format!("{key}: its web sign-in is blocked; it stays disabled\n"));
        } else {
            exit = Exit::SomeFailed;
            context
                .say(&format!("{key}: not blocked yet; the next run tries again. Why: tenantd show {key}\n"));
        }
    }
    Ok(exit)
}

async fn own_pass(context: &Context, config: &Config, database: &Database, keys: &[TenantKey]) -> Result<()> {
    let clients = context.clients(config)?;
    let loaded = context.load(config).await;
    let actor = actor("block", loaded.desired.revision.as_deref());
    let policy = Policy { only: keys.iter().cloned().collect(), ..Policy::new(config) };
    let inputs = gather(config, database, &clients.readers, loaded.desired, policy, Rotation::None).await?;
    let plan = inputs.plan();
    let writer =
        Writer { database, pbxs: &clients.writers, environment: &System, actor, stop: stop_on_signal() };
    reconcile::carry_out(&writer, config, &inputs, &plan).await.map_err(|error| Failure::of(&error))?;
    Ok(())
}
