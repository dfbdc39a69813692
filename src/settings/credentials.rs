//! What is read, and what becomes of it: paths, names, places, templates and references, checked together.

use super::forms;
use super::lookup::{Layer, Lookup, Value};
use super::table::{
    CREDS, DATABASE_URL, ENV, HANDOVER, INHERITED_DATABASE_URL, RESOLVE_ENV, SET_ROLE,
};
use crate::render::names::prefixes;
use crate::render::other_url::OtherUrl;
use crate::render::postgres::{Base, misleading_variable};
use crate::render::recipe::{Handover, Made, Place, Recipe, Referring, Wanted};
use crate::render::reference::Reference;
use crate::render::template::Template;

/// Variables that every process is started with and that a template would break, or that are about
/// vaultexec itself.
const NOT_MADE: [&str; 2] = ["VAULTEXEC_LEASE_ID", "VAULTEXEC_EXPIRES_AT"];

/// Checks everything that says what the child gets. What is wrong is noted; then the recipe is not whole.
pub fn recipe(lookup: &Lookup<'_>) -> Recipe {
    let mut recipe = Recipe::default();
    let resolves = lookup.switch(&RESOLVE_ENV);
    let named: Vec<(String, Value)> = lookup.list(&CREDS).into_iter().map(with_name).collect();
    let known: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    let prefixes = prefixes(&known).unwrap_or_else(|message| {
        lookup.wrong(CREDS.to_string(), message);
        vec![String::new(); known.len()]
    });
    let places = places(lookup, &known);
    for (((_, value), prefix), place) in named.iter().zip(prefixes).zip(places) {
        match forms::creds_path(&value.text) {
            Ok(path) => {
                let path = recipe.path(&path);
                recipe.credentials.push(Wanted {
                    prefix,
                    path,
                    place,
                });
            }
            Err(message) => lookup.wrong(&value.name, message),
        }
    }
    recipe.made = made(lookup, &known);
    if resolves {
        refer(lookup, &mut recipe);
    }
    if lookup.is_missing(&CREDS) && recipe.referring.is_empty() {
        let message = if resolves {
            "it is missing, and no variable refers to a path: the path that is read for credentials, as in database/creds/app-role"
        } else {
            "it is missing: the path that is read for credentials, as in database/creds/app-role"
        };
        lookup.wrong(CREDS.to_string(), message);
    }
    recipe.handover = handover(lookup, &recipe);
    recipe.set_role = set_role(lookup, recipe.credentials.first().map(|first| &first.place));
    recipe
}

/// Takes `NAME=` off. A path or a URL may have a = of its own, after a slash.
fn with_name(value: Value) -> (String, Value) {
    match value.text.split_once('=') {
        Some((name, text)) if !name.contains(['/', ':']) => {
            let text = text.to_owned();
            (name.trim().to_owned(), Value { text, ..value })
        }
        _ => (String::new(), value),
    }
}

/// Where the database of each is. Where nothing is said of one, it is that of the default one.
fn places(lookup: &Lookup<'_>, names: &[&str]) -> Vec<Place> {
    let given = lookup.list(&DATABASE_URL).into_iter().map(with_name);
    let mut given: Vec<(usize, Value)> = given
        .filter_map(|(name, value)| {
            // Without a name it is for the default one, whatever that is called.
            let index = if name.is_empty() { Some(0) } else { names.iter().position(|known| *known == name) };
            if index.is_none() {
                lookup.wrong(&value.name, format!("no credentials are called {name:?}: --creds {name}=PATH gives them that name"));
            }
            Some((index?, value))
        })
        .collect();
    given.sort_by_key(|(index, _)| *index);
    for pair in given.windows(2) {
        if let [(one, first), (other, _)] = pair
            && one == other
        {
            let message =
                "two URLs are for the same credentials: NAME=URL is for those that are called NAME";
            lookup.wrong(&first.name, message);
        }
    }
    let own = |index: usize| {
        let found = given.iter().find(|(known, _)| *known == index);
        found.and_then(|(_, value)| place(lookup, value))
    };
    let inherited = || {
        let value = lookup.value(&INHERITED_DATABASE_URL)?;
        let ours = !Base::is_of_another_kind(&value.text);
        place(lookup, &value).filter(|_| ours)
    };
    let default = own(0).unwrap_or_else(|| {
        let is_said = given.iter().any(|(index, _)| *index == 0);
        let inherited = if is_said { None } else { inherited() };
        inherited.unwrap_or(Place::Postgres(None))
    });
    let others = (1..names.len()).map(|index| own(index).unwrap_or_else(|| default.clone()));
    let all: Vec<Place> = std::iter::once(default.clone()).chain(others).collect();
    for place in &all {
        if let Place::Postgres(base) = place
            && let Some((name, message)) = misleading_variable(base.as_ref(), lookup.environment())
        {
            lookup.wrong(name, message);
        }
    }
    all
}

/// A place that a URL names.
fn place(lookup: &Lookup<'_>, value: &Value) -> Option<Place> {
    if value.layer != Layer::Variable && forms::holds_password(&value.text) {
        let message = match value.layer {
            Layer::Flag => "there is a password in it, which everybody on the host can read there",
            _ => "there is a password in it, and no secret is taken from this file",
        };
        lookup.wrong(
            &value.name,
            format!("{message}: leave it out, the credentials from the server take its place"),
        );
        return None;
    }
    let is_inherited = INHERITED_DATABASE_URL.variables().contains(&value.name);
    if is_inherited && Base::is_of_another_kind(&value.text) {
        return None;
    }
    let read = match OtherUrl::parse(&value.text) {
        Some(other) => other.map(Place::Other),
        None => Base::parse(&value.text).map(|base| Place::Postgres(Some(base))),
    };
    read.map_err(|message| lookup.wrong(&value.name, message))
        .ok()
}

/// The variables that templates make.
fn made(lookup: &Lookup<'_>, names: &[&str]) -> Vec<Made> {
    let mut all: Vec<Made> = Vec::new();
    for value in lookup.list(&ENV) {
        match one_made(&value.text, names) {
            Ok(made) if all.iter().any(|known| known.name == made.name) => {
                lookup.wrong(
                    &value.name,
                    format!("{} is made twice: give it once", made.name),
                );
            }
            Ok(made) => all.push(made),
            Err(message) => lookup.wrong(&value.name, message),
        }
    }
    all
}

fn one_made(text: &str, names: &[&str]) -> Result<Made, String> {
    let Some((name, template)) = text.split_once('=') else {
        return Err("it is not NAME=TEMPLATE, as in API_KEY={{key}}".to_owned());
    };
    if !is_variable(name) {
        return Err(format!("{name:?} cannot be the name of a variable"));
    }
    if NOT_MADE.contains(&name) {
        return Err(format!(
            "{name} says what vaultexec knows of the lease, and is not made otherwise"
        ));
    }
    if names.is_empty() && template.contains("{{") {
        return Err(format!(
            "{name} takes a field, and nothing is read: give --creds"
        ));
    }
    let template = Template::parse(template, names);
    Ok(Made {
        name: name.to_owned(),
        template: template.map_err(|message| format!("{name}: {message}"))?,
    })
}

fn is_variable(name: &str) -> bool {
    let sound = |one: char| !one.is_whitespace() && !one.is_control() && !"={}".contains(one);
    !name.is_empty() && name.chars().all(sound)
}

/// The variables of the caller's that refer to fields.
fn refer(lookup: &Lookup<'_>, recipe: &mut Recipe) {
    for (name, value) in lookup.environment().all() {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
            continue;
        };
        let Some(reference) = Reference::parse(value) else {
            continue;
        };
        match reference.and_then(Reference::of_the_newest) {
            Ok((path, field)) => {
                if let Some(other) = other_source(recipe, name) {
                    lookup.wrong(
                        name,
                        format!("it refers to a field, and {other} as well: give one of them"),
                    );
                    continue;
                }
                let path = recipe.path(&path);
                recipe.referring.push(Referring {
                    name: name.to_owned(),
                    path,
                    field,
                });
            }
            Err(message) => lookup.wrong(name, message),
        }
    }
}

/// What else gives a variable its value.
fn other_source(recipe: &Recipe, name: &str) -> Option<&'static str> {
    if recipe.made.iter().any(|made| made.name == name) {
        return Some("--env makes it");
    }
    let of_credentials = recipe.credentials.iter().any(|wanted| {
        let rest = name.strip_prefix(wanted.prefix.as_str());
        matches!(rest, Some("PGUSER" | "PGPASSWORD" | "DATABASE_URL"))
    });
    of_credentials.then_some("--creds sets it")
}

fn handover(lookup: &Lookup<'_>, recipe: &Recipe) -> Handover {
    let chosen = lookup.parsed(&HANDOVER, |text| match text {
        "env" => Ok(Handover::Env),
        "passfile" => Ok(Handover::Passfile),
        "service" => Ok(Handover::Service),
        _ => Err(forms::no_choice(text, &HANDOVER)),
    });
    let chosen = chosen.unwrap_or_default();
    if chosen == Handover::Env {
        return chosen;
    }
    for wanted in &recipe.credentials {
        let message = match &wanted.place {
            Place::Other(_) => "such files are libpq's: only PostgreSQL's clients read them",
            Place::Postgres(Some(base))
                if chosen == Handover::Service && !base.takes_libpqs_parameters() =>
            {
                "service files are libpq's, and whoever reads such a URL does not take one"
            }
            Place::Postgres(_) => continue,
        };
        lookup.wrong(HANDOVER.to_string(), message);
    }
    chosen
}

fn set_role(lookup: &Lookup<'_>, place: Option<&Place>) -> Option<String> {
    lookup.parsed(&SET_ROLE, |role| {
        if role.contains(char::is_control) {
            return Err("there is a control character in it".to_owned());
        }
        match place {
            Some(Place::Postgres(Some(base))) if !base.takes_libpqs_parameters() => Err(format!(
                "no role can be set in a URL of {}, whose reader does not take libpq's options: its sessions would be \
                 those of the temporary role",
                base.scheme
            )),
            Some(Place::Other(_)) => Err("only a PostgreSQL has roles to be set".to_owned()),
            _ => Ok(role.to_owned()),
        }
    })
}
