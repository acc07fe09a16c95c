//! What isolation costs: statistics of 1,000 tenants, and an indexed read with and without row-level security.
//!
//! Runs on a private PostgreSQL with 100,000 users and a million messages; where none is installed it says so.

use std::time::{Duration, Instant};

use tenantd::config::DatabaseConfig;
use tenantd::store::{Access, Database, DatabaseOptions};

#[path = "../tests/common/postgres.rs"]
mod postgres;

const FILL: &str = "
INSERT INTO tenants (id, key, name, domain, instance, enabled, session_timeout_minutes, protected, drift, domain_id,
    provisioned, web_sign_in_left_open, created_at, updated_at)
SELECT md5('t' || n)::uuid, 't' || n, 'Tenant ' || n, 't' || n || '.example.com', 'hq', true, 60, false, 'correct',
    md5('d' || n)::uuid, true, false, now(), now() FROM generate_series(1, 1000) n;
INSERT INTO users (tenant_id, id, email, username, enabled, source)
SELECT md5('t' || t)::uuid, 'u' || n, 'u' || n || '@t' || t, 'u' || n, true, 'manual'
FROM generate_series(1, 1000) t, generate_series(1, 100) n;
INSERT INTO chat_conversations (tenant_id, id, kind)
SELECT md5('t' || t)::uuid, 'c' || n, 'group' FROM generate_series(1, 1000) t, generate_series(1, 10) n;
INSERT INTO chat_messages (tenant_id, id, conversation_id, sender_id, body, sent_at)
SELECT md5('t' || t)::uuid, 'm' || n, 'c' || n % 10 + 1, 'u' || n % 100 + 1, 'message ' || n,
    now() - n * interval '1 minute'
FROM generate_series(1, 1000) n, generate_series(1, 1000) t;
INSERT INTO user_sessions (tenant_id, id, user_id, expires_at)
SELECT md5('t' || t)::uuid, 's' || n, 'u' || n, now() + interval '50 minutes'
FROM generate_series(1, 1000) t, generate_series(1, 10) n;
INSERT INTO files (tenant_id, id, size_bytes, storage_path)
SELECT md5('t' || t)::uuid, 'f' || n, n, md5('t' || t)::uuid || '/' || n
FROM generate_series(1, 1000) t, generate_series(1, 20) n;
ANALYZE;
";

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::main]
async fn main() {
    let Some(url) = postgres::database() else { return };
    let open = |access| {
        let database = DatabaseConfig::Postgres { url: url.parse().unwrap(), password: None, ca_file: None };
        Database::open(DatabaseOptions { database, password: None, access })
    };
    let database = open(Access::ReadWrite).await.unwrap();
    let started = Instant::now();
    postgres::on(&url, FILL.to_owned());
    println!("filled in {:.1} s", started.elapsed().as_secs_f64());
    let mut times = Vec::new();
    for _ in 0..9 {
        let started = Instant::now();
        let stats = database.read(|store| store.stats(chrono::Utc::now())).await.unwrap();
        times.push(started.elapsed());
        assert_eq!(stats.len(), 1000);
        assert!(stats.iter().all(|tenant| (tenant.active_users, tenant.files) == (100, 20)));
    }
    let stats = median(times);
    println!("statistics of 1,000 tenants, 100,000 users, 1,000,000 messages: {stats:?}");
    // A superuser, whom no policy binds, and the role that is bound.
    let admin = url.replacen("//keeper@", "//tenantd@", 1);
    let (client, connection) = tokio_postgres::connect(&admin, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let read = "SELECT body FROM chat_messages WHERE tenant_id = $1 AND conversation_id = 'c3' ORDER BY sent_at DESC LIMIT 50";
    let read = client.prepare(read).await.unwrap();
    let tenant: String =
        client.query_one("SELECT id FROM tenants WHERE key = 't500'", &[]).await.unwrap().get(0);
    // The same work in both: only the role, and with it the policies, differ.
    let mut medians = Vec::new();
    for role in ["tenantd", "crystalqore_service"] {
        let mut times = Vec::new();
        for round in 0..2200 {
            client
                .batch_execute(&format!(
                    "BEGIN; SET LOCAL ROLE {role}; SET LOCAL crystalqore.tenant = '{tenant}'"
                ))
                .await
                .unwrap();
            let started = Instant::now();
            let rows = client.query(&read, &[&tenant]).await.unwrap();
            if round >= 200 {
                times.push(started.elapsed());
            }
            assert_eq!(rows.len(), 50);
            client.batch_execute("COMMIT").await.unwrap();
        }
        medians.push(median(times));
    }
    println!(
        "50 messages by index: {:?} without, {:?} under row-level security, ratio {:.2}",
        medians[0],
        medians[1],
        medians[1].as_secs_f64() / medians[0].as_secs_f64()
    );
    assert!(stats < Duration::from_secs(1), "the statistics took {stats:?}");
}
