//! Which instances tenant files name: each gets a stand-in, so that anybody's own directory can be tried.

use std::collections::BTreeSet;
use std::path::Path;

use crate::model::InstanceKey;

/// Deeper folders are not managed.
const DEPTH: usize = 8;

/// The values of `pbx_instance:` in the files below a directory. A file that cannot be read names none; the loader says
/// what is wrong with it.
pub fn in_files(dir: &Path) -> BTreeSet<InstanceKey> {
    let mut found = BTreeSet::new();
    gather(dir, DEPTH, &mut found);
    found
}

fn gather(dir: &Path, depth: usize, found: &mut BTreeSet<InstanceKey>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if depth > 0 {
                gather(&path, depth - 1, found);
            }
        } else if name.ends_with(".yaml") || name.ends_with(".yml") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            found.extend(text.lines().filter_map(instance));
        }
    }
}

fn instance(line: &str) -> Option<InstanceKey> {
    let value = line.strip_prefix("pbx_instance:")?.split(" #").next()?;
    InstanceKey::parse(value.trim().trim_matches(['"', '\''])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_found_in_every_form_and_folder() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("south/deep")).unwrap();
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        for (file, text) in [
            ("a.yaml", "name: A\npbx_instance: pbx01   # the first\n"),
            ("south/b.yml", "pbx_instance: \"pbx02\"\n"),
            ("south/deep/c.yaml", "pbx_instance: 'pbx03'\n"),
            ("d.yaml", "pbx_instance: [\n# pbx_instance: no\n  pbx_instance: inside\n"),
            (".git/e.yaml", "pbx_instance: hidden\n"),
            ("notes.txt", "pbx_instance: text\n"),
        ] {
            std::fs::write(dir.path().join(file), text).unwrap();
        }
        let found = in_files(dir.path());
        assert_eq!(found.iter().map(InstanceKey::as_str).collect::<Vec<_>>(), ["pbx01", "pbx02", "pbx03"]);
    }
}
