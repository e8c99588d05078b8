//! Writes small databases for tests: the format's rules in a hundred lines, written from its specification and not from
//! the reader that they try.

use std::net::IpAddr;

/// A value of the format.
#[derive(Clone)]
pub(crate) enum Value {
    Map(Vec<(&'static str, Value)>),
    Array(Vec<Value>),
    Text(&'static str),
    Double(f64),
    Float(f32),
    U16(u16),
    U32(u32),
    U64(u64),
    I32(i32),
    Bool(bool),
}

/// What a side of a node leads to.
#[derive(Clone, Copy)]
enum Side {
    Nothing,
    Node(usize),
    /// An offset into the data.
    Data(usize),
}

/// A database in the making.
pub(crate) struct Fixture {
    ip_version: u16,
    record_size: u16,
    nodes: Vec<[Side; 2]>,
    data: Vec<u8>,
}

impl Fixture {
    /// An empty tree for addresses of a version, with records of 24, 28 or 32 bits.
    pub(crate) fn new(ip_version: u16, record_size: u16) -> Self {
        Self { ip_version, record_size, nodes: vec![[Side::Nothing; 2]], data: Vec::new() }
    }

    /// Adds a network; a later one may lie within an earlier one, not the other way round.
    pub(crate) fn with(mut self, network: &str, value: &Value) -> Self {
        let (address, length) = network.split_once('/').unwrap();
        let (bits, length): (u128, usize) =
            match (address.parse().unwrap(), length.parse().unwrap(), self.ip_version) {
                (IpAddr::V4(v4), length, 4) => (u128::from(v4.to_bits()) << 96, length),
                // IPv4 lives in the first of the IPv6 addresses.
                (IpAddr::V4(v4), length, _) => (v4.to_bits().into(), length + 96),
                (IpAddr::V6(v6), length, _) => (v6.to_bits(), length),
            };
        let data = Side::Data(self.data.len());
        encode(value, &mut self.data);
        let mut at = 0;
        for depth in 0..length {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == length {
                self.nodes[at][side] = data;
                break;
            }
            at = match self.nodes[at][side] {
                Side::Node(node) => node,
                // What was said for the whole is said for both halves.
                leaf => {
                    let node = self.nodes.len();
                    self.nodes.push([leaf; 2]);
                    self.nodes[at][side] = Side::Node(node);
                    node
                }
            };
        }
        self
    }

    /// The whole file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for node in &self.nodes {
            let [left, right] = node.map(|side| self.number(side));
            match self.record_size {
                24 => {
                    bytes.extend(&left.to_be_bytes()[1..]);
                    bytes.extend(&right.to_be_bytes()[1..]);
                }
                // The upper four bits of both share the middle byte.
                28 => {
                    bytes.extend(&left.to_be_bytes()[1..]);
                    bytes.push((left >> 24 << 4 | right >> 24) as u8);
                    bytes.extend(&right.to_be_bytes()[1..]);
                }
                _ => {
                    bytes.extend(left.to_be_bytes());
                    bytes.extend(right.to_be_bytes());
                }
            }
        }
        bytes.extend([0; 16]);
        bytes.extend(&self.data);
        bytes.extend(b"\xab\xcd\xefMaxMind.com");
        let metadata = Value::Map(vec![
            ("node_count", Value::U32(self.nodes.len() as u32)),
            ("record_size", Value::U16(self.record_size)),
            ("ip_version", Value::U16(self.ip_version)),
            ("database_type", Value::Text("Fixture")),
            ("languages", Value::Array(vec![])),
            ("binary_format_major_version", Value::U16(2)),
            ("binary_format_minor_version", Value::U16(0)),
            ("build_epoch", Value::U64(1_781_726_061)),
            ("description", Value::Map(vec![])),
        ]);
        encode(&metadata, &mut bytes);
        bytes
    }

    fn number(&self, side: Side) -> u32 {
        let nodes = self.nodes.len();
        let number = match side {
            Side::Node(node) => node,
            Side::Nothing => nodes,
            Side::Data(offset) => nodes + 16 + offset,
        };
        number.try_into().unwrap()
    }
}

fn encode(value: &Value, into: &mut Vec<u8>) {
    match value {
        Value::Map(entries) => {
            control(7, entries.len(), into);
            for (key, value) in entries {
                encode(&Value::Text(key), into);
                encode(value, into);
            }
        }
        Value::Array(values) => {
            control(11, values.len(), into);
            values.iter().for_each(|value| encode(value, into));
        }
        Value::Text(text) => payload(2, text.as_bytes(), into),
        Value::Double(number) => payload(3, &number.to_be_bytes(), into),
        Value::Float(number) => payload(15, &number.to_be_bytes(), into),
        Value::U16(number) => payload(5, &number.to_be_bytes(), into),
        Value::U32(number) => payload(6, &number.to_be_bytes(), into),
        Value::U64(number) => payload(9, &number.to_be_bytes(), into),
        Value::I32(number) => payload(8, &number.to_be_bytes(), into),
        Value::Bool(value) => control(14, usize::from(*value), into),
    }
}

fn payload(kind: u8, bytes: &[u8], into: &mut Vec<u8>) {
    control(kind, bytes.len(), into);
    into.extend(bytes);
}

/// The byte before a value: its kind in three bits, or after that byte, and its size in five, or after these.
fn control(kind: u8, size: usize, into: &mut Vec<u8>) {
    let (short, more) = match size {
        0..29 => (size as u8, None),
        29..285 => (29, Some((size - 29) as u8)),
        _ => panic!("a value of {size} bytes is too long for a fixture"),
    };
    match kind {
        1..8 => into.push(kind << 5 | short),
        _ => into.extend([short, kind - 7]),
    }
    into.extend(more);
}
