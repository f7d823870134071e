//! Why a setting cannot be used: one sentence that names the variable, its fault, and what to write.

/// Why the server does not start with these settings.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// A value does not read.
    #[error("{name} is `{value}`, which is not usable: write {wanted}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What it says.
        value: String,
        /// What it may say.
        wanted: &'static str,
    },
    /// A secret, and public keys beside it.
    #[error(
        "NIZHAL_JWKS and NIZHAL_AUTH_SECRET are both set, and tokens are signed by one or the other: take one of them away"
    )]
    TwoSigners,
    /// Postgres is to carry what servers tell each other, and there is none.
    #[error("NIZHAL_REALTIME=postgres needs a Postgres in DATABASE_URL: write `local`, or `nats` for several servers")]
    RealtimeWithoutPostgres,
    /// The build has no NATS.
    #[error("NIZHAL_REALTIME=nats needs a build with it: add the feature `nats` to the dependency on nizhal")]
    NoNats,
    /// Production without a secret.
    #[error(
        "NIZHAL_AUTH_SECRET is not set, and NIZHAL_ENV=production does not run without it: set it to at least 32 \
         random bytes, such as the output of `openssl rand -hex 32`"
    )]
    SecretMissing,
    /// A secret that can be guessed.
    #[error(
        "{name} has {bytes} bytes, which can be guessed: set it to at least {least} random bytes, such as the output of \
         `openssl rand -hex 32`"
    )]
    SecretShort {
        /// The variable.
        name: &'static str,
        /// Its length.
        bytes: usize,
        /// The least length.
        least: usize,
    },
    /// A development start that other machines could reach.
    #[error(
        "HOST is `{host}` and NIZHAL_ENV is development, which provisions and seeds the database and prints tokens, so it \
         listens on loopback alone: set HOST=127.0.0.1 (a tunnel such as `adb reverse` reaches it from a phone), or \
         NIZHAL_ENV=production and a NIZHAL_AUTH_SECRET"
    )]
    DevelopmentInTheOpen {
        /// What `HOST` says.
        host: String,
    },
}
