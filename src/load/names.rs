//! Which names in the tenants directory are tenant files.

/// Whether a name matches `^[a-z0-9][a-z0-9._-]*\.ya?ml$`; otherwise why it is ignored.
pub(super) fn judge(name: &str) -> Result<(), &'static str> {
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
        "its name has other characters than a-z, 0-9, `.`, `_` and `-`, or begins with a sign"
    })
}

/// The tenant's key of a name that [`judge`] accepts.
pub(super) fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn is_backup(name: &str) -> bool {
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
        for good in ["acme.yaml", "acme.yml", "0.yaml", "a.b_c-d.yaml", "a..yaml"] {
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
        ] {
            assert_eq!(judge(bad), Err(reason), "{bad}");
        }
        for bad in ["-a.yaml", "a b.yaml", "ä.yaml", "_.yaml", "a/b.yaml"] {
            assert!(judge(bad).is_err_and(|reason| reason.contains("other characters")), "{bad}");
        }
        assert_eq!(stem("acme.corp.yaml"), "acme.corp");
    }
}
