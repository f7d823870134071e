//! The drill: a backup is made while the server goes on, the database is lost, and the restore brings all devices to it.

use crate::restore::{history, lost_future, starts_again};
use nizhal_tests::{App, Cluster, Kind, TempDir, on, verb};
use std::os::unix::fs::PermissionsExt;

on![postgres, Postgres: inv10_a_backup_is_restored_by_what_the_verb_prints];
on![sqlite, Sqlite: inv10_a_copied_file_is_put_back];

async fn inv10_a_copied_file_is_put_back(_: App) {
    let dir = TempDir::new("backup");
    let file = |name: &str| dir.path().join(name);
    let database = nizhal_tests::Database::file(&file("shop.db"));
    assert_eq!(database.kind(), Kind::Sqlite);
    let mut app = App::on(database, crate::fixture::BINARY);
    let (mut db, mut phone, slow) = history(&app).await;
    let copy = file("copy of it's.db").display().to_string();
    let made = verb(&app.set_up, &["backup", &copy]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(std::fs::metadata(&copy).expect("a file").permissions().mode() & 0o777, 0o600);
    for (args, wanted) in [(vec!["backup", &copy], "cannot be made"), (vec!["backup"], "write `backup FILE`")] {
        let refused = verb(&app.set_up, &args);
        assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains(wanted), "{refused:?}");
    }
    lost_future(&mut db, &mut phone).await;
    let epoch = phone.page(None).await.body["epoch"].clone();
    drop(db);
    app.server.kill();
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(file(&format!("shop.db{end}")));
    }
    std::fs::rename(&copy, file("shop.db")).expect("the copy comes");
    app.restart();
    // Who had no more than the copy has goes on; who had more starts again.
    let mut old = app.device(&slow.id, "ben", "s1");
    (old.cursor, old.rows) = (slow.cursor.clone(), slow.rows.clone());
    assert!(!old.page(None).await.reset);
    starts_again(&app, &[(&phone, "ana"), (&old, "ben")], &epoch).await;
}

async fn inv10_a_backup_is_restored_by_what_the_verb_prints(mut app: App) {
    let dir = TempDir::new("backup");
    let (mut db, mut phone, slow) = history(&app).await;
    let dump = dir.path().join("ledger.dump").display().to_string();
    let printed = verb(&app.set_up, &["backup", &dump]);
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let printed = String::from_utf8(printed.stdout).expect("UTF-8");
    Cluster::shell(&printed, app.database.url());
    assert_eq!(std::fs::metadata(&dump).expect("a file").permissions().mode() & 0o777, 0o600);
    lost_future(&mut db, &mut phone).await;
    let epoch = phone.page(None).await.body["epoch"].clone();
    app.server.kill();
    drop(db);
    let restore = printed.lines().find_map(|line| line.strip_prefix("# pg_restore")).expect("how to restore");
    Cluster::shell(&format!("pg_restore{restore}"), app.database.url());
    app.restart();
    starts_again(&app, &[(&slow, "ben"), (&phone, "ana")], &epoch).await;
    assert_eq!(app.sql().await.count("customers where id = 'lost7'").await, 0);
}
