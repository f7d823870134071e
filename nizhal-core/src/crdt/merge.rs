//! `ctx.merge`: an update into a stored document, in the mutation's transaction.

use super::{CrdtColumn, CrdtDocument, CrdtUpdate};
use crate::table::KeyOf;
use crate::{Actor, Col, Ctx, Error, Result, Table};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, Iterable, PrimaryKeyToColumn, QueryFilter, QuerySelect,
    sea_query::{Expr, IntoValueTuple as _},
};

impl<A: Actor> Ctx<A> {
    /// Merges an update into a CRDT column of the row with this key, and answers the document as it then is.
    ///
    /// The row is locked first, so that concurrent merges queue up and none is lost; a NULL counts as an empty
    /// document. An update that tells nothing new writes nothing.
    ///
    /// ```ignore
    /// let body = ctx.merge(Note::COLS.body, args.id, &args.update).await?;
    /// if body.text()?.len() > 10_000 { return Err(reject!("a note has at most 10,000 bytes")); }
    /// ```
    ///
    /// # Errors
    /// [`Error::Rejected`] when there is no such row, [`Error::InvalidArgs`] when the update is not for this column.
    pub async fn merge<T: Table, C: CrdtColumn>(
        &self,
        column: Col<T, C>,
        key: impl Into<KeyOf<T>>,
        update: &CrdtUpdate,
    ) -> Result<C::Document> {
        let at = column.index().get();
        let root = T::DESC.columns.get(at).and_then(|desc| desc.crdt_root);
        let nth = <T::Entity as EntityTrait>::Column::iter().nth(at);
        let column = nth.ok_or_else(|| Error::internal("a column handle is not of its table"))?;
        let mut keys = <T::Entity as EntityTrait>::PrimaryKey::iter();
        let mut row = Condition::all();
        for value in key.into().into_value_tuple() {
            let key = keys.next().ok_or_else(|| Error::internal("a key has more values than columns"))?;
            row = row.add(key.into_column().eq(value));
        }
        // SQLite has no such lock and needs none: its one writer is us.
        let found = T::find().select_only().column(column).filter(row.clone()).lock_exclusive();
        let Some(found) = found.into_tuple::<C>().one(self.db()).await? else {
            return Err(Error::rejected(format!("there is no row with this key in {}", T::DESC.name)));
        };
        let mut document = found.into_document();
        if document.merge(root, update)? {
            let state = Expr::value(C::of(&document));
            T::update_many().col_expr(column, state).filter(row).exec(self.db()).await?;
        }
        Ok(document)
    }
}
