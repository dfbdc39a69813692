//! What AppRole needs: every form in which the role id and the secret id can be given.

use super::login::{check, source};
use super::lookup::Lookup;
use super::table::{
    REMOVE_SECRET_ID_FILE, ROLE_ID, ROLE_ID_FILE, SECRET_ID, SECRET_ID_FILE, WRAPPED_SECRET_ID,
    WRAPPED_SECRET_ID_FILE, WRAPPING_PATH,
};
use crate::login::{AppRoleSettings, CreationPath, SecretIdSettings, Source};

/// The settings of an AppRole login, if they are sound.
pub fn approle(lookup: &Lookup<'_>, mount: String) -> Option<AppRoleSettings> {
    let role_id = role_id(lookup);
    let secret_id = secret_id(lookup, creation_path(lookup, &mount));
    let secret_source = secret_id.as_ref().and_then(SecretIdSettings::source);
    for source in role_id.iter().chain(secret_source) {
        check(lookup, source);
    }
    let from_stdin = |source: &Source| matches!(source, Source::StandardInput { .. });
    if role_id.as_ref().is_some_and(from_stdin) && secret_source.is_some_and(from_stdin) {
        lookup.wrong(
            role_id.as_ref().map_or("", Source::setting),
            "standard input can hold the role id or the secret id, not both",
        );
    }
    let remove_file = lookup.switch(&REMOVE_SECRET_ID_FILE);
    Some(AppRoleSettings {
        mount,
        role_id: role_id?,
        secret_id: secret_id?,
        remove_file,
    })
}

fn role_id(lookup: &Lookup<'_>) -> Option<Source> {
    let Some((setting, value)) = lookup.one_of(&[&ROLE_ID, &ROLE_ID_FILE]) else {
        if lookup.is_missing(&ROLE_ID) && lookup.is_missing(&ROLE_ID_FILE) {
            lookup.wrong(
                "--role-id, --role-id-file (VAULT_ROLE_ID, VAULT_ROLE_ID_FILE)",
                "the role id is missing; `vault read -field=role_id auth/approle/role/ROLE/role-id` shows it (to log in in another \
                 way: `vault login`, or say which with --auth)",
            );
        }
        return None;
    };
    Some(source(setting, value))
}

fn creation_path(lookup: &Lookup<'_>, mount: &str) -> CreationPath {
    let any = CreationPath::AnyRoleOf {
        mount: mount.to_owned(),
    };
    lookup
        .api_path(&WRAPPING_PATH)
        .map_or(any, CreationPath::Exactly)
}

/// The one form in which the secret id is given. A stronger layer wins over the other form in a weaker one.
fn secret_id(lookup: &Lookup<'_>, creation_path: CreationPath) -> Option<SecretIdSettings> {
    let plain = lookup.one_of(&[&SECRET_ID_FILE, &SECRET_ID]);
    let wrapped = lookup.one_of(&[&WRAPPED_SECRET_ID_FILE, &WRAPPED_SECRET_ID]);
    let wrapped_wins = match (&plain, &wrapped) {
        (None, None) => return Some(SecretIdSettings::None),
        (Some((_, plain)), Some((_, wrapped))) if plain.layer == wrapped.layer => {
            lookup.wrong(
                format!("{} and {}", plain.name, wrapped.name),
                "the secret id is given twice, plain and wrapped: give one of them",
            );
            return None;
        }
        (Some((_, plain)), Some((_, wrapped))) => wrapped.layer < plain.layer,
        (plain, _) => plain.is_none(),
    };
    let (setting, value) = if wrapped_wins { wrapped } else { plain }?;
    let source = source(setting, value);
    Some(if wrapped_wins {
        SecretIdSettings::Wrapped {
            source,
            creation_path,
        }
    } else {
        SecretIdSettings::Plain(source)
    })
}
