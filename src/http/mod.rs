//! HTTP for forges that tell of pushes, and for whoever asks what is served.
//!
//! One request a connection: [`Request::read`] makes sense of the octets of its head, [`route`] says what is wanted,
//! [`Hook`] checks a body piece by piece against its signature, [`Status`] tells what is served, [`Reply`] is what goes back.
//! All of that is octets and values; `serve` has the sockets. What a forge writes into a hook's body is not read: that
//! somebody pushed is reason enough to look at the remote, which alone says what is there.

mod hook;
mod request;
mod status;

pub use hook::{Denial, Hook};
pub use request::{MOST_BODY, MOST_HEAD, Reply, Request};
pub use status::Status;

/// What a request wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish<'r> {
    /// To tell of a push.
    Hook,
    /// To know what is served: the zones behind a name, or from the first.
    Status(Option<&'r str>),
    /// To know whether anything is served.
    Health,
}

/// Makes a wish of what a query says `after` is.
type Place = for<'r> fn(Option<&'r str>) -> Wish<'r>;

/// What there is besides hooks, which may have any path: forges let people choose.
const PLACES: &[(&str, Place)] = &[("/", |after| Wish::Status(after)), ("/healthz", |_| Wish::Health)];

/// Returns what a request wants.
///
/// # Errors
///
/// The reply to a request that cannot be had: there is nothing at its path, or nothing is done that way.
pub fn route<'r>(request: &Request<'r>) -> Result<Wish<'r>, Reply> {
    match request.method {
        "POST" => Ok(Wish::Hook),
        "GET" | "HEAD" => {
            let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
            let after = query.split('&').find_map(|part| part.strip_prefix("after="));
            match PLACES.iter().find(|(place, _)| *place == path) {
                Some((_, wish)) => Ok(wish(after)),
                None => Err(Reply::text(404, "there is nothing here; GET / tells what is served, POST takes hooks")),
            }
        }
        _ => Err(Reply::text(405, "GET tells what is served, POST takes hooks").with("Allow", "GET, HEAD, POST")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wish_has_its_place() {
        let wish = |method: &'static str, target: &'static str| route(&Request::for_test(method, target));
        assert_eq!(wish("GET", "/"), Ok(Wish::Status(None)));
        assert_eq!(wish("HEAD", "/?x=1&after=a.example"), Ok(Wish::Status(Some("a.example"))));
        assert_eq!(wish("GET", "/healthz"), Ok(Wish::Health));
        assert_eq!(wish("POST", "/"), Ok(Wish::Hook));
        assert_eq!(wish("POST", "/hooks/dns"), Ok(Wish::Hook));
        assert_eq!(wish("GET", "/etc/passwd").unwrap_err().status(), 404);
        let refused = wish("DELETE", "/").unwrap_err();
        assert_eq!(refused.status(), 405);
        assert!(String::from_utf8(refused.octets(true)).unwrap().contains("\r\nAllow: GET, HEAD, POST\r\n"));
    }
}
