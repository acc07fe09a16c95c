//! Which names below the tenants directory are tenant files. What ignored ones could mean is reported by `spelling`.

/// Whether a path is a tenant file's: its name matches `^[a-z0-9][a-z0-9._-]*\.ya?ml$`, and no folder on the way is
/// hidden; otherwise why it is ignored. Folders may have any other name.
pub(super) fn judge(path: &str) -> Result<(), &'static str> {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    if folders.split('/').any(|folder| folder.starts_with('.')) {
        return Err("in a hidden folder");
    }
    let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml"));
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    if let Some(stem) = stem
        && stem.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && stem.bytes().all(fits)
    {
        return Ok(());
    }
    let lower = name.to_ascii_lowercase();
    Err(if name.starts_with('.') {
        "a dot file"
    } else if is_backup(&lower) {
        "an editor's backup or temporary file"
    } else if !lower.ends_with(".yaml") && !lower.ends_with(".yml") {
        "its name does not end in .yaml or .yml"
    } else if name.bytes().any(|b| b.is_ascii_uppercase()) {
        "its name has capitals"
    } else if name.contains('\u{fffd}') {
        "its name is not UTF-8"
    } else {
        "its name has characters other than a-z, 0-9, `.`, `_` and `-`, or begins with a sign"
    })
}

/// The tenant's key of a path that [`judge`] accepts.
pub(super) fn stem(path: &str) -> &str {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Whether an editor or a package manager left a lower-case name behind.
pub(super) fn is_backup(name: &str) -> bool {
    const ENDINGS: [&str; 12] = [
        "~",
        ".swp",
        ".swo",
        ".swx",
        ".bak",
        ".orig",
        ".rej",
        ".tmp",
        ".old",
        ".rpmnew",
        ".rpmsave",
        ".dpkg-dist",
    ];
    ENDINGS.iter().any(|ending| name.ends_with(ending))
        || name.contains(".dpkg-")
        || (name.starts_with('#') && name.ends_with('#'))
        // vim's probe for whether it may write in a directory.
        || (name.len() >= 4 && name.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_yaml_names_are_tenants() {
        for good in
            ["acme.yaml", "acme.yml", "0.yaml", "a.b_c-d.yaml", "a..yaml", "hq/acme.yaml", "Big Ones/x/a.yml"]
        {
            assert_eq!(judge(good), Ok(()), "{good}");
        }
        for (bad, reason) in [
            (".acme.yaml.swp", "a dot file"),
            ("..data", "a dot file"),
            (".#acme.yaml", "a dot file"),
            ("acme.yaml~", "an editor's backup or temporary file"),
            ("#acme.yaml#", "an editor's backup or temporary file"),
            ("4913", "an editor's backup or temporary file"),
            ("acme.yaml.bak", "an editor's backup or temporary file"),
            ("acme.yaml.dpkg-new", "an editor's backup or temporary file"),
            ("README.md", "its name does not end in .yaml or .yml"),
            ("Acme.yaml", "its name has capitals"),
            ("acme.YAML", "its name has capitals"),
            ("hq/Acme.yaml", "its name has capitals"),
            (".trash/acme.yaml", "in a hidden folder"),
            ("hq/.old/acme.yaml", "in a hidden folder"),
        ] {
            assert_eq!(judge(bad), Err(reason), "{bad}");
        }
        for bad in ["-a.yaml", "a b.yaml", "ä.yaml", "_.yaml", "a/b c.yaml"] {
            assert!(judge(bad).is_err_and(|reason| reason.contains("characters other than")), "{bad}");
        }
        assert_eq!(stem("acme.corp.yaml"), "acme.corp");
        assert_eq!(stem("hq.d/acme.yaml"), "acme");
    }
}
