//! A disk that is full, and has room again: what was acknowledged is in the file, and the server goes on.

use crate::fixture::{BINARY, two_shops};
use nizhal_tests::{App, Database, TempDir, play, until};
use serde_json::json;
use std::{path::Path, process::Command};

/// A small disk of memory, mounted until it is dropped. Mounting takes root, which the tests' containers are.
struct Disk(TempDir);

impl Disk {
    fn new(bytes: usize) -> Self {
        let dir = TempDir::new("disk");
        let size = format!("size={bytes},mode=777");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "nizhal"]).arg(dir.path()).output();
        let mounted = mounted.expect("`mount` starts");
        let why = String::from_utf8_lossy(&mounted.stderr);
        assert!(mounted.status.success(), "a disk of memory could not be mounted (run the tests as root): {why}");
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills it to the last page.
    fn fill(&self) {
        let ballast = std::fs::File::create(self.path().join("ballast")).expect("a file");
        while std::io::Write::write(&mut &ballast, &[7; 4096]).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.path().join("ballast")).expect("the ballast is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn inv39_a_full_disk_loses_nothing_that_was_acknowledged() {
    play(async || {
        let disk = Disk::new(16 << 20);
        let app = App::on(Database::file(&disk.path().join("ledger.db")), BINARY);
        let mut db = two_shops(&app).await;
        let mut phone = app.device("phone", "ana", "s1");
        let mut acknowledged = Vec::new();
        let mut waiting = Vec::new();
        for round in 0..3 {
            disk.fill();
            let mut refused = 0;
            for number in 0..40 {
                let id = format!("c{round}x{number}");
                let args = json!({"clientId": id, "name": "x".repeat(2_000)});
                waiting.push((id, phone.mutation("addCustomer", &args)));
                let reply = phone.push(std::slice::from_ref(&waiting[0].1)).await;
                match reply.status {
                    200 => acknowledged.push(waiting.remove(0).0),
                    503 => refused += 1,
                    other => panic!("{other}: {}", reply.text),
                }
            }
            assert!(refused > 0, "the disk was never full");
            disk.make_room();
            for (id, mutation) in std::mem::take(&mut waiting) {
                phone.push(&[mutation]).await.expect(200);
                acknowledged.push(id);
            }
            // An ordinary refusal, which is a rollback of its own.
            let foreign = json!({"clientId": format!("e{round}"), "customerId": "nobody", "amount": 5});
            phone.mutate("recordCredit", &foreign).await.refused(422, "rejected");
            // As the database is when it is opened anew, and as others see it.
            let mut kept: Vec<String> =
                db.rows("select id from customers").await.into_iter().flatten().flatten().collect();
            kept.sort();
            acknowledged.sort();
            assert_eq!(kept, acknowledged, "round {round}");
        }
        app.get("/readyz", "").await.expect(200);
        disk.fill();
        until("there is no room", async || app.get("/readyz", "").await.status == 503).await;
        disk.make_room();
        until("there is room again", async || app.get("/readyz", "").await.status == 200).await;
    });
}
