-- The first provisioning: no secret, no place where the database lives.
create table _nizhal_control (id integer primary key check (id = 1), epoch text not null, collected integer not null default 0,
  clock integer not null default 1, txn integer);
create table _nizhal_tombstones (rule text not null, bucket text not null, tbl text not null, id text not null, client_key text,
  kind text not null, version integer not null, at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  primary key (rule, bucket, tbl, id));
create table _nizhal_clients (client_id text primary key, actor text not null, last_mutation_id integer not null default 0,
  last_version integer not null default 0, seen_at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')));
create table _nizhal_mutations (actor text not null, client_mutation_id text not null, client_id text, mutation_id integer,
  name text not null, status text not null, reason text, result text, client_ref text, server_id text,
  version integer not null default 0, at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  primary key (actor, client_mutation_id));
create table _nizhal_bucket_sets (id text primary key, buckets text not null,
  at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')));
create table _nizhal_touched (note text primary key) without rowid;
insert into _nizhal_control (id, epoch, clock) values (1, '0192f1d0-0000-4000-8000-000000000001', 5);
create table "items" ("id" text not null, "owner" text not null, "_nizhal_version" bigint not null default 1,
  "updated_at" timestamp_with_timezone_text, "deleted_at" timestamp_with_timezone_text, primary key ("id"));
create table "notes" ("id" text not null, "owner" text not null, "_nizhal_version" bigint not null default 1,
  "updated_at" timestamp_with_timezone_text, "deleted_at" timestamp_with_timezone_text, primary key ("id"));
insert into items (id, owner, _nizhal_version, updated_at) values ('i1', 'ann', 2, '2026-11-21T02:00:00.000+00:00');
insert into notes (id, owner, _nizhal_version, updated_at) values ('n1', 'ann', 3, '2026-11-21T02:00:00.000+00:00'), ('n2', 'cem', 3, '2026-11-21T02:00:00.000+00:00');
insert into _nizhal_tombstones (rule, bucket, tbl, id, kind, version) values ('notes', '["ann"]', 'notes', 'n0', 'delete', 4);
insert into _nizhal_clients (client_id, actor, last_mutation_id, last_version) values ('d', 'ann', 1, 2);
insert into _nizhal_mutations (actor, client_mutation_id, client_id, mutation_id, name, status, version)
  values ('ann', 'm1', 'd', 1, 'run', 'applied', 2);
create trigger _nizhal_insert_000000000000 after insert on "items" begin
  update _nizhal_control set clock = clock + 1 where txn is null;
  update "items" set _nizhal_version = coalesce((select txn from _nizhal_control), (select clock from _nizhal_control)),
    updated_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '+00:00' where rowid = new.rowid;
  insert or ignore into _nizhal_touched (note) select 'items+items:' || json_array(new."owner");
end;
create trigger _nizhal_insert_000000000001 after insert on "notes" begin
  update _nizhal_control set clock = clock + 1 where txn is null;
  update "notes" set _nizhal_version = coalesce((select txn from _nizhal_control), (select clock from _nizhal_control)),
    updated_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '+00:00' where rowid = new.rowid;
  insert or ignore into _nizhal_touched (note) select 'notes+notes:' || json_array(new."owner");
end;
