//! What the child gets, made of the settings before anything is asked for: which paths are read, and
//! what becomes of what they answer. Pure.

use super::File;
use super::other_url::OtherUrl;
use super::passfile;
use super::postgres::{self, Base, Credentials, jdbc};
use super::service::{self, SERVICE};
use super::template::{Source, Template};
use crate::environment::Environment;
use crate::secret::Fields;
use crate::sensitive::Sensitive;

/// Where the database of some credentials is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// PostgreSQL, as far as a URL says where.
    Postgres(Option<Base>),
    /// Another database, or a queue.
    Other(OtherUrl),
}

/// Credentials that the child gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What stands before the names of its variables.
    pub prefix: String,
    /// Its path, as an index.
    pub path: usize,
    /// Where it is good.
    pub place: Place,
}

/// A variable of the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// Its value.
    pub template: Template,
}

/// A variable of the caller's whose value refers to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referring {
    /// Its name.
    pub name: String,
    /// The path, as an index.
    pub path: usize,
    /// The field.
    pub field: String,
}

/// Where passwords go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handover {
    /// Into the environment.
    #[default]
    Env,
    /// Into a password file of libpq.
    Passfile,
    /// Into a connection service file of libpq.
    Service,
}

/// All that the child gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    /// What is read, each path once.
    pub paths: Vec<String>,
    /// Credentials, the default ones first.
    pub credentials: Vec<Wanted>,
    /// Variables made by templates.
    pub made: Vec<Made>,
    /// Variables that refer to fields.
    pub referring: Vec<Referring>,
    /// The role that sessions with the default credentials change to.
    pub set_role: Option<String>,
    /// Where passwords go.
    pub handover: Handover,
}

/// What is set in the child's environment and what is dropped from it.
#[derive(Debug, Default)]
pub struct Variables {
    /// Names and values.
    pub set: Vec<(String, Sensitive<String>)>,
    /// Names.
    pub drop: Vec<&'static str>,
    /// What the user may want to know, for the `info` level.
    pub notes: Vec<String>,
    /// What is in the file, if there is one.
    contents: Vec<Sensitive<String>>,
}

/// A login to PostgreSQL, as its own client tries it.
#[derive(Debug)]
pub struct Login {
    /// The path its credentials come from.
    pub path: String,
    /// Variables that say where and who, without the password.
    pub set: Vec<(String, Sensitive<String>)>,
    /// Variables that would mislead.
    pub drop: Vec<&'static str>,
    /// What a password file holds for it.
    pub password_file: Sensitive<String>,
}

/// What an answer lacks.
#[derive(Debug, PartialEq, Eq)]
pub struct Lack {
    /// The path that was read.
    pub path: String,
    /// What is missing, without a value.
    pub problem: String,
    /// Whether it is a user or a password.
    pub of_a_login: bool,
}

impl Recipe {
    /// The place of a path among those that are read; it is added where it is new.
    pub fn path(&mut self, path: &str) -> usize {
        let known = self.paths.iter().position(|known| known == path);
        known.unwrap_or_else(|| {
            self.paths.push(path.to_owned());
            self.paths.len() - 1
        })
    }

    /// The variables, of what the paths have answered, in their order.
    ///
    /// # Errors
    /// What an answer lacks.
    pub fn variables(
        &self,
        answers: &[Fields],
        environment: &dyn Environment,
    ) -> Result<Variables, Lack> {
        let mut all = Variables::default();
        let none = Fields::default();
        let answer = |path: usize| answers.get(path).unwrap_or(&none);
        let mut sources = Vec::new();
        for (index, wanted) in self.credentials.iter().enumerate() {
            let fields = answer(wanted.path);
            let login = login_of(fields);
            let mut derived = Vec::new();
            match &login {
                Ok(credentials) => {
                    derived = self.derived(index, wanted, credentials, environment);
                    self.add(index, wanted, credentials, environment, &mut all)
                        .map_err(|problem| Lack {
                            path: self.paths.get(wanted.path).cloned().unwrap_or_default(),
                            problem: format!("for --handover: {problem}"),
                            of_a_login: false,
                        })?;
                }
                // What only serves a template may have any fields.
                Err(_) if self.is_used(index) => {}
                Err(problem) => {
                    return Err(Lack {
                        path: self.paths.get(wanted.path).cloned().unwrap_or_default(),
                        problem: (*problem).to_owned(),
                        of_a_login: true,
                    });
                }
            }
            sources.push(Source {
                fields: fields.clone(),
                derived,
            });
        }
        for made in &self.made {
            let value = made.template.render(&sources).map_err(|problem| Lack {
                path: self.path_of(&made.template),
                problem: format!("for --env {}: {problem}", made.name),
                of_a_login: false,
            })?;
            all.set(made.name.clone(), value);
        }
        for referring in &self.referring {
            let fields = answer(referring.path);
            let value = fields.get(&referring.field).ok_or_else(|| Lack {
                path: self.paths.get(referring.path).cloned().unwrap_or_default(),
                problem: format!(
                    "for {}: the answer has no field {:?}: it has {}",
                    referring.name,
                    referring.field,
                    fields.names().collect::<Vec<_>>().join(", ")
                ),
                of_a_login: false,
            })?;
            all.set(referring.name.clone(), value.clone());
        }
        Ok(all)
    }

    /// Whether any of the credentials are PostgreSQL's.
    #[must_use]
    pub fn has_postgres(&self) -> bool {
        let mut all = self.credentials.iter();
        all.any(|wanted| matches!(wanted.place, Place::Postgres(_)))
    }

    /// The logins to PostgreSQL that the answers allow.
    ///
    /// # Errors
    /// What cannot be tried.
    pub fn logins(
        &self,
        answers: &[Fields],
        environment: &dyn Environment,
    ) -> Result<Vec<Login>, Lack> {
        let mut logins = Vec::new();
        for (index, wanted) in self.credentials.iter().enumerate() {
            let fields = answers.get(wanted.path);
            let (Place::Postgres(base), Some(Ok(credentials))) =
                (&wanted.place, fields.map(login_of))
            else {
                continue;
            };
            let path = self.paths.get(wanted.path).cloned().unwrap_or_default();
            let made =
                postgres::variables(&credentials, base.as_ref(), self.role(index), environment);
            let line = passfile::line(&credentials.username, &credentials.password);
            let password_file = line.map_err(|problem| Lack {
                path: path.clone(),
                problem: format!("for --wait-login: {problem}"),
                of_a_login: false,
            })?;
            let set = made.set.into_iter();
            let set = set.filter(|(name, _)| !matches!(*name, "PGPASSWORD" | "DATABASE_URL"));
            logins.push(Login {
                path,
                set: set.map(|(name, value)| (name.to_owned(), value)).collect(),
                drop: made.drop,
                password_file,
            });
        }
        Ok(logins)
    }

    /// The path that a template's first field is read from, for a message.
    fn path_of(&self, template: &Template) -> String {
        let wanted = template
            .secrets()
            .next()
            .and_then(|first| self.credentials.get(first));
        let path = wanted.and_then(|wanted| self.paths.get(wanted.path));
        path.cloned().unwrap_or_default()
    }

    /// Whether a variable is made of a field.
    #[must_use]
    pub fn takes_fields(&self) -> bool {
        let mut made = self.made.iter();
        !self.referring.is_empty() || made.any(|made| made.template.secrets().next().is_some())
    }

    /// Whether a template or a reference takes something of these credentials.
    fn is_used(&self, index: usize) -> bool {
        let path = self.credentials.get(index).map(|wanted| wanted.path);
        let named = |made: &Made| made.template.secrets().any(|secret| secret == index);
        self.made.iter().any(named) || self.referring.iter().any(|it| Some(it.path) == path)
    }

    fn role(&self, index: usize) -> Option<&str> {
        self.set_role.as_deref().filter(|_| index == 0)
    }

    fn derived(
        &self,
        index: usize,
        wanted: &Wanted,
        credentials: &Credentials,
        environment: &dyn Environment,
    ) -> Vec<(&'static str, Result<Sensitive<String>, &'static str>)> {
        let (url, jdbc) = match &wanted.place {
            Place::Postgres(base) => {
                let url = postgres::url(credentials, base.as_ref(), self.role(index), environment);
                (url, jdbc::jdbc_url(credentials, base.as_ref(), environment))
            }
            Place::Other(url) => {
                let (user, password) = (&credentials.username, &credentials.password);
                (url.with(user, password), url.jdbc(user, password))
            }
        };
        vec![("url", Ok(url)), ("jdbc_url", jdbc)]
    }

    /// Adds the variables that come with credentials.
    fn add(
        &self,
        index: usize,
        wanted: &Wanted,
        credentials: &Credentials,
        environment: &dyn Environment,
        all: &mut Variables,
    ) -> Result<(), &'static str> {
        let prefix = &wanted.prefix;
        match &wanted.place {
            Place::Postgres(base) if self.handover == Handover::Service => {
                let role = self.role(index);
                let made = postgres::variables(credentials, base.as_ref(), role, environment);
                let parameters =
                    postgres::parameters(credentials, base.as_ref(), role, environment);
                let name = match prefix.trim_end_matches('_') {
                    "" => SERVICE.to_owned(),
                    prefix => format!("{SERVICE}_{}", prefix.to_ascii_lowercase()),
                };
                all.contents.push(service::section(&name, &parameters)?);
                let scheme = base
                    .as_ref()
                    .map_or("postgresql", |base| base.scheme.as_str());
                let url = Sensitive::new(format!("{scheme}:///?service={name}"));
                let has_url = made.set.iter().any(|(name, _)| *name == "DATABASE_URL");
                if has_url || index > 0 {
                    all.set(format!("{prefix}DATABASE_URL"), url);
                }
                all.set(format!("{prefix}PGSERVICE"), Sensitive::new(name));
                if index == 0 {
                    all.drop = made.drop;
                    all.drop.push("PGUSER");
                    all.notes = made.notes;
                }
            }
            Place::Other(url) => {
                let url = url.with(&credentials.username, &credentials.password);
                all.set(format!("{prefix}DATABASE_URL"), url);
            }
            Place::Postgres(base) => {
                let in_the_file = credentials;
                let shown = match self.handover {
                    Handover::Passfile => Credentials {
                        username: credentials.username.clone(),
                        password: Sensitive::from(""),
                    },
                    _ => credentials.clone(),
                };
                let credentials = &shown;
                let made =
                    postgres::variables(credentials, base.as_ref(), self.role(index), environment);
                let has_url = made.set.iter().any(|(name, _)| *name == "DATABASE_URL");
                let in_a_file = self.handover == Handover::Passfile;
                if in_a_file {
                    let (user, password) = (&in_the_file.username, &in_the_file.password);
                    all.contents.push(passfile::line(user, password)?);
                }
                for (name, value) in made.set {
                    if !(in_a_file && name == "PGPASSWORD") {
                        all.set(format!("{prefix}{name}"), value);
                    }
                }
                if index == 0 {
                    all.drop = made.drop;
                    all.notes = made.notes;
                } else if !has_url {
                    // An inherited URL of another kind is in the way of the default one alone.
                    let url = postgres::url(credentials, base.as_ref(), None, environment);
                    all.set(format!("{prefix}DATABASE_URL"), url);
                }
            }
        }
        Ok(())
    }
}

impl Variables {
    /// The files in a folder, and the variable that names each.
    pub fn put_files(&mut self, handover: Handover, folder: &str) -> Vec<File> {
        let (name, variable) = match handover {
            Handover::Env => return Vec::new(),
            Handover::Passfile => (passfile::NAME, "PGPASSFILE"),
            Handover::Service => (service::NAME, "PGSERVICEFILE"),
        };
        if self.contents.is_empty() {
            return Vec::new();
        }
        self.set(
            variable.to_owned(),
            Sensitive::new(format!("{folder}/{name}")),
        );
        // Made in one piece: a text that grows leaves copies of itself behind.
        let length = self.contents.iter().map(|part| part.expose().len()).sum();
        let mut contents = String::with_capacity(length);
        for part in &self.contents {
            contents.push_str(part.expose());
        }
        let contents = Sensitive::new(contents);
        vec![File { name, contents }]
    }

    /// Sets a variable; what the user has asked for by name comes last, and counts.
    fn set(&mut self, name: String, value: Sensitive<String>) {
        self.set.retain(|(known, _)| *known != name);
        self.set.push((name, value));
    }
}

/// The user and the password of an answer.
fn login_of(fields: &Fields) -> Result<Credentials, &'static str> {
    let filled = |name: &str| fields.get(name).filter(|value| !value.expose().is_empty());
    let username = filled("username").ok_or("the server's answer has no `data.username` in it")?;
    let password = filled("password").ok_or("the server's answer has no `data.password` in it")?;
    Ok(Credentials {
        username: username.expose().clone(),
        password: password.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Given;

    fn wanted(prefix: &str, path: usize, place: Place) -> Wanted {
        Wanted {
            prefix: prefix.to_owned(),
            path,
            place,
        }
    }

    fn rendered(recipe: &Recipe, answers: &[Fields]) -> Result<Vec<String>, Lack> {
        let environment = Given(vec![("PGHOST", "db"), ("PGDATABASE", "app")]);
        let variables = recipe.variables(answers, &environment)?;
        let set = variables.set.iter();
        Ok(set
            .map(|(name, value)| format!("{name}={}", value.expose()))
            .collect())
    }

    fn login(user: &str) -> Fields {
        [("username", user), ("password", "p@")].into()
    }

    #[test]
    fn named_credentials_have_variables_of_their_own() {
        let base = Base::parse("postgresql://replica/app").expect("a base");
        let mysql = OtherUrl::parse("mysql://m/d")
            .expect("known")
            .expect("sound");
        let recipe = Recipe {
            paths: vec!["a".to_owned(), "b".to_owned()],
            credentials: vec![
                wanted("", 0, Place::Postgres(None)),
                wanted("RO_", 1, Place::Postgres(Some(base))),
                wanted("MY_", 1, Place::Other(mysql)),
            ],
            set_role: Some("owner".to_owned()),
            ..Recipe::default()
        };
        let all = rendered(&recipe, &[login("one"), login("two")]).expect("variables");
        for expected in [
            "PGUSER=one",
            "DATABASE_URL=postgresql://one:p%40@db/app?options=-c%20role%3Downer",
            "RO_PGUSER=two",
            "RO_PGHOST=replica",
            "RO_DATABASE_URL=postgresql://two:p%40@replica/app",
            "MY_DATABASE_URL=mysql://two:p%40@m/d",
        ] {
            assert!(all.iter().any(|one| one == expected), "{expected}: {all:?}");
        }
        for absent in ["RO_PGOPTIONS", "MY_PGUSER"] {
            assert!(!all.iter().any(|one| one.starts_with(absent)), "{all:?}");
        }
    }

    #[test]
    fn what_a_template_takes_may_have_any_fields_and_all_else_needs_a_user_and_a_password() {
        let mut recipe = Recipe {
            paths: vec!["secret/data/app".to_owned()],
            credentials: vec![wanted("", 0, Place::Postgres(None))],
            ..Recipe::default()
        };
        let answers = [Fields::from([("api-key", "k")])];
        let lack = rendered(&recipe, &answers).expect_err("no user");
        assert_eq!(lack.path, "secret/data/app");
        assert!(lack.of_a_login && lack.problem.contains("no `data.username`"));
        recipe.made = vec![Made {
            name: "API_KEY".to_owned(),
            template: Template::parse("<{{api-key}}>", &[""]).expect("sound"),
        }];
        assert_eq!(
            rendered(&recipe, &answers),
            Ok(vec!["API_KEY=<k>".to_owned()])
        );
        let lack = rendered(&recipe, &[login("one")]).expect_err("no such field");
        assert!(lack.problem.contains("--env API_KEY") && lack.problem.contains("username"));
    }

    #[test]
    fn what_is_asked_for_by_name_counts() {
        let recipe = Recipe {
            paths: vec!["a".to_owned(), "kv".to_owned()],
            credentials: vec![wanted("", 0, Place::Postgres(None))],
            made: vec![Made {
                name: "DATABASE_URL".to_owned(),
                template: Template::parse("{{jdbc_url}}", &[""]).expect("sound"),
            }],
            referring: vec![Referring {
                name: "KEY".to_owned(),
                path: 1,
                field: "key".to_owned(),
            }],
            ..Recipe::default()
        };
        let answers = [login("one"), Fields::from([("key", "k")])];
        let all = rendered(&recipe, &answers).expect("variables");
        let urls: Vec<_> = all
            .iter()
            .filter(|one| one.starts_with("DATABASE_URL"))
            .collect();
        assert_eq!(
            urls,
            ["DATABASE_URL=jdbc:postgresql://db/app?user=one&password=p%40"]
        );
        assert!(all.contains(&"KEY=k".to_owned()));
        let lack = rendered(&recipe, &[login("one"), login("x")]).expect_err("no such field");
        assert_eq!(lack.path, "kv");
        assert!(lack.problem.contains("for KEY") && lack.problem.contains("username"));
    }

    #[test]
    fn a_path_is_read_once() {
        let mut recipe = Recipe::default();
        let places = ["a", "b", "a"].map(|path| recipe.path(path));
        assert_eq!((places, recipe.paths.len()), ([0, 1, 0], 2));
    }

    fn handed_over(handover: Handover) -> (Vec<String>, String) {
        let replica = Base::parse("postgresql://replica/app").expect("a base");
        let recipe = Recipe {
            paths: vec!["a".to_owned(), "b".to_owned()],
            credentials: vec![
                wanted("", 0, Place::Postgres(None)),
                wanted("RO_", 1, Place::Postgres(Some(replica))),
            ],
            set_role: Some("owner".to_owned()),
            handover,
            ..Recipe::default()
        };
        let environment = Given(vec![("PGHOST", "db"), ("PGDATABASE", "app")]);
        let answers = [login("one"), login("two")];
        let mut variables = recipe.variables(&answers, &environment).expect("variables");
        let files = variables.put_files(handover, "/f");
        assert_eq!(files.len(), 1);
        let set = variables.set.iter();
        let set = set.map(|(name, value)| format!("{name}={}", value.expose()));
        (set.collect(), files[0].contents.expose().clone())
    }

    #[test]
    fn passwords_go_into_a_password_file_and_nowhere_else() {
        let (all, contents) = handed_over(Handover::Passfile);
        assert_eq!(contents, "*:*:*:one:p@\n*:*:*:two:p@\n");
        assert!(
            !all.iter()
                .any(|one| one.contains("p@") || one.contains("p%40")),
            "{all:?}"
        );
        for expected in [
            "PGPASSFILE=/f/pgpass",
            "PGUSER=one",
            "RO_PGUSER=two",
            "RO_DATABASE_URL=postgresql://two@replica/app",
        ] {
            assert!(all.iter().any(|one| one == expected), "{expected}: {all:?}");
        }
    }

    #[test]
    fn everything_goes_into_a_service_file_and_the_environment_names_the_service() {
        let (all, contents) = handed_over(Handover::Service);
        assert_eq!(
            contents,
            "[vaultexec]\nhost=db\ndbname=app\noptions=-c role=owner\nuser=one\npassword=p@\n\
             [vaultexec_ro]\nhost=replica\ndbname=app\nuser=two\npassword=p@\n"
        );
        let expected = [
            "DATABASE_URL=postgresql:///?service=vaultexec",
            "PGSERVICE=vaultexec",
            "RO_DATABASE_URL=postgresql:///?service=vaultexec_ro",
            "RO_PGSERVICE=vaultexec_ro",
            "PGSERVICEFILE=/f/pg_service.conf",
        ];
        assert_eq!(all, expected);
    }
}
