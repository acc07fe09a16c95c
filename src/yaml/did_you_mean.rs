//! "Did you mean": the known name that a mistyped one is closest to.

/// The candidate that was most likely meant, or none where that would be a guess.
///
/// Case and `-` for `_` do not count; then a shared beginning or ending (`timeout` for `session_timeout`), then a
/// distance of at most one edit in three characters.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if name.chars().count() > 64 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let name = plain(name);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other = plain(candidate);
        let distance = if other == name {
            0
        } else {
            let long = name.len() >= 4 && other.len() >= 4;
            let begins = long && (other.starts_with(&name) || name.starts_with(&other));
            let ends = long && (other.ends_with(&name) || name.ends_with(&other));
            let edits = strsim::damerau_levenshtein(&name, &other);
            let allowed = (name.chars().count().max(other.chars().count()) / 3).max(1);
            if edits <= allowed {
                edits
            } else if begins || ends {
                allowed + if begins { 1 } else { 2 }
            } else {
                continue;
            }
        };
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 5] = ["name", "domain", "pbx_instance", "session_timeout", "enabled"];

    #[test]
    fn suggestions_are_close_matches_only() {
        let near = |name| nearest(name, KEYS);
        assert_eq!(near("domian"), Some("domain"));
        assert_eq!(near("Domain"), Some("domain"));
        assert_eq!(near("pbx-instance"), Some("pbx_instance"));
        assert_eq!(near("timeout"), Some("session_timeout"));
        assert_eq!(near("enable"), Some("enabled"));
        assert_eq!(near("domain_name"), Some("domain"));
        assert_eq!(near("colour"), None);
        assert_eq!(near(&"domain".repeat(100)), None);
    }
}
