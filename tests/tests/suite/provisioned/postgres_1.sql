-- The first provisioning: no secret, no place where the database lives, a horizon of two columns.
create sequence _nizhal_clock;
select setval('_nizhal_clock', 5, true);
create table _nizhal_control (id bigint primary key check (id = 1), epoch text collate "C" not null, collected bigint not null default 0);
create table _nizhal_tombstones (rule text collate "C" not null, bucket text collate "C" not null, tbl text collate "C" not null,
  id text collate "C" not null, client_key text collate "C", kind text collate "C" not null, version bigint not null,
  at timestamptz not null default now(), primary key (rule, bucket, tbl, id));
create table _nizhal_clients (client_id text collate "C" primary key, actor text collate "C" not null,
  last_mutation_id bigint not null default 0, last_version bigint not null default 0, seen_at timestamptz not null default now());
create table _nizhal_mutations (actor text collate "C" not null, client_mutation_id text collate "C" not null,
  client_id text collate "C", mutation_id bigint, name text collate "C" not null, status text collate "C" not null,
  reason text collate "C", result text collate "C", client_ref text collate "C", server_id text collate "C",
  version bigint not null default 0, at timestamptz not null default now(), primary key (actor, client_mutation_id));
create table _nizhal_bucket_sets (id text collate "C" primary key, buckets text collate "C" not null,
  at timestamptz not null default now());
insert into _nizhal_control (id, epoch) values (1, '0192f1d0-0000-4000-8000-000000000001');
create table items (id text not null, owner text not null, _nizhal_version bigint not null default 1,
  updated_at timestamptz not null default now(), deleted_at timestamptz, primary key (id));
create table notes (id text not null, owner text not null, _nizhal_version bigint not null default 1,
  updated_at timestamptz not null default now(), deleted_at timestamptz, primary key (id));
insert into items (id, owner, _nizhal_version) values ('i1', 'ann', 2);
insert into notes (id, owner, _nizhal_version) values ('n1', 'ann', 3), ('n2', 'cem', 3);
insert into _nizhal_tombstones (rule, bucket, tbl, id, kind, version) values ('notes', '["ann"]', 'notes', 'n0', 'delete', 4);
insert into _nizhal_clients (client_id, actor, last_mutation_id, last_version) values ('d', 'ann', 1, 2);
insert into _nizhal_mutations (actor, client_mutation_id, client_id, mutation_id, name, status, version)
  values ('ann', 'm1', 'd', 1, 'run', 'applied', 2);
create function _nizhal_version() returns bigint language plpgsql volatile as $nizhal$
declare noted text := current_setting('nizhal.version', true); last bigint; drawn bigint;
begin
  if noted is not null and noted <> '' then return noted::bigint; end if;
  select last_value into last from _nizhal_clock;
  perform pg_advisory_xact_lock_shared((20058::bigint << 48) | last);
  drawn := nextval('_nizhal_clock');
  perform set_config('nizhal.version', drawn::text, true);
  return drawn;
end $nizhal$;
create function _nizhal_horizon(out clock bigint, out horizon bigint) language plpgsql volatile as $nizhal$
begin
  select last_value into clock from _nizhal_clock;
  horizon := clock;
end $nizhal$;
create function _nizhal_note(lines text) returns void language plpgsql volatile as $nizhal$
declare noted text := coalesce(current_setting('nizhal.touched', true), '');
begin
  if lines is null or position(E'\n' || lines || E'\n' in E'\n' || noted) > 0 then return; end if;
  perform set_config('nizhal.touched', noted || lines || E'\n', true);
end $nizhal$;
create function _nizhal_stamp() returns trigger language plpgsql volatile as $nizhal$
begin
  new._nizhal_version := _nizhal_version();
  new.updated_at := now();
  return new;
end $nizhal$;
create function _nizhal_version_is_000000000000() returns void language sql as '';
create function _nizhal_horizon_is_000000000000() returns void language sql as '';
create function _nizhal_note_is_000000000000() returns void language sql as '';
create function _nizhal_stamp_is_000000000000() returns void language sql as '';
create function _nizhal_capture_000000000000() returns trigger language plpgsql volatile as $nizhal$
begin
  if tg_op = 'INSERT' then
    perform _nizhal_note((select string_agg(distinct 'items' || '+items:' || '[' || to_json(r.owner)::text || ']', E'\n') from new_rows r));
  end if;
  return null;
end $nizhal$;
create trigger _nizhal_stamp before insert or update on items for each row execute function _nizhal_stamp();
create trigger _nizhal_insert_000000000000 after insert on items referencing new table as new_rows for each statement
  execute function _nizhal_capture_000000000000();
create function _nizhal_capture_000000000001() returns trigger language plpgsql volatile as $nizhal$
begin
  if tg_op = 'INSERT' then
    perform _nizhal_note((select string_agg(distinct 'notes' || '+notes:' || '[' || to_json(r.owner)::text || ']', E'\n') from new_rows r));
  end if;
  return null;
end $nizhal$;
create trigger _nizhal_stamp before insert or update on notes for each row execute function _nizhal_stamp();
create trigger _nizhal_insert_000000000001 after insert on notes referencing new table as new_rows for each statement
  execute function _nizhal_capture_000000000001();
