//! What a transaction that ran app code leaves on its connection: nothing.
//!
//! A statement that sets something for the session is refused before it is sent; what a function or a trigger of the app's sets is not
//! seen from here, and `pg_settings` costs more to read than a push does. So all settings go back to what the connection began with, and
//! all locks of the session are given up, in the statement that ends the transaction: before the commit, since behind a pooler the next
//! statement may run on another connection.

/// `_nizhal_leave()`: ends what app code set or locked for its session. The transaction's version, that it is judged, and what pulls
/// remember of the session stay. A pooler sets some settings itself where the driver's connection begins with them: these are set again. The commit waits
/// for the disk, whatever the role, the database or app code says, because the device forgets what is acknowledged.
pub(super) fn leave_function(schema: &str, session: &str) -> String {
    format!(
        "create or replace function {schema}._nizhal_leave() returns bigint language plpgsql volatile as $nizhal$
declare
  version text := pg_catalog.current_setting('nizhal.version', true);
  home text := pg_catalog.current_setting('nizhal.home', true);
  judged text := pg_catalog.current_setting('nizhal.judged', true);
  on_disk text := pg_catalog.current_setting('nizhal.on_disk', true);
  whole text := pg_catalog.current_setting('nizhal.whole', true);
  done text;
begin
  reset all;
  reset role;
  done := pg_catalog.pg_advisory_unlock_all();
  if version <> '' then done := pg_catalog.set_config('nizhal.version', version, true); end if;
  if judged <> '' then done := pg_catalog.set_config('nizhal.judged', judged, true); end if;
  if home <> '' then done := pg_catalog.set_config('nizhal.home', home, false); end if;
  if on_disk <> '' then done := pg_catalog.set_config('nizhal.on_disk', on_disk, false); end if;
  if whole <> '' then done := pg_catalog.set_config('nizhal.whole', whole, false); end if;
  if pg_catalog.current_setting('synchronous_commit') = 'off' then
    done := pg_catalog.set_config('synchronous_commit', 'local', true);
  end if;
  if pg_catalog.current_setting('application_name') <> '{session}' then
    done := pg_catalog.set_config('application_name', '{session}', false);
  end if;
  if pg_catalog.current_setting('TimeZone') <> 'UTC' then done := pg_catalog.set_config('TimeZone', 'UTC', false); end if;
  if pg_catalog.current_setting('DateStyle') <> 'ISO, MDY' then done := pg_catalog.set_config('DateStyle', 'ISO, MDY', false); end if;
  if pg_catalog.current_setting('client_encoding') <> 'UTF8' then
    done := pg_catalog.set_config('client_encoding', 'UTF8', false);
  end if;
  return 0;
end $nizhal$"
    )
}
