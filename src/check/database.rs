//! Whether anybody listens where the database should be.

use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};

use super::step::{Finding, Step, Subject};
use crate::render::postgres::Place;

/// How long one host may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A step for each host.
pub async fn look(place: &Place) -> Vec<Step> {
    let mut steps = Vec::new();
    for (host, port) in place.each() {
        steps.push(step(&host, &port, place.by_default).await);
    }
    // Of several hosts clients need one.
    if steps.iter().any(|step| step.finding == Finding::Good) {
        for step in steps.iter_mut().filter(|step| step.finding == Finding::Bad) {
            step.finding = Finding::Drawback;
        }
    }
    steps
}

/// What it means that nothing names the database, if that is so. Where nothing names the host either, that has been told.
pub fn name(place: &Place) -> Option<Step> {
    if place.database.is_some() || place.by_default {
        return None;
    }
    let message = "nothing names the database: clients look for one that is called like the user, which a short-lived one never has";
    let hint = "end the URL with it (--database-url postgresql://host/NAME), or set PGDATABASE; no matter if the command \
                knows it by itself";
    let step = Step::new(Subject::Database, Finding::Drawback, message);
    Some(step.hint(Some(hint.to_owned())))
}

async fn step(host: &str, port: &str, by_default: bool) -> Step {
    let shown = if host.starts_with('/') {
        socket(host, port)
    } else {
        format!("{host} port {port}")
    };
    let reason = match tokio::time::timeout(PATIENCE, connect(host, port)).await {
        Ok(Ok(())) => {
            let message = format!("the database's host answers: {shown}");
            return Step::new(Subject::Database, Finding::Good, message);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => format!("no connection within {} s", PATIENCE.as_secs()),
    };
    let finding = if by_default {
        Finding::Drawback
    } else {
        Finding::Bad
    };
    let hint = if by_default {
        "nothing says where the database is: --database-url (VAULTEXEC_DATABASE_URL), or PGHOST and PGPORT; no matter if \
         the command knows it by itself"
    } else {
        "are host and port right (--database-url, DATABASE_URL, PGHOST, PGPORT), is the database up, and does a firewall \
         let this host through?"
    };
    let message = format!("the database's host does not answer: {shown}: {reason}");
    Step::new(Subject::Database, finding, message).hint(Some(hint.to_owned()))
}

async fn connect(host: &str, port: &str) -> std::io::Result<()> {
    if host.starts_with('/') {
        return UnixStream::connect(socket(host, port)).await.map(drop);
    }
    let number = port.parse().map_err(std::io::Error::other)?;
    TcpStream::connect((host, number)).await.map(drop)
}

/// The socket of PostgreSQL in a folder.
fn socket(folder: &str, port: &str) -> String {
    format!("{}/.s.PGSQL.{port}", folder.trim_end_matches('/'))
}
