//! Files that hold people's data: for tenantd's user alone, whatever the umask.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Makes a directory, and those above it that are missing.
pub fn make_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    as_its_directory(path)
}

/// Opens a file to read and write, made where it is missing.
pub fn open(path: &Path) -> io::Result<File> {
    let is_new = !path.exists();
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if is_new {
        as_its_directory(path)?;
    }
    Ok(file)
}

/// What root makes belongs to whom its directory belongs to: the service could not use root's files.
pub fn as_its_directory(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent().filter(|_| rustix::process::geteuid().is_root()) else { return Ok(()) };
    let parent = std::fs::metadata(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    std::os::unix::fs::chown(path, Some(parent.uid()), Some(parent.gid()))
}

/// The files of an SQLite database. SQLite gives its journals the mode of the database.
fn files_of(database: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    ["", "-wal", "-shm", "-journal", ".writer", ".migration"].into_iter().map(|suffix| {
        let mut name = database.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

/// The files of a database that others on this machine may read, as an earlier version left them.
pub fn open_to_others(database: &Path) -> Vec<PathBuf> {
    let is_open = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0)
    };
    files_of(database).filter(is_open).collect()
}

/// Says so, with the command that repairs it. What someone chose is not changed behind their back.
pub fn warn_if_open_to_others(database: &Path) {
    let open = open_to_others(database);
    if !open.is_empty() {
        let files: Vec<String> = open.iter().map(|path| format!("'{}'", path.display())).collect();
        tracing::warn!(
            "every user of this machine may read the database, with all users' names and addresses. To correct it: \
             chmod 600 {}",
            files.join(" ")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_made_by_root_belong_to_the_owner_of_their_directory() {
        let dir = tempfile::tempdir().unwrap();
        let own = std::fs::metadata(dir.path()).unwrap().uid();
        let service = if rustix::process::geteuid().is_root() { 4711 } else { own };
        std::os::unix::fs::chown(dir.path(), Some(service), None).unwrap();
        make_dir(&dir.path().join("archive")).unwrap();
        open(&dir.path().join("archive/file")).unwrap();
        for made in ["archive", "archive/file"] {
            assert_eq!(std::fs::metadata(dir.path().join(made)).unwrap().uid(), service, "{made}");
        }
    }

    #[test]
    fn only_files_that_others_may_read_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("tenantd.db");
        for (suffix, mode) in [("", 0o644), ("-wal", 0o600), ("-shm", 0o640), (".writer", 0o604)] {
            let path = dir.path().join(format!("tenantd.db{suffix}"));
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let names: Vec<String> = open_to_others(&database)
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["tenantd.db", "tenantd.db.writer"]);
    }
}
