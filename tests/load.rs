//! Loading: hostile files, changing directories, links, and what must never be lost on the way.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tenantd::config::Config;
use tenantd::load::{self, Loaded, Snapshot};
use tenantd::model::{Completeness, TenantKey};
use tenantd::yaml::Problem;

const CONFIG: &str = "\
database_url: sqlite:tenantd.db
tenants_dir: tenants.d
pbx_instances:
  hq: {url: https://pbx1.example.com, username: t@pbx1.example.com, password: {env: HQ}}
  branch: {url: https://pbx2.example.com, username: t@pbx2.example.com, password: {env: BRANCH}}
tier: {name: enterprise, max_users_per_tenant: 500}
cross_tenant: {allow: [presence, chat]}
";

const GOOD: &str = "\
name: Acme Corp
domain: acme.example.com
pbx_instance: hq
enabled: true
session_timeout: 45
max_users: 50
protected: true
pbx_settings:
  domain.time_zone.name: Europe/Berlin
  limit.extensions.numeric: 100
  theme.custom.boolean: true
cross_tenant:
  presence: [globex]
drift: report
";

fn config() -> Config {
    Config::parse(Path::new("/etc/tenantd/tenantd.yaml"), "tenantd.yaml", CONFIG.as_bytes()).unwrap().0
}

fn load(files: &[(&str, &str)]) -> Loaded {
    load_bytes(files.iter().map(|(name, text)| (*name, text.as_bytes())))
}

fn load_bytes<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Loaded {
    load::parse(&Snapshot::from_files("tenants.d", files), &config())
}

fn key(text: &str) -> TenantKey {
    TenantKey::parse(text).unwrap()
}

fn rendered(problems: &[Problem]) -> String {
    problems.iter().map(|problem| problem.render(false)).collect::<Vec<_>>().join("\n")
}

/// Every file is one valid tenant or one broken file.
fn assert_nothing_is_lost(snapshot: &Snapshot, loaded: &Loaded) {
    let broken: BTreeSet<&str> = loaded.desired.broken.iter().map(|file| file.file.as_str()).collect();
    for name in snapshot.files.keys() {
        let stem = name.rsplit_once('.').unwrap().0;
        let valid = TenantKey::parse(stem).is_ok_and(|key| loaded.desired.tenants.contains_key(&key));
        assert!(valid != broken.contains(name.as_str()), "{name}: valid {valid}, broken {broken:?}");
    }
    assert_eq!(loaded.desired.tenants.len() + broken.len(), snapshot.files.len());
    for file in &loaded.desired.broken {
        assert!(!file.problems.is_empty(), "{} is broken without a reason", file.file);
    }
}

#[test]
fn the_file_of_the_specification_is_read_whole() {
    let loaded = load(&[
        ("acme.yaml", GOOD),
        (
            "globex.yml",
            &GOOD.replace("acme", "globex").replace("Acme", "Globex").replace("[globex]", "[acme]"),
        ),
    ]);
    assert_eq!(loaded.problems, [], "{}", rendered(&loaded.problems));
    assert_eq!(loaded.desired.completeness, Completeness::Complete);
    insta::assert_debug_snapshot!(loaded.desired.tenants[&key("acme")]);
}

#[test]
fn a_domain_that_phones_cannot_look_up_is_accepted_with_advice() {
    for (text, domain, advice) in [
        ("10.0.0.5", "10.0.0.5", None),
        ("OldCaps.Example", "oldcaps.example", None),
        ("under_score.example", "under_score.example", Some("domain-unresolvable")),
        ("host.example:5060", "host.example:5060", Some("domain-unresolvable")),
        ("10.0.0.500", "10.0.0.500", Some("domain-unresolvable")),
    ] {
        let file = format!("name: Acme Corp\ndomain: {text}\npbx_instance: hq\n");
        let loaded = load(&[("acme.yaml", &file)]);
        assert!(!loaded.has_errors(), "{}", rendered(&loaded.problems));
        assert_eq!(loaded.desired.tenants[&key("acme")].definition.domain.as_str(), domain);
        let found: Vec<_> = loaded.problems.iter().filter_map(|problem| problem.advice).collect();
        assert_eq!(found, advice.into_iter().collect::<Vec<_>>(), "{text}");
        let accepted = load(&[("acme.yaml", &format!("{file}accept: [domain-unresolvable]\n"))]);
        assert_eq!(accepted.problems, [], "{text}");
    }
    let other = "name: Globex Corp\ndomain: ACME.example.com\npbx_instance: hq\n";
    let loaded = load(&[
        ("acme.yaml", "name: Acme Corp\ndomain: acme.example.com\npbx_instance: hq\n"),
        ("globex.yaml", other),
    ]);
    assert_eq!(loaded.desired.broken.len(), 2, "capitals make no other domain");
}

#[test]
fn an_sms_number_of_two_files_breaks_both_in_any_spelling() {
    let file = |name: &str, numbers: &str| {
        format!(
            "name: {name} Corp\ndomain: {}.example.com\npbx_instance: hq\nsms_numbers: {numbers}\n",
            name.to_lowercase()
        )
    };
    let acme = file("Acme", "[\"+49 (0)30 123456\", \"12345\"]");
    let loaded = load(&[("acme.yaml", &acme), ("hooli.yaml", &file("Hooli", "[]"))]);
    assert_eq!(loaded.problems, [], "{}", rendered(&loaded.problems));
    let numbers = |of: &str| {
        let numbers = loaded.desired.tenants[&key(of)].sms_numbers.as_ref().unwrap();
        numbers.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!((numbers("acme"), numbers("hooli")), (vec!["+4930123456".into(), "12345".into()], vec![]));

    let globex = file("Globex", "[\"0049.30.123456\"]");
    let loaded = load(&[("acme.yaml", &acme), ("globex.yaml", &globex)]);
    assert_eq!(loaded.desired.broken.len(), 2);
    let text = rendered(&loaded.problems);
    assert!(
        text.contains("acme.yaml:4:15: error: the SMS number `+4930123456` is also used in `globex.yaml`"),
        "{text}"
    );
    assert!(
        text.contains("globex.yaml:4:15: error: the SMS number `+4930123456` is also used in `acme.yaml`"),
        "{text}"
    );

    for (bad, expected) in [
        ("[+4930123456]", "\"+4930123456\""),
        ("[\"030 123456\"]", "neither in international form"),
        ("[\"12345\", \"12345\"]", "is repeated"),
        ("[\"+12\"]", "it has 2 digits"),
        ("\"+4930123456\"", "a list of SMS numbers"),
    ] {
        let loaded = load(&[("acme.yaml", &file("Acme", bad))]);
        assert_eq!(loaded.desired.broken.len(), 1, "{bad}");
        assert!(rendered(&loaded.problems).contains(expected), "{}", rendered(&loaded.problems));
    }
}

/// Each file of the corpus is hostile; what a sysadmin reads about it is reviewed in the snapshot.
#[test]
fn every_hostile_file_gives_a_located_error() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/tenant");
    let mut names = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect::<Vec<_>>();
    names.sort();
    assert!(names.len() >= 60, "{} files", names.len());
    let mut all = String::new();
    for name in names {
        let bytes = fs::read(dir.join(&name)).unwrap();
        let started = std::time::Instant::now();
        let snapshot = Snapshot::from_files("tenants.d", [("acme.yaml", bytes)]);
        let loaded = load::parse(&snapshot, &config());
        assert!(started.elapsed().as_secs_f32() < 1.0, "{name} took {:?}", started.elapsed());
        assert_nothing_is_lost(&snapshot, &loaded);
        assert_eq!(loaded.desired.broken.len(), 1, "{name} was taken for a tenant");
        let located = loaded.problems.iter().any(|problem| problem.is_error() && problem.position.is_some());
        assert!(located || name.starts_with("whole-"), "{name} has no place");
        all.push_str(&format!("# {name}\n{}\n\n", rendered(&loaded.problems)));
    }
    insta::with_settings!({ snapshot_path => "texts" }, { insta::assert_snapshot!(all) });
}

fn assert_valid_or_broken(bytes: &[u8], what: &str) {
    let snapshot = Snapshot::from_files("tenants.d", [("acme.yaml", bytes.to_vec())]);
    let loaded = load::parse(&snapshot, &config());
    assert_nothing_is_lost(&snapshot, &loaded);
    for problem in &loaded.problems {
        let text = problem.render(false);
        assert!(!text.contains('\0') && !text.contains('\u{1b}'), "{what}: {text:?}");
    }
}

/// F2: whatever a half-written file looks like, it is a tenant or it is broken.
#[test]
fn a_file_truncated_at_any_byte_is_valid_or_broken() {
    for length in 0..GOOD.len() {
        assert_valid_or_broken(&GOOD.as_bytes()[..length], &format!("cut at {length}"));
    }
}

#[test]
fn a_file_with_any_bit_flipped_is_valid_or_broken() {
    for at in 0..GOOD.len() {
        for bit in 0..8 {
            let mut bytes = GOOD.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            assert_valid_or_broken(&bytes, &format!("bit {bit} of byte {at}"));
        }
    }
}

#[test]
fn line_endings_of_windows_change_nothing() {
    let unix = load(&[("acme.yaml", GOOD)]);
    let windows = load(&[("acme.yaml", &GOOD.replace('\n', "\r\n"))]);
    assert_eq!(unix.desired.tenants, windows.desired.tenants);
    assert!(windows.desired.broken.is_empty());
}

fn tenant(name: &str, domain: &str, more: &str) -> String {
    format!("name: {name}\ndomain: {domain}\npbx_instance: hq\n{more}")
}

#[test]
fn a_domain_of_two_files_breaks_both() {
    let loaded = load(&[
        ("a.yaml", &tenant("Able", "bücher.example", "")),
        ("b.yaml", &tenant("Baker", "xn--bcher-kva.example", "")),
        ("c.yaml", &tenant("Charlie", "charlie.example", "")),
        ("d.yaml", &tenant("Dog", "bücher.example", "typo: 1\n")),
    ]);
    let broken: Vec<_> = loaded.desired.broken.iter().map(|file| file.file.as_str()).collect();
    assert_eq!(broken, ["a.yaml", "b.yaml", "d.yaml"]);
    assert_eq!(loaded.desired.tenants.keys().collect::<Vec<_>>(), [&key("c")]);
    assert!(matches!(loaded.desired.completeness, Completeness::Partial { .. }));
    insta::with_settings!({ snapshot_path => "texts" }, { insta::assert_snapshot!(rendered(&loaded.problems)) });
}

#[test]
fn both_spellings_of_a_file_name_break_both() {
    let loaded = load(&[
        ("acme.yaml", &tenant("Acme Corp", "a.example", "")),
        ("acme.yml", &tenant("Acme Corp.", "b.example", "")),
    ]);
    assert!(loaded.desired.tenants.is_empty());
    insta::with_settings!({ snapshot_path => "texts" }, { insta::assert_snapshot!(rendered(&loaded.problems)) });
}

#[test]
fn previously_must_name_a_removed_file_and_only_once() {
    let loaded = load(&[
        ("a.yaml", &tenant("Able", "a.example", "previously: old\n")),
        ("b.yaml", &tenant("Baker", "b.example", "previously: old\n")),
        ("c.yaml", &tenant("Charlie", "c.example", "previously: d\n")),
        ("d.yaml", &tenant("Dog", "d.example", "")),
        ("e.yaml", &tenant("Easy", "e.example", "previously: gone\n")),
    ]);
    assert_eq!(loaded.desired.tenants.keys().map(TenantKey::as_str).collect::<Vec<_>>(), ["d", "e"]);
    insta::with_settings!({ snapshot_path => "texts" }, { insta::assert_snapshot!(rendered(&loaded.problems)) });
}

const FILES_WITH_ADVICE: [(&str, &str, &str, &str); 5] = [
    ("a", "Tenant1", "a.example", "session_timeout: 3\ncross_tenant: {contacts: [b], presence: [b, zz]}\n"),
    ("b", "Globex", "b.example", "session_timeout: 600\n"),
    ("c", "globex", "c.example", "session_timeout: 120\n"),
    ("d", "d", "d.example", "pbx_settings: {theme.title.text: D}\n"),
    ("e", "Echo Ltd", "e.example", "pbx_settings: {security.password_length.numeric: 12}\n"),
];

#[test]
fn advice_is_given_with_the_name_that_accepts_it() {
    let files = FILES_WITH_ADVICE
        .map(|(key, name, domain, more)| (format!("{key}.yaml"), tenant(name, domain, more)));
    let loaded = load(&files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>());
    assert!(!loaded.has_errors());
    assert_eq!(loaded.desired.completeness, Completeness::Complete);
    assert_eq!(loaded.desired.warnings.len(), loaded.problems.len());
    assert!(!rendered(&loaded.problems).contains("hunter2"));
    insta::with_settings!({ snapshot_path => "texts" }, { insta::assert_snapshot!(rendered(&loaded.problems)) });
}

#[test]
fn accepted_advice_is_silent() {
    let names = load::advice::ADVICE_KINDS.map(|kind| kind.name).join(", ");
    let files = FILES_WITH_ADVICE.map(|(key, name, domain, more)| {
        (format!("{key}.yaml"), tenant(name, domain, &format!("{more}accept: [{names}]\n")))
    });
    let loaded = load(&files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>());
    assert_eq!(loaded.problems, []);
}

#[test]
fn a_file_has_at_most_fifty_problems_and_a_count() {
    let text = (0..300).map(|i| format!("k{i}: v\n")).collect::<String>();
    let loaded = load(&[("acme.yaml", &text)]);
    assert_eq!(loaded.problems.len(), 51);
    assert!(loaded.problems[50].what.contains("253 more problems"), "{}", loaded.problems[50]);
}

/// F1: what holds no tenant file justifies nothing.
#[test]
fn a_directory_without_tenant_files_is_unreadable() {
    let root = tempfile::tempdir().unwrap();
    let reason = |path: &Path| match load::directory(path, &config()).desired.completeness {
        Completeness::Unreadable { reason } => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(root.path()), "has no tenant files");
    fs::write(root.path().join("README.md"), "x").unwrap();
    assert_eq!(reason(root.path()), "has no tenant files");
    assert_eq!(reason(&root.path().join("gone")), "does not exist");
    assert_eq!(reason(&root.path().join("README.md")), "is not a directory");
    let ignored = load::directory(root.path(), &config()).desired.ignored;
    assert_eq!(ignored.len(), 1);
}

#[test]
fn an_unreadable_file_with_a_tenants_name_is_broken_not_absent() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("tenants.d");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("good.yaml"), tenant("Good Ltd", "good.example", "")).unwrap();
    fs::create_dir(dir.join("directory.yaml")).unwrap();
    fs::create_dir(dir.join("old")).unwrap();
    fs::write(root.path().join("outside.yaml"), tenant("Outside", "outside.example", "")).unwrap();
    symlink("../outside.yaml", dir.join("outside.yaml")).unwrap();
    symlink(root.path().join("outside.yaml"), dir.join("absolute.yaml")).unwrap();
    symlink("/dev/zero", dir.join("device.yaml")).unwrap();
    symlink("nowhere.yaml", dir.join("dangling.yaml")).unwrap();
    symlink("loop.yaml", dir.join("loop.yaml")).unwrap();
    symlink("../tenants.d/good.yaml", dir.join("round.yaml")).unwrap();
    std::os::unix::net::UnixListener::bind(dir.join("socket.yaml")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(dir.join("fifo.yaml")).arg(dir.join("pipe")).status();
    fs::write(dir.join("large.yaml"), vec![b'#'; (1 << 20) + 1]).unwrap();
    for name in [".good.yaml.swp", "good.yaml~", "#good.yaml#", "Good.yaml", "notes.txt", "4913"] {
        fs::write(dir.join(name), "x").unwrap();
    }
    let snapshot = Snapshot::read(&dir);
    let loaded = load::parse(&snapshot, &config());
    assert_nothing_is_lost(&snapshot, &loaded);
    assert_eq!(loaded.desired.tenants.keys().collect::<Vec<_>>(), [&key("good")]);
    let place = root.path().to_string_lossy().into_owned();
    let mut lines: Vec<String> = loaded
        .desired
        .broken
        .iter()
        .flat_map(|file| &file.problems)
        .map(|line| line.replace(&place, "").split(';').next().unwrap().to_owned())
        .collect();
    lines.extend(loaded.desired.unusual.iter().map(|file| format!("{}: {}", file.file, file.what)));
    lines.extend(loaded.desired.ignored.iter().map(|file| format!("{}: {}", file.file, file.reason)));
    if fifo.is_ok_and(|status| status.success()) {
        insta::with_settings!({ snapshot_path => "texts" }, { insta::assert_snapshot!(lines.join("\n")); });
    }
}

/// F6: Kubernetes mounts a ConfigMap as links through `..data`, and swaps that one link.
#[test]
fn a_config_map_is_read_through_its_links() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path();
    for (generation, name) in [("..1", "One Ltd"), ("..2", "Two Ltd")] {
        fs::create_dir(dir.join(generation)).unwrap();
        for key in ["a", "b"] {
            let text = tenant(&format!("{name} {key}"), &format!("{key}.example"), "");
            fs::write(dir.join(generation).join(format!("{key}.yaml")), text).unwrap();
        }
    }
    symlink("..1", dir.join("..data")).unwrap();
    symlink("..data/a.yaml", dir.join("a.yaml")).unwrap();
    symlink("./..data/b.yaml", dir.join("b.yaml")).unwrap();
    let name = |key_text: &str| {
        load::directory(dir, &config()).desired.tenants[&key(key_text)].definition.name.clone()
    };
    assert_eq!((name("a").as_str(), name("b").as_str()), ("One Ltd a", "One Ltd b"));
    symlink("..2", dir.join("..data_tmp")).unwrap();
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
    assert_eq!((name("a").as_str(), name("b").as_str()), ("Two Ltd a", "Two Ltd b"));
}

#[test]
fn a_swap_of_a_config_map_never_gives_a_mixture() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().to_owned();
    for generation in ["..1", "..2"] {
        fs::create_dir(dir.join(generation)).unwrap();
        for n in 0..50 {
            let text =
                tenant(&format!("Ltd {generation}"), &format!("t{n}.example"), "accept: [duplicate-name]\n");
            fs::write(dir.join(generation).join(format!("t{n}.yaml")), text).unwrap();
        }
    }
    symlink("..1", dir.join("..data")).unwrap();
    for n in 0..50 {
        symlink(format!("..data/t{n}.yaml"), dir.join(format!("t{n}.yaml"))).unwrap();
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for generation in ["..2", "..1"].into_iter().cycle() {
                symlink(generation, dir.join("..data_tmp")).unwrap();
                fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
            }
        });
        for _ in 0..200 {
            let snapshot = Snapshot::read(&dir);
            let loaded = load::parse(&snapshot, &config());
            let names: BTreeSet<_> =
                loaded.desired.tenants.values().map(|tenant| tenant.definition.name.clone()).collect();
            assert_eq!(
                (names.len(), loaded.desired.tenants.len()),
                (1, 50),
                "{names:?} {:?}",
                loaded.desired.broken
            );
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_directory_replaced_by_another_has_another_identity() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("tenants.d");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("a.yaml"), tenant("Able", "a.example", "")).unwrap();
    let before = Snapshot::read(&dir);
    fs::rename(&dir, root.path().join("old")).unwrap();
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("a.yaml"), tenant("Able", "a.example", "")).unwrap();
    let after = Snapshot::read(&dir);
    assert_eq!(before.digest, after.digest);
    assert_ne!(before.identity, after.identity);
    assert_ne!(before, after);
}

/// Parsing is linear: twenty times the files take some twenty times as long, never four hundred.
#[test]
fn ten_thousand_files_are_parsed_in_linear_time() {
    let snapshot = |count: usize| {
        Snapshot::from_files(
            "tenants.d",
            (0..count).map(|n| {
                let text = GOOD
                    .replace("acme", &format!("t{n}"))
                    .replace("Acme Corp", &format!("Tenant Number {n} Ltd"))
                    .replace("globex", &format!("t{}", (n + 1) % count));
                (format!("t{n}.yaml"), text)
            }),
        )
    };
    let time = |snapshot: &Snapshot| {
        let started = std::time::Instant::now();
        let loaded = load::parse(snapshot, &config());
        assert!(!loaded.has_errors());
        started.elapsed().as_secs_f64()
    };
    let (few, many) = (snapshot(500), snapshot(10_000));
    time(&few);
    let ratio = time(&many) / time(&few);
    assert!(ratio < 60.0, "20 times the files took {ratio:.0} times as long");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
            #[test]
            fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
                assert_valid_or_broken(&bytes, "bytes");
            }

            #[test]
            fn arbitrary_yaml_never_panics(text in "([a-z]{1,3}|[ \n:\\-\\[\\]{}#&*!|>'\"%@`,?\t]|  |\n|: |- |é|\u{feff}){0,80}") {
                assert_valid_or_broken(text.as_bytes(), "yaml");
                assert_valid_or_broken(format!("{GOOD}{text}").as_bytes(), "yaml behind a tenant");
            }

            #[test]
            fn any_line_put_anywhere_never_panics(at in 0usize..14, line in ".{0,40}") {
                let mut lines: Vec<&str> = GOOD.lines().collect();
                lines.insert(at, &line);
                assert_valid_or_broken(lines.join("\n").as_bytes(), "line");
            }

            /// What `import` writes is read back to the same tenant.
            #[test]
            fn a_written_tenant_is_read_back(
                name in "(no|on|0123|1e3|null|~|- x|: |#|[a-zA-Zäß日0-9:#'\"\\\\,@%!&*<>=? -]{0,20})x?",
                domain in "[a-z0-9]{1,10}(-[a-z0-9]{1,5})?\\.(example|no|on|12a)",
                enabled: bool,
                protected: bool,
                timeout in 1u32..10_080,
                users in prop::option::of(1u32..500),
                settings in prop::collection::btree_map(
                    "[a-z0-9_]{1,5}\\.[a-z0-9_]{1,6}\\.(text|numeric|array)",
                    "(no|on|0123|1e3|null|~|true|[0-9.]{1,6}|[ -~äß\n\t]{1,20})",
                    0..5),
                shares in prop::collection::btree_set("(no|on|7|null|[a-z][a-z0-9._-]{0,8})", 0..3),
            ) {
                let name = name.trim().to_owned();
                prop_assume!(!name.is_empty());
                let settings = settings.into_iter().filter(|(key, _)| {
                    !key.starts_with("domain.cidr.") && !key.starts_with("limit.users.")
                }).map(|(key, value)| (tenantd::model::SettingName::parse(&key).unwrap(), value.trim().to_owned())).filter(|(_, value): &(_, String)| !value.is_empty()).collect();
                let tenant = tenantd::model::Tenant {
                    key: key("acme"),
     definition: tenantd::model::Definition {
                    name,
                    domain: tenantd::model::DomainName::parse(&domain).unwrap(),
                    instance: tenantd::model::InstanceKey::parse("hq").unwrap(),
                    enabled,
                    session_timeout: timeout,
                    max_users: users.map_or(tenantd::model::MaxUsers::Unlimited, tenantd::model::MaxUsers::Limited),
                    protected,
                    pbx_settings: settings,
                    cross_tenant: tenantd::model::CrossTenant {
                        presence: shares.iter().filter(|share| *share != "acme").map(|share| key(share)).collect(),
                        ..Default::default()
                    },
                    drift: if enabled { tenantd::model::DriftPolicy::Report } else { tenantd::model::DriftPolicy::Correct }},
                    previously: None,
                    adopt: false,
                    sms_numbers: protected.then(|| {
                        ["+4930123456", "12345"].map(|text| tenantd::model::SmsNumber::parse(text).unwrap()).into()
                    }),
                    accept: BTreeSet::new()
    };
                let text = tenantd::yaml::write_tenant_file(&(&tenant).into());
                let loaded = load(&[("acme.yaml", &text)]);
                prop_assert!(!loaded.has_errors(), "{}\n{}", text, rendered(&loaded.problems));
                prop_assert_eq!(&loaded.desired.tenants[&key("acme")], &tenant, "{}", text);
            }
        }
}

#[test]
fn a_setting_that_fusionpbx_would_store_otherwise_is_an_error() {
    let with = |value: &str| {
        load(&[(
            "acme.yaml",
            &format!("{}  theme.css.text: {value}\n", GOOD.split("cross_tenant").next().unwrap()),
        )])
    };
    for (value, expected) in [
        ("|\n    one\n    two", "ends with a line break"),
        ("\" one\"", "begins or ends with a blank"),
        ("\"one\\t\"", "begins or ends with a blank"),
    ] {
        let loaded = with(value);
        let text = rendered(&loaded.problems);
        assert!(text.contains("`theme.css.text`") && text.contains(expected), "{value}: {text}");
        assert!(text.contains("tenants.d/acme.yaml:1"), "{value}: {text}");
    }
    for value in ["|-\n    one\n    two", "one", "\"one\\ttwo\""] {
        let loaded = with(value);
        assert!(loaded.desired.tenants.contains_key(&key("acme")), "{value}: {}", rendered(&loaded.problems));
    }
}

mod below_the_directory {
    use chrono::Utc;
    use tenantd::model::{DomainId, Recorded, TenantId, TenantRecord};

    use super::*;

    /// A directory with these files; folders are made.
    fn dir_of(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn of(name: &str) -> String {
        tenant(&format!("{name} Ltd"), &format!("{name}.example"), "")
    }

    /// Records that agree with the files of these tenants.
    fn recorded(names: &[&str]) -> Recorded {
        let files: Vec<(String, String)> =
            names.iter().map(|name| (format!("{name}.yaml"), of(name))).collect();
        let loaded =
            load(&files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>());
        let id = uuid::Uuid::nil();
        let records = loaded.desired.tenants.values().map(|tenant| {
            (tenant.key.clone(), TenantRecord::new(TenantId(id), tenant, DomainId(id), Utc::now()))
        });
        Recorded { tenants: records.collect(), ..Recorded::default() }
    }

    fn keys(loaded: &Loaded) -> Vec<&str> {
        loaded.desired.tenants.keys().map(TenantKey::as_str).collect()
    }

    /// What is unusual, with the tenants whose file it could be.
    fn unusual(loaded: &Loaded) -> Vec<String> {
        let tenants =
            |of: &BTreeSet<TenantKey>| of.iter().map(TenantKey::as_str).collect::<Vec<_>>().join(" ");
        let found = loaded.desired.unusual.iter();
        found.map(|file| format!("{}: {}", file.file, tenants(&file.tenants))).collect()
    }

    #[test]
    fn folders_are_for_people_and_the_stem_is_the_key() {
        let flat = load(&[("acme.yaml", &of("acme")), ("b.yaml", &of("b"))]);
        let root = dir_of(&[("hq/acme.yaml", &of("acme")), ("Reseller one/x/y/b.yaml", &of("b"))]);
        let loaded = load::directory(root.path(), &config());
        assert_eq!(loaded.problems, [], "{}", rendered(&loaded.problems));
        assert_eq!(loaded.desired.tenants, flat.desired.tenants, "a file that moves is no change");
        assert_eq!(loaded.desired.completeness, Completeness::Complete);
    }

    #[test]
    fn a_key_in_two_folders_is_an_error_that_names_both() {
        let root = dir_of(&[("hq/acme.yaml", &of("acme")), ("acme.yml", &of("b")), ("c.yaml", &of("c"))]);
        let loaded = load::directory(root.path(), &config());
        assert_eq!(keys(&loaded), ["c"]);
        let text = rendered(&loaded.problems);
        assert!(
            text.contains("hq/acme.yaml") && text.contains("`acme.yml` is also a file of this tenant"),
            "{text}"
        );
    }

    #[test]
    fn links_to_folders_are_followed_inside_only_and_each_folder_once() {
        let outside = dir_of(&[("z.yaml", &of("z"))]);
        let root = dir_of(&[
            ("..2026/hq/a.yaml", &of("a")),
            ("real/b.yaml", &of("b")),
            ("real/deep/c.yaml", &of("c")),
        ]);
        let dir = root.path();
        symlink("..2026", dir.join("..data")).unwrap();
        symlink("..data/hq", dir.join("hq")).unwrap();
        symlink(".", dir.join("loop")).unwrap();
        symlink("..", dir.join("real/deep/up")).unwrap();
        symlink("real", dir.join("again")).unwrap();
        let loaded = load::directory(dir, &config());
        assert_eq!(keys(&loaded), ["a", "b", "c"], "{}", rendered(&loaded.problems));
        assert_eq!(loaded.desired.completeness, Completeness::Complete);
        symlink(outside.path(), dir.join("mounted")).unwrap();
        symlink("nowhere", dir.join("lost")).unwrap();
        let loaded = load::directory(dir, &config());
        assert_eq!(keys(&loaded), ["a", "b", "c"]);
        assert_eq!(unusual(&loaded), ["lost: ", "mounted: "]);
        assert!(matches!(loaded.desired.completeness, Completeness::Partial { .. }));
    }

    #[test]
    fn a_link_in_a_folder_leads_from_there() {
        let root = dir_of(&[(".store/a", &of("a")), ("hq/b.data", &of("b")), ("z.yaml", &of("z"))]);
        let dir = root.path();
        symlink("../.store/a", dir.join("hq/a.yaml")).unwrap();
        symlink("b.data", dir.join("hq/b.yaml")).unwrap();
        symlink("../../out.yaml", dir.join("hq/out.yaml")).unwrap();
        let loaded = load::directory(dir, &config());
        assert_eq!(keys(&loaded), ["a", "b", "z"], "{}", rendered(&loaded.problems));
        assert!(rendered(&loaded.problems).contains("leaves the tenants directory (to ../../out.yaml)"));
    }

    #[test]
    fn a_directory_that_is_not_read_whole_is_unreadable() {
        let deep = format!("{}a.yaml", "d/".repeat(17));
        let root = dir_of(&[("a.yaml", &of("a")), (&deep, &of("a"))]);
        let loaded = load::directory(root.path(), &config());
        let Completeness::Unreadable { reason } = &loaded.desired.completeness else { panic!("{loaded:?}") };
        assert!(reason.starts_with("was not fully read: d/d/"), "{reason}");
        let root = dir_of(&[("a.yaml", &of("a"))]);
        let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"caf\xe9");
        fs::create_dir(root.path().join(odd)).unwrap();
        let loaded = load::directory(root.path(), &config());
        assert!(matches!(loaded.desired.completeness, Completeness::Unreadable { .. }));
        assert!(rendered(&loaded.problems).contains("is not UTF-8"), "{}", rendered(&loaded.problems));
    }

    #[test]
    fn a_possible_tenant_file_is_an_error_even_without_a_record() {
        let good = of("good");
        for (name, tenants) in [
            ("Acme.yaml", "acme"),
            ("acme.YML", "acme"),
            ("acme .yaml", "acme"),
            ("_acme.yaml", "acme"),
            ("acme.yaml.disabled", "acme"),
            ("hq/acme.yaml.txt", "acme"),
            ("Copy of acme.yaml", "acme"),
            (".trash/acme.yaml", "acme"),
            (".acme.yaml", "acme"),
            ("\u{430}cme.yaml", ""),
            ("good (copy).yaml", ""),
            ("Good.yaml", ""),
        ] {
            let loaded = load(&[("good.yaml", &good), (name, &of("acme"))]);
            assert_eq!(unusual(&loaded), [format!("{name}: {tenants}")]);
            assert!(loaded.has_errors(), "{name}");
            assert!(matches!(loaded.desired.completeness, Completeness::Partial { .. }), "{name}");
            assert!(loaded.desired.ignored.is_empty(), "{name}");
        }
    }

    #[test]
    fn editor_and_tool_leftovers_beside_the_file_are_silent() {
        let good = of("good");
        for name in [
            "good.yaml~",
            ".good.yaml.swp",
            "#good.yaml#",
            "good.yaml.bak",
            "good.yaml.orig",
            ".good.yaml.Xa3bQ1",
            ".#good.yaml",
            "4913",
            "README.md",
            ".gitkeep",
            ".gitlab-ci.yml",
            ".rsync-partial/new.yaml",
            ".new.yaml.swp",
            "tenant.yaml.sample",
            ".cache/good.yaml",
        ] {
            let text = if name.contains("new") { of("new") } else { "name: x\n".to_owned() };
            let loaded = load(&[("good.yaml", &good), (name, &text)]);
            assert!(
                loaded.desired.unusual.is_empty() && !loaded.has_errors(),
                "{name}: {:?}",
                loaded.problems
            );
        }
    }

    #[test]
    fn a_missing_file_is_looked_for_by_its_record() {
        let records = recorded(&["acme", "good"]);
        let check = |name: &str, text: &str| {
            let mut loaded = load(&[("good.yaml", &of("good")), (name, text)]);
            load::by_record(Path::new("tenants.d"), &mut loaded.desired, &records);
            loaded
        };
        for (name, text) in [
            ("acme.json", "{}"),
            ("acme", ""),
            (".acme.yaml.swp", ""),
            ("acme.yaml~", ""),
            ("notes.txt", &*format!("# {}", of("acme").replace('\n', "\n# "))),
            (".old/x", &of("acme")),
            ("all.tar.gz", ""),
        ] {
            let loaded = check(name, text);
            assert_eq!(unusual(&loaded), [format!("{name}: acme")]);
            assert!(matches!(loaded.desired.completeness, Completeness::Partial { .. }), "{name}");
        }
        for (name, text) in [("notes.txt", "nothing"), ("good.yaml~", ""), ("README.md", "acme is gone")] {
            let loaded = check(name, text);
            assert!(loaded.desired.unusual.is_empty(), "{name}");
            assert_eq!(loaded.desired.completeness, Completeness::Complete, "{name}");
        }
        // Whose key changed has a file.
        for new in [of("acme"), format!("{}previously: acme\n", of("corp"))] {
            let mut loaded = load(&[("good.yaml", &of("good")), ("corp.yaml", &new), ("acme.yaml~", "")]);
            loaded.desired.unusual.clear();
            loaded.desired.completeness = Completeness::Complete;
            load::by_record(Path::new("tenants.d"), &mut loaded.desired, &records);
            assert_eq!(loaded.desired.completeness, Completeness::Complete);
        }
    }

    #[test]
    fn a_packed_file_is_unpacked_and_not_renamed() {
        let mut loaded = load(&[("good.yaml", &of("good")), ("acme.yaml.gz", "")]);
        load::by_record(Path::new("tenants.d"), &mut loaded.desired, &recorded(&["acme", "good"]));
        let mend = &loaded.desired.unusual[0].mend;
        assert!(mend.contains("unpack it to ") && !mend.contains("`mv"), "{mend}");
    }

    #[test]
    fn hidden_names_and_folders_are_checked_and_stores_of_version_control_are_not() {
        for (name, is_reported) in [
            ("..acme.yaml", true),
            ("...acme.yaml", true),
            ("..attic/acme.yaml", true),
            (".attic/deep/acme.yaml", true),
            ("..2026_11_27/x", true),
            ("..data/acme", true),
            (".git/acme.yaml", false),
            (".hg/store/acme.yaml", false),
            ("hq/.svn/acme.yaml", false),
        ] {
            let root = dir_of(&[("good.yaml", &of("good")), (name, &of("acme"))]);
            let mut loaded = load::directory(root.path(), &config());
            load::by_record(root.path(), &mut loaded.desired, &recorded(&["good", "acme"]));
            let expected = if is_reported { vec![format!("{name}: acme")] } else { vec![] };
            assert_eq!(unusual(&loaded), expected);
            assert_eq!(loaded.desired.completeness == Completeness::Complete, !is_reported, "{name}");
        }
    }

    /// The files that it shows are the tenants'; the same ones below its own folder are no second files.
    #[test]
    fn a_config_maps_own_folder_holds_no_second_files() {
        let root = dir_of(&[("..2026_1/a.yaml", &of("a")), ("..2026_1/b.yaml", &of("b"))]);
        let dir = root.path();
        symlink("..2026_1", dir.join("..data")).unwrap();
        for key in ["a", "b"] {
            symlink(format!("..data/{key}.yaml"), dir.join(format!("{key}.yaml"))).unwrap();
        }
        let records = recorded(&["a", "b", "data"]);
        let look = || {
            let mut loaded = load::directory(dir, &config());
            load::by_record(dir, &mut loaded.desired, &records);
            loaded
        };
        let loaded = look();
        assert_eq!(keys(&loaded), ["a", "b"]);
        assert_eq!(loaded.desired.completeness, Completeness::Complete);
        assert!(loaded.desired.ignored.is_empty(), "{:?}", loaded.desired.ignored);
        // Kubernetes takes one away: another folder, and no link any more.
        let new = dir_of(&[("a.yaml", &of("a"))]);
        fs::rename(new.path(), dir.join("..2026_2")).unwrap();
        fs::remove_file(dir.join("..data")).unwrap();
        symlink("..2026_2", dir.join("..data")).unwrap();
        fs::remove_file(dir.join("b.yaml")).unwrap();
        // Until its previous folder is gone, the file is still there.
        assert_eq!(unusual(&look()), ["..2026_1/b.yaml: b"]);
        fs::remove_dir_all(dir.join("..2026_1")).unwrap();
        let loaded = look();
        assert_eq!(keys(&loaded), ["a"]);
        assert_eq!(loaded.desired.completeness, Completeness::Complete);
    }

    #[test]
    fn a_text_that_is_a_tenant_file_is_an_error_whatever_its_name() {
        let json = r#"{"name": "Acme", "domain": "acme.example.com", "pbx_instance": "hq"}"#;
        for (name, text, guessed) in [
            ("acme.txt", &*of("acme"), "acme"),
            ("acme.json", json, "acme"),
            ("acme-old", &of("acme"), "acme"),
            ("hq/parked.off", &of("acme"), "parked"),
        ] {
            let mut loaded = load(&[("good.yaml", &of("good")), (name, text)]);
            assert_eq!(unusual(&loaded), [format!("{name}: {guessed}")]);
            assert!(loaded.has_errors(), "{name}");
            // The record knows whose domain it is.
            load::by_record(Path::new("tenants.d"), &mut loaded.desired, &recorded(&["good", "acme"]));
            assert_eq!(unusual(&loaded), [format!("{name}: acme")]);
            assert!(loaded.desired.unusual[0].mend.contains("acme.yaml"), "{:?}", loaded.desired.unusual);
        }
        for (name, text) in [
            ("notes.txt", "The domain: acme.example.com, its name: Acme\n"),
            ("list.json", r#"[{"domain": "acme.example.com"}]"#),
            ("good.txt", &*of("good")),
            ("tenant.yaml.sample", &of("acme")),
        ] {
            let loaded = load(&[("good.yaml", &of("good")), (name, text)]);
            assert!(!loaded.has_errors() && loaded.desired.unusual.is_empty(), "{name}");
            assert_eq!(loaded.desired.ignored.len(), 1, "{name}");
        }
    }

    #[test]
    fn an_empty_folder_may_have_been_a_mount() {
        let root = dir_of(&[("good.yaml", &of("good"))]);
        fs::create_dir(root.path().join("hq")).unwrap();
        let mut loaded = load::directory(root.path(), &config());
        load::by_record(root.path(), &mut loaded.desired, &recorded(&["good"]));
        assert!(loaded.desired.unusual.is_empty(), "no tenant lacks its file");
        load::by_record(root.path(), &mut loaded.desired, &recorded(&["good", "acme"]));
        assert_eq!(unusual(&loaded), ["hq: acme"]);
    }
}

/// What is taken from the reading before is never anything else than what a new reading finds.
#[test]
fn a_cached_reading_is_the_same_as_a_new_one() {
    let mut cache = load::Cache::default();
    let able = tenant("Able", "a.example", "");
    let baker = tenant("Baker", "b.example", "");
    let clash = tenant("Clash", "a.example", "");
    let directories: &[&[(&str, &str)]] = &[
        &[("a.yaml", &able)],
        &[("a.yaml", &able), ("b.yaml", &baker)],
        // Two files of one domain are both broken, and valid again when one is gone.
        &[("a.yaml", &able), ("b.yaml", &clash)],
        &[("a.yaml", &able)],
        &[("a.yaml", "name: ["), ("b.yaml", &baker)],
        // The same content under another name is another tenant.
        &[("c.yaml", &able), ("b.yaml", &baker)],
        &[],
        &[("c.yaml", &able), ("b.yaml", &baker)],
    ];
    for (number, files) in directories.iter().enumerate() {
        let snapshot =
            Snapshot::from_files("tenants.d", files.iter().map(|(name, text)| (*name, text.as_bytes())));
        let cached = load::parse_after(&snapshot, &config(), &mut cache);
        let new = load::parse(&snapshot, &config());
        assert_eq!(cached.desired, new.desired, "{number}");
        assert_eq!(rendered(&cached.problems), rendered(&new.problems), "{number}");
    }
}

/// A content that was not read again is the very one that was read before.
fn is_not_read_again(before: &Snapshot, after: &Snapshot, name: &str) -> bool {
    match (&before.files[name].content, &after.files[name].content) {
        (load::Content::Bytes(before), load::Content::Bytes(after)) => std::sync::Arc::ptr_eq(before, after),
        _ => false,
    }
}

#[test]
fn a_file_with_the_same_stamp_is_not_read_again_and_any_change_of_it_is_seen() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("tenants.d");
    fs::create_dir(&dir).unwrap();
    for name in ["same", "edited", "replaced", "removed"] {
        fs::write(dir.join(format!("{name}.yaml")), tenant("Able", &format!("{name}.example"), "")).unwrap();
    }
    let fresh = Snapshot::read(&dir);
    // Within one tick of the clock a file may change again without another stamp.
    let again = Snapshot::read_after(&dir, Some(&fresh));
    assert!(!is_not_read_again(&fresh, &again, "same.yaml"));
    std::thread::sleep(std::time::Duration::from_millis(4200));
    let settled = Snapshot::read(&dir);

    // The same length, and the modification time as before: only the change time tells.
    let edited = dir.join("edited.yaml");
    let modified = fs::metadata(&edited).unwrap().modified().unwrap();
    fs::write(&edited, tenant("Baker", "edited.example", "").replace("Baker", "Abel")).unwrap();
    fs::File::options().write(true).open(&edited).unwrap().set_modified(modified).unwrap();
    assert_eq!(fs::metadata(&edited).unwrap().modified().unwrap(), modified);
    let other = root.path().join("other");
    fs::write(&other, tenant("Baker", "replaced.example", "")).unwrap();
    fs::rename(&other, dir.join("replaced.yaml")).unwrap();
    fs::remove_file(dir.join("removed.yaml")).unwrap();
    fs::write(dir.join("new.yaml"), tenant("Able", "new.example", "")).unwrap();

    let after = Snapshot::read_after(&dir, Some(&settled));
    assert!(is_not_read_again(&settled, &after, "same.yaml"));
    assert_eq!(after, Snapshot::read(&dir));
    assert_ne!(after, settled);
}
