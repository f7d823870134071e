//! The bounds of the wire: how many and how long the things may be that a request names. Each is refused where it is read.
//!
//! They are far beyond what clients send; how large a body, a frame or an answer may be is for a server's settings to say.

/// The most mutations in one push.
pub const MAX_MUTATIONS: usize = 1_000;

/// The most `clientMutationId`s that one mutation may depend on, in wire 2; wire 1 ignores them.
pub const MAX_DEPENDS_ON: usize = 10_000;

/// The longest `clientID`, `clientMutationId` and `deviceId`, in bytes.
pub const MAX_IDENTIFIER_BYTES: usize = 1_024;

/// The longest name of a mutator, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// The longest cursor, in bytes: a longer one was never a server's, and is answered as any other that cannot be read.
pub const MAX_CURSOR_BYTES: usize = 8 * 1024;

/// The most buckets that a query or a pull names.
pub const MAX_NAMED_BUCKETS: usize = 1_000;

/// The longest name of a bucket in a query, a frame or a pull, in bytes.
pub const MAX_BUCKET_NAME_BYTES: usize = 2 * 1024;

/// The most images that a client offers as seeds in one pull.
pub const MAX_SEEDS: usize = 16;
