//! How a call gets its credentials: once for each attempt, when there is a link for it and before it has a stream. What was
//! given for one link is not used on another, which may come much later.
//!
//! A plugin is the user's code and may block. So it is asked by the channel's [`Crew`](crate::reactor::Crew), never by the
//! thread that found the link, which may be a poller, or a starter that is not to wait, or a caller whose deadline the plugin
//! does not know. Meanwhile the call is set aside: it neither queues nor has a stream, and its deadline, its cancel and the
//! channel's close end it as always. The answer brings it back: to a link at once, or to the queue.
//!
//! No lock is held while a plugin runs.

use std::sync::{Arc, Weak};

use crate::credentials::{AuthMetadataReply, PANICKED, Part, checked};
use crate::link::Link;
use crate::metadata::Metadata;
use crate::reactor::user;
use crate::status::Status;

use super::state::{Given, Held, Proof};
use super::{Auth, Core};

impl Core {
    /// The metadata to send on this link. `None`: it is asked for, and the call comes back with it; or it is over.
    pub(super) fn proof(
        &self,
        held: &Arc<Held>,
        auth: &Arc<Auth>,
        link: &Arc<Link>,
    ) -> Option<Metadata> {
        {
            let mut state = self.state.lock();
            match state.proof()? {
                Proof::Asking(_) => return None,
                Proof::Given(given) if std::ptr::eq(given.on.as_ptr(), &**link) => {
                    return Some(given.metadata.clone());
                }
                // Not yet the number of any work. What was given for a link that is lost may be as old as that.
                proof => *proof = Proof::Asking(0),
            }
        }
        let this = self.myself()?;
        held.source.set_aside(this.clone());
        Asking {
            call: Arc::downgrade(&this),
            auth: auth.clone(),
            next: 0,
            given: Given { metadata: held.launch.metadata.clone(), on: Arc::downgrade(link) },
        }
        .have_asked(&this, held);
        None
    }

    /// Its credentials are there, or there are none.
    fn answered(&self, answer: Result<Given, Status>) {
        let given = match answer {
            Ok(given) => given,
            Err(status) => return self.turn_away(status),
        };
        let held = {
            let mut state = self.state.lock();
            let Some(proof) = state.proof() else { return };
            *proof = Proof::Given(Box::new(given));
            state.held().cloned()
        };
        let Some(held) = held else { return };
        held.source.come_back(self);
        self.set_out(&*held.source);
    }

    fn held(&self) -> Option<Arc<Held>> {
        self.state.lock().held().cloned()
    }
}

/// One attempt's way through the credentials.
struct Asking {
    /// What nobody waits for is not asked for.
    call: Weak<Core>,
    auth: Arc<Auth>,
    /// How many of them have been asked.
    next: usize,
    given: Given,
}

impl Asking {
    /// Goes on on a thread where a plugin may be asked. Never blocks.
    fn have_asked(self, call: &Core, held: &Held) {
        let crew = held.source.crew();
        match crew.enter(Box::new(move || self.go_on())) {
            Ok(number) => {
                let mut state = call.state.lock();
                match state.proof() {
                    // It may have been asked and answered already.
                    Some(proof) if matches!(proof, Proof::Asking(_)) => {
                        *proof = Proof::Asking(number)
                    }
                    Some(_) => {}
                    None => {
                        drop(state);
                        drop(crew.leave(number));
                    }
                }
            }
            Err(error) => call.turn_away(Status::resource_exhausted(format!(
                "no thread could be started to ask for the call credentials: {error}"
            ))),
        }
    }

    /// Asks one after the other. Runs code of the user's.
    fn go_on(mut self) {
        let auth = self.auth.clone();
        for part in auth.parts().skip(self.next) {
            // It is over: nobody wants to know.
            if self.live_call().is_none() {
                return;
            }
            self.next += 1;
            let answer = match part {
                Part::Fixed(metadata) => Ok(metadata.clone()),
                Part::Asked(plugin) => {
                    let ask = || plugin.metadata(auth.context());
                    user::run(format_args!("a plugin of call credentials"), ask)
                        .unwrap_or_else(|_| Err(Status::unavailable(PANICKED)))
                }
                Part::Told(plugin) => {
                    let context = auth.context().clone();
                    let reply = AuthMetadataReply::new(Box::new(move |answer| self.told(answer)));
                    let ask = || plugin.ask(context, reply);
                    // Its reply has told that it panicked, unless it was given away before.
                    let _ = user::run(format_args!("a plugin of call credentials"), ask);
                    return;
                }
            };
            if let Err(status) = self.take(answer) {
                return self.end(Err(status));
            }
        }
        self.end(Ok(()));
    }

    /// A plugin has answered later, on a thread of the user's: no other is asked there.
    fn told(mut self, answer: Result<Metadata, Status>) {
        if let Err(status) = self.take(answer) {
            return self.end(Err(status));
        }
        let asks = |part: &Part| !matches!(part, Part::Fixed(_));
        if !self.auth.parts().skip(self.next).any(asks) {
            return self.go_on();
        }
        let Some(call) = self.live_call() else { return };
        if let Some(held) = call.held() {
            self.have_asked(&call, &held);
        }
    }

    fn take(&mut self, answer: Result<Metadata, Status>) -> Result<(), Status> {
        self.given.metadata.extend(&checked(answer)?);
        Ok(())
    }

    fn live_call(&self) -> Option<Arc<Core>> {
        self.call.upgrade().filter(|call| call.met_status().is_none())
    }

    fn end(self, answer: Result<(), Status>) {
        if let Some(call) = self.live_call() {
            call.answered(answer.map(|()| self.given));
        }
    }
}
