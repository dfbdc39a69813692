//! What `docs/troubleshooting.md` quotes is what the code says.

use std::fs;
use std::path::{Path, PathBuf};

/// All sources of the program, with the texts that go over several lines in one piece.
fn sources() -> String {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("a folder");
        let paths: Vec<PathBuf> = entries
            .map(|entry| entry.expect("an entry").path())
            .collect();
        for path in paths {
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("troubleshooting_tests.rs") {
                text += &fs::read_to_string(&path).expect("a source");
            }
        }
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut joined = String::new();
    for line in lines {
        let begun = joined.ends_with('\\');
        if begun {
            joined.pop();
        } else {
            joined.push('\n');
        }
        joined += if begun { line.trim_start() } else { line };
    }
    joined
}

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    fs::read_to_string(path).expect("a document")
}

/// What stands in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_message_that_is_quoted_is_one_of_the_code() {
    let sources = sources();
    let document = document("troubleshooting.md");
    let rows = document
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| symptom"));
    // What is being done is filled in.
    let is_said = |part: &str| {
        let doing = part
            .strip_prefix("cannot ")
            .map(|doing| format!("\"{doing}\""));
        sources.contains(part) || doing.is_some_and(|doing| sources.contains(&doing))
    };
    let symptoms = rows.map(|row| row.split(" | ").next().unwrap_or_default());
    let messages: Vec<&str> = symptoms
        .flat_map(quoted)
        .filter(|text| text.contains(' '))
        .collect();
    let parts = messages.iter().flat_map(|message| message.split('…'));
    let parts = parts.map(|part| part.trim_matches([' ', ':', ',', ';']));
    let unsaid: Vec<&str> = parts.filter(|part| !is_said(part)).collect();
    assert!(unsaid.is_empty(), "nowhere in src/: {unsaid:#?}");
    assert!(messages.len() > 30, "{messages:?}");
}

#[test]
fn every_event_is_in_the_reference_and_no_other() {
    let sources = sources();
    let events = sources.split("event = \"").skip(1);
    let mut events: Vec<&str> = events.filter_map(|rest| rest.split('"').next()).collect();
    events.push("note");
    let document = document("reference.md");
    let (_, table) = document
        .split_once("| event | when |\n|---|---|\n")
        .expect("the table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let mut listed: Vec<&str> = rows
        .flat_map(|row| quoted(row.split(" | ").next().unwrap_or_default()))
        .collect();
    events.sort_unstable();
    events.dedup();
    listed.sort_unstable();
    assert_eq!(listed, events);
}
