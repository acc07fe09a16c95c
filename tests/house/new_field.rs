//! The README's list of what a new field of the tenant file needs is what the compiler asks for.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The files that the README's list marks as asked for by the compiler.
fn listed(readme: &str) -> BTreeSet<String> {
    let start = readme.find("#### A new field of the tenant file").expect("the README has the section");
    let section = &readme[start..];
    let section = &section[..section[4..].find("\n####").map_or(section.len(), |end| end + 4)];
    let steps = section.lines().filter(|line| line.contains("(the compiler asks)"));
    let file = |line: &str| line.split('`').nth(1).map(str::to_owned);
    steps.filter_map(file).collect()
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != "target" {
                copy(&entry.path(), &to.join(entry.file_name()));
            }
        }
    } else {
        std::fs::copy(from, to).unwrap();
    }
}

#[test]
#[ignore = "type-checks the program once more, up to a minute; the gate runs it"]
fn a_new_field_is_asked_for_by_the_compiler_in_the_files_that_the_readme_lists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let parts = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "src",
        "crates",
        "tests",
        "benches",
        "migrations",
        "systemd",
        "tenants.d",
    ];
    for part in parts {
        copy(&root.join(part), &dir.path().join(part));
    }
    let path = dir.path().join("src/model/tenant.rs");
    let text = std::fs::read_to_string(&path).unwrap();
    let start = "pub struct Definition {\n";
    assert_eq!(text.matches(start).count(), 1, "`Definition` begins as expected");
    let field = format!("{start}    pub a_field_of_this_test: Option<String>,\n");
    std::fs::write(&path, text.replace(start, &field)).unwrap();
    let target = std::env::current_exe().unwrap();
    let target = target.ancestors().nth(3).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["check", "--lib", "--package", "tenantd", "--offline", "--message-format", "short"])
        .current_dir(dir.path())
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "the compiler found nothing to ask for");
    let errors: BTreeSet<String> = messages
        .lines()
        .filter(|line| line.contains(" error[E0063]") || line.contains(" error[E0027]"))
        .filter_map(|line| line.split(':').next())
        .map(str::to_owned)
        .collect();
    let other = messages.lines().find(|line| {
        line.contains(": error") && !line.contains("error[E0063]") && !line.contains("error[E0027]")
    });
    assert_eq!(other, None, "{messages}");
    assert_eq!(errors, listed(&readme), "{messages}");
}
