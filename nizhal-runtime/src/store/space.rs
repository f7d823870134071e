//! The statements of a push whose mutation is replayed: its space is locked, taken back where the mutation comes late, and gets an action.

use super::{
    StoreError, WriteTx,
    database::Store,
    replay::{self, Place},
    settings::Audit,
    sql::{Dialect, literal},
    write::Record,
};
use nizhal_core::Hlc;
use sea_orm::{QueryResult, Value};

/// The number in its transaction of the first audit entry of a mutation that ran again.
const FIRST_REVISED: usize = 1_000_000;

/// A space that is locked until the transaction ends.
#[derive(Debug)]
pub struct Space {
    /// The last mutation that ran in it.
    pub head: Option<Place>,
    /// Nothing is taken back to this place or to one before.
    pub settled: Option<Place>,
    /// The last mutation of the client that asks.
    pub last: Option<Place>,
}

/// A mutation that ran in a space, with what it takes to run it again.
#[derive(Clone, Debug)]
pub struct Action {
    /// Its place.
    pub position: Place,
    /// The actor's key.
    pub actor: String,
    /// The actor's claims, as JSON.
    pub claims: String,
    /// The mutator's wire name.
    pub name: String,
    /// Its arguments as sent.
    pub args: String,
    /// The client whose sequence it was in.
    pub client_id: Option<String>,
    /// Its stamp as the device sent it.
    pub sent: Option<Hlc>,
    /// What became of it, as it is stored with its result.
    pub status: String,
}

impl WriteTx<'_> {
    /// Locks a space until the transaction ends, and makes it where there is none. By the primary key, and by
    /// `_nizhal_actions (space, client_id, pos)`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_space(&self, space: &str, client_id: Option<&str>) -> Result<Space, StoreError> {
        let lock = match self.dialect() {
            Dialect::Postgres => " for update of s",
            Dialect::Sqlite => "",
        };
        let sql = format!(
            "select s.head, s.settled, (select max(a.pos) from _nizhal_actions a where a.space = $1 and a.client_id = $2) as last \
             from _nizhal_spaces s where s.space = $1{lock}"
        );
        loop {
            let values = [space.into(), client_id.map(str::to_owned).into()];
            if let Some(row) = self.one(&sql, values).await? {
                let place = |name: &str| -> Result<Option<Place>, StoreError> {
                    let text: Option<String> = row.try_get("", name)?;
                    text.filter(|text| !text.is_empty()).map(|text| read(&text)).transpose()
                };
                return Ok(Space { head: place("head")?, settled: place("settled")?, last: place("last")? });
            }
            let made = "insert into _nizhal_spaces (space, head) values ($1, '') on conflict (space) do nothing";
            self.run(made, [space.into()]).await?;
        }
    }

    /// Says where what is written next takes effect. Without a place, rows are taken back and put back; without a space, nothing replayed
    /// may be written.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_place(&self, space: Option<&str>, position: Option<&Place>) -> Result<(), StoreError> {
        let position = position.map(Place::to_string);
        match self.dialect() {
            Dialect::Postgres => {
                let sql = "select set_config('nizhal.space', $1, true), set_config('nizhal.place', $2, true)";
                self.one(sql, [space.unwrap_or_default().into(), position.unwrap_or_default().into()]).await.map(drop)
            }
            Dialect::Sqlite => {
                let sql = "update _nizhal_replay set space = $1, pos = $2 where id = 1";
                self.run(sql, [space.map(str::to_owned).into(), position.into()]).await.map(drop)
            }
        }
    }

    /// The mutations behind this place, in their order; at most so many. By the primary key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn actions_behind(&self, space: &str, at: &Place, limit: u32) -> Result<Vec<Action>, StoreError> {
        let sql = "select pos, actor, claims, name, args, client_id, sent, status from _nizhal_actions \
            where space = $1 and pos > $2 order by pos limit $3";
        let rows = self.all(sql, [space.into(), at.to_string().into(), i64::from(limit).into()]).await?;
        rows.iter().map(action).collect()
    }

    /// Takes the rows of a space back to what they were before this place.
    ///
    /// Rows are deleted before others are put in their place, since values that are unique may have changed hands. By the indexes
    /// `(space, pos)` of the images and the primary keys of the rows.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_back(&self, space: &str, at: &Place) -> Result<(), StoreError> {
        self.set_place(Some(space), None).await?;
        let deferred = self.defer_foreign_keys().await?;
        let exchanged = self.exchange(space, at).await;
        if let Some(judged) = deferred.filter(|_| exchanged.is_ok() || self.dialect() == Dialect::Sqlite) {
            self.run(&judged, []).await?;
        }
        exchanged
    }

    /// Exchanges the rows of a space for those of before this place.
    async fn exchange(&self, space: &str, at: &Place) -> Result<(), StoreError> {
        let schema = self.store().schema.clone();
        let images = replay::images(self.dialect(), &schema);
        let values = || -> [Value; 2] { [space.into(), at.to_string().into()] };
        for images in &images {
            self.run(&images.take_away(), values()).await?;
        }
        for images in &images {
            self.run(&images.put_back(), values()).await?;
        }
        for images in &images {
            self.run(&images.forget(), values()).await?;
        }
        Ok(())
    }

    /// Has the foreign keys between replayed tables be judged when all rows are in their place; the statement that judges them then, as each
    /// statement of a mutator is judged.
    async fn defer_foreign_keys(&self) -> Result<Option<String>, StoreError> {
        if self.dialect() == Dialect::Sqlite {
            self.run("pragma defer_foreign_keys = on", []).await?;
            return Ok(Some("pragma defer_foreign_keys = off".to_owned()));
        }
        let schema = self.store().schema.clone();
        let tables = schema.replayed().iter().map(|replayed| literal(replayed.table.name)).collect::<Vec<_>>();
        let sql = format!(
            "select string_agg(distinct quote_ident(f.conname), ', ') as names from pg_constraint f join pg_class c on c.oid = f.confrelid \
             where f.contype = 'f' and f.condeferrable and not f.condeferred and c.relname in ({}) \
             and c.relnamespace = quote_ident(current_schema())::regnamespace and f.connamespace = c.relnamespace",
            tables.join(", ")
        );
        let names = self.one(&sql, []).await?.map(|row| row.try_get::<Option<String>>("", "names")).transpose()?;
        let Some(names) = names.flatten() else { return Ok(None) };
        self.run(&format!("set constraints {names} deferred"), []).await?;
        Ok(Some(format!("set constraints {names} immediate")))
    }

    /// A table of which this mutation wrote a row that is in another space, or in none; of those whose write set would not tell, since their
    /// rows need not be in a bucket.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stray(&self, space: &str, at: &Place) -> Result<Option<&'static str>, StoreError> {
        let schema = self.store().schema.clone();
        for images in replay::images(self.dialect(), &schema) {
            let Some(sql) = images.strays() else { continue };
            if self.one(&sql, [space.into(), at.to_string().into()]).await?.is_some() {
                return Ok(Some(images.table().name));
            }
        }
        Ok(None)
    }

    /// Stores a mutation that ran, and moves the head of its space where it is the last one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn file_action(&self, space: &str, action: &Action) -> Result<(), StoreError> {
        let Action { position, actor, claims, name, args, client_id, sent, status } = action;
        let sql = format!(
            "insert into _nizhal_actions (space, pos, actor, id, claims, name, args, client_id, sent, status, version) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, {})",
            self.version_drawn()
        );
        let values: [Value; 10] = [
            space.into(),
            position.to_string().into(),
            actor.as_str().into(),
            position.id.as_str().into(),
            claims.as_str().into(),
            name.as_str().into(),
            args.as_str().into(),
            client_id.clone().into(),
            sent.map(|stamp| stamp.to_string()).into(),
            status.as_str().into(),
        ];
        self.run(&sql, values).await?;
        let sql = "update _nizhal_spaces set head = $2 where space = $1 and head < $2";
        self.run(sql, [space.into(), position.to_string().into()]).await.map(drop)
    }

    /// Gives a mutation that ran again another result than it had. By the primary keys.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revise(&self, space: &str, (at, action): (usize, &Action), record: &Record) -> Result<(), StoreError> {
        let sql = format!(
            "update _nizhal_actions set status = $3, revised = {} where space = $1 and pos = $2",
            self.version_drawn()
        );
        self.run(&sql, [space.into(), action.position.to_string().into(), record.status.into()]).await?;
        let sql = format!(
            "update _nizhal_mutations set status = $3, reason = $4, result = $5, server_id = $6, version = {} \
             where actor = $1 and client_mutation_id = $2",
            self.version_drawn()
        );
        let values: [Value; 6] = [
            action.actor.as_str().into(),
            action.position.id.as_str().into(),
            record.status.into(),
            record.reason.clone().into(),
            record.result.clone().into(),
            record.server_id.clone().into(),
        ];
        self.run(&sql, values).await?;
        if let Audit::Off = self.audit() {
            return Ok(());
        }
        let number = match self.dialect() {
            // Behind all entries that the transaction's own mutations have.
            Dialect::Postgres => (FIRST_REVISED + at).to_string(),
            // Pushes share transactions, and so versions.
            Dialect::Sqlite => {
                format!("(select coalesce(max(n), 0) + 1 from _nizhal_audit where version = {})", self.version_drawn())
            }
        };
        let sql = format!(
            "insert into _nizhal_audit (version, n, kind, actor, id, client_id, name, status, buckets, tables) \
             values ({}, {number}, 'revised', $1, $2, $3, $4, $5, '[]', '[]')",
            self.version_drawn()
        );
        let values: [Value; 5] = [
            action.actor.as_str().into(),
            action.position.id.as_str().into(),
            action.client_id.clone().into(),
            action.name.as_str().into(),
            record.status.into(),
        ];
        self.run(&sql, values).await.map(drop)
    }

    /// The version of this transaction, as SQL, which is drawn where none was.
    fn version_drawn(&self) -> &'static str {
        match self.dialect() {
            Dialect::Postgres => "_nizhal_version()",
            Dialect::Sqlite => "(select coalesce(txn, clock) from _nizhal_control where id = 1)",
        }
    }
}

impl Store {
    /// Settles spaces up to a place, and forgets the mutations before it, and the images that nothing is taken back to any more; how many
    /// mutations. By the primary keys.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn forget_settled(&self, before: &Place) -> Result<u64, StoreError> {
        let before = before.to_string();
        let settle = "update _nizhal_spaces set settled = $1 where settled < $1 and exists (select 1 from _nizhal_actions a \
            where a.space = _nizhal_spaces.space and a.pos < $1)";
        self.run(settle, [before.as_str().into()]).await?;
        for images in replay::images(self.dialect(), &self.schema) {
            self.run(&images.forget_settled(), []).await?;
        }
        let gone = "delete from _nizhal_actions where space in (select space from _nizhal_spaces) and pos < $1";
        self.run(gone, [before.as_str().into()]).await
    }
}

fn action(row: &QueryResult) -> Result<Action, StoreError> {
    let sent: Option<String> = row.try_get("", "sent")?;
    Ok(Action {
        position: read(&row.try_get::<String>("", "pos")?)?,
        actor: row.try_get("", "actor")?,
        claims: row.try_get("", "claims")?,
        name: row.try_get("", "name")?,
        args: row.try_get("", "args")?,
        client_id: row.try_get("", "client_id")?,
        sent: sent.and_then(|stamp| stamp.parse().ok()),
        status: row.try_get("", "status")?,
    })
}

fn read(text: &str) -> Result<Place, StoreError> {
    Place::parse(text).ok_or_else(|| StoreError::Schema(format!("a space has a place that is none of ours: {text:?}")))
}
