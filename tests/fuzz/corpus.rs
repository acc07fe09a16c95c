//! Where mutations begin: the hostile files, the examples, and pages as FusionPBX has them.

use std::path::Path;

pub const CONFIG: &str = "database_url: sqlite:t.db\ntenants_dir: tenants.d\npbx_instances:\n  hq: {url: \
    https://a.example, username: t@a.example, password: {env: HQ}}\n  branch: {url: https://b.example, username: \
    t@b.example, password: {file: secret}, sessions: 2, max_requests_per_second: 50}\ntier: \
    {max_users_per_tenant: 500}\ncross_tenant: {allow: [presence, chat]}\n";

pub const YAML_WORDS: &[&str] = &[
    "name: ",
    "domain: ",
    "pbx_instance: hq\n",
    "enabled: ",
    "true",
    "false",
    "no",
    "on",
    "max_users: unlimited\n",
    "session_timeout: ",
    "pbx_settings:\n",
    "  domain.time_zone.name: x\n",
    "cross_tenant: {presence: [globex]}\n",
    "previously: ",
    "adopt: true\n",
    "drift: report\n",
    "accept: [",
    "database_url: ",
    "sqlite:",
    "postgres://u:p@h/d",
    "pbx_instances:\n",
    "sessions: ",
    "max_requests_per_second: ",
    "timeout: 1s\n",
    "deletion: {mode: automatic, ",
    "retention_days: ",
    "limits: {removals: {count: ",
    "percent: ",
    "daemon: {interval: ",
    "tls: {fingerprint: \"sha256:",
    "password: {env: ",
    "- ",
    "? ",
    ": ",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "!x ",
    "|\n  ",
    ">-\n  ",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "#",
    ", ",
    "\n",
    "  ",
    "\\u0000",
    "\\x",
    "ß",
    "\u{202e}",
    "xn--",
    "@",
];

pub const PAGE_WORDS: &[&str] = &[
    "<form id='frm'>",
    "<form id='form_list'>",
    "</form>",
    "<tr class='list-row'>",
    "</tr>",
    "<td>",
    "</td>",
    "<td class='description'>",
    "<input type='hidden' name='domain_uuid' value='",
    "<input name='domain_name' value='",
    "<select name='domain_enabled'><option value='true' selected='selected'>",
    "</select>",
    "<div class='heading'>",
    "<div class='count'>1</div>",
    "data-item-name='",
    "[uuid]",
    "<table>",
    "</table>",
    "<textarea>",
    "<script>",
    "<!--",
    "access denied",
    "username",
    "password",
    "btn_login",
    "&#13;",
    "&amp;",
    "&#x110000;",
    "[{",
    "}]",
    "null",
    "\"domain_uuid\":",
    "\"domain_enabled\":true",
    "\r",
    "'",
    ">",
    "<",
    "1,234",
    "6d5f5e4c-3b2a-4190-8f7e-6d5c4b3a2910",
];

pub const WORDS: &[&str] = &[
    "acme",
    ".",
    "-",
    "_",
    "xn--",
    "p-",
    "r-",
    "..",
    "/",
    "\n",
    "{\"asked\":",
    "\"plan_id\":",
    "\"done\":",
    "null",
    "ü",
    "İ",
    "\u{200d}",
    "。",
    "A",
    "0",
    "ß",
    "𝕒",
];

fn files(below: &str, found: &mut Vec<Vec<u8>>) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(below);
    let mut entries: Vec<_> = std::fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    found.extend(entries.iter().filter(|path| path.is_file()).map(|path| std::fs::read(path).unwrap()));
}

pub fn tenant_files() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    files("tenants.d", &mut found);
    files("tests/corpus/tenant", &mut found);
    found
}

pub fn configurations() -> Vec<Vec<u8>> {
    let mut found = vec![CONFIG.as_bytes().to_vec()];
    found.push(include_bytes!("../../systemd/tenantd.yaml").to_vec());
    found.push(
        b"database_url: postgres://t@db.example/t?sslmode=verify-full\ndatabase_password: {credential: db}\n\
          database_ca_file: ca.pem\ntenants_dir: /t\npbx_instances:\n  hq:\n    url: https://a.example\n    username: \
          t@a\n    password: {file: p}\n    tls: {ca_file: x}\n    timeout: 45s\nlimits: {removals: {count: 2, percent: \
          5}, creates: {count: 50, percent: 50}}\ndaemon: {interval: 10m, quiet: 250ms, settings_cycle: 1h}\n"
            .to_vec(),
    );
    files("tests/corpus/tenant", &mut found);
    found
}

pub fn pages() -> Vec<Vec<u8>> {
    let id = "6d5f5e4c-3b2a-4190-8f7e-6d5c4b3a2910";
    let token = format!("<input type='hidden' name='{}' value='{}'>", "a".repeat(64), "b".repeat(64));
    [
        format!(
            "<form method='post'><input name='username'><input type='password' name='password'><input type='submit' \
             id='btn_login'>{token}</form>"
        ),
        "access denied".to_owned(),
        format!(
            "[{{\"domain_uuid\":\"{id}\",\"domain_name\":\"a.example\",\"domain_enabled\":true,\"domain_description\":\
             null}}]"
        ),
        format!(
            "[{{\"domain_uuid\":\"{id}\",\"domain_name\":\"a\",\"user_uuid\":\"{id}\",\"username\":\"u\",\
             \"group_names\":\"user\",\"user_enabled\":\"true\"}}]"
        ),
        format!(
            "<div class='heading'><b>Domains</b><div class='count'>1</div></div><button id='btn_add'></button><button \
             id='btn_toggle'></button><form id='form_list' method='post'><table><tr class='list-row' href='x'><td \
             class='checkbox'><input type='checkbox' data-item-name='a.example'><input type='hidden' \
             name='domains[0][uuid]' value='{id}'></td><td>a.example</td><td><button>True</button></td><td \
             class='description'>A</td></tr></table>{token}</form>"
        ),
        format!(
            "<form id='frm' method='post'><input name='domain_name' value='a.example'><select name='domain_enabled'>\
             <option value='true' selected='selected'>True</option><option value='false'>False</option></select><input \
             name='domain_description' value='A &amp; B'><input type='hidden' name='domain_uuid' value='{id}'>{token}\
             </form>"
        ),
        format!(
            "<form id='frm' method='post'><input name='domain_setting_category' value='limit'><input \
             name='domain_setting_subcategory' value='users'><select name='domain_setting_name'><option \
             selected='selected' value='numeric'></select><input name='domain_setting_value' value='7'><select \
             name='domain_setting_order'><option selected='selected' value='10'></select><select \
             name='domain_setting_enabled'><option selected='selected' value='true'></select><textarea \
             name='domain_setting_description'>x</textarea><input name='domain_uuid' value='{id}'><input \
             name='domain_setting_uuid' value='{id}'>{token}</form>"
        ),
        format!(
            "<div class='heading'><b id='heading_sub'>a.example.com</b><div class='count'>1</div></div><form \
             id='form_list'><table><tr class='list-row'><td><input type='checkbox' class='checkbox_limit'><input \
             type='hidden' name='domain_settings[0][uuid]' value='{id}'></td><td><a>users</a></td><td>Numeric</td>\
             <td>7</td><td><button>True</button></td><td class='description'>x</td></tr></table>{token}</form>"
        ),
        "<div align='center'><table><tr><td>Required Fields: Name</td></tr></table><form><input type='hidden' \
         name='persistformvar' value='true'></form></div>"
            .to_owned(),
        "<b>Fatal error</b>: Uncaught Error in /var/www".to_owned(),
    ]
    .map(String::into_bytes)
    .to_vec()
}

pub fn words() -> Vec<Vec<u8>> {
    [
        "acme\nglobex-2\nA.b_c",
        "hq\nbranch",
        "acme.example.com\nbücher.example\nxn--bcher-kva.example\nexample.com.",
        "domain.time_zone.name\nlimit.users.numeric\ndomain.cidr.array",
        "{\"asked\":\"6d5f5e4c-3b2a-4190-8f7e-6d5c4b3a2910\",\"plan_id\":\"p-1\",\"done\":1,\"failed\":0,\"skipped\":0,\
         \"held\":2,\"error\":null}",
        "p-0123456789abcdef\nr-0123456789abcdef",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
