//! `docs/reference.md` has every row of the table, as it is in the help.

use std::fs;
use std::path::Path;

use super::help;
use super::row::Group;

/// What stands in the document before and after what comes from the table.
const MARKS: [&str; 2] = ["<!-- from the table: -->\n", "<!-- end of the table -->\n"];

/// The table as Markdown.
fn markdown() -> String {
    let mut text = String::new();
    for group in Group::ALL {
        text += &format!("\n### {}\n\n", group.title());
        text += "| option | variable | default | meaning |\n|---|---|---|---|\n";
        for setting in help::rows(group) {
            let code = |name: String| match name.as_str() {
                "" => name,
                name => format!("`{}`", name.replace('|', "\\|")),
            };
            text += &format!(
                "| {} | {} | {} | {} |\n",
                code(help::option(setting)),
                code(setting.variable.unwrap_or_default().to_owned()),
                help::default(setting).unwrap_or_default(),
                help::meaning(setting)
            );
        }
    }
    text + "\n"
}

#[test]
fn the_reference_is_that_of_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("docs/reference.md");
    let document = fs::read_to_string(&path).expect("docs/reference.md");
    let (before, rest) = document.split_once(MARKS[0]).expect("the first mark");
    let (_, after) = rest.split_once(MARKS[1]).expect("the second mark");
    let wanted = [before, MARKS[0], &markdown(), MARKS[1], after].concat();
    if document != wanted {
        let new = root.join("target/reference.md");
        fs::write(&new, wanted).expect("target/");
        panic!("cp target/reference.md docs/reference.md");
    }
}
