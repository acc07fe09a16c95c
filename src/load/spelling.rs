//! What an ignored name could mean: the one rule for every way in which a tenant's file is there under another
//! spelling.
//!
//! People move a file out of the way (`acme.yaml.disabled`, `_acme.yaml`, `acme (copy).yaml`), a machine spells it
//! otherwise (`Acme.YAML`, NFD, full width), an editor leaves a copy (`acme.yaml~`). All of these are one question:
//! which tenants' keys stand in the name? A name is folded (no accents, no case, no signs at its ends) and cut into
//! words; a tenant is meant where its key is a run of these words:
//!
//! - in a name that has `.yaml` or `.yml` somewhere, any run counts (`old copy of acme.yaml.2026-11-27`);
//! - in another one, the words beside the run must be ones that people use to set a file aside (`acme.disabled`,
//!   `acme-old.txt`, `acme`), so that `customers-of-acme.csv` means nothing.
//!
//! The longest key wins, so that `acme-old.yaml~` beside a good `acme-old.yaml` says nothing of `acme`.

use std::collections::{BTreeMap, BTreeSet};

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use super::names;
use crate::model::TenantKey;

/// Words that say that a file was set aside, or how it is kept. Endings are words, too.
const ASIDE: &[&str] = &[
    "alt",
    "archive",
    "archived",
    "arj",
    "asc",
    "age",
    "aside",
    "backup",
    "bak",
    "bck",
    "bkp",
    "bu",
    "bz2",
    "conf",
    "copie",
    "copy",
    "copia",
    "deleted",
    "dis",
    "disable",
    "disabled",
    "dist",
    "do",
    "dpkg",
    "draft",
    "enc",
    "gone",
    "gpg",
    "gz",
    "hidden",
    "hold",
    "inactive",
    "json",
    "kopia",
    "kopie",
    "md",
    "new",
    "not",
    "of",
    "off",
    "old",
    "orig",
    "original",
    "paused",
    "prev",
    "previous",
    "rej",
    "removed",
    "rpmnew",
    "rpmsave",
    "save",
    "saved",
    "suspended",
    "swp",
    "tmp",
    "toml",
    "trash",
    "txt",
    "unused",
    "use",
    "wip",
    "x",
    "xz",
    "zst",
];

/// Endings of patterns and examples, which are no tenant's file.
const SAMPLES: [&str; 8] = [".sample", ".example", ".template", ".tmpl", ".tpl", ".j2", ".jinja", ".erb"];

/// A name as far as it could mean a tenant.
#[derive(Debug)]
pub(super) struct Spelling {
    words: Vec<String>,
    /// What stands before the ending, in one piece.
    stem: String,
    /// It contains `.yaml` or `.yml`.
    has_yaml: bool,
    /// It ends so, but for case, blanks and dots behind it.
    pub ends_in_yaml: bool,
    /// A dot file, or one in a hidden folder.
    pub hidden: bool,
    /// What editors, package managers and copying programs leave or make for a moment.
    pub temporary: bool,
    pub sample: bool,
}

/// Keys by their words.
pub(super) struct Keys<'k>(BTreeMap<String, BTreeSet<&'k TenantKey>>);

impl<'k> Keys<'k> {
    pub(super) fn new(keys: impl IntoIterator<Item = &'k TenantKey>) -> Self {
        let mut found: BTreeMap<String, BTreeSet<&TenantKey>> = BTreeMap::new();
        for key in keys {
            found.entry(words(key.as_str()).join("-")).or_default().insert(key);
        }
        Self(found)
    }
}

impl Spelling {
    pub(super) fn of(path: &str) -> Self {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let passing = |folder: &str| matches!(folder, ".~tmp~" | ".rsync-partial");
        let folded = fold(name);
        let bare = folded.trim_end_matches(['.', ' ']);
        let yaml = last_yaml(bare);
        let stem = yaml.map_or(bare, |(at, _)| &bare[..at]);
        Self {
            words: words(stem).into_iter().map(str::to_owned).collect(),
            stem: stem.trim_matches(|c: char| !c.is_alphanumeric()).to_owned(),
            has_yaml: yaml.is_some(),
            ends_in_yaml: yaml.is_some_and(|(_, end)| end == bare.len()),
            hidden: path.split('/').any(|part| part.starts_with('.')),
            temporary: names::is_backup(bare)
                || name.starts_with(".#")
                || folders.split('/').any(passing)
                || bare.contains(".sw"),
            sample: SAMPLES.iter().any(|ending| bare.ends_with(ending)),
        }
    }

    /// Whether the name alone says that it is, or was, a tenant's file.
    pub(super) fn is_telling(&self) -> bool {
        self.has_yaml && !self.sample
    }

    /// The known keys that the name means: those of the longest run of its words.
    pub(super) fn means<'k>(&self, keys: &Keys<'k>) -> BTreeSet<&'k TenantKey> {
        let count = self.words.len();
        for length in (1..=count).rev() {
            let mut found = BTreeSet::new();
            for start in 0..=count - length {
                let (before, rest) = self.words.split_at(start);
                let (run, after) = rest.split_at(length);
                if self.has_yaml || before.iter().chain(after).all(|word| is_aside(word)) {
                    found.extend(keys.0.get(&run.join("-")).into_iter().flatten());
                }
            }
            if !found.is_empty() {
                return found;
            }
        }
        BTreeSet::new()
    }

    /// The key that an operator probably meant, judged by the name alone.
    pub(super) fn guess(&self) -> Option<TenantKey> {
        // A number may well be part of a key.
        let named = |word: Option<&String>| word.is_some_and(|word| !ASIDE.contains(&word.as_str()));
        if named(self.words.first())
            && named(self.words.last())
            && let Ok(key) = TenantKey::parse(&self.stem)
        {
            return Some(key);
        }
        let aside = |word: &&String| is_aside(word);
        let first = self.words.iter().take_while(aside).count();
        let last = self.words.iter().rev().take_while(aside).count();
        let words = if first + last < self.words.len() {
            &self.words[first..self.words.len() - last]
        } else {
            &self.words[..]
        };
        TenantKey::parse(&words.join("-")).ok()
    }
}

/// A date or a number says no more than `old`.
fn is_aside(word: &str) -> bool {
    ASIDE.contains(&word) || word.bytes().all(|b| b.is_ascii_digit())
}

/// Lower case, without accents, widths, ligatures and what cannot be seen.
fn fold(name: &str) -> String {
    let invisible = |c: &char| {
        is_combining_mark(*c)
            || matches!(*c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
    };
    let blank = |c: char| if c.is_whitespace() || c.is_control() { ' ' } else { c };
    name.nfkd().filter(|c| !invisible(c)).flat_map(char::to_lowercase).map(blank).collect()
}

/// Where the last `.yaml` or `.yml` begins and ends that is no part of a longer word.
fn last_yaml(name: &str) -> Option<(usize, usize)> {
    [".yaml", ".yml"]
        .into_iter()
        .flat_map(|ending| name.match_indices(ending).map(move |(at, found)| (at, at + found.len())))
        .filter(|(at, end)| *at > 0 && !name[*end..].starts_with(|c: char| c.is_alphabetic()))
        .max()
}

fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> TenantKey {
        TenantKey::parse(text).unwrap()
    }

    fn means(name: &str, known: &[&str]) -> Vec<String> {
        let known: Vec<TenantKey> = known.iter().map(|known| key(known)).collect();
        let keys = Keys::new(&known);
        Spelling::of(name).means(&keys).into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn whatever_people_make_of_a_files_name_means_its_tenant() {
        for name in [
            "Acme.yaml",
            "acme.YAML",
            "ACME.Yml",
            "acme.yaml.disabled",
            "acme.yaml.bak",
            "acme.yaml~",
            "#acme.yaml#",
            ".acme.yaml",
            ".acme.yaml.swp",
            ".#acme.yaml",
            "_acme.yaml",
            "acme .yaml",
            "acme.yaml ",
            "acme.yaml.",
            "acme.yaml.txt",
            "acme.yaml.old",
            "acme.yaml.orig",
            "acme.yaml.rej",
            "acme.yaml.2026-11-27",
            "acme.yaml_20261127",
            "acme (copy).yaml",
            "acme (1).yaml",
            "Copy of acme.yaml",
            "acme - Kopie.yaml",
            "acme.yaml (Copy 2)",
            "acme-disabled.yaml.off",
            "disabled-acme.yaml",
            "acme.json",
            "acme.toml",
            "acme.yaml.gz",
            "acme",
            "acme.yaml.gpg",
            "acme.old",
            "acme.disabled",
            "acme-old",
            "old acme",
            "acme.20261127",
            ".trash/acme.yaml",
            "hq/Acme.yaml",
            "ácme.yaml",
            "a\u{301}cme.yaml",
            "ａｃｍｅ.yaml",
            "ac\u{200b}me.yaml",
            "acme.yaml2",
            "acme.yaml.Xa3bQ1",
            "-acme.yaml",
            "+acme.yaml",
            "acme.dpkg-old",
        ] {
            assert_eq!(means(name, &["acme", "globex"]), ["acme"], "{name}");
        }
    }

    #[test]
    fn a_name_of_another_kind_matches_no_tenant() {
        for name in [
            "README.md",
            "customers-of-acme.csv",
            "notes.txt",
            "acme-logo.png",
            "4913",
            ".gitkeep",
            "acme.yamlet",
        ] {
            assert_eq!(means(name, &["acme", "globex"]), [""; 0], "{name}");
        }
    }

    #[test]
    fn the_longest_key_wins_and_signs_between_words_do_not_matter() {
        assert_eq!(means("acme-old.yaml~", &["acme", "acme-old"]), ["acme-old"]);
        assert_eq!(means("Acme_Corp.yaml", &["acme", "acme-corp"]), ["acme-corp"]);
        assert_eq!(means("acme.corp.yaml.off", &["acme.corp", "corp"]), ["acme.corp"]);
        assert_eq!(means("acme and globex.yaml", &["acme", "globex"]), ["acme", "globex"]);
    }

    #[test]
    fn the_key_is_guessed_where_no_record_tells_it() {
        for (name, expected) in [
            ("Acme.yaml", Some("acme")),
            ("Acme.Corp_2.yaml", Some("acme.corp_2")),
            ("acme (copy).yaml", Some("acme")),
            ("Copy of acme corp.yaml", Some("acme-corp")),
            ("_acme.yaml", Some("acme")),
            ("old.yaml.bak", Some("old")),
            ("\u{430}cme.yaml", None),
        ] {
            assert_eq!(Spelling::of(name).guess(), expected.map(key), "{name}");
        }
    }

    #[test]
    fn an_ending_is_seen_through_case_blanks_and_dots() {
        for name in ["A.yaml", "a.YML", "a.yaml.", "a.yaml  ", "ä.yaml", "a.ｙaml"] {
            assert!(Spelling::of(name).ends_in_yaml, "{name}");
        }
        for name in ["a.yaml~", "a.yaml.bak", "a", ".yaml", "#a.yaml#"] {
            assert!(!Spelling::of(name).ends_in_yaml, "{name}");
        }
    }
}
