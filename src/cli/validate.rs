//! `tenantd validate`

use super::context::{Context, Result};
use super::exit::Exit;
use crate::config::Config;
use crate::load;
use crate::report::{FORMAT_VERSION, IgnoredJson, ProblemsJson, count};

/// Checks the configuration and every tenant file; all problems are shown at once.
pub fn run(context: &Context) -> Result<Exit> {
    let (config, mut problems) = match Config::load(&context.global.config) {
        Ok((config, warnings)) => (Some(config), warnings),
        Err(errors) => (None, errors.problems),
    };
    let mut tenants = 0;
    let mut ignored = Vec::new();
    if let Some(config) = &config {
        problems.extend(config.check_certificates());
        let loaded = load::directory(&config.tenants_dir, config);
        tenants = loaded.desired.tenants.len();
        problems.extend(loaded.problems);
        ignored = loaded.desired.ignored;
        ignored.retain(|file| !file.file.split('/').any(|part| part.starts_with('.')));
    }
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let warnings = problems.len() - errors;
    let valid = errors == 0;
    if context.is_json() {
        let ignored_files = ignored
            .iter()
            .map(|ignored| IgnoredJson { file: ignored.file.clone(), reason: ignored.reason })
            .collect();
        context.json(&ProblemsJson {
            format_version: FORMAT_VERSION,
            valid,
            tenants,
            problems: &problems,
            ignored_files,
        });
    } else {
        context.show_problems(&problems);
        for file in &ignored {
            eprintln!("note: {} is ignored: {}", file.file, file.reason);
        }
        context.say(&format!(
            "{}, {}, {}\n",
            count(tenants, "valid tenant"),
            count(errors, "error"),
            count(warnings, "warning")
        ));
    }
    Ok(if valid { Exit::Done } else { Exit::Error })
}
