//! Which regions the master has given us, and when to ask again for the others (RFC 2741 §7.1.4).
//!
//! A region that is taken (263) is asked for at its takeover priority, where it has one, and then again after 1, 2, 4 … 30 s.
//! One that overtook another subagent's is served at the takeover priority and goes on asking for the configured one. It
//! then holds both places: a third subagent would otherwise find the configured one free, be registered there and never be
//! asked. Nothing is ever unregistered (one that fails costs snmpd its lookup cache); the end of the session does it.

use crate::agentx::{config::Region, pdu::ErrorCode};
use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

const MAX_RETRY: u32 = 30;

#[derive(Debug)]
pub(super) struct Regions(Vec<Registration>);

#[derive(Debug, Default)]
struct Registration {
    state: State,
    /// Registered at one priority at least: the master asks us.
    served: bool,
    tries: u32,
    /// The next try goes out with the takeover priority.
    takeover: bool,
    told: Option<ErrorCode>,
    jitter: RandomState,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Todo,
    Pending,
    /// Refused, or served at the takeover priority only; the next try.
    Again(Instant),
    /// Registered at the configured priority.
    Done,
}

impl Regions {
    pub(super) fn new(count: usize) -> Self {
        Self(std::iter::repeat_with(Registration::default).take(count).collect())
    }

    /// Whether the master asks us for all of them.
    pub(super) fn all_served(&self) -> bool {
        self.0.iter().all(|r| r.served)
    }

    /// Whether each has got an answer.
    pub(super) fn all_decided(&self) -> bool {
        self.0.iter().all(|r| r.served || !matches!(r.state, State::Todo | State::Pending))
    }

    /// When the next one is to be tried again.
    pub(super) fn next_try(&self) -> Option<Instant> {
        self.0.iter().filter_map(|r| if let State::Again(at) = r.state { Some(at) } else { None }).min()
    }

    /// Takes one that is due: its number, the priority to ask for, and what it is.
    pub(super) fn take_due<'r>(&mut self, regions: &'r [Region], now: Instant) -> Option<(usize, u8, &'r Region)> {
        let due = |r: &Registration| match r.state {
            State::Todo => true,
            State::Again(at) => at <= now,
            State::Pending | State::Done => false,
        };
        let number = self.0.iter().position(due)?;
        let (registration, region) = (self.0.get_mut(number)?, regions.get(number)?);
        registration.state = State::Pending;
        let takeover = region.takeover.filter(|_| registration.takeover);
        Some((number, takeover.unwrap_or(region.priority), region))
    }

    /// The master registered one. True if it is served from now on and was not before.
    pub(super) fn accepted(&mut self, number: usize, regions: &[Region], priority: u8, now: Instant) -> bool {
        let (Some(registration), Some(region)) = (self.0.get_mut(number), regions.get(number)) else { return false };
        registration.takeover = false;
        registration.tries = 0;
        if priority == region.priority {
            registration.state = State::Done;
        } else {
            registration.again(now);
        }
        !std::mem::replace(&mut registration.served, true)
    }

    /// The master refused one. True if that is news.
    pub(super) fn refused(&mut self, number: usize, regions: &[Region], error: ErrorCode, now: Instant) -> bool {
        let (Some(registration), Some(region)) = (self.0.get_mut(number), regions.get(number)) else { return false };
        let taken = error == ErrorCode::DUPLICATE_REGISTRATION;
        if taken && region.takeover.is_some() && !registration.served && !registration.takeover {
            registration.takeover = true;
            registration.state = State::Todo;
            return false;
        }
        registration.takeover = false;
        registration.again(now);
        !registration.served && registration.told.replace(error) != Some(error)
    }
}

impl Registration {
    fn again(&mut self, now: Instant) {
        let delay = Duration::from_secs(u64::from((1 << self.tries.min(5)).min(MAX_RETRY)));
        self.tries += 1;
        // Up to a fifth less, so that two subagents that wait for one place do not ask in step.
        let less = self.jitter.hash_one(self.tries) % 1000;
        self.state = State::Again(now + delay - delay.mul_f64(less as f64 / 5000.0));
    }
}
