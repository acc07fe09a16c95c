//! The real binary over a scenario's database, files and servers.

use std::fmt::Write as _;
use std::process::Command;

use tenantd::config::TlsTrust;
use tenantd::model::TenantDocument;
use tenantd::yaml::to_yaml;

use super::site::Live;

impl Live {
    /// What `tenantd` prints, and its errors behind it. Its clock is the real one.
    pub async fn tenantd(&self, arguments: &[&str]) -> String {
        let config = &self.harness.config;
        std::fs::create_dir_all(&config.tenants_dir).unwrap();
        for (key, tenant) in &self.harness.desired.tenants {
            let text = to_yaml(&TenantDocument::from(tenant));
            std::fs::write(config.tenants_dir.join(format!("{key}.yaml")), text).unwrap();
        }
        let mut text = format!(
            "database_url: \"{}\"\ntenants_dir: tenants.d\npbx_instances:\n",
            self.harness.database_url
        );
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenantd"));
        for (key, instance) in &config.instances {
            let site = &self.sites[key];
            let name = key.as_str().to_uppercase();
            let _ =
                writeln!(text, "  {key}:\n    url: {}\n    username: {}", instance.url, instance.username);
            let _ = writeln!(text, "    password: {{ env: LIVE_PASSWORD_{name} }}");
            command.env(format!("LIVE_PASSWORD_{name}"), &site.password);
            if let Some(secret) = &site.totp {
                let _ = writeln!(text, "    totp: {{ env: LIVE_TOTP_{name} }}");
                command.env(format!("LIVE_TOTP_{name}"), secret);
            }
            match &instance.tls {
                TlsTrust::SystemRoots => {}
                TlsTrust::CaFile(path) => {
                    let _ = writeln!(text, "    tls: {{ ca_file: {} }}", path.display());
                }
                TlsTrust::Fingerprint(bytes) => {
                    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                    let _ = writeln!(text, "    tls: {{ fingerprint: \"sha256:{}\" }}", hex.join(""));
                }
            }
        }
        let days = config.deletion.retention_days;
        let _ = writeln!(text, "deletion: {{ mode: automatic, retention_days: {days} }}");
        std::fs::write(&config.path, text).unwrap();
        command.arg("--config").arg(&config.path).args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }
}
