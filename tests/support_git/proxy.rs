//! A TCP proxy that breaks connections where it is told, or answers in the server's place.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, sync_channel},
    },
    time::Duration,
};

/// What to do with a connection.
#[derive(Clone, Debug)]
pub(crate) enum Cut {
    /// After so many octets have been passed on to the server.
    Sent(usize),
    /// After so many octets have been passed on to the client. What the client sends meanwhile is passed on.
    Received(usize),
    /// Nowhere.
    Never,
    /// Without the server: say this, then the second again and again, then close once the client has.
    Says(Vec<u8>, Vec<u8>),
    /// Without the server: say this, and read nothing.
    Deaf(Vec<u8>),
}

/// A running proxy.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    cut: Arc<Mutex<Cut>>,
    ended: Receiver<(usize, usize)>,
}

impl Proxy {
    /// Passes connections on to `port` of this host.
    pub(crate) fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let cut = Arc::new(Mutex::new(Cut::Never));
        let plan = cut.clone();
        let (end, ended) = sync_channel(1);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, cut, end) = (client.unwrap(), plan.lock().unwrap().clone(), end.clone());
                std::thread::spawn(move || {
                    let _ = end.send(connection(client, port, cut));
                });
            }
        });
        Proxy { port: own, cut, ended }
    }

    /// Sets where the next connections break.
    pub(crate) fn cut(&self, cut: Cut) {
        *self.cut.lock().unwrap() = cut;
    }

    /// Waits until the server has closed one connection more; returns how many octets went to it and came from it.
    pub(crate) fn ended(&self) -> (usize, usize) {
        self.ended.recv_timeout(Duration::from_secs(60)).unwrap()
    }
}

fn connection(mut client: TcpStream, port: u16, cut: Cut) -> (usize, usize) {
    if let Cut::Says(once, again) = cut {
        let mut listener = client.try_clone().unwrap();
        let heard = std::thread::spawn(move || std::io::copy(&mut listener, &mut std::io::sink()));
        let mut said = client.write_all(&once);
        while said.is_ok() && !again.is_empty() {
            said = client.write_all(&again);
        }
        let _ = client.shutdown(Shutdown::Write);
        return (heard.join().unwrap().unwrap_or_default() as usize, 0);
    }
    if let Cut::Deaf(once) = cut {
        client.write_all(&once).unwrap();
        std::thread::sleep(Duration::from_secs(20));
        return (0, 0);
    }
    let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
    }
    let (most_up, most_down) = match cut {
        Cut::Sent(most) => (most, usize::MAX),
        Cut::Received(most) => (usize::MAX, most),
        _ => (usize::MAX, usize::MAX),
    };
    std::thread::scope(|scope| {
        let up = scope.spawn(|| {
            let sent = pass(&client, &server, most_up);
            let _ = server.shutdown(Shutdown::Write);
            if sent >= most_up {
                let _ = client.shutdown(Shutdown::Both);
            }
            sent
        });
        let received = pass(&server, &client, most_down);
        let _ = client.shutdown(Shutdown::Both);
        // The server has come to its end when it closes.
        let mut sink = [0; 4096];
        while matches!((&server).read(&mut sink), Ok(n) if n > 0) {}
        (up.join().unwrap(), received)
    })
}

/// Passes at most `most` octets on, and returns how many.
fn pass(mut from: &TcpStream, mut to: &TcpStream, most: usize) -> usize {
    let mut buffer = [0; 4096];
    let mut passed = 0;
    while passed < most {
        let room = buffer.len().min(most - passed);
        match from.read(&mut buffer[..room]) {
            Ok(read) if read > 0 && to.write_all(&buffer[..read]).is_ok() => passed += read,
            _ => break,
        }
    }
    passed
}
