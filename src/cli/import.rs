//! `tenantd import --instance I`

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use super::adopt::{adoption, carry_out};
use super::args::ImportArgs;
use super::context::{Clients, Context, Failure, Result};
use super::exit::Exit;
use super::gather::gather;
use super::lookup::known_instance;
use crate::config::Config;
use crate::diff::enabled_values;
use crate::inputs::PassInputs;
use crate::model::{
    AdoptHow, Completeness, CrossTenant, Definition, DocumentMaxUsers, DomainError, DomainName, DriftPolicy,
    InstanceView, MaxUsers, PbxDomain, PbxSetting, Recorded, SettingName, Tenant, TenantKey,
};
use crate::observe::Rotation;
use crate::plan::Policy;
use crate::store::{Access, Database};
use crate::yaml::to_yaml;

/// Writes a file for each domain that is not managed, and takes it over as it is. The PBX is not changed.
pub async fn run(context: &Context, args: &ImportArgs) -> Result<Exit> {
    let config = context.config_with_secrets()?;
    known_instance(&config, &args.instance)?;
    if !args.dry_run {
        make_directory(&config.tenants_dir)?;
    }
    let loaded = context.load(&config).await;
    if !loaded.desired.broken.is_empty() {
        context.show_problems(&loaded.problems);
        return Err(Failure::new(
            "correct the broken files first: a name or domain in them could be imported again",
        ));
    }
    if let Completeness::Unreadable { reason } = &loaded.desired.completeness
        && !is_empty(&config.tenants_dir)
    {
        return Err(Failure::new(format!("the tenants directory {reason}: nothing is imported")));
    }
    let access = if args.dry_run { Access::ReadOnly } else { Access::ReadWrite };
    let database = context.database(&config, access).await?;
    let clients = if args.dry_run {
        Clients { readers: context.readers(&config)?, writers: Default::default() }
    } else {
        context.clients(&config)?
    };
    let policy = Policy::new(&config);
    let mut inputs =
        gather(&config, &database, &clients.readers, loaded.desired, policy, Rotation::None).await?;
    let found = unmanaged(context, args, &config, &clients, &inputs).await?;
    within_the_tier(config.tier.max_tenants, &inputs.recorded, found.tenants.len())?;
    let Found { tenants, skipped, refused } = found;
    if args.dry_run {
        for (tenant, _) in &tenants {
            let file = config.tenants_dir.join(format!("{}.yaml", tenant.key));
            context.say(&format!("would write {}:\n{}\n", file.display(), file_text(tenant, &config)));
        }
        context.say(&format!("{} would be imported, {skipped} skipped\n", tenants.len()));
        return Ok(if refused > 0 { Exit::SomeFailed } else { Exit::Done });
    }
    let mut left = 0;
    if !tenants.is_empty() {
        left = take_over(context, &config, &database, &clients, &mut inputs, &tenants).await?;
    }
    context.say(&format!("{} imported, {} skipped\n", tenants.len() - left, skipped + left));
    Ok(if refused + left > 0 { Exit::SomeFailed } else { Exit::Done })
}

/// The tenants directory, where there is none yet. The service reads it as a user of its own.
fn make_directory(dir: &Path) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    if dir.exists() {
        return Ok(());
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(dir).and_then(|()| {
        // Whatever the umask is: the service is another user.
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))
    });
    made.map_err(|error| {
        Failure::new(format!(
            "cannot create the tenants directory {}: {error}. Create it with `install -d {}` as a user with the \
             permission",
            dir.display(),
            dir.display()
        ))
    })
}

/// Whether there is no file of a tenant, or no directory at all.
fn is_empty(dir: &Path) -> bool {
    match std::fs::read_dir(dir) {
        Ok(entries) => entries.flatten().all(|entry| entry.file_name().to_string_lossy().starts_with('.')),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// The domains of an instance that no one manages.
struct Found {
    tenants: Vec<(Tenant, PbxDomain)>,
    skipped: usize,
    /// Those of the skipped that could be tenants.
    refused: usize,
}

async fn unmanaged(
    context: &Context,
    args: &ImportArgs,
    config: &Config,
    clients: &Clients,
    inputs: &PassInputs,
) -> Result<Found> {
    let domains = match inputs.observed.instance(&args.instance) {
        InstanceView::Unknown { reason } => return Err(Failure::new(reason.clone())),
        InstanceView::Seen { domains, .. } => domains,
    };
    if let Some(reason) = inputs.doubts(&args.instance) {
        return Err(Failure::new(reason));
    }
    let managed = inputs.recorded.managed_domains();
    let mut taken: BTreeSet<String> = inputs
        .desired
        .tenants
        .keys()
        .chain(inputs.recorded.tenants.keys())
        .map(TenantKey::to_string)
        .collect();
    let mut named: BTreeMap<String, String> = inputs
        .desired
        .tenants
        .values()
        .map(|tenant| (tenant.definition.domain.to_string(), named_already(tenant, args)))
        .collect();
    let mut found = Found { tenants: Vec::new(), skipped: 0, refused: 0 };
    for domain in domains.values() {
        if managed.contains(&(&args.instance, domain.id))
            || args.matching.as_ref().is_some_and(|text| !domain.name.contains(text.as_str()))
        {
            continue;
        }
        if inputs.policy.is_own_domain(&args.instance, &domain.name) {
            found.skipped += 1;
            context.say(&format!("skipped {}: it holds tenantd's own account\n", domain.name));
            continue;
        }
        let rows =
            clients.readers[&args.instance].settings(domain.id).await.map_err(|error| Failure::of(&error))?;
        match describe(config, args, domain, &rows, &mut taken, &named) {
            Err(why) => {
                found.skipped += 1;
                found.refused += 1;
                context.say(&format!("skipped {}: {why}\n", domain.name));
            }
            Ok(tenant) => {
                named.insert(
                    tenant.definition.domain.to_string(),
                    format!("{} also has this name", domain.name),
                );
                found.tenants.push((tenant, domain.clone()));
            }
        }
    }
    Ok(found)
}

/// What to do where a file names the domain already.
fn named_already(tenant: &Tenant, args: &ImportArgs) -> String {
    let key = &tenant.key;
    if tenant.definition.instance == args.instance {
        format!("{key}.yaml already names it. To take it over: tenantd adopt {key}")
    } else {
        format!(
            "{key}.yaml already names it, on {}. To take it over here, write `pbx_instance: {}` there, then: \
             tenantd adopt {key}",
            tenant.definition.instance, args.instance
        )
    }
}

/// Writes the files and has their domains taken over. Returns how many were not.
async fn take_over(
    context: &Context,
    config: &Config,
    database: &Database,
    clients: &Clients,
    inputs: &mut PassInputs,
    tenants: &[(Tenant, PbxDomain)],
) -> Result<usize> {
    inputs.policy.only = tenants.iter().map(|(tenant, _)| tenant.key.clone()).collect();
    // No file but those to be written has a say.
    inputs.desired.completeness = Completeness::Complete;
    for (tenant, domain) in tenants {
        let word = adoption(&tenant.definition.instance, domain, AdoptHow::AsItIs);
        inputs.recorded.adoptions.insert(tenant.key.clone(), word);
        inputs.desired.tenants.insert(tenant.key.clone(), tenant.clone());
    }
    let plan = inputs.plan();
    for held in &plan.held {
        context.say(&format!("not imported: {}: {}\n", held.tenant, held.why()));
    }
    // The file first: without a record its domain is not managed, but a record without its file would be disabled.
    for (tenant, _) in tenants.iter().filter(|(tenant, _)| plan.steps.iter().any(|s| s.tenant == tenant.key))
    {
        let file = config.tenants_dir.join(format!("{}.yaml", tenant.key));
        write_new(&file, &file_text(tenant, config))?;
    }
    let carried = carry_out(config, database, clients, inputs, &plan, "import").await?;
    for (tenant, domain) in tenants {
        if carried.managed.contains(&tenant.key) {
            context.say(&format!("imported {} as {}\n", domain.name, tenant.key));
        } else if plan.steps.iter().any(|step| step.tenant == tenant.key) {
            context.say(&format!(
                "not imported: {}: {}.yaml was written. To take it over: tenantd adopt {}\n",
                domain.name, tenant.key, tenant.key
            ));
        }
    }
    for line in carried.text.lines().filter(|line| line.starts_with("failed") || line.contains(" added, ")) {
        context.say(&format!("{line}\n"));
    }
    Ok(tenants.len() - carried.managed.len())
}

/// A file as it is written: what is as the deployment's defaults say is left out, so that a change of them counts here,
/// too.
#[derive(serde::Serialize)]
struct NewFile<'a> {
    name: &'a str,
    domain: &'a str,
    pbx_instance: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_users: Option<DocumentMaxUsers>,
}

fn file_text(tenant: &Tenant, config: &Config) -> String {
    let is_default = tenant.definition.max_users == config.defaults.max_users;
    to_yaml(&NewFile {
        name: &tenant.definition.name,
        domain: tenant.definition.domain.as_str(),
        pbx_instance: tenant.definition.instance.as_str(),
        enabled: (!tenant.definition.enabled).then_some(false),
        max_users: (!is_default).then(|| tenant.definition.max_users.into()),
    })
}

/// As the planner counts, which would hold new tenants beyond it.
fn within_the_tier(allowed: Option<u32>, recorded: &Recorded, new: usize) -> Result<()> {
    let managed = recorded.tenants.values().filter(|record| record.file_removed_at.is_none()).count();
    match allowed {
        Some(allowed) if new > 0 && managed + new > usize::try_from(allowed).unwrap_or(usize::MAX) => {
            Err(Failure::new(format!(
                "nothing was imported: the tier allows {allowed} tenants (`tier.max_tenants`), {managed} exist, and \
                 {new} would be added. Import fewer with `--matching`"
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
    named: &BTreeMap<String, String>,
) -> std::result::Result<Tenant, String> {
    let name = DomainName::parse(&domain.name).map_err(|error| not_importable(&domain.name, &error))?;
    if let Some(why) = named.get(name.as_str()) {
        return Err(why.clone());
    }
    let Some(enabled) = domain.enabled else {
        return Err("its `enabled` is NULL; set it on the PBX first".into());
    };
    let max_users =
        match enabled_values(rows, &SettingName::user_limit()) {
            None => MaxUsers::Unlimited,
            Some(value) => MaxUsers::Limited(value.parse().map_err(|_| {
                format!("its setting limit.users.numeric is `{value}`, which is not a number")
            })?),
        };
    if let (MaxUsers::Limited(n), Some(ceiling)) = (max_users, config.tier.max_users_per_tenant)
        && n > ceiling
    {
        return Err(format!("its user limit {n} is above the tier's {ceiling}"));
    }
    let key = free_key(&name, taken).ok_or("its name cannot be turned into a key")?;
    taken.insert(key.to_string());
    // Without a description the domain is the name, which needs no description on the PBX.
    let described =
        if domain.description.is_empty() { domain.name.clone() } else { domain.description.clone() };
    if described.trim() != described {
        return Err("its description begins or ends with a space; correct it on the PBX first".into());
    }
    Ok(Tenant {
        key,
        definition: Definition {
            name: described,
            domain: name,
            instance: args.instance.clone(),
            enabled,
            session_timeout: config.defaults.session_timeout,
            max_users,
            protected: false,
            pbx_settings: Default::default(),
            cross_tenant: CrossTenant::default(),
            drift: DriftPolicy::Correct,
        },
        previously: None,
        adopt: false,
        sms_numbers: None,
        accept: Default::default(),
    })
}

/// What is wrong with a domain's name, and which one on the PBX makes it importable.
fn not_importable(name: &str, error: &DomainError) -> String {
    match DomainName::near(name) {
        Some(near) => format!("{error}. Rename it to `{near}` on the PBX and import again"),
        None => format!("{error}. Give it a host name on the PBX and import again"),
    }
}

/// `acme.example.com` is `acme`; where that is taken, the whole name; where that is taken too, with a number. The first
/// number of an address would say nothing.
fn free_key(domain: &DomainName, taken: &BTreeSet<String>) -> Option<TenantKey> {
    let whole = domain.as_str().replace(':', "-");
    let first = if domain.is_address() { &whole } else { whole.split('.').next().unwrap_or(&whole) };
    let numbered = (2..1000).map(|n| format!("{first}-{n}"));
    [first.to_owned(), whole.clone()]
        .into_iter()
        .chain(numbered)
        .filter(|candidate| !taken.contains(candidate))
        .find_map(|candidate| TenantKey::parse(&candidate).ok())
}

/// Writes a file that must not be there yet, whole or not at all.
fn write_new(path: &Path, text: &str) -> Result<()> {
    // The error of a temporary file would name that one.
    let failed = |error: std::io::Error| {
        let error = std::io::Error::from(error.kind());
        Failure::new(format!(
            "cannot write {}: {error}. Run it again as a user with permission to write there; what was imported \
             stays imported",
            path.display()
        ))
    };
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".import-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(dir)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(path).map_err(|error| failed(error.error))?;
    Ok(())
}
