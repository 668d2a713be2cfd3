//! A thousand zones are served in 64 MiB, and in 256 MiB another of a hundred thousand records as well.

use zonule_harness::Remote;
use zonule_harness::Sandbox;

use crate::scene::{host_address, large_zone, many_zones, zone};

scenario!(thousand_zones_and_one_of_a_hundred_thousand_records, |target| {
    const HOSTS: u32 = 100_000;
    let sandbox = Sandbox::new("large").unwrap();
    let files = many_zones(1000).chain([("large.example".to_owned(), large_zone(HOSTS))]);
    let remote = Remote::with_files(sandbox.path(), files).unwrap();
    let mut server = target.boot().memory_mib(256).remote(&remote).start(&sandbox).unwrap();
    server.until_serving("large.example").unwrap();

    for number in [0, 1, 255, 256, 65_535, 65_536, HOSTS - 1] {
        let reply = server.dig(&[&format!("h{number}.large.example"), "A"]).unwrap();
        assert_eq!(reply.answer_data(), [host_address(number)], "h{number}");
    }
    for number in [0, 500, 999] {
        let reply = server.dig(&[&format!("z{number}.example"), "SOA"]).unwrap();
        assert!(reply.answer[0].contains(&format!(" {} ", number + 1)), "{reply:?}");
    }

    // A change of one record in the large zone, and of another zone after it.
    let text = large_zone(HOSTS).replacen(" 1 2h ", " 2 2h ", 1);
    remote.write("large.example", text + "new A 192.0.2.1\n").unwrap();
    remote.push("One more").unwrap();
    server.until_dig(&["new.large.example", "A"], |reply| reply.answer_data() == ["192.0.2.1"]).unwrap();
    remote.write("z7.example", zone(4711, "new A 192.0.2.2\n")).unwrap();
    remote.push("And one in a small zone").unwrap();
    server.until_dig(&["new.z7.example", "A"], |reply| reply.answer_data() == ["192.0.2.2"]).unwrap();
});

scenario!(thousand_zones_in_64_mib, |target| {
    let sandbox = Sandbox::new("thousand").unwrap();
    let remote = Remote::with_files(sandbox.path(), many_zones(1000)).unwrap();
    let mut server = target.boot().memory_mib(64).remote(&remote).start(&sandbox).unwrap();
    server.until_serving("z0.example").unwrap();
    for number in (0..1000).step_by(37) {
        let reply = server.dig(&[&format!("www.z{number}.example"), "A"]).unwrap();
        assert_eq!(reply.answer_data(), ["192.0.2.80"], "z{number}");
    }
    // Room is left for a change.
    remote.write("z999.example", zone(2000, "new A 192.0.2.1\n")).unwrap();
    remote.push("One more").unwrap();
    server.until_dig(&["new.z999.example", "A"], |reply| reply.answer_data() == ["192.0.2.1"]).unwrap();
});
