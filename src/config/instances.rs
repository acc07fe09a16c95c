//! `pbx_instances`: the FusionPBX servers.

use super::keys;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use url::{Host, Url};

use super::paths::file_path;
use super::{InstanceConfig, Tier, TlsTrust, secrets};
use crate::model::InstanceKey;
use crate::yaml::{Field, Finding, Reader, Reading, Style, Value, quoted};

/// Parallel sign-ins unless the file says otherwise: more gained nothing where it was measured.
const SESSIONS: usize = 4;

/// One request's time unless the file says otherwise: a create takes 0.3 s, a deletion of much data longer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Requests in a second unless the file says otherwise: about what four sessions ask of a server that answers well,
/// and a bound on what they ask of one that fails at once.
const REQUESTS_PER_SECOND: u32 = 100;

/// How long a web session is taken to continue that a disable does not end, unless the file says otherwise: a working
/// day and the night after it.
const WEB_SESSION_LIFETIME: Duration = Duration::from_secs(24 * 3600);

pub(super) fn read(
    reader: &mut Reader,
    field: &Field<'_>,
    base: &Path,
    tier: &Tier,
) -> BTreeMap<InstanceKey, InstanceConfig> {
    let entries = reader.each(field, "PBX instances by their keys");
    let mut instances = BTreeMap::new();
    let mut urls: BTreeMap<String, String> = BTreeMap::new();
    let count = entries.len();
    for (index, (name, style, field)) in entries.into_iter().enumerate() {
        let Some(key) = instance_key(reader, name, style, &field) else { continue };
        let instance = instance(reader, &field, base, key);
        if let Some(most) = tier.max_pbx_instances.filter(|most| index == *most as usize) {
            reader.report(
                Finding::error(field.key_span, format!("there are {count} PBX instances"))
                    .expected(format!("at most {most} (`tier.max_pbx_instances`)"))
                    .help("remove instances, or raise the tier's limit"),
            );
        }
        let Some((instance, url_span)) = instance else { continue };
        let address = instance.url.as_str().trim_end_matches('/').to_owned();
        if let Some(other) = urls.insert(address, name.to_owned()) {
            reader.report(
                Finding::error(url_span, format!("`{name}` has the same address as `{other}`"))
                    .expected("each PBX once")
                    .help("delete one of the two: both would change the domains of one PBX"),
            );
        }
        instances.insert(instance.key.clone(), instance);
    }
    if count == 0 && matches!(&field.node.value, Value::Mapping(_)) {
        reader.report(
            Finding::error(field.key_span, "there is no PBX instance")
                .expected("at least one")
                .help("add one, for example `hq: {url: …, username: …, password: …}`"),
        );
    }
    instances
}

fn instance_key(reader: &mut Reader, name: &str, style: Style, field: &Field<'_>) -> Option<InstanceKey> {
    if style == Style::Plain
        && let Some(reading) = Reading::of(name)
    {
        reader.report(
            Finding::error(field.key_span, format!("{} without quotes is {reading}", quoted(name)))
                .expected("an instance's key")
                .help(format!("put it in quotes, here and in the tenants' files: `\"{name}\":`")),
        );
        return None;
    }
    match InstanceKey::parse(name) {
        Ok(key) => Some(key),
        Err(error) => {
            reader.report(
                Finding::error(field.key_span, "this is not an instance key")
                    .expected("a short name such as `hq`, and `: ` behind it")
                    .help(error.to_string()),
            );
            None
        }
    }
}

fn instance(
    reader: &mut Reader,
    field: &Field<'_>,
    base: &Path,
    key: InstanceKey,
) -> Option<(InstanceConfig, crate::yaml::Span)> {
    if matches!(field.node.value, Value::Scalar { .. } | Value::Sequence(_)) {
        // What stands here is not shown: it may be a password one level too far out.
        reader.report(
            Finding::error(field.key_span, format!("`{}` has no settings", field.path))
                .expected(format!("a PBX instance with the keys {}", keys::INSTANCE.join(", ")))
                .help("write them on the lines below, indented"),
        );
        return None;
    }
    let fields = reader.mapping(field, "a PBX instance", &keys::INSTANCE)?;
    let allow_plaintext = fields.get("allow_plaintext");
    let allow_plaintext = allow_plaintext.and_then(|field| reader.flag(&field)).unwrap_or(false);
    let url = fields
        .require(reader, "url", "url: https://pbx1.example.com")
        .and_then(|field| Some((address(reader, &field, allow_plaintext)?, field.node.span)));
    let username = fields
        .require(reader, "username", "username: tenantd@pbx1.example.com")
        .and_then(|field| username(reader, &field));
    let password = fields
        .require(reader, "password", "password: {credential: hq}")
        .and_then(|field| secrets::read(reader, &field, base));
    let totp = fields.get("totp").map(|field| secrets::read(reader, &field, base));
    let tls = match fields.get("tls") {
        Some(field) => {
            if let Some((url, _)) = &url
                && url.scheme() == "http"
            {
                reader.report(
                    Finding::warning(field.key_span, format!("`{}` has no meaning with http://", field.path))
                        .expected("the key only with an `https://` address")
                        .help("delete the line, or use https://"),
                );
            }
            tls(reader, &field, base)
        }
        None => Some(TlsTrust::SystemRoots),
    };
    let sessions = match fields.get("sessions") {
        Some(field) => reader.number(&field, 1..=16, "parallel sign-ins").map(|n| n as usize),
        None => Some(SESSIONS),
    };
    let timeout = match fields.get("timeout") {
        Some(field) => reader.duration(&field, Duration::from_secs(1)..=Duration::from_secs(600)),
        None => Some(TIMEOUT),
    };
    let per_second = match fields.get("max_requests_per_second") {
        Some(field) => reader.number(&field, 1..=1000, "requests per second"),
        None => Some(REQUESTS_PER_SECOND),
    };
    let lifetime = match fields.get("web_session_lifetime") {
        Some(field) => reader.duration(&field, Duration::from_secs(60)..=Duration::from_secs(90 * 86_400)),
        None => Some(WEB_SESSION_LIFETIME),
    };
    let (url, span) = url?;
    let instance = InstanceConfig {
        key,
        url,
        username: username?,
        password: password?,
        totp: match totp {
            Some(totp) => Some(totp?),
            None => None,
        },
        tls: tls?,
        sessions: sessions?,
        timeout: timeout?,
        max_requests_per_second: per_second?,
        allow_plaintext,
        web_session_lifetime: lifetime?,
    };
    Some((instance, span))
}

/// The messages do not repeat the address: it may hold a password.
fn address(reader: &mut Reader, field: &Field<'_>, allow_plaintext: bool) -> Option<Url> {
    const EXPECTED: &str = "the address of a FusionPBX, such as `https://pbx1.example.com`";
    let text = reader.text(field, EXPECTED)?;
    let finding =
        |what: String| Finding::error(text.span, format!("`{}` {what}", field.path)).expected(EXPECTED);
    let url = match Url::parse(text.text) {
        Ok(url) => url,
        Err(error) => {
            reader.report(finding(format!("is not an address ({error})")).help("begin it with `https://`"));
            return None;
        }
    };
    let finding = if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        finding("is not a web address".into()).help("begin it with `https://`")
    } else if url.password().is_some() || !url.username().is_empty() {
        finding("contains an account".into()).help(
            "remove it, use `username` and `password`, and change the password, because it may be in version \
                   control",
        )
    } else if url.query().is_some() || url.fragment().is_some() {
        finding("has a `?` or a `#`".into()).help("cut it off there")
    } else if url.scheme() == "http" && !allow_plaintext && !is_loopback(&url) {
        finding("sends the password unencrypted".into()).help(
            "use https://, or set `allow_plaintext: true` if the network is trusted (a stock FusionPBX needs \
                   https:// for its session cookie)",
        )
    } else {
        return Some(url);
    };
    reader.report(finding);
    None
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn username(reader: &mut Reader, field: &Field<'_>) -> Option<String> {
    let text = reader.text(field, "`user@domain` of a superadmin account")?;
    if !reader.visible(text, &field.path, &[]) {
        return None;
    }
    if !text.text.contains('@') {
        reader.report(
            Finding::warning(text.span, format!("`{}` names no domain", field.path))
                .expected("`user@domain`")
                .help(
                    "write `user@domain`; without it, FusionPBX looks for the account in the domain of the \
                       server's host name",
                ),
        );
    }
    Some(text.text.to_owned())
}

fn tls(reader: &mut Reader, field: &Field<'_>, base: &Path) -> Option<TlsTrust> {
    const OF: &str = "`{ca_file: PATH}` or `{fingerprint: \"sha256:…\"}`";
    let fields = reader.mapping(field, OF, &["ca_file", "fingerprint"])?;
    match (fields.get("ca_file"), fields.get("fingerprint")) {
        (Some(ca_file), None) => file_path(reader, &ca_file, base).map(TlsTrust::CaFile),
        (None, Some(print)) => fingerprint(reader, &print).map(TlsTrust::Fingerprint),
        (Some(_), Some(print)) => {
            reader.report(
                Finding::error(print.key_span, "both `ca_file` and `fingerprint` are set")
                    .expected(OF)
                    .help("keep one of them"),
            );
            None
        }
        (None, None) => {
            reader.report(
                Finding::error(field.key_span, format!("`{}` is empty", field.path))
                    .expected(OF)
                    .help("delete the line to trust the system's certificates"),
            );
            None
        }
    }
}

/// SHA-256 of a certificate: 64 hexadecimal digits, with or without colons between the bytes.
fn fingerprint(reader: &mut Reader, field: &Field<'_>) -> Option<[u8; 32]> {
    const EXPECTED: &str = "`sha256:` and 64 hexadecimal digits, with or without colons";
    let text = reader.text(field, EXPECTED)?;
    let digits = text.text.strip_prefix("sha256:").or_else(|| text.text.strip_prefix("SHA256:"));
    let print = digits.and_then(|digits| {
        let hex = digits.replace(':', "");
        if !hex.is_ascii() || hex.len() != 64 {
            return None;
        }
        let mut print = [0; 32];
        for (byte, pair) in print.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(print)
    });
    if print.is_none() {
        reader.report(
            Finding::error(text.span, format!("`{}` is {}", field.path, quoted(text.text)))
                .expected(EXPECTED)
                .help("print it: `openssl s_client -connect HOST:443 </dev/null | openssl x509 -noout -fingerprint \
                       -sha256`"),
        );
    }
    print
}
