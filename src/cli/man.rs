//! The man page, from the same definition as `--help`, with the tables that a man page should have.

use std::io::{Result, Write as _};

use clap_mangen::Man;

use super::examples;
use super::exit::Exit;

/// One page for all commands: there are no others that it could refer to.
pub fn page() -> Result<Vec<u8>> {
    let definition = examples::command();
    let mut page = Vec::new();
    let man = Man::new(definition.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    commands(&definition, &mut page)?;
    man.render_options_section(&mut page)?;
    options_of_commands(&definition, &[], &mut page)?;
    page.write_all(b".SH EXAMPLES\n")?;
    page.write_all(examples_text(examples::of(&[])).as_bytes())?;
    page.write_all(include_bytes!("man-tail.roff"))?;
    exit_status(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// All commands with what they do.
fn commands(of: &clap::Command, page: &mut Vec<u8>) -> Result<()> {
    page.write_all(b".SH COMMANDS\n")?;
    for command in of.get_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(page, ".TP\n.B {}\n{}", escaped(command.get_name()), escaped(&about))?;
    }
    Ok(())
}

/// A section for each command: what it does, its own options, and examples.
fn options_of_commands(of: &clap::Command, path: &[&str], page: &mut Vec<u8>) -> Result<()> {
    for command in of.get_subcommands() {
        let path: Vec<&str> = path.iter().copied().chain([command.get_name()]).collect();
        if command.has_subcommands() {
            options_of_commands(command, &path, page)?;
            continue;
        }
        let man = Man::new(command.clone());
        let mut section = Vec::new();
        man.render_description_section(&mut section)?;
        if command.get_arguments().next().is_some() {
            man.render_options_section(&mut section)?;
        }
        let heading = format!(".SH \"TENANTD {}\"", path.join(" ").to_uppercase());
        let section = String::from_utf8_lossy(&section)
            .replace(".SH DESCRIPTION", &heading)
            .replace(".SH OPTIONS", ".SS Options");
        page.write_all(section.as_bytes())?;
        writeln!(page, ".SS Examples\n{}", examples_text(examples::of(&path)).trim_end())?;
    }
    Ok(())
}

fn examples_text(examples: &[examples::Example]) -> String {
    let example =
        |(line, what): &examples::Example| format!(".TP\n.B {}\n{}\n", escaped(line), escaped(what));
    examples.iter().map(example).collect()
}

fn exit_status(page: &mut Vec<u8>) -> Result<()> {
    page.write_all(b".SH \"EXIT STATUS\"\n")?;
    for exit in Exit::ALL {
        writeln!(page, ".TP\n.B {}\n{}", exit.number(), escaped(exit.meaning()))?;
    }
    page.write_all(
        b".PP\nWhere several are so, the first of this list decides: 4 for a step that failed, 3, 4 for an instance that was\n\
          not checked, 6, 2.\n",
    )
}

/// Text that roff takes as it is; what stands in backquotes is bold.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    let parts = text.split('`').enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { format!("\\fB{part}\\fR") } else { part.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn the_man_page_has_examples_and_refers_to_no_page_that_does_not_exist() {
        let page = String::from_utf8(page().unwrap()).unwrap();
        assert!(page.contains(".SH EXAMPLES"), "{page}");
        assert!(!page.contains("EXTRA"), "{page}");
        let plain = page.replace('\\', "");
        assert!(!plain.contains("tenantd-validate"), "{plain}");
        for line in ["tenantd plan --detailed-exitcode -o json", "tenantd resume --all"] {
            assert!(plain.contains(line), "the man page lacks the example `{line}`");
        }
        // The only pages of others are those that every system has.
        let references = regex::Regex::new("[a-z][a-z-]+ ?\\([1-8]\\)").unwrap();
        let named: Vec<&str> = references.find_iter(&plain).map(|found| found.as_str()).collect();
        assert!(
            named.iter().all(|name| name.starts_with("ssh-keygen") || name.starts_with("man(")),
            "{named:?}"
        );
        assert!(!named.is_empty(), "nothing was looked at");
    }
}
