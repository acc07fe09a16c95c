//! The real program against stand-ins: every command, its exit codes, and what goes to standard output.

mod adopt;
mod approve_pause_enroll;
mod basic_commands;
mod command_line;
#[path = "../common/mod.rs"]
mod common;
mod exit_codes;
mod first_setup;
mod import;
mod json_output;
mod no_false_success;
mod plan_apply_show;
mod readme;
mod restore;
mod sandbox;
#[allow(dead_code, reason = "each test binary uses its own part")]
#[path = "../failures/site.rs"]
mod site;
mod status;
mod suggested_commands;
mod tenant_data;
mod terminal;

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
        assert_eq!(document["format_version"], 2, "{document:#}");
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
