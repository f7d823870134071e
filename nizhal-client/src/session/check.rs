//! What must hold of a session after every event.

use super::{Action, Credentials, Exchange, Session, Stream};

/// Stops a debug build where the schedule broke one of its promises.
pub(super) fn check(session: &Session, actions: &[Action]) {
    debug_assert!(!session.is_asleep(), "something is wanted, nothing is under way and no alarm is set: {session:?}");
    let network = |action: &&Action| {
        matches!(action, Action::Pull { .. } | Action::Push { .. } | Action::RefreshToken | Action::OpenStream)
    };
    let begun = actions.iter().filter(|action| !matches!(action, Action::OpenStream)).filter(network).count();
    debug_assert!(begun <= 1, "one exchange at a time: {actions:?}");
    if actions.iter().any(|action| network(&action)) {
        debug_assert!(
            session.online && session.leads && session.settings.server,
            "nobody asked for traffic: {actions:?}"
        );
        debug_assert!(session.credentials != Credentials::Bad, "these credentials were refused: {actions:?}");
    }
    if actions.contains(&Action::Upload) {
        debug_assert!(
            session.online && session.leads && session.settings.server,
            "nobody asked for traffic: {actions:?}"
        );
        debug_assert!(session.uploading && session.memory.uploads > 0, "an upload carries what is queued: {session:?}");
    }
    debug_assert!(!session.is_upload_forgotten(), "a blob is to be uploaded, and nothing will begin that: {session:?}");
    debug_assert!(session.memory.held <= session.memory.waiting, "what is held waits: {session:?}");
    for action in actions {
        if let Action::Push { most } = action {
            debug_assert!((1..=session.memory.sendable()).contains(most), "a push carries what waits: {action:?}");
            debug_assert!(session.exchange == Some(Exchange::Pushing), "{session:?}");
            debug_assert!(!(session.away && session.memory.has_cursor), "a pull comes before a push after absence");
        }
    }
    debug_assert!(session.online || session.stream == Stream::Closed, "a stream is open while offline");
    debug_assert!(session.most >= 1);
}

impl Session {
    /// Whether blobs are to be uploaded, none is under way, and no alarm is set for the next.
    fn is_upload_forgotten(&self) -> bool {
        let works = self.started && self.settings.server && self.leads && self.online;
        let may = works && self.lost.is_none() && self.credentials != Credentials::Bad && self.upgrade.is_none();
        let is_armed = self.uploads.at.is_some_and(|due_at| self.timer.is_some_and(|timer| timer <= due_at));
        may && self.memory.uploads > 0 && !self.uploading && !is_armed
    }

    /// Whether nothing will ever happen again by itself though it should: a queue that stands still unnoticed.
    fn is_asleep(&self) -> bool {
        if !self.started || !self.settings.server || self.exchange.is_some() {
            return false;
        }
        let works = self.leads && self.online;
        // Between `Lead` and its answer there is nothing to wake for.
        let follows = !self.leads && self.lead_at.is_some();
        (works || follows) && self.timer.is_none()
    }
}
