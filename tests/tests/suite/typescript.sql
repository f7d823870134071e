create sequence _nizhal_row_version_seq;
create function _nizhal_next_row_version() returns bigint language sql as $$ select nextval('_nizhal_row_version_seq') $$;
create table things (
    id text primary key, owner text not null, count integer not null, due timestamptz, code text unique,
    updated_at timestamptz not null default now(), deleted_at timestamptz, _meta jsonb not null default '{}',
    _nizhal_row_version bigint not null default _nizhal_next_row_version()
);
create index _nizhal_things_owner_row_version_idx on things (owner, _nizhal_row_version);
create table _nizhal_mutations (client_mutation_id text primary key, client_id text, server_id text, error text, applied_at timestamptz);
create table _nizhal_clients (client_id text primary key, last_mutation_id bigint);
create table _nizhal_jobs (
    id bigserial primary key, task_slug text, input jsonb, status text default 'queued', attempts int default 0, max_attempts int default 3,
    run_at timestamptz default now(), locked_at timestamptz, last_error text, created_at timestamptz, updated_at timestamptz
);
create table _nizhal_tombstones (
    table_name text, row_id text, client_key text, bucket_key text, kind text default 'tombstone',
    row_version bigint default _nizhal_next_row_version(), deleted_at timestamptz
);
create table _nizhal_client_buckets (client_id text, bucket_key text, last_seen_cursor bigint, updated_at timestamptz);
create table _nizhal_sync_control (id bool primary key, suppress_notify bool, updated_at timestamptz);
create table _nizhal_audit_log (
    row_version bigint primary key, client_mutation_id text, mutation_name text, args jsonb, actor jsonb, client_id text,
    mutation_id bigint, hlc text, affected_buckets jsonb, created_at timestamptz
);
create function _nizhal_touch_updated_at() returns trigger language plpgsql as $$
begin new.updated_at := now(); new._nizhal_row_version := _nizhal_next_row_version(); return new; end $$;
create function _nizhal_remove_things_owner() returns trigger language plpgsql as $$
begin
    insert into _nizhal_tombstones (table_name, row_id, bucket_key) values ('things', old.id, old.owner);
    return null;
end $$;
create trigger _nizhal_touch_things before update on things for each row execute function _nizhal_touch_updated_at();
create trigger _nizhal_remove_things_owner_trg after update or delete on things for each row execute function _nizhal_remove_things_owner();
insert into things (id, owner, count, _meta) values
    ('a', 'ann', 1, '{"count": "2026-11-21T02:00:00.000Z-0000-0123456789abcdef"}'), ('b', 'ann', 2, '{}'), ('x', 'ann', 3, '{}');
delete from things where id = 'x';
insert into _nizhal_clients values ('phone', 7), ('laptop', 3);
insert into _nizhal_mutations values ('m7', 'local-1', 'a', null, now()), ('m6', null, null, 'no', now());
insert into _nizhal_audit_log values
    (1, 'm7', 'addThing', '{}', '{"userId": "ann", "ownerId": "o"}', 'phone', 7, null, '[]', now());
insert into _nizhal_jobs (task_slug, input, status) values ('send-sms', '{"to": "ann"}', 'queued'), ('send-sms', '{}', 'done');
