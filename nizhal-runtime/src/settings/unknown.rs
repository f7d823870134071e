//! The variables that look like settings and are none: a misspelt one would otherwise leave a default in place unnoticed.

use std::{cell::RefCell, collections::BTreeSet};

/// How the names of settings begin.
const PREFIX: &str = "NIZHAL_";

/// The names that were asked for while settings were read.
#[derive(Debug, Default)]
pub(super) struct KnownNames(RefCell<BTreeSet<String>>);

impl KnownNames {
    pub(super) fn add(&self, name: &str) {
        self.0.borrow_mut().insert(name.to_owned());
    }

    /// Those of `names` that begin as a setting does and that nobody asked for.
    pub(super) fn unknown(&self, names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
        let known = self.0.borrow();
        names.into_iter().filter(|name| name.starts_with(PREFIX) && !known.contains(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn a_misspelt_setting_is_found() {
        let known = KnownNames::default();
        Settings::from_lookup("ledger", |name| {
            known.add(name);
            None
        })
        .unwrap();
        let names = ["NIZHAL_AUDIT_DAY", "NIZHAL_AUDIT_DAYS", "NIZHAL_BODY_TIME", "NIZHAL_NATS_URL", "PATH", "NIZHAL"];
        let unknown = known.unknown(names.map(str::to_owned));
        assert_eq!(unknown.into_iter().collect::<Vec<_>>(), ["NIZHAL_AUDIT_DAY"]);
    }
}
