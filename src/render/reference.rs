//! References in the caller's environment, as bank-vaults' users write them:
//! `DB_PASSWORD=vault:database/creds/app#password`.

/// A field of what is read at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// A path of the API.
    pub path: String,
    /// A field's name.
    pub field: String,
    /// A version of a key-value secret.
    pub version: Option<u32>,
}

impl Reference {
    /// Reads a variable's value, if it is a reference at all.
    ///
    /// # Errors
    /// What is wrong with one, without the value.
    pub fn parse(value: &str) -> Option<Result<Self, &'static str>> {
        if value.starts_with(">>vault:") || value.starts_with("${vault:") {
            return Some(Err(
                "of references only vault:PATH#FIELD is understood, as the whole value",
            ));
        }
        let reference = value.strip_prefix("vault:")?;
        // A path below a mount of its own name, as in vault://host, is no reference.
        if reference.starts_with("//") {
            return None;
        }
        Some(Self::read(reference))
    }

    /// Its path and field, where it means the newest version.
    ///
    /// # Errors
    /// That it means another one.
    pub fn of_the_newest(self) -> Result<(String, String), &'static str> {
        match self.version {
            None => Ok((self.path, self.field)),
            Some(_) => Err(
                "it refers to a version, and only the newest one is read: leave the version out",
            ),
        }
    }

    fn read(reference: &str) -> Result<Self, &'static str> {
        let mut parts = reference.split('#');
        let path = parts.next().unwrap_or_default();
        let field = parts.next().unwrap_or_default();
        let version = parts.next();
        if parts.next().is_some() || field.is_empty() {
            return Err("a reference is vault:PATH#FIELD, or vault:PATH#FIELD#VERSION");
        }
        if field.contains(['$', '{', '}', '.']) {
            return Err(
                "the field of a reference is a name: --env NAME=TEMPLATE takes more than that",
            );
        }
        let path = path.strip_prefix('/').unwrap_or(path);
        let is_segment = |segment: &str| {
            let is_sound = |character: char| {
                !character.is_control()
                    && !character.is_whitespace()
                    && !matches!(character, '?' | '%' | '\\')
            };
            !matches!(segment, "" | "." | "..") && segment.chars().all(is_sound)
        };
        if !path.contains('/') || !path.split('/').all(is_segment) {
            return Err(
                "what stands before the # of a reference is no path of the API, as in database/creds/app",
            );
        }
        let version = version.map(str::parse).transpose();
        Ok(Self {
            path: path.to_owned(),
            field: field.to_owned(),
            version: version.map_err(|_| "the version of a reference is a whole number")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_field_are_read() {
        let reference = |path: &str, field: &str, version| {
            Some(Ok(Reference {
                path: path.to_owned(),
                field: field.to_owned(),
                version,
            }))
        };
        assert_eq!(
            Reference::parse("vault:database/creds/app#password"),
            reference("database/creds/app", "password", None)
        );
        assert_eq!(
            Reference::parse("vault:secret/data/app#api-key#3"),
            reference("secret/data/app", "api-key", Some(3))
        );
    }

    #[test]
    fn what_is_no_reference_is_left_alone() {
        for value in ["", "x", "vault", "vault://host/x", "a vault:b/c#d"] {
            assert_eq!(Reference::parse(value), None, "{value}");
        }
    }

    #[test]
    fn a_reference_that_cannot_be_meant_is_refused() {
        for value in [
            "vault:",
            "vault:a/b",
            "vault:a/b#",
            "vault:#c",
            "vault:a#c",
            "vault:a/../b#c",
            "vault:a//b#c",
            "vault:a/b c#d",
            "vault:..\u{2028}a/b#c",
            "vault:a/b#c#latest",
            "vault:a/b#c#1#2",
            "vault:a/b#${.c}",
            ">>vault:a/b#c",
            "${vault:a/b#c}",
        ] {
            assert!(matches!(Reference::parse(value), Some(Err(_))), "{value}");
        }
    }
}
