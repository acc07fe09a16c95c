//! The decision table: every combination of file, completeness, record, PBX and deletion mode.

use chrono::TimeDelta;

use super::effect;
use super::fixture::{Fixture, domain, instance, key};
use crate::config::DeletionMode;
use crate::model::{Completeness, DomainId, PbxDomain, testing};
use crate::plan::{Action, Plan};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    Absent,
    Enabled,
    Disabled,
    Broken,
    /// `git mv`: another key, the same domain.
    OtherKey,
    /// Another key and another domain, with `previously:`.
    Previously,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Directory {
    Complete,
    Partial,
    Unreadable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    None,
    Enabled,
    /// The database says disabled; the PBX has not confirmed it yet.
    Unconfirmed,
    /// By `enabled: false`; its file was there.
    Disabled,
    Removed,
    PastRetention,
    Protected,
    /// Its creation was cut short.
    Unprovisioned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pbx {
    Enabled,
    Disabled,
    Null,
    Absent,
    Unknown,
    /// Not our domain, but its name.
    Foreign,
    /// Ours, and another one of the same name.
    Two,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Approve,
    Approved,
    AllowDelete,
    Automatic,
    Never,
}

const FILES: [File; 6] =
    [File::Absent, File::Enabled, File::Disabled, File::Broken, File::OtherKey, File::Previously];
const DIRECTORIES: [Directory; 3] = [Directory::Complete, Directory::Partial, Directory::Unreadable];
const RECORDS: [Record; 8] = [
    Record::None,
    Record::Enabled,
    Record::Unconfirmed,
    Record::Disabled,
    Record::Removed,
    Record::PastRetention,
    Record::Protected,
    Record::Unprovisioned,
];
const PBXS: [Pbx; 7] =
    [Pbx::Enabled, Pbx::Disabled, Pbx::Null, Pbx::Absent, Pbx::Unknown, Pbx::Foreign, Pbx::Two];
const MODES: [Mode; 5] = [Mode::Approve, Mode::Approved, Mode::AllowDelete, Mode::Automatic, Mode::Never];

/// `acme` in the given state, beside three tenants in agreement and a outside domain.
fn fixture(file: File, directory: Directory, record: Record, pbx: Pbx, mode: Mode) -> Fixture {
    let mut fixture = Fixture::of(["one", "three", "two", "acme"]);
    fixture.foreign("hq", 1, "foreign.example.net");
    on_record(&mut fixture, record);
    on_pbx(&mut fixture, record, pbx);
    on_file(&mut fixture, file);
    match directory {
        Directory::Complete => {}
        Directory::Partial => {
            fixture.desired.completeness = Completeness::Partial { reason: "x.yaml is broken".into() };
        }
        Directory::Unreadable => fixture.desired = crate::model::Desired::unreadable("cannot be read"),
    }
    fixture.policy.deletion.mode = match mode {
        Mode::Approve | Mode::Approved | Mode::AllowDelete => DeletionMode::Approve,
        Mode::Automatic => DeletionMode::Automatic,
        Mode::Never => DeletionMode::Never,
    };
    match mode {
        Mode::Approved => fixture.approve_deletion("acme", 1),
        Mode::AllowDelete => fixture.policy.allow_delete = [key("acme")].into(),
        Mode::Approve | Mode::Automatic | Mode::Never => {}
    }
    fixture
}

fn on_record(fixture: &mut Fixture, record: Record) {
    let (yesterday, long_ago) = (fixture.now - TimeDelta::days(1), fixture.now - TimeDelta::days(31));
    let acme = fixture.record("acme");
    let mut disable = |removed, at, confirmed| {
        acme.definition.enabled = false;
        acme.disabled_at = Some(at);
        acme.disable_confirmed_at = confirmed;
        acme.file_removed_at = removed;
    };
    match record {
        Record::None => drop(fixture.recorded.tenants.remove(&key("acme"))),
        Record::Enabled => {}
        Record::Unconfirmed => disable(None, yesterday, None),
        Record::Disabled => disable(None, long_ago, Some(long_ago)),
        Record::Removed => disable(Some(yesterday), yesterday, Some(yesterday)),
        Record::PastRetention => disable(Some(long_ago), long_ago, Some(long_ago)),
        Record::Protected => {
            disable(Some(long_ago), long_ago, Some(long_ago));
            acme.definition.protected = true;
        }
        Record::Unprovisioned => acme.provisioned = false,
    }
}

fn on_pbx(fixture: &mut Fixture, record: Record, pbx: Pbx) {
    let domain = testing::domain_of(&testing::record_of(&testing::wanted("acme")));
    let hq = fixture.domains("hq");
    let ours = hq.get_mut(&domain.id).unwrap();
    match pbx {
        Pbx::Enabled => ours.enabled = Some(true),
        Pbx::Disabled => ours.enabled = Some(false),
        Pbx::Null => ours.enabled = None,
        Pbx::Absent | Pbx::Foreign => drop(hq.remove(&domain.id)),
        Pbx::Unknown => fixture.lose("hq"),
        Pbx::Two => ours.enabled = Some(record == Record::Enabled),
    }
    if matches!(pbx, Pbx::Foreign | Pbx::Two) {
        fixture.foreign("hq", 2, "acme.example.com");
    }
}

fn on_file(fixture: &mut Fixture, file: File) {
    match file {
        File::Absent => fixture.remove_file("acme"),
        File::Enabled => {}
        File::Disabled => fixture.edit("acme", |acme| acme.definition.enabled = false),
        File::Broken => fixture.break_file("acme"),
        File::OtherKey => fixture.git_mv("acme", "umbrella"),
        File::Previously => {
            fixture.git_mv("acme", "umbrella");
            fixture.edit("umbrella", |tenant| {
                tenant.definition.domain = domain("umbrella.example.com");
                tenant.previously = Some(key("acme"));
            });
        }
    }
}

/// What a plan says about the tenant: steps, `(held)`, `waiting`, or `-`.
fn verdict(plan: &Plan) -> String {
    let mut words: Vec<String> = plan.steps.iter().map(|step| step.action.to_string()).collect();
    words.extend(plan.held.iter().map(|held| format!("({})", held.action)));
    words.extend(plan.scheduled.iter().map(|scheduled| format!("wait:{}", scheduled.action)));
    if words.is_empty() { "-".into() } else { words.join(" ") }
}

#[test]
fn every_combination_keeps_every_rule() {
    let mut seen = 0;
    for file in FILES {
        for directory in DIRECTORIES {
            for record in RECORDS {
                for pbx in PBXS {
                    for mode in MODES {
                        let mut fixture = fixture(file, directory, record, pbx, mode);
                        let context = format!("{file:?} {directory:?} {record:?} {pbx:?} {mode:?}");
                        let foreign: Vec<PbxDomain> = foreign(&fixture);
                        let plan = fixture.plan();
                        effect::carry_out(&mut fixture, &plan);
                        let adopted = plan.count(Action::Adopt);
                        assert_eq!(foreign.len() - adopted, self::foreign(&fixture).len(), "{context}");
                        assert!(self::foreign(&fixture).iter().all(|domain| foreign.contains(domain)));
                        let second = fixture.plan();
                        assert!(second.steps.is_empty(), "{context}: {plan:#?}\nand again {second:#?}");
                        seen += 1;
                    }
                }
            }
        }
    }
    assert_eq!(seen, 6 * 3 * 8 * 7 * 5);
}

/// Domains that no one recorded.
fn foreign(fixture: &Fixture) -> Vec<PbxDomain> {
    let ours: Vec<DomainId> = fixture.recorded.tenants.values().map(|record| record.domain_id).collect();
    match fixture.observed.instance(&instance("hq")) {
        crate::model::InstanceView::Seen { domains, .. } => {
            domains.values().filter(|domain| !ours.contains(&domain.id)).cloned().collect()
        }
        crate::model::InstanceView::Unknown { .. } => Vec::new(),
    }
}

/// The rows of SPEC.md, in its order; where a row says "any", each of them.
#[test]
fn the_rows_of_the_specification() {
    use Directory::{Complete, Partial, Unreadable};
    use Mode::{Approve, Approved, Automatic};
    let check = |file, directory, record, pbx, mode, expected: &str| {
        let plan = fixture(file, directory, record, pbx, mode).plan();
        assert_eq!(verdict(&plan), expected, "{file:?} {directory:?} {record:?} {pbx:?} {mode:?}");
    };
    check(File::Enabled, Complete, Record::None, Pbx::Absent, Approve, "create");
    check(File::Enabled, Complete, Record::Enabled, Pbx::Enabled, Approve, "-");
    check(File::Disabled, Complete, Record::Enabled, Pbx::Enabled, Approve, "disable");
    check(File::Enabled, Complete, Record::Disabled, Pbx::Disabled, Approve, "enable");
    check(File::OtherKey, Complete, Record::Enabled, Pbx::Enabled, Approve, "rename");
    check(File::Previously, Complete, Record::Enabled, Pbx::Enabled, Approve, "rename rename");
    check(File::Enabled, Complete, Record::Enabled, Pbx::Absent, Approve, "create");
    check(File::Enabled, Complete, Record::None, Pbx::Enabled, Approve, "(adopt)");
    for pbx in [Pbx::Enabled, Pbx::Disabled, Pbx::Null, Pbx::Absent, Pbx::Foreign, Pbx::Two] {
        check(File::Absent, Complete, Record::Enabled, pbx, Automatic, "disable");
        check(File::Absent, Complete, Record::None, pbx, Automatic, "-");
    }
    check(File::Absent, Complete, Record::Removed, Pbx::Disabled, Automatic, "wait:delete");
    check(File::Absent, Complete, Record::PastRetention, Pbx::Disabled, Approve, "(delete)");
    check(File::Absent, Complete, Record::PastRetention, Pbx::Disabled, Approved, "delete");
    check(File::Absent, Complete, Record::PastRetention, Pbx::Disabled, Automatic, "delete");
    check(File::Absent, Complete, Record::Protected, Pbx::Disabled, Automatic, "(delete)");
    check(File::Absent, Complete, Record::Disabled, Pbx::Disabled, Automatic, "disable");
    check(File::Absent, Complete, Record::Enabled, Pbx::Unknown, Automatic, "(disable)");
    check(File::Absent, Complete, Record::PastRetention, Pbx::Unknown, Automatic, "(delete)");
    check(File::Enabled, Complete, Record::None, Pbx::Unknown, Automatic, "(create)");
    check(File::Disabled, Complete, Record::Enabled, Pbx::Unknown, Automatic, "(update)");
    for pbx in PBXS {
        for record in RECORDS.into_iter().filter(|record| *record != Record::None) {
            check(File::Broken, Partial, record, pbx, Automatic, "(update)");
            check(File::Absent, Unreadable, record, pbx, Automatic, "-");
        }
        check(File::Absent, Partial, Record::Enabled, pbx, Automatic, "(disable)");
        check(File::Absent, Partial, Record::PastRetention, pbx, Automatic, "(delete)");
    }
}

/// The whole table for a complete directory, to be read by an operator when it changes.
#[test]
fn the_whole_table() {
    let mut table = String::new();
    let mut rows = |mode, files: &[File]| {
        table.push_str(&format!("\n## deletion.mode {mode:?}\n"));
        for file in files {
            table.push_str(&format!("\n{:<24}", format!("file {file:?}")));
            PBXS.iter().for_each(|pbx| table.push_str(&format!("| {:<21}", format!("{pbx:?}"))));
            for record in RECORDS {
                table.push_str(&format!("\n{:<24}", format!("  recorded {record:?}")));
                for pbx in PBXS {
                    let directory =
                        if *file == File::Broken { Directory::Partial } else { Directory::Complete };
                    let plan = fixture(*file, directory, record, pbx, mode).plan();
                    let word = verdict(&plan).replace("rename rename", "rename");
                    table.push_str(&format!("| {word:<21}"));
                }
            }
            table.push('\n');
        }
    };
    rows(Mode::Approve, &FILES);
    rows(Mode::Approved, &[File::Absent]);
    rows(Mode::Automatic, &[File::Absent]);
    rows(Mode::Never, &[File::Absent]);
    let table: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    insta::assert_snapshot!(table);
}
