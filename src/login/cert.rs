//! The client certificate that the connection is made with.

use serde_json::json;

use super::ask::{self, Ask};
use crate::error::Error;
use crate::ledger::NewSession;
use crate::vault::{Client, Failure, Retry};

/// A login with the certificate of the connection.
#[derive(Clone, Debug)]
pub struct Cert {
    /// The auth mount.
    pub mount: String,
    /// The role; without one the server looks for one that fits.
    pub role: Option<String>,
}

impl Cert {
    /// Logs in.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn log_in(&self, client: &Client, retry: &Retry) -> Result<NewSession, Error> {
        let body = match &self.role {
            Some(role) => json!({ "name": role }),
            None => json!({}),
        };
        let path = format!("auth/{}/login", self.mount);
        let answer = Ask::new(&path, &body).carry_out(client, retry).await;
        let answer = answer.map_err(|failure| self.explain(failure))?;
        Ok(ask::session(answer))
    }

    fn explain(&self, failure: Failure) -> Error {
        let hint = (failure.status() == Some(400)).then(|| {
            format!(
                "is there a role that takes this certificate (`vault list auth/{}/certs`, --auth-role), is it in time, and \
                 does TLS end at the server itself? A proxy that ends it does not pass the certificate on",
                self.mount
            )
        });
        ask::explain("cert", &self.mount, failure, hint)
    }
}
