//! HTTP for forges that announce pushes, and for clients that ask what is served.
//!
//! One request per connection: [`Request::read`] parses the octets of its head, [`route`] returns what is wanted,
//! [`Hook`] verifies a body piece by piece, [`Status`] describes what is served, and [`Reply`] is the response. All of
//! this works on octets and values; `serve` has the sockets. The contents of a hook's body are not read: a push is
//! reason enough to poll the remote, and only the remote is trusted to say what is there.

mod hook;
mod request;
mod status;

pub use hook::{Denial, Hook};
pub use request::{MOST_BODY, MOST_HEAD, Reply, Request};
pub use status::Status;

/// The purpose of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish<'r> {
    /// To announce a push.
    Hook,
    /// To get what is served: the zones after a name, or from the first one.
    Status(Option<&'r str>),
    /// To check whether anything is served.
    Health,
}

/// A function that returns the wish for the `after` parameter of a query.
type Route = for<'r> fn(Option<&'r str>) -> Wish<'r>;

/// The paths other than those of hooks. Hooks may have any path, because forges let users choose it.
const ROUTES: &[(&str, Route)] = &[("/", |after| Wish::Status(after)), ("/healthz", |_| Wish::Health)];

/// Returns the purpose of a request.
///
/// # Errors
///
/// The reply to a request that cannot be carried out: there is nothing at its path, or the method is not supported.
pub fn route<'r>(request: &Request<'r>) -> Result<Wish<'r>, Reply> {
    match request.method {
        "POST" => Ok(Wish::Hook),
        "GET" | "HEAD" => {
            let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
            let after = query.split('&').find_map(|part| part.strip_prefix("after="));
            match ROUTES.iter().find(|(route, _)| *route == path) {
                Some((_, wish)) => Ok(wish(after)),
                None => Err(Reply::text(404, "not found; GET / shows what is served, POST accepts hooks")),
            }
        }
        _ => Err(Reply::text(405, "method not allowed; GET shows what is served, POST accepts hooks")
            .with("Allow", "GET, HEAD, POST")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_routed_by_method_and_path() {
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
