//! The words that may stand in attributes, each named once.

/// The helper attribute of a field: `#[nizhal(…)]`.
pub const NIZHAL: &str = "nizhal";

/// The name on the wire and in SQL.
pub const NAME: &str = "name";
/// The merge policy of a table.
pub const MERGE: &str = "merge";
/// A table that no rule may sync.
pub const SERVER_ONLY: &str = "server_only";
/// What may stand in `#[nizhal::table(…)]`.
pub const TABLE_WORDS: &[&str] = &[NAME, MERGE, SERVER_ONLY];

/// A column of the primary key.
pub const PRIMARY_KEY: &str = "primary_key";
/// A column whose values are unique.
pub const UNIQUE: &str = "unique";
/// A column that stays on the server.
pub const PRIVATE: &str = "private";
/// What an insert without the column writes.
pub const DEFAULT: &str = "default";
/// The column's name in SQL and on the wire.
pub const RENAME: &str = "rename";
/// A column that the database computes.
pub const GENERATED: &str = "generated";
/// The name of the shared type that a column's documents keep.
pub const CRDT_ROOT: &str = "crdt_root";
/// What may stand in `#[nizhal(…)]` on a field.
pub const FIELD_WORDS: &[&str] = &[PRIMARY_KEY, UNIQUE, PRIVATE, DEFAULT, RENAME, GENERATED, CRDT_ROOT];
/// What may stand in `#[nizhal(…)]` on a variant of an enum of texts.
pub const VARIANT_WORDS: &[&str] = &[RENAME];

/// Tables that a mutator may write beyond the actor's buckets, or a job beyond those that it carries.
pub const PRIVILEGED: &str = "privileged";
/// A mutator that runs on the server alone.
pub const SERVER: &str = "server";
/// A mutator that takes effect in the order it was made, among those of one bucket.
pub const REPLAY: &str = "replay";
/// What may stand in `#[mutator(…)]`.
pub const MUTATOR_WORDS: &[&str] = &[NAME, PRIVILEGED, SERVER, REPLAY];

/// How often a job is tried.
pub const ATTEMPTS: &str = "attempts";
/// What may stand in `#[nizhal::job(…)]`.
pub const JOB_WORDS: &[&str] = &[NAME, ATTEMPTS, PRIVILEGED];

/// Among whom a user's id names one person.
pub const USERS: &str = "users";
/// What may stand in `#[nizhal::claims(…)]`.
pub const CLAIMS_WORDS: &[&str] = &[USERS];

/// The actor, in conditions of rules.
pub const ACTOR: &str = "actor";

/// A rule whose rows everybody may see.
pub const PUBLIC: &str = "public";
/// The most buckets that an actor may have of a rule.
pub const MAX_BUCKETS: &str = "max_buckets";
/// When a rule's buckets are filled, among those that a device has yet to get.
pub const PRIORITY: &str = "priority";
/// A rule whose buckets a device gets when its app asks for them.
pub const ON_DEMAND: &str = "on_demand";
/// How long a device keeps a bucket that its app no longer asks for.
pub const TTL: &str = "ttl";
/// What may stand above a rule, each once.
pub const RULE_WORDS: &[&str] = &[NAME, MAX_BUCKETS, PRIORITY, ON_DEMAND];
