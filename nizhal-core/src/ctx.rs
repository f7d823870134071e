//! What a mutator works with: its transaction, its actor, and the only clock and ids it may use.

use crate::{
    Actor, DateTimeUtc, Error, GuardedTransaction, Hlc, Jobs, NewJob, OfOneTable, Principal, Random, Result,
    ServerParts, ServerSide, Uuid,
};
use sea_orm::DatabaseTransaction;

/// The untyped parts of a [`Ctx`], as the runtime makes them.
pub struct CtxParts {
    /// The mutation's own transaction.
    pub tx: DatabaseTransaction,
    /// Who asks.
    pub principal: Principal,
    /// When the mutation was made.
    pub now: DateTimeUtc,
    /// The mutation's stamp.
    pub hlc: Hlc,
    /// Where fresh ids come from.
    pub ids: Box<dyn FnMut() -> Uuid + Send + Sync>,
    /// The jobs that it wants done.
    pub jobs: Vec<NewJob>,
    /// Its random numbers.
    pub random: Random,
    /// What only a server has; `None` on a device.
    pub server: Option<ServerParts>,
}

/// A mutator's context: one transaction, one actor, one moment.
///
/// Time, ids and randomness come from here and nowhere else, so that the same function gives the same result on the
/// device and on the server.
///
/// ```ignore
/// let customer = Customer::find_by_id(args.customer_id).one(ctx.db()).await?;
/// ```
pub struct Ctx<A> {
    db: GuardedTransaction,
    parts: Parts,
    actor: A,
}

/// The parts beside the transaction.
struct Parts {
    principal: Principal,
    now: DateTimeUtc,
    hlc: Hlc,
    ids: Box<dyn FnMut() -> Uuid + Send + Sync>,
    jobs: Vec<NewJob>,
    random: Random,
    server: Option<ServerParts>,
}

impl<A: Actor> Ctx<A> {
    /// Gives the parts their type.
    ///
    /// # Errors
    /// [`Error::Internal`] when the principal carries claims of another type.
    #[expect(clippy::result_large_err, reason = "the caller needs the parts back, to roll the transaction back")]
    pub fn new(parts: CtxParts) -> Result<Self, (CtxParts, Error)> {
        match parts.principal.claims::<A>().cloned() {
            Some(actor) => {
                let CtxParts { tx, principal, now, hlc, ids, jobs, random, server } = parts;
                let savepoints = server.as_ref().is_some_and(|server| server.savepoints);
                let parts = Parts { principal, now, hlc, ids, jobs, random, server };
                Ok(Self { db: GuardedTransaction::new(tx, savepoints), parts, actor })
            }
            None => {
                let wanted = std::any::type_name::<A>();
                Err((parts, Error::internal(format!("the mutator expects claims of type {wanted}"))))
            }
        }
    }
}

// Without a condition on the claims: where they are no claims type, that alone is an error, and no use of the context.
impl<A> Ctx<A> {
    /// The parts again, when the mutator is done, and the error that its result gives way to: it went on
    /// where it could not.
    pub fn into_parts(self) -> (CtxParts, Option<Error>) {
        let Parts { principal, now, hlc, ids, jobs, random, server } = self.parts;
        let (tx, error) = self.db.into_parts();
        (CtxParts { tx, principal, now, hlc, ids, jobs, random, server }, error)
    }

    /// The transaction: any sea-orm query runs on it. It begins and ends by itself.
    pub fn db(&self) -> &GuardedTransaction {
        &self.db
    }

    /// The same query, of the rows alone that the actor sees: those of its buckets. On a device, whose rows all are, it is the query as
    /// it was.
    ///
    /// A mutator that reads by an id from its arguments reads so: then an id of another tenant's finds as little as one of nobody's,
    /// and the answer tells nothing of either. Selects, bulk updates and bulk deletes can be scoped. No row of a table is seen that no
    /// rule syncs.
    ///
    /// ```ignore
    /// let Some(customer) = ctx.visible(Customer::find_by_id(args.customer_id)).one(ctx.db()).await? else {
    ///     return Err(reject!("there is no such customer"));
    /// };
    /// ```
    #[must_use]
    pub fn visible<Q: OfOneTable>(&self, query: Q) -> Q {
        match &self.parts.server {
            Some(server) => query.filter(server.scope.visible(Q::table())),
            None => query,
        }
    }

    /// The actor's claims.
    pub fn actor(&self) -> &A {
        &self.actor
    }

    /// When this mutation was made: the time of its stamp, the same on the device and on the server; a stamp that is far ahead of the
    /// server's clock counts there as the server's time, and so does one that is absent. It does not move while the mutator runs.
    ///
    /// It is what the device says. Where it matters what time it really is, ask [`ServerSide::now`] of [`server`](Self::server).
    pub fn now(&self) -> DateTimeUtc {
        self.parts.now
    }

    /// A fresh UUID v7, the same on the device and on the server; see [`MutationIds`](crate::MutationIds).
    pub fn new_id(&mut self) -> Uuid {
        (self.parts.ids)()
    }

    /// The mutation's random numbers: the same on the device and on the server, and so known to whoever sends the mutation.
    pub fn random(&mut self) -> &mut Random {
        &mut self.parts.random
    }

    /// The server, when this runs on one: what stands inside is skipped where a device runs the same mutator first.
    ///
    /// ```ignore
    /// if let Some(server) = ctx.server() {
    ///     receipt = Some(server.next_in_bucket("receipt", &shop_id).await?);
    /// }
    /// ```
    pub fn server(&self) -> Option<ServerSide<'_>> {
        let tx = self.db.inner();
        self.parts.server.as_ref().map(|parts| ServerSide { tx, parts })
    }

    /// The next number of a series within a bucket, for mutators that run on the server alone: `#[mutator(server)]`.
    /// What it promises is told at [`ServerSide::next_in_bucket`].
    ///
    /// ```ignore
    /// let number = ctx.next_in_bucket("receipt", &shop_id).await?;
    /// ```
    ///
    /// # Errors
    /// [`Error::ServerOnly`] on a device, [`Error::Forbidden`] when the actor does not hold the bucket, [`Error::Db`] when the database
    /// fails.
    pub async fn next_in_bucket(&mut self, series: &str, bucket: &str) -> Result<i64> {
        let server = self.server().ok_or(Error::ServerOnly("ctx.next_in_bucket"))?;
        server.next_in_bucket(series, bucket).await
    }

    /// Work for the server to do after this mutation: committed with it, or not at all. A device leaves it to the server.
    pub fn jobs(&mut self) -> Jobs<'_> {
        let Parts { now, ids, jobs, server, .. } = &mut self.parts;
        // Workers go by the server's time.
        let now = server.as_ref().map_or(*now, |server| server.now);
        Jobs::new(jobs, ids.as_mut(), now)
    }

    /// The mutation's hybrid logical clock stamp, never far ahead of the server's clock.
    pub fn hlc(&self) -> Hlc {
        self.parts.hlc
    }
}
