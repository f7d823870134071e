//! A proxy before Postgres that speaks its protocol: it counts round trips, and lets one of them fail with a real error of the
//! database's, or ends the connection before the statement is sent or after it took effect.

use crate::forwarder::{port_of, with_port};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What happens at a round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementFault {
    /// The database gives an error of this SQLSTATE in place of the statement; a COMMIT fails with it, and rolls back.
    Error(&'static str),
    /// The connection ends before the statement is sent.
    EndsBefore,
    /// The connection ends when the database has done what it was asked for, a COMMIT too, and its answer is lost.
    EndsAfter,
    /// The answer has an error of this SQLSTATE in the place of its last row; the rows before it come.
    ErrorAmid(&'static str),
    /// The connection ends where the answer's last row would come; the rows before it come.
    EndsAmid,
}

/// What a database needs where COMMIT is to fail with [`StatementFault::Error`].
pub const COMMIT_FAULT: &str = "create table commit_fault (state text); \
    create function fail_commit() returns trigger language plpgsql as $$ begin \
    execute format('do %L', format('begin raise exception %L using errcode = %L; end', 'injected', new.state)); return null; end $$; \
    create constraint trigger fail_commit after insert on commit_fault deferrable initially deferred \
    for each row execute function fail_commit()";

/// How many round trips are left before one fails, and how.
type Armed = Arc<Mutex<Option<(usize, StatementFault)>>>;

/// The proxy; gone when dropped.
#[derive(Debug)]
pub struct StatementProxy {
    port: u16,
    armed: Armed,
    task: tokio::task::JoinHandle<()>,
}

impl StatementProxy {
    /// A proxy before the database of this URL.
    ///
    /// # Panics
    /// When no port is free, or the URL has none.
    pub async fn start(database_url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (upstream, armed) = (port_of(database_url), Armed::default());
        let for_each = armed.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // An error is a connection that ended, which is what tests are for.
                let carrying = carry(client, upstream, for_each.clone());
                tokio::spawn(async move { carrying.await.unwrap_or_default() });
            }
        });
        Self { port, armed, task }
    }

    /// The URL of the same database by way of this proxy.
    pub fn before(&self, database_url: &str) -> String {
        with_port(database_url, self.port)
    }

    /// Has the round trip behind so many others fail, once.
    pub fn arm(&self, after: usize, fault: StatementFault) {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some((after, fault));
    }

    /// Takes back what was armed; returns whether it had not happened yet.
    pub fn disarm(&self) -> bool {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

impl Drop for StatementProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection between the client and the database.
struct Carrier {
    from_server: mpsc::Receiver<Vec<u8>>,
    to_server: OwnedWriteHalf,
    to_client: OwnedWriteHalf,
    /// How many round trips the database has not answered yet.
    pending: usize,
}

async fn carry(mut client: TcpStream, upstream: u16, armed: Armed) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).await?;
    // Each message is sent by itself, and must not wait for the one before to be acknowledged.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    begin(&mut client, &mut server).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (mut from_client, from_server) = (messages(from_client), messages(from_server));
    // The greeting is answered as a round trip is.
    let mut carrier = Carrier { from_server, to_server, to_client, pending: 1 };
    let mut statement = Vec::new();
    loop {
        tokio::select! {
            message = from_client.recv() => {
                let Some(message) = message else { return Ok(()) };
                statement.extend(&message);
                match message[0] {
                    // A statement by itself, or the end of one that was sent in parts.
                    b'Q' | b'S' => {
                        let fault = take(&armed);
                        if !carrier.pass(&std::mem::take(&mut statement), fault).await? {
                            return Ok(());
                        }
                    }
                    // Bind, Close, Describe, Execute, Parse: a Sync follows.
                    b'B' | b'C' | b'D' | b'E' | b'P' => {}
                    _ => carrier.to_server.write_all(&std::mem::take(&mut statement)).await?,
                }
            }
            message = carrier.from_server.recv() => {
                let Some(message) = message else { return Ok(()) };
                carrier.answer(&message).await?;
            }
        }
    }
}

/// Passes on what comes before messages have kinds: questions whether the database encrypts, and the greeting.
async fn begin(client: &mut TcpStream, server: &mut TcpStream) -> io::Result<()> {
    const ENCRYPTS: [u32; 2] = [80_877_103, 80_877_104];
    loop {
        let length = client.read_u32().await?;
        let mut body = vec![0; usize::try_from(length).unwrap_or(0).saturating_sub(4)];
        client.read_exact(&mut body).await?;
        server.write_u32(length).await?;
        server.write_all(&body).await?;
        let asks = body.first_chunk().is_some_and(|code| ENCRYPTS.contains(&u32::from_be_bytes(*code)));
        if !asks {
            return Ok(());
        }
        client.write_u8(server.read_u8().await?).await?;
    }
}

/// Whole messages, each with its kind and length.
fn messages(mut from: OwnedReadHalf) -> mpsc::Receiver<Vec<u8>> {
    let (to, messages) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok(message) = message(&mut from).await {
            if to.send(message).await.is_err() {
                return;
            }
        }
    });
    messages
}

async fn message(from: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let (kind, length) = (from.read_u8().await?, from.read_u32().await?);
    let mut message = vec![kind];
    message.extend(length.to_be_bytes());
    message.resize(1 + usize::try_from(length).unwrap_or(4), 0);
    from.read_exact(&mut message[5..]).await?;
    Ok(message)
}

fn take(armed: &Armed) -> Option<StatementFault> {
    let mut armed = armed.lock().unwrap_or_else(PoisonError::into_inner);
    let (left, fault) = armed.take()?;
    if left == 0 {
        return Some(fault);
    }
    *armed = Some((left - 1, fault));
    None
}

impl Carrier {
    /// A message of the database's, to the client.
    async fn answer(&mut self, message: &[u8]) -> io::Result<()> {
        self.pending -= usize::from(message[0] == b'Z');
        self.to_client.write_all(message).await
    }

    /// A statement, or what happens in its place; false when the connection ends.
    async fn pass(&mut self, statement: &[u8], fault: Option<StatementFault>) -> io::Result<bool> {
        match fault {
            None => self.send(statement).await?,
            Some(StatementFault::EndsBefore) => return Ok(false),
            Some(StatementFault::EndsAfter) => {
                self.run_unheard(statement).await?;
                return Ok(false);
            }
            Some(StatementFault::EndsAmid) => {
                self.send_but_the_last_row(statement).await?;
                return Ok(false);
            }
            Some(StatementFault::ErrorAmid(state)) => {
                let mut ready = self.send_but_the_last_row(statement).await?;
                // In a transaction, which has failed now.
                if let Some(status @ b'T') = ready.last_mut() {
                    *status = b'E';
                }
                self.to_client.write_all(&refusal(state)).await?;
                self.to_client.write_all(&ready).await?;
            }
            Some(StatementFault::Error(state)) if is_commit(statement) => {
                self.run_unheard(&query(&format!(
                    "set constraints fail_commit deferred; insert into commit_fault values ('{state}')"
                )))
                .await?;
                self.send(statement).await?;
            }
            Some(StatementFault::Error(state)) => {
                let fails = format!("do $$ begin raise exception 'injected' using errcode = '{state}'; end $$");
                self.send(&query(&fails)).await?;
            }
        }
        Ok(true)
    }

    async fn send(&mut self, statement: &[u8]) -> io::Result<()> {
        self.pending += 1;
        self.to_server.write_all(statement).await
    }

    /// Has the database run a statement whose answer the client does not get.
    async fn run_unheard(&mut self, statement: &[u8]) -> io::Result<()> {
        self.run_held_back(statement).await.map(drop)
    }

    /// Has the database run a statement of whose answer the client gets what comes before the last row; gives the answer's last message.
    async fn send_but_the_last_row(&mut self, statement: &[u8]) -> io::Result<Vec<u8>> {
        let mut answer = self.run_held_back(statement).await?;
        let last = answer.iter().rposition(|message| message[0] == b'D');
        // Where there is no row, what says that the statement is done is left out.
        let end = last.unwrap_or(answer.len().saturating_sub(2));
        let ready = answer.pop().unwrap_or_default();
        self.to_client.write_all(&answer[..end.min(answer.len())].concat()).await?;
        Ok(ready)
    }

    /// Has the database run a statement, and gives the messages of its answer.
    async fn run_held_back(&mut self, statement: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        while self.pending > 0 {
            let message = self.from_server.recv().await.ok_or(io::ErrorKind::UnexpectedEof)?;
            self.answer(&message).await?;
        }
        self.to_server.write_all(statement).await?;
        let mut answer = Vec::new();
        loop {
            let message = self.from_server.recv().await.ok_or(io::ErrorKind::UnexpectedEof)?;
            let is_last = message[0] == b'Z';
            answer.push(message);
            if is_last {
                return Ok(answer);
            }
        }
    }
}

/// An error of this SQLSTATE as a message.
fn refusal(state: &str) -> Vec<u8> {
    let fields = format!("SERROR\0VERROR\0C{state}\0Minjected\0\0");
    let mut message = vec![b'E'];
    message.extend(u32::try_from(fields.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    message.extend(fields.as_bytes());
    message
}

/// A statement as a message.
fn query(sql: &str) -> Vec<u8> {
    let mut message = vec![b'Q'];
    message.extend(u32::try_from(sql.len() + 5).unwrap_or(u32::MAX).to_be_bytes());
    message.extend(sql.as_bytes());
    message.push(0);
    message
}

fn is_commit(statement: &[u8]) -> bool {
    statement[0] == b'Q' && statement.get(5..11).is_some_and(|sql| sql.eq_ignore_ascii_case(b"commit"))
}
