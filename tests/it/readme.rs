//! The README says what the program does.

use dokkai::config::SETTINGS;

const README: &str = include_str!("../../README.md");

#[test]
fn every_setting_is_in_the_readme_with_its_default() {
    for setting in SETTINGS {
        let default = if setting.default.is_empty() { "none".to_owned() } else { format!("`{}`", setting.default) };
        let row = format!("| `{}` | {default} | {} |", setting.variable(), setting.help);
        assert!(README.contains(&row), "missing or different: {row}");
    }
}

#[test]
fn every_command_is_in_the_readme() {
    for command in dokkai::cli::command().get_subcommands() {
        assert!(
            README.contains(&format!("`dokkai {}", command.get_name())) || command.get_name() == "serve",
            "{command}"
        );
    }
    assert!(README.contains("`dokkai [serve]`"));
}
