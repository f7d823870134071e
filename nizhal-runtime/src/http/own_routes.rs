//! Routes of the app's own, as they are handed to each thread of a server.

pub(crate) use actix_web::web::ServiceConfig;
use std::sync::Arc;

/// What configures them.
pub(crate) type OwnRoutes = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;
