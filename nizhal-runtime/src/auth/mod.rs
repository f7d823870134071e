//! Auth: a token to a principal, by the built-in verifier or one of the app's own.

mod authenticator;
mod claims;
mod header;
mod jwks;
mod jwt;

pub use authenticator::{AuthError, Authenticator, BoxFuture};
pub use claims::Expected;
pub(crate) use jwks::REFRESH_INTERVAL as READ_KEYS_EVERY;
pub use jwks::{Jwks, JwksError, JwtJwks};
pub use jwt::{IssueError, JwtHs256, issue_token};
