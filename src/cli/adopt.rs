//! `tenantd adopt`: domains that tenant files name, that exist on the PBX and that are not managed.
//!
//! Also the part that `import` shares, which writes the files first.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use futures_util::stream::{self, StreamExt as _};

use super::actor::{actor, user};
use super::args::AdoptArgs;
use super::confirm::agreed;
use super::context::{Clients, Context, Failure, Result};
use super::exit::Exit;
use super::gather::{gather, readable};
use super::lookup::{known, known_instance};
use super::stop::stop_on_signal;
use super::writer::{Runner, runner};
use crate::config::Config;
use crate::diff::Field;
use crate::environment::{Environment as _, System};
use crate::inputs::PassInputs;
use crate::model::{
    AdoptHow, Adoption, DomainState, InstanceKey, InstanceView, PbxDomain, Tenant, TenantKey,
};
use crate::observe::Rotation;
use crate::plan::{HeldReason, Plan, Policy, Step};
use crate::reconcile::{self, Reader, Writer};
use crate::report::{self, OutcomeJson, PlanJson};
use crate::store::{Access, AuditEntry, Database};
use crate::sync;

/// Long enough for a pass of the daemon that is under way, and for a restart.
const VALID_FOR: TimeDelta = TimeDelta::minutes(30);

/// The decision of the operator who runs the command that these domains are taken over.
pub fn adoption(instance: &InstanceKey, domain: &PbxDomain, how: AdoptHow) -> Adoption {
    Adoption {
        instance: instance.clone(),
        domain_id: domain.id,
        how,
        by: user(),
        until: System.now() + VALID_FOR,
    }
}

pub async fn run(context: &Context, args: &AdoptArgs) -> Result<Exit> {
    let config = context.config_with_secrets()?;
    if let Some(instance) = &args.instance {
        known_instance(&config, instance)?;
    }
    let loaded = context.load(&config).await;
    context.show_problems(&loaded.problems);
    readable(&config, &loaded.desired)?;
    let access = if args.dry_run { Access::ReadOnly } else { Access::ReadWrite };
    let database = context.database(&config, access).await?;
    let clients = if args.dry_run {
        Clients { readers: context.readers(&config)?, writers: BTreeMap::new() }
    } else {
        context.clients(&config)?
    };
    let policy = Policy::new(&config);
    let mut inputs =
        gather(&config, &database, &clients.readers, loaded.desired, policy, Rotation::None).await?;
    known(&inputs.desired, inputs.recorded.tenants.keys(), &args.keys)?;
    let Selected { found, skipped } = select(&inputs, args);
    for (key, why) in &skipped {
        eprintln!("skipped {key}: {why}");
    }
    if found.is_empty() {
        if context.is_json() {
            context.json(&PlanJson::from(&Plan { steps: Vec::new(), held: Vec::new(), ..inputs.plan() }));
        } else {
            context.say(&match skipped.len() {
                0 => "Nothing to adopt.\n".to_owned(),
                many => format!("0 adopted, {many} skipped\n"),
            });
        }
        return Ok(if skipped.is_empty() { Exit::Done } else { Exit::SomeFailed });
    }
    inputs.policy.only = found.keys().cloned().collect();
    inputs.recorded.adoptions = found
        .iter()
        .map(|(key, (instance, domain))| (key.clone(), adoption(instance, domain, AdoptHow::AsItsFileSays)))
        .collect();
    read_settings(&config, &clients, &mut inputs).await?;
    let plan = without_approval(inputs.plan());
    let changed = plan.steps.iter().filter(|step| !is_as_its_file_says(step)).count();
    if !context.is_json() {
        context.say(&preview(&plan, context));
    } else if args.dry_run {
        context.json(&PlanJson::from(&plan));
    }
    if args.dry_run || plan.steps.is_empty() {
        if context.is_json() && !args.dry_run {
            context.json(&PlanJson::from(&plan));
        }
        return Ok(ended(&plan, &skipped));
    }
    let many = plan.steps.len();
    let domains = if many == 1 { "domain" } else { "domains" };
    if !agreed(context, &format!("Take over {many} {domains}, {changed} of them with changes?"), args.yes)
        .await?
    {
        return Err(Failure::new("nothing was changed"));
    }
    let steps: BTreeSet<&TenantKey> = plan.steps.iter().map(|step| &step.tenant).collect();
    inputs.recorded.adoptions.retain(|key, _| steps.contains(key));
    let carried = carry_out(&config, &database, &clients, &inputs, &plan, "adopt").await?;
    if context.is_json() {
        context.json(&carried.document);
    } else {
        context.say(&carried.text);
        context.say(&format!("{} adopted, {} not\n", carried.managed.len(), many - carried.managed.len()));
    }
    Ok(if carried.managed.len() < many { Exit::SomeFailed } else { ended(&plan, &skipped) })
}

fn ended(plan: &Plan, skipped: &BTreeMap<TenantKey, String>) -> Exit {
    if !plan.held.is_empty() {
        Exit::Held
    } else if !skipped.is_empty() {
        Exit::SomeFailed
    } else {
        Exit::Done
    }
}

/// What there is to take over, and what was named and cannot be.
struct Selected {
    found: BTreeMap<TenantKey, (InstanceKey, PbxDomain)>,
    skipped: BTreeMap<TenantKey, String>,
}

fn select(inputs: &PassInputs, args: &AdoptArgs) -> Selected {
    let mut selected = Selected { found: BTreeMap::new(), skipped: BTreeMap::new() };
    for key in args.keys.iter().filter(|key| !inputs.desired.tenants.contains_key(key)) {
        let why = if inputs.desired.is_broken(key) { "its file is broken" } else { "it has no file" };
        selected.skipped.insert(key.clone(), why.to_owned());
    }
    let by_name = by_name(inputs);
    for tenant in inputs.desired.tenants.values() {
        let named = args.keys.contains(&tenant.key);
        let of_instance =
            args.instance.as_ref().is_none_or(|instance| *instance == tenant.definition.instance);
        if !(named || args.keys.is_empty() && of_instance) {
            continue;
        }
        match candidate(inputs, &by_name, tenant) {
            Ok(domain) => {
                selected
                    .found
                    .insert(tenant.key.clone(), (tenant.definition.instance.clone(), domain.clone()));
            }
            // Of all, what there is nothing to take over of is no surprise.
            Err(NoCandidate { why, expected }) if named || !expected => {
                selected.skipped.insert(tenant.key.clone(), why);
            }
            Err(_) => {}
        }
    }
    selected
}

struct NoCandidate {
    why: String,
    /// There is nothing wrong with it.
    expected: bool,
}

type ByName<'a> = BTreeMap<(&'a InstanceKey, &'a str), Vec<&'a PbxDomain>>;

fn by_name(inputs: &PassInputs) -> ByName<'_> {
    let mut found: ByName<'_> = BTreeMap::new();
    for (key, view) in &inputs.observed.instances {
        if let InstanceView::Seen { domains, .. } = view {
            for domain in domains.values() {
                found.entry((key, domain.name.as_str())).or_default().push(domain);
            }
        }
    }
    found
}

/// The one domain that a tenant could take over.
fn candidate<'a>(
    inputs: &'a PassInputs,
    by_name: &ByName<'a>,
    tenant: &'a Tenant,
) -> std::result::Result<&'a PbxDomain, NoCandidate> {
    let no = |why: String, expected| Err(NoCandidate { why, expected });
    if let Some(record) = inputs.recorded.tenants.get(&tenant.key) {
        let there = inputs.observed.instance(&record.definition.instance).domain(record.domain_id);
        return match there {
            DomainState::Absent => {
                no("it is already managed; `tenantd apply` creates its domain again".into(), true)
            }
            DomainState::Present(_) | DomainState::Unknown => no("it is already managed".into(), true),
        };
    }
    if let Some(reason) = inputs.doubts(&tenant.definition.instance) {
        return no(format!("{} cannot be compared reliably: {reason}", tenant.definition.instance), false);
    }
    match by_name
        .get(&(&tenant.definition.instance, tenant.definition.domain.as_str()))
        .map_or(&[][..], Vec::as_slice)
    {
        [domain] if inputs.policy.is_own_domain(&tenant.definition.instance, &domain.name) => {
            let (domain, instance) = (domain.name.clone(), tenant.definition.instance.clone());
            no(HeldReason::OwnAccount { domain, instance }.to_string(), false)
        }
        [domain] => Ok(domain),
        [] => no(
            format!(
                "{} does not exist on {}; `tenantd apply` creates it",
                tenant.definition.domain, tenant.definition.instance
            ),
            true,
        ),
        several => no(
            format!(
                "{} domains on {} are named {}",
                several.len(),
                tenant.definition.instance,
                tenant.definition.domain
            ),
            false,
        ),
    }
}

/// The settings of the domains to take over, so that the preview shows what changes and nothing else.
async fn read_settings(config: &Config, clients: &Clients, inputs: &mut PassInputs) -> Result<()> {
    let width = reconcile::widths(config);
    for (instance, pbx) in &clients.readers {
        let of_it = inputs.recorded.adoptions.values().filter(|adoption| adoption.instance == *instance);
        let ids: Vec<_> = of_it.map(|adoption| adoption.domain_id).collect();
        let read: Vec<_> = stream::iter(ids)
            .map(|id| async move { (id, pbx.settings(id).await) })
            .buffer_unordered(width.get(instance).copied().unwrap_or(1).max(1))
            .collect()
            .await;
        let Some(InstanceView::Seen { settings, .. }) = inputs.observed.instances.get_mut(instance) else {
            continue;
        };
        for (id, rows) in read {
            settings.insert(id, rows.map_err(|error| Failure::of(&error))?);
        }
    }
    Ok(())
}

/// An approval names removals of the plan that everybody makes, where these are not in.
fn without_approval(mut plan: Plan) -> Plan {
    let mut is_over_a_limit = false;
    for held in plan.held.iter_mut().filter(|held| matches!(held.reason, HeldReason::Limit(_))) {
        held.lifted_by = None;
        is_over_a_limit = true;
    }
    if is_over_a_limit {
        let advice = "Adopt fewer tenants at once, or set `enabled: true` in their files.";
        plan.warnings.push(advice.to_owned());
    }
    plan
}

/// That it gets its key is all.
fn is_as_its_file_says(step: &Step) -> bool {
    step.changes.iter().all(|change| change.field == Field::Key)
}

/// What changes, tenant by tenant; of those where nothing does, only the names.
fn preview(plan: &Plan, context: &Context) -> String {
    let (same, changed): (Vec<_>, Vec<_>) = plan.steps.iter().cloned().partition(is_as_its_file_says);
    let mut text = String::new();
    if !same.is_empty() {
        let keys: Vec<&str> = same.iter().map(|step| step.tenant.as_str()).collect();
        text.push_str(&format!("no changes: {}\n\n", keys.join(", ")));
    }
    let rest = report::preview(&Plan { steps: changed.clone(), ..plan.clone() }, context.paint());
    // The closing line counts what everybody's plan would do.
    let rest = rest.trim_end().rsplit_once('\n').map_or("", |(rest, _)| rest);
    text.push_str(rest);
    if !rest.is_empty() {
        text.push('\n');
    }
    text.push_str(&format!("{} to adopt, {} with changes on the PBX", plan.steps.len(), changed.len()));
    if !plan.held.is_empty() {
        text.push_str(&format!("; {} held", plan.held.len()));
    }
    text.push('\n');
    text
}

/// What came of it.
pub struct Carried {
    pub text: String,
    pub document: serde_json::Value,
    /// Those of the plan's tenants that are managed now.
    pub managed: BTreeSet<TenantKey>,
}

/// Has the adoptions of `look` done: by itself, or by the daemon, which plans the same from the word in the database.
pub async fn carry_out(
    config: &Config,
    database: &Database,
    clients: &Clients,
    inputs: &PassInputs,
    plan: &Plan,
    how: &str,
) -> Result<Carried> {
    let (adoptions, now) = (inputs.recorded.adoptions.clone(), System.now());
    let actor = actor(how, inputs.desired.revision.as_deref());
    let entries: Vec<AuditEntry> = adoptions
        .iter()
        .map(|(key, adoption)| AuditEntry {
            instance: Some(adoption.instance.clone()),
            ..AuditEntry::new(now, actor.clone(), "adoption.approved", key.clone())
        })
        .collect();
    let allow = move |store: &mut crate::store::StoreWriter<'_>| {
        store.allow_adoptions(&adoptions, now)?;
        entries.iter().try_for_each(|entry| store.append_audit(entry))
    };
    database.write(allow).await.map_err(|error| Failure::of(&error))?;
    let (mut text, document) = match runner(database).await? {
        Runner::Daemon(answer) => (answer.text, answer.document),
        Runner::Own(lease) => {
            let done = own_pass(config, &lease.database(), clients, inputs, plan, actor).await;
            lease.release().await;
            done?
        }
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let wanted: BTreeSet<TenantKey> = plan.steps.iter().map(|step| step.tenant.clone()).collect();
    let records = database.read(|store| store.tenants()).await.map_err(|error| Failure::of(&error))?;
    let managed = wanted.into_iter().filter(|key| records.get(key).is_some_and(|record| record.provisioned));
    Ok(Carried { text, document, managed: managed.collect() })
}

async fn own_pass(
    config: &Config,
    database: &Database,
    clients: &Clients,
    inputs: &PassInputs,
    plan: &Plan,
    actor: String,
) -> Result<(String, serde_json::Value)> {
    let reader =
        Reader { config, database, pbxs: &clients.readers, environment: &System, rotation: Rotation::None };
    let writer =
        Writer { database, pbxs: &clients.writers, environment: &System, actor, stop: stop_on_signal() };
    let outcome =
        reconcile::carry_out(&writer, config, inputs, plan).await.map_err(|error| Failure::of(&error))?;
    let users = reconcile::sync_users(&reader, &writer, inputs, &outcome, None).await;
    let mut text = report::outcome_text(&outcome, report::Paint(false));
    if !text.ends_with('\n') {
        text.push('\n');
    }
    if !users.is_empty() {
        text.push_str(&sync::text(&users));
    }
    let document = OutcomeJson { users, ..OutcomeJson::new(PlanJson::from(plan), &outcome) };
    Ok((text, serde_json::to_value(document).unwrap_or_default()))
}
