//! `tenantd.yaml` from its text to a [`Config`], with all its problems together.

use super::keys;
use super::paths::file_path;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{AllowedSharing, CommitRules, Config, Tier, database, instances, mask, rules};
use crate::yaml::{self, Field, Fields, Finding, Limits, Problem, Reader, Source};

/// Why a configuration cannot be used: every problem of the file, warnings among them.
#[derive(Clone, Debug)]
pub struct ConfigErrors {
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let lead = if index == 0 { "" } else { "\n" };
            write!(f, "{lead}{}", problem.render(false))?;
        }
        Ok(())
    }
}

impl Config {
    /// Reads a configuration file. Relative paths in it are relative to its directory.
    ///
    /// Secrets are not checked: a merge request's check has none. See [`Config::check_secrets`].
    ///
    /// # Errors
    /// The file cannot be read, or has errors; the problems hold its warnings too. No text of a secret is in them.
    pub fn load(path: &Path) -> Result<(Self, Vec<Problem>), ConfigErrors> {
        let shown = path.to_string_lossy();
        let unreadable = |error: std::io::Error| {
            let finding = Finding::error(None, format!("the configuration cannot be read ({error})"))
                .expected("tenantd's configuration file")
                .help(
                    "name it with `--config` or `TENANTD_CONFIG`, or write a first one with `tenantd init` \
                     (`tenantd sandbox` needs none)",
                );
            ConfigErrors { problems: vec![Problem::of_file(shown.clone(), finding)] }
        };
        let absolute = std::path::absolute(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        let limit = Limits::CONFIG.bytes as u64 + 1;
        let file = File::open(&absolute).map_err(unreadable)?;
        file.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
        Self::parse(&absolute, &shown, &bytes)
    }

    /// Reads a configuration from memory. `path` says where relative paths start and `shown` how messages name the
    /// file.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, shown: &str, bytes: &[u8]) -> Result<(Self, Vec<Problem>), ConfigErrors> {
        let mut source = Source::decode(shown, bytes, Limits::CONFIG.bytes).map_err(|mut problems| {
            // A line that is not UTF-8 may still hold a secret.
            problems.iter_mut().for_each(|problem| problem.excerpt = None);
            ConfigErrors { problems }
        })?;
        let parsed = yaml::parse(&source, Limits::CONFIG);
        mask::hide_secrets(&mut source, &parsed);
        let mut reader = Reader { findings: parsed.findings, discreet: true };
        let syntax = parsed.root.is_none() && !reader.findings.is_empty();
        let mut config = None;
        if !syntax
            && let Some(fields) = reader.root(
                parsed.root.as_ref(),
                "tenantd's configuration",
                &keys::ROOT,
                "database_url: sqlite:///var/lib/tenantd/tenantd.db",
            )
        {
            config = read(&mut reader, &fields, path);
        }
        let problems = source.locate_all(reader.findings);
        match config {
            Some(config) if !problems.iter().any(Problem::is_error) => Ok((config, problems)),
            _ => Err(ConfigErrors { problems }),
        }
    }
}

fn read(reader: &mut Reader, fields: &Fields<'_>, path: &Path) -> Option<Config> {
    let base = path.parent().unwrap_or(Path::new(""));
    let database = database::read(reader, fields, base);
    let tenants_dir = fields
        .require(reader, "tenants_dir", "tenants_dir: tenants.d")
        .and_then(|field| file_path(reader, &field, base));
    let tier = match fields.get("tier") {
        Some(field) => tier(reader, &field),
        None => Tier {
            name: "unspecified".into(),
            max_users_per_tenant: None,
            max_pbx_instances: None,
            max_tenants: None,
        },
    };
    let instances = fields
        .require(reader, "pbx_instances", "pbx_instances: {hq: {url: …, username: …, password: …}}")
        .map(|field| instances::read(reader, &field, base, &tier));
    let defaults = fields.get("defaults").map(|field| rules::defaults(reader, &field, &tier));
    let deletion = fields.get("deletion").map(|field| rules::deletion(reader, &field));
    let limits = fields.get("limits").map(|field| rules::limits(reader, &field));
    let daemon = fields.get("daemon").map(|field| rules::daemon(reader, &field));
    let cross_tenant = fields.get("cross_tenant").map(|field| sharing(reader, &field));
    let archive_dir = fields.get("archive").and_then(|field| archive_dir(reader, &field, base));
    let git = fields.get("git").and_then(|field| commit_rules(reader, &field, base));
    let database = database?;
    let archive_dir = archive_dir.unwrap_or_else(|| match &database {
        super::DatabaseConfig::Sqlite { path } => path.with_file_name("archive"),
        super::DatabaseConfig::Postgres { .. } => PathBuf::from("/var/lib/tenantd/archive"),
    });
    Some(Config {
        path: path.to_owned(),
        database,
        tenants_dir: tenants_dir?,
        instances: instances?,
        defaults: defaults.unwrap_or_default(),
        tier,
        deletion: deletion.unwrap_or_default(),
        limits: limits.unwrap_or_default(),
        daemon: daemon.unwrap_or_default(),
        cross_tenant: cross_tenant.unwrap_or_default(),
        archive_dir,
        git,
    })
}

fn commit_rules(reader: &mut Reader, field: &Field<'_>, base: &Path) -> Option<CommitRules> {
    let fields = reader.mapping(field, "which commits are believed", &["branch", "allowed_signers"])?;
    let branch = fields.get("branch").and_then(|field| {
        let text = reader.text(&field, "the name of a branch")?;
        reader.visible(text, &field.path, &[]).then(|| text.text.to_owned())
    });
    let allowed_signers = fields.get("allowed_signers").and_then(|field| file_path(reader, &field, base));
    if branch.is_none() && allowed_signers.is_none() {
        reader.report(
            Finding::error(field.key_span, "`git` is empty")
                .expected("`branch`, `allowed_signers` or both")
                .help("write for example `git: { branch: main }`, or delete the key"),
        );
    }
    Some(CommitRules { branch, allowed_signers })
}

fn archive_dir(reader: &mut Reader, field: &Field<'_>, base: &Path) -> Option<PathBuf> {
    let fields = reader.mapping(field, "where archives are kept", &["dir"])?;
    let field = fields.require(reader, "dir", "dir: /var/lib/tenantd/archive")?;
    file_path(reader, &field, base)
}

fn tier(reader: &mut Reader, field: &Field<'_>) -> Tier {
    const KEYS: [&str; 4] = ["name", "max_users_per_tenant", "max_pbx_instances", "max_tenants"];
    let mut tier = Tier {
        name: "unspecified".into(),
        max_users_per_tenant: None,
        max_pbx_instances: None,
        max_tenants: None,
    };
    let Some(fields) = reader.mapping(field, "what the licence allows", &KEYS) else { return tier };
    if let Some(field) = fields.get("name")
        && let Some(text) = reader.text(&field, "the tier's name")
        && reader.visible(text, &field.path, &[])
    {
        tier.name = text.text.to_owned();
    }
    let mut number =
        |key: &str, unit: &str| fields.get(key).and_then(|field| reader.number(&field, 1..=1_000_000, unit));
    tier.max_users_per_tenant = number("max_users_per_tenant", "users");
    tier.max_pbx_instances = number("max_pbx_instances", "instances");
    tier.max_tenants = number("max_tenants", "tenants");
    tier
}

fn sharing(reader: &mut Reader, field: &Field<'_>) -> AllowedSharing {
    let mut allowed = AllowedSharing::default();
    let Some(fields) = reader.mapping(field, "what tenants may share", &["allow"]) else { return allowed };
    let Some(field) = fields.require(reader, "allow", "allow: [presence]") else { return allowed };
    for text in reader.texts(&field, "a list of `presence`, `contacts`, `chat`", "a kind of sharing") {
        match text.text {
            "presence" => allowed.presence = true,
            "contacts" => allowed.contacts = true,
            "chat" => allowed.chat = true,
            other => {
                let near = yaml::nearest(other, ["presence", "contacts", "chat"]);
                let help =
                    near.map_or("delete the item".to_owned(), |near| format!("did you mean `{near}`?"));
                reader.report(
                    Finding::error(text.span, format!("unknown kind of sharing {}", yaml::quoted(other)))
                        .expected("`presence`, `contacts` or `chat`")
                        .help(help),
                );
            }
        }
    }
    allowed
}
