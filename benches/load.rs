//! How long it takes to load 10,000 tenants: the aim is well under half a second.

use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tenantd::config::Config;
use tenantd::load::{self, Snapshot};

const TENANTS: usize = 10_000;

const CONFIG: &[u8] = b"\
database_url: sqlite:tenantd.db
tenants_dir: tenants.d
pbx_instances:
  hq: {url: https://pbx1.example.com, username: t@pbx1.example.com, password: {env: HQ}}
cross_tenant: {allow: [presence]}
";

fn tenant(n: usize) -> (String, String) {
    let next = (n + 1) % TENANTS;
    let text = format!(
        "name: Tenant Number {n} Ltd\ndomain: t{n}.example.com\npbx_instance: hq\nenabled: true\nsession_timeout: 45\n\
         max_users: 50\npbx_settings:\n  domain.time_zone.name: Europe/Berlin\n  limit.extensions.numeric: 100\n\
         cross_tenant:\n  presence: [t{next}]\n"
    );
    (format!("t{n}.yaml"), text)
}

fn benchmark(criterion: &mut Criterion) {
    let (config, _) = Config::parse(Path::new("/tenantd.yaml"), "tenantd.yaml", CONFIG).unwrap();
    let snapshot = Snapshot::from_files("tenants.d", (0..TENANTS).map(tenant));
    let root = tempfile::tempdir().unwrap();
    for (name, text) in (0..TENANTS).map(tenant) {
        std::fs::write(root.path().join(name), text).unwrap();
    }
    let mut group = criterion.benchmark_group("load 10,000 tenants");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    group.bench_function("parse", |bencher| bencher.iter(|| load::parse(&snapshot, &config)));
    group.bench_function("read", |bencher| bencher.iter(|| Snapshot::read(root.path())));
    group.bench_function("directory", |bencher| bencher.iter(|| load::directory(root.path(), &config)));
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
