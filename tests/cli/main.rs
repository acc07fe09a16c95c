//! The real program against stand-ins: every command, its exit codes, and what goes to standard output.

mod adopting;
mod advice;
#[path = "../common/mod.rs"]
mod common;
mod documents;
mod exit_codes;
mod first_day;
mod honest;
mod importing;
mod orders;
mod plain_commands;
mod planning;
mod readme;
mod restoring;
mod sandboxed;
#[allow(dead_code, reason = "each test binary uses its own part")]
#[path = "../failures/site.rs"]
mod site;
mod tenant_world;
mod terminal;
mod words;

use serde_json::Value;

use site::Ran;

impl Ran {
    /// Standard output as the one JSON document that it must be.
    #[track_caller]
    fn json(&self) -> Value {
        let mut documents = serde_json::Deserializer::from_str(&self.stdout).into_iter::<Value>();
        let document = documents.next().unwrap_or_else(|| panic!("no JSON: {self:#?}"));
        assert!(documents.next().is_none(), "JSON stands alone on standard output: {self:#?}");
        let document = document.unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        assert_eq!(document["format_version"], 1, "{document:#}");
        document
    }

    #[track_caller]
    fn ended_with(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// The actions of a plan's steps, as `action tenant`.
#[track_caller]
fn actions(plan: &Value, list: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    plan[list]
        .as_array()
        .unwrap_or_else(|| panic!("no {list}: {plan:#}"))
        .iter()
        .map(|step| format!("{} {}", text(&step["action"]), text(&step["tenant"])))
        .collect()
}
