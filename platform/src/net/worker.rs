//! The network thread: it owns the device and outranks every other thread.
//!
//! One round takes a bounded burst of frames, serves what responders serve, hands the rest to the stack, lets the stack
//! send, and shows the device everything at once: at most one doorbell per queue and burst. Interrupts are off while
//! there is work; they are asked for last, and the rings are looked at once more after that, so nothing is missed.
//! With all transmit buffers on their way no frame is taken either: the device holds back what arrives, as it should.
//! Only this thread touches the rings. Applications change sockets under the stack's lock and signal it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use super::configure::{Configuration, NetConfig, board};
use super::error::NetError;
use super::link::Link;
use super::machine::{Machine, Nanos};
use super::responder::{Responders, UdpResponder};
use super::shared::{CALLED, EVENT, NET, call};
use super::stack::{Egress, Stack};
use super::vlan::{Tagging, untag};
use crate::base::lock::Lock;
use crate::drivers::discover::take_nic;
use crate::drivers::entropy;
use crate::drivers::generation::{self, Generation};
use crate::drivers::nic::{Features, Link as _, Nic, Receive, Transmit, TransmitQueue, on_interrupt};
use crate::kernel::thread::{Event, Priority, spawn};
use crate::kernel::{fd, time};
use crate::memory;

/// The most frames taken in a round.
const BURST: usize = 64;
/// The shortest time after which the stack is asked to send again unless something happens, in nanoseconds.
const RETRY: Nanos = 1_000_000;
/// How long the thread works without a pause, and how long a pause is, in nanoseconds: a flood of packets leaves the
/// other threads a twentieth of the processor, or they could not even read the zones anew. The receive ring holds what
/// arrives in a pause.
const STINT: Nanos = 20_000_000;
const PAUSE: Nanos = 1_000_000;
/// How long the thread trusts the device to call, in nanoseconds: the first after work, and for ever while no interrupt has
/// come yet, so that on a machine whose interrupt is led wrongly the network is slow rather than dead. Without work the
/// time doubles up to the second. What is looked for are notifications that got lost either way: an emulator that
/// reorders a store and a load between its threads loses one in millions, and then both sides wait for each other.
const LOOK: Nanos = 10_000_000;
const LOOK_IDLE: Nanos = 1_000_000_000;
const STACK_BYTES: usize = 64 << 10;

/// Whether an interrupt of the device ever arrived.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static REGISTERED: Lock<Vec<(u16, Box<dyn UdpResponder>)>> = Lock::new(Vec::new());

/// Brings the network up and starts the network thread.
///
/// # Errors
///
/// [`NetError`] says what is missing; nothing was started then.
pub fn start(config: NetConfig) -> Result<(), NetError> {
    config.check()?;
    on_interrupt(interrupted);
    let nic = take_nic().ok_or(NetError::NoDevice)?.map_err(NetError::Device)?;
    let Features { hardware, mtu } = nic.features();
    let link = Link::new(hardware, mtu);
    let limit = (memory::total() / 8).clamp(4 << 20, 64 << 20);
    // Before the secrets: a resumption in between is noticed by the first round.
    let generation = generation::current();
    let machine = Machine { clock: time::monotonic, random: entropy::fill };
    let mut stack = Stack::new(link.clone(), limit, machine);
    let mut configuration = Configuration::new(&config, &link, machine);
    // What is known already holds from the beginning: sockets may be bound as soon as this returns.
    if let Some(setting) = configuration.changed() {
        stack.configure(&setting);
    }
    configuration.news().into_iter().for_each(board::post);
    *NET.lock() = Some(stack);
    spawn("network", Priority::Network, STACK_BYTES, move || run(nic, configuration, config.vlan, generation));
    Ok(())
}

/// Makes `responder` answer the datagrams for UDP port `port`, in place of an earlier one.
///
/// It may be called before [`start`]. A socket bound to the port gets what the responder declines.
pub fn serve_udp(port: u16, responder: Box<dyn UdpResponder>) {
    REGISTERED.lock().push((port, responder));
    call();
}

/// Has the network thread look at the card, whose interrupt handler calls this.
fn interrupted() {
    INTERRUPTED.store(true, Ordering::Relaxed);
    EVENT.signal();
}

/// What the network thread works with.
struct Worker<N: Nic> {
    receiver: N::Receiver,
    transmitter: Tagging<N::Transmitter>,
    vlan: Option<u16>,
    state: N::Link,
    configuration: Configuration,
    responders: Responders,
    link: Link,
    /// When the stack wants to act next.
    deadline: Option<Nanos>,
    /// The generation of the machine that the stack's secrets are of.
    generation: Generation,
}

fn run<N: Nic>(nic: N, configuration: Configuration, vlan: Option<u16>, generation: Generation) -> ! {
    let Features { hardware, mtu } = nic.features();
    let (receiver, transmitter, state) = nic.into_parts();
    let mut worker = Worker::<N> {
        receiver,
        transmitter: Tagging::new(transmitter, vlan),
        vlan,
        state,
        configuration,
        responders: Responders::default(),
        link: Link::new(hardware, mtu),
        deadline: None,
        generation,
    };
    worker.configuration.link(worker.state.is_up());
    let mut looked = time::monotonic();
    let never = Event::new();
    let mut rested = looked;
    let mut trust = LOOK;
    // The first round takes over the configuration.
    CALLED.store(true, Ordering::Release);
    loop {
        let now = time::monotonic();
        if now.saturating_sub(looked) >= LOOK_IDLE {
            looked = now;
            worker.look_at_link();
        }
        let Round { taken, idle } = worker.round();
        // Read again: a round may take longer than a pause.
        let now = time::monotonic();
        if idle {
            let unproven = !INTERRUPTED.load(Ordering::Relaxed);
            trust = if taken > 0 || unproven { LOOK } else { (2 * trust).min(LOOK_IDLE) };
            let look = now + trust;
            let configuration = worker.configuration.deadline().map(|at| at.max(now + RETRY));
            let until = worker.deadline.into_iter().chain(configuration).fold(look, Nanos::min);
            if !EVENT.wait(Some(until)) && time::monotonic() >= look {
                worker.receiver.nudge();
                worker.transmitter.inner.nudge();
            }
            rested = time::monotonic();
        } else if let Some(until) = pause(rested, now) {
            never.wait(Some(until));
            rested = time::monotonic();
        }
    }
}

/// Returns until when to pause at the end of a round, `now`, if the thread has worked long enough since `rested`.
fn pause(rested: Nanos, now: Nanos) -> Option<Nanos> {
    (now.saturating_sub(rested) > STINT).then_some(now + PAUSE)
}

/// What a round came to.
struct Round {
    /// The frames taken.
    taken: usize,
    /// Whether there is nothing left to do.
    idle: bool,
}

impl<N: Nic> Worker<N> {
    fn round(&mut self) -> Round {
        self.follow_generation();
        let Self { receiver, transmitter, configuration, responders, link, .. } = self;
        let called = CALLED.swap(false, Ordering::Acquire);
        if called {
            for (port, responder) in core::mem::take(&mut *REGISTERED.lock()) {
                responders.register(port, responder);
            }
        }
        receiver.suppress_interrupts();
        let mut stack = None;
        let mut taken = 0;
        while taken < BURST
            && transmitter.buffer().is_some()
            && let Some((index, length)) = receiver.take()
        {
            taken += 1;
            if let Some(frame) = untag(receiver.frame(index, length), self.vlan)
                && !responders.serve(frame, link, transmitter)
                && !configuration.receive(frame)
                && let Some(stack) = stack.get_or_insert_with(|| NET.lock()).as_mut()
            {
                stack.receive(frame, transmitter);
            }
            receiver.release(index);
        }
        receiver.flush();

        let now = time::monotonic();
        let due = self.deadline.is_some_and(|deadline| deadline <= now);
        let mut egress = Egress::Done;
        configuration.transmit(transmitter);
        let setting = configuration.changed();
        if (stack.is_some() || called || due || setting.is_some())
            && let Some(stack) = stack.get_or_insert_with(|| NET.lock()).as_mut()
        {
            if let Some(setting) = setting {
                stack.configure(&setting);
            }
            if stack.link != *link {
                *link = stack.link.clone();
            }
            stack.after_receiving();
            egress = stack.transmit(transmitter);
            // A stack that wants to act at once but did not must not keep everybody else from running.
            let soon = now + RETRY;
            self.deadline = match egress {
                Egress::Exhausted => Some(soon),
                Egress::Done | Egress::More => stack.deadline().map(|at| at.max(soon)),
            };
            stack.wake_ready();
            fd::changed();
        }
        drop(stack);
        configuration.news().into_iter().for_each(board::post);
        transmitter.inner.flush();
        transmitter.inner.reclaim();
        let idle = if transmitter.buffer().is_none() {
            !transmitter.inner.enable_interrupts()
        } else {
            taken < BURST && egress != Egress::More && !receiver.enable_interrupts()
        };
        Round { taken, idle }
    }

    /// Has the stack draw its secrets anew if the machine was resumed, before anything is received or sent.
    fn follow_generation(&mut self) {
        let generation = generation::current();
        if generation != self.generation {
            let copied = generation.copied != self.generation.copied;
            self.generation = generation;
            if let Some(stack) = NET.lock().as_mut() {
                stack.resumed(copied);
            }
            // The stack may have something to send.
            CALLED.store(true, Ordering::Release);
        }
    }

    /// Asks the device whether its cable is in. It would call, but a look a second is simpler and soon enough.
    fn look_at_link(&mut self) {
        if self.state.has_changed() {
            self.configuration.link(self.state.is_up());
            // What the configuration wants to send now is sent with the next round.
            CALLED.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However long rounds take, other threads get a whole pause after each stint.
    #[test]
    fn pauses_are_whole() {
        for round in [1, PAUSE / 2, PAUSE, 2 * PAUSE, STINT, 10 * STINT] {
            let (mut now, mut rested, mut paused) = (1_000, 1_000, 0);
            for _ in 0..1_000 {
                now += round;
                if let Some(until) = pause(rested, now) {
                    assert_eq!(until, now + PAUSE);
                    paused += until - now;
                    (now, rested) = (until, until);
                }
            }
            let worked = 1_000 * round;
            assert!(paused >= worked / (STINT + 2 * round) * PAUSE, "{round}: {paused} of {worked}");
        }
    }
}
