//! The header of a token: whether what it demands of its reader is understood.

use super::AuthError;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::Header;
use serde_json::{Map, Value};

/// The header parameters that change how a token must be read: `crit` (RFC 7515, section 4.1.11) lists extensions that the
/// reader must understand, and none is understood here; `b64` (RFC 7797) says that the payload may not be encoded.
const DEMANDS: [&str; 2] = ["crit", "b64"];

/// Reads the header of a token; `none` is no algorithm that reads.
///
/// # Errors
/// [`AuthError::Invalid`] when it does not read, or demands something of its reader.
pub(super) fn understood(token: &str) -> Result<Header, AuthError> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::Invalid)?;
    let text = token.split('.').next().unwrap_or_default();
    let text = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| AuthError::Invalid)?;
    let parameters: Map<String, Value> = serde_json::from_slice(&text).map_err(|_| AuthError::Invalid)?;
    if DEMANDS.iter().any(|demand| parameters.contains_key(*demand)) {
        return Err(AuthError::Invalid);
    }
    Ok(header)
}
