//! `tenantd import --instance I`

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use super::args::ImportArgs;
use super::context::{Clients, Context, Failure, Result};
use super::exit::Exit;
use super::known::known_instance;
use super::output;
use super::plan::{actor, look};
use crate::config::Config;
use crate::daemon::holder;
use crate::diff::enabled_values;
use crate::environment::{Environment as _, System};
use crate::load::Loaded;
use crate::model::{
    CrossTenant, DomainName, DriftPolicy, InstanceView, MaxUsers, PbxDomain, PbxSetting, Recorded,
    SettingName, Tenant, TenantDocument, TenantId, TenantKey, TenantRecord,
};
use crate::observe::Rotation;
use crate::plan::{Policy, definition_hash};
use crate::store::{Access, AuditEntry, Database, Lease};
use crate::sync;
use crate::yaml::write_tenant_file;

/// Writes a file for each domain that is not managed, and records it as it is. The PBX is not changed.
pub async fn run(context: &Context, args: &ImportArgs) -> Result<Exit> {
    let config = context.config_with_secrets()?;
    known_instance(&config, &args.instance)?;
    let loaded = context.load(&config).await;
    if !loaded.desired.broken.is_empty() {
        context.show_problems(&loaded.problems);
        return Err(Failure::new(
            "mend the broken files first: a name or domain in them could be taken twice",
        ));
    }
    if args.dry_run {
        let database = context.database(&config, Access::ReadOnly).await?;
        return take_over(context, args, &config, loaded, &database).await;
    }
    let database = context.database(&config, Access::ReadWrite).await?;
    let lease = lease(&database).await?;
    let imported = take_over(context, args, &config, loaded, &lease.database()).await;
    lease.release().await;
    imported
}

/// How long the writer's lock is waited for: another command may be at its end, and what a process that died held on
/// PostgreSQL expires in ten seconds.
const PATIENCE: Duration = Duration::from_secs(12);

/// There is one writer. A daemon keeps the lock for as long as it runs, so that waiting for it would be in vain.
async fn lease(database: &Database) -> Result<Lease> {
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut told = false;
    loop {
        let by = match database.lease(&holder()).await.map_err(|error| Failure::of(&error))? {
            Ok(lease) => return Ok(lease),
            Err(by) => by,
        };
        if tokio::time::Instant::now() >= until {
            return Err(Failure::new(format!(
                "{by} holds the writer's lock, so nothing was imported: stop it for the time of the import \
                 (`--dry-run` needs no lock), or take domains over one by one with `adopt: true` in their files"
            )));
        }
        if !told {
            output::tell(&format!(
                "{by} holds the writer's lock; waiting for it {} seconds\n",
                PATIENCE.as_secs()
            ));
            told = true;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn take_over(
    context: &Context,
    args: &ImportArgs,
    config: &Config,
    loaded: Loaded,
    database: &Database,
) -> Result<Exit> {
    let readers = context.readers(config)?;
    let clients = Clients { readers, writers: Default::default() };
    let policy = Policy::new(config);
    let look = look(config, database, &clients.readers, loaded.desired, policy, Rotation::None).await?;
    let domains = match look.observed.instance(&args.instance) {
        InstanceView::Unknown { reason } => return Err(Failure::new(reason.clone())),
        InstanceView::Seen { domains, .. } => domains,
    };
    if let Some(reason) = look.doubts(&args.instance) {
        return Err(Failure::new(reason));
    }
    let ours: BTreeSet<_> = look
        .recorded
        .tenants
        .values()
        .map(|record| (&record.instance, record.domain_id))
        .chain(look.recorded.former.iter().map(|former| (&former.instance, former.domain_id)))
        .collect();
    let own = look.policy.own_domains.get(&args.instance);
    let mut taken: BTreeSet<String> =
        look.desired.tenants.keys().chain(look.recorded.tenants.keys()).map(TenantKey::to_string).collect();
    let mut wanted_domains: BTreeSet<String> =
        look.desired.tenants.values().map(|tenant| tenant.domain.to_string()).collect();
    let mut found = Vec::new();
    let mut left = 0;
    for domain in domains.values() {
        if ours.contains(&(&args.instance, domain.id))
            || args.matching.as_ref().is_some_and(|text| !domain.name.contains(text.as_str()))
        {
            continue;
        }
        if own == Some(&domain.name) {
            context.say(&format!("left: {} (the domain of tenantd's own account)\n", domain.name));
            continue;
        }
        let rows =
            clients.readers[&args.instance].settings(domain.id).await.map_err(|error| Failure::of(&error))?;
        match describe(config, args, domain, &rows, &mut taken, &wanted_domains) {
            Err(why) => {
                left += 1;
                context.say(&format!("left: {}: {why}\n", domain.name));
            }
            Ok(tenant) => {
                wanted_domains.insert(tenant.domain.to_string());
                found.push((tenant, domain));
            }
        }
    }
    let count = found.len();
    within_the_tier(config.tier.max_tenants, &look.recorded, count)?;
    for (tenant, domain) in found {
        let file = config.tenants_dir.join(format!("{}.yaml", tenant.key));
        let text = write_tenant_file(&TenantDocument::from(&tenant));
        if args.dry_run {
            context.say(&format!("would write {}:\n{text}\n", file.display()));
        } else {
            // The file first: without a record it is held as not ours, but a record without its file would be disabled.
            write_new(&file, &text)?;
            record(database, &tenant, domain).await?;
            context.say(&format!("imported {} as {}\n", domain.name, tenant.key));
        }
    }
    let done = if args.dry_run { "would be imported" } else { "imported" };
    context.say(&format!("{count} {done}, {left} left\n"));
    if count > 0 && !args.dry_run {
        let pbx = &*clients.readers[&args.instance];
        let now = System.now();
        let users =
            sync::sync_instance(database, &args.instance, pbx, &sync::Rules::of(&config.tier), now).await;
        context.say(&sync::text(&[users.map_err(|error| Failure::of(&error))?]));
    }
    Ok(if left > 0 { Exit::SomeFailed } else { Exit::Done })
}

/// As the planner counts, which would hold new tenants beyond it.
fn within_the_tier(allowed: Option<u32>, recorded: &Recorded, new: usize) -> Result<()> {
    let managed = recorded.tenants.values().filter(|record| record.removed_at.is_none()).count();
    match allowed {
        Some(allowed) if new > 0 && managed + new > usize::try_from(allowed).unwrap_or(usize::MAX) => {
            Err(Failure::new(format!(
                "the tier allows {allowed} tenants (tier.max_tenants); there are {managed}, and {new} would be \
                 imported, so nothing was: `--matching` narrows it down"
            )))
        }
        _ => Ok(()),
    }
}

/// The tenant that a domain is, or why it cannot be one as it is.
fn describe(
    config: &Config,
    args: &ImportArgs,
    domain: &PbxDomain,
    rows: &[PbxSetting],
    taken: &mut BTreeSet<String>,
    wanted_domains: &BTreeSet<String>,
) -> std::result::Result<Tenant, String> {
    let name = DomainName::parse(&domain.name).map_err(|error| format!("not a host name: {error}"))?;
    if wanted_domains.contains(name.as_str()) {
        return Err("a file has this domain already; `adopt: true` in it takes this one over".into());
    }
    let Some(enabled) = domain.enabled else {
        return Err("its `enabled` is NULL; set it on the PBX first".into());
    };
    let max_users = match enabled_values(rows, &SettingName::user_limit()) {
        None => MaxUsers::Unlimited,
        Some(value) => MaxUsers::Limited(
            value
                .parse()
                .map_err(|_| format!("its setting limit.users.numeric is `{value}`, not one number"))?,
        ),
    };
    if let (MaxUsers::Limited(n), Some(ceiling)) = (max_users, config.tier.max_users_per_tenant)
        && n > ceiling
    {
        return Err(format!("its user limit {n} is above the tier's {ceiling}"));
    }
    let key = free_key(name.as_str(), taken).ok_or("no key could be made of its name")?;
    taken.insert(key.to_string());
    // Without a description the domain is the name, which needs no description on the PBX.
    let described =
        if domain.description.is_empty() { domain.name.clone() } else { domain.description.clone() };
    if described.trim() != described {
        return Err("its description begins or ends with a space; mend it on the PBX first".into());
    }
    Ok(Tenant {
        key,
        name: described,
        domain: name,
        instance: args.instance.clone(),
        enabled,
        session_timeout: config.defaults.session_timeout,
        max_users,
        protected: false,
        pbx_settings: Default::default(),
        cross_tenant: CrossTenant::default(),
        previously: None,
        adopt: false,
        drift: DriftPolicy::Correct,
        accept: Default::default(),
    })
}

/// `acme.example.com` is `acme`; where that is taken, the whole name; where that is taken too, with a number.
fn free_key(domain: &str, taken: &BTreeSet<String>) -> Option<TenantKey> {
    let first = domain.split('.').next().unwrap_or(domain);
    let numbered = (2..1000).map(|n| format!("{first}-{n}"));
    [first.to_owned(), domain.to_owned()]
        .into_iter()
        .chain(numbered)
        .filter(|candidate| !taken.contains(candidate))
        .find_map(|candidate| TenantKey::parse(&candidate).ok())
}

/// Writes a file that must not be there yet, whole or not at all.
fn write_new(path: &Path, text: &str) -> Result<()> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(format!("cannot write {}: {error}", path.display()));
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".import-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(dir)
        .map_err(|error| failed(&error))?;
    file.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    file.as_file().sync_all().map_err(|error| failed(&error))?;
    file.persist_noclobber(path).map_err(|error| failed(&error))?;
    Ok(())
}

/// Records the domain as ours, exactly as it is.
async fn record(database: &Database, tenant: &Tenant, domain: &PbxDomain) -> Result<()> {
    let now = System.now();
    let record = TenantRecord {
        provisioned: true,
        disable_confirmed_at: (!tenant.enabled).then_some(now),
        // It was closed by somebody else, who may have left the web sign-in open on purpose.
        lock_left_open: !tenant.enabled,
        applied_hash: Some(definition_hash(tenant)),
        ..TenantRecord::new(TenantId(System.new_id()), tenant, domain.id, now)
    };
    let entry = AuditEntry {
        tenant: Some(record.id),
        instance: Some(record.instance.clone()),
        after: serde_json::to_string(&TenantDocument::from(tenant)).ok(),
        detail: Some("imported as it was".into()),
        ..AuditEntry::new(now, actor("import", None), "tenant.adopted", record.key.clone())
    };
    database
        .write(move |store| {
            store.insert_tenant(&record)?;
            store.append_audit(&entry)
        })
        .await
        .map_err(|error| Failure::of(&error))
}
