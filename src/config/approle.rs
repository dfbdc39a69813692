//! What AppRole needs: every form in which the role id and the secret id can be given.

use std::ffi::OsString;
use std::path::PathBuf;

use super::value::{Lookup, Value, api_path};
use crate::auth::{AppRoleSettings, AuthSettings, CreationPath, SecretIdSettings, Source};
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
    let role_id = role_id(cli, lookup);
    let creation_path = creation_path(cli, lookup, &mount);
    let secret_id = secret_id(cli, lookup, creation_path);
    let secret_source = secret_id.as_ref().and_then(SecretIdSettings::source);
    for source in role_id.iter().chain(secret_source) {
        if let Err(problem) = source.check() {
            lookup.wrong(&problem.setting, problem.words);
        }
    }
    let from_stdin = |source: &Source| matches!(source, Source::StandardInput { .. });
    if role_id.as_ref().is_some_and(from_stdin) && secret_source.is_some_and(from_stdin) {
        lookup.wrong(
            role_id.as_ref().map_or("", Source::setting),
            "standard input can hold the role id or the secret id, not both",
        );
    }
    let remove_file = lookup.switch(cli.remove_secret_id_file, "VAULTEXEC_REMOVE_SECRET_ID_FILE");
    Some(AuthSettings::AppRole(AppRoleSettings {
        mount,
        role_id: role_id?,
        secret_id: secret_id?,
        remove_file,
    }))
}

fn role_id(cli: &Cli, lookup: &Lookup<'_>) -> Option<Source> {
    let forms = [
        Form::Flag("--role-id", cli.role_id.as_ref()),
        Form::FlagFile("--role-id-file", cli.role_id_file.as_ref()),
        Form::Variable("VAULT_ROLE_ID"),
        Form::VariableFile("VAULT_ROLE_ID_FILE"),
    ];
    let found = one_of(lookup, &forms);
    if found.is_none() {
        lookup.wrong(
            "--role-id, --role-id-file (VAULT_ROLE_ID, VAULT_ROLE_ID_FILE)",
            "the role id is missing; `vault read -field=role_id auth/approle/role/ROLE/role-id` shows it",
        );
    }
    found.map(|(source, _)| source)
}

fn creation_path(cli: &Cli, lookup: &Lookup<'_>, mount: &str) -> CreationPath {
    let given = lookup.value(
        "--wrapping-path",
        cli.wrapping_path.as_ref(),
        "VAULTEXEC_WRAPPING_PATH",
    );
    given
        .and_then(|value| api_path(&value, lookup))
        .map_or_else(
            || CreationPath::AnyRoleOf {
                mount: mount.to_owned(),
            },
            CreationPath::Exactly,
        )
}

/// The one form of the secret id that was meant.
fn secret_id(
    cli: &Cli,
    lookup: &Lookup<'_>,
    creation_path: CreationPath,
) -> Option<SecretIdSettings> {
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
