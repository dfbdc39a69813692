//! What a run needs of a policy, and what it does without. Pure.

use super::step::{Finding, Step, Subject};
use crate::error::hints;
use crate::vault::{allow, asked};

/// What is known of the run.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The paths of credentials.
    pub paths: &'a [String],
    /// Whether the token is a batch token.
    pub batch: bool,
    /// Whether the token is somebody else's, so that it is not revoked.
    pub foreign: bool,
    /// Whether the token can be renewed.
    pub renewable: bool,
    /// Whether only a revocation counts that the engine has confirmed.
    pub strict: bool,
    /// Whether anything is revoked at the end.
    pub revoke: bool,
}

/// One right. Of several places one is enough.
#[derive(Debug)]
pub struct Need {
    /// What it is for.
    purpose: String,
    capability: &'static str,
    places: Vec<Place>,
    /// What happens without it.
    without: &'static str,
    /// What to do with the lines that a policy lacks.
    remedy: &'static str,
    finding: Finding,
}

/// Where a right may be given.
#[derive(Debug)]
struct Place {
    /// The path that the server is asked about.
    asked: String,
    /// The path that stands in a policy.
    written: String,
}

impl Place {
    fn of(path: &str) -> Self {
        Self {
            asked: path.to_owned(),
            written: path.to_owned(),
        }
    }
}

/// Everything that the run will need.
pub fn needs(facts: Facts<'_>) -> Vec<Need> {
    let need = |purpose: &str, path: &str, without, finding| Need {
        purpose: purpose.to_owned(),
        capability: "update",
        places: vec![Place::of(path)],
        without,
        remedy: "add this line to a policy of this login:",
        finding,
    };
    let mut needs = Vec::new();
    for asked in facts.paths {
        let path = asked::path(asked);
        needs.push(Need {
            capability: asked::capability(asked),
            // A policy does not know what there is.
            remedy: "if the path is right (--creds, VAULTEXEC_CREDS), add this line to a policy of this login:",
            ..need(
                &format!("read credentials at {path}"),
                path,
                "without it there are no credentials",
                Finding::Bad,
            )
        });
    }
    let paths = facts.paths.iter().map(|asked| asked::path(asked));
    for path in paths.filter(|path| has_lease(path)) {
        if !facts.revoke {
            continue;
        }
        let (without, finding) = match (facts.strict, facts.batch) {
            (true, _) => ("--strict-revoke insists on it", Finding::Bad),
            (false, _) if facts.foreign => (
                "without it the lease stays until it ends by itself, since the token is not revoked",
                Finding::Drawback,
            ),
            (false, false) => (
                "without it the lease is revoked with its token, and nobody says whether the database dropped the role",
                Finding::Drawback,
            ),
            (false, true) => (
                "without it the lease stays until its batch token ends",
                Finding::Drawback,
            ),
        };
        needs.push(Need {
            places: vec![
                Place::of("sys/leases/revoke"),
                Place {
                    // A lease's id is the path it was read at and something of its own.
                    asked: format!("sys/leases/revoke/{path}/x"),
                    written: format!("sys/leases/revoke/{path}/*"),
                },
            ],
            remedy: "add one of these lines to a policy of this login:",
            ..need(&format!("revoke leases of {path}"), "", without, finding)
        });
    }
    if facts.paths.iter().any(|path| has_lease(path)) {
        needs.push(need(
            "renew leases",
            "sys/leases/renew",
            "without it credentials end after their first TTL, and the command is started again with others",
            Finding::Drawback,
        ));
    }
    if facts.renewable && !facts.batch {
        needs.push(need(
            "renew its token",
            "auth/token/renew-self",
            "without it everything ends with the token's first TTL",
            Finding::Drawback,
        ));
    }
    if facts.revoke && !facts.batch && !facts.foreign {
        needs.push(need(
            "revoke its token",
            "auth/token/revoke-self",
            "without it the token stays until its TTL is over",
            Finding::Drawback,
        ));
    }
    needs
}

/// Whether a lease comes with what is read there: with neither a static role nor a version of a
/// key-value secret.
fn has_lease(path: &str) -> bool {
    !path.contains("/static-creds/") && !path.contains("/data/")
}

impl Need {
    /// A line of a policy that gives the right; the one for least where there are several.
    pub fn line(&self) -> Option<String> {
        let place = self.places.last()?;
        Some(hints::policy(&place.written, self.capability))
    }

    /// The paths to ask the server about.
    pub fn asked(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|place| place.asked.as_str())
    }

    /// What the server's answer means. `capabilities` knows those of every path that was asked about.
    pub fn judge<'a>(&self, capabilities: impl Fn(&str) -> Option<&'a [String]>) -> Step {
        let allowed = |place: &Place| {
            capabilities(&place.asked).is_some_and(|list| allow(list, self.capability))
        };
        if self.places.iter().any(allowed) {
            let message = format!("the policy lets it {}", self.purpose);
            return Step::new(Subject::Policy, Finding::Good, message);
        }
        let message = format!(
            "the policy does not let it {}: {}",
            self.purpose, self.without
        );
        let lines = self.places.iter();
        Step {
            hint: Some(self.remedy.to_owned()),
            policy: lines
                .map(|place| hints::policy(&place.written, self.capability))
                .collect(),
            ..Step::new(Subject::Policy, self.finding, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "database/creds/app";

    fn facts(paths: &[String]) -> Facts<'_> {
        Facts {
            paths,
            batch: false,
            foreign: false,
            renewable: true,
            strict: false,
            revoke: true,
        }
    }

    fn judged(facts: Facts<'_>, allowed: &[(&str, &str)]) -> Vec<(Finding, Vec<String>)> {
        let known: Vec<(String, Vec<String>)> = allowed
            .iter()
            .map(|(path, capability)| ((*path).to_owned(), vec![(*capability).to_owned()]))
            .collect();
        let of = |path: &str| {
            let found = known.iter().find(|(known, _)| known == path);
            found.map(|(_, list)| list.as_slice())
        };
        let steps = needs(facts).into_iter().map(|need| need.judge(of));
        steps.map(|step| (step.finding, step.policy)).collect()
    }

    #[test]
    fn what_is_allowed_in_one_of_its_forms_is_good() {
        let paths = [PATH.to_owned()];
        let rest = [
            (PATH, "read"),
            ("sys/leases/renew", "update"),
            ("auth/token/renew-self", "update"),
            ("auth/token/revoke-self", "root"),
        ];
        for form in [
            "sys/leases/revoke",
            "sys/leases/revoke/database/creds/app/x",
        ] {
            let allowed = [&rest[..], &[(form, "update")]].concat();
            let judged = judged(facts(&paths), &allowed);
            assert_eq!(judged.len(), 5);
            assert!(
                judged.iter().all(|(finding, _)| *finding == Finding::Good),
                "{judged:?}"
            );
        }
    }

    #[test]
    fn what_is_not_allowed_comes_with_the_lines_and_is_as_bad_as_a_run_finds_it() {
        let paths = [PATH.to_owned()];
        let none = judged(facts(&paths), &[(PATH, "list")]);
        assert_eq!(none[0].0, Finding::Bad);
        assert_eq!(
            none[0].1,
            ["path \"database/creds/app\" { capabilities = [\"read\"] }"]
        );
        assert_eq!(none[1].0, Finding::Drawback);
        assert_eq!(
            none[1].1[1],
            "path \"sys/leases/revoke/database/creds/app/*\" { capabilities = [\"update\"] }"
        );
        assert!(
            none[2..]
                .iter()
                .all(|(finding, _)| *finding == Finding::Drawback)
        );
        let strict = Facts {
            strict: true,
            ..facts(&paths)
        };
        assert_eq!(judged(strict, &[])[1].0, Finding::Bad);
    }

    #[test]
    fn what_a_run_does_not_do_needs_no_right() {
        let paths = ["database/static-creds/app".to_owned()];
        let batch = Facts {
            batch: true,
            ..facts(&paths)
        };
        assert_eq!(judged(batch, &[]).len(), 1);
        let foreign = Facts {
            foreign: true,
            renewable: false,
            ..facts(&paths)
        };
        assert_eq!(judged(foreign, &[]).len(), 1);
    }
}
