//! One tenant's file is gone and another one is new, and the two look alike: perhaps a rename of key and domain in one
//! commit, without `previously:`. To close the one and make the other would take the phones away, so both are held
//! until the file says which it is, or a person does.

use std::collections::{BTreeMap, BTreeSet};

use similar::TextDiff;

use super::types::{Held, Step, Work};
use super::{Draft, World, identity};
use crate::model::{CrossTenant, InstanceKey, SettingName, Tenant, TenantKey, TenantRecord};

/// From which share of equal lines on two documents are one document renamed; git's own measure.
const ALIKE: f32 = 0.6;
/// The same of two keys' letters.
const ALIKE_KEYS: f32 = 0.8;

/// Which new keys took over which records, so that they are known to be renames.
pub(super) type Rekeyed = BTreeMap<TenantKey, TenantKey>;

/// A removed and a new tenant that look alike.
struct Pair<'a> {
    old: &'a TenantRecord,
    new: TenantKey,
    /// In what they are alike.
    why: &'static str,
    /// The higher, the more alike.
    weight: u8,
    /// What a person approves who says that they are two.
    id: String,
}

/// Holds the steps of likely renames. A pair that a person called two tenants goes on to the other gates.
pub(super) fn hold(world: World<'_>, rekeyed: &Rekeyed, draft: &mut Draft) {
    let pairs = pairs(world, rekeyed, &draft.steps);
    if pairs.is_empty() {
        return;
    }
    let steps = std::mem::take(&mut draft.steps);
    for step in steps {
        let of_step: Vec<&Pair<'_>> = pairs.iter().filter(|pair| pair.is_of(&step)).collect();
        match of_step.iter().max_by_key(|pair| pair.weight) {
            Some(best) => draft.held.push(best.held(&step, &of_step)),
            None => draft.steps.push(step),
        }
    }
}

impl Pair<'_> {
    fn is_of(&self, step: &Step) -> bool {
        match &step.work {
            Work::Create { tenant } => tenant.key == self.new,
            Work::Disable { record, removed: true, .. } => record.id == self.old.id,
            _ => false,
        }
    }

    fn held(&self, step: &Step, all: &[&Pair<'_>]) -> Held {
        let (old, new) = (&self.old.key, &self.new);
        let others: Vec<String> = all
            .iter()
            .filter(|pair| pair.id != self.id)
            .map(|pair| if step.tenant == pair.new { &pair.old.key } else { &pair.new })
            .map(|key| format!("`{key}`"))
            .collect();
        let others = match others.as_slice() {
            [] => String::new(),
            some => format!(" ({} would do as well)", some.join(", ")),
        };
        Held {
            tenant: step.tenant.clone(),
            instance: step.instance.clone(),
            action: step.action,
            reason: format!(
                "{new} is new and looks like {old}, whose file is gone: {}{others}. If it was renamed, write \
                 `previously: {old}` in {new}.yaml; if they are two tenants, approve it",
                self.why
            ),
            lift: Some(format!("tenantd approve {}", self.id)),
        }
    }
}

fn pairs<'a>(world: World<'a>, rekeyed: &Rekeyed, steps: &[Step]) -> Vec<Pair<'a>> {
    let new: Vec<&Tenant> = steps
        .iter()
        .filter_map(|step| match &step.work {
            Work::Create { tenant } => Some(tenant),
            _ => None,
        })
        .collect();
    let taken: BTreeSet<&TenantKey> = rekeyed.values().collect();
    // One that was disabled for good is not about to be; its removal was looked at in its own pass.
    let gone: Vec<&TenantRecord> = world
        .recorded
        .tenants
        .values()
        .filter(|record| record.enabled || record.removed_at.is_none())
        .filter(|record| !world.desired.tenants.contains_key(&record.key))
        .filter(|record| !world.desired.is_broken(&record.key) && !taken.contains(&record.key))
        .collect();
    if new.is_empty() || gone.is_empty() {
        return Vec::new();
    }
    let common = Common::of(world);
    let new: Vec<(&Tenant, Telling)> = new.into_iter().map(|tenant| (tenant, Telling::of(tenant))).collect();
    let mut found = Vec::new();
    for old in gone {
        let told = Telling::of_record(old);
        for (tenant, telling) in &new {
            let Some((weight, why)) = likeness(old, &told, tenant, telling, &common) else { continue };
            let id = identity::of_two(old.id, tenant);
            let is_two = world.recorded.approvals.iter().any(|approval| {
                approval.removals_id.as_ref() == Some(&id) && approval.expires_at > world.now
            });
            if !is_two {
                found.push(Pair { old, new: tenant.key.clone(), why, weight, id });
            }
        }
    }
    found
}

fn likeness(
    old: &TenantRecord,
    old_telling: &Telling,
    new: &Tenant,
    new_telling: &Telling,
    common: &Common,
) -> Option<(u8, &'static str)> {
    if folded(&old.name) == folded(&new.name) {
        return Some((3, "they have the same name"));
    }
    if common.share(old_telling, new_telling) >= ALIKE {
        return Some((2, "most lines of their files are the same"));
    }
    (old.instance == new.instance && keys_are_alike(old.key.as_str(), new.key.as_str()))
        .then_some((1, "their keys are alike"))
}

fn folded(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// `hooli` and `hooli-inc`, or a slip of the pen; but not `customer-17` and `customer-18`.
fn keys_are_alike(a: &str, b: &str) -> bool {
    let split = |key: &str| -> Vec<String> { key.split(['-', '_', '.']).map(str::to_owned).collect() };
    let (short, long) = if a.len() <= b.len() { (split(a), split(b)) } else { (split(b), split(a)) };
    if short.iter().any(|word| word.len() >= 3) && (long.starts_with(&short) || long.ends_with(&short)) {
        return true;
    }
    let letters = |key: &str| -> String { key.chars().filter(|c| !c.is_ascii_digit()).collect() };
    let (shorter, longer) = (a.len().min(b.len()), a.len().max(b.len()));
    shorter >= 5
        && shorter * 3 >= longer * 2
        && letters(a) != letters(b)
        && TextDiff::from_chars(a, b).ratio() >= ALIKE_KEYS
}

/// The lines of a definition that tell one tenant from another. Timeouts and limits are left out: most have the
/// defaults.
struct Telling(BTreeSet<String>);

impl Telling {
    fn of(tenant: &Tenant) -> Self {
        Self::lines(
            &tenant.name,
            tenant.domain.as_str(),
            &tenant.instance,
            &tenant.pbx_settings,
            &tenant.cross_tenant,
        )
    }

    fn of_record(record: &TenantRecord) -> Self {
        Self::lines(
            &record.name,
            record.domain.as_str(),
            &record.instance,
            &record.pbx_settings,
            &record.cross_tenant,
        )
    }

    fn lines(
        name: &str,
        domain: &str,
        instance: &InstanceKey,
        settings: &BTreeMap<SettingName, String>,
        sharing: &CrossTenant,
    ) -> Self {
        let mut lines: BTreeSet<String> =
            [format!("name: {name}"), format!("domain: {domain}"), format!("pbx_instance: {instance}")]
                .into();
        lines.extend(settings.iter().map(|(name, value)| format!("{name}: {value}")));
        for (kind, with) in sharing.kinds() {
            lines.extend(with.iter().map(|key| format!("{kind}: {key}")));
        }
        Self(lines)
    }
}

/// How many recorded tenants have a line. What most of the others have tells nothing.
struct Common {
    counts: BTreeMap<String, usize>,
    tenants: usize,
}

impl Common {
    fn of(world: World<'_>) -> Self {
        let mut counts = BTreeMap::new();
        for record in world.recorded.tenants.values() {
            for line in Telling::of_record(record).0 {
                *counts.entry(line).or_default() += 1;
            }
        }
        Self { counts, tenants: world.recorded.tenants.len() }
    }

    /// The share of the telling lines that two documents have in common. The first is a recorded one.
    fn share(&self, old: &Telling, new: &Telling) -> f32 {
        let others = self.tenants.saturating_sub(1);
        let tells = |line: &&String| {
            let have = self.counts.get(*line).copied().unwrap_or(0) - usize::from(old.0.contains(*line));
            2 * have <= others || others == 0
        };
        let (a, b) = (old.0.iter().filter(tells).count(), new.0.iter().filter(tells).count());
        let both = old.0.intersection(&new.0).filter(tells).count();
        #[allow(clippy::cast_precision_loss, reason = "a file has few lines")]
        if a + b == 0 { 0.0 } else { (2 * both) as f32 / (a + b) as f32 }
    }
}

/// A `previously:` that renames nothing in this pass, and why; a person who wrote it expects something else.
pub(super) fn without_effect(world: World<'_>, rekeyed: &Rekeyed, draft: &mut Draft) {
    for (key, tenant) in &world.desired.tenants {
        let Some(old) = &tenant.previously else { continue };
        if rekeyed.get(key) == Some(old) || *old == *key {
            continue;
        }
        let own = world.recorded.tenants.get(key);
        let record = world.recorded.tenants.get(old);
        let why = match (own, record) {
            (Some(_), Some(_)) => format!(
                "{key} is a tenant of its own already, so {old} cannot become it any more; to bring {old} back, put \
                 {old}.yaml back as it was and remove {key}.yaml in the same commit"
            ),
            (Some(_), None) => {
                format!("{key} has a record already, and there is none of {old}; delete the line")
            }
            (None, None) => format!("there is no record of {old}; correct the key, or delete the line"),
            (None, Some(_)) if world.desired.is_broken(old) => {
                format!("the file of {old} is still there, and is broken; delete it in the same commit")
            }
            (None, Some(_)) => match rekeyed.iter().find(|(_, of)| *of == old) {
                Some((heir, _)) => format!("{old} becomes {heir} already; delete the line in one of the two"),
                None => format!("the file of {old} is still there; delete it in the same commit"),
            },
        };
        draft.warnings.push(format!("{key}: `previously: {old}` has no effect: {why}"));
    }
}
