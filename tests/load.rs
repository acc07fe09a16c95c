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
    insta::assert_snapshot!(all);
}
