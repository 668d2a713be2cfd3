//! What most scenarios begin with: a remote with zones and a server that follows it.

use std::fmt::Write as _;

use zonule_harness::{Machine, Remote, Sandbox, Server, Target, namespace};

/// The Linux binary as a target.
pub(crate) fn hosted() -> Target {
    Target::hosted(env!("CARGO_BIN_EXE_zonule"))
}

/// The image as a target, on the machine most hypervisors offer.
pub(crate) fn image() -> Target {
    Target::image(Machine::Q35).unwrap()
}

/// Runs this scenario again, alone in a network namespace, unless it is there already; returns whether it is.
///
/// `scenario` is the scenario's `module_path!()`.
pub(crate) fn inside(target: &Target, scenario: &str) -> bool {
    if namespace::inside() {
        return true;
    }
    let (_, scenario) = scenario.split_once("::").expect("a module of this crate");
    let target = if matches!(target, Target::Image { .. }) { "image" } else { "hosted" };
    namespace::test_inside(&format!("{scenario}::{target}")).unwrap();
    false
}

/// A server, its remote and their directory; dropped in this order.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) remote: Remote,
    pub(crate) sandbox: Sandbox,
}

impl Scene {
    /// Starts `target` on a remote that holds `files`; does not wait for anything.
    ///
    /// Replies are not limited: most scenarios are about other things, and all their clients have one address.
    pub(crate) fn with_files<N: AsRef<str>, C: AsRef<[u8]>>(
        target: &Target,
        files: impl IntoIterator<Item = (N, C)>,
    ) -> Scene {
        Scene::with_arguments(target, files, &["--rate-limit=off"])
    }

    /// Starts `target` with more `arguments` on a remote that holds `files`; does not wait for anything.
    pub(crate) fn with_arguments<N: AsRef<str>, C: AsRef<[u8]>>(
        target: &Target,
        files: impl IntoIterator<Item = (N, C)>,
        arguments: &[&str],
    ) -> Scene {
        let sandbox = Sandbox::new("e2e").unwrap();
        let remote = Remote::with_files(sandbox.path(), files).unwrap();
        let boot = arguments.iter().fold(target.boot().remote(&remote), |boot, argument| boot.argument(*argument));
        let server = boot.start(&sandbox).unwrap();
        Scene { server, remote, sandbox }
    }

    /// Starts `target` on a remote that holds `example.org` and `example.net` and waits until it serves them.
    pub(crate) fn small(target: &Target) -> Scene {
        let files = [("example.org", zone(1, "")), ("example.net", zone(1, ""))];
        let mut scene = Scene::with_files(target, files);
        scene.server.until_serving("example.org").unwrap();
        scene.server.until_serving("example.net").unwrap();
        scene
    }
}

/// The text of a small zone, with `more` lines at its end.
///
/// `www` is 192.0.2.80. The SOA begins in line 2, `more` in line 6.
pub(crate) fn zone(serial: u32, more: &str) -> String {
    format!(
        "$TTL 300\n@ SOA ns1 hostmaster {serial} 2h 15m 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\nwww A 192.0.2.80\n{more}"
    )
}

/// The text of a zone with `hosts` addresses, `h0` to `h<hosts - 1>`, see [`host_address`].
pub(crate) fn large_zone(hosts: u32) -> String {
    let mut text = zone(1, "");
    for number in 0..hosts {
        writeln!(text, "h{number} A {}", host_address(number)).unwrap();
    }
    text
}

/// The address of a host of [`large_zone`], all different.
pub(crate) fn host_address(number: u32) -> String {
    let [_, high, middle, low] = number.to_be_bytes();
    format!("10.{high}.{middle}.{low}")
}

/// `count` small zones, `z0.example` to `z<count - 1>.example`.
pub(crate) fn many_zones(count: u32) -> impl Iterator<Item = (String, String)> {
    (0..count).map(|number| (format!("z{number}.example"), zone(number + 1, "")))
}
