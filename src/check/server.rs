//! Whether the server is there, is the right one, and works.

use std::time::Duration;

use super::step::{Finding, Step, Subject};
use crate::error::hints;
use crate::vault::{Address, Client, Failure, SealStatus, Settings};

/// How long each address may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The steps of each address, and whether one of them works.
pub async fn look(client: &Client, settings: &Settings) -> (Vec<Step>, bool) {
    let answers = client.seal_statuses(PATIENCE).await;
    let several = answers.len() > 1;
    let mut works = false;
    let mut steps = Vec::new();
    for (address, (name, answer)) in settings.addresses.iter().zip(answers) {
        let trust = trust(address, settings);
        let these = judge(&name, trust, answer);
        works |= these.iter().all(|step| step.finding != Finding::Bad);
        steps.extend(these);
    }
    // One address that works is enough.
    if works && several {
        for step in steps.iter_mut().filter(|step| step.finding == Finding::Bad) {
            step.finding = Finding::Drawback;
        }
    }
    (steps, works)
}

/// What there is to say of the trust in a server that has answered.
fn trust(address: &Address, settings: &Settings) -> Option<Step> {
    let step = |finding, words: &str| Step::new(Subject::Certificate, finding, words);
    let Address::Tcp(url) = address else {
        return None;
    };
    if url.scheme() != "https" {
        let local = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        return (!local).then(|| {
            step(
                Finding::Drawback,
                "http:// is not encrypted: whoever is on the way reads every secret",
            )
        });
    }
    Some(if settings.tls.skip_verify {
        step(
            Finding::Drawback,
            "its certificate is not verified (--tls-skip-verify, VAULT_SKIP_VERIFY): whoever answers is trusted",
        )
    } else {
        step(Finding::Good, "its certificate is trusted")
    })
}

/// What the answer of one address means, from the connection to the seal.
fn judge(name: &str, trust: Option<Step>, answer: Result<SealStatus, Failure>) -> Vec<Step> {
    let reached = |words: &str| {
        let message = format!("the server at {name} answers{words}");
        Step::new(Subject::Server, Finding::Good, message)
    };
    let bad = |subject, failure: &Failure| {
        let message = format!("the server at {name}: {failure}");
        Step::new(subject, Finding::Bad, message).hint(hints::for_failure(failure))
    };
    match answer {
        // What answers there is not known to be the server.
        Err(failure @ Failure::Tls { .. }) => {
            let connected = Step::new(
                Subject::Server,
                Finding::Good,
                format!("something answers at {name}"),
            );
            let untrusted = Step::new(Subject::Certificate, Finding::Bad, failure.to_string());
            vec![connected, untrusted.hint(hints::for_failure(&failure))]
        }
        // The first question of all: something else may listen there.
        Err(failure @ Failure::Lost(_)) => {
            let hint = "is this the address of a Vault or an OpenBao, with the right port (--address, VAULT_ADDR)?";
            vec![bad(Subject::Server, &failure).hint(Some(hint.to_owned()))]
        }
        // The connection and its certificate are good, and the question is not answered to everybody.
        Err(failure) if failure.is_from_api() && !failure.is_transient() => {
            let words = format!("whether it is sealed is not said: {failure}");
            let unknown = Step::new(Subject::Seal, Finding::Unknown, words);
            std::iter::once(reached(""))
                .chain(trust)
                .chain([unknown])
                .collect()
        }
        Err(failure) => vec![bad(Subject::Server, &failure)],
        Ok(status) => {
            let version = match status.version.as_str() {
                "" => String::new(),
                version => format!(", version {version}"),
            };
            std::iter::once(reached(&version))
                .chain(trust)
                .chain([seal(&status)])
                .collect()
        }
    }
}

fn seal(status: &SealStatus) -> Step {
    let step = |finding, words: &str| Step::new(Subject::Seal, finding, words);
    match status {
        SealStatus { initialized: false, .. } => step(Finding::Bad, "it is not initialised")
            .hint(Some("initialise it: `vault operator init`".to_owned())),
        SealStatus { sealed: true, .. } => step(Finding::Bad, "it is sealed").hint(Some(
            "unseal it: `vault operator unseal`; a run waits for that as long as --start-timeout says".to_owned(),
        )),
        _ => step(Finding::Good, "it is unsealed"),
    }
}
