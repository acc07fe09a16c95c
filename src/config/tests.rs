use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::yaml::Problem;

const EXAMPLE: &str = r#"
database_url: sqlite:///var/lib/tenantd/tenantd.db   # or postgres://…
tenants_dir: /etc/tenantd/tenants.d
pbx_instances:
  hq:
    url: https://pbx1.example.com
    username: tenantd@pbx1.example.com
    password: { credential: hq }
    tls: { fingerprint: "sha256:00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF" }
    sessions: 4
  branch:
    url: http://10.0.0.1/
    username: tenantd@branch.example.com
    password: { file: secrets/branch }
    tls: { ca_file: ca.pem }
    timeout: 45s
    max_requests_per_second: 5
    allow_plaintext: true
defaults: { session_timeout: 60, max_users: unlimited }
tier: { name: enterprise, max_users_per_tenant: 500, max_pbx_instances: 10, max_tenants: 1000 }
deletion: { mode: approve, retention_days: 30 }
limits: { removals: { count: 2, percent: 5 }, creates: { count: 50, percent: 50 } }
daemon: { interval: 10m, quiet: 250ms }
cross_tenant: { allow: [presence, chat] }
"#;

const SMALL: &str = "database_url: sqlite:t.db\ntenants_dir: tenants.d\npbx_instances:\n  hq: {url: \
                     https://a.example, username: t@a.example, password: {env: HQ}}\n";

fn parse(text: &str) -> Result<(Config, Vec<Problem>), ConfigErrors> {
    Config::parse(Path::new("/etc/tenantd/tenantd.yaml"), "tenantd.yaml", text.as_bytes())
}

fn rendered(text: &str) -> String {
    match parse(text) {
        Ok((_, warnings)) => warnings.iter().map(|w| w.render(false)).collect::<Vec<_>>().join("\n"),
        Err(errors) => errors.to_string(),
    }
}

/// Every mapping names its keys when it meets one that it does not know.
#[test]
fn every_known_key_but_those_of_secrets_shows_its_value() {
    let mut seen = 0;
    for section in [
        "zzz: 1",
        "defaults: {zzz: 1}",
        "tier: {zzz: 1}",
        "deletion: {zzz: 1}",
        "limits: {zzz: 1}",
        "limits: {removals: {zzz: 1}}",
        "daemon: {zzz: 1}",
        "cross_tenant: {zzz: 1}",
        "archive: {zzz: 1}",
        "git: {zzz: 1}",
        "  b: {zzz: 1}",
        "  b: {tls: {zzz: 1}}",
    ] {
        let message = rendered(&format!("{SMALL}{section}\n"));
        let message = message
            .lines()
            .find(|line| line.contains("unknown key `zzz`"))
            .unwrap_or_else(|| panic!("{message}"));
        let (_, keys) = message.split_once("one of the keys ").unwrap_or_else(|| panic!("{message}"));
        let keys = keys.split(". ").next().unwrap().split(", ");
        for key in keys.filter(|key| !["password", "database_password", "totp"].contains(key)) {
            assert!(mask::is_harmless(key), "the value of `{key}` is masked: {message}");
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn the_example_is_read_whole() {
    let (config, warnings) = parse(EXAMPLE).unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].what.contains("has no meaning with http"));
    assert!(
        matches!(&config.database, DatabaseConfig::Sqlite { path } if path == Path::new("/var/lib/tenantd/tenantd.db"))
    );
    assert_eq!(config.tenants_dir, Path::new("/etc/tenantd/tenants.d"));
    let hq = &config.instances[&InstanceKey::parse("hq").unwrap()];
    assert_eq!(hq.password, SecretSource::Credential("hq".into()));
    assert_eq!(hq.timeout, Duration::from_secs(30));
    assert!(matches!(hq.tls, TlsTrust::Fingerprint(print) if print[1] == 0x11 && print[31] == 0xff));
    let branch = &config.instances[&InstanceKey::parse("branch").unwrap()];
    assert_eq!(branch.password, SecretSource::File("/etc/tenantd/secrets/branch".into()));
    assert_eq!(branch.tls, TlsTrust::CaFile("/etc/tenantd/ca.pem".into()));
    assert_eq!((branch.timeout, branch.allow_plaintext), (Duration::from_secs(45), true));
    assert_eq!((hq.max_requests_per_second, branch.max_requests_per_second), (100, 5));
    assert_eq!(config.tier.max_tenants, Some(1000));
    assert_eq!(config.limits.removals, Limit { count: 2, percent: 5 });
    assert_eq!(config.limits.disables, Limit { count: 3, percent: 20 });
    assert_eq!(config.limits.creates, Some(Limit { count: 50, percent: 50 }));
    assert_eq!(config.daemon.interval, Duration::from_secs(600));
    assert!(config.cross_tenant.presence && config.cross_tenant.chat && !config.cross_tenant.contacts);
}

#[test]
fn omitted_keys_have_safe_defaults() {
    let (config, warnings) = parse(SMALL).unwrap();
    assert!(warnings.is_empty(), "{warnings:#?}");
    assert_eq!(config.deletion, Deletion { mode: DeletionMode::Approve, retention_days: 30 });
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.cross_tenant, AllowedSharing::default());
    assert!(
        matches!(config.database, DatabaseConfig::Sqlite { path } if path == Path::new("/etc/tenantd/t.db"))
    );
}

#[test]
fn all_problems_come_together_with_their_places() {
    let text = r#"database_url: mysql://db/x
tennants_dir: x
pbx_instances:
  hq:
    url: http://pbx.example.com
    username: admin
    password: {credential: ../x}
    tls: {fingerprint: "sha256:00"}
    sessions: 0
    max_requests_per_second: 1001
    timeout: 30
  branch:
    url: https://pbx.example.com
    username: a@b
    password: {env: B}
    sesions: 3
  other:
    url: https://pbx.example.com/
    username: a@b
    password: {env: B}
defaults: {session_timeout: 20000, max_users: 900}
tier: {max_users_per_tenant: 500, max_pbx_instances: 2}
deletion: {mode: automatic}
limits: {removals: {count: -1, percent: 101}, disables: {count: 3}}
daemon: {interval: 0s, quiet: 20s, quiet_max: 10s}
cross_tenant: {allow: [presense]}
"#;
    insta::assert_snapshot!(rendered(text));
}

#[test]
fn users_are_read_at_an_interval_or_never() {
    let read = |text: &str| {
        parse(&format!("{SMALL}daemon: {{{text}}}\n"))
            .map(|(config, warnings)| (config.daemon.user_sync, warnings.len()))
            .map_err(|errors| errors.to_string())
    };
    assert_eq!(read("interval: 5m"), Ok((Some(Duration::from_secs(900)), 0)));
    assert_eq!(read("user_sync: 1h"), Ok((Some(Duration::from_secs(3600)), 0)));
    assert_eq!(read("user_sync: never"), Ok((None, 0)));
    assert_eq!(
        read("user_sync: 1m"),
        Ok((Some(Duration::from_secs(60)), 1)),
        "shorter than a pass's interval"
    );
    for wrong in ["user_sync: off", "user_sync: 15", "user_sync: 1s", "user_sync: 8d", "user_sync: often"] {
        let message = read(wrong).unwrap_err();
        assert!(message.contains("daemon.user_sync") && message.contains("tenantd.yaml:"), "{message}");
    }
    assert!(read("user_sync: off").unwrap_err().contains("`user_sync: never`"));
}

#[test]
fn zero_retention_is_allowed_with_a_warning_and_never_by_default() {
    let (config, warnings) =
        parse(&format!("{SMALL}deletion: {{mode: approve, retention_days: 0}}\n")).unwrap();
    assert_eq!((config.deletion.retention_days, warnings.len()), (0, 1));
    for blank in [
        "{mode: approve}",
        "{mode: automatic}",
        "{}",
        "{retention_days: }",
        "{retention_days: \"\"}",
        "{retention_days: ~}",
        "",
    ] {
        assert!(parse(&format!("{SMALL}deletion: {blank}\n")).is_err(), "{blank}");
    }
    assert!(parse(&format!("{SMALL}deletion: {{mode: never}}\n")).is_ok());
}

#[test]
fn the_rules_for_commits_ask_for_something() {
    let rules = |text: &str| parse(&format!("{SMALL}git: {text}\n")).map(|(config, _)| config.git.unwrap());
    let both = rules("{branch: main, allowed_signers: signers}").unwrap();
    assert_eq!(both.branch.as_deref(), Some("main"));
    assert!(both.allowed_signers.unwrap().is_absolute());
    assert_eq!(rules("{branch: main}").unwrap().allowed_signers, None);
    for (text, expected) in [
        ("{}", "`git` is empty"),
        ("{branch: }", "git.branch"),
        ("{branch: [main]}", "git.branch"),
        ("{allowed_signer: signers}", "allowed_signers"),
        ("{branch: on}", "git.branch"),
    ] {
        let error = rules(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn no_message_repeats_a_secret() {
    let with = |line: &str| SMALL.replace("password: {env: HQ}", line);
    for text in [
        with("password: hunter2"),
        with("password: \"hunter2\""),
        with("password: [hunter2]"),
        with("password: {hunter2: x}"),
        with("password: {hunter2: x, env: A}"),
        with("password: {value: hunter2}"),
        with("password: {env: hunter2}"),
        with("password: {credential: \"hunter2!\"}"),
        with("password: {credential: [hunter2]}"),
        with("password: &a hunter2"),
        with("password: !x hunter2"),
        with("password: hunter2, password: hunter2"),
        with("password: hunter2, typo: 1"),
        with("pasword: hunter2"),
        with("passphrase: hunter2"),
        with("password: 'hunter2' x"),
        with("password: \"hunter2"),
        with("password:\n    hunter2: a: b"),
        with("password: # hunter2"),
        with("password: {credential: hunter2,x!}"),
        SMALL.replace("hq: {", "hq: # hunter2 {"),
        SMALL.replace("  hq: {", "  pw: hunter2\n  hq: {"),
        with("password:hunter2"),
        with("password, hunter2"),
        with("password: !hunter2"),
        with("password: |\n    hunter2\n"),
        with("password: hunter2}}\n? ["),
        SMALL.replace("sqlite:t.db", "postgres://u:hunter2@db/x"),
        SMALL.replace("sqlite:t.db", "postgres://u:hunter2"),
        SMALL.replace("sqlite:t.db", "postgres://u:hun#hunter2@db/x"),
        SMALL.replace("sqlite:t.db", "postgres://u@db/x?password=hunter2"),
        SMALL.replace("sqlite:t.db", "postgres://u:hunter2@db/x: y"),
        SMALL.replace("sqlite:t.db", "mysql://u:hunter2@db/x"),
        SMALL.replace("https://a.example", "https://u:hunter2@a.example"),
        SMALL.replace("https://a.example", "ftp://u:hunter2@a.example"),
        SMALL.replace("https://a.example", "https://u:hunter2@a.example]"),
        format!("{SMALL}database_password: hunter2\n"),
        format!("{SMALL}password: hunter2\n"),
        format!("{SMALL}database_password: hunter2\n bad\n"),
        format!("{SMALL}database_password:\n  - hunter2\n"),
        format!("{SMALL}database_password: hunter2\ndatabase_password: hunter2\n"),
        format!("{SMALL}database_password: hunter2 \u{202e}\n"),
        format!("{SMALL}database_password: hunter2\0\n"),
    ] {
        let errors = parse(&text).expect_err(&text);
        let json = serde_json::to_string(&errors.problems).unwrap();
        for shown in [errors.to_string(), json, format!("{errors:?}")] {
            assert!(!shown.contains("hunter2"), "{text}\n{shown}");
        }
    }
}

/// A hostile configuration costs no more than a good one of its size.
#[test]
fn one_line_of_a_hundred_thousand_mistakes_is_bounded() {
    let keys = (0..90_000).map(|n| format!("k{n}: &a *b, ")).collect::<String>();
    let started = std::time::Instant::now();
    let problems = parse(&format!("{{{keys}}}")).unwrap_err().problems;
    assert!(problems.len() <= 51);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let keys = (0..90_000).map(|n| format!("k{n}: v, ")).collect::<String>();
    let problems = parse(&format!("{{{keys}}}")).unwrap_err().problems;
    assert!(problems.len() == 51 && problems[50].what.contains("more problems"));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

fn environment(values: &[(&str, &str)]) -> impl Fn(&str) -> Option<std::ffi::OsString> + use<> {
    let values: BTreeMap<String, String> =
        values.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    move |name| values.get(name).map(Into::into)
}

#[test]
fn secrets_are_fetched_without_the_line_break_at_their_end() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hq"), "hunter2\n").unwrap();
    std::fs::write(dir.path().join("empty"), "\n").unwrap();
    std::fs::write(dir.path().join("binary"), [0xff, 0xfe]).unwrap();
    let env =
        environment(&[("CREDENTIALS_DIRECTORY", dir.path().to_str().unwrap()), ("V", "x y\n\n"), ("E", "")]);
    let get = |source: SecretSource| source.resolve(&env).map(|secret| secret.expose().to_owned());
    let kind = |source: SecretSource| source.resolve(&env).err().map(|error| error.kind);
    assert_eq!(get(SecretSource::Credential("hq".into())).unwrap(), "hunter2");
    assert_eq!(get(SecretSource::File(dir.path().join("hq"))).unwrap(), "hunter2");
    assert_eq!(get(SecretSource::Env("V".into())).unwrap(), "x y\n");
    assert_eq!(kind(SecretSource::Env("E".into())), Some(SecretErrorKind::Empty));
    assert_eq!(kind(SecretSource::Env("NO".into())), Some(SecretErrorKind::NotSet));
    assert_eq!(kind(SecretSource::Credential("empty".into())), Some(SecretErrorKind::Empty));
    assert_eq!(kind(SecretSource::Credential("binary".into())), Some(SecretErrorKind::NotText));
    assert!(matches!(kind(SecretSource::Credential("no".into())), Some(SecretErrorKind::Unreadable(_))));
    let none = SecretSource::Credential("hq".into()).resolve(&|_| None).unwrap_err();
    assert_eq!(none.kind, SecretErrorKind::NoCredentials);
}

#[test]
fn missing_secrets_are_located_at_their_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tenantd.yaml");
    let text = SMALL.replace("{env: HQ}", "{file: hq.secret}, tls: {ca_file: ca.pem}");
    std::fs::write(&path, text).unwrap();
    let (config, _) = Config::load(&path).unwrap();
    let problems = config.check_secrets(&|_| None);
    assert_eq!(problems.len(), 2, "{problems:#?}");
    for problem in &problems {
        assert!(problem.is_error() && problem.position.is_some_and(|at| at.line == 4), "{problem}");
    }
    std::fs::write(dir.path().join("hq.secret"), "hunter2").unwrap();
    for (text, what) in
        [("", "holds no certificate"), ("-----BEGIN CERTIFICATE-----\nMII", "holds no readable certificate")]
    {
        std::fs::write(dir.path().join("ca.pem"), text).unwrap();
        let problems = config.check_certificates();
        assert!(problems.len() == 1 && problems[0].to_string().contains(what), "{problems:#?}");
        assert_eq!(problems[0].position.unwrap().line, 4);
    }
    let own = rcgen::generate_simple_self_signed(["pbx.example.com".to_owned()]).unwrap();
    std::fs::write(dir.path().join("ca.pem"), own.cert.pem()).unwrap();
    let problems = config.check_secrets(&|_| None);
    assert!(problems.iter().all(|problem| !problem.is_error()), "{problems:#?}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Path::new("/does/not/exist.yaml")).unwrap_err();
    assert!(error.to_string().starts_with("/does/not/exist.yaml: error: the configuration cannot be read"));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Config::parse(Path::new("/t.yaml"), "t.yaml", &bytes);
        }

        /// However a file with a secret in it is mangled, no message shows the secret.
        #[test]
        fn a_mangled_file_shows_no_secret(
            line in prop::sample::select(vec![
                "password: hunter2", "password: \"hunter2\"", "password: {value: hunter2}", "pw: hunter2",
                "password: {env: hunter2!}", "password: [a, hunter2]",
            ]),
            flow: bool,
            place in any::<prop::sample::Index>(),
            piece in "[ \n:{}\\[\\],'\"&*!#|a-z\t-]{1,4}",
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let text = if flow {
                SMALL.replace("password: {env: HQ}", line)
            } else {
                format!("{SMALL}  b:\n    url: https://b.example\n    {line}\n    sessions: 2\n")
            };
            let secret = text.find("hunter2").unwrap();
            let mut at = place.index(text.len());
            if (secret..secret + 7).contains(&at) {
                at = secret;
            }
            let mut mangled = format!("{}{piece}{}", &text[..at], &text[at..]);
            if let Some(cut) = cut {
                mangled.truncate(cut.index(mangled.len()));
            }
            let shown = match parse(&mangled) {
                Ok((config, warnings)) => format!("{config:?} {warnings:?}"),
                Err(errors) => format!("{errors} {errors:?}"),
            };
            prop_assert!(!shown.contains("hunter2"), "{}\n{}", mangled, shown);
        }
    }
}
