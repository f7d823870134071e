//! What is one app's alone in a database that several share, each in a schema: custom settings, advisory locks, what its sessions
//! are called.
//!
//! A transaction may write the tables of several apps. Did they share the setting that holds its version, the rows of one would get a
//! version of another's clock, and their devices would never see them; did they share the class of the locks, a writer of one would hold the
//! horizon of all back. SQL is written as for the schema `public`, whose names stay as they are, and said in the names of another by
//! [`Namespace::localize`].

use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// Marks our advisory locks in the schema `public`: the upper 16 bits of the key.
const PUBLIC_LOCK_CLASS: u16 = 20_058;
/// How settings begin in a text of SQL, as for `public`.
const SETTING: &str = "'nizhal.";
/// What our sessions are called, as for `public`.
const SESSION: &str = "nizhal";

/// The names of one app's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Namespace {
    /// What tells it from others; nothing in `public`.
    suffix: Option<String>,
    lock_class: u16,
}

impl Namespace {
    /// That of this schema.
    pub(super) fn of(schema: &str) -> Self {
        if schema == "public" {
            return Self { suffix: None, lock_class: PUBLIC_LOCK_CLASS };
        }
        let digest = Sha256::digest(schema.as_bytes());
        let suffix: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        // The sign of a key is of no use, and half of what is left is others'. Where two schemas meet in a class, one may wait for the
        // other's transactions, and nothing worse.
        let lock_class = 0x4000 | (u16::from_be_bytes([digest[6], digest[7]]) & 0x3fff);
        Self { suffix: Some(suffix), lock_class }
    }

    /// The upper 16 bits of the keys of its locks.
    pub(super) fn lock_class(&self) -> u16 {
        self.lock_class
    }

    /// The lock that serialises provisioning among servers that start together.
    pub(super) fn provision_lock(&self) -> i64 {
        i64::from(self.lock_class)
    }

    /// What its sessions are called.
    pub(super) fn session(&self) -> String {
        self.suffix.as_ref().map_or_else(|| SESSION.to_owned(), |suffix| format!("{SESSION} {suffix}"))
    }

    /// The whole name of a setting.
    pub(super) fn setting(&self, name: &str) -> String {
        let suffix = self.suffix.as_ref().map(|suffix| format!("_{suffix}")).unwrap_or_default();
        format!("{SESSION}{suffix}.{name}")
    }

    /// SQL that names settings as `public` does, in the names of this one.
    pub(in crate::store) fn localize<'a>(&self, sql: &'a str) -> Cow<'a, str> {
        match &self.suffix {
            Some(suffix) if sql.contains(SETTING) => sql.replace(SETTING, &format!("'nizhal_{suffix}.")).into(),
            _ => sql.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv01_two_schemas_share_no_name() {
        let (public, a, b) = (Namespace::of("public"), Namespace::of("a"), Namespace::of("b"));
        let sql = "select current_setting('nizhal.version'), pg_notify('nizhal', '')";
        assert_eq!(public.localize(sql), sql);
        assert_eq!(a.localize(sql), sql.replace("nizhal.version", &a.setting("version")));
        assert_eq!(public.setting("local"), "nizhal.local");
        for (one, other) in [(&public, &a), (&a, &b)] {
            assert_ne!(one.setting("x"), other.setting("x"));
            assert_ne!(one.session(), other.session());
            assert_ne!(one.lock_class(), other.lock_class());
        }
        assert!((0x4000..0x8000).contains(&a.lock_class()));
    }
}
