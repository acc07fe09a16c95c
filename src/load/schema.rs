//! One tenant's file: from its text to a [`Tenant`], with every problem of the file.

use std::collections::{BTreeMap, BTreeSet};

use super::file::Content;
use super::{advice, settings};
use crate::config::Config;
use crate::model::{
    CrossTenant, Definition, DomainError, DomainName, DriftPolicy, InstanceKey, MaxUsers,
    SESSION_TIMEOUT_MINUTES, SmsNumber, Tenant, TenantKey,
};
use crate::yaml::{
    self, Field, Fields, Finding, Limits, Problem, Reader, Severity, Source, Span, Text, Value, nearest,
    quoted,
};

/// The keys of a tenant's file, in the order of the manual.
pub const KEYS: [&str; 14] = [
    "name",
    "domain",
    "pbx_instance",
    "enabled",
    "session_timeout",
    "max_users",
    "protected",
    "pbx_settings",
    "cross_tenant",
    "previously",
    "drift",
    "sms_numbers",
    "adopt",
    "accept",
];

/// The longest display name, in characters. FusionPBX's `domain_description` has no limit of its own.
const MAX_NAME_CHARS: usize = 255;
/// The most users that can be written as a number; more is surely a slip, and there is `unlimited`.
const MAX_USERS: u32 = 1_000_000;

/// What one file says, before it is compared with the others.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub file: String,
    /// None where the name is too long to be a key.
    pub key: Option<TenantKey>,
    /// None where the bytes are no text.
    pub source: Option<Source>,
    pub findings: Vec<Finding>,
    /// Problems that stand before the text could be read at all.
    pub problems: Vec<Problem>,
    pub name: Option<(String, Span)>,
    pub domain: Option<(DomainName, Span)>,
    pub previously: Option<(TenantKey, Span)>,
    pub shares: Vec<(&'static str, TenantKey, Span)>,
    pub sms_numbers: Vec<(SmsNumber, Span)>,
    pub accept: BTreeSet<String>,
    /// Complete when every required field could be read; only used when there is no error.
    pub tenant: Option<Tenant>,
}

impl Draft {
    /// Reads a file; `shown` is its name in messages.
    pub(super) fn read(file: &str, shown: &str, content: &Content, config: &Config) -> Self {
        let key = TenantKey::parse(super::names::stem(file)).ok();
        let mut draft = Self {
            file: file.to_owned(),
            source: None,
            findings: Vec::new(),
            problems: Vec::new(),
            name: None,
            domain: None,
            previously: None,
            shares: Vec::new(),
            sms_numbers: Vec::new(),
            accept: BTreeSet::new(),
            tenant: None,
            key,
        };
        let bytes = match content {
            Content::Bytes(bytes) => bytes,
            Content::Unreadable(reason) => {
                let finding = Finding::error(None, format!("it {reason}"))
                    .expected("a regular file that tenantd may read")
                    .help("correct it; until then, its tenant is not changed, and no tenant is disabled or deleted");
                draft.problems.push(Problem::of_file(shown, finding));
                return draft;
            }
        };
        if draft.key.is_none() {
            let finding =
                Finding::error(None, format!("its name is longer than {} characters", TenantKey::MAX_CHARS))
                    .expected("a short key")
                    .help("rename the file");
            draft.problems.push(Problem::of_file(shown, finding));
        }
        match Source::decode(shown, bytes, Limits::TENANT.bytes) {
            Ok(mut source) => {
                super::mask::hide_secrets(&mut source);
                let parsed = yaml::parse(&source, Limits::TENANT);
                draft.findings = parsed.findings;
                let failed = parsed.root.is_none() && !draft.findings.is_empty();
                if !failed {
                    draft.schema(parsed.root.as_ref(), config, &mut source);
                }
                draft.source = Some(source);
            }
            Err(problems) => draft.problems.extend(problems),
        }
        draft
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.problems.is_empty() || self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    fn schema(&mut self, root: Option<&yaml::Node>, config: &Config, source: &mut Source) {
        let mut reader = Reader::default();
        if let Some(fields) = reader.root(root, "a tenant's file", &KEYS, "name: Acme Corp") {
            self.tenant = self.fields(&mut reader, &fields, config, source);
        }
        self.findings.append(&mut reader.findings);
    }

    fn fields(
        &mut self,
        reader: &mut Reader,
        fields: &Fields<'_>,
        config: &Config,
        source: &mut Source,
    ) -> Option<Tenant> {
        if let Some(field) = fields.get("accept") {
            self.accept = accept(reader, &field);
        }
        let name =
            fields.require(reader, "name", "name: Acme Corp").and_then(|field| display_name(reader, &field));
        let domain = fields
            .require(reader, "domain", "domain: acme.example.com")
            .and_then(|field| domain(reader, &field));
        let instance = fields
            .require(reader, "pbx_instance", &format!("pbx_instance: {}", some_instance(config)))
            .and_then(|field| instance(reader, &field, config));
        let flag = |reader: &mut Reader, key: &str, default: bool| match fields.get(key) {
            Some(field) => reader.flag(&field).unwrap_or(default),
            None => default,
        };
        let enabled = flag(reader, "enabled", true);
        let protected = flag(reader, "protected", false);
        let adopt = flag(reader, "adopt", false);
        let session_timeout = fields
            .get("session_timeout")
            .and_then(|field| session_timeout(reader, &field))
            .unwrap_or(config.defaults.session_timeout);
        let max_users = match fields.get("max_users") {
            Some(field) => max_users(reader, &field, config).unwrap_or(config.defaults.max_users),
            None => config.defaults.max_users,
        };
        let pbx_settings = match fields.get("pbx_settings") {
            Some(field) => settings::read(reader, &field, source),
            None => BTreeMap::new(),
        };
        let cross_tenant = match fields.get("cross_tenant") {
            Some(field) => self.cross_tenant(reader, &field, config),
            None => CrossTenant::default(),
        };
        if let Some(field) = fields.get("previously") {
            self.previously(reader, &field);
        }
        let drift = match fields.get("drift") {
            Some(field) => reader
                .word(&field, &[("correct", DriftPolicy::Correct), ("report", DriftPolicy::Report)])
                .unwrap_or_default(),
            None => DriftPolicy::default(),
        };
        let sms_numbers = fields.get("sms_numbers").map(|field| self.sms_numbers(reader, &field));
        if let (Some((text, span)), Some(key)) = (&name, &self.key) {
            let domain = domain.as_ref().map(|(domain, _)| domain.as_str());
            reader.findings.extend(advice::name(text, key, domain, *span));
        }
        self.name = name.clone();
        self.domain = domain.clone();
        Some(Tenant {
            key: self.key.clone()?,
            definition: Definition {
                name: name?.0,
                domain: domain?.0,
                instance: instance?,
                enabled,
                session_timeout,
                max_users,
                protected,
                pbx_settings,
                cross_tenant,
                drift,
            },
            previously: self.previously.as_ref().map(|(key, _)| key.clone()),
            adopt,
            sms_numbers,
            accept: self.accept.clone(),
        })
    }

    fn previously(&mut self, reader: &mut Reader, field: &Field<'_>) {
        self.previously = tenant_key(reader, field);
        if let (Some((previously, span)), Some(key)) = (&self.previously, &self.key)
            && previously == key
        {
            reader.report(
                Finding::error(*span, format!("`previously` names this tenant's own key `{key}`"))
                    .expected("the key that the tenant had before")
                    .help("delete the line, or write the old file's name without `.yaml`"),
            );
        }
    }

    fn sms_numbers(&mut self, reader: &mut Reader, field: &Field<'_>) -> BTreeSet<SmsNumber> {
        const OF: &str = "a number such as `\"+4930123456\"`";
        let mut numbers = BTreeSet::new();
        for text in reader.texts(field, "a list of SMS numbers", OF) {
            match SmsNumber::parse(text.text) {
                Ok(number) if numbers.insert(number.clone()) => self.sms_numbers.push((number, text.span)),
                Ok(number) => reader.report(
                    Finding::error(text.span, format!("`{number}` is repeated in `sms_numbers`"))
                        .expected("each number once, however it is written")
                        .help("delete one of the two"),
                ),
                Err(error) => reader.report(
                    Finding::error(text.span, format!("{} is not an SMS number: {error}", quoted(text.text)))
                        .expected("`+`, the country code and the number, or a short code of 3 to 8 digits")
                        .help("write `\"+4930123456\"` for 030 123456 in Germany"),
                ),
            }
        }
        numbers
    }

    fn cross_tenant(&mut self, reader: &mut Reader, field: &Field<'_>, config: &Config) -> CrossTenant {
        const KINDS: [&str; 3] = ["presence", "contacts", "chat"];
        let mut cross = CrossTenant::default();
        let Some(fields) = reader.mapping(field, "kinds of sharing", &KINDS) else { return cross };
        let allowed = &config.cross_tenant;
        for (kind, allowed, with) in [
            (KINDS[0], allowed.presence, &mut cross.presence),
            (KINDS[1], allowed.contacts, &mut cross.contacts),
            (KINDS[2], allowed.chat, &mut cross.chat),
        ] {
            let Some(field) = fields.get(kind) else { continue };
            if !allowed {
                reader.report(
                    advice::SHARING_NOT_ALLOWED
                        .warn(
                            field.key_span,
                            format!("this deployment does not allow tenants to share {kind}"),
                        )
                        .expected(format!("`cross_tenant: {{allow: [{kind}]}}` in tenantd.yaml"))
                        .help("allow it there, or delete the line"),
                );
            }
            if matches!((&field.node.value, &self.key), (Value::Scalar { text, .. }, Some(key)) if text == key.as_str())
            {
                reader.report(names_itself(field.node.span, &field.path));
                continue;
            }
            for text in reader.texts(&field, "a list of tenant keys", "a tenant's key") {
                let Some(other) = parse_key(reader, text, &field.path) else { continue };
                if Some(&other) == self.key.as_ref() {
                    reader.report(names_itself(text.span, &field.path));
                } else if !with.insert(other.clone()) {
                    reader.report(
                        Finding::error(text.span, format!("`{other}` is repeated in `{}`", field.path))
                            .expected("each tenant once")
                            .help("delete one of the two"),
                    );
                } else {
                    self.shares.push((kind, other, text.span));
                }
            }
        }
        cross
    }
}

fn names_itself(span: Span, path: &str) -> Finding {
    Finding::error(span, format!("`{path}` names this tenant itself"))
        .expected("other tenants' keys")
        .help("delete it there")
}

/// Minutes, with advice where they are unusual.
fn session_timeout(reader: &mut Reader, field: &Field<'_>) -> Option<u32> {
    let minutes = reader.number(field, SESSION_TIMEOUT_MINUTES, "minutes")?;
    if let Some(finding) = advice::session_timeout(minutes, field.node.span) {
        reader.report(finding);
    }
    Some(minutes)
}

fn display_name(reader: &mut Reader, field: &Field<'_>) -> Option<(String, Span)> {
    let text = reader.text(field, "a display name")?;
    if !reader.visible(text, &field.path, &[]) {
        return None;
    }
    let trimmed = text.text.trim();
    let length = text.text.chars().count();
    let finding = if trimmed.is_empty() {
        Finding::error(text.span, "`name` is blank").help("write the organisation's or department's name")
    } else if trimmed.len() != text.text.len() {
        Finding::error(text.span, "`name` begins or ends with a blank")
            .help(format!("write `name: \"{trimmed}\"`"))
    } else if length > MAX_NAME_CHARS {
        Finding::error(text.span, format!("`name` has {length} characters")).help("shorten it")
    } else {
        return Some((text.text.to_owned(), text.span));
    };
    reader.report(finding.expected(format!("1 to {MAX_NAME_CHARS} characters without blanks at the ends")));
    None
}

fn domain(reader: &mut Reader, field: &Field<'_>) -> Option<(DomainName, Span)> {
    let text = reader.text(field, "a host name")?;
    match DomainName::parse(text.text) {
        Ok(domain) => {
            reader.findings.extend(advice::domain(&domain, text.span));
            Some((domain, text.span))
        }
        Err(error) => {
            let finding = Finding::error(text.span, format!("`domain` is {}: {error}", quoted(text.text)))
                .expected("a host name of letters, digits, hyphens and dots such as `acme.example.com`, or an IPv4 address");
            reader.report(match error {
                DomainError::Character(':' | '/') => {
                    finding.help("write only the host name, without scheme and path")
                }
                DomainError::EmptyLabel => {
                    finding.help("write one dot between two parts, and none at the ends")
                }
                DomainError::Ipv6 => finding.help("give the tenant a host name"),
                _ => finding.help("write the name with which the tenant's phones register"),
            });
            None
        }
    }
}

fn instance(reader: &mut Reader, field: &Field<'_>, config: &Config) -> Option<InstanceKey> {
    const SHOWN: usize = 8;
    let names = config.instances.keys().map(InstanceKey::as_str);
    let mut list = names.clone().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if config.instances.len() > SHOWN {
        list.push_str(", …");
    }
    let expected = format!("a key of `pbx_instances` in tenantd.yaml ({list})");
    let text = reader.text(field, &expected)?;
    if let Some(key) = InstanceKey::parse(text.text).ok().filter(|key| config.instances.contains_key(key)) {
        return Some(key);
    }
    let help = match nearest(text.text, names) {
        Some(near) => format!("did you mean `pbx_instance: {near}`?"),
        None => "write one of these, or add the instance to tenantd.yaml".to_owned(),
    };
    let what = format!("unknown PBX instance {}", quoted(text.text));
    reader.report(Finding::error(text.span, what).expected(expected).help(help));
    None
}

fn some_instance(config: &Config) -> &str {
    config.instances.keys().next().map_or("hq", InstanceKey::as_str)
}

fn max_users(reader: &mut Reader, field: &Field<'_>, config: &Config) -> Option<MaxUsers> {
    if let Value::Scalar { text, .. } = &field.node.value {
        if text == "unlimited" {
            return Some(MaxUsers::Unlimited);
        }
        let word = ["unlimited", "infinite", "infinity", "none", "no limit", "any"]
            .contains(&text.to_lowercase().as_str());
        // Some programs write -1 or 0 for no limit, some mean no user at all.
        if word || matches!(text.as_str(), "0" | "-1") {
            let expected = format!("a number, 1 to {MAX_USERS}, or the word `unlimited`");
            reader.wrong(
                field,
                &expected,
                "write the number of users, or `max_users: unlimited` for no limit",
            );
            return None;
        }
    }
    let number = reader.number(field, 1..=MAX_USERS, "users, or `unlimited`")?;
    if let Some(ceiling) = config.tier.max_users_per_tenant.filter(|ceiling| number > *ceiling) {
        reader.report(
            Finding::error(field.node.span, format!("`max_users` is {number}, more than the tier allows"))
                .expected(format!("at most {ceiling} (`tier.max_users_per_tenant` in tenantd.yaml)"))
                .help(format!("write `max_users: {ceiling}`, or raise the tier's limit")),
        );
        return None;
    }
    Some(MaxUsers::Limited(number))
}

fn tenant_key(reader: &mut Reader, field: &Field<'_>) -> Option<(TenantKey, Span)> {
    let text = reader.text(field, "a tenant's key")?;
    parse_key(reader, text, &field.path).map(|key| (key, text.span))
}

fn parse_key(reader: &mut Reader, text: Text<'_>, path: &str) -> Option<TenantKey> {
    match TenantKey::parse(text.text) {
        Ok(key) => Some(key),
        Err(error) => {
            reader.report(
                Finding::error(text.span, format!("{} in `{path}` is not a tenant's key", quoted(text.text)))
                    .expected(format!("the name of a tenant file without `.yaml`: {error}"))
                    .help("write for example `acme` for `acme.yaml`"),
            );
            None
        }
    }
}

fn accept(reader: &mut Reader, field: &Field<'_>) -> BTreeSet<String> {
    let names = || advice::ADVICE_KINDS.iter().map(|kind| kind.name);
    let expected = format!("a list of advice ({})", names().collect::<Vec<_>>().join(", "));
    let mut accepted = BTreeSet::new();
    for text in reader.texts(field, &expected, "the name of a piece of advice") {
        if names().any(|name| name == text.text) {
            accepted.insert(text.text.to_owned());
            continue;
        }
        let help = match nearest(text.text, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "delete the item; only advice can be accepted, errors cannot".to_owned(),
        };
        let what = format!("unknown advice {}", quoted(text.text));
        reader.report(Finding::error(text.span, what).expected(expected.clone()).help(help));
    }
    accepted
}
