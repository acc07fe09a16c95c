//! What the sandbox says: where things are, what to try, and at its end.

use std::path::Path;

use crate::config::Config;
use crate::model::{Definition, Desired, Tenant};
use crate::plan::Plan;

/// How the program is called here: through cargo it is not on the path.
pub fn program() -> &'static str {
    if std::env::var_os("CARGO").is_some() { "cargo run --quiet --" } else { "tenantd" }
}

/// The first plan in one line: a page of new files says nothing.
pub fn first_plan(plan: &Plan) -> String {
    let mut by_action: std::collections::BTreeMap<_, Vec<&str>> = Default::default();
    for step in &plan.steps {
        by_action.entry(step.action).or_default().push(step.tenant.as_str());
    }
    let mut text = String::new();
    for (action, keys) in by_action {
        text.push_str(&format!("{} to {action}: {}\n", keys.len(), shortened(&keys)));
    }
    text
}

fn shortened(keys: &[&str]) -> String {
    const MOST: usize = 8;
    let more = keys.len().saturating_sub(MOST);
    let shown = keys.iter().take(MOST).copied().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// The tour. Each line can be typed as it stands, in another terminal.
pub fn try_this(config: &Config, desired: &Desired, first_instance: &str) -> String {
    let tenantd = program();
    let dir = config.tenants_dir.display();
    let place = config.path.parent().unwrap_or(Path::new("/")).display();
    let mut text = format!(
        "\nWatching {dir}. Try this in another terminal{}, and look here:\n\n  export TENANTD_CONFIG={}\n",
        if tenantd == "tenantd" { "" } else { ", in this directory" },
        config.path.display()
    );
    let chosen =
        desired.tenants.values().find(|tenant| tenant.definition.enabled && !tenant.definition.protected);
    if let Some(Tenant { key, definition: Definition { name, .. }, .. }) = chosen {
        let file = format!("'{dir}/{key}.yaml'");
        let aside = format!("'{place}/{key}.aside'");
        let new = if name.ends_with(" & Sons") { name.clone() } else { format!("{name} \\& Sons") };
        for (number, (what, line)) in [
            ("change a name", format!("sed -i 's/^name: .*/name: {new}/' {file}")),
            ("break the file: no tenant is disabled or deleted", format!("echo '  - [' >> {file}")),
            ("mend it", format!("sed -i '$d' {file}")),
            ("change it on the PBX", format!("{tenantd} sandbox poke {key}")),
            (
                "take over a domain that is not managed",
                format!("{tenantd} import --instance {first_instance}"),
            ),
            ("see its users", format!("{tenantd} stats")),
            ("remove the file: the tenant is disabled, not deleted", format!("mv {file} {aside}")),
            ("a month later", format!("{tenantd} sandbox fast-forward 31d")),
            (
                "its retention has ended: delete it",
                format!("{tenantd} approve --tenant {key} && {tenantd} apply --yes"),
            ),
            (
                "restore its data and its file",
                format!("{tenantd} restore '{place}'/archive/{key}-*.tar.gz; mv {aside} {file}"),
            ),
            ("see the state of all tenants", format!("{tenantd} status")),
        ]
        .into_iter()
        .enumerate()
        {
            text.push_str(&format!("  {:>2}. {what}\n      {line}\n", number + 1));
        }
    }
    text.push_str("\nCtrl-C ends the sandbox.\n");
    text
}

/// At the end.
pub fn farewell(config: &Config, own_examples: bool) -> String {
    let files = if own_examples {
        "Its tenant files (examples or copies) were deleted with it.".to_owned()
    } else {
        format!("The files in {} were kept.", config.tenants_dir.display())
    };
    format!(
        "\nThe sandbox has ended, and with it its database and its PBXs. {files}\nFor real: {} init\n",
        program()
    )
}
