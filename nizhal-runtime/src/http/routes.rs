//! The routes: every URL of a server, and the handler that answers it.

use super::{
    audit, authorize, bearer, blob, blob_part, blob_read, contract,
    error::{self, HttpError},
    health, image, metrics, pull, push,
    server::Server,
    stats, stream,
};
use actix_web::{
    HttpRequest,
    error::{ErrorInternalServerError, InternalError},
    web::{self, Data, ServiceConfig},
};
use nizhal_core::Actor;

/// Mounts a server's routes into an actix-web app: `App::new().configure(nizhal::service(&server))`.
///
/// They are those of [`Nizhal::routes`](crate::Nizhal::routes), everything under `/sync` and `/nizhal`, and `/healthz`, `/readyz` and
/// `/metrics`; register your own routes of those names before these.
pub fn service(server: &Server) -> impl FnOnce(&mut ServiceConfig) + Clone + Send + use<> {
    let server = server.clone();
    move |config: &mut ServiceConfig| {
        let own = server.clone();
        let data = Data::new(server);
        if !own.own_routes().is_empty() {
            config.app_data(data.clone());
        }
        own.own_routes().iter().for_each(|configure| configure(config));
        let sync = web::scope("/sync")
            .app_data(data.clone())
            .service(post("/pull").route(web::post().to(pull::pull)))
            .service(post("/push").route(web::post().to(push::push)))
            .service(get("/stream").route(web::get().to(stream::stream)))
            .service(get("/image").route(web::get().to(image::image)))
            .service(get("/realtime/authorize").route(web::get().to(authorize::authorize)))
            .default_service(web::to(error::not_found));
        let nizhal = web::scope("/nizhal")
            .app_data(data.clone())
            .service(get("/contract").route(web::get().to(contract::contract)))
            .service(get("/stats").route(web::get().to(stats::stats)))
            .service(get("/audit").route(web::get().to(audit::audit)))
            .service(post("/blob/presign-upload").route(web::post().to(blob::presign)))
            .service(post("/blob/{key}/complete").route(web::post().to(blob::complete)))
            .service(get("/blob/{sha256}/url").route(web::get().to(blob::url)))
            .service(
                resource("/blob/{path:.+}", "GET, PUT")
                    .route(web::get().to(blob_read::read))
                    .route(web::put().to(blob_part::write)),
            )
            .default_service(web::to(error::not_found));
        config
            .service(sync)
            .service(nizhal)
            .service(get("/healthz").route(web::get().to(health::healthz)).route(web::head().to(health::healthz)))
            .service(get("/metrics").app_data(data.clone()).route(web::get().to(metrics::metrics)))
            .service(
                get("/readyz")
                    .app_data(data)
                    .route(web::get().to(health::readyz))
                    .route(web::head().to(health::readyz)),
            );
    }
}

impl Server {
    /// The claims of whoever sends a request, for a route of your own: its token is verified as that of a push is, and the request counts
    /// for the actor's rate.
    ///
    /// ```ignore
    /// async fn me(request: HttpRequest, server: Data<Server>) -> actix_web::Result<String> {
    ///     let claims: Claims = server.claims(&request).await?;
    ///     Ok(format!("hello, {}", claims.user_id))
    /// }
    /// ```
    ///
    /// # Errors
    /// With the answer that a push would get: 401 without a token that is good, 429 above the rate, 503 where keys cannot be looked up;
    /// 500 where `A` is not the claims type of the app's rules.
    pub async fn claims<A: Actor>(&self, request: &HttpRequest) -> actix_web::Result<A> {
        let told = |error: HttpError| {
            let (_, code) = error.status();
            InternalError::from_response(code, error.into_response())
        };
        let principal = bearer::actor(self, request).await.map_err(told)?;
        let other = || ErrorInternalServerError(format!("the app's claims are no {}", std::any::type_name::<A>()));
        principal.claims::<A>().cloned().ok_or_else(other)
    }

    /// The routes, for `App::new().configure(server.routes())`; the same as [`service`](crate::service).
    pub fn routes(&self) -> impl FnOnce(&mut actix_web::web::ServiceConfig) + Clone + Send + use<> {
        service(self)
    }
}

/// A resource that answers other methods in our words.
fn resource(path: &str, allowed: &'static str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(move || error::method_not_allowed(allowed)))
}

fn get(path: &str) -> actix_web::Resource {
    resource(path, "GET")
}

fn post(path: &str) -> actix_web::Resource {
    resource(path, "POST")
}
