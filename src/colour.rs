//! When there is colour: at a terminal that knows it, and never with `NO_COLOR`.

use crate::environment::Environment;

/// Whether what goes to a terminal, or to something else, may have colour.
pub fn wanted(is_terminal: bool, environment: &dyn Environment) -> bool {
    let set = |name: &str| {
        let value = environment.variable(name);
        value.filter(|value| !value.is_empty())
    };
    is_terminal && set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb")
}

/// The colours used, as ANSI has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// For what failed.
    Red,
    /// For what is good.
    Green,
    /// For what is to be known.
    Yellow,
    /// For what is open.
    Cyan,
}

impl Colour {
    /// The text in this colour.
    pub fn paint(self, text: &str) -> String {
        let code = match self {
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Cyan => 36,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Given;

    #[test]
    fn there_is_colour_at_a_terminal_alone_and_never_with_no_color() {
        let terminal = ("TERM", "xterm");
        assert!(wanted(true, &Given(vec![terminal])));
        assert!(wanted(true, &Given(vec![terminal, ("NO_COLOR", "")])));
        assert!(!wanted(false, &Given(vec![terminal])));
        assert!(!wanted(true, &Given(vec![terminal, ("NO_COLOR", "1")])));
        assert!(!wanted(true, &Given(vec![("TERM", "dumb")])));
        assert!(!wanted(true, &Given(vec![])));
    }
}
