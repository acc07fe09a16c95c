//! `tenantd init`: a first configuration to edit, and the directories that it names.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::args::InitArgs;
use super::context::{Context, Failure, Result};
use super::exit::Exit;

const EXAMPLE: &str = include_str!("../../systemd/tenantd.yaml");
/// Where the example's paths are right.
const PACKAGED: &str = "/etc/tenantd";

pub fn run(context: &Context, args: &InitArgs) -> Result<Exit> {
    let config = match &args.dir {
        Some(dir) => dir.join("tenantd.yaml"),
        None => context.global.config.clone(),
    };
    let config = std::path::absolute(&config).map_err(|error| Failure::of(&error))?;
    let dir = config.parent().unwrap_or(Path::new("/")).to_owned();
    if config.exists() {
        return Err(Failure::new(format!(
            "nothing was written, because {} exists. To check it: tenantd -c {} validate",
            config.display(),
            config.display()
        )));
    }
    let tenants = dir.join("tenants.d");
    let credentials = dir.join("credentials");
    // The service reads the first two as another user. Passwords are read by systemd alone.
    for (path, mode) in [(&dir, 0o755), (&tenants, 0o755), (&credentials, 0o700)] {
        make_dir(path, mode)?;
    }
    write_new(&config, &text(&dir))?;
    context.say(&next(&config, &tenants, &credentials));
    Ok(Exit::Done)
}

/// The example; outside its usual place with everything beside the file.
fn text(dir: &Path) -> String {
    if dir == Path::new(PACKAGED) {
        return EXAMPLE.to_owned();
    }
    EXAMPLE
        .replace("# /etc/tenantd/tenantd.yaml: an example", "# An example")
        .replace("sqlite:///var/lib/tenantd/tenantd.db", "sqlite:state/tenantd.db")
        .replace("tenants_dir: /etc/tenantd/tenants.d", "tenants_dir: tenants.d")
        .replace("/etc/tenantd/allowed_signers", "allowed_signers")
        .replace("/var/lib/tenantd/archive", "state/archive")
}

fn make_dir(path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))
        .map_err(|error| refused("make", path, &error))
}

fn write_new(path: &PathBuf, text: &str) -> Result<()> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| refused("write", path, &error))
}

fn refused(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!(
        "cannot {what} {}: {error}. Run it as root, or name a directory of your own: tenantd init --dir DIR",
        path.display()
    ))
}

fn next(config: &Path, tenants: &Path, credentials: &Path) -> String {
    let (config, tenants, credentials) = (config.display(), tenants.display(), credentials.display());
    format!(
        "Wrote {config}.\nMade {tenants} and {credentials}.\n\nNext:\n\
         1. Edit the file: `url` and `username` of your FusionPBX.\n\
         2. Write the account's password, then Enter and Ctrl-D:\n     install -m 600 /dev/stdin {credentials}/hq\n\
         3. In this shell:\n     export TENANTD_CONFIG={config} CREDENTIALS_DIRECTORY={credentials}\n\
         4. Check the connection: tenantd pbx check\n\
         5. Take over what is there: tenantd import --instance hq\n\
         6. See what would be done: tenantd plan\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_its_usual_place_everything_stands_beside_the_file() {
        let elsewhere = text(Path::new("/home/anna/pbx"));
        assert!(!elsewhere.contains("/etc/tenantd") && !elsewhere.contains("/var/lib"), "{elsewhere}");
        assert_eq!(text(Path::new(PACKAGED)), EXAMPLE);
    }
}
