//! What reads the inputs, and the rules that hold whatever they are.

use std::path::Path;
use std::time::{Duration, Instant};

use tenantd::config::Config;
use tenantd::daemon::pass_requests::PassAnswer;
use tenantd::fusionpbx::fuzzing::PAGES;
use tenantd::load::{self, Snapshot};
use tenantd::model::{DomainName, InstanceKey, SettingName, TenantKey};
use tenantd::yaml::Problem;

use crate::SLOW;
use crate::corpus::CONFIG;

/// The most bytes that all messages about one input may have together.
const MAX_MESSAGE_BYTES: usize = 512 << 10;

fn config() -> &'static Config {
    static CONFIG_READ: std::sync::LazyLock<Config> = std::sync::LazyLock::new(|| {
        Config::parse(Path::new("/etc/tenantd/tenantd.yaml"), "tenantd.yaml", CONFIG.as_bytes()).unwrap().0
    });
    &CONFIG_READ
}

fn rule(holds: bool, rule: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule()) }
}

/// What people read about it: bounded, and nothing in it moves a terminal's cursor.
fn readable(problems: &[Problem]) -> Result<(), String> {
    let mut length = 0;
    for problem in problems {
        let text = problem.render(false) + &problem.to_string();
        length += text.len();
        let control = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        rule(control.is_none(), || format!("a message holds {control:?}: {text:?}"))?;
    }
    rule(length <= MAX_MESSAGE_BYTES, || format!("the messages about it have {length} bytes"))
}

fn located(problems: &[Problem], input: &[u8]) -> Result<(), String> {
    let errors = || problems.iter().filter(|problem| problem.is_error());
    rule(errors().next().is_some(), || "an error without a problem".to_owned())?;
    // An input without a line to point at is named as a whole.
    let has_lines = std::str::from_utf8(input).is_ok_and(|text| !text.trim().is_empty());
    let has_place = errors().any(|problem| problem.position.is_some());
    rule(has_place || !has_lines, || format!("no error has a place: {problems:#?}"))
}

pub fn tenant_file(input: &[u8]) -> Result<(), String> {
    let other = b"name: Globex\ndomain: globex.example.com\npbx_instance: hq\n".to_vec();
    let files = [("acme.yaml", input.to_vec()), ("globex.yaml", other)];
    let loaded = load::parse(&Snapshot::from_files("tenants.d", files), config());
    readable(&loaded.problems)?;
    let desired = &loaded.desired;
    rule(desired.tenants.len() + desired.broken.len() == 2, || {
        format!("a file is lost or doubled: {desired:#?}")
    })?;
    if desired.broken.iter().any(|broken| broken.file == "acme.yaml") {
        return located(&loaded.problems, input);
    }
    let acme = desired.tenants.iter().find(|(key, _)| key.as_str() == "acme");
    let (_, acme) = acme.ok_or("neither a tenant nor broken")?;
    rule(!acme.definition.name.trim().is_empty(), || "a tenant without a name".to_owned())?;
    rule((1..=10_080).contains(&acme.definition.session_timeout), || {
        format!("{} minutes", acme.definition.session_timeout)
    })?;
    rule(config().instances.contains_key(&acme.definition.instance), || {
        format!("on {}", acme.definition.instance)
    })?;
    let again = DomainName::parse(acme.definition.domain.as_str());
    rule(again.as_ref() == Ok(&acme.definition.domain), || {
        format!("{} is read again as {again:?}", acme.definition.domain)
    })
}

pub fn configuration(input: &[u8]) -> Result<(), String> {
    match Config::parse(Path::new("/etc/tenantd/tenantd.yaml"), "tenantd.yaml", input) {
        Err(errors) => {
            readable(&errors.problems)?;
            located(&errors.problems, input)
        }
        Ok((config, warnings)) => {
            readable(&warnings)?;
            rule(!config.instances.is_empty(), || "no instance".to_owned())?;
            for instance in config.instances.values() {
                let fits = (1..=16).contains(&instance.sessions)
                    && (1..=1000).contains(&instance.max_requests_per_second)
                    && instance.timeout >= Duration::from_secs(1)
                    && instance.url.password().is_none()
                    && matches!(instance.url.scheme(), "http" | "https");
                rule(fits, || format!("{instance:?}"))?;
            }
            let limits = [&config.limits.removals, &config.limits.disables];
            rule(limits.iter().all(|limit| limit.percent <= 100), || format!("{limits:?}"))?;
            rule(config.deletion.retention_days <= 3650, || format!("{:?}", config.deletion))?;
            rule(config.daemon.interval >= Duration::from_secs(5), || format!("{:?}", config.daemon))
        }
    }
}

pub fn pbx_pages(input: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(input);
    let mut read = 0;
    for could_be in PAGES {
        let timed = || {
            let started = Instant::now();
            (could_be(&text), started.elapsed())
        };
        let (is_read, took) = timed();
        read += usize::from(is_read);
        // Once more: someone else may have had the processor.
        rule(took <= SLOW || timed().1 <= SLOW, || format!("one reading of it took {took:?}"))?;
    }
    // A page and what may stand in its place; never everything at once.
    rule(read <= 9, || format!("it could be {read} pages at once"))
}

/// The words of plans, approvals and answers: what is read is read the same again.
pub fn plan_words(input: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(input);
    for line in std::iter::once(&*text).chain(text.lines()) {
        if let Ok(key) = TenantKey::parse(line) {
            rule(TenantKey::parse(key.as_str()).as_ref() == Ok(&key), || format!("the key {key}"))?;
            rule(!key.as_str().contains(['/', '\\', '\0']), || format!("the key {key} is a path"))?;
        }
        if let Ok(key) = InstanceKey::parse(line) {
            rule(InstanceKey::parse(&key.to_string()).as_ref() == Ok(&key), || {
                format!("the instance {key}")
            })?;
        }
        if let Ok(domain) = DomainName::parse(line) {
            rule(DomainName::parse(domain.as_str()).as_ref() == Ok(&domain), || {
                format!("the domain {domain}")
            })?;
            rule(domain.as_str().is_ascii() && domain.as_str().len() <= 253, || {
                format!("the domain {domain}")
            })?;
        }
        if let Ok(name) = SettingName::parse(line) {
            rule(SettingName::parse(&name.to_string()).as_ref() == Ok(&name), || {
                format!("the setting {name}")
            })?;
        }
        if let Ok(answer) = serde_json::from_str::<PassAnswer>(line) {
            let again = serde_json::to_string(&answer).map_err(|error| error.to_string())?;
            rule(serde_json::from_str::<PassAnswer>(&again).is_ok(), || format!("the answer {again}"))?;
        }
    }
    Ok(())
}
