//! The smallest world that a session can live in: what it began and waits for, what its store holds, and everything that can
//! happen next.

use crate::session::{
    Action, Event, Failure, FailureKind, Memory, Millis, PullStored, PushStored, Session, Settings, Status, UploadEnded,
};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Due {
    Lead,
    Pull,
    StorePull,
    Push(usize),
    StorePush(usize),
    Mend(Action),
    Refresh,
    Upload,
}

/// What the server would answer if it were well.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) session: Session,
    pub(super) now: Millis,
    pub(super) memory: Memory,
    pub(super) due: Vec<Due>,
    pub(super) stream: Option<bool>,
    pub(super) timer: Option<Millis>,
    pub(super) status: Status,
    pub(super) aborted: bool,
    /// The upload under way was given up, and has not said so yet.
    pub(super) upload_aborted: bool,
    /// The server lacks the blob that the first waiting mutation names.
    pub(super) lacks: bool,
    /// The server does not know our sequence until we take a new one.
    pub(super) parted: bool,
    /// The first waiting mutation is larger than any request.
    pub(super) huge: bool,
    /// The server fails at the first waiting mutation, each time, in this way.
    pub(super) poison: Option<FailureKind>,
    pub(super) online: bool,
    pub(super) actions: Vec<Action>,
}

pub(super) fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "code", "text")
}

impl World {
    pub(super) fn new(memory: Memory) -> Self {
        let settings = Settings { batch: 2, ..Settings::default() };
        let mut world = Self {
            session: Session::new(settings, "seed"),
            now: 1_000,
            memory,
            due: Vec::new(),
            stream: None,
            timer: None,
            status: Status::default(),
            aborted: false,
            upload_aborted: false,
            lacks: false,
            parted: false,
            huge: false,
            poison: None,
            online: false,
            actions: Vec::new(),
        };
        world.handle_event(Event::Started(memory));
        world
    }

    pub(super) fn handle_event(&mut self, event: Event) {
        match event {
            Event::Online => self.online = true,
            Event::Offline => self.online = false,
            _ => {}
        }
        self.actions = self.session.handle(event, self.now);
        for action in self.actions.clone() {
            match action {
                Action::Lead => self.due.push(Due::Lead),
                Action::Pull { .. } => self.due.push(Due::Pull),
                Action::StorePull => self.due.push(Due::StorePull),
                Action::Push { most } => self.due.push(Due::Push(most)),
                Action::StorePush => {}
                action @ (Action::Park(_) | Action::UploadAnew(_) | Action::Rotate | Action::Repair) => {
                    self.due.push(Due::Mend(action));
                }
                Action::Upload => self.due.push(Due::Upload),
                Action::AbortUpload => self.upload_aborted = true,
                Action::RefreshToken => self.due.push(Due::Refresh),
                Action::OpenStream => self.stream = Some(false),
                Action::CloseStream => self.stream = None,
                Action::Abort => self.aborted = true,
                Action::SetTimer(at) => self.timer = at,
                Action::PublishStatus(status) => self.status = *status,
                Action::Ping => {}
            }
        }
    }

    /// Answers the first thing that is due.
    fn answer(&mut self, due: &Due, event: Event) {
        let at = self.due.iter().position(|one| one == due).expect("it is due");
        self.due.remove(at);
        if let (Due::Push(most), Event::PushAnswered) = (due, &event) {
            self.due.push(Due::StorePush(*most));
        }
        self.handle_event(event);
    }

    /// Everything that can happen next.
    pub(super) fn nexts(&self) -> Vec<World> {
        let mut all = Vec::new();
        let mut then = |change: &dyn Fn(&mut World)| {
            let mut next = self.clone();
            change(&mut next);
            all.push(next);
        };
        if self.aborted {
            // The driver answers at once what it gave up, unless the answer was faster.
            for due in &self.due {
                let event = match due {
                    Due::Pull => Event::PullFailed(failure(FailureKind::Aborted)),
                    Due::Push(_) => Event::PushFailed(failure(FailureKind::Aborted)),
                    Due::Refresh => Event::TokenFailed(failure(FailureKind::Aborted)),
                    _ => continue,
                };
                then(&|world| {
                    world.aborted = false;
                    world.answer(due, event.clone());
                });
                then(&|world| {
                    world.aborted = false;
                    world.well(due);
                });
            }
            return all;
        }
        if self.upload_aborted {
            for kind in [FailureKind::Aborted, FailureKind::Network] {
                then(&|world| world.fail_upload(kind));
            }
            then(&|world| {
                world.upload_aborted = false;
                world.well(&Due::Upload);
            });
            return all;
        }
        use FailureKind::{
            Busy, Network, OutOfOrder, Refused, ServerError, Store, TooLarge, Unauthorized, UpgradeRequired,
        };
        for due in &self.due {
            then(&|world| world.well(due));
            let failures: &[FailureKind] = match due {
                Due::Pull => &[Network, Unauthorized, Busy, ServerError, UpgradeRequired, Refused],
                Due::Push(_) => &[Network, Unauthorized, TooLarge, ServerError, Refused],
                Due::StorePull | Due::StorePush(_) | Due::Mend(_) => &[Store],
                Due::Refresh => &[Network, Unauthorized],
                Due::Lead => &[OutOfOrder],
                Due::Upload => &[Network, Unauthorized, ServerError, Refused],
            };
            for &kind in failures {
                then(&|world| {
                    if *due == Due::Upload {
                        return world.fail_upload(kind);
                    }
                    let event = match due {
                        Due::Pull => Event::PullFailed(failure(kind)),
                        Due::Push(_) => Event::PushFailed(failure(kind)),
                        Due::Refresh => Event::TokenFailed(failure(kind)),
                        Due::Lead => Event::Leads(false),
                        _ => Event::StoreFailed(failure(kind)),
                    };
                    world.answer(due, event);
                });
            }
            if *due == Due::StorePull {
                then(&|world| {
                    world.memory.staging = true;
                    let stored = PullStored { memory: world.memory, moved: true, ..PullStored::default() };
                    world.answer(due, Event::PullStored(stored));
                });
                then(&|world| {
                    let stored = PullStored { memory: world.memory, ..PullStored::default() };
                    world.answer(due, Event::PullStored(stored));
                });
            }
            if matches!(due, Due::StorePush(_)) {
                then(&|world| {
                    world.parted = true;
                    let stored = PushStored { memory: world.memory, answered: 0, parted: true };
                    world.answer(due, Event::PushStored(stored));
                });
            }
        }
        if self.online {
            then(&|world| world.handle_event(Event::Offline));
        } else {
            then(&|world| world.handle_event(Event::Online));
        }
        if self.memory.waiting < 2 {
            then(&|world| {
                world.memory.waiting += 1;
                world.handle_event(Event::Wrote(world.memory));
            });
        }
        if self.memory.uploads == 0 && self.memory.waiting < 2 {
            then(&World::add_blob);
        }
        if self.timer.is_some() {
            then(&World::wake);
        }
        match self.stream {
            Some(false) => {
                then(&|world| world.open());
                then(&|world| world.close(true));
            }
            Some(true) => {
                then(&|world| world.handle_event(Event::Frame { repull: true }));
                then(&|world| world.close(false));
            }
            None => {}
        }
        all
    }

    /// A blob is added, and a mutation that names it.
    pub(super) fn add_blob(&mut self) {
        let memory = &mut self.memory;
        (memory.uploads, memory.untried_uploads) = (memory.uploads + 1, memory.untried_uploads + 1);
        (memory.waiting, memory.held) = (memory.waiting + 1, memory.held + 1);
        self.handle_event(Event::Wrote(self.memory));
    }

    pub(super) fn fail_upload(&mut self, kind: FailureKind) {
        self.upload_aborted = false;
        if kind == FailureKind::Refused {
            self.memory.untried_uploads = 0;
        }
        let ended = UploadEnded { memory: self.memory, failure: Some(failure(kind)) };
        self.answer(&Due::Upload, Event::UploadEnded(ended));
    }

    fn open(&mut self) {
        self.stream = Some(true);
        self.handle_event(Event::StreamOpened);
    }

    fn close(&mut self, unauthorized: bool) {
        self.stream = None;
        self.handle_event(Event::StreamClosed { unauthorized });
    }

    pub(super) fn wake(&mut self) {
        self.now = self.timer.take().map_or(self.now, |at| at.max(self.now));
        self.handle_event(Event::Timer);
    }

    /// What a well server and a well store answer.
    pub(super) fn well(&mut self, due: &Due) {
        let event = match due {
            Due::Lead => Event::Leads(true),
            Due::Pull => Event::PullAnswered,
            Due::StorePull => {
                (self.memory.has_cursor, self.memory.staging, self.memory.complete) = (true, false, true);
                Event::PullStored(PullStored {
                    memory: self.memory,
                    complete: true,
                    moved: true,
                    ..PullStored::default()
                })
            }
            Due::Push(1) if self.huge => Event::PushFailed(failure(FailureKind::TooLarge)),
            Due::Push(_) if self.huge => Event::PushFailed(failure(FailureKind::BadRequest)),
            Due::Push(_) if self.poison.is_some() => {
                Event::PushFailed(Failure { retry_after_ms: Some(1), ..failure(self.poison.expect("there is one")) })
            }
            Due::Push(_) if self.lacks => Event::PushFailed(failure(FailureKind::BlobMissing)),
            Due::Push(_) => Event::PushAnswered,
            Due::StorePush(_) if self.parted => {
                Event::PushStored(PushStored { memory: self.memory, answered: 0, parted: true })
            }
            Due::StorePush(most) => {
                let answered = (*most).min(self.memory.sendable());
                self.memory.waiting -= answered;
                Event::PushStored(PushStored { memory: self.memory, answered, parted: false })
            }
            Due::Mend(action) => {
                match action {
                    Action::Park(_) => {
                        self.memory.waiting -= 1;
                        self.memory.dead_letters += 1;
                        (self.huge, self.poison) = (false, None);
                    }
                    Action::UploadAnew(_) => {
                        self.lacks = false;
                        (self.memory.uploads, self.memory.held) = (self.memory.uploads + 1, self.memory.held + 1);
                    }
                    Action::Repair => {
                        (self.memory.has_cursor, self.memory.staging, self.parted) = (false, false, false);
                    }
                    _ => self.parted = false,
                }
                Event::Done(self.memory)
            }
            Due::Refresh => Event::TokenRefreshed,
            Due::Upload => {
                (self.memory.uploads, self.memory.untried_uploads, self.memory.held) = (0, 0, 0);
                Event::UploadEnded(UploadEnded { memory: self.memory, failure: None })
            }
        };
        self.answer(due, event);
    }

    /// One step in which all goes well; time passes only where nothing else is left to do.
    pub(super) fn heal(&mut self) {
        if self.aborted || self.upload_aborted {
            *self = self.nexts().swap_remove(0);
        } else if !self.online {
            self.handle_event(Event::Online);
        } else if let Some(due) = self.due.first().cloned() {
            self.well(&due);
        } else if self.stream == Some(false) {
            self.open();
        } else {
            self.wake();
        }
    }
}
