//! Words that went: each was a second name, or had several meanings, and the glossary has the one that came.

use std::collections::BTreeSet;

use crate::files;

/// The retired identifiers, the folder where each had its private meaning, and what to write there.
const RETIRED: &[(&str, &str, &str)] = &[
    ("nizhal-client/", "Asked", "PullStart"),
    ("nizhal-client/", "Held", "ReceivedAnswer"),
    ("nizhal-client/", "Parked", "DeadLetter"),
    ("nizhal-client/src/client.rs", "parked", "dead_letters"),
    ("nizhal-client/", "Touched", "ChangedTables"),
    ("nizhal-client/src/", "LOOK_MS", "POLL_INTERVAL_MS"),
    ("nizhal-client/src/", "Say", "PublishStatus"),
    ("nizhal-client/src/session/", "Lane", "Direction"),
    ("nizhal-client/src/store/", "Answer", "WriteResult"),
    ("nizhal-client/src/store/", "Fault", "UnreadableCell"),
    ("nizhal-client/src/store/", "Place", "Location"),
    ("nizhal-client/src/store/", "bury", "add_dead_letter"),
    ("nizhal-client/src/store/", "glance", "memory"),
    ("nizhal-client/src/store/", "put_aside", "spill"),
    ("nizhal-core/", "narrow", "column_list"),
    ("nizhal-core/src/job/", "Ran", "JobRun"),
    ("nizhal-macros/", "Line", "LineExpander"),
    ("nizhal-runtime/", "Asked", "PullPlan"),
    ("nizhal-runtime/", "ClaimedJob", "LeasedJob"),
    ("nizhal-runtime/", "Ear", "Receiver"),
    ("nizhal-runtime/", "Ending", "Trailer, SocketEnd or TransactionEnd"),
    ("nizhal-runtime/", "FRESH", "MAX_AGE"),
    ("nizhal-runtime/", "Glance", "IdleProbe"),
    ("nizhal-runtime/", "Guess", "IdlePredictor"),
    ("nizhal-runtime/", "Heard", "Notification"),
    ("nizhal-runtime/", "Held", "ScopeCell"),
    ("nizhal-runtime/", "JobRan", "JobEnd"),
    ("nizhal-runtime/", "Kept", "CachedScope"),
    ("nizhal-runtime/", "LOOK", "POLL_INTERVAL"),
    ("nizhal-runtime/", "MOST", "MAX_…, with what it limits"),
    ("nizhal-runtime/", "Others", "Peers"),
    ("nizhal-runtime/", "PATIENCE", "…_TIMEOUT"),
    ("nizhal-runtime/", "Pulse", "KeepAlive"),
    ("nizhal-runtime/", "PushFailure", "PushError"),
    ("nizhal-runtime/", "RETAKE", "LEASE_DURATION"),
    ("nizhal-runtime/", "Ran", "JobEnd"),
    ("nizhal-runtime/", "Room", "PageBudget or Members"),
    ("nizhal-runtime/", "Seat", "PresenceHandle"),
    ("nizhal-runtime/", "Settle", "RecordResults"),
    ("nizhal-runtime/", "Stored", "StoredResult or StoredBranch"),
    ("nizhal-runtime/", "Told", "MergeReport or StreamProgress"),
    ("nizhal-runtime/", "Touched", "WriteSetEntry"),
    ("nizhal-runtime/", "UNHEARD", "MAX_MISSING_BARRIERS"),
    ("nizhal-runtime/", "Undone", "AttemptEnd or BatchRollback"),
    ("nizhal-runtime/", "Waiting", "Blockers, OutboxBatch or QueuedStream"),
    ("nizhal-runtime/", "claim_job", "lease_job"),
    ("nizhal-runtime/", "spoil", "mark_connection_broken"),
    ("nizhal-runtime/", "take_waiting", "take_outbox"),
    ("nizhal-runtime/", "told_columns", "published_columns"),
    ("nizhal-runtime/src/app/", "Line", "CliArgs"),
    ("nizhal-runtime/src/app/", "say", "print_line"),
    ("nizhal-runtime/src/cluster/", "ROOM", "DEFAULT_MAX_MESSAGE_BYTES"),
    ("nizhal-runtime/src/contract/", "Look", "Comparison"),
    ("nizhal-runtime/src/engine/", "Claim", "MutationKey"),
    ("nizhal-runtime/src/engine/", "Frame", "PullHeader"),
    ("nizhal-runtime/src/engine/", "Known", "PullContext"),
    ("nizhal-runtime/src/engine/", "NewLife", "NewIncarnation"),
    ("nizhal-runtime/src/engine/", "Rest", "TrailerWithGone"),
    ("nizhal-runtime/src/engine/", "Snapshot", "PullReader"),
    ("nizhal-runtime/src/hub/", "Body", "MessageBody"),
    ("nizhal-runtime/src/store/", "Answer", "PullRows"),
    ("nizhal-runtime/src/store/", "Ask", "PullQuery"),
    ("nizhal-runtime/src/store/", "Body", "RowState"),
    ("nizhal-runtime/src/store/", "Frame", "PullHeader"),
    ("nizhal-runtime/src/store/", "HOME", "FILE_ID"),
    ("nizhal-runtime/src/store/", "LIFE", "START_SIGN"),
    ("nizhal-runtime/src/store/", "Outside", "ExternalWrites"),
    ("nizhal-runtime/src/store/", "PLACE", "CLUSTER_ID"),
    ("nizhal-runtime/src/store/", "Snapshot", "PullReader"),
    ("nizhal-runtime/src/store/", "Turn", "CommitSlot"),
    ("nizhal-runtime/src/store/", "has_lived", "has_reached"),
    ("nizhal-runtime/src/store/", "is_quiet", "needs_header_only"),
    ("nizhal-runtime/src/store/", "proofs", "barrier_channel"),
    ("nizhal-sim/", "Graves", "DeletedRows"),
    ("nizhal-sim/", "Kit", "Fixture"),
    ("nizhal-sim/", "heal", "quiesce"),
    ("nizhal-sim/", "kit", "fixture"),
    ("nizhal-sim/src/", "Answer", "ServerResponse"),
    ("nizhal-sim/src/", "Ask", "Request"),
    ("nizhal-sim/src/", "Place", "Workdir"),
    ("nizhal-sim/src/", "Tell", "Response"),
    ("nizhal-syntax/", "Rest", "UnknownWords"),
];

/// The identifiers of a source text.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').collect()
}

#[test]
fn no_retired_word_is_an_identifier() {
    let mut found = Vec::new();
    for (path, text) in files::read(&[".rs"]) {
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        let words = words(&code);
        let retired = RETIRED.iter().filter(|(folder, word, _)| path.starts_with(folder) && words.contains(word));
        found.extend(retired.map(|(_, word, instead)| format!("{path}: `{word}`: write {instead}")));
    }
    assert!(found.is_empty(), "retired words (book/src/glossary.md has the terms):\n{}", found.join("\n"));
}
