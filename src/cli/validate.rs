//! `tenantd validate`

use super::context::{Context, Result};
use super::exit::Exit;
use crate::config::Config;
use crate::load;
use crate::report::{FORMAT_VERSION, ProblemsJson, count};

/// Checks the configuration and every tenant file; all problems are shown at once.
pub fn run(context: &Context) -> Result<Exit> {
    let (config, mut problems) = match Config::load(&context.global.config) {
        Ok((config, warnings)) => (Some(config), warnings),
        Err(errors) => (None, errors.problems),
    };
    let mut tenants = 0;
    if let Some(config) = &config {
        let loaded = load::directory(&config.tenants_dir, config);
        tenants = loaded.desired.tenants.len();
        problems.extend(loaded.problems);
    }
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let warnings = problems.len() - errors;
    let valid = errors == 0;
    if context.is_json() {
        context.json(&ProblemsJson { format_version: FORMAT_VERSION, valid, tenants, problems: &problems });
    } else {
        context.show_problems(&problems);
        context.say(&format!(
            "{}, {}, {}\n",
            count(tenants, "valid tenant"),
            count(errors, "error"),
            count(warnings, "warning")
        ));
    }
    Ok(if valid { Exit::Done } else { Exit::Error })
}
