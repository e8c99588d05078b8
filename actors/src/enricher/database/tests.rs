use std::net::IpAddr;

use hitstream_domain::geo::Location;
use maxminddb::Reader;

use super::fixture::{Fixture, Value};
use super::{Database, DatabaseError, EMBEDDED, examine};

fn opened(fixture: &Fixture) -> Database {
    examined(fixture.bytes()).unwrap()
}

/// As a file is opened, without the file.
fn examined(bytes: Vec<u8>) -> Result<Database, String> {
    let reader = Reader::from_source(bytes).map_err(|error| error.to_string())?;
    examine::examine(&reader)?;
    Ok(Database { reader })
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn names(english: &'static str) -> Value {
    map(vec![(
        "names",
        map(vec![("de", Value::Text("nicht gefragt")), ("en", Value::Text(english))]),
    )])
}

fn map(entries: Vec<(&'static str, Value)>) -> Value {
    Value::Map(entries)
}

/// As GeoLite2-City says it, with what it says beside.
fn nested_city() -> Value {
    map(vec![
        ("city", names("Linköping")),
        (
            "country",
            map(vec![
                ("geoname_id", Value::U32(2_661_886)),
                ("is_in_european_union", Value::Bool(true)),
                ("iso_code", Value::Text("SE")),
                ("names", map(vec![("en", Value::Text("Sweden"))])),
            ]),
        ),
        (
            "location",
            map(vec![
                ("accuracy_radius", Value::U16(76)),
                ("latitude", Value::Double(58.4167)),
                ("longitude", Value::Double(15.6167)),
                ("time_zone", Value::Text("Europe/Stockholm")),
            ]),
        ),
        ("registered_country", map(vec![("iso_code", Value::Text("DE"))])),
        ("subdivisions", Value::Array(vec![names("Östergötland County"), names("a part of it")])),
    ])
}

/// As ip-location-db says it.
fn flat_city() -> Value {
    map(vec![
        ("city", Value::Text("South Brisbane")),
        ("country_code", Value::Text("AU")),
        ("latitude", Value::Float(-27.5)),
        ("longitude", Value::Float(153.0)),
        ("postcode", Value::Text("")),
        ("state1", Value::Text("Queensland")),
        ("state2", Value::Text("a part of it")),
        ("timezone", Value::Text("")),
    ])
}

fn linkoping() -> Location {
    Location {
        country_code: Some("SE".into()),
        country: Some("Sweden".into()),
        region: Some("Östergötland County".into()),
        city: Some("Linköping".into()),
        latitude: Some(58.4167),
        longitude: Some(15.6167),
        time_zone: Some("Europe/Stockholm".into()),
        ..Location::default()
    }
}

fn brisbane() -> Location {
    Location {
        country_code: Some("AU".into()),
        country: Some("Australia".into()),
        region: Some("Queensland".into()),
        city: Some("South Brisbane".into()),
        latitude: Some(-27.5),
        longitude: Some(153.0),
        ..Location::default()
    }
}

#[test]
fn both_forms_are_read_in_every_kind_of_tree() {
    for record_size in [24, 28, 32] {
        let both = opened(
            &Fixture::new(6, record_size)
                .with("1.0.0.0/24", &flat_city())
                .with("89.160.20.112/28", &nested_city())
                .with("2001:db8:5a::/48", &nested_city()),
        );
        assert_eq!(both.lookup(ip("1.0.0.77")), Some(brisbane()));
        assert_eq!(both.lookup(ip("89.160.20.127")), Some(linkoping()));
        assert_eq!(both.lookup(ip("89.160.20.128")), None);
        assert_eq!(both.lookup(ip("2001:db8:5a::1")), Some(linkoping()));
        assert_eq!(both.lookup(ip("2001:db8:5b::1")), None);

        let v4 = opened(&Fixture::new(4, record_size).with("1.0.0.0/24", &flat_city()));
        assert_eq!(v4.lookup(ip("1.0.0.77")), Some(brisbane()));
        assert_eq!(v4.lookup(ip("1.0.1.0")), None);
    }
}

#[test]
fn database_for_ipv4_alone_has_no_ipv6_address_but_mapped_ones() {
    let database = opened(&Fixture::new(4, 24).with("0.0.0.0/1", &flat_city()));
    assert_eq!(database.lookup(ip("2001:db8::1")), None);
    assert_eq!(database.lookup(ip("::1")), None);
    assert_eq!(database.lookup(ip("::ffff:1.2.3.4")), Some(brisbane()));
}

#[test]
fn mapped_address_is_looked_up_as_ipv4_where_the_tree_has_both() {
    let database = opened(&Fixture::new(6, 28).with("1.2.3.0/24", &flat_city()));
    assert_eq!(database.lookup(ip("::ffff:1.2.3.4")), Some(brisbane()));
    assert_eq!(database.lookup(ip("::ffff:1.2.4.4")), None);
}

#[test]
fn database_for_ipv6_alone_has_no_ipv4_address() {
    let database = opened(&Fixture::new(6, 24).with("2000::/3", &flat_city()));
    assert_eq!(database.lookup(ip("1.2.3.4")), None);
    assert_eq!(database.lookup(ip("2a00::1")), Some(brisbane()));
}

#[test]
fn autonomous_systems_are_read_by_each_of_their_names() {
    let forms = [
        vec![
            ("autonomous_system_number", Value::U32(1221)),
            ("autonomous_system_organization", Value::Text("Telstra")),
        ],
        vec![("asn", Value::Text("AS1221")), ("as_name", Value::Text("Telstra"))],
        vec![("asn", Value::Text("1221")), ("as_organization", Value::Text("Telstra"))],
        vec![("asn", Value::U64(1221)), ("as_name", Value::Text("Telstra"))],
        vec![(
            "traits",
            map(vec![
                ("autonomous_system_number", Value::I32(1221)),
                ("autonomous_system_organization", Value::Text("Telstra")),
            ]),
        )],
    ];
    for form in forms {
        let database = opened(&Fixture::new(4, 24).with("1.128.0.0/11", &map(form)));
        let telstra =
            Location { asn: Some(1221), as_name: Some("Telstra".into()), ..Location::default() };
        assert_eq!(database.lookup(ip("1.128.0.1")), Some(telstra));
    }
}

#[test]
fn numbers_come_as_text_too() {
    let record = map(vec![
        ("latitude", Value::Text("-27.5")),
        ("longitude", Value::Text(" 153 ")),
        ("country", Value::Text("au")),
        ("country_name", Value::Text("Australia")),
        ("state1", Value::Text("")),
        ("state2", Value::Text("Queensland")),
    ]);
    let database = opened(&Fixture::new(4, 24).with("1.0.0.0/8", &record));
    let found = Location { city: None, ..brisbane() };
    assert_eq!(database.lookup(ip("1.2.3.4")), Some(found));
}

#[test]
fn what_cannot_be_true_is_no_answer() {
    let records = [
        map(vec![("country_code", Value::Text("AUS"))]),
        map(vec![("country_code", Value::Text("4U"))]),
        map(vec![("country_code", Value::U16(61))]),
        map(vec![("country", map(vec![("iso_code", Value::Array(vec![Value::Text("AU")]))]))]),
        map(vec![("city", Value::Bool(true)), ("subdivisions", Value::Array(vec![]))]),
        map(vec![("subdivisions", Value::Text("Queensland")), ("location", Value::Text("here"))]),
        map(vec![("latitude", Value::Double(91.0)), ("longitude", Value::Double(0.0))]),
        map(vec![("latitude", Value::Double(f64::NAN)), ("longitude", Value::Double(0.0))]),
        map(vec![("latitude", Value::Double(1.0))]),
        map(vec![("asn", Value::U64(u64::MAX)), ("as_name", Value::Text(""))]),
        map(vec![("registered_country", map(vec![("iso_code", Value::Text("AU"))]))]),
        Value::Text("AU"),
        Value::Array(vec![Value::Text("AU")]),
        map(vec![]),
    ];
    for (number, record) in records.iter().enumerate() {
        let fixture = Fixture::new(4, 24).with("1.0.0.0/8", record).with("2.0.0.0/8", &flat_city());
        assert_eq!(opened(&fixture).lookup(ip("1.2.3.4")), None, "record {number}");
    }
}

#[test]
fn database_about_other_matters_is_refused() {
    let record = map(vec![("is_anonymous_vpn", Value::Bool(true))]);
    let refused = examined(Fixture::new(4, 24).with("1.0.0.0/8", &record).bytes());
    assert_eq!(refused.unwrap_err(), "no record of it says where an address is");
}

#[test]
fn part_of_a_database_is_refused_wherever_it_ends() {
    let whole = Fixture::new(6, 28).with("1.0.0.0/24", &flat_city()).bytes();
    for end in 0..whole.len() {
        assert!(examined(whole[..end].to_vec()).is_err(), "the first {end} bytes");
    }
    assert!(examined(whole).is_ok());
}

#[test]
fn no_changed_byte_makes_a_lookup_panic() {
    let whole = Fixture::new(6, 24)
        .with("1.0.0.0/24", &nested_city())
        .with("2001:db8::/32", &flat_city())
        .bytes();
    for at in 0..whole.len() {
        for value in [0, 1, 0x20, 0x7f, 0xff, whole[at] ^ 0x80] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            if let Ok(database) = examined(bytes) {
                database.lookup(ip("1.0.0.1"));
                database.lookup(ip("2001:db8::1"));
            }
        }
    }
}

#[test]
fn tree_with_loops_is_refused_and_not_walked_for_ever() {
    let mut bytes = Fixture::new(6, 24).with("2001:db8::/32", &flat_city()).bytes();
    // Both sides of the first node lead to the first node.
    bytes[..6].fill(0);
    assert!(examined(bytes).is_err());
}

#[test]
fn file_that_is_not_there_or_no_file_is_said_with_its_name() {
    let missing = Database::open("/nowhere/city.mmdb".as_ref()).unwrap_err();
    assert!(matches!(missing, DatabaseError::Unreadable { .. }));
    assert!(missing.to_string().contains("/nowhere/city.mmdb"), "{missing}");
    let folder = Database::open("/".as_ref()).unwrap_err().to_string();
    assert!(folder.contains("it is not a file"), "{folder}");
}

/// The answers are another reader's: `scripts/record-geo-answers.py`.
#[test]
fn embedded_database_answers_as_an_independent_reader_does() {
    let database = Database::embedded().unwrap();
    let recorded = include_str!("../../../data/iptoasn-country.answers.tsv");
    let mut located = 0;
    for line in recorded.lines() {
        let (address, code) = line.split_once('\t').unwrap();
        let found = database.lookup(ip(address)).and_then(|location| location.country_code);
        assert_eq!(found.as_deref().unwrap_or(""), code, "{address}");
        located += usize::from(!code.is_empty());
    }
    assert!(located >= 40, "{located}");
    assert_eq!(recorded.lines().count(), 50);
}

/// [`Database::embedded`] leaves it out.
#[test]
fn embedded_database_stands_up_to_examination() {
    examine::examine(&Database::embedded().unwrap().reader).unwrap();
}

#[test]
fn embedded_database_is_the_one_that_is_told_of() {
    let told = include_str!("../../../data/README.md");
    let bytes = zstd::decode_all(EMBEDDED).unwrap();
    assert!(told.contains(&format!("| size | {} bytes |", bytes.len())), "{}", bytes.len());
}
