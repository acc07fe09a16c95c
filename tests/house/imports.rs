//! No file uses another one that uses it back, directly or through others. A module's own `mod.rs` and the files below
//! it are one unit: they may use each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;

/// A module's path: `["plan", "gates"]`.
type Module = Vec<String>;

struct Sources {
    files: BTreeMap<Module, PathBuf>,
    texts: BTreeMap<PathBuf, String>,
    definition: Regex,
    uses: Regex,
    inline: Regex,
    exports: Regex,
}

fn files_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

impl Sources {
    fn read(root: &Path) -> Self {
        let mut found = Vec::new();
        files_below(root, &mut found);
        let comment = Regex::new(r"//[^\n]*").unwrap();
        let (mut files, mut texts) = (BTreeMap::new(), BTreeMap::new());
        for path in found {
            let relative = path.strip_prefix(root).unwrap().with_extension("");
            let mut module: Module = relative.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            let is_test = |part: &String| part == "tests" || part == "testing" || part.ends_with("_tests");
            if module.iter().any(is_test) {
                continue;
            }
            if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
                module.pop();
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            texts.insert(path.clone(), comment.replace_all(text, "").into_owned());
            // `main.rs` and `lib.rs` have the same module path; nothing uses the former.
            if !path.ends_with("main.rs") {
                files.insert(module, path);
            }
        }
        let definition =
            Regex::new(r"\b(?:fn|struct|enum|trait|type|const|static|macro_rules!)\s+(\w+)").unwrap();
        let uses = Regex::new(r"\buse ([^;]+);").unwrap();
        let inline = Regex::new(r"(?:^|[^\w:])((?:[a-z_]\w*)(?:::\w+)+)").unwrap();
        let exports = Regex::new(r"pub(?:\([^)]*\))? use ([^;]+);").unwrap();
        Self { files, texts, definition, uses, inline, exports }
    }

    fn module_of(&self, file: &Path) -> Module {
        let found = self.files.iter().find(|(_, path)| *path == file);
        found.map(|(module, _)| module.clone()).unwrap_or_default()
    }

    /// The paths that a file names: in its `use` lines, and in its code.
    fn paths_in(&self, file: &Path) -> Vec<Module> {
        let text = &self.texts[file];
        let mut paths = Vec::new();
        for found in self.uses.captures_iter(text) {
            expand(&found[1], &[], &mut paths);
        }
        // `use crate::report;` and then `report::chain` in the code.
        let imported: BTreeMap<String, Module> =
            paths.iter().filter_map(|path| Some((path.last()?.clone(), path.clone()))).collect();
        let code = self.uses.replace_all(text, "");
        for found in self.inline.captures_iter(&code) {
            let parts: Module = found[1].split("::").map(str::to_owned).collect();
            match imported.get(&parts[0]) {
                Some(path) => paths.push(path.iter().chain(&parts[1..]).cloned().collect()),
                None => paths.push(parts),
            }
        }
        paths
    }

    /// The file in which a path's item is defined, through re-exports.
    fn resolve(&self, file: &Path, path: &[String], depth: usize) -> Option<PathBuf> {
        let own = self.module_of(file);
        let (mut module, mut rest) = match path.first()?.as_str() {
            "crate" => (Module::new(), &path[1..]),
            "self" => (own, &path[1..]),
            "super" => {
                let supers = path.iter().take_while(|part| *part == "super").count();
                (own[..own.len().checked_sub(supers)?].to_vec(), &path[supers..])
            }
            first => {
                let below: Module = own.iter().cloned().chain([first.to_owned()]).collect();
                if !self.files.contains_key(&below) {
                    return None;
                }
                (own, path)
            }
        };
        while let Some(next) = rest.first() {
            let below: Module = module.iter().cloned().chain([next.clone()]).collect();
            if !self.files.contains_key(&below) {
                break;
            }
            (module, rest) = (below, &rest[1..]);
        }
        let found = self.files.get(&module)?;
        let Some(name) = rest.first() else { return Some(found.clone()) };
        let defines = |text: &str| self.definition.captures_iter(text).any(|one| one[1] == **name);
        if depth == 0 || defines(&self.texts[found]) {
            return Some(found.clone());
        }
        for export in self.exports.captures_iter(&self.texts[found]) {
            let mut exported = Vec::new();
            expand(&export[1], &[], &mut exported);
            if let Some(path) = exported.iter().find(|path| path.last() == Some(name)) {
                return self.resolve(found, path, depth - 1);
            }
        }
        Some(found.clone())
    }

    fn edges(&self) -> BTreeMap<&PathBuf, BTreeSet<PathBuf>> {
        let is_within = |inner: &Path, outer: &Path| {
            let folder = match outer.file_name().and_then(|name| name.to_str()) {
                Some("mod.rs" | "lib.rs") => outer.parent().unwrap().to_owned(),
                _ => outer.with_extension(""),
            };
            inner.starts_with(folder)
        };
        self.texts
            .keys()
            .map(|file| {
                let paths = self.paths_in(file);
                let used = paths.iter().filter_map(|path| self.resolve(file, path, 4));
                let others =
                    used.filter(|other| other != file && !is_within(file, other) && !is_within(other, file));
                (file, others.collect())
            })
            .collect()
    }
}

/// `a::{b, c::d as e}` → `a::b`, `a::c::d`.
fn expand(tree: &str, prefix: &[String], found: &mut Vec<Module>) {
    let tree = tree.trim();
    if let Some((head, list)) = tree.split_once('{')
        && let Some(list) = list.strip_suffix('}')
    {
        let mut prefix = prefix.to_vec();
        prefix.extend(head.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned));
        let (mut depth, mut item) = (0, String::new());
        for c in list.chars().chain([',']) {
            match c {
                ',' if depth == 0 => expand(&std::mem::take(&mut item), &prefix, found),
                _ => {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    item.push(c);
                }
            }
        }
    } else if !tree.is_empty() {
        let name = tree.split(" as ").next().unwrap_or(tree);
        let path = name.split("::").map(|part| part.trim().to_owned());
        found.push(prefix.iter().cloned().chain(path).collect());
    }
}

/// The files that can be reached from a file, itself only through a circle.
fn reached<'e>(edges: &'e BTreeMap<&PathBuf, BTreeSet<PathBuf>>, from: &PathBuf) -> BTreeSet<&'e PathBuf> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&PathBuf> = edges[from].iter().collect();
    while let Some(file) = next.pop() {
        if seen.insert(file) {
            next.extend(edges.get(file).into_iter().flatten());
        }
    }
    seen
}

#[test]
fn no_file_uses_another_one_that_uses_it_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for sources in ["src", "crates/fusionpbx-standin/src"] {
        let sources = Sources::read(&root.join(sources));
        let edges = sources.edges();
        let used: usize = edges.values().map(BTreeSet::len).sum();
        assert!(used > edges.len(), "the imports were not found: {used} of {} files", edges.len());
        let circles: Vec<_> = edges.keys().filter(|file| reached(&edges, file).contains(**file)).collect();
        assert!(circles.is_empty(), "these files use each other in a circle: {circles:#?}");
    }
}

#[test]
fn a_circle_through_a_third_file_and_a_re_export_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod a;\nmod b;\nmod c;\n");
    write(
        "a.rs",
        "use crate::b;\nuse crate::b::{deep::Thing as T};\npub struct A;\nfn f() { b::other(); }\n",
    );
    write("b/mod.rs", "mod deep;\npub use deep::Thing;\npub fn other() {}\n");
    write("b/deep.rs", "pub struct Thing;\nfn f() { crate::c::g(); }\n");
    write("c.rs", "pub fn g() -> super::a::A { todo!() }\n");
    let sources = Sources::read(dir.path());
    let edges = sources.edges();
    let names: BTreeSet<String> = edges
        .keys()
        .filter(|file| reached(&edges, file).contains(**file))
        .map(|file| file.strip_prefix(dir.path()).unwrap().display().to_string())
        .collect();
    assert_eq!(names, ["a.rs", "b/deep.rs", "c.rs"].map(str::to_owned).into());
    write("c.rs", "pub fn g() {}\n");
    let sources = Sources::read(dir.path());
    let edges = sources.edges();
    assert!(edges.keys().all(|file| !reached(&edges, file).contains(*file)));
}
