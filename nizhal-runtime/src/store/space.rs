//! The statements of a push whose mutation is replayed: its space is locked, taken back where the mutation comes late, and gets an action.

use super::{
    StoreError, WriteTx,
    database::Store,
    replay::Place,
    settings::Audit,
    sql::{Dialect, literal, placeholders},
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
    /// Whether it took effect later than it was made, since what it came before was settled, or too long.
    pub late: bool,
}

impl WriteTx<'_> {
    /// Locks a space until the transaction ends, and makes it where there is none. What is written next takes effect at this place where
    /// nothing of the space is behind it. By the primary key, and by `_nizhal_actions (space, client_id, pos)`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_space(&self, space: &str, client_id: Option<&str>, at: &Place) -> Result<Space, StoreError> {
        let last = "(select max(a.pos) from _nizhal_actions a where a.space = $1 and a.client_id = $2)";
        let sql = match self.dialect() {
            Dialect::Postgres => format!(
                "select s.head, s.settled, {last} as last, set_config('nizhal.space', $1, true) as space, set_config('nizhal.place', \
                 case when s.head < $3 and s.settled < $3 then $3 else '' end, true) as place \
                 from _nizhal_spaces s where s.space = $1 for update of s"
            ),
            Dialect::Sqlite => format!(
                "update _nizhal_replay set space = $1, pos = (select $3 from _nizhal_spaces s where s.space = $1 and s.head < $3 \
                 and s.settled < $3) where id = 1;\n\
                 select s.head, s.settled, {last} as last from _nizhal_spaces s where s.space = $1"
            ),
        };
        loop {
            let values = [space.into(), client_id.map(str::to_owned).into(), at.to_string().into()];
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
        let sql = "select pos, actor, claims, name, args, client_id, sent, status, late from _nizhal_actions \
            where space = $1 and pos > $2 order by pos limit $3";
        let rows = self.all(sql, [space.into(), at.to_string().into(), i64::from(limit).into()]).await?;
        rows.iter().map(action).collect()
    }

    /// Takes the rows of a space back to what they were before this place, and the jobs with them.
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
        let rewinds = &self.store().rewinds;
        let kept = rewinds.iter().flat_map(|rewind| &rewind.keep);
        let steps = kept
            .chain(rewinds.iter().map(|rewind| &rewind.take_away))
            .chain(rewinds.iter().map(|rewind| &rewind.put_back))
            .chain(rewinds.iter().map(|rewind| &rewind.forget));
        for step in steps {
            self.run(step, [space.into(), at.to_string().into()]).await?;
        }
        let jobs = "delete from _nizhal_action_jobs where space = $1 and pos >= $2";
        self.run(jobs, [space.into(), at.to_string().into()]).await.map(drop)
    }

    /// Gives the rows that are as they were before the space was taken back their versions back, so that nobody is sent them again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn net(&self, space: &str) -> Result<(), StoreError> {
        self.set_place(Some(space), None).await?;
        self.set_net(true).await?;
        for rewind in &self.store().rewinds {
            for step in rewind.net.iter().chain([&rewind.let_go]) {
                self.run(step, [space.into()]).await?;
            }
        }
        self.set_net(false).await
    }

    /// Says whether the rows that are written next get versions back that they had.
    async fn set_net(&self, is_net: bool) -> Result<(), StoreError> {
        match self.dialect() {
            Dialect::Postgres => {
                let on = if is_net { "on" } else { "" };
                self.one("select set_config('nizhal.net', $1, true)", [on.into()]).await.map(drop)
            }
            Dialect::Sqlite => {
                self.run("update _nizhal_replay set net = $1 where id = 1", [is_net.into()]).await.map(drop)
            }
        }
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
        for rewind in &self.store().rewinds {
            let Some(sql) = &rewind.strays else { continue };
            if self.one(sql, [space.into(), at.to_string().into()]).await?.is_some() {
                return Ok(Some(rewind.table));
            }
        }
        Ok(None)
    }

    /// Stores mutations that ran, and moves the head of their space where the last of them is the last one. Nothing replayed is written
    /// after that.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn file_actions(&self, space: &str, actions: &[Action]) -> Result<(), StoreError> {
        let Some(last) = actions.iter().map(|action| &action.position).max() else {
            return self.set_place(None, None).await;
        };
        let mut values: Vec<Value> = vec![space.into(), last.to_string().into()];
        let mut rows = Vec::with_capacity(actions.len());
        for Action { position, actor, claims, name, args, client_id, sent, status, late } in actions {
            let row: [Value; 10] = [
                position.to_string().into(),
                actor.as_str().into(),
                position.id.as_str().into(),
                claims.as_str().into(),
                name.as_str().into(),
                args.as_str().into(),
                client_id.clone().into(),
                sent.map(|stamp| stamp.to_string()).into(),
                status.as_str().into(),
                (*late).into(),
            ];
            rows.push(format!("($1, {}, {})", placeholders(values.len(), row.len()), self.version_drawn()));
            values.extend(row);
        }
        let filed = format!(
            "insert into _nizhal_actions (space, pos, actor, id, claims, name, args, client_id, sent, status, late, version) values {}",
            rows.join(", ")
        );
        let moved = "update _nizhal_spaces set head = $2 where space = $1 and head < $2";
        match self.dialect() {
            Dialect::Postgres => {
                let sql = format!(
                    "with filed as ({filed}), moved as ({moved}) \
                     select set_config('nizhal.space', '', true) as space, set_config('nizhal.place', '', true) as place"
                );
                self.one(&sql, values).await.map(drop)
            }
            Dialect::Sqlite => {
                let ended = "update _nizhal_replay set space = null, pos = null where id = 1";
                self.run(&format!("{filed};\n{moved};\n{ended}"), values).await.map(drop)
            }
        }
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
    /// The rule in whose buckets a table is replayed.
    pub(crate) fn replayed_in(&self, table: &str) -> Option<&'static str> {
        self.rewinds.iter().find(|rewind| rewind.table == table).map(|rewind| rewind.rule)
    }

    /// Settles spaces up to a place, and but for so many of their last mutations. Forgets the mutations before that place, those that are
    /// settled and whose devices have nothing to hear of, and the images that nothing is taken back to any more; how many mutations. By the
    /// primary keys.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn forget_settled(&self, before: &Place, most: u32) -> Result<u64, StoreError> {
        let before = before.to_string();
        let settle = "update _nizhal_spaces set settled = $1 where settled < $1 and exists (select 1 from _nizhal_actions a \
            where a.space = _nizhal_spaces.space and a.pos < $1)";
        self.run(settle, [before.as_str().into()]).await?;
        let beyond = "(select a.pos from _nizhal_actions a where a.space = _nizhal_spaces.space order by a.pos desc limit 1 offset $1)";
        let settle = format!("update _nizhal_spaces set settled = {beyond} where settled < {beyond}");
        self.run(&settle, [i64::from(most).into()]).await?;
        for rewind in &self.rewinds {
            self.run(&rewind.forget_settled, []).await?;
        }
        let gone = "delete from _nizhal_actions where space in (select space from _nizhal_spaces) and pos < $1";
        let aged = self.run(gone, [before.as_str().into()]).await?;
        let gone = "delete from _nizhal_actions where revised = 0 and not late and exists (select 1 from _nizhal_spaces s \
            where s.space = _nizhal_actions.space and _nizhal_actions.pos <= s.settled)";
        Ok(aged + self.run(gone, []).await?)
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
        late: row.try_get("", "late")?,
    })
}

fn read(text: &str) -> Result<Place, StoreError> {
    Place::parse(text).ok_or_else(|| StoreError::Schema(format!("a space has a place that is none of ours: {text:?}")))
}
