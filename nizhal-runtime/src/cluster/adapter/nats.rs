//! The adapter over NATS, for many servers. Core NATS: what is said while a connection is away is lost, and healed by a pull.

use super::{Adapter, AdapterError, Receiver, error::NatsError};
use crate::{settings::NatsSettings, store::Notification};
use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subscriber};
use futures_util::{StreamExt, future::BoxFuture};
use nizhal_core::bucket::percent_decode;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// How long a connection, or a flush, may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that is dead and does not say so is found within two of these.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// The most bytes of one message, where the server allows as many.
const DEFAULT_MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// Several servers on one NATS server or cluster.
pub(crate) struct Nats {
    settings: NatsSettings,
    subject: String,
    max_message_bytes: AtomicUsize,
    client: Mutex<Option<Client>>,
}

struct NatsReceiver {
    client: Client,
    subscriber: Subscriber,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Nats {
    /// `database` keeps apps and stages that share a NATS server apart, whatever they are called.
    pub(crate) fn new(settings: NatsSettings, database: &str) -> Self {
        let subject = format!("{}.{database}", settings.subject);
        Self {
            settings,
            subject,
            max_message_bytes: AtomicUsize::new(DEFAULT_MAX_MESSAGE_BYTES),
            client: Mutex::default(),
        }
    }

    async fn connect(&self) -> Result<NatsReceiver, NatsError> {
        let (sender, events) = mpsc::unbounded_channel();
        let forward = move |event| {
            // The receiver was dropped.
            let _ = sender.send(event);
            std::future::ready(())
        };
        let mut options = ConnectOptions::new()
            .name("nizhal")
            .no_echo()
            .ping_interval(PING_INTERVAL)
            .connection_timeout(REQUEST_TIMEOUT)
            // A lost connection is told, not mended in silence: what came meanwhile is lost.
            .max_reconnects(1)
            .event_callback(forward);
        let addresses = self.settings.url.split(',').map(|url| url.trim().parse::<ServerAddr>());
        let addresses = addresses.collect::<Result<Vec<_>, _>>().map_err(NatsError::Address)?;
        if let Some(first) = addresses.first() {
            options = match (first.username(), first.password()) {
                (Some(user), Some(password)) => {
                    options.user_and_password(percent_decode(user), percent_decode(password))
                }
                (Some(token), None) => options.token(percent_decode(token)),
                _ => options,
            };
        }
        if let Some(path) = &self.settings.credentials {
            let failed = |cause| NatsError::Credentials(path.display().to_string(), cause);
            options = options.credentials_file(path).await.map_err(failed)?;
        }
        if let Some(path) = &self.settings.ca {
            // Asked here, where the sentence can name the file.
            std::fs::metadata(path).map_err(|cause| NatsError::Ca(path.display().to_string(), cause))?;
            options = options.add_root_certificates(path.clone()).require_tls(true);
        }
        let client = options.connect(addresses).await?;
        let subscriber = client.subscribe(self.subject.clone()).await?;
        // The subscription is there before anybody is asked for anything.
        client.flush().await.map_err(NatsError::Flush)?;
        self.max_message_bytes.store(client.max_payload().min(DEFAULT_MAX_MESSAGE_BYTES), Relaxed);
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(NatsReceiver { client, subscriber, events })
    }

    async fn publish(&self, messages: &[String]) -> Result<(), NatsError> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let client = client.ok_or(NatsError::Away)?;
        if client.connection_state() != async_nats::connection::State::Connected {
            return Err(NatsError::Away);
        }
        for message in messages {
            client.publish(self.subject.clone(), message.clone().into()).await?;
        }
        client.flush().await.map_err(NatsError::Flush)
    }
}

impl Adapter for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn max_message_bytes(&self) -> Option<usize> {
        Some(self.max_message_bytes.load(Relaxed))
    }

    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Receiver>, AdapterError>> {
        Box::pin(async {
            let receiver: Box<dyn Receiver> = Box::new(self.connect().await?);
            Ok(receiver)
        })
    }

    fn publish<'a>(&'a self, messages: &'a [String]) -> BoxFuture<'a, Result<(), AdapterError>> {
        Box::pin(async {
            tokio::time::timeout(REQUEST_TIMEOUT, self.publish(messages)).await.map_err(|_| AdapterError::Slow)??;
            Ok(())
        })
    }

    fn forgets(&self) -> bool {
        true
    }
}

impl Receiver for NatsReceiver {
    fn next(&mut self) -> BoxFuture<'_, Result<Notification, AdapterError>> {
        Box::pin(async {
            loop {
                let event = tokio::select! {
                    message = self.subscriber.next() => match message {
                        Some(message) => {
                            return Ok(Notification::Message(String::from_utf8_lossy(&message.payload).into_owned()));
                        }
                        None => return Err(NatsError::Away.into()),
                    },
                    event = self.events.recv() => event,
                };
                match event {
                    Some(Event::Connected | Event::LameDuckMode | Event::Draining) => {}
                    Some(event) => return Err(NatsError::Said(event.to_string()).into()),
                    None => return Err(NatsError::Away.into()),
                }
            }
        })
    }
}

impl Drop for NatsReceiver {
    fn drop(&mut self) {
        let client = self.client.clone();
        // Ends the connection's task, which would go on otherwise.
        tokio::spawn(async move { client.drain().await });
    }
}
