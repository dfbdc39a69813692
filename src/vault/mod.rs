//! The HTTP API of Vault and OpenBao: one client, the calls by the API's own names, and the rules
//! for trying again. Knows nothing of the child or of PostgreSQL.

mod answer;
mod api;
mod backoff;
mod client;
mod document;
mod endpoint;
mod failure;
mod patience;
mod request;
mod resolve;
mod settings;
mod tls;
mod wording;

pub use api::{LoginAnswer, Renewed, Revoked};
pub use backoff::full_jitter;
pub use client::Client;
pub use document::Document;
pub use failure::{Failure, TlsFailure};
pub use patience::Patience;
pub use settings::{Address, Identity, Proxy, Settings, TlsSettings, is_exempt};
pub use tls::{certificates, check_identity};
