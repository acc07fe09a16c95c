//! The plan as an operator reads it: a unified diff of each tenant's canonical YAML, with heading, reason and a closing
//! count.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use similar::TextDiff;

use super::text::{Paint, count};
use crate::environment::to_the_minute;
use crate::model::{SettingName, TenantDocument, TenantKey};
use crate::plan::{Action, Counts, FieldChange, Held, Plan, Preview, Step};
use crate::yaml::to_yaml;

/// The whole plan.
pub fn plan(plan: &Plan, paint: Paint) -> String {
    let mut text = String::new();
    for steps in plan.steps.chunk_by(|a, b| a.tenant == b.tenant) {
        for step in steps {
            let _ = writeln!(text, "{}", heading(step, paint));
            for effect in plan.effects_of_step(step) {
                let _ = writeln!(text, "  {} {effect}", paint.warning("warning:"));
            }
        }
        if let Some(first) = steps.first() {
            text.push_str(&tenant_diff(&first.tenant, plan, paint));
        }
        text.push('\n');
    }
    // Many tenants that are held for one reason are one line.
    let mut groups: BTreeMap<_, Vec<&Held>> = BTreeMap::new();
    for held in &plan.held {
        let Held { tenant: _, instance: _, action, reason, lifted_by, out_of_service } = held;
        groups.entry((reason, action, out_of_service, lifted_by)).or_default().push(held);
    }
    for ((_, action, _, lifted_by), tenants) in groups {
        let reason = tenants[0].why();
        let _ = writeln!(
            text,
            "{} {action} {} — {reason}",
            paint.warning("held"),
            paint.strong(&tenants_of(&tenants))
        );
        if let Some(lifted_by) = lifted_by {
            let _ = writeln!(text, "     to go ahead: {}", paint.strong(lifted_by));
        }
        text.push_str(&effects_of_held(plan, &tenants, paint));
    }
    for drifted in &plan.drifted {
        let _ = writeln!(
            text,
            "{} {} on {}: {} (drift: report)",
            paint.warning("drift"),
            drifted.tenant,
            drifted.instance,
            change_text(&drifted.change)
        );
    }
    for scheduled in &plan.scheduled {
        let _ = writeln!(
            text,
            "{} {} on {}: {} {} — {}",
            paint.dim("scheduled"),
            scheduled.tenant,
            scheduled.instance,
            scheduled.what(""),
            to_the_minute(scheduled.until),
            scheduled.reason
        );
    }
    for warning in plan.warnings.iter().filter(|warning| !warning.starts_with("held: ")) {
        let _ = writeln!(text, "{} {warning}", paint.warning("warning:"));
    }
    let _ = writeln!(text, "{}", closing(plan, paint));
    text
}

/// What held steps mean for people: of the first few, as a thousand may be held for one reason.
fn effects_of_held(plan: &Plan, tenants: &[&Held], paint: Paint) -> String {
    let mut text = String::new();
    let with_effects: Vec<_> = tenants
        .iter()
        .map(|held| (held, plan.effects_of(&held.tenant, &held.instance, held.action)))
        .filter(|(_, effects)| !effects.is_empty())
        .collect();
    for (held, effects) in with_effects.iter().take(SHOWN) {
        for effect in *effects {
            let _ = writeln!(text, "     {} {}: {effect}", paint.warning("warning:"), held.tenant);
        }
    }
    if with_effects.len() > SHOWN {
        let more = count(with_effects.len() - SHOWN, "more tenant");
        let _ =
            writeln!(text, "     {} the same for {more}; see `tenantd show KEY`", paint.warning("warning:"));
    }
    text
}

/// How many of many are named.
const SHOWN: usize = 5;

/// `acme on hq, globex on hq`; of many, `200 tenants, 5 shown: acme on hq, …`.
fn tenants_of(held: &[&Held]) -> String {
    let named = |held: &[&Held]| {
        held.iter().map(|held| format!("{} on {}", held.tenant, held.instance)).collect::<Vec<_>>().join(", ")
    };
    // Two more are named as soon as counted.
    if held.len() <= SHOWN + 2 {
        return named(held);
    }
    format!("{}, {SHOWN} shown: {}", count(held.len(), "tenant"), named(&held[..SHOWN]))
}

fn heading(step: &Step, paint: Paint) -> String {
    format!(
        "{} {} on {} — {}",
        paint.action(step.action),
        paint.strong(step.tenant.as_str()),
        step.instance,
        step.reason
    )
}

/// One field's change as a short phrase: `max_users: 50 → 60`.
pub(super) fn change_text(change: &FieldChange) -> String {
    let shown = |value: &Option<String>| match value {
        None => "nothing".to_owned(),
        Some(value) => crate::apply::redact(&change.field, value.clone()),
    };
    format!("{}: {} → {}", change.field, shown(&change.before), shown(&change.after))
}

/// The unified diff of one tenant's definition.
pub fn tenant_diff(key: &TenantKey, plan: &Plan, paint: Paint) -> String {
    let Some(Preview { before, after }) = plan.previews.get(key) else { return String::new() };
    let (before, after) = without_secrets(before.as_ref(), after.as_ref());
    let text = |document: Option<&TenantDocument>| document.map(to_yaml).unwrap_or_default();
    let (old, new) = (text(before.as_ref()), text(after.as_ref()));
    if old == new {
        return fields_only(key, plan);
    }
    let diff = TextDiff::from_lines(&old, &new);
    let name = |there: bool| if there { format!("{key}.yaml") } else { "/dev/null".to_owned() };
    let unified = diff
        .unified_diff()
        .context_radius(3)
        .header(&name(before.is_some()), &name(after.is_some()))
        .to_string();
    let mut out = String::new();
    for line in unified.lines() {
        let painted = match line.as_bytes().first() {
            Some(b'+') => paint.added(line),
            Some(b'-') => paint.removed(line),
            Some(b'@') => paint.dim(line),
            _ => line.to_owned(),
        };
        let _ = writeln!(out, "  {painted}");
    }
    out
}

/// Changes that do not stand in the definition: another key, the web sign-in block, a domain that is created again.
fn fields_only(key: &TenantKey, plan: &Plan) -> String {
    let mut out = String::new();
    for change in plan.steps.iter().filter(|step| step.tenant == *key).flat_map(|step| &step.changes) {
        let _ = writeln!(out, "  {}", change_text(change));
    }
    out
}

/// Settings that are secrets by their name show only whether they change.
fn without_secrets(
    before: Option<&TenantDocument>,
    after: Option<&TenantDocument>,
) -> (Option<TenantDocument>, Option<TenantDocument>) {
    let (mut before, mut after) = (before.cloned(), after.cloned());
    let names: std::collections::BTreeSet<String> = [&before, &after]
        .into_iter()
        .flatten()
        .flat_map(|document| document.pbx_settings.keys().cloned())
        .filter(|name| SettingName::parse(name).is_ok_and(|name| name.is_secret()))
        .collect();
    for name in names {
        let value = |document: &Option<TenantDocument>| {
            document.as_ref().and_then(|document| document.pbx_settings.get(&name).cloned())
        };
        let same = value(&before) == value(&after);
        for (document, word) in [(&mut before, "(secret)"), (&mut after, "(another secret)")] {
            if let Some(shown) = document.as_mut().and_then(|document| document.pbx_settings.get_mut(&name)) {
                *shown = if same { "(secret)" } else { word }.to_owned();
            }
        }
    }
    (before, after)
}

/// `1 to create, 2 to update`
pub fn summary(plan: &Plan) -> String {
    let counted: Vec<String> = Action::ALL
        .into_iter()
        .filter_map(|action| {
            let count = match action {
                // A new key and a new domain of one tenant are one rename.
                Action::Rename => {
                    let renamed = plan.steps.iter().filter(|step| step.action == action);
                    renamed.map(|step| &step.tenant).collect::<BTreeSet<_>>().len()
                }
                _ => plan.count(action),
            };
            (count > 0).then(|| format!("{count} to {action}"))
        })
        .collect();
    if counted.is_empty() { "nothing to do".to_owned() } else { counted.join(", ") }
}

/// `Plan p-…: 1 to create, 2 to update; 1 held; 12 unchanged; 3 domains not managed.`
fn closing(plan: &Plan, paint: Paint) -> String {
    // Where an instance could not be checked, "nothing to do" would be a guess.
    let nothing_seen = plan.steps.is_empty() && !plan.not_checked.is_empty();
    let mut parts = vec![if nothing_seen { "nothing can be done".to_owned() } else { summary(plan) }];
    let mut also = |number: usize, what: &str| {
        if number > 0 {
            parts.push(format!("{number} {what}"));
        }
    };
    also(plan.held.len(), "held");
    also(plan.drifted.len(), "drifted");
    also(plan.scheduled.len(), "scheduled");
    also(plan.counts.unchanged, "unchanged");
    let mut also = |number: usize, noun: &str, more: &str| {
        if number > 0 {
            parts.push(format!("{}{more}", count(number, noun)));
        }
    };
    also(plan.counts.not_checked, "tenant", " not checked");
    also(plan.counts.foreign_domains, "domain", " not managed");
    also(plan.counts.broken_files, "broken file", "");
    // Those of this run: where it is for some tenants, the others' instances were not asked for.
    also(plan.not_checked.len(), "instance", " not checked");
    format!("{} {}.", paint.strong(&format!("Plan {}:", plan.id)), parts.join("; "))
}

/// `Settings compared: 40 of 10,000 tenants; oldest comparison 2026-11-27 15:02 UTC; --full compares all.` Nothing
/// where all were compared.
pub fn settings_compared(plan: &Plan) -> String {
    let Counts { settings_compared, settings_not_compared, oldest_comparison, .. } = &plan.counts;
    if *settings_not_compared == 0 {
        return String::new();
    }
    let oldest = match oldest_comparison {
        Some(at) => format!("oldest comparison {}", to_the_minute(*at)),
        None => "some were never compared".to_owned(),
    };
    let all = count(settings_compared + settings_not_compared, "tenant");
    format!("Settings compared: {settings_compared} of {all}; {oldest}; --full compares all.\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InstanceKey;
    use crate::plan::HeldReason;

    #[test]
    fn many_tenants_that_are_held_have_a_short_heading() {
        let held = |number: usize| Held {
            tenant: TenantKey::parse(&format!("c{number:03}")).unwrap(),
            instance: InstanceKey::parse("hq").unwrap(),
            action: Action::Rename,
            reason: HeldReason::NoRemovals,
            lifted_by: None,
            out_of_service: None,
        };
        let all: Vec<Held> = (1..=200).map(held).collect();
        let named = |of: &[Held]| tenants_of(&of.iter().collect::<Vec<_>>());
        assert_eq!(
            named(&all),
            "200 tenants, 5 shown: c001 on hq, c002 on hq, c003 on hq, c004 on hq, c005 on hq"
        );
        assert_eq!(named(&all[..2]), "c001 on hq, c002 on hq");
        assert_eq!(named(&all[..7]).matches(" on hq").count(), 7);
    }
}
