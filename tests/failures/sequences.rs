//! What people do to directories, at random, under a daemon: rename, change case, copy, move aside, folders, links,
//! editors, rsync, git, unpacking over, the whole directory away and back. As long as a tenant's file is somewhere in
//! or below the directory, the tenant is never disabled; and when everything is put back, there is nothing to do.
//!
//! `TENANTD_TEST_SEQUENCES=1000` makes so many sequences instead of a few, `TENANTD_TEST_SEED` other ones.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::common::harness::Backend;
use crate::site::{Daemon, Site, text_of, until};

const TENANTS: usize = 6;
/// After so many sequences the place is created again, as its journal grows.
const PER_SITE: usize = 25;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

fn sh(dir: &Path, script: &str) {
    let output = Command::new("sh").args(["-c", script]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Where people do things, and what they did.
struct Hands<'s> {
    site: &'s Site,
    rng: StdRng,
    done: Vec<String>,
    fresh: u32,
}

impl Hands<'_> {
    fn dir(&self) -> PathBuf {
        self.site.path("tenants.d")
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.random_range(0..of.len())]
    }

    /// A name that was never there, so that nothing is overwritten.
    fn fresh(&mut self, text: &str) -> String {
        self.fresh += 1;
        text.replace('N', &self.fresh.to_string())
    }

    /// Regular files below the directory that name a tenant's domain, with its number.
    fn files(&self) -> Vec<(PathBuf, usize)> {
        let mut found = Vec::new();
        walk(&self.dir(), &mut found);
        found.sort();
        found
    }

    fn some_file(&mut self) -> Option<(PathBuf, usize)> {
        let files = self.files();
        (!files.is_empty()).then(|| files[self.rng.random_range(0..files.len())].clone())
    }

    /// What a name may become while its owner still thinks of it as a tenant's file.
    fn spelling(&mut self, stem: &str) -> String {
        let form = self.pick(&[
            "S.yaml",
            "C.yaml",
            "S.YAML",
            "S.yml",
            "S.yaml.disabled",
            "S.yaml.bak",
            "S.yaml~",
            "#S.yaml#",
            ".S.yaml",
            ".S.yaml.swp",
            "_S.yaml",
            "S .yaml",
            "S.yaml.txt",
            "S.yaml.old",
            "S.yaml.orig",
            "S.yaml.rej",
            "S.yaml.2026-11-27",
            "S (copy N).yaml",
            "Copy N of S.yaml",
            "S - Kopie.yaml",
            "S-disabled.yaml",
            "S.json",
            "S",
            "S.",
            "S.yaml.",
            "ｓS.yaml",
            "S\u{301}.yaml",
            "notes N.txt",
            "zz-N.yaml",
            "old N",
            "S.yaml.N",
            "-S.yaml",
        ]);
        let text = form.replace('C', &stem.to_uppercase());
        let text = if form.contains('C') && form.starts_with("Copy") { form.to_owned() } else { text };
        let text = text.replace('S', stem);
        self.fresh(&text)
    }

    fn folder(&mut self) -> String {
        let form = self.pick(&["hq", "Big Ones", "disabled", ".trash", "a/b/c", "hq/old", "x.d", "N"]);
        self.fresh(form)
    }

    fn stem_of(path: &Path, number: usize) -> String {
        let name = path.file_name().unwrap().to_string_lossy();
        match name.strip_suffix(".yaml").filter(|stem| stem.is_ascii()) {
            Some(stem) => stem.to_owned(),
            None => format!("t{number:02}"),
        }
    }

    /// One thing that someone does. What it did is noted, for anyone who has to understand a failure.
    fn act(&mut self) {
        let Some((path, number)) = self.some_file() else { return self.put_back() };
        let dir = self.dir();
        let parent = path.parent().unwrap().to_owned();
        let stem = Self::stem_of(&path, number);
        let what = self.rng.random_range(0..20);
        let note = match what {
            0..=4 => {
                let to = parent.join(self.spelling(&stem));
                move_to(&path, &to)
            }
            5..=6 => {
                let folder = dir.join(self.folder());
                fs::create_dir_all(&folder).unwrap();
                let to = folder.join(path.file_name().unwrap());
                move_to(&path, &to)
            }
            7 => {
                let to = parent.join(self.spelling(&stem));
                if to.symlink_metadata().is_err() {
                    fs::copy(&path, &to).unwrap();
                }
                format!("cp {} {}", path.display(), to.display())
            }
            8 => self.behind_a_link(&path),
            9 => self.a_folder(&dir),
            10..=12 => self.edit(&path, number),
            13 => {
                let text = fs::read_to_string(&path).unwrap_or_default();
                fs::write(&path, format!("{text}\nbroken: [\n")).unwrap();
                format!("break {}", path.display())
            }
            14 => {
                sh(&dir, "tar cf ../x.tar . && tar xf ../x.tar");
                "unpack over".to_owned()
            }
            15 => {
                let away = self.site.path("away");
                fs::rename(&dir, &away).unwrap();
                std::thread::sleep(Duration::from_millis(self.rng.random_range(0..600)));
                fs::rename(&away, &dir).unwrap();
                "the directory away and back".to_owned()
            }
            16 => self.git(),
            17 => {
                let name = self.fresh("all N.txt");
                let text = fs::read(&path).unwrap();
                let all = dir.join(&name);
                fs::write(&all, [b"# set aside\n".to_vec(), text].concat()).unwrap();
                fs::remove_file(&path).unwrap();
                format!("append {} to {name}", path.display())
            }
            18 => {
                let name =
                    self.pick(&["4913", "README.md", ".gitkeep", ".t00.yaml.swx", "notes.yaml.sample"]);
                fs::write(dir.join(name), "nothing\n").unwrap();
                format!("touch {name}")
            }
            _ => {
                self.put_back();
                return;
            }
        };
        self.done.push(note);
    }

    fn behind_a_link(&mut self, path: &Path) -> String {
        let hidden = self.dir().join(".real");
        fs::create_dir_all(&hidden).unwrap();
        let name = self.fresh("N.yaml");
        let to = hidden.join(&name);
        // The name is never away.
        fs::copy(path, &to).unwrap();
        let link = path.with_file_name(self.fresh(".link N"));
        symlink(&to, &link).unwrap();
        fs::rename(&link, path).unwrap();
        format!("{} is a link to .real/{name}", path.display())
    }

    fn a_folder(&mut self, dir: &Path) -> String {
        let mut folders: Vec<PathBuf> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.is_dir() && !path.is_symlink() && !path.ends_with(".real") && !path.ends_with(".git")
            })
            .collect();
        folders.sort();
        if folders.is_empty() {
            return "no folder".to_owned();
        }
        let from = folders[self.rng.random_range(0..folders.len())].clone();
        let form = self.pick(&["region N", ".hidden-N", "N.yaml", "N.disabled"]);
        let to = dir.join(self.fresh(form));
        fs::rename(&from, &to).unwrap();
        if self.rng.random_bool(0.3) {
            symlink(to.file_name().unwrap(), &from).unwrap();
            return format!("mv {} {}, and a link", from.display(), to.display());
        }
        format!("mv {} {}", from.display(), to.display())
    }

    fn edit(&mut self, path: &Path, number: usize) -> String {
        let minutes = self.rng.random_range(10..400);
        let text = text_of(&format!("t{number:02}"), &format!("session_timeout: {minutes}\n"));
        let aside = path.with_file_name(format!("{}~", path.file_name().unwrap().to_string_lossy()));
        let temp = path.with_file_name(self.fresh(".new.N"));
        match self.rng.random_range(0..4) {
            // As vim saves where it may not write over the file.
            0 if aside.symlink_metadata().is_err() => {
                fs::rename(path, &aside).unwrap();
                std::thread::sleep(Duration::from_millis(self.rng.random_range(0..300)));
                fs::write(path, text).unwrap();
                fs::remove_file(&aside).unwrap();
            }
            // As a shell does, in two writes.
            1 => {
                fs::write(path, &text[..text.len() / 2]).unwrap();
                std::thread::sleep(Duration::from_millis(self.rng.random_range(0..300)));
                fs::write(path, text).unwrap();
            }
            // As rsync, `sed -i` and most editors do.
            _ => {
                fs::write(&temp, text).unwrap();
                fs::rename(&temp, path).unwrap();
            }
        }
        format!("edit {}", path.display())
    }

    /// A branch on which one file lies elsewhere, there and back.
    fn git(&mut self) -> String {
        let root = self.site.dir.path().to_owned();
        let git = "git -c user.name=t -c user.email=t@example.com -c gc.auto=0";
        if !root.join(".git").exists() {
            sh(
                &root,
                &format!("{git} init -q -b main && printf '*\\n!tenants.d\\n!tenants.d/**\\n' >.gitignore"),
            );
        }
        let name = self.fresh("branch-N");
        sh(&root, &format!("{git} add -A tenants.d && {git} commit -q --allow-empty -m before"));
        let Some((path, _)) = self.some_file() else { return "no file".to_owned() };
        let path = path.strip_prefix(&root).unwrap().to_owned();
        let to = Path::new("tenants.d").join(self.fresh("moved N")).join(path.file_name().unwrap());
        fs::create_dir_all(root.join(to.parent().unwrap())).unwrap();
        let quoted = |path: &Path| format!("'{}'", path.display());
        sh(
            &root,
            &format!(
                "{git} checkout -q -B {name} && mv {} {} && {git} add -A tenants.d && {git} commit -q -m moved",
                quoted(&path),
                quoted(&to)
            ),
        );
        if self.rng.random_bool(0.5) {
            std::thread::sleep(Duration::from_millis(self.rng.random_range(0..400)));
            sh(&root, &format!("{git} checkout -q main"));
            return format!("git: {} to {} and back", path.display(), to.display());
        }
        sh(&root, &format!("{git} branch -q -f main && {git} checkout -q main"));
        format!("git: {} to {}", path.display(), to.display())
    }

    /// Everything as it was in the beginning, made elsewhere and moved into place.
    fn put_back(&mut self) {
        let (dir, next, old) = (self.dir(), self.site.path("next"), self.site.path("old"));
        let _ = fs::remove_dir_all(&next);
        let _ = fs::remove_dir_all(&old);
        fs::create_dir(&next).unwrap();
        for number in 0..TENANTS {
            let name = format!("t{number:02}");
            fs::write(next.join(format!("{name}.yaml")), text_of(&name, "")).unwrap();
        }
        fs::rename(&dir, &old).unwrap();
        fs::rename(&next, &dir).unwrap();
        self.done.push("all is put back".to_owned());
    }
}

/// Never over something that is there.
fn move_to(from: &Path, to: &Path) -> String {
    if to.symlink_metadata().is_err() {
        fs::rename(from, to).unwrap();
    }
    format!("mv {} {}", from.display(), to.display())
}

fn walk(dir: &Path, found: &mut Vec<(PathBuf, usize)>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_symlink() || path.ends_with(".real") || path.ends_with(".git") {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path)
            && let Some(number) =
                (0..TENANTS).find(|number| text.contains(&format!("t{number:02}.example.com")))
        {
            found.push((path, number));
        }
    }
}

/// No one was disabled, in any request.
#[track_caller]
fn nobody_was_disabled(site: &Site, daemon: &Daemon, hands: &Hands<'_>) {
    let journal = site.pbx("hq").requests();
    let closing: Vec<_> =
        journal.iter().filter(|asked| asked.field("domain_enabled") == Some("false")).collect();
    let rows = site.pbx("hq").domains();
    assert!(
        closing.is_empty() && rows.iter().all(|row| row.enabled == Some(true)) && site.deletions() == 0,
        "{closing:#?}\nafter {:#?}\n{}",
        hands.done,
        daemon.told().lines().rev().take(60).collect::<Vec<_>>().join("\n")
    );
}

async fn some_sequences(seed: u64, count: usize) {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    // Nothing but the rule itself protects anybody here.
    site.configure("limits: { removals: { count: 1000, percent: 100 } }\n");
    let names = site.tenants(TENANTS);
    site.apply().await;
    let domains = site.pbx("hq").domain_count();
    let daemon = site.daemon("daemon");
    until("the first pass", || daemon.told().contains("plan p-")).await;
    for sequence in 0..count {
        let rng = StdRng::seed_from_u64(seed + sequence as u64);
        let mut hands =
            Hands { site: &site, rng, done: vec![format!("seed {}", seed + sequence as u64)], fresh: 0 };
        for _ in 0..hands.rng.random_range(3..9) {
            hands.act();
            // Often long enough for a pass to see it.
            let pause = if hands.rng.random_bool(0.5) { 450 } else { 40 };
            tokio::time::sleep(Duration::from_millis(hands.rng.random_range(0..pause))).await;
            nobody_was_disabled(&site, &daemon, &hands);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        nobody_was_disabled(&site, &daemon, &hands);
        hands.put_back();
        site.comes_to_rest().await;
        nobody_was_disabled(&site, &daemon, &hands);
        site.has_one_domain_each("hq", &names);
        assert_eq!(site.pbx("hq").domain_count(), domains, "{:#?}", hands.done);
    }
    // And a removal that is meant is one: the rule does not hold everything.
    site.remove("t00.yaml");
    let closed = || site.pbx("hq").domains_named("t00.example.com")[0].enabled == Some(false);
    until("a removed tenant is disabled", closed).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_with_a_file_anywhere_below_the_directory_is_never_disabled() {
    let count = usize::try_from(number("TENANTD_TEST_SEQUENCES", 8)).unwrap();
    let seed = number("TENANTD_TEST_SEED", 1);
    let mut left: Vec<(u64, usize)> =
        (0..count).step_by(PER_SITE).map(|at| (seed + at as u64, PER_SITE.min(count - at))).collect();
    // Most of the time is spent scheduled, so several places at once.
    let mut running = tokio::task::JoinSet::new();
    while !left.is_empty() || !running.is_empty() {
        while running.len() < 4
            && let Some((seed, count)) = left.pop()
        {
            running.spawn(some_sequences(seed, count));
        }
        if let Some(ended) = running.join_next().await {
            ended.unwrap();
        }
    }
}
