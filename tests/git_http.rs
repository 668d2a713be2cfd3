//! Git over HTTP and HTTPS, with nginx and git's own backend: fetches, pushes, logins, certificates.

mod support_git;

use std::time::Duration;

use support_git::{
    Server, Work,
    drafts::{assert_sound, begin, noise, one_change, paths, push, zone_text},
};
use zonule::git::{
    Access, Deadline, Error, Fate, Fetched, History, Limits, ObjectId, Protocol, PushError, Remote, Repository, Secret,
    Timeouts, Trust, Upstream,
};
use zonule_harness::{Certificate, Site, USERS, Validity, Web};

const HERE: &str = "IP:127.0.0.1,DNS:localhost";

/// A git server's repositories, and a web server for them with a certificate of its own authority.
struct Served {
    server: Server,
    work: Work,
    web: Web,
    authority: Certificate,
    certificate: Certificate,
}

impl Served {
    fn start(users: bool) -> Self {
        let (server, work) = begin();
        server.git("zones.git", &["config", "http.receivepack", if users { "false" } else { "true" }]);
        if users {
            // Whoever nginx names may push, if nothing is said.
            server.git("zones.git", &["config", "--unset", "http.receivepack"]);
        }
        let authority = Certificate::authority(&server.path(""), "authority").unwrap();
        let certificate = authority.issue("here", HERE, Validity::Now).unwrap();
        let site = Site { certificate: Some(certificate.clone()), users, ..Site::default() };
        let web = Web::start(&server.path(""), &site).unwrap();
        Served { server, work, web, authority, certificate }
    }

    fn upstream(&self, login: &str, path: &str) -> Upstream {
        let mut upstream = Upstream::from(Remote::parse(&self.web.url("127.0.0.1", login, path)).unwrap());
        upstream.access.tls = trusting(&self.authority);
        upstream
    }

    fn repository(&self) -> Repository {
        Repository::new(self.upstream("", "zones.git"), Limits::default())
    }

    /// The error of a fetch that trusts as told.
    fn refusal(&self, tls: Trust) -> String {
        let mut upstream = self.upstream("", "zones.git");
        upstream.access.tls = tls;
        fetch_error(upstream)
    }
}

fn trusting(authority: &Certificate) -> Trust {
    Trust::parse_authorities(&authority.base64(true).unwrap()).unwrap()
}

fn pinning(certificate: &Certificate) -> Trust {
    Trust::parse_fingerprints(&certificate.fingerprint().unwrap()).unwrap()
}

fn fetch_error(upstream: Upstream) -> String {
    let error = Repository::new(upstream, Limits::default()).fetch().unwrap_err().to_string();
    assert!(!error.contains("s3cret") && !error.contains('\n'), "{error}");
    error
}

fn assert_has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

#[test]
fn everything_git_does_is_done_over_https() {
    let served = Served::start(false);
    let (server, work, web) = (&served.server, &served.work, &served.web);
    for (seed, protocol) in (7..).zip([Protocol::V0, Protocol::V1, Protocol::V2]) {
        let mut repository = served.repository().with_protocol(protocol);
        let first = repository.fetch().unwrap();
        assert!(matches!(first, Fetched::Moved { from: None, .. }), "{first:?}");
        assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged);

        // Incremental: what was there is not sent again.
        work.write("a", format!("{protocol:?}\n"));
        work.write("large", noise(seed, 300_000));
        work.push("large");
        assert!(matches!(repository.fetch().unwrap(), Fetched::Moved { pack_bytes: 300_000.., .. }));
        work.write("b", format!("{protocol:?}\n"));
        let tip: ObjectId = work.push("small").parse().unwrap();
        let Fetched::Moved { pack_bytes, commit, .. } = repository.fetch().unwrap() else { panic!("not moved") };
        assert!(pack_bytes < 2000 && commit == tip, "{pack_bytes}");
        assert_sound(server, &repository);

        // A push, and what becomes of one that comes too late.
        let base = repository.commit().unwrap().id;
        let draft = one_change(&repository, &format!("pushed by {protocol:?}\n"));
        let mut other = served.repository().with_protocol(protocol);
        other.fetch().unwrap();
        let late = one_change(&other, "late\n");
        push(&mut repository, &draft).unwrap();
        assert_sound(server, &repository);
        assert!(matches!(push(&mut other, &late), Err(PushError::Stale)));
        assert_eq!(other.fate(draft.tip(), base).unwrap(), Fate::Taken);
        assert_eq!(other.fate(late.tip(), base).unwrap(), Fate::Lost);
        work.git(&["pull", "-q", "--rebase", "origin", "main"]);

        let depth = 3;
        let history = History::fetch_with(
            protocol,
            repository.upstream(),
            draft.tip(),
            depth,
            &Limits::default(),
            Timeouts::default(),
        );
        assert_eq!(history.unwrap().commits().len(), depth as usize);
    }
    assert!(web.connections() < web.answered(200, ""), "no connection was used twice");
}

#[test]
fn a_large_repository_comes_and_goes_whole() {
    let served = Served::start(false);
    for zone in 0..50 {
        served.work.write(&format!("zone{zone}.example"), zone_text(zone, 100));
    }
    served.work.write("noise", noise(1, 2 << 20));
    served.work.push("large");
    let mut repository = served.repository();
    let Fetched::Moved { pack_bytes, .. } = repository.fetch().unwrap() else { panic!("not moved") };
    assert!(pack_bytes > 2 << 20, "{pack_bytes}");
    assert_eq!(paths(&repository).len(), 55);
    // Larger than what any socket holds, and than what nginx keeps in memory.
    let mut draft = repository.draft().unwrap();
    let changes = [("new".to_string(), Some(noise(2, 3 << 20)))].into();
    let (author, committer) = (support_git::drafts::author(), support_git::drafts::committer());
    draft.commit(&repository, &changes, &author, &committer, "large").unwrap();
    push(&mut repository, &draft).unwrap();
    assert_sound(&served.server, &repository);

    // Beyond what the server takes, the push is not made, and that is known.
    let mut draft = repository.draft().unwrap();
    let changes = [("new".to_string(), Some(noise(3, 5 << 20)))].into();
    draft.commit(&repository, &changes, &author, &committer, "too large").unwrap();
    let Err(PushError::NotSent(error)) = push(&mut repository, &draft) else { panic!("it was taken") };
    assert_has(&error.to_string(), &["the push is too large for the server (413)", "client_max_body_size"]);
    assert_sound(&served.server, &repository);
}

#[test]
fn a_hook_is_heard_and_may_refuse() {
    let served = Served::start(false);
    served.server.hook("zones.git", "pre-receive", "echo 'no update on a Friday' >&2; exit 1");
    let mut repository = served.repository();
    repository.fetch().unwrap();
    let draft = one_change(&repository, "refused\n");
    let Err(PushError::Refused { reason, said }) = push(&mut repository, &draft) else { panic!("it was taken") };
    assert_eq!((&*reason, &*said), ("pre-receive hook declined", "no update on a Friday"));
    assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged);

    // One that goes on behind the report is let go on, whatever it has to say.
    std::fs::remove_file(served.server.path("zones.git/hooks/pre-receive")).unwrap();
    served.server.hook("zones.git", "post-receive", "sleep 1; seq 30000 >&2; echo done >finished");
    push(&mut repository, &draft).unwrap();
    zonule_harness::eventually("the hook is through", || {
        // Meanwhile we do what we do.
        repository.fetch().unwrap();
        served.server.path("zones.git/finished").exists().then_some(())
    })
    .unwrap();
}

#[test]
fn logins_are_checked_and_explained() {
    let served = Served::start(true);
    let [(writer, write), (reader, read)] = USERS;
    let with = |user: Option<&str>, token: Option<&str>, login: &str| {
        let mut upstream = served.upstream(login, "zones.git");
        upstream.access.user = user.map(|user| Secret::new(user.into()));
        upstream.access.token = token.map(|token| Secret::new(token.into()));
        upstream
    };
    for upstream in [
        with(Some(writer), Some(write), ""),
        with(None, Some(write), "writer@"),
        with(None, None, "writer:w-s3cret@"),
        with(Some(writer), None, "other:w-s3cret@"),
        with(Some(writer), Some(write), "other:wrong@"),
    ] {
        let mut repository = Repository::new(upstream, Limits::default());
        repository.fetch().unwrap();
        let draft = one_change(&repository, "pushed\n");
        push(&mut repository, &draft).unwrap();
    }
    let wanted = fetch_error(with(None, None, ""));
    assert_has(&wanted, &["the remote wants a user and token", "--git-user and --git-token"]);
    for upstream in
        [with(None, Some("wr0ng-s3cret"), ""), with(Some(writer), Some(read), ""), with(None, None, "w-s3cret@")]
    {
        assert_has(&fetch_error(upstream), &["the user or token is not accepted"]);
    }

    let mut repository = Repository::new(with(Some(reader), Some(read), ""), Limits::default());
    repository.fetch().unwrap();
    let draft = one_change(&repository, "by who may not\n");
    let error = push(&mut repository, &draft).unwrap_err().to_string();
    assert_has(
        &error,
        &["not pushed: ", "the user or token may not push (reader has read access only)", "give it the right to write"],
    );
    assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged);

    let mut absent = with(Some(reader), Some(read), "");
    absent.remote = Remote::parse(&served.web.url("127.0.0.1", "", "absent.git")).unwrap();
    assert_has(&fetch_error(absent), &["no such repository (404)", "may the user or token see it?"]);
}

#[test]
fn certificates_are_judged_and_explained() {
    let mut served = Served::start(false);
    let directory = served.server.path("other");
    std::fs::create_dir(&directory).unwrap();
    // The same name as the one we trust, and another key.
    let impostor = Certificate::authority(&directory, "authority").unwrap();
    let stranger = Certificate::authority(&directory, "stranger").unwrap();
    let (authority, certificate) = (served.authority.clone(), served.certificate.clone());
    let pem = Trust::parse_authorities(&authority.base64(false).unwrap()).unwrap();
    let both = [stranger.base64(true).unwrap(), authority.base64(true).unwrap()].join(",");
    for trust in [pem, Trust::parse_authorities(&both).unwrap(), pinning(&certificate)] {
        let mut upstream = served.upstream("", "zones.git");
        upstream.access.tls = trust;
        Repository::new(upstream, Limits::default()).fetch().unwrap();
    }
    let seen = certificate.fingerprint().unwrap().to_lowercase().replace(':', "").replace(" fingerprint=", ":");
    let seen = seen.as_str();
    let hint = format!("--git-tls-fingerprint={seen}");
    assert_has(
        &served.refusal(Trust::WebRoots),
        &["no public web CA vouches for the certificate of 127.0.0.1", "--git-tls-ca=", &hint],
    );
    for other in [&impostor, &stranger] {
        assert_has(&served.refusal(trusting(other)), &["no CA of --git-tls-ca vouches", seen, &hint]);
    }
    assert_has(
        &served.refusal(pinning(&authority)),
        &["the certificate of 127.0.0.1 is", seen, "but --git-tls-fingerprint wants"],
    );

    let issue = |name: &str, names: &str, validity| authority.issue(name, names, validity).unwrap();
    for (certificate, words) in [
        (issue("past", HERE, Validity::Past), vec!["was valid until 2020-02-22T", "this machine's clock says 20"]),
        (
            issue("future", HERE, Validity::Future),
            vec!["is not valid before 2090-02-02T", "clock says 20", "--ntp=ADDR"],
        ),
        (
            issue("else", "IP:192.0.2.1,DNS:git.example.org", Validity::Now),
            vec!["is for 192.0.2.1, git.example.org:", "--git-remote"],
        ),
        (authority.clone(), vec!["cannot be verified (it is a CA certificate)", "--git-tls-fingerprint=sha256:"]),
    ] {
        served.web.serve(&Site { certificate: Some(certificate.clone()), ..Site::default() }).unwrap();
        assert_has(&served.refusal(trusting(&authority)), &words);
        // The pinned one is the right one, whatever it says.
        let mut upstream = served.upstream("", "zones.git");
        upstream.access.tls = pinning(&certificate);
        Repository::new(upstream, Limits::default()).fetch().unwrap();
    }

    // One side speaks TLS and the other does not.
    let https = served.upstream("", "zones.git");
    served.web.serve(&Site::default()).unwrap();
    assert_has(
        &fetch_error(https),
        &["does not speak TLS: is that the port of https, or should the remote be http://?"],
    );
    let http = served.upstream("", "zones.git");
    Repository::new(http.clone(), Limits::default()).fetch().unwrap();
    served.web.serve(&Site { certificate: Some(certificate), ..Site::default() }).unwrap();
    assert_has(&fetch_error(http), &["the server answers 400"]);
}

#[test]
fn what_is_no_git_service_is_named() {
    let served = Served::start(false);
    let error = |path: &str| fetch_error(served.upstream("", path));
    assert_has(&error("page/zones.git"), &["a web page answers, not a git service"]);
    served.server.git("zones.git", &["update-server-info"]);
    assert_has(&error("dumb/zones.git"), &["\"dumb\" HTTP", "git http-backend"]);
    assert_has(
        &error("absent.git"),
        &["no such repository (404)", "If it is private, give --git-user and --git-token"],
    );

    assert_has(
        &error("down/zones.git"),
        &["redirected to http://127.0.0.1/zones.git, out of TLS, which is not followed"],
    );

    // A redirection is followed for the discovery, and what follows goes where it led.
    let mut repository = Repository::new(served.upstream("", "moved/zones.git"), Limits::default());
    repository.fetch().unwrap();
    let draft = one_change(&repository, "pushed\n");
    push(&mut repository, &draft).unwrap();
    assert_sound(&served.server, &repository);
    assert!(served.web.answered(301, "") > 0);

    // Without a user nobody may push, unless the repository says so.
    served.server.git("zones.git", &["config", "http.receivepack", "false"]);
    let draft = one_change(&repository, "refused\n");
    let error = push(&mut repository, &draft).unwrap_err().to_string();
    assert_has(&error, &["pushing requires a user and token", "http.receivepack"]);
}

#[test]
fn secrets_go_in_the_clear_only_where_that_is_insisted_on() {
    let mut served = Served::start(true);
    served.web.serve(&Site { certificate: None, users: true, ..Site::default() }).unwrap();
    let mut upstream = served.upstream("writer:w-s3cret@", "zones.git");
    assert_has(&fetch_error(upstream.clone()), &["not sent without TLS", "--git-credentials-in-clear=yes"]);
    upstream.access = Access { credentials_in_clear: true, ..Access::default() };
    let mut repository = Repository::new(upstream, Limits::default());
    repository.fetch().unwrap();
    let draft = one_change(&repository, "pushed\n");
    push(&mut repository, &draft).unwrap();
    assert_sound(&served.server, &repository);
}

#[test]
fn other_object_names_are_refused_over_http_too() {
    let served = Served::start(false);
    served.server.git("", &["init", "-q", "--bare", "-b", "main", "--object-format=sha256", "sha256.git"]);
    let error = fetch_error(served.upstream("", "sha256.git"));
    assert_has(&error, &["not supported yet: a repository with sha256 object names"]);
}

#[test]
fn a_web_server_that_goes_away_between_requests_is_found_again() {
    let mut served = Served::start(false);
    let mut repository = served.repository();
    repository.fetch().unwrap();
    let draft = one_change(&repository, "pushed\n");
    served.web.serve(&Site { certificate: Some(served.certificate.clone()), ..Site::default() }).unwrap();
    repository.push(&draft, Deadline::from_now(Duration::from_secs(60)), Duration::from_secs(60)).unwrap();
    assert_sound(&served.server, &repository);
    assert!(matches!(repository.fetch(), Ok(Fetched::Unchanged) | Err(Error::Lost { .. })));
}
