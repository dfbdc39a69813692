//! The HTTP API of Vault and OpenBao: one client, the calls by the API's own names, and the rules
//! for trying again. Knows nothing of the child or of PostgreSQL.

mod answer;
mod api;
pub mod asked;
mod backoff;
mod behind;
mod client;
mod document;
mod elsewhere;
mod endpoint;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod redirect;
mod request;
mod resolve;
mod retry;
mod settings;
mod tls;
mod wording;

pub use api::{LoginAnswer, Renewed, Revoked, SealStatus, TokenInfo, WrappingInfo, allow};
pub use backoff::Backoff;
pub use client::Client;
pub use document::Document;
pub use elsewhere::get;
pub use failure::{Failure, TlsFailure};
pub use request::Token;
pub use retry::{Interrupt, Retries, Retry};
pub use settings::{Address, Identity, Proxy, Settings, TlsSettings, is_exempt};
pub use tls::{certificates, check_identity};
