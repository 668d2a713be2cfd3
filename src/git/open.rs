//! Opening a conversation with a git service: connects by the remote's scheme and requests a service.

use super::{
    Deadline, Error, Kind, Protocol, Timeouts, Upstream, http, ssh,
    transport::Transport,
    wire::{Service, Wire, dial},
};
use gix_packetline::blocking_io::encode::data_to_write;

/// Connects to the remote and requests `service`; the service's greeting comes next in [`Transport::line`].
pub(super) fn open(
    upstream: &Upstream,
    service: Service,
    protocol: Protocol,
    timeouts: Timeouts,
    deadline: Deadline,
) -> Result<Transport, Error> {
    let doing = match service {
        Service::UploadPack => "opening the repository",
        Service::ReceivePack => "opening the repository for a push",
    };
    let remote = &upstream.remote;
    let wire: Box<dyn Wire> = match remote.kind() {
        Kind::Git => Box::new(dial(upstream, remote.host(), remote.port(), timeouts, deadline)?),
        Kind::Http | Kind::Https => Box::new(http::open(upstream, service, protocol, timeouts, deadline)?),
        Kind::Ssh => Box::new(ssh::open(upstream, service, timeouts, deadline)?),
    };
    let mut transport = Transport::over(wire, doing, timeouts, deadline);
    match remote.kind() {
        Kind::Git => {
            let version = match protocol {
                Protocol::V0 => "",
                Protocol::V1 => "\0version=1\0",
                Protocol::V2 => "\0version=2\0",
            };
            let (program, path, host) = (service.program(), remote.program_path(), remote.endpoint());
            let mut request = Vec::new();
            let line = format!("{program} {path}\0host={host}\0{version}");
            data_to_write(line.as_bytes(), &mut request).map_err(|error| transport.lost(error))?;
            transport.send(&request)?;
        }
        Kind::Http | Kind::Https => transport.skip_announcement(service)?,
        Kind::Ssh => {}
    }
    Ok(transport)
}
