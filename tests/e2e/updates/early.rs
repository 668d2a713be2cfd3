//! Signed messages that arrive before keys are loaded are not rejected as badly signed.

use zonule_harness::{Client, Key, Remote, Request, Sandbox, Transport};

use crate::scene::zone;
use crate::updates::scene::{KEYS, ZONE};

scenario!(key_before_its_file_is_loaded_is_not_called_bad, |target| {
    let sandbox = Sandbox::new("early").unwrap();
    let key = Key::new("laptop._update.example.org").unwrap();
    let known = Key::new("known._update.example.org").unwrap();
    let mut remote = Remote::with_files(sandbox.path(), [(ZONE, zone(1, "")), (KEYS, key.line())]).unwrap();
    remote.go_away();
    let argument = format!("--tsig-key={}:{}:{}", known.name, known.algorithm, known.secret);
    let boot = target.boot().remote(&remote).argument(argument).argument("--rate-limit=off");
    let mut server = boot.start(&sandbox).unwrap();
    server.until_dig(&["www.example.org", "A"], |reply| reply.status == "SERVFAIL").unwrap();

    for transport in Transport::ALL {
        let outcome = Client::Nsupdate
            .update(server.address(), transport, Some(&key), ZONE, &["update add a.example.org. 300 A 192.0.2.1"])
            .unwrap();
        assert_eq!((outcome.status.as_str(), outcome.tsig_error), ("SERVFAIL", None), "{}", outcome.text);
    }
    server.until_console("key laptop._update.example.org.: no keys are loaded yet; answering SERVFAIL").unwrap();
    // So are queries and transfers.
    let option = key.option();
    for question in [["www.example.org", "A"], ["example.org", "SOA"]] {
        let reply = server.dig(&[question.as_slice(), &["-y", &option]].concat()).unwrap();
        assert_eq!(reply.status, "SERVFAIL");
        let code = reply.extended_error.unwrap_or_default();
        assert!(code.starts_with("14 (Not Ready)") && code.contains("no keys are loaded yet"), "{code}");
    }
    // A key that was given at boot is known, and what is missing are the zones.
    let mut request = Request::new(ZONE, &["update add a.example.org. 300 A 192.0.2.1"]);
    let outcome = request.key(Some(&known)).send(server.address()).unwrap().remove(0);
    assert_eq!((outcome.status.as_str(), outcome.signed), ("SERVFAIL", true), "{outcome:?}");
    assert!(outcome.extended_error.unwrap_or_default().contains("zones are not loaded yet"));
    // A wrong secret for it is told at once.
    let outcome = request.key(Some(&known.forged().unwrap())).send(server.address()).unwrap().remove(0);
    assert_eq!(outcome.tsig_error.as_deref(), Some("BADSIG"), "{outcome:?}");

    remote.serve().unwrap();
    server.until_serving(ZONE).unwrap();
    for key in [&key, &known] {
        let operation = format!("update add {}.example.org. 300 A 192.0.2.1", key.name.split('.').next().unwrap());
        let outcome =
            Client::Nsupdate.update(server.address(), Transport::Tcp, Some(key), ZONE, &[&operation]).unwrap();
        assert_eq!(outcome.status, "NOERROR", "{}", outcome.text);
    }
    // From now on a key that is not there is none.
    let stranger = Key::new("stranger._update.example.org").unwrap();
    let outcome = Request::new(ZONE, &["update delete a.example.org. A"])
        .key(Some(&stranger))
        .send(server.address())
        .unwrap()
        .remove(0);
    assert_eq!((outcome.status.as_str(), outcome.tsig_error.as_deref()), ("NOTAUTH", Some("BADKEY")), "{outcome:?}");
});
