//! How much a removed and a new tenant look alike.

use std::collections::{BTreeMap, BTreeSet};

use similar::TextDiff;

use super::Inputs;
use super::reason::Likeness;
use crate::model::{Definition, SmsNumber, Tenant, TenantDocument, TenantRecord};

/// From which share of equal lines on two documents are one document renamed; git's own measure.
const ALIKE: f32 = 0.6;
/// The same of two keys' letters.
const ALIKE_KEYS: f32 = 0.8;

/// In what the two are alike. `alone`: no other tenant comes or continues their instance, so that
/// even lines that many tenants have tell something.
pub(super) fn likeness(
    inputs: Inputs<'_>,
    (old, old_features): (&TenantRecord, &Features),
    (new, new_features): (&Tenant, &Features),
    common: &Common,
    alone: bool,
) -> Option<Likeness> {
    let (old_name, new_name) = (folded(&old.definition.name), folded(&new.definition.name));
    let same_instance = old.definition.instance == new.definition.instance;
    if old_name == new_name {
        return Some(Likeness::Names);
    }
    if same_instance && (contains(&old_name, &new_name) || contains(&new_name, &old_name)) {
        return Some(Likeness::NameContainsTheOther);
    }
    if common.share(old_features, new_features) >= ALIKE {
        return Some(Likeness::Lines);
    }
    if alone && same_lines(inputs, old, new) >= ALIKE {
        return Some(Likeness::LinesWhereNoOther);
    }
    (same_instance && keys_are_alike(old.key.as_str(), new.key.as_str())).then_some(Likeness::Keys)
}

/// `Hooli Inc` contains `Hooli`, and `Hoolihan` does not.
fn contains(long: &str, short: &str) -> bool {
    let split = |name: &str| -> Vec<String> {
        let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    };
    let (long, short) = (split(long), split(short));
    // `A 1` would be in half of all names.
    let tells = short.iter().any(|word| word.chars().filter(|c| c.is_alphabetic()).count() >= 2);
    tells && long.windows(short.len()).any(|run| run == short)
}

/// The share of equal lines of the two whole files, defaults written out.
fn same_lines(inputs: Inputs<'_>, old: &TenantRecord, new: &Tenant) -> f32 {
    let after = TenantDocument::from(new);
    let recorded = || -> Vec<String> {
        let numbers = inputs.recorded.sms_numbers.get(&old.id);
        numbers.into_iter().flatten().map(SmsNumber::to_string).collect()
    };
    let before = TenantDocument {
        sms_numbers: after.sms_numbers.as_ref().map(|_| recorded()),
        ..(&old.definition).into()
    };
    TextDiff::from_lines(crate::yaml::to_yaml(&before), crate::yaml::to_yaml(&after)).ratio()
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
pub(super) struct Features(BTreeSet<String>);

impl Features {
    pub(super) fn of(definition: &Definition) -> Self {
        let Definition { name, domain, instance, pbx_settings, cross_tenant, .. } = definition;
        let mut lines: BTreeSet<String> =
            [format!("name: {name}"), format!("domain: {domain}"), format!("pbx_instance: {instance}")]
                .into();
        lines.extend(pbx_settings.iter().map(|(name, value)| format!("{name}: {value}")));
        for (kind, with) in cross_tenant.kinds() {
            lines.extend(with.iter().map(|key| format!("{kind}: {key}")));
        }
        Self(lines)
    }
}

/// How many recorded tenants have a line. What most of the others have tells nothing.
pub(super) struct Common {
    counts: BTreeMap<String, usize>,
    tenants: usize,
}

impl Common {
    pub(super) fn of(inputs: Inputs<'_>) -> Self {
        let mut counts = BTreeMap::new();
        for record in inputs.recorded.tenants.values() {
            for line in Features::of(&record.definition).0 {
                *counts.entry(line).or_default() += 1;
            }
        }
        Self { counts, tenants: inputs.recorded.tenants.len() }
    }

    /// The share of the telling lines that two documents have in common. The first is a recorded one.
    fn share(&self, old: &Features, new: &Features) -> f32 {
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
