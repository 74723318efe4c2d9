//! The way to the broker, broken in every way: cut, slow, lossy, half open, corrupted. Judged by what a colleague sees.

mod corrupted;
mod cuts;
mod dead;
mod doubles;
mod large;
mod limits;
mod names;
mod office;
mod slow;

use std::io::{Read, Write};
use std::net::TcpStream;

/// The phones: MQTT 3.1.1 at QoS 1 past any proxy, for a broker in a process of its own.
pub struct Phones(TcpStream);

impl Phones {
    pub fn connect(port: u16) -> Phones {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut connect = vec![0x10, 18, 0, 4];
        connect.extend(b"MQTT\x04\x02\0\0\0\x06phones");
        stream.write_all(&connect).unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0x20, 2, 0, 0]);
        Phones(stream)
    }

    pub fn say(&mut self, number: usize, payload: &str, retain: bool) {
        self.say_all([number], payload, retain);
    }

    /// The phones with these numbers; returns when the broker has it.
    pub fn say_all(&mut self, numbers: impl IntoIterator<Item = usize>, payload: &str, retain: bool) {
        let (mut packets, mut answers) = (Vec::new(), Vec::new());
        for number in numbers {
            let topic = format!("phone/{number}");
            let length = 2 + topic.len() + 2 + payload.len();
            packets.extend([if retain { 0x33 } else { 0x32 }, u8::try_from(length).unwrap()]);
            packets.extend([0, u8::try_from(topic.len()).unwrap()]);
            packets.extend(topic.bytes().chain([0, 1]).chain(payload.bytes()));
            answers.extend([0x40, 2, 0, 1]);
        }
        self.0.write_all(&packets).unwrap();
        let mut read = vec![0; answers.len()];
        self.0.read_exact(&mut read).unwrap();
        assert_eq!(read, answers);
    }
}

/// What goes into `[mqtt]` for a broker or proxy at this port.
pub fn at(port: u16) -> String {
    format!("url = \"mqtt://127.0.0.1:{port}\"\nclient_id = \"bridge-under-test\"")
}
