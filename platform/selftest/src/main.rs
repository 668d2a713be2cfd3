//! Tries on the bare machine what std promises.

mod net;

use zonule_platform as _;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--net") {
        return net::run(&arguments);
    }
    println!("selftest: {:?}", std::env::args().collect::<Vec<_>>());
    let t = std::thread::spawn(|| {
        println!("hello from a thread");
        7
    });
    println!("{:?}", t.join().map_err(|_| ()));
    std::thread::sleep(std::time::Duration::from_millis(20));
    println!("{:?} {:?}", std::time::Instant::now(), std::time::SystemTime::now());
}
