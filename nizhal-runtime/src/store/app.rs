//! The app that a store serves: another's database is refused.

use super::{database::Store, error::StoreError};

impl Store {
    /// The same, of the app of this name: another's database is then refused.
    #[must_use]
    pub fn with_app(mut self, name: &str) -> Self {
        name.clone_into(&mut self.owner.app);
        self
    }

    /// The same, of an app that was called so before.
    #[must_use]
    pub fn with_renamed(mut self, from: Option<String>) -> Self {
        self.owner.renamed_from = from;
        self
    }

    /// The same, which does not bring back sync rules that another build replaced.
    #[must_use]
    pub fn going_forward(mut self, forward: bool) -> Self {
        self.owner.goes_forward = forward;
        self
    }

    /// Whether the database is this app's, or nobody's yet.
    ///
    /// # Errors
    /// When it is another's, or the database fails.
    pub(super) async fn check_owner(&self) -> Result<(), StoreError> {
        let app = self.control_if_any("app").await?;
        self.owner.check_app(&app.unwrap_or_default())
    }
}
