//! The network thread: it owns the device and outranks every other thread.
//!
//! One round takes a bounded burst of frames, serves what responders serve, hands the rest to the stack, lets the stack
//! send, and shows the device everything at once: at most one doorbell per queue and burst. Interrupts are off while
//! there is work; they are asked for last, and the rings are looked at once more after that, so nothing is missed.
//! With all transmit buffers on their way no frame is taken either: the device holds back what arrives, as it should.
//! Only this thread touches the rings. Applications change sockets under the stack's lock and signal it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicBool, Ordering};

use super::blocking::NET;
use super::discover::{NetError, take_network};
use super::frame::{Link, write_announcement};
use super::responder::{Responders, UdpResponder};
use super::stack::{Egress, Machine, Nanos, Stack};
use crate::sync::Lock;
use crate::thread::{Event, Priority, spawn};
use crate::virtio::net::{Nic, Transmit};
use crate::{entropy, fd, memory, time};

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

/// The network thread's reason to wake: an interrupt, or [`call`].
static EVENT: Event = Event::new();
/// Whether an interrupt of the device ever arrived.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static CALLED: AtomicBool = AtomicBool::new(false);
static REGISTERED: Lock<Vec<(u16, Box<dyn UdpResponder>)>> = Lock::new(Vec::new());

/// How this machine is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetConfig {
    /// Our IPv4 address.
    pub address: Ipv4Addr,
    /// The length of the prefix of our network, in bits.
    pub prefix: u8,
    /// The router to everywhere else.
    pub gateway: Option<Ipv4Addr>,
}

/// Brings the network up and starts the network thread.
///
/// # Errors
///
/// [`NetError`] says what is missing; nothing was started then.
pub fn start(config: NetConfig) -> Result<(), NetError> {
    let NetConfig { address, prefix, gateway } = config;
    // The hardware address is not known yet, and does not matter for these checks.
    let link = Link { hardware: [0; 6], address, prefix, mtu: 0 };
    let host = |address: Ipv4Addr| {
        let octets = address.octets();
        octets[0] != 0 && octets[0] != 127 && octets[0] < 224 && !link.is_broadcast(address)
    };
    if prefix > 32 || !host(address) {
        return Err(NetError::Address);
    }
    if gateway.is_some_and(|gateway| !host(gateway) || gateway == address || !link.is_local(gateway)) {
        return Err(NetError::Gateway);
    }
    let nic = Nic::new(take_network().ok_or(NetError::NoDevice)?).map_err(NetError::Device)?;
    let link = Link { hardware: nic.hardware, mtu: nic.mtu, ..link };
    let limit = (memory::total() / 8).clamp(4 << 20, 64 << 20);
    let machine = Machine { clock: time::monotonic, random: entropy::fill };
    *NET.lock() = Some(Stack::new(link, gateway, limit, machine));
    spawn("network", Priority::Network, STACK_BYTES, move || run(nic, link));
    Ok(())
}

/// Makes `responder` answer the datagrams for UDP port `port`, in place of an earlier one.
///
/// It may be called before [`start`]. A socket bound to the port gets what the responder declines.
pub fn serve_udp(port: u16, responder: Box<dyn UdpResponder>) {
    REGISTERED.lock().push((port, responder));
    call();
}

/// Tells the network thread to look at the device; its interrupt handlers call it.
pub(super) fn interrupted() {
    INTERRUPTED.store(true, Ordering::Relaxed);
    EVENT.signal();
}

/// Tells the network thread that sockets have something to send.
pub(super) fn call() {
    CALLED.store(true, Ordering::Release);
    EVENT.signal();
}

fn run(nic: Nic, link: Link) -> ! {
    let Nic { mut receiver, mut transmitter, .. } = nic;
    let mut responders = Responders::default();
    if let Some(out) = transmitter.buffer()
        && let Some(length) = write_announcement(out, &link)
    {
        transmitter.send(length);
    }
    let never = Event::new();
    let mut deadline = None;
    let mut rested = time::monotonic();
    let mut trust = LOOK;
    loop {
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
            let frame = receiver.frame(index, length);
            if !responders.serve(frame, &link, &mut transmitter)
                && let Some(stack) = stack.get_or_insert_with(|| NET.lock()).as_mut()
            {
                stack.receive(frame, &mut transmitter);
            }
            receiver.release(index);
        }
        receiver.flush();

        let now = time::monotonic();
        let due = deadline.is_some_and(|deadline| deadline <= now);
        let mut egress = Egress::Done;
        if (stack.is_some() || called || due)
            && let Some(stack) = stack.get_or_insert_with(|| NET.lock()).as_mut()
        {
            stack.after_receiving();
            egress = stack.transmit(&mut transmitter);
            // A stack that wants to act at once but did not must not keep everybody else from running.
            let soon = now + RETRY;
            deadline = match egress {
                Egress::Exhausted => Some(soon),
                Egress::Done | Egress::More => stack.deadline().map(|at| at.max(soon)),
            };
            stack.wake_ready();
            fd::changed();
        }
        drop(stack);
        transmitter.flush();
        transmitter.reclaim();
        let idle = if transmitter.buffer().is_none() {
            !transmitter.enable_interrupts()
        } else {
            taken < BURST && egress != Egress::More && !receiver.enable_interrupts()
        };
        if idle {
            let unproven = !INTERRUPTED.load(Ordering::Relaxed);
            trust = if taken > 0 || unproven { LOOK } else { (2 * trust).min(LOOK_IDLE) };
            let look = now + trust;
            if !EVENT.wait(Some(deadline.map_or(look, |deadline| deadline.min(look)))) && time::monotonic() >= look {
                receiver.nudge();
                transmitter.nudge();
            }
            rested = time::monotonic();
        } else if now.saturating_sub(rested) > STINT {
            never.wait(Some(now + PAUSE));
            rested = time::monotonic();
        }
    }
}
