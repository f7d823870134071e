//! What a simulation is made of: the parts that an app gives to its server and its devices, and who uses it.

use crate::args::Draw;
use nizhal_core::{Actor, JobEntry, MutatorEntry, Rules, TableDesc};
use serde_json::Value;

/// An app to be simulated.
pub trait App: Sync {
    /// Its claims.
    type Claims: Actor;

    /// Its tables: `tables![…]`.
    fn tables(&self) -> Vec<&'static TableDesc>;

    /// Its mutators: `mutators![…]`.
    fn mutators(&self) -> Vec<MutatorEntry>;

    /// Its jobs: `jobs![…]`. They are kept, and none is run.
    fn jobs(&self) -> Vec<JobEntry> {
        Vec::new()
    }

    /// Its rules.
    fn rules(&self) -> Rules<Self::Claims>;

    /// Its users; each has a device or two.
    fn users(&self) -> Vec<Self::Claims>;

    /// A user beside those whose device is hostile: it forges, sends again what others sent, swaps cursors, floods and hangs up. Give it a
    /// bucket of its own in [`seed`](Self::seed), else nothing that it writes applies. Without one there is no such device.
    fn hostile(&self) -> Option<Self::Claims> {
        None
    }

    /// What the server's database begins with: statements in SQLite's SQL. Memberships belong here, else nobody sees anything.
    fn seed(&self) -> Vec<String>;

    /// Arguments for a mutator; `None` draws them from its JSON schema, with ids among those that the device has.
    fn args(&self, mutator: &str, draw: &mut Draw<'_>) -> Option<Value> {
        let _ = (mutator, draw);
        None
    }

    /// How the effect of one mutation can be counted, so that twice or never is seen.
    fn effect(&self, mutator: &str, args: &Value) -> Option<Effect> {
        let _ = (mutator, args);
        None
    }

    /// Whether the server fails at this mutation every time, by a fault of its own (500): devices must park it and go on.
    fn fails(&self, mutator: &str, args: &Value) -> bool {
        let _ = (mutator, args);
        false
    }

    /// Mutators that a server never applies, by their wire names: a check fails when another is never applied, for then it shows
    /// nothing.
    fn never_applied(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Tables that nobody writes by SQL, beside the mutators: those of [`effect`](Self::effect).
    fn untouched(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// The effect of one mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// A query for one number: 1 where the mutation ran, 0 where it did not. It runs on the server and on devices.
    pub count: String,
    /// Whether it runs whatever the rows are: then it must show on its device until the server has said no.
    pub always: bool,
}
