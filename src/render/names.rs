//! Variables of named credentials. The first is the default one and has `PGUSER`, `PGPASSWORD`, `PGHOST`…
//! and `DATABASE_URL`; each other one has the same variables after its name: `RO_PGUSER`, `RO_DATABASE_URL`.

/// What stands before the variables of each: nothing for the first, which is the default one, and
/// `RO_` for one that is called `ro`.
///
/// # Errors
/// A name that can be no variable's beginning, or two that would be the same.
pub fn prefixes(names: &[&str]) -> Result<Vec<String>, String> {
    let mut all: Vec<String> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let begins = name.starts_with(|first: char| first.is_ascii_alphabetic());
        let is_sound = |one: char| one.is_ascii_alphanumeric() || matches!(one, '_' | '-');
        if !(begins && name.chars().all(is_sound) || index == 0 && name.is_empty()) {
            return Err(format!(
                "{name:?} cannot be a name of credentials: letters, digits, _ and - may be in one, a letter first"
            ));
        }
        let prefix = format!("{}_", name.to_ascii_uppercase().replace('-', "_"));
        if all.contains(&prefix) {
            return Err(format!(
                "two credentials would have the variables {prefix}…: {name:?} is the second"
            ));
        }
        all.push(prefix);
    }
    if let Some(first) = all.first_mut() {
        first.clear();
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_the_default_one() {
        let all = prefixes(&["rw", "ro", "app-2"]).expect("names");
        assert_eq!(all, ["", "RO_", "APP_2_"]);
        assert_eq!(prefixes(&[""]).expect("no name"), [""]);
    }

    #[test]
    fn names_that_clash_or_cannot_be_variables_are_refused() {
        for names in [
            &["a", "A"][..],
            &["a-b", "c", "a_b"],
            &["a", ""],
            &["1a"],
            &["a b"],
            &["ä"],
            &["", ""],
        ] {
            assert!(prefixes(names).is_err(), "{names:?}");
        }
    }
}
