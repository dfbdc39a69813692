//! `vaultexec man`: the manual page, from the table, in roff's `man` macros.

use super::command_line::SUBCOMMANDS;
use super::help;
use super::row::Group;

/// The page.
#[must_use]
pub fn page() -> String {
    let mut page = format!(
        ".TH VAULTEXEC 1 \"\" \"vaultexec {}\" \"User Commands\"\n.SH NAME\nvaultexec \\- {}\n.SH SYNOPSIS\n",
        env!("CARGO_PKG_VERSION"),
        text(help::SUMMARY),
    );
    for usage in help::usages() {
        page += &format!("{}\n.br\n", text(&usage));
    }
    page += &format!(
        ".SH DESCRIPTION\n{}\n.PP\n{}\n.SH OPTIONS\n",
        text(help::DESCRIPTION),
        text(help::LAYERS)
    );
    for group in Group::ALL {
        page += &format!(".SS {}\n", group.title());
        for setting in help::rows(group) {
            let names = [
                help::option(setting),
                setting.variable.unwrap_or_default().to_owned(),
            ];
            let names = names.iter().filter(|name| !name.is_empty());
            let names: Vec<_> = names
                .map(|name| format!("\\fB{}\\fR", text(name)))
                .collect();
            item(&mut page, &names.join(", "), &help::meaning(setting));
            if let Some(default) = help::default(setting) {
                page += &format!(".br\nDefault: {}\n", text(default));
            }
        }
    }
    page += ".SH OTHER COMMANDS\n";
    for subcommand in &SUBCOMMANDS {
        let name = format!("\\fB{}\\fR {}", subcommand.name, text(subcommand.usage));
        item(&mut page, &name, subcommand.help);
    }
    page += ".SH EXIT STATUS\n";
    for (code, when) in help::EXIT {
        item(&mut page, code, when);
    }
    page += ".SH EXAMPLES\n";
    for (what, line) in help::EXAMPLES {
        page += &format!(
            ".PP\n{}:\n.PP\n.RS\n.nf\n{}\n.fi\n.RE\n",
            text(what),
            text(line)
        );
    }
    page
}

fn item(page: &mut String, name: &str, what: &str) {
    *page += &format!(".TP\n{}\n{}\n", name.trim_end(), text(what));
}

/// A text in which roff finds no request and no escape, and whose dashes can be copied.
fn text(plain: &str) -> String {
    let escaped = plain.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) {
        format!("\\&{escaped}")
    } else {
        escaped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_roff_would_obey_is_escaped() {
        assert_eq!(text(".x \\q --y"), "\\&.x \\eq \\-\\-y");
        assert_eq!(text("'s"), "\\&'s");
    }
}
