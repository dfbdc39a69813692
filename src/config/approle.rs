//! What AppRole needs: every form in which the role id and the secret id can be given.

use std::ffi::OsString;
use std::path::PathBuf;

use super::AuthSettings;
use super::gather::api_path;
use super::source::Source;
use super::value::{Lookup, Value};
use crate::auth::{AppRoleSettings, CreationPath, SecretIdSettings};
use crate::cli::Cli;

/// The settings of the login, if they are sound.
pub fn auth(cli: &Cli, lookup: &Lookup<'_>) -> Option<AuthSettings> {
    let method = lookup.value("--auth", cli.auth.as_ref(), "VAULTEXEC_AUTH");
    if let Some(value) = method.filter(|value| value.text != "approle") {
        lookup.wrong(
            &value.setting,
            format!(
                "{:?} is not a method of this version: approle is",
                value.text
            ),
        );
        return None;
    }
    let mount = lookup.value(
        "--auth-mount",
        cli.auth_mount.as_ref(),
        "VAULTEXEC_AUTH_MOUNT",
    );
    let mount = match mount {
        None => "approle".to_owned(),
        Some(value) => {
            // One that is wrong is told, and what else is wrong is looked for all the same.
            let mount = api_path(&value, lookup).unwrap_or_default();
            mount.strip_prefix("auth/").unwrap_or(&mount).to_owned()
        }
    };
    let role_id = one_of(
        lookup,
        &[
            Form::Flag("--role-id", cli.role_id.as_ref()),
            Form::FlagFile("--role-id-file", cli.role_id_file.as_ref()),
            Form::Variable("VAULT_ROLE_ID"),
            Form::VariableFile("VAULT_ROLE_ID_FILE"),
        ],
    );
    let plain = one_of(
        lookup,
        &[
            Form::FlagFile("--secret-id-file", cli.secret_id_file.as_ref()),
            Form::Variable("VAULT_SECRET_ID"),
            Form::VariableFile("VAULT_SECRET_ID_FILE"),
        ],
    );
    let wrapped = one_of(
        lookup,
        &[
            Form::FlagFile(
                "--wrapped-secret-id-file",
                cli.wrapped_secret_id_file.as_ref(),
            ),
            Form::Variable("VAULT_WRAPPED_SECRET_ID"),
            Form::VariableFile("VAULT_WRAPPED_SECRET_ID_FILE"),
        ],
    );
    let creation_path = lookup
        .value(
            "--wrapping-path",
            cli.wrapping_path.as_ref(),
            "VAULTEXEC_WRAPPING_PATH",
        )
        .and_then(|value| api_path(&value, lookup))
        .map_or_else(
            || CreationPath::AnyRoleOf {
                mount: mount.clone(),
            },
            CreationPath::Exactly,
        );
    let secret_id = secret_id(plain, wrapped, creation_path, lookup);
    let Some((role_id, _)) = role_id else {
        lookup.wrong(
            "--role-id, --role-id-file (VAULT_ROLE_ID, VAULT_ROLE_ID_FILE)",
            "the role id is missing; `vault read -field=role_id auth/approle/role/ROLE/role-id` shows it",
        );
        return None;
    };
    let secret_id = secret_id?;
    let secret_from_stdin = match &secret_id {
        SecretIdSettings::Plain(source) | SecretIdSettings::Wrapped { source, .. } => {
            matches!(source, Source::StandardInput { .. })
        }
        SecretIdSettings::None => false,
    };
    if secret_from_stdin && matches!(role_id, Source::StandardInput { .. }) {
        lookup.wrong(
            role_id.setting(),
            "standard input can hold the role id or the secret id, not both",
        );
    }
    Some(AuthSettings::AppRole(AppRoleSettings {
        mount,
        role_id,
        secret_id,
        remove_file: lookup.switch(cli.remove_secret_id_file, "VAULTEXEC_REMOVE_SECRET_ID_FILE"),
    }))
}

/// The one form of the secret id that was meant.
fn secret_id(
    plain: Option<(Source, bool)>,
    wrapped: Option<(Source, bool)>,
    creation_path: CreationPath,
    lookup: &Lookup<'_>,
) -> Option<SecretIdSettings> {
    Some(match (plain, wrapped) {
        (None, None) => SecretIdSettings::None,
        (Some((plain, _)), None) => SecretIdSettings::Plain(plain),
        (None, Some((source, _))) => SecretIdSettings::Wrapped {
            source,
            creation_path,
        },
        // A flag wins over a variable of the other form.
        (Some((plain, true)), Some((_, false))) => SecretIdSettings::Plain(plain),
        (Some((_, false)), Some((source, true))) => SecretIdSettings::Wrapped {
            source,
            creation_path,
        },
        (Some((plain, _)), Some((wrapped, _))) => {
            let both = format!("{} and {}", plain.setting(), wrapped.setting());
            lookup.wrong(
                &both,
                "the secret id is given twice, plain and wrapped: give one of them",
            );
            return None;
        }
    })
}

/// A form in which a setting can be given.
enum Form<'a> {
    Flag(&'a str, Option<&'a OsString>),
    FlagFile(&'a str, Option<&'a OsString>),
    Variable(&'a str),
    VariableFile(&'a str),
}

/// Where a setting is that has several forms, and whether a flag said so. Of two flags, or of two
/// variables, nobody could say which is meant.
fn one_of(lookup: &Lookup<'_>, forms: &[Form<'_>]) -> Option<(Source, bool)> {
    let mut found: Vec<(Source, bool)> = Vec::new();
    for form in forms {
        let source = match form {
            Form::Flag(flag, given) => {
                given
                    .and_then(|_| lookup.value(flag, *given, ""))
                    .map(|value| {
                        let Value { text, setting, .. } = value;
                        (
                            Source::Flag {
                                setting,
                                value: text,
                            },
                            true,
                        )
                    })
            }
            Form::FlagFile(flag, given) => given
                .and_then(|_| lookup.value(flag, *given, ""))
                .map(|value| (file_or_stdin(value), true)),
            Form::Variable(name) => lookup
                .name_in_use(name)
                .map(|name| (Source::Variable(name), false)),
            Form::VariableFile(name) => lookup
                .variable(name)
                .map(|value| (file_or_stdin(value), false)),
        };
        found.extend(source);
    }
    let by_flag = found.iter().any(|(_, by_flag)| *by_flag);
    found.retain(|(_, flag)| *flag == by_flag);
    if let [(first, _), (second, _), ..] = found.as_slice() {
        lookup.wrong(
            &format!("{} and {}", first.setting(), second.setting()),
            "give only one of them",
        );
    }
    found.into_iter().next()
}

fn file_or_stdin(value: Value) -> Source {
    if value.text == "-" {
        Source::StandardInput {
            setting: value.setting,
        }
    } else {
        Source::File {
            setting: value.setting,
            path: PathBuf::from(value.text),
        }
    }
}
